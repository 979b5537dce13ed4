//! Media types: `Content-Type`.
//!
//! ```text
//! media-type = type "/" subtype parameters
//! parameters = *( OWS ";" OWS [ parameter ] )
//! parameter  = token "=" ( token / quoted-string )
//! ```
//!
//! Source: RFC 9110 section 8.3.1 (media types), 5.6.6 (parameters); RFC 6838 section 4.2.8
//! (suffixes).
//!
//! Type and subtype are read strictly; a broken parameter is skipped.
//!
//! ```
//! use vestibule_fields::media_type::MediaType;
//!
//! let html = MediaType::parse("Text/HTML;Charset=\"utf-8\"").unwrap();
//! assert!(html.is("text/html"));
//! assert_eq!(html.parameter("charset").as_deref(), Some(&b"utf-8"[..]));
//! ```

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::list::{Lines, List, token, trim, unquote};

/// A type, a subtype, and optional parameters.
///
/// There is no `==`, since it depends on the caller which parameters matter.
#[derive(Clone, Copy, Debug)]
pub struct MediaType<'a> {
    main: &'a str,
    subtype: &'a str,
    parameters: &'a [u8],
}

impl<'a> MediaType<'a> {
    /// Reads one value.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// assert!(MediaType::parse("text/html; charset=utf-8").is_some());
    /// assert!(MediaType::parse("text").is_none());
    /// assert!(MediaType::parse("text / html").is_none());
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let value = value.as_ref();
        let end = value
            .iter()
            .position(|&byte| byte == b';')
            .unwrap_or(value.len());
        let (essence, parameters) = value.split_at_checked(end)?;
        let essence = trim(essence);
        let slash = essence.iter().position(|&byte| byte == b'/')?;
        let (main, subtype) = essence.split_at_checked(slash)?;
        Some(Self {
            main: token(main)?,
            subtype: token(subtype.strip_prefix(b"/")?)?,
            parameters,
        })
    }

    /// Reads the `Content-Type` field; `None` when it is absent, broken or repeated.
    ///
    /// ```
    /// use http::{HeaderMap, header::CONTENT_TYPE};
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert(CONTENT_TYPE, "image/png".parse().unwrap());
    /// assert_eq!(MediaType::from_headers(&headers).unwrap().main(), "image");
    /// ```
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Option<Self> {
        Self::parse(Lines::from_headers(headers, CONTENT_TYPE).only()?)
    }

    /// Returns the type, `text` in `text/html`, as written.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// assert_eq!(MediaType::parse("text/html").unwrap().main(), "text");
    /// ```
    #[must_use]
    pub const fn main(&self) -> &'a str {
        self.main
    }

    /// Returns the subtype, `html` in `text/html`, as written.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// assert_eq!(MediaType::parse("text/html").unwrap().subtype(), "html");
    /// ```
    #[must_use]
    pub const fn subtype(&self) -> &'a str {
        self.subtype
    }

    /// Returns whether type and subtype are those of `essence`, with any parameters. ASCII case
    /// does not matter.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// assert!(MediaType::parse("TEXT/html;a=b").unwrap().is("text/html"));
    /// assert!(!MediaType::parse("text/html").unwrap().is("text/htm"));
    /// ```
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        essence.split_once('/').is_some_and(|(main, subtype)| {
            self.main.eq_ignore_ascii_case(main) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// Returns the text after the last `+` of the subtype: the syntax of the type.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// assert_eq!(MediaType::parse("application/problem+json").unwrap().suffix(), Some("json"));
    /// assert_eq!(MediaType::parse("application/json").unwrap().suffix(), None);
    /// ```
    #[must_use]
    pub fn suffix(&self) -> Option<&'a str> {
        self.subtype.rsplit_once('+').map(|(_, suffix)| suffix)
    }

    /// Iterates over the parameters in order, without quotes and escapes in the values.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// let parts = MediaType::parse(r#"multipart/mixed; boundary="a;b"; x"#).unwrap();
    /// let found: Vec<_> = parts.parameters().collect();
    /// assert_eq!(found, [("boundary", b"a;b"[..].into())]);
    /// ```
    pub fn parameters(&self) -> impl Iterator<Item = (&'a str, Cow<'a, [u8]>)> + use<'a> {
        List::new(self.parameters)
            .separator(b';')
            .filter_map(|parameter| {
                let end = parameter.iter().position(|&byte| byte == b'=')?;
                let (name, value) = parameter.split_at_checked(end)?;
                let value = value.strip_prefix(b"=")?;
                let value = match token(value) {
                    Some(value) => Cow::Borrowed(value.as_bytes()),
                    None => unquote(value)?,
                };
                Some((token(name)?, value))
            })
    }

    /// Returns the first parameter called `name`, in any ASCII case.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// let text = MediaType::parse("text/plain; Charset=UTF-8").unwrap();
    /// assert_eq!(text.parameter("charset").as_deref(), Some(&b"UTF-8"[..]));
    /// ```
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.parameters()
            .find_map(|(other, value)| other.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// Writes type and subtype, without the parameters.
impl fmt::Display for MediaType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.main, self.subtype)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads the type, then each parameter in brackets.
    fn read(value: &[u8]) -> Option<String> {
        let media_type = MediaType::parse(value)?;
        let mut text = media_type.to_string();
        for (name, value) in media_type.parameters() {
            text += &format!(" [{name}={}]", String::from_utf8_lossy(&value));
        }
        Some(text)
    }

    #[test]
    fn rfc9110_8_3_1_media_types() {
        let table = [
            ("text/html;charset=utf-8", Some("text/html [charset=utf-8]")),
            (
                "Text/HTML;Charset=\"utf-8\"",
                Some("Text/HTML [Charset=utf-8]"),
            ),
            (
                "text/html; charset=\"utf-8\"",
                Some("text/html [charset=utf-8]"),
            ),
            (
                "text/html ;; ; charset=utf-8 ;",
                Some("text/html [charset=utf-8]"),
            ),
            ("a/b;c=\"d;e=f\\\"\";g=h", Some("a/b [c=d;e=f\"] [g=h]")),
            ("a/b;c=\"\"", Some("a/b [c=]")),
            ("a/b;c", Some("a/b")),
            ("a/b;c=", Some("a/b")),
            ("a/b;=d", Some("a/b")),
            ("a/b;c = d;e=f", Some("a/b [e=f]")),
            ("a/b;c=\"open;e=f", Some("a/b")),
            ("a/b;c=\"d\"e;g=h", Some("a/b [g=h]")),
            (" a/b ", Some("a/b")),
            ("*/*", Some("*/*")),
            ("", None),
            ("/", None),
            ("a", None),
            ("a/", None),
            ("/b", None),
            ("a/b/c", None),
            ("a /b", None),
            ("a/ b", None),
            ("a/b, c/d", None),
            (";c=d", None),
            ("\"a\"/b", None),
        ];
        for (value, expected) in table {
            assert_eq!(read(value.as_bytes()).as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn rfc6838_4_2_8_suffixes() {
        let table = [
            ("image/svg+xml", Some("xml")),
            ("application/a+b+json", Some("json")),
            ("application/json", None),
            ("a/b;c=d+json", None),
        ];
        for (value, suffix) in table {
            assert_eq!(MediaType::parse(value).unwrap().suffix(), suffix, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>) {
            let _ = read(&value);
        }

        #[test]
        fn nearly_a_media_type(value in "[a-c]{0,2}/?[a-c+]{0,3}([;= \"\\\\a-c]{0,4}){0,4}") {
            if let Some(media_type) = MediaType::parse(&value) {
                prop_assert!(media_type.parameters().all(|(name, _)| !name.is_empty()));
                prop_assert!(media_type.is(&media_type.to_string()));
            }
        }
    }
}
