//! `Forwarded`: the reports of proxies about their clients.
//!
//! ```text
//! Forwarded         = 1#forwarded-element
//! forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
//! forwarded-pair    = token "=" ( token / quoted-string )
//! node              = ( IPv4address / "[" IPv6address "]" / "unknown" / obfnode ) [ ":" node-port ]
//! obfnode           = "_" 1*( ALPHA / DIGIT / "." / "_" / "-" )
//! ```
//!
//! Source: RFC 7239, sections 4 to 6.
//!
//! A field with a broken element is refused as a whole: neither its meaning nor the author of the
//! rest is known.
//!
//! ```
//! use vestibule_fields::forwarded::{Forwarded, Node};
//!
//! let field = Forwarded::parse("for=192.0.2.43;proto=https, for=\"[2001:db8::1]:4711\"");
//! let hops = field.hops().unwrap();
//! assert_eq!(hops[0].client, Some(Node::Ip("192.0.2.43".parse().unwrap(), None)));
//! assert_eq!(hops[0].proto.as_deref(), Some("https"));
//! assert_eq!(hops[1].client, Some(Node::Ip("2001:db8::1".parse().unwrap(), Some(4711))));
//! ```

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;
use http::header::FORWARDED;

use crate::list::{Lines, List, Quotes, token, trim, unquote};

/// The field, with all its lines.
#[derive(Clone)]
pub struct Forwarded<'a>(Lines<'a>);

/// The report of one proxy about its client and the request that it received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hop<'a> {
    /// `for`: the node that sent the request to the proxy.
    pub client: Option<Node>,
    /// `host`: the `Host` that the proxy received. It is not checked.
    pub host: Option<Cow<'a, str>>,
    /// `proto`: the scheme of the request that the proxy received.
    pub proto: Option<Cow<'a, str>>,
}

/// One end of a connection, in the report of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// An address, and a port if it is a number.
    Ip(IpAddr, Option<u16>),
    /// `unknown`, or a name that only the proxy understands.
    Hidden,
}

impl<'a> Forwarded<'a> {
    /// Reads one value.
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self(Lines::new(value))
    }

    /// Reads the field. An absent field has no hops.
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Self {
        Self(Lines::from_headers(headers, FORWARDED))
    }

    /// Returns the report of each proxy, the nearest last. `None` when any element is broken, or
    /// when there are more than [`MAX_HOPS`].
    ///
    /// ```
    /// use vestibule_fields::forwarded::Forwarded;
    ///
    /// assert_eq!(Forwarded::parse("for=unknown, for=_x").hops().unwrap().len(), 2);
    /// assert!(Forwarded::parse("for=192.0.2.1, for=").hops().is_none());
    /// ```
    #[must_use]
    pub fn hops(&self) -> Option<Vec<Hop<'a>>> {
        let elements = self
            .0
            .elements(Quotes::Escaped)
            .take(MAX_HOPS.saturating_add(1));
        let hops = elements.map(hop).collect::<Option<Vec<_>>>()?;
        (hops.len() <= MAX_HOPS).then_some(hops)
    }
}

impl std::fmt::Debug for Forwarded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Forwarded").field(&self.hops()).finish()
    }
}

impl Node {
    /// Reads `192.0.2.1:80`, `[2001:db8::1]`, `unknown` or `_name`. Also reads an IPv6 address
    /// without brackets, for fields such as `X-Forwarded-For`.
    ///
    /// ```
    /// use vestibule_fields::forwarded::Node;
    ///
    /// assert_eq!(Node::parse("2001:db8::1"), Some(Node::Ip("2001:db8::1".parse().unwrap(), None)));
    /// assert_eq!(Node::parse("example.org"), None);
    /// ```
    #[must_use]
    pub fn parse(value: &(impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let text = std::str::from_utf8(value.as_ref()).ok()?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Ip(address, None));
        }
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']')?;
                let address = IpAddr::V6(name.parse::<Ipv6Addr>().ok()?);
                return Some(Self::Ip(address, node_port(port)?));
            }
            None => text.split_at_checked(text.find(':').unwrap_or(text.len()))?,
        };
        let port = node_port(port)?;
        match name.parse::<IpAddr>() {
            Ok(address) => Some(Self::Ip(address, port)),
            Err(_) if name.eq_ignore_ascii_case("unknown") || is_hidden(name) => Some(Self::Hidden),
            Err(_) => None,
        }
    }
}

/// Reads an empty text, or `:` and a port, which may be hidden.
fn node_port(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None if text.is_empty() => Some(None),
        None => None,
        Some(port) if is_hidden(port) => Some(None),
        Some(digits) => {
            let is_number = digits.len() <= 5 && digits.bytes().all(|it| it.is_ascii_digit());
            is_number.then(|| digits.parse().ok())?.map(Some)
        }
    }
}

fn is_hidden(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_plain))
}

fn hop(element: &[u8]) -> Option<Hop<'_>> {
    let mut hop = Hop::default();
    for pair in List::new(element).separator(b';') {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(equals)?;
        let name = token(trim(name))?;
        let value = trim(value.get(1..)?);
        let value = match value.first() {
            Some(b'"') => unquote(value)?,
            _ => Cow::Borrowed(
                token(value)
                    .map(str::as_bytes)
                    .or_else(|| bare_node(value))?,
            ),
        };
        let text = || match value.clone() {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        // Each parameter may occur once in an element.
        if name.eq_ignore_ascii_case("for") {
            let is_second = hop.client.replace(Node::parse(&value)?).is_some();
            if is_second {
                return None;
            }
        } else if name.eq_ignore_ascii_case("host") {
            if hop.host.replace(text()?).is_some() {
                return None;
            }
        } else if name.eq_ignore_ascii_case("proto") && hop.proto.replace(text()?).is_some() {
            return None;
        }
    }
    Some(hop)
}

/// Reads `192.0.2.1:80` without quotes, which violates the grammar but is common.
fn bare_node(value: &[u8]) -> Option<&[u8]> {
    let is_plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'[' | b']');
    (!value.is_empty() && value.iter().all(is_plain)).then_some(value)
}

/// Maximum number of proxies; a longer field is refused.
pub const MAX_HOPS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc7239_6_nodes() {
        let ip = |text: &str, port| Some(Node::Ip(text.parse().unwrap(), port));
        let cases = [
            ("192.0.2.43", ip("192.0.2.43", None)),
            ("192.0.2.43:47011", ip("192.0.2.43", Some(47011))),
            ("[2001:db8:cafe::17]", ip("2001:db8:cafe::17", None)),
            (
                "[2001:db8:cafe::17]:47011",
                ip("2001:db8:cafe::17", Some(47011)),
            ),
            ("2001:db8::1", ip("2001:db8::1", None)),
            ("192.0.2.1:_port", ip("192.0.2.1", None)),
            ("unknown", Some(Node::Hidden)),
            ("Unknown:80", Some(Node::Hidden)),
            ("_gazonk", Some(Node::Hidden)),
            ("_", None),
            ("", None),
            ("a.example", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:99999", None),
            ("192.0.2.1:x", None),
            ("[::1", None),
            ("[::1]80", None),
            ("192.0.2.256", None),
        ];
        for (text, node) in cases {
            let parsed = Node::parse(text);
            // An empty port is no port, although the grammar requires a digit.
            assert_eq!(parsed, node, "{text}");
        }
    }

    #[test]
    fn rfc7239_4_elements() {
        let count = |text: &str| Forwarded::parse(text).hops().map(|hops| hops.len());
        let cases = [
            ("", Some(0)),
            ("for=\"_gazonk\"", Some(1)),
            ("For=\"[2001:db8:cafe::17]:4711\"", Some(1)),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", Some(1)),
            ("for=192.0.2.43, for=198.51.100.17", Some(2)),
            ("for=192.0.2.43:80", Some(1)),
            ("secret=x;host=\"a, b\"", Some(1)),
            ("for", None),
            ("=1", None),
            ("for=\"", None),
            ("for=1;for=2", None),
            ("for=192.0.2.1;for=192.0.2.2", None),
            ("proto=a;proto=b", None),
            ("host=a;host=b", None),
            ("for=192.0.2.1, broken", None),
        ];
        for (text, hops) in cases {
            assert_eq!(count(text), hops, "{text}");
        }
        assert_eq!(count(&"for=_a,".repeat(64)), Some(64));
        assert_eq!(count(&"for=_a,".repeat(65)), None);
    }

    proptest! {
        #[test]
        fn no_value_is_too_strange(value in "[a-z=;,\"\\\\:\\[\\]._ ]{0,40}") {
            let _ = Forwarded::parse(&value).hops();
        }
    }
}
