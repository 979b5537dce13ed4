//! `WWW-Authenticate` and `Proxy-Authenticate`: challenges that tell a client how to authenticate.
//!
//! ```text
//! challenge  = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
//! auth-param = token BWS "=" BWS ( token / quoted-string )
//! ```
//!
//! Source: RFC 9110 section 11.3 and 11.6.1. Values are always quoted, as `realm` requires (RFC
//! 7617 section 2). Send each challenge as a separate line, since many clients split a list of
//! challenges incorrectly.
//!
//! ```
//! use vestibule_fields::www_authenticate::Challenge;
//!
//! let challenge = Challenge::new("Basic").parameter("realm", "the \"house\"");
//! assert_eq!(challenge.to_string(), r#"Basic realm="the \"house\"""#);
//! ```

use std::borrow::Cow;
use std::fmt::{self, Write};

use http::HeaderValue;

use crate::header_value;
use crate::list::is_tchar;

/// One scheme with its parameters; write only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    scheme: &'static str,
    parameters: Vec<(&'static str, Cow<'static, str>)>,
}

impl Challenge {
    /// Creates a challenge without parameters.
    ///
    /// # Panics
    ///
    /// Panics when `scheme` is not a token.
    #[must_use]
    pub fn new(scheme: &'static str) -> Self {
        assert_token(scheme);
        Self {
            scheme,
            parameters: Vec::new(),
        }
    }

    /// Adds a parameter. Removes bytes from `value` that a header value cannot contain (controls).
    ///
    /// # Panics
    ///
    /// Panics when `name` is not a token.
    ///
    /// ```
    /// use vestibule_fields::www_authenticate::Challenge;
    ///
    /// let challenge = Challenge::new("Bearer").parameter("error", "invalid_token").parameter("scope", "a b");
    /// assert_eq!(challenge.to_header_value(), r#"Bearer error="invalid_token", scope="a b""#);
    /// ```
    #[must_use]
    pub fn parameter(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        assert_token(name);
        self.parameters.push((name, value.into()));
        self
    }

    /// Returns the scheme.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns the challenge as a header value.
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        header_value(self.to_string().into_bytes())
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme)?;
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            f.write_str(if at == 0 { " " } else { ", " })?;
            write!(f, "{name}=\"")?;
            for c in value.chars().filter(|c| !c.is_control()) {
                if matches!(c, '"' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(c)?;
            }
            f.write_char('"')?;
        }
        Ok(())
    }
}

fn assert_token(name: &str) {
    let is_token = !name.is_empty() && name.bytes().all(is_tchar);
    assert!(is_token, "{name:?} is not a token");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_written_with_quotes() {
        let basic = |realm: &'static str| Challenge::new("Basic").parameter("realm", realm);
        let table = [
            (Challenge::new("Negotiate"), "Negotiate"),
            (basic("WallyWorld"), "Basic realm=\"WallyWorld\""),
            (
                basic("foo").parameter("charset", "UTF-8"),
                "Basic realm=\"foo\", charset=\"UTF-8\"",
            ),
            (basic(""), "Basic realm=\"\""),
            (basic("a\"b\\c"), r#"Basic realm="a\"b\\c""#),
            (
                basic("a\r\nSet-Cookie: x"),
                "Basic realm=\"aSet-Cookie: x\"",
            ),
        ];
        for (challenge, text) in table {
            assert_eq!(challenge.to_header_value(), text);
        }
    }

    #[test]
    #[should_panic(expected = "is not a token")]
    fn a_scheme_that_is_not_a_token_panics() {
        let _ = Challenge::new("a b");
    }

    proptest! {
        #[test]
        fn any_text_is_one_value(text: String) {
            let value = Challenge::new("X").parameter("realm", text).to_header_value();
            prop_assert!(value.as_bytes().starts_with(b"X realm=\""));
        }
    }
}
