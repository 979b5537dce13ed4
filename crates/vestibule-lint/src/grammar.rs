//! The grammars of field values, as predicates.

use std::net::Ipv6Addr;

use http::HeaderMap;
use vestibule_fields::date::HttpDate;

/// Returns whether a field is about one connection (RFC 9110, section 7.6.1), so that only servers
/// set it.
pub(crate) fn is_connection_field(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
    )
}

/// Returns a field whose value begins or ends with a space or a tab.
pub(crate) fn value_with_spaces(headers: &HeaderMap) -> Option<String> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let mut all = headers.iter();
    let (name, value) = all.find(|(_, value)| {
        let bytes = value.as_bytes();
        bytes.first().is_some_and(is_space) || bytes.last().is_some_and(is_space)
    })?;
    Some(format!("{name}: {value:?}"))
}

/// Checks a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

const fn is_token_byte(byte: u8) -> bool {
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

/// Parses digits as a 64-bit number.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    let is_digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(bytes).ok()?;
    is_digits.then(|| text.parse().ok()).flatten()
}

/// Returns the non-empty members of a list. Commas in quoted strings do not separate members.
pub(crate) fn members(value: &[u8]) -> Vec<&[u8]> {
    split(value, b',')
        .into_iter()
        .map(|part| part.trim_ascii())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Splits at `at`, except in quoted strings.
fn split(value: &[u8], at: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (index, byte) in value.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if *byte == at && !is_quoted => {
                parts.push(&value[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&value[start..]);
    parts
}

/// Checks a list of tokens, which may be empty.
pub(crate) fn is_token_list(value: &[u8]) -> bool {
    members(value).into_iter().all(is_token)
}

/// Checks `uri-host [ ":" port ]`, or an empty value (RFC 9110, section 7.2; RFC 3986, section
/// 3.2.2).
pub(crate) fn is_host(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, rest)) => {
            let is_future = inner.strip_prefix(['v', 'V']).is_some_and(|rest| {
                rest.split_once('.').is_some_and(|(version, tail)| {
                    !version.is_empty()
                        && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                        && !tail.is_empty()
                        && tail.bytes().all(|byte| is_name_byte(byte) || byte == b':')
                })
            });
            if inner.parse::<Ipv6Addr>().is_err() && !is_future {
                return false;
            }
            ("", rest)
        }
        None => match text.find(':') {
            Some(colon) => text.split_at(colon),
            None => (text, ""),
        },
    };
    let has_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    has_port && is_name(host.as_bytes())
}

/// Checks the bytes and the escapes of a reg-name.
fn is_name(mut host: &[u8]) -> bool {
    while let Some((byte, rest)) = host.split_first() {
        host = match (byte, rest) {
            (b'%', [a, b, rest @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
            (byte, rest) if is_name_byte(*byte) => rest,
            _ => return false,
        };
    }
    true
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// Checks the form `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7), and that the day
/// exists.
pub(crate) fn is_fixdate(value: &[u8]) -> bool {
    // The current time is irrelevant for a form with four digits for the year.
    HttpDate::parse(value, HttpDate::MIN).is_some_and(|date| date.to_bytes() == *value)
}

/// Checks `"x"` or `W/"x"` (RFC 9110, section 8.8.3).
pub(crate) fn is_entity_tag(value: &[u8]) -> bool {
    let opaque = value.strip_prefix(b"W/").unwrap_or(value);
    match opaque {
        [b'"', inner @ .., b'"'] => inner
            .iter()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff)),
        _ => false,
    }
}

/// Checks `type/subtype` and parameters (RFC 9110, section 8.3.1).
pub(crate) fn is_media_type(value: &[u8]) -> bool {
    let parts = split(value, b';');
    let mut parts = parts.into_iter().map(|part| part.trim_ascii());
    let essence = parts.next().unwrap_or_default();
    let is_essence = match essence.iter().position(|byte| *byte == b'/') {
        Some(slash) => is_token(&essence[..slash]) && is_token(&essence[slash + 1..]),
        None => false,
    };
    is_essence && parts.all(|part| part.is_empty() || is_parameter(part))
}

fn is_parameter(part: &[u8]) -> bool {
    let Some(equals) = part.iter().position(|byte| *byte == b'=') else {
        return false;
    };
    is_token(&part[..equals]) && is_word(&part[equals + 1..])
}

/// Checks a token or a quoted string.
fn is_word(value: &[u8]) -> bool {
    match value {
        [b'"', inner @ .., b'"'] => {
            let mut bytes = inner.iter();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'"' => return false,
                    b'\\' if bytes.next().is_none() => return false,
                    _ => {}
                }
            }
            true
        }
        token => is_token(token),
    }
}

/// Checks a list of `name`, `name=token` or `name="text"` that is not empty (RFC 9111, section
/// 5.2).
pub(crate) fn is_directive_list(value: &[u8]) -> bool {
    let members = members(value);
    !members.is_empty()
        && members
            .into_iter()
            .all(|member| is_token(member) || is_parameter(member))
}

/// Checks a URI reference: printable ASCII without the characters that RFC 3986 excludes, and
/// complete escapes.
pub(crate) fn is_uri_reference(value: &[u8]) -> bool {
    let is_allowed = |byte: &u8| {
        byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
            )
    };
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let is_whole = rest
            .get(at + 1..at + 3)
            .is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        if !is_whole {
            return false;
        }
        rest = &rest[at + 3..];
    }
    value.iter().all(is_allowed)
}

/// Checks `scheme://host[:port]`, `null` or `*` (Fetch, section 3.3.2).
pub(crate) fn is_allowed_origin(value: &[u8]) -> bool {
    if matches!(value, b"*" | b"null") {
        return true;
    }
    let Some(at) = value.windows(3).position(|part| part == b"://") else {
        return false;
    };
    let (scheme, host) = (&value[..at], &value[at + 3..]);
    is_token(scheme) && !host.is_empty() && is_host(host) && !host.contains(&b',')
}

/// The value of a Content-Range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentRange {
    /// `bytes 0-4/10` or `bytes 0-4/*`, as the number of bytes.
    Part(u64),
    /// `bytes */10`.
    Unsatisfied,
    /// A unit other than bytes.
    Other,
}

/// Parses a Content-Range (RFC 9110, section 14.4).
pub(crate) fn content_range(value: &[u8]) -> Option<ContentRange> {
    let text = std::str::from_utf8(value).ok()?;
    let (unit, range) = text.split_once(' ')?;
    if !is_token(unit.as_bytes()) {
        return None;
    }
    if unit != "bytes" {
        return Some(ContentRange::Other);
    }
    let (part, whole) = range.split_once('/')?;
    let size = match whole {
        "*" => None,
        whole => Some(number(whole.as_bytes())?),
    };
    if part == "*" {
        return size.map(|_| ContentRange::Unsatisfied);
    }
    let (first, last) = part.split_once('-')?;
    let (first, last) = (number(first.as_bytes())?, number(last.as_bytes())?);
    let is_sound = first <= last && size.is_none_or(|size| last < size);
    is_sound.then(|| ContentRange::Part((last - first).saturating_add(1)))
}

/// Returns whether the value begins with a scheme name (RFC 9110, section 11.3).
pub(crate) fn is_challenge(value: &[u8]) -> bool {
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    is_token(scheme)
}

/// The parts of a Set-Cookie: name, value, and attributes with their values.
pub(crate) struct Cookie<'a> {
    pub(crate) name: &'a str,
    value: &'a str,
    attributes: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Cookie<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let attributes = parts.map(|part| match part.trim().split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (part.trim(), None),
        });
        Some(Self {
            name,
            value,
            attributes: attributes.collect(),
        })
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<Option<&'a str>> {
        let mut all = self.attributes.iter();
        let found = all.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// Checks the grammar of RFC 6265, section 4.1.1.
    pub(crate) fn is_grammatical(&self) -> bool {
        let value = self
            .value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(self.value);
        let is_octet =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
        let attributes = self.attributes.iter().all(|(name, value)| {
            let age = !name.eq_ignore_ascii_case("max-age")
                || value.is_some_and(|age| {
                    number(age.strip_prefix('-').unwrap_or(age).as_bytes()).is_some()
                });
            is_token(name.as_bytes()) && age
        });
        is_token(self.name.as_bytes()) && value.bytes().all(is_octet) && attributes
    }

    /// Returns the attribute that the prefix of the name requires and that is missing (RFC 6265bis,
    /// section 4.1.3).
    pub(crate) fn broken_promise(&self) -> Option<&'static str> {
        let has = |name| self.attribute(name).is_some();
        let prefix = |own: &str| {
            self.name
                .get(..own.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(own))
        };
        let is_host = prefix("__Host-");
        if (is_host || prefix("__Secure-")) && !has("secure") {
            return Some("its name requires Secure");
        }
        if is_host && (has("domain") || self.attribute("path") != Some(Some("/"))) {
            return Some("its name requires Path=/ and no Domain");
        }
        let same_site = self.attribute("samesite").flatten();
        if same_site.is_some_and(|value| value.eq_ignore_ascii_case("none")) && !has("secure") {
            return Some("SameSite=None without Secure");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(question: fn(&[u8]) -> bool, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(question(text.as_bytes()), "{text:?}");
        }
        for text in no {
            assert!(!question(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn hosts_and_ports_are_checked() {
        let yes = [
            "",
            "a",
            "a.example",
            "a:80",
            "a:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:80",
            "[v1.a:b]",
            "a%20b",
            "münchen",
        ];
        let no = [
            "a b", "a/b", "a@b", "a:b", "[::1", "[::g]", "[::1]x", "a:80:80", "a%2", "a#", "a\\b",
            "[v.a]", "münchen",
        ];
        check(is_host, &yes[..10], &no);
    }

    #[test]
    fn dates_have_one_form_and_exist() {
        let no = [
            "Sun, 31 Feb 2021 00:00:00 GMT",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "0",
            "",
        ];
        check(is_fixdate, &["Sun, 06 Nov 1994 08:49:37 GMT"], &no);
    }

    #[test]
    fn entity_tags_and_media_types_are_checked() {
        check(
            is_entity_tag,
            &["\"\"", "\"a b\"", "W/\"x\""][..1],
            &["x", "\"", "w/\"x\"", "\"a\"b\"", "W/x", "\"a b\""],
        );
        let yes = [
            "a/b",
            "text/html; charset=utf-8",
            "a/b;c=\"d;e\"",
            "a/b;",
            "image/svg+xml",
        ];
        check(
            is_media_type,
            &yes,
            &[
                "a",
                "a/",
                "/b",
                "a/b c",
                "a/b; c",
                "a/b; c=\"",
                "text/html, a/b",
            ],
        );
    }

    #[test]
    fn uri_references_and_origins_are_checked() {
        check(
            is_uri_reference,
            &["/a?b#c", "https://a/%20", "", "//x", "[::1]"],
            &["/a b", "/%2", "/\t", "/ü", "/<", "/\\x"],
        );
        let yes = [
            "*",
            "null",
            "https://a.example",
            "http://a:8080",
            "https://[::1]:1",
        ];
        check(
            is_allowed_origin,
            &yes,
            &["", "a", "https://a, https://b", "https://", "https://a/"],
        );
    }

    #[test]
    fn content_ranges_are_parsed() {
        use ContentRange::{Other, Part, Unsatisfied};
        let cases = [
            ("bytes 0-4/10", Some(Part(5))),
            ("bytes 0-4/*", Some(Part(5))),
            ("bytes */10", Some(Unsatisfied)),
            ("bytes */*", None),
            ("bytes 5-4/10", None),
            ("bytes 0-10/10", None),
            ("bytes 0-4", None),
            ("bytes=0-4/10", None),
            ("items 0-4/10", Some(Other)),
            ("bytes 0-18446744073709551615/*", Some(Part(u64::MAX))),
        ];
        for (text, want) in cases {
            assert_eq!(content_range(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn lists_respect_quoted_strings() {
        check(
            is_token_list,
            &["", "a", "a, b", ",a,,"],
            &["a b", "a;b", "\"a\""],
        );
        check(
            is_directive_list,
            &["no-store", "max-age=1, private=\"a, b\""],
            &["", "a b", "max-age=", "=1"],
        );
        check(
            is_challenge,
            &["Basic realm=\"a\"", "Negotiate"],
            &["", " Basic", "\"a\""],
        );
        for (text, want) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("+5", None),
            ("5,5", None),
            ("0x5", None),
            ("", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(number(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn cookies_are_checked() {
        // Each row: the cookie, whether it follows the grammar, whether its prefix and attributes
        // agree.
        let cases = [
            ("a=b", true, true),
            (
                "a=\"b\"; Path=/; HttpOnly; SameSite=Lax; Max-Age=-1",
                true,
                true,
            ),
            ("a=b c", false, true),
            ("a=b,c", false, true),
            ("a b=c", false, true),
            ("=c", false, true),
            ("a=b; Max-Age=soon", false, true),
            ("a=b;; Path=/", false, true),
            ("__Host-a=b; Secure; Path=/", true, true),
            ("__Host-a=b; Secure; Path=/x", true, false),
            ("__Host-a=b; Secure; Path=/; Domain=a", true, false),
            ("__Secure-a=b", true, false),
            ("a=b; SameSite=None", true, false),
        ];
        for (text, is_grammatical, is_kept) in cases {
            let cookie = Cookie::parse(text.as_bytes()).unwrap();
            assert_eq!(cookie.is_grammatical(), is_grammatical, "{text}");
            assert_eq!(cookie.broken_promise().is_none(), is_kept, "{text}");
        }
        assert!(Cookie::parse(b"a").is_none());
    }
}
