//! `Host`: the site of a request.
//!
//! ```text
//! Host       = uri-host [ ":" port ]
//! uri-host   = IP-literal / IPv4address / reg-name
//! IP-literal = "[" ( IPv6address / IPvFuture ) "]"
//! IPvFuture  = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
//! reg-name   = *( unreserved / pct-encoded / sub-delims )
//! port       = *DIGIT
//! ```
//!
//! Source: RFC 9110 section 7.2 (the field), RFC 3986 section 3.2.2 and 3.2.3 (the grammar).
//!
//! User information, a path or a space is refused, since hosts are used in links, cache keys and
//! allow lists. The grammar is wider than DNS (`a,b`, `a;b`, `a'b`, `%41`), so compare a name with
//! a list of known names before you trust it. Three decisions go beyond the RFC: the empty host is
//! refused; an empty port (`a:`) is the same as no port, as in RFC 3986, section 6.2.3; a
//! percent-escape is checked and not decoded.
//!
//! ```
//! use vestibule_fields::host::Host;
//!
//! let host = Host::parse("Example.com:8080").unwrap();
//! assert_eq!((host.name(), host.port()), ("Example.com", Some(8080)));
//! assert!(host.is("example.com"));
//! assert!(Host::parse("user@example.com").is_none());
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::header::HOST;
use http::{HeaderMap, HeaderValue};

use crate::header_value;
use crate::list::Lines;

/// A valid host and its port.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    text: &'a str,
    name: &'a str,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads one value, strictly.
    ///
    /// ```
    /// use vestibule_fields::host::Host;
    ///
    /// assert_eq!(Host::parse("[::1]:80").unwrap().name(), "[::1]");
    /// assert_eq!(Host::parse("a:").unwrap().port(), None);
    /// assert!(Host::parse("a:65536").is_none());
    /// assert!(Host::parse("a/b").is_none());
    /// assert!(Host::parse("").is_none());
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let value = value.as_ref();
        let (length, port) = split(value)?;
        let text = std::str::from_utf8(value).ok()?;
        let name = text.get(..length)?;
        Some(Self { text, name, port })
    }

    /// Returns whether a value is valid. Cheaper than [`parse`](Self::parse).
    ///
    /// ```
    /// use vestibule_fields::host::Host;
    ///
    /// assert!(Host::is_valid("a:80") && !Host::is_valid("a@b"));
    /// ```
    #[must_use]
    pub fn is_valid(value: &(impl AsRef<[u8]> + ?Sized)) -> bool {
        split(value.as_ref()).is_some()
    }

    /// Reads the `Host` field of a request; `None` when it is absent, broken or repeated. HTTP/1.1
    /// requires a `400` then (RFC 9112, section 3.2).
    ///
    /// ```
    /// use http::{HeaderMap, header::HOST};
    /// use vestibule_fields::host::Host;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.append(HOST, "a".parse().unwrap());
    /// assert!(Host::from_headers(&headers).is_some());
    /// headers.append(HOST, "b".parse().unwrap());
    /// assert!(Host::from_headers(&headers).is_none());
    /// ```
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Option<Self> {
        Self::parse(Lines::from_headers(headers, HOST).only()?)
    }

    /// Returns the host without the port, as written; an IPv6 address has its brackets.
    ///
    /// ```
    /// use vestibule_fields::host::Host;
    ///
    /// assert_eq!(Host::parse("[::1]:80").unwrap().name(), "[::1]");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the port, if there is one.
    ///
    /// ```
    /// use vestibule_fields::host::Host;
    ///
    /// assert_eq!(Host::parse("a:8080").unwrap().port(), Some(8080));
    /// assert_eq!(Host::parse("a").unwrap().port(), None);
    /// ```
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the address, when the host is one.
    ///
    /// ```
    /// use vestibule_fields::host::Host;
    ///
    /// assert!(Host::parse("127.0.0.1:80").unwrap().ip().unwrap().is_loopback());
    /// assert!(Host::parse("localhost").unwrap().ip().is_none());
    /// ```
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        let bare = self
            .name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        match bare {
            Some(address) => address.parse().map(IpAddr::V6).ok(),
            None => self.name.parse().map(IpAddr::V4).ok(),
        }
    }

    /// Returns whether the host is `name`, with any port. ASCII case does not matter, and neither
    /// does one dot at the end, which marks an absolute name. Addresses are compared as text.
    ///
    /// ```
    /// use vestibule_fields::host::Host;
    ///
    /// assert!(Host::parse("EXAMPLE.com.:80").unwrap().is("example.com"));
    /// assert!(!Host::parse("example.com.evil").unwrap().is("example.com"));
    /// ```
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        fn relative(name: &str) -> &str {
            name.strip_suffix('.').unwrap_or(name)
        }
        relative(self.name).eq_ignore_ascii_case(relative(name))
    }

    /// Returns the value as written.
    ///
    /// ```
    /// use vestibule_fields::host::Host;
    ///
    /// assert_eq!(Host::parse("a:80").unwrap().to_header_value(), "a:80");
    /// ```
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        header_value(self.text.into())
    }
}

/// Writes the value as it was received.
impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Returns the length of the name in bytes and the port; `None` when the value is invalid.
fn split(value: &[u8]) -> Option<(usize, Option<u16>)> {
    if value.len() > MAX_BYTES {
        return None;
    }
    let (name, port) = match value.first()? {
        // A colon inside brackets belongs to the address.
        b'[' => {
            let end = value.iter().rposition(|&byte| byte == b']')?;
            value.split_at_checked(end.checked_add(1)?)?
        }
        _ => {
            let end = value.iter().position(|&byte| byte == b':');
            value.split_at_checked(end.unwrap_or(value.len()))?
        }
    };
    let is_valid = match name {
        [b'[', literal @ .., b']'] => is_ip_literal(std::str::from_utf8(literal).ok()?),
        _ => !name.is_empty() && is_reg_name(name),
    };
    let port = match port {
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(port_number(digits)?),
        _ => return None,
    };
    is_valid.then_some((name.len(), port))
}

/// Parses at most five digits, at most 65535.
fn port_number(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    // Five digits cannot overflow 32 bits.
    let number = digits.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number.wrapping_mul(10).wrapping_add(digit.into()))
    });
    u16::try_from(number?).ok()
}

/// Returns whether the text between brackets is an IP literal.
fn is_ip_literal(literal: &str) -> bool {
    match literal.as_bytes() {
        [b'v' | b'V', future @ ..] => {
            let dot = future.iter().position(|&byte| byte == b'.');
            match dot.and_then(|dot| future.split_at_checked(dot)) {
                Some((version, [b'.', address @ ..])) => {
                    !version.is_empty()
                        && version.iter().all(u8::is_ascii_hexdigit)
                        && !address.is_empty()
                        && address.iter().all(|&byte| is_plain(byte) || byte == b':')
                }
                _ => false,
            }
        }
        _ => literal.parse::<Ipv6Addr>().is_ok(),
    }
}

fn is_reg_name(mut name: &[u8]) -> bool {
    loop {
        let plain = name.iter().take_while(|&&byte| is_plain(byte));
        name = match name.split_at_checked(plain.count()) {
            Some((_, [])) => return true,
            Some((_, [b'%', a, b, rest @ ..])) if is_hex(*a) && is_hex(*b) => rest,
            _ => return false,
        }
    }
}

const fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

/// Returns whether the byte is in `unreserved / sub-delims`.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// Maximum length of a value in bytes: 255 for the name, the limit of DNS, a colon, and five
/// digits.
pub const MAX_BYTES: usize = 261;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc3986_3_2_2_host() {
        let table = [
            ("example.com", Some(("example.com", None))),
            ("EXAMPLE.com:80", Some(("EXAMPLE.com", Some(80)))),
            ("example.com.", Some(("example.com.", None))),
            ("localhost:", Some(("localhost", None))),
            ("a:0", Some(("a", Some(0)))),
            ("a:00080", Some(("a", Some(80)))),
            ("a:65535", Some(("a", Some(65535)))),
            ("127.0.0.1:1", Some(("127.0.0.1", Some(1)))),
            ("999.0.0.1", Some(("999.0.0.1", None))),
            ("[::1]", Some(("[::1]", None))),
            ("[2001:DB8::7]:443", Some(("[2001:DB8::7]", Some(443)))),
            ("[::ffff:1.2.3.4]", Some(("[::ffff:1.2.3.4]", None))),
            ("[v1.a:b]:8", Some(("[v1.a:b]", Some(8)))),
            ("a_b~c!", Some(("a_b~c!", None))),
            ("a,b", Some(("a,b", None))),
            ("%41%2f", Some(("%41%2f", None))),
            ("", None),
            (":", None),
            (":80", None),
            ("a:65536", None),
            ("a:000080", None),
            ("a:99999999999", None),
            ("a:+80", None),
            ("a:-1", None),
            ("a:8 0", None),
            ("a:80:80", None),
            ("a::", None),
            ("a:b", None),
            ("::1", None),
            ("[::1", None),
            ("::1]", None),
            ("[]", None),
            ("[::1]80", None),
            ("[::1]]", None),
            ("[[::1]]", None),
            ("[::1]:80]", None),
            ("a[::1]", None),
            ("[1.2.3.4]", None),
            ("[fe80::1%25eth0]", None),
            ("[fe80::1%eth0]", None),
            ("[v.a]", None),
            ("[v1.]", None),
            ("[v1]", None),
            ("[vg.a]", None),
            ("user@example.com", None),
            ("user:pass@example.com", None),
            ("example.com/path", None),
            ("http://example.com", None),
            ("example.com?q", None),
            ("example.com#f", None),
            ("example.com\\a", None),
            ("a b", None),
            (" a", None),
            ("a ", None),
            ("a\tb", None),
            ("a\0", None),
            ("a\r\nb", None),
            ("<a>", None),
            ("\"a\"", None),
            ("é.example", None),
            ("%", None),
            ("%4", None),
            ("%4g", None),
        ];
        for (value, expected) in table {
            let found = Host::parse(value).map(|host| (host.name(), host.port()));
            assert_eq!(found, expected, "{value:?}");
        }
        assert!(Host::parse(&"a".repeat(MAX_BYTES)).is_some());
        assert!(Host::parse(&"a".repeat(MAX_BYTES + 1)).is_none());
    }

    #[test]
    fn comparison() {
        let table = [
            ("example.com", "example.com", true),
            ("Example.COM:80", "example.com", true),
            ("example.com.", "example.com", true),
            ("example.com", "example.com.", true),
            ("example.com..", "example.com", false),
            ("www.example.com", "example.com", false),
            ("example.com.evil", "example.com", false),
            ("[::A]:80", "[::a]", true),
        ];
        for (value, name, expected) in table {
            assert_eq!(
                Host::parse(value).unwrap().is(name),
                expected,
                "{value} {name}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>) {
            if let Some(host) = Host::parse(&value) {
                let written = host.to_header_value();
                prop_assert_eq!(written.as_bytes(), &value);
            }
        }

        #[test]
        fn nearly_a_host(value in "[a-z0-9.:@/%\\[\\]v]{0,16}") {
            if let Some(host) = Host::parse(&value) {
                prop_assert!(!host.name().is_empty() && !value.contains(['@', '/']));
                prop_assert_eq!(host.to_string(), value);
            }
        }
    }
}
