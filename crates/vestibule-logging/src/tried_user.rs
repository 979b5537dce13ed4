//! The user name of a Basic login that failed.
//!
//! Source: RFC 7617, section 2; RFC 4648, section 4.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

/// Returns the credentials of a request, when they are those of Basic authentication.
pub(crate) fn basic_credentials(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(AUTHORIZATION)?;
    encoded(value.as_bytes())?;
    Some(value.clone())
}

/// Returns the user name in the value of an `Authorization` field: all before the first colon.
///
/// Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn user_name(value: &[u8]) -> Option<String> {
    let mut name = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in encoded(value)? {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(sextet);
        count += 6;
        if count >= 8 {
            count -= 8;
            let decoded = (bits >> count & 0xff) as u8;
            if decoded == b':' {
                return Some(String::from_utf8_lossy(&name).into_owned());
            }
            name.push(decoded);
        }
    }
    None
}

/// The part after the scheme `Basic`.
fn encoded(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
    is_basic.then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (value, want) in [
            // The example of RFC 7617, section 2.
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("BASIC OnB3", Some("")),
            ("Basic YTpi", Some("a")),
            ("Basic YTo=", Some("a")),
            ("Basic YTo", Some("a")),
            ("Basic w6k6eA==", Some("\u{e9}")),
            ("Basic /zp4", Some("\u{fffd}")),
            // No colon, no base64, another scheme, nothing.
            ("Basic YWI=", None),
            ("Basic Y!o6", None),
            ("Basic ", None),
            ("Basic", None),
            ("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", None),
            ("", None),
        ] {
            assert_eq!(user_name(value.as_bytes()).as_deref(), want, "{value}");
        }
    }
}
