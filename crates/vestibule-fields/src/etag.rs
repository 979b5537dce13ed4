//! Entity tags: the `ETag` field, and the lists of tags in `If-Match` and `If-None-Match`.
//!
//! ```text
//! ETag          = entity-tag
//! entity-tag    = [ weak ] opaque-tag
//! weak          = %s"W/"
//! opaque-tag    = DQUOTE *etagc DQUOTE
//! etagc         = %x21 / %x23-7E / obs-text
//! If-Match      = "*" / #entity-tag
//! If-None-Match = "*" / #entity-tag
//! ```
//!
//! Source: RFC 9110 section 8.8.3 (the tag), 8.8.3.2 (comparison), 13.1.1 (If-Match), 13.1.2
//! (If-None-Match).
//!
//! ```
//! use http::{HeaderMap, header::IF_NONE_MATCH};
//! use vestibule_fields::etag::{ETag, ETagList};
//!
//! let mut headers = HeaderMap::new();
//! headers.append(IF_NONE_MATCH, r#""v1", W/"v2""#.parse().unwrap());
//!
//! let current = ETag::strong("v2")?;
//! let list = ETagList::from_headers(&headers, IF_NONE_MATCH).unwrap();
//! assert!(list.weak_match(&current)); // 304 Not Modified
//! # Ok::<_, vestibule_fields::etag::InvalidETag>(())
//! ```

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header_value;
use crate::list::{Elements, Lines, Quotes};

/// One entity tag, such as `"v1"` or `W/"v1"`.
///
/// Parsing borrows; [`into_owned`](Self::into_owned) copies. There is no `==`, since the RFC has
/// two comparisons: choose [`strong_eq`](Self::strong_eq) or [`weak_eq`](Self::weak_eq).
#[derive(Clone, Debug)]
pub struct ETag<'a> {
    weak: bool,
    opaque: Cow<'a, [u8]>,
}

impl<'a> ETag<'a> {
    /// Creates a strong tag, which changes whenever a byte of the representation does.
    ///
    /// `opaque` is the text between the quotes.
    ///
    /// # Errors
    ///
    /// Fails when `opaque` contains a double quote, a space or a control character.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// assert_eq!(ETag::strong("5f-1a")?.to_string(), r#""5f-1a""#);
    /// assert!(ETag::strong("say \"hi\"").is_err());
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    pub fn strong(opaque: impl Into<Cow<'a, str>>) -> Result<Self, InvalidETag> {
        Self::new(false, opaque.into())
    }

    /// Creates a weak tag, which changes whenever the meaning of the representation does.
    ///
    /// # Errors
    ///
    /// The same as for [`strong`](Self::strong).
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// assert_eq!(ETag::weak("5f-1a")?.to_string(), r#"W/"5f-1a""#);
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    pub fn weak(opaque: impl Into<Cow<'a, str>>) -> Result<Self, InvalidETag> {
        Self::new(true, opaque.into())
    }

    fn new(weak: bool, opaque: Cow<'a, str>) -> Result<Self, InvalidETag> {
        let opaque = match opaque {
            Cow::Borrowed(opaque) => Cow::Borrowed(opaque.as_bytes()),
            Cow::Owned(opaque) => Cow::Owned(opaque.into_bytes()),
        };
        match opaque.iter().find(|&&byte| !is_etagc(byte)) {
            Some(&byte) => Err(InvalidETag { byte }),
            None => Ok(Self { weak, opaque }),
        }
    }

    /// Reads one tag, strictly: quotes are required, `W/` is upper case, and no other text is
    /// allowed.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// assert!(ETag::parse(r#"W/"v1""#).is_some_and(|tag| tag.is_weak()));
    /// assert!(ETag::parse("v1").is_none());
    /// assert!(ETag::parse(r#"w/"v1""#).is_none());
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let (weak, opaque) = match value.as_ref() {
            [b'W', b'/', b'"', opaque @ .., b'"'] => (true, opaque),
            [b'"', opaque @ .., b'"'] => (false, opaque),
            _ => return None,
        };
        opaque.iter().copied().all(is_etagc).then_some(Self {
            weak,
            opaque: Cow::Borrowed(opaque),
        })
    }

    /// Reads the `ETag` field of a response; `None` when it is absent, broken or repeated.
    ///
    /// ```
    /// use http::{HeaderMap, header::ETAG};
    /// use vestibule_fields::etag::ETag;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert(ETAG, r#""v1""#.parse().unwrap());
    /// assert_eq!(ETag::from_headers(&headers).unwrap().opaque(), b"v1");
    /// ```
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Option<Self> {
        Self::parse(Lines::from_headers(headers, ETAG).only()?)
    }

    /// Returns whether the tag is marked with `W/`.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// assert!(ETag::parse(r#"W/"1""#).unwrap().is_weak());
    /// ```
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// Returns the bytes between the quotes, which need not be UTF-8.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// assert_eq!(ETag::parse(r#"W/"1""#).unwrap().opaque(), b"1");
    /// ```
    #[must_use]
    pub fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// Compares strongly: equal bytes, and neither tag is weak. Use it for `If-Match`, `If-Range`
    /// and byte ranges.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// let (strong, weak) = (ETag::strong("1")?, ETag::weak("1")?);
    /// assert!(strong.strong_eq(&strong));
    /// assert!(!weak.strong_eq(&weak));
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    #[must_use]
    pub fn strong_eq(&self, other: &ETag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Compares weakly: equal bytes. Use it for `If-None-Match`.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// assert!(ETag::strong("1")?.weak_eq(&ETag::weak("1")?));
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    #[must_use]
    pub fn weak_eq(&self, other: &ETag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// Returns a weak tag with the same bytes, for a response whose bytes were changed, for
    /// instance by compression.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// assert_eq!(ETag::strong("1")?.into_weak().to_string(), r#"W/"1""#);
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    #[must_use]
    pub fn into_weak(self) -> Self {
        Self { weak: true, ..self }
    }

    /// Returns a copy that borrows nothing.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// let tag: ETag<'static> = {
    ///     let value = String::from(r#""v1""#);
    ///     ETag::parse(&value).unwrap().into_owned()
    /// };
    /// assert_eq!(tag.opaque(), b"v1");
    /// ```
    #[must_use]
    pub fn into_owned(self) -> ETag<'static> {
        ETag {
            weak: self.weak,
            opaque: Cow::Owned(self.opaque.into_owned()),
        }
    }

    /// Returns the value of an `ETag` field, byte for byte.
    ///
    /// ```
    /// use vestibule_fields::etag::ETag;
    ///
    /// assert_eq!(ETag::weak("v1")?.to_header_value(), r#"W/"v1""#);
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        let prefix: &[u8] = if self.weak { b"W/\"" } else { b"\"" };
        header_value([prefix, &self.opaque, b"\""].concat())
    }
}

/// Writes the tag with its quotes; bytes that are not UTF-8 become U+FFFD.
impl fmt::Display for ETag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.weak { "W/" } else { "" };
        write!(f, "{prefix}\"{}\"", String::from_utf8_lossy(&self.opaque))
    }
}

/// The value of `If-Match` or `If-None-Match`: `*`, or a list of tags.
///
/// Repeated lines are one list, and a comma inside quotes is part of its tag. Invalid elements are
/// skipped and never match. `*` counts only when it is the whole value, as in the grammar.
#[derive(Clone, Debug)]
pub struct ETagList<'a> {
    lines: Lines<'a>,
}

impl<'a> ETagList<'a> {
    /// Reads one value. Never fails: invalid tags are skipped.
    ///
    /// ```
    /// use vestibule_fields::etag::ETagList;
    ///
    /// let list = ETagList::parse(r#""a,b", oops, , W/"c""#);
    /// let tags: Vec<_> = list.iter().map(|tag| tag.to_string()).collect();
    /// assert_eq!(tags, [r#""a,b""#, r#"W/"c""#]);
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            lines: Lines::new(value),
        }
    }

    /// Reads every line called `name`, which is `If-Match` or `If-None-Match`; `None` when there is
    /// none.
    ///
    /// A present field without a valid tag is `Some` and matches nothing: a broken `If-Match` must
    /// not allow a write as if there were no condition.
    ///
    /// ```
    /// use http::{HeaderMap, header::IF_MATCH};
    /// use vestibule_fields::etag::{ETag, ETagList};
    ///
    /// let mut headers = HeaderMap::new();
    /// assert!(ETagList::from_headers(&headers, IF_MATCH).is_none());
    ///
    /// headers.append(IF_MATCH, "v1".parse().unwrap()); // the quotes are missing
    /// let list = ETagList::from_headers(&headers, IF_MATCH).unwrap();
    /// assert!(!list.strong_match(&ETag::strong("v1")?)); // 412 Precondition Failed
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap, name: HeaderName) -> Option<Self> {
        let lines = Lines::from_headers(headers, name);
        (!lines.is_absent()).then_some(Self { lines })
    }

    /// Returns whether the value is `*`, which matches every current representation, even one
    /// without a tag.
    ///
    /// ```
    /// use vestibule_fields::etag::ETagList;
    ///
    /// assert!(ETagList::parse("*").is_any());
    /// assert!(!ETagList::parse(r#""*""#).is_any());
    /// ```
    #[must_use]
    pub fn is_any(&self) -> bool {
        let mut elements = self.lines.elements(Quotes::Opaque);
        elements.next() == Some(b"*") && elements.next().is_none()
    }

    /// Iterates over the tags in order; there are none for `*`.
    ///
    /// ```
    /// use vestibule_fields::etag::ETagList;
    ///
    /// assert_eq!(ETagList::parse(r#""a", oops, "b""#).iter().count(), 2);
    /// assert_eq!(ETagList::parse("*").iter().count(), 0);
    /// ```
    #[must_use]
    pub fn iter(&self) -> ETags<'a> {
        ETags(self.lines.elements(Quotes::Opaque))
    }

    /// Returns whether `current` is in the list by the strong comparison, or the list is `*`:
    /// `If-Match` is true.
    ///
    /// ```
    /// use vestibule_fields::etag::{ETag, ETagList};
    ///
    /// let current = ETag::strong("1")?;
    /// assert!(ETagList::parse(r#""0", "1""#).strong_match(&current));
    /// assert!(!ETagList::parse(r#"W/"1""#).strong_match(&current));
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    #[must_use]
    pub fn strong_match(&self, current: &ETag<'_>) -> bool {
        self.is_any() || self.iter().any(|tag| tag.strong_eq(current))
    }

    /// Returns whether `current` is in the list by the weak comparison, or the list is `*`:
    /// `If-None-Match` is **false**.
    ///
    /// ```
    /// use vestibule_fields::etag::{ETag, ETagList};
    ///
    /// assert!(ETagList::parse(r#"W/"1""#).weak_match(&ETag::strong("1")?));
    /// # Ok::<_, vestibule_fields::etag::InvalidETag>(())
    /// ```
    #[must_use]
    pub fn weak_match(&self, current: &ETag<'_>) -> bool {
        self.is_any() || self.iter().any(|tag| tag.weak_eq(current))
    }
}

impl<'a> IntoIterator for &ETagList<'a> {
    type Item = ETag<'a>;
    type IntoIter = ETags<'a>;

    fn into_iter(self) -> ETags<'a> {
        self.iter()
    }
}

/// The iterator of [`ETagList::iter`].
#[derive(Debug)]
pub struct ETags<'a>(Elements<'a>);

impl<'a> Iterator for ETags<'a> {
    type Item = ETag<'a>;

    fn next(&mut self) -> Option<ETag<'a>> {
        self.0.find_map(ETag::parse)
    }
}

/// The error for text that is not valid in an entity tag.
///
/// ```
/// use vestibule_fields::etag::ETag;
///
/// let error = ETag::strong("two words").unwrap_err();
/// assert_eq!(error.to_string(), "byte 0x20 is not valid in an entity tag");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidETag {
    byte: u8,
}

impl fmt::Display for InvalidETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {:#04x} is not valid in an entity tag", self.byte)
    }
}

impl Error for InvalidETag {}

/// Returns whether `byte` is allowed between the quotes of a tag.
const fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7E | 0x80..)
}

#[cfg(test)]
mod tests {
    use http::header::{IF_MATCH, IF_NONE_MATCH};
    use proptest::prelude::*;

    use super::*;

    fn tag(value: &str) -> ETag<'_> {
        ETag::parse(value).unwrap()
    }

    #[test]
    fn rfc9110_8_8_3_grammar() {
        type Parts<'a> = (bool, &'a [u8]);
        let table: &[(&[u8], Option<Parts<'_>>)] = &[
            (b"\"xyzzy\"", Some((false, b"xyzzy"))),
            (b"W/\"xyzzy\"", Some((true, b"xyzzy"))),
            (b"\"\"", Some((false, b""))),
            (b"W/\"\"", Some((true, b""))),
            (b"\"a\\\"", Some((false, b"a\\"))),
            (b"\"a,b\"", Some((false, b"a,b"))),
            (b"\"\x80\xff\"", Some((false, b"\x80\xff"))),
            (b"", None),
            (b"\"", None),
            (b"W/\"", None),
            (b"W/", None),
            (b"*", None),
            (b"xyzzy", None),
            (b"'xyzzy'", None),
            (b"\"xyzzy", None),
            (b"xyzzy\"", None),
            (b"w/\"xyzzy\"", None),
            (b"W\"xyzzy\"", None),
            (b"W/ \"xyzzy\"", None),
            (b" \"xyzzy\"", None),
            (b"\"xyzzy\" ", None),
            (b"\"a b\"", None),
            (b"\"a\"b\"", None),
            (b"\"a\tb\"", None),
            (b"\"a\x7fb\"", None),
            (b"\"a\0b\"", None),
        ];
        for (value, expected) in table {
            let found = ETag::parse(value);
            let found = found.as_ref().map(|tag| (tag.is_weak(), tag.opaque()));
            assert_eq!(found, *expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn rfc9110_8_8_3_2_comparison() {
        let table = [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ];
        for (one, two, strong, weak) in table {
            let (one, two) = (tag(one), tag(two));
            assert_eq!(one.strong_eq(&two), strong, "{one} {two}");
            assert_eq!(two.strong_eq(&one), strong, "{two} {one}");
            assert_eq!(one.weak_eq(&two), weak, "{one} {two}");
            assert_eq!(two.weak_eq(&one), weak, "{two} {one}");
        }
    }

    #[test]
    fn checked_construction() {
        let table = [
            ("", None),
            ("xyzzy", None),
            ("a,b\\", None),
            ("é", None),
            ("a\"b", Some(b'"')),
            ("a b", Some(b' ')),
            ("a\r\nSet-Cookie: b", Some(b'\r')),
            ("\u{7f}", Some(0x7f)),
        ];
        for (opaque, byte) in table {
            assert_eq!(
                ETag::strong(opaque).err().map(|e| e.byte),
                byte,
                "{opaque:?}"
            );
            assert_eq!(ETag::weak(opaque).err().map(|e| e.byte), byte, "{opaque:?}");
        }
    }

    #[test]
    fn rfc9110_13_1_1_if_match_examples() {
        let current = tag("\"xyzzy\"");
        let table = [
            (r#""xyzzy""#, true),
            (r#""xyzzy", "r2d2xxxx", "c3piozzzz""#, true),
            (r#""r2d2xxxx" , "xyzzy""#, true),
            ("*", true),
            (r#"W/"xyzzy""#, false),
            (r#""other""#, false),
            ("", false),
            ("xyzzy", false),
        ];
        for (value, matches) in table {
            assert_eq!(
                ETagList::parse(value).strong_match(&current),
                matches,
                "{value}"
            );
        }
        assert!(!ETagList::parse("\"xyzzy\"").strong_match(&tag("W/\"xyzzy\"")));
    }

    #[test]
    fn rfc9110_13_1_2_if_none_match_examples() {
        let current = tag("\"xyzzy\"");
        let table = [
            (r#""xyzzy""#, true),
            (r#"W/"xyzzy""#, true),
            (r#""xyzzy", "r2d2xxxx", "c3piozzzz""#, true),
            (r#"W/"xyzzy", W/"r2d2xxxx", W/"c3piozzzz""#, true),
            ("*", true),
            (r#""r2d2xxxx""#, false),
            (r#""XYZZY""#, false),
            ("", false),
        ];
        for (value, matches) in table {
            assert_eq!(
                ETagList::parse(value).weak_match(&current),
                matches,
                "{value}"
            );
        }
    }

    #[test]
    fn lists_skip_invalid_tags() {
        let table: &[(&str, &[&str])] = &[
            (r#""a""#, &[r#""a""#]),
            (r#""a","b""#, &[r#""a""#, r#""b""#]),
            (r#""a,b""#, &[r#""a,b""#]),
            (r#"W/"a,b",W/"c""#, &[r#"W/"a,b""#, r#"W/"c""#]),
            (r#",, "a" ,	, "b",,"#, &[r#""a""#, r#""b""#]),
            (r#""a\", "b""#, &[r#""a\""#, r#""b""#]),
            (r#"oops, "a", 'x', w/"y", "b""#, &[r#""a""#, r#""b""#]),
            (r#""a" "b", "c""#, &[r#""c""#]),
            (r#"*, "a""#, &[r#""a""#]),
            (r#""a", "open"#, &[r#""a""#]),
            (r#""a"", "b""#, &[]),
            ("*", &[]),
            ("", &[]),
        ];
        for (value, expected) in table {
            let found: Vec<_> = ETagList::parse(value)
                .iter()
                .map(|t| t.to_string())
                .collect();
            assert_eq!(&found, expected, "{value}");
        }
    }

    #[test]
    fn any_is_the_whole_value() {
        let table = [
            ("*", true),
            (" * ", true),
            (", *,", true),
            ("", false),
            ("**", false),
            ("*, *", false),
            (r#"*, "a""#, false),
            (r#""a", *"#, false),
            (r#""*""#, false),
            ("W/*", false),
        ];
        for (value, any) in table {
            assert_eq!(ETagList::parse(value).is_any(), any, "{value:?}");
        }
    }

    #[test]
    fn repeated_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        assert!(ETagList::from_headers(&headers, IF_MATCH).is_none());
        headers.append(IF_NONE_MATCH, "\"a\"".parse().unwrap());
        headers.append(IF_NONE_MATCH, "\"open".parse().unwrap());
        headers.append(IF_NONE_MATCH, "W/\"b\",".parse().unwrap());
        let list = ETagList::from_headers(&headers, IF_NONE_MATCH).unwrap();
        let tags: Vec<_> = list.iter().map(|tag| tag.to_string()).collect();
        assert_eq!(tags, ["\"a\"", "W/\"b\""]);

        headers.insert(IF_NONE_MATCH, "*".parse().unwrap());
        headers.append(IF_NONE_MATCH, "".parse().unwrap());
        assert!(
            ETagList::from_headers(&headers, IF_NONE_MATCH)
                .unwrap()
                .is_any()
        );
        headers.append(IF_NONE_MATCH, "\"a\"".parse().unwrap());
        assert!(
            !ETagList::from_headers(&headers, IF_NONE_MATCH)
                .unwrap()
                .is_any()
        );
    }

    #[test]
    fn a_repeated_etag_field_is_none() {
        let mut headers = HeaderMap::new();
        assert!(ETag::from_headers(&headers).is_none());
        headers.append(ETAG, "\"a\"".parse().unwrap());
        assert!(ETag::from_headers(&headers).is_some());
        headers.append(ETAG, "\"a\"".parse().unwrap());
        assert!(ETag::from_headers(&headers).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>) {
            if let Some(tag) = ETag::parse(&value) {
                let written = tag.to_header_value();
                prop_assert_eq!(written.as_bytes(), &value);
            }
            for tag in &ETagList::parse(&value) {
                prop_assert!(value.len() >= tag.opaque().len() + 2);
            }
        }

        #[test]
        fn written_tags_come_back(weak: bool, opaque in "[!#-~é]{0,12}") {
            let tag = if weak { ETag::weak(&opaque) } else { ETag::strong(&opaque) }.unwrap();
            let value = tag.to_header_value();
            prop_assert_eq!(value.as_bytes(), tag.to_string().into_bytes());
            let found = ETag::parse(&value).unwrap();
            prop_assert_eq!(found.is_weak(), weak);
            prop_assert_eq!(found.opaque(), opaque.as_bytes());
        }

        #[test]
        fn written_lists_come_back(tags in prop::collection::vec("(W/)?\"[!#-~]{0,8}\"", 0..8)) {
            let value = tags.join(", ");
            let found: Vec<_> = ETagList::parse(&value).iter().map(|t| t.to_string()).collect();
            prop_assert_eq!(found, tags);
        }
    }
}
