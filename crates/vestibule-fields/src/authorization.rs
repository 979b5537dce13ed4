//! `Authorization` and `Proxy-Authorization`: the credentials of a request.
//!
//! ```text
//! credentials = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
//! token68     = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
//! ```
//!
//! Source: RFC 9110 section 11.4 and 11.6.2.
//!
//! ```
//! use vestibule_fields::authorization::Authorization;
//!
//! let credentials = Authorization::parse("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
//! assert!(credentials.is("Basic"));
//! assert_eq!(credentials.token68(), Some("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
//! ```

use std::error::Error;
use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::list::{Lines, List, token, trim, unquote};

/// A scheme and its credentials. `Debug` prints only the scheme: the rest is a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Authorization<'a> {
    scheme: &'a str,
    rest: &'a [u8],
}

impl<'a> Authorization<'a> {
    /// Reads a value; `None` when it does not begin with a scheme.
    ///
    /// ```
    /// use vestibule_fields::authorization::Authorization;
    ///
    /// assert_eq!(Authorization::parse("Basic").unwrap().token68(), None);
    /// assert!(Authorization::parse("").is_none());
    /// assert!(Authorization::parse("=x").is_none());
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let value = trim(value.as_ref());
        let end = value.iter().position(|byte| *byte == b' ');
        let (scheme, rest) = value.split_at(end.unwrap_or(value.len()));
        Some(Self {
            scheme: token(scheme)?,
            rest: trim(rest),
        })
    }

    /// Reads the `Authorization` field of a request; `Ok(None)` when it is absent.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidAuthorization`] when it is repeated or does not begin with a scheme. A
    /// reader of the first line and a reader of the last line would accept different users.
    ///
    /// ```
    /// use vestibule_fields::authorization::Authorization;
    ///
    /// let mut headers = http::HeaderMap::new();
    /// assert_eq!(Authorization::from_headers(&headers), Ok(None));
    /// headers.append("authorization", "Bearer a".parse().unwrap());
    /// assert!(Authorization::from_headers(&headers).unwrap().unwrap().is("bearer"));
    /// headers.append("authorization", "Bearer b".parse().unwrap());
    /// assert!(Authorization::from_headers(&headers).is_err());
    /// ```
    pub fn from_headers(headers: &'a HeaderMap) -> Result<Option<Self>, InvalidAuthorization> {
        Self::from_field(headers, AUTHORIZATION)
    }

    /// Reads another field of the same form, such as `Proxy-Authorization`.
    ///
    /// # Errors
    ///
    /// The same as for [`Authorization::from_headers`].
    pub fn from_field(
        headers: &'a HeaderMap,
        name: HeaderName,
    ) -> Result<Option<Self>, InvalidAuthorization> {
        let lines = Lines::from_headers(headers, name);
        if lines.is_absent() {
            return Ok(None);
        }
        let read = lines.only().and_then(Self::parse);
        read.map(Some).ok_or(InvalidAuthorization)
    }

    /// Returns the scheme, as written.
    #[must_use]
    pub const fn scheme(&self) -> &'a str {
        self.scheme
    }

    /// Returns whether the scheme is `name`, in any case (RFC 9110, section 11.1).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(name)
    }

    /// Returns the text after the scheme, when it is exactly one token68.
    ///
    /// ```
    /// use vestibule_fields::authorization::Authorization;
    ///
    /// let token = |value| Authorization::parse(value).and_then(|it| it.token68());
    /// assert_eq!(token("Bearer a.b-c_d~+/=="), Some("a.b-c_d~+/=="));
    /// assert_eq!(token("Bearer a b"), None);
    /// assert_eq!(token("Bearer a=b"), None);
    /// ```
    #[must_use]
    pub fn token68(&self) -> Option<&'a str> {
        let mut text = self.rest;
        while let [rest @ .., b'='] = text {
            text = rest;
        }
        let is_token = !text.is_empty() && text.iter().copied().all(is_token68);
        match is_token {
            true => std::str::from_utf8(self.rest).ok(),
            false => None,
        }
    }

    /// Returns the value of the parameter `name`, without quotes; `None` when it is absent, broken
    /// or repeated.
    ///
    /// ```
    /// use vestibule_fields::authorization::Authorization;
    ///
    /// let credentials = Authorization::parse(r#"Digest username="Mufasa", nc=00000001"#).unwrap();
    /// assert_eq!(credentials.parameter("username").as_deref(), Some("Mufasa"));
    /// assert_eq!(credentials.parameter("NC").as_deref(), Some("00000001"));
    /// ```
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut found = None;
        for element in List::new(self.rest) {
            let Some(at) = element.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let (own, value) = element.split_at(at);
            if !trim(own).eq_ignore_ascii_case(name.as_bytes()) {
                continue;
            }
            if found.is_some() {
                return None;
            }
            let value = trim(value.strip_prefix(b"=").unwrap_or(value));
            found = Some(match token(value) {
                Some(plain) => plain.to_owned(),
                None => String::from_utf8(unquote(value)?.into_owned()).ok()?,
            });
        }
        found
    }
}

impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

/// The error for a field that is repeated, or does not begin with a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAuthorization;

impl fmt::Display for InvalidAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the credentials are repeated or have no scheme")
    }
}

impl Error for InvalidAuthorization {}

/// A table, since tokens are long and occur in every request.
fn is_token68(byte: u8) -> bool {
    TOKEN68.get(usize::from(byte)).is_some_and(|is| *is)
}

#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "it runs at compile time"
)]
const TOKEN68: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc9110_11_4_credentials() {
        type Read = Option<(&'static str, Option<&'static str>)>;
        let table: [(&[u8], Read); 15] = [
            (b"Basic YQ==", Some(("Basic", Some("YQ==")))),
            (b"basic   YQ==  ", Some(("basic", Some("YQ==")))),
            (
                b"Bearer mF_9.B5f-4.1JqM",
                Some(("Bearer", Some("mF_9.B5f-4.1JqM"))),
            ),
            (b"Basic", Some(("Basic", None))),
            (b"Basic ", Some(("Basic", None))),
            (b"Basic ====", Some(("Basic", None))),
            (b"Basic a=b", Some(("Basic", None))),
            (b"Basic a,b", Some(("Basic", None))),
            (b"Basic a\tb", Some(("Basic", None))),
            (b"Basic \xff", Some(("Basic", None))),
            (b"Basic\tYQ==", None),
            (b"Basic:YQ==", None),
            (b"", None),
            (b"\"Basic\" x", None),
            (b"\xff x", None),
        ];
        for (value, expected) in table {
            let read = Authorization::parse(value).map(|it| (it.scheme(), it.token68()));
            assert_eq!(read, expected, "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn parameters() {
        let value = r#"Digest username="a \"b\", c", uri=/x, qop=auth, nonce="n", nonce="m", bad, x="é", y="#;
        let credentials = Authorization::parse(value).unwrap();
        let table = [
            ("username", Some("a \"b\", c")),
            ("uri", None),
            ("qop", Some("auth")),
            ("nonce", None),
            ("bad", None),
            ("x", Some("é")),
            ("y", None),
            ("none", None),
        ];
        for (name, expected) in table {
            assert_eq!(credentials.parameter(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn debug_prints_no_secret() {
        let text = format!("{:?}", Authorization::parse("Basic c2VjcmV0"));
        assert!(text.contains("Basic") && !text.contains("c2Vj"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>, name: String) {
            if let Some(credentials) = Authorization::parse(&value) {
                let _ = credentials.token68();
                let _ = credentials.parameter(&name);
            }
        }
    }
}
