//! Determines the path of a request from three variables that web servers fill differently.

use std::fmt::Write;

use http::uri::PathAndQuery;

use crate::{Environ, EnvironError};

/// The source of a request's path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathSource {
    /// `REQUEST_URI`, which keeps `%2F` and `//`, if it has the same meaning as `SCRIPT_NAME` and
    /// `PATH_INFO`. These two are used when the web server has rewritten the URL, or sends no
    /// `REQUEST_URI`.
    #[default]
    Auto,
    /// `REQUEST_URI` if it is present: the target of the client, before the web server rewrote it.
    RequestUri,
    /// Always `SCRIPT_NAME` and `PATH_INFO`, encoded again.
    PathInfo,
}

/// Path and query in the form of a URI, and the length of the mount in the path, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) text: PathAndQuery,
    pub(crate) prefix: usize,
}

/// Returns the target of a request. `mount` replaces `SCRIPT_NAME` when it is given.
pub(crate) fn target(
    environ: &Environ,
    source: PathSource,
    mount: Option<&str>,
) -> Result<Target, EnvironError> {
    let script = environ.get("SCRIPT_NAME").unwrap_or_default();
    let info = environ.get("PATH_INFO");
    let mut cgi = [script, info.unwrap_or_default()].concat();
    let raw = environ.filled("REQUEST_URI").map(origin_form);
    let raw = raw.filter(|(path, _)| path.starts_with(b"/") || *path == b"*");
    let raw = raw.filter(|(path, _)| match source {
        PathSource::RequestUri => true,
        PathSource::PathInfo => false,
        PathSource::Auto => cgi.is_empty() || *path == b"*" || says_the_same(path, &cgi),
    });
    let (path, query) = match raw {
        Some((path, query)) => {
            let query = query.map(|query| encode(query, is_in_query));
            (encode(path, is_in_path), query)
        }
        None => {
            if !cgi.starts_with(b"/") {
                cgi.insert(0, b'/');
            }
            let keeps_slashes = environ.get("REQUEST_URI").is_some_and(has_escaped_slash);
            let query = environ.filled("QUERY_STRING");
            let query = query.map(|query| encode(query, is_in_query));
            (encode_decoded(&cgi, keeps_slashes), query)
        }
    };
    if decode(path.as_bytes()).contains(&0) {
        return Err(EnvironError::Path);
    }
    let prefix = match mount {
        Some(mount) => prefix_length(&path, mount.as_bytes()),
        None if info.is_some() || !says_the_same(path.as_bytes(), script) => {
            prefix_length(&path, script)
        }
        None => None,
    };
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if text.len() > MAX_TARGET {
        return Err(EnvironError::PathTooLong);
    }
    let text = PathAndQuery::try_from(text).map_err(|_| EnvironError::Path)?;
    Ok(Target {
        text,
        prefix: prefix.unwrap_or(0),
    })
}

/// Returns path and query of `/path?query` or `http://host/path?query`.
fn origin_form(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let after = |scheme: &str| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme.as_bytes())
            .then_some(rest)
    };
    let target = match ["http://", "https://"].into_iter().find_map(after) {
        Some(rest) => {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
            rest.split_at(end.unwrap_or(rest.len())).1
        }
        None => target,
    };
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    let (path, query) = (parts.next().unwrap_or_default(), parts.next());
    match path.is_empty() {
        true => (b"/", query),
        false => (path, query),
    }
}

/// Returns whether a raw path and a CGI path mean the same. nginx decodes the CGI path, merges
/// slashes and resolves dots; Apache leaves `%2F`.
fn says_the_same(raw: &[u8], cgi: &[u8]) -> bool {
    let (raw, decoded) = (decode(raw), decode(cgi));
    flat(&raw) == flat(cgi) || flat(&raw) == flat(&decoded)
}

/// Splits a path with `//` merged, `.` and `..` resolved.
fn flat(path: &[u8]) -> Vec<&[u8]> {
    let mut segments = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    // `/a` and `/a/` are two resources.
    if path.ends_with(b"/") && !segments.is_empty() {
        segments.push(b"");
    }
    segments
}

/// Returns the number of bytes of `path` that spell `prefix`, up to the end of a segment; both may
/// be escaped.
fn prefix_length(path: &str, mut prefix: &[u8]) -> Option<usize> {
    while let Some(shorter) = prefix.strip_suffix(b"/") {
        prefix = shorter;
    }
    let literal = || prefix.iter().map(|byte| (*byte, false, 1));
    let found = spelled(path, literal()).or_else(|| spelled(path, units(prefix)));
    found.filter(|length| matches!(path.as_bytes().get(*length), None | Some(b'/')))
}

fn spelled(path: &str, prefix: impl Iterator<Item = (u8, bool, usize)>) -> Option<usize> {
    let mut own = units(path.as_bytes());
    let mut at = 0_usize;
    for (byte, is_escaped, _) in prefix {
        let (own_byte, is_own_escaped, length) = own.next()?;
        let differs = own_byte != byte || (byte == b'/' && is_escaped != is_own_escaped);
        if differs {
            return None;
        }
        at = at.checked_add(length)?;
    }
    Some(at)
}

/// Decodes once: returns each byte, whether it was escaped, and the length of its text.
fn units(mut text: &[u8]) -> impl Iterator<Item = (u8, bool, usize)> {
    std::iter::from_fn(move || {
        let (byte, rest) = text.split_first()?;
        let escape = match text {
            [b'%', high, low, rest @ ..] => escaped(*high, *low).map(|byte| (byte, rest)),
            _ => None,
        };
        let (unit, rest) = match escape {
            Some((byte, rest)) => ((byte, true, 3), rest),
            None => ((*byte, false, 1), rest),
        };
        text = rest;
        Some(unit)
    })
}

/// Decodes percent-escapes once; invalid escapes stay unchanged.
fn decode(text: &[u8]) -> Vec<u8> {
    units(text).map(|(byte, ..)| byte).collect()
}

/// Does the same, and appends the result.
pub(crate) fn decode_into(text: &[u8], bytes: &mut Vec<u8>) {
    match text.contains(&b'%') {
        true => bytes.extend(units(text).map(|(byte, ..)| byte)),
        false => bytes.extend_from_slice(text),
    }
}

fn escaped(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from((digit(high)? << 4) | digit(low)?).ok()
}

/// Escapes bytes that are invalid in a URI, and keeps existing escapes.
fn encode(text: &[u8], is_plain: fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text {
        push(&mut encoded, *byte, is_plain(*byte));
    }
    encoded
}

/// Escapes a decoded path, in which `%` is a normal character.
fn encode_decoded(path: &[u8], keeps_slashes: bool) -> String {
    let mut encoded = String::with_capacity(path.len());
    for (at, byte) in path.iter().enumerate() {
        let is_slash = keeps_slashes && path.get(at..).is_some_and(is_escaped_slash);
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(byte);
        push(&mut encoded, *byte, is_plain || is_slash);
    }
    encoded
}

fn push(encoded: &mut String, byte: u8, is_plain: bool) {
    match is_plain {
        true => encoded.push(char::from(byte)),
        false => drop(write!(encoded, "%{byte:02X}")),
    }
}

fn has_escaped_slash(text: &[u8]) -> bool {
    text.windows(3).any(is_escaped_slash)
}

const fn is_escaped_slash(text: &[u8]) -> bool {
    matches!(text, [b'%', b'2', b'F' | b'f', ..])
}

/// Returns whether `http` accepts the byte in a path. A `#` would end the path.
fn is_in_path(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"#?<>`\"".contains(&byte)
}

fn is_in_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"#<>\"".contains(&byte)
}

/// Maximum length of a target that `http` accepts, in bytes.
const MAX_TARGET: usize = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    /// `REQUEST_URI`, `SCRIPT_NAME`, `PATH_INFO`, `QUERY_STRING`; `-` is absent.
    fn environ(variables: [&[u8]; 4]) -> Environ {
        let names = ["REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"];
        let all = names.into_iter().zip(variables);
        all.filter(|(_, value)| value != b"-").collect()
    }

    fn auto(variables: [&[u8]; 4], mount: Option<&str>) -> Result<(String, String), EnvironError> {
        let target = target(&environ(variables), PathSource::Auto, mount)?;
        let prefix = target.text.path()[..target.prefix].to_owned();
        Ok((target.text.to_string(), prefix))
    }

    #[test]
    fn paths_of_common_web_servers() {
        let cases: [([&[u8]; 4], &str, &str); 29] = [
            // nginx with a split location: decoded, merged, resolved.
            (
                [
                    b"/fcgi/a%2Fb%20c//d/../e;x=1?q=%20a&b",
                    b"/fcgi",
                    b"/a/b c/e;x=1",
                    b"q=%20a&b",
                ],
                "/fcgi/a%2Fb%20c//d/../e;x=1?q=%20a&b",
                "/fcgi",
            ),
            // nginx with Debian's configuration: the whole path, no PATH_INFO.
            ([b"/a%2Fb", b"/a/b", b"-", b""], "/a%2Fb", ""),
            // nginx with uwsgi_params: PATH_INFO is the whole path, no SCRIPT_NAME.
            (
                [b"/uwsgi/a%2Fb", b"-", b"/uwsgi/a/b", b""],
                "/uwsgi/a%2Fb",
                "",
            ),
            // Apache's proxy_fcgi and proxy_scgi: partly decoded, no PATH_INFO.
            (
                [b"/fcgi/a%2Fb%20c?x", b"/fcgi/a%2Fb c", b"-", b"x"],
                "/fcgi/a%2Fb%20c?x",
                "",
            ),
            // Apache's proxy_fcgi with ProxyFCGISetEnvIf: raw.
            (
                [b"/fcgi/a%2Fb%20c//d", b"/fcgi", b"/a%2Fb%20c//d", b""],
                "/fcgi/a%2Fb%20c//d",
                "/fcgi",
            ),
            // Apache's proxy_uwsgi and cgid.
            (
                [b"/cgi/a%2Fb%20c//d/../e", b"/cgi", b"/a%2Fb c/e", b""],
                "/cgi/a%2Fb%20c//d/../e",
                "/cgi",
            ),
            // Rewritten by the web server.
            ([b"/old/x", b"", b"/new/x", b"a=1"], "/new/x?a=1", ""),
            ([b"/old/x", b"/new", b"/x", b""], "/new/x", "/new"),
            ([b"/old", b"", b"/a b%<\xe9", b""], "/a%20b%25%3C%E9", ""),
            ([b"/old%2Fx", b"", b"/new%2fx%", b""], "/new%2fx%25", ""),
            // No REQUEST_URI, as in the specification of CGI.
            (
                [b"-", b"/app", b"/caf\xc3\xa9", b"-"],
                "/app/caf%C3%A9",
                "/app",
            ),
            ([b"-", b"-", b"-", b"-"], "/", ""),
            ([b"", b"", b"", b""], "/", ""),
            ([b"-", b"/app", b"", b"x=%20"], "/app?x=%20", "/app"),
            ([b"-", b"/app", b"-", b"-"], "/app", ""),
            ([b"-", b"", b"x", b"-"], "/x", ""),
            // Raw paths stay raw.
            ([b"//x", b"", b"/x", b""], "//x", ""),
            ([b"/x/../y", b"", b"/y", b""], "/x/../y", ""),
            ([b"/%zz", b"", b"/%zz", b""], "/%zz", ""),
            ([b"/100%25", b"", b"/100%", b""], "/100%25", ""),
            ([b"/%E9", b"", b"/\xe9", b""], "/%E9", ""),
            ([b"/\xe9", b"", b"/\xe9", b""], "/%E9", ""),
            ([b"/a#b", b"", b"/a#b", b""], "/a%23b", ""),
            ([b"/?", b"", b"/", b""], "/?", ""),
            ([b"/a?b c\"", b"", b"/a", b""], "/a?b%20c%22", ""),
            ([b"http://h:1/a?b", b"", b"/a", b"b"], "/a?b", ""),
            ([b"HTTPS://h", b"", b"/", b""], "/", ""),
            ([b"*", b"", b"*", b""], "*", ""),
            ([b"nonsense", b"", b"/a", b""], "/a", ""),
        ];
        for (variables, text, prefix) in cases {
            let shown = variables.map(String::from_utf8_lossy);
            let expected = Ok((text.to_owned(), prefix.to_owned()));
            assert_eq!(auto(variables, None), expected, "{shown:?}");
        }
    }

    #[test]
    fn refused_paths() {
        let nul = Err(EnvironError::Path);
        assert_eq!(auto([b"/%00", b"", b"/\0", b""], None), nul);
        assert_eq!(auto([b"-", b"", b"/\0", b""], None), nul);
        let long = "/a".repeat(40_000);
        let too_long = Err(EnvironError::PathTooLong);
        assert_eq!(auto([long.as_bytes(), b"-", b"-", b""], None), too_long);
    }

    #[test]
    fn path_sources() {
        let rewritten = environ([b"/old?x", b"", b"/new", b"y"]);
        let text = |source| target(&rewritten, source, None).map(|it| it.text.to_string());
        assert_eq!(text(PathSource::RequestUri).unwrap(), "/old?x");
        assert_eq!(text(PathSource::PathInfo).unwrap(), "/new?y");
    }

    #[test]
    fn mounts() {
        let cases = [
            ("/app/x", "/app", "/app"),
            ("/app/x", "/app/", "/app"),
            ("/app", "/app", "/app"),
            ("/app/", "/app", "/app"),
            ("/apple", "/app", ""),
            ("/%61pp/x", "/app", "/%61pp"),
            ("/caf%c3%a9/x", "/caf%C3%A9", "/caf%c3%a9"),
            ("/caf%C3%A9/x", "/café", "/caf%C3%A9"),
            ("/a%2Fb/c", "/a/b", ""),
            ("/a%2fb/c", "/a%2Fb", "/a%2fb"),
            ("/x", "/", ""),
            ("/x", "", ""),
            ("/x", "/app", ""),
        ];
        for (path, mount, prefix) in cases {
            let got = auto([path.as_bytes(), b"-", b"-", b""], Some(mount));
            assert_eq!(
                got,
                Ok((path.to_owned(), prefix.to_owned())),
                "{path} {mount}"
            );
        }
    }
}
