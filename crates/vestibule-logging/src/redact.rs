//! What a log must not say: secrets in headers and queries, and whole addresses.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, REFERER, SET_COOKIE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use vestibule_core::{Address, RequestLine};

use crate::Record;

/// What is taken out of a record before a sink sees it.
#[derive(Clone, Debug)]
pub(crate) struct Redaction {
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) parameters: Vec<String>,
    pub(crate) truncates_addresses: bool,
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            headers: vec![AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE],
            parameters: Vec::new(),
            truncates_addresses: false,
        }
    }
}

impl Redaction {
    pub(crate) fn apply(&self, record: &mut Record) {
        redact_headers(&mut record.request_headers, &self.headers);
        redact_headers(&mut record.response_headers, &self.headers);
        let trailers = [&mut record.request_trailers, &mut record.response_trailers];
        for trailers in trailers.into_iter().flatten() {
            redact_headers(trailers, &self.headers);
        }
        if self.headers.contains(&REFERER) && record.referer.is_some() {
            record.referer = Some(HeaderValue::from_static(REDACTED));
        }
        if !self.parameters.is_empty() {
            if let Some(uri) = redacted_uri(&record.uri, &self.parameters) {
                record.uri = uri;
            }
            if let Some(line) = &record.request_line
                && let Some(line) = redacted_line(line.as_bytes(), &self.parameters)
            {
                record.request_line = Some(RequestLine::new(line.as_bytes()));
            }
            for headers in [&mut record.request_headers, &mut record.response_headers] {
                for value in headers.values_mut() {
                    redact_link(value, &self.parameters);
                }
            }
            if let Some(referer) = &mut record.referer {
                redact_link(referer, &self.parameters);
            }
        }
        if self.truncates_addresses
            && let Some(Address::Tcp(address)) = &mut record.peer
        {
            address.set_ip(truncated(address.ip()));
            address.set_port(0);
        }
    }
}

fn redact_headers(headers: &mut HeaderMap, names: &[HeaderName]) {
    if headers.is_empty() {
        return;
    }
    for name in names {
        if headers.contains_key(name) {
            headers.insert(name, HeaderValue::from_static(REDACTED));
        }
    }
}

/// The query of a link in a header, as in `Referer` and `Location`.
fn redact_link(value: &mut HeaderValue, names: &[String]) {
    let Some(at) = value.as_bytes().iter().position(|&byte| byte == b'?') else {
        return;
    };
    // A header's bytes may be no UTF-8; those are replaced, and then escaped by the format anyway.
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let at = at.min(text.len());
    let (Some(before), Some(after)) = (text.get(..=at), text.get(at + 1..)) else {
        *value = HeaderValue::from_static(REDACTED);
        return;
    };
    let (query, fragment) = match after.find('#') {
        Some(hash) => after.split_at(hash),
        None => (after, ""),
    };
    if let Cow::Owned(query) = redacted_query(query, names) {
        let link = HeaderValue::try_from(format!("{before}{query}{fragment}"));
        *value = link.unwrap_or(HeaderValue::from_static(REDACTED));
    }
}

/// The request line with the values of such parameters replaced; `None` when it has none of them.
fn redacted_line(line: &[u8], names: &[String]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let (before, rest) = line.split_once('?')?;
    let end = rest.find(' ').unwrap_or(rest.len());
    let (query, after) = rest.split_at(end);
    match redacted_query(query, names) {
        Cow::Owned(query) => Some(format!("{before}?{query}{after}")),
        Cow::Borrowed(_) => None,
    }
}

/// The URI with the values of such parameters replaced; `None` when it has none of them.
fn redacted_uri(uri: &Uri, names: &[String]) -> Option<Uri> {
    let Cow::Owned(query) = redacted_query(uri.query()?, names) else {
        return None;
    };
    let mut parts = uri.clone().into_parts();
    let target = PathAndQuery::try_from(format!("{}?{query}", uri.path())).ok();
    // What cannot be put together again is shown without its query rather than with its secret.
    parts.path_and_query = target.or_else(|| PathAndQuery::try_from(uri.path()).ok());
    Some(Uri::from_parts(parts).unwrap_or_default())
}

/// `a=1&token=[redacted]`. Names are compared decoded, and their case does not count.
pub(crate) fn redacted_query<'a>(query: &'a str, names: &[String]) -> Cow<'a, str> {
    let is_secret = |pair: &str| {
        let name = pair.split_once('=').map(|(name, _)| decoded(name));
        name.is_some_and(|name| {
            names
                .iter()
                .any(|secret| secret.eq_ignore_ascii_case(&name))
        })
    };
    let is_separator = |c| c == '&' || c == ';';
    if !query.split(is_separator).any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut out = String::with_capacity(query.len());
    for pair in query.split_inclusive(is_separator) {
        let end = pair.strip_suffix(is_separator).unwrap_or(pair);
        match is_secret(end) {
            true => {
                let name = end.split_once('=').map_or(end, |(name, _)| name);
                out.push_str(name);
                out.push('=');
                out.push_str(REDACTED);
            }
            false => out.push_str(end),
        }
        out.push_str(&pair[end.len()..]);
    }
    Cow::Owned(out)
}

/// The name of a parameter, percent-decoded once; what is no UTF-8 then matches nothing.
fn decoded(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The network of an address: /24 of IPv4, /48 of IPv6.
pub(crate) fn truncated(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// What stands in the place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let names = ["token".to_owned(), "Pass word".to_owned()];
        let cases = [
            ("a=1", "a=1"),
            ("a=1&token=x&b=2", "a=1&token=[redacted]&b=2"),
            ("TOKEN=x", "TOKEN=[redacted]"),
            (
                "t%6Fken=x;pass%20word=y",
                "t%6Fken=[redacted];pass%20word=[redacted]",
            ),
            ("token", "token"),
            ("token=", "token=[redacted]"),
            ("xtoken=1&token=a=b", "xtoken=1&token=[redacted]"),
            ("%=1&%zz=2", "%=1&%zz=2"),
        ];
        for (query, want) in cases {
            assert_eq!(redacted_query(query, &names), want, "{query}");
        }
    }

    #[test]
    fn uris_and_links() {
        let names = ["token".to_owned()];
        let uri: Uri = "http://a.example/x?b=1&token=s".parse().unwrap();
        let redacted = redacted_uri(&uri, &names).unwrap();
        assert_eq!(redacted, "http://a.example/x?b=1&token=[redacted]");
        let mut link: HeaderValue = "https://a.example/?token=s#top".parse().unwrap();
        redact_link(&mut link, &names);
        assert_eq!(link, "https://a.example/?token=[redacted]#top");
        let mut broken = HeaderValue::from_bytes(b"\xff?token=s").unwrap();
        redact_link(&mut broken, &names);
        assert!(
            !String::from_utf8_lossy(broken.as_bytes()).contains("token=s"),
            "{broken:?}"
        );
    }

    #[test]
    fn lines_that_could_not_be_parsed() {
        let names = ["token".to_owned()];
        for (line, want) in [
            (
                "GET /a b?token=s HTTP/1.1",
                Some("GET /a b?token=[redacted] HTTP/1.1"),
            ),
            ("GET /?a=1&token=s", Some("GET /?a=1&token=[redacted]")),
            ("GET /a?b=c HTTP/1.1", None),
            ("\u{16}\u{3}", None),
            ("", None),
        ] {
            let found = redacted_line(line.as_bytes(), &names);
            assert_eq!(found.as_deref(), want, "{line}");
        }
    }

    #[test]
    fn addresses() {
        let cases = [
            ("192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3::4", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
        ];
        for (ip, want) in cases {
            assert_eq!(truncated(ip.parse().unwrap()).to_string(), want);
        }
    }
}
