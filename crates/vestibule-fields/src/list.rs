//! Lists inside field values: the splitter for every list field of this crate.
//!
//! ```text
//! #element      = [ element ] *( OWS "," OWS [ element ] )
//! quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
//! token         = 1*tchar
//! ```
//!
//! Source: RFC 9110 section 5.3 (repeated lines), 5.6.1 (lists), 5.6.2 (tokens), 5.6.3
//! (whitespace), 5.6.4 (quoted strings).
//!
//! A separator inside double quotes belongs to the element. Empty elements are skipped, as required
//! (section 5.6.1.2). An unclosed quote extends to the end of its line, so a broken element affects
//! only the rest of that line. Every byte is read once.
//!
//! ```
//! use vestibule_fields::list::List;
//!
//! let elements: Vec<_> = List::new(br#"a, , b="c,d" ,"#).collect();
//! assert_eq!(elements, [&b"a"[..], br#"b="c,d""#]);
//! ```

use std::borrow::Cow;
use std::fmt;

use http::header::ValueIter;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Iterates over the elements of one value, trimmed, without empty ones.
///
/// ```
/// use vestibule_fields::list::List;
///
/// let parameters: Vec<_> = List::new("a/b; p=\"x;y\";;q=1").separator(b';').collect();
/// assert_eq!(parameters, [&b"a/b"[..], b"p=\"x;y\"", b"q=1"]);
/// ```
#[derive(Clone, Debug)]
pub struct List<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    quotes: Quotes,
}

impl<'a> List<'a> {
    /// Splits `value` at commas, with [`Quotes::Escaped`].
    #[must_use]
    pub fn new(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            rest: Some(value.as_ref()),
            separator: b',',
            quotes: Quotes::Escaped,
        }
    }

    /// Sets the separator, such as `;` for parameters. Defaults to the comma.
    #[must_use]
    pub fn separator(mut self, separator: u8) -> Self {
        self.separator = separator;
        self
    }

    /// Sets the meaning of a backslash inside quotes. Defaults to [`Quotes::Escaped`].
    ///
    /// ```
    /// use vestibule_fields::list::{List, Quotes};
    ///
    /// // Two entity tags; the first ends in a backslash, and the quote after it closes it.
    /// let value = r#""a\","b""#;
    /// assert_eq!(List::new(value).quotes(Quotes::Opaque).count(), 2);
    /// assert_eq!(List::new(value).quotes(Quotes::Escaped).count(), 1);
    /// ```
    #[must_use]
    pub fn quotes(mut self, quotes: Quotes) -> Self {
        self.quotes = quotes;
        self
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(rest) = self.rest {
            let (element, rest) = cut(rest, self.separator, self.quotes);
            self.rest = rest;
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// The meaning of a backslash inside double quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// It escapes the next byte, as in a quoted-string (RFC 9110, section 5.6.4).
    Escaped,
    /// It is a normal byte, as in an opaque-tag (RFC 9110, section 8.8.3).
    Opaque,
}

/// The lines of one field: a single value, or every line of that name in a [`HeaderMap`].
///
/// A list on several lines is the same as the list on one line (RFC 9110, section 5.3). Nothing is
/// copied.
///
/// ```
/// use http::{HeaderMap, header::ACCEPT_ENCODING};
/// use vestibule_fields::list::{Lines, Quotes};
///
/// let mut headers = HeaderMap::new();
/// headers.append(ACCEPT_ENCODING, "gzip, br".parse().unwrap());
/// headers.append(ACCEPT_ENCODING, "zstd".parse().unwrap());
///
/// let lines = Lines::from_headers(&headers, ACCEPT_ENCODING);
/// let elements: Vec<_> = lines.elements(Quotes::Escaped).collect();
/// assert_eq!(elements, [&b"gzip"[..], b"br", b"zstd"]);
/// ```
#[derive(Clone)]
pub struct Lines<'a>(Source<'a>);

#[derive(Clone)]
enum Source<'a> {
    Value(&'a [u8]),
    Headers(&'a HeaderMap, HeaderName),
}

impl<'a> Lines<'a> {
    /// Creates a field with the single line `value`.
    #[must_use]
    pub fn new(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self(Source::Value(value.as_ref()))
    }

    /// Takes every line called `name`, in order. There are none when the field is absent.
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap, name: HeaderName) -> Self {
        Self(Source::Headers(headers, name))
    }

    /// Returns whether the field is absent. An empty value is present.
    ///
    /// ```
    /// use vestibule_fields::list::Lines;
    ///
    /// let headers = http::HeaderMap::new();
    /// assert!(Lines::from_headers(&headers, http::header::ACCEPT).is_absent());
    /// assert!(!Lines::new("").is_absent());
    /// ```
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Iterates over the lines, unchanged.
    #[must_use]
    pub fn iter(&self) -> LinesIter<'a> {
        LinesIter(match &self.0 {
            Source::Value(value) => LinesState::Value(Some(value)),
            Source::Headers(headers, name) => LinesState::Headers(headers.get_all(name).iter()),
        })
    }

    /// Returns the line of a field that may occur only once; `None` when it is absent or repeated.
    ///
    /// ```
    /// use vestibule_fields::list::Lines;
    ///
    /// let mut headers = http::HeaderMap::new();
    /// headers.append("etag", "\"1\"".parse().unwrap());
    /// assert!(Lines::from_headers(&headers, http::header::ETAG).only().is_some());
    /// headers.append("etag", "\"2\"".parse().unwrap());
    /// assert!(Lines::from_headers(&headers, http::header::ETAG).only().is_none());
    /// ```
    #[must_use]
    pub fn only(&self) -> Option<&'a [u8]> {
        let mut lines = self.iter();
        let line = lines.next()?;
        lines.next().is_none().then_some(line)
    }

    /// Iterates over the comma-separated elements of all lines.
    #[must_use]
    pub fn elements(&self, quotes: Quotes) -> Elements<'a> {
        Elements {
            lines: self.iter(),
            line: List::new("").quotes(quotes),
        }
    }
}

/// Prints the lines, not their header map: other fields may contain secrets.
impl fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(String::from_utf8_lossy))
            .finish()
    }
}

impl<'a> IntoIterator for &Lines<'a> {
    type Item = &'a [u8];
    type IntoIter = LinesIter<'a>;

    fn into_iter(self) -> LinesIter<'a> {
        self.iter()
    }
}

/// The iterator of [`Lines::iter`].
#[derive(Debug)]
pub struct LinesIter<'a>(LinesState<'a>);

#[derive(Debug)]
enum LinesState<'a> {
    Value(Option<&'a [u8]>),
    Headers(ValueIter<'a, HeaderValue>),
}

impl<'a> Iterator for LinesIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            LinesState::Value(value) => value.take(),
            LinesState::Headers(values) => values.next().map(HeaderValue::as_bytes),
        }
    }
}

/// The iterator of [`Lines::elements`].
#[derive(Debug)]
pub struct Elements<'a> {
    lines: LinesIter<'a>,
    line: List<'a>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if let Some(element) = self.line.next() {
                return Some(element);
            }
            self.line.rest = Some(self.lines.next()?);
        }
    }
}

/// Returns `value` without the spaces and tabs around it.
///
/// ```
/// assert_eq!(vestibule_fields::list::trim(b" \ta b "), b"a b");
/// ```
#[must_use]
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Returns `value` as a token, or `None` when it is empty or contains an invalid byte.
///
/// ```
/// use vestibule_fields::list::token;
///
/// assert_eq!(token(b"x-gzip"), Some("x-gzip"));
/// assert_eq!(token(b"a b"), None);
/// assert_eq!(token(b""), None);
/// ```
#[must_use]
pub fn token(value: &[u8]) -> Option<&str> {
    if value.is_empty() || !value.iter().copied().all(is_tchar) {
        return None;
    }
    std::str::from_utf8(value).ok()
}

/// Returns the text of a quoted string, without its quotes and escapes; `None` when `value` is not
/// exactly one.
///
/// Allocates only if there is an escape.
///
/// ```
/// use vestibule_fields::list::unquote;
///
/// assert_eq!(unquote(br#""a \"b\"""#).as_deref(), Some(&br#"a "b""#[..]));
/// assert_eq!(unquote(b"a"), None);
/// assert_eq!(unquote(br#""a"b""#), None);
/// ```
#[must_use]
pub fn unquote(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut escaped = false;
    let mut escapes = false;
    for &byte in text {
        let is_text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        if !is_text || (byte == b'"' && !escaped) {
            return None;
        }
        escaped = byte == b'\\' && !escaped;
        escapes |= escaped;
    }
    if escaped {
        return None;
    }
    if !escapes {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = Vec::with_capacity(text.len());
    for &byte in text {
        escaped = byte == b'\\' && !escaped;
        if !escaped {
            plain.push(byte);
        }
    }
    Some(Cow::Owned(plain))
}

/// Returns whether `byte` is valid in a token.
///
/// ```
/// use vestibule_fields::list::is_tchar;
///
/// assert!(is_tchar(b'*'));
/// assert!(!is_tchar(b'/'));
/// ```
#[must_use]
pub const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Returns the bytes before the first `separator` outside quotes, and those after it, if there is
/// one.
fn cut(value: &[u8], separator: u8, quotes: Quotes) -> (&[u8], Option<&[u8]>) {
    let mut quoted = false;
    let mut escaped = false;
    let end = value.iter().position(|&byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted && quotes == Quotes::Escaped => escaped = true,
            _ => {}
        }
        byte == separator && !quoted
    });
    match end.and_then(|end| value.split_at_checked(end)) {
        Some((before, [_, after @ ..])) => (before, Some(after)),
        _ => (value, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc9110_5_6_1_2_lists() {
        let table: &[(&str, &[&str])] = &[
            ("foo,bar", &["foo", "bar"]),
            ("foo ,bar,", &["foo", "bar"]),
            ("foo , ,bar,charlie", &["foo", "bar", "charlie"]),
            ("", &[]),
            (",", &[]),
            (",   ,", &[]),
            ("\tfoo\t", &["foo"]),
            (r#"a="b,c",d"#, &[r#"a="b,c""#, "d"]),
            (r#""a\",b",c"#, &[r#""a\",b""#, "c"]),
            (r#"a\,b"#, &[r"a\", "b"]),
            (r#""open, b"#, &[r#""open, b"#]),
            (r#""a\"#, &[r#""a\"#]),
        ];
        for (value, elements) in table {
            let found: Vec<_> = List::new(value)
                .map(|element| std::str::from_utf8(element).unwrap())
                .collect();
            assert_eq!(&found, elements, "{value:?}");
        }
    }

    #[test]
    fn rfc9110_5_6_4_quoted_strings() {
        let table = [
            (r#""""#, Some("")),
            (r#""a b""#, Some("a b")),
            (r#""a\"b""#, Some("a\"b")),
            (r#""\\""#, Some("\\")),
            (r#""\a""#, Some("a")),
            (r#"""#, None),
            (r#""a"#, None),
            (r#"a""#, None),
            (r#""a\""#, None),
            (r#""a"b""#, None),
            ("\"a\nb\"", None),
            ("", None),
        ];
        for (value, text) in table {
            let found = unquote(value.as_bytes());
            assert_eq!(found.as_deref(), text.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn rfc9110_5_3_repeated_lines() {
        let mut headers = HeaderMap::new();
        let name = http::header::ACCEPT;
        for line in ["a, \"open", "", "b", ",c,"] {
            headers.append(&name, line.parse().unwrap());
        }
        let lines = Lines::from_headers(&headers, name);
        let elements: Vec<_> = lines.elements(Quotes::Escaped).collect();
        assert_eq!(elements, [&b"a"[..], b"\"open", b"b", b"c"]);
        assert_eq!(format!("{lines:?}"), r#"["a, \"open", "", "b", ",c,"]"#);
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>, separator: u8, opaque: bool) {
            let quotes = if opaque { Quotes::Opaque } else { Quotes::Escaped };
            let list = List::new(&value).separator(separator).quotes(quotes);
            let mut bytes = 0;
            for element in list {
                prop_assert!(!element.is_empty());
                prop_assert_eq!(trim(element), element);
                bytes += element.len();
            }
            prop_assert!(bytes <= value.len());
        }

        #[test]
        fn joined_tokens_come_back(tokens in prop::collection::vec("[!#a-z*]{1,8}", 0..8)) {
            let value = tokens.join(" ,, ");
            let found: Vec<_> = List::new(&value).map(|e| token(e).unwrap()).collect();
            prop_assert_eq!(found, tokens);
        }
    }
}
