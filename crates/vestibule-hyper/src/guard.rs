//! The strict guard: what a request must be before an app sees it.
//!
//! The HTTP/1 parser below is lenient where two servers in a row could read two different requests.
//! What it lets through is decided here, by pure functions over the head of a request:
//!
//! | what | answer | source |
//! |---|---|---|
//! | HTTP/1.1 without `Host`; two `Host` lines | 400 | RFC 9112, section 3.2 |
//! | a `Host` that is empty or outside its grammar (`a@b`, `a/b`, `a b`, port above 65535) | 400 | RFC 9110, section 7.2 |
//! | a target that is not for its method: `GET *`, `GET host:80`, `CONNECT /` | 400 | RFC 9112, section 3.2 |
//! | an absolute target with another scheme than `http` and `https`, or with user information | 400 | RFC 9110, section 4.2.4 |
//! | `chunked` twice, on one line or on two | 400 | RFC 9112, section 6.1 |
//! | a transfer coding other than `chunked`, on one line or on two | 501 | RFC 9112, section 6.1 |
//! | a target longer than 8 KiB | 414 | RFC 9110, section 15.5.15 |
//! | HTTP/2: neither `:authority` nor `Host`, or two that differ | 400 | RFC 9113, section 8.3.1 |
//! | HTTP/2: `Connection` and its like; `TE` other than `trailers` | 400 | RFC 9113, section 8.2.2 |
//! | HTTP/2: a value that begins or ends with a space or a tab | 400 | RFC 9113, section 8.2.1 |
//!
//! Several `Cookie` fields, which HTTP/2 allows for the sake of compression, become one with `; ` in between (RFC 9113,
//! section 8.2.3). HTTP/1 clients send one; a proxy that has forwarded the fields of HTTP/2 one by one is read the same way.
//!
//! A request that the parser refuses gets a 400, or a status from `unparsed.rs`: 414 for a target that is too long,
//! 431 for another head that is too large, 501 for a last coding other than `chunked`, 505 for another major version. A later minor
//! version is served as HTTP/1.1 (RFC 9110, section 2.5).
//!
//! An empty `Host` is in the grammar, for targets that have no authority; `http` has none such, so
//! it is refused. In an absolute target the authority wins over `Host` (RFC 9112, section 3.2.2),
//! and apps see it in `Host`; so they do for HTTP/2.
//!
//! What the parser below settles before the guard can see it: a `Content-Length` beside a
//! `Transfer-Encoding` is dropped, the body is read as chunked, and the connection is closed after
//! the answer (RFC 9112, section 6.3). A fragment in the target is cut off. Lines may end in a bare
//! LF (RFC 9112, section 2.2).

use std::error::Error;
use std::fmt;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, StatusCode, Uri, Version};
use vestibule_core::{Failure, FailureKind, IntoResponse, Request, Response};
use vestibule_fields::cookie;
use vestibule_fields::host::Host;

/// Why a request does not reach the app; the answer closes the connection. An extension of the
/// requests that [`refusal`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    status: StatusCode,
    reason: &'static str,
}

impl Refused {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    const fn bad(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl Error for Refused {}

/// The app that answers requests that are [`Refused`]: the status, with the reason as its
/// [`Failure`]. They have no body.
///
/// It is what [`Server::refused`](crate::Server::refused) wraps.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
///
/// // Refused by nobody, and yet here.
/// assert_eq!(vestibule_hyper::refusal.call(Request::default()).await.status(), 400);
/// # }
/// ```
pub async fn refusal(request: Request) -> Response {
    let refused = request.extensions().get().copied();
    let refused = refused.unwrap_or(Refused::bad("refused"));
    Failure::new(refused)
        .kind(FailureKind::Request)
        .status(refused.status)
        .into_response()
}

/// Checks the head of a request, and makes `Host` what the request is for: whether the client waits
/// for a `100 Continue`.
pub(crate) fn admit(head: &mut Parts) -> Result<bool, Refused> {
    let Parts {
        method,
        uri,
        version,
        headers,
        ..
    } = head;
    if target_length(uri) > MAX_TARGET {
        return Err(Refused {
            status: StatusCode::URI_TOO_LONG,
            reason: "the target is longer than 8 KiB",
        });
    }
    let fields = Fields::of(headers);
    if *version == Version::HTTP_2 {
        check_http2(method, uri, headers)?;
    } else {
        check_host(*version, &fields)?;
        check_target(method, uri)?;
        check_transfer_encoding(&fields)?;
    }
    let expects_continue = fields.expect.is_some_and(is_continue);
    if fields.cookies > 1 {
        cookie::join(headers);
    }
    if let Some(host) = effective_host(method, uri, headers) {
        headers.insert(HOST, host);
    }
    Ok(expects_continue)
}

/// The fields that the guard reads, found in one pass: four look-ups in the map cost more.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a HeaderValue>,
    hosts: usize,
    /// How often `chunked` is applied, on all lines together.
    chunked: usize,
    /// An empty element counts as one.
    other_codings: usize,
    has_length: bool,
    expect: Option<&'a HeaderValue>,
    cookies: usize,
}

impl<'a> Fields<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            if *name == HOST {
                fields.hosts += 1;
                fields.host.get_or_insert(value);
            } else if *name == TRANSFER_ENCODING {
                for coding in value.as_bytes().split(|byte| *byte == b',') {
                    match coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                        true => fields.chunked += 1,
                        false => fields.other_codings += 1,
                    }
                }
            } else if *name == EXPECT {
                fields.expect.get_or_insert(value);
            } else if *name == CONTENT_LENGTH {
                fields.has_length = true;
            } else if *name == COOKIE {
                fields.cookies += 1;
            }
        }
        fields
    }
}

/// RFC 9110, section 10.1.1.
fn is_continue(expect: &HeaderValue) -> bool {
    expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

fn target_length(uri: &Uri) -> usize {
    let rest = uri.path_and_query().map_or(0, |rest| rest.as_str().len());
    rest + uri.authority().map_or(0, |name| name.as_str().len())
}

/// RFC 9112, section 3.2.
fn check_host(version: Version, fields: &Fields<'_>) -> Result<(), Refused> {
    match fields.host {
        _ if fields.hosts > 1 => Err(Refused::bad("two Host lines")),
        Some(host) if !Host::is_valid(host) => Err(Refused::bad("a broken Host")),
        None if version > Version::HTTP_10 => Err(Refused::bad("no Host")),
        _ => Ok(()),
    }
}

/// RFC 9112, section 3.2: which form of target goes with which method.
fn check_target(method: &Method, uri: &Uri) -> Result<(), Refused> {
    let authority = uri.authority().map(|name| Host::parse(name.as_str()));
    if *method == Method::CONNECT {
        let is_authority = uri.scheme().is_none() && uri.path_and_query().is_none();
        let has_port = matches!(authority, Some(Some(host)) if host.port().is_some());
        return match is_authority && has_port {
            true => Ok(()),
            false => Err(Refused::bad("CONNECT is for a host and a port")),
        };
    }
    match (uri.scheme_str(), authority) {
        (None, Some(_)) => Err(Refused::bad("only CONNECT is for a host and a port")),
        (None, None) => check_path(method, uri),
        (Some("http" | "https"), Some(Some(_))) => check_path(method, uri),
        (Some("http" | "https"), _) => Err(Refused::bad("a broken authority in the target")),
        (Some(_), _) => Err(Refused::bad("the target has another scheme than http")),
    }
}

fn check_path(method: &Method, uri: &Uri) -> Result<(), Refused> {
    match uri.path() {
        "*" if *method == Method::OPTIONS => Ok(()),
        "*" => Err(Refused::bad("only OPTIONS is for *")),
        path if path.starts_with('/') => Ok(()),
        // An absolute target may leave it out: `http://a?b`.
        "" if uri.scheme().is_some() => Ok(()),
        _ => Err(Refused::bad("the path does not begin with a slash")),
    }
}

/// RFC 9112, section 6.1. The parser has made sure that the last coding is `chunked`.
fn check_transfer_encoding(fields: &Fields<'_>) -> Result<(), Refused> {
    match (fields.other_codings, fields.chunked) {
        (0, 0) => Ok(()),
        (0, 1) if fields.has_length => Err(Refused::bad("Transfer-Encoding and Content-Length")),
        (0, 1) => Ok(()),
        (0, _) => Err(Refused::bad("chunked is applied more than once")),
        _ => Err(Refused {
            status: StatusCode::NOT_IMPLEMENTED,
            reason: "a transfer coding that is not implemented",
        }),
    }
}

/// RFC 9113, sections 8.2.2 and 8.3.1. Much of it the parser holds as well.
fn check_http2(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Refused::bad("two Host lines"));
    }
    match (uri.authority(), host) {
        (None, None) => return Err(Refused::bad("no :authority and no Host")),
        (Some(name), _) if Host::parse(name.as_str()).is_none() => {
            return Err(Refused::bad("a broken :authority"));
        }
        (Some(name), Some(host))
            if !name
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(Refused::bad(":authority and Host differ"));
        }
        (None, Some(host)) if Host::parse(host).is_none() => {
            return Err(Refused::bad("a broken Host"));
        }
        _ => {}
    }
    if CONNECTION_FIELDS
        .iter()
        .any(|name| headers.contains_key(name))
    {
        return Err(Refused::bad("a field that is about an HTTP/1 connection"));
    }
    if headers.values().any(has_blank_at_an_end) {
        return Err(Refused::bad("a value with a space or a tab at its end"));
    }
    let mut te = headers.get_all(TE).iter();
    if te.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        return Err(Refused::bad("TE other than trailers"));
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refused::bad("two Content-Length lines"));
    }
    match (method == Method::CONNECT, uri.scheme_str()) {
        (true, None) | (_, Some("http" | "https")) => {}
        _ => return Err(Refused::bad("the target has another scheme than http")),
    }
    match method == Method::CONNECT && uri.path_and_query().is_none() {
        true => Ok(()),
        false => check_path(method, uri),
    }
}

/// RFC 9113, section 8.2.1. In HTTP/1 the parser cuts them off.
fn has_blank_at_an_end(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = value.as_bytes();
    is_blank(value.first()) || is_blank(value.last())
}

/// What `Host` has to become: the authority of the target, where there is one.
fn effective_host(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    let authority = uri.authority()?.as_str();
    if method == Method::CONNECT || headers.get(HOST).is_some_and(|host| host == authority) {
        return None;
    }
    HeaderValue::from_str(authority).ok()
}

/// RFC 9113, section 8.2.2.
static CONNECTION_FIELDS: [HeaderName; 5] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// In bytes.
const MAX_TARGET: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// `GET /a HTTP/1.1`, then header lines.
    fn head(text: &str) -> Parts {
        let mut lines = text.lines();
        let mut words = lines.next().unwrap().split(' ');
        let mut request = http::Request::builder()
            .method(words.next().unwrap())
            .uri(words.next().unwrap())
            .version(match words.next().unwrap() {
                "HTTP/1.0" => Version::HTTP_10,
                "HTTP/1.1" => Version::HTTP_11,
                _ => Version::HTTP_2,
            });
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_is_admitted() {
        // the request, and the Host that the app sees
        let cases = [
            ("GET / HTTP/1.1\nhost: a", "a"),
            ("GET / HTTP/1.0", ""),
            ("GET / HTTP/1.0\nhost: a", "a"),
            ("GET / HTTP/1.1\nhost: a:8080", "a:8080"),
            ("GET / HTTP/1.1\nhost: [::1]:80", "[::1]:80"),
            ("GET http://b/ HTTP/1.1\nhost: a", "b"),
            ("GET http://b HTTP/1.1\nhost: b", "b"),
            ("GET http://b:81?q HTTP/1.0", "b:81"),
            ("OPTIONS * HTTP/1.1\nhost: a", "a"),
            ("CONNECT b:443 HTTP/1.1\nhost: a", "a"),
            ("POST / HTTP/1.1\nhost: a\ntransfer-encoding: Chunked", "a"),
            ("GET http://a/ HTTP/2", "a"),
            ("GET http://a/ HTTP/2\nhost: A", "a"),
            ("GET https://a:81/ HTTP/2\nte: trailers", "a:81"),
            ("CONNECT a:443 HTTP/2", ""),
        ];
        for (text, host) in cases {
            let mut head = head(text);
            assert_eq!(admit(&mut head), Ok(false), "{text}");
            let seen = head
                .headers
                .get(HOST)
                .map_or("", |host| host.to_str().unwrap());
            assert_eq!(seen, host, "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            ("GET / HTTP/1.1", 400),
            ("GET / HTTP/1.1\nhost: a\nhost: a", 400),
            ("GET / HTTP/1.0\nhost: a\nhost: b", 400),
            ("GET / HTTP/1.1\nhost: a@b/c", 400),
            ("GET / HTTP/1.1\nhost: a b", 400),
            ("GET / HTTP/1.1\nhost: a/b", 400),
            ("GET / HTTP/1.1\nhost: ", 400),
            ("GET / HTTP/1.1\nhost: a:65536", 400),
            ("GET / HTTP/1.0\nhost: a@b", 400),
            ("GET * HTTP/1.1\nhost: a", 400),
            ("GET a:80 HTTP/1.1\nhost: a", 400),
            ("GET a HTTP/1.1\nhost: a", 400),
            ("GET http://u@b/ HTTP/1.1\nhost: b", 400),
            ("GET ftp://b/ HTTP/1.1\nhost: b", 400),
            ("CONNECT / HTTP/1.1\nhost: a", 400),
            ("CONNECT a HTTP/1.1\nhost: a", 400),
            ("CONNECT http://a:80/ HTTP/1.1\nhost: a", 400),
            ("CONNECT u@a:80 HTTP/1.1\nhost: a", 400),
            (
                "POST / HTTP/1.1\nhost: a\ntransfer-encoding: chunked\ntransfer-encoding: chunked",
                400,
            ),
            (
                "POST / HTTP/1.1\nhost: a\ntransfer-encoding: chunked, chunked",
                400,
            ),
            (
                "POST / HTTP/1.1\nhost: a\ntransfer-encoding: gzip, chunked",
                501,
            ),
            (
                "POST / HTTP/1.1\nhost: a\ntransfer-encoding: gzip\ntransfer-encoding: chunked",
                501,
            ),
            (
                "POST / HTTP/1.1\nhost: a\ntransfer-encoding: chunked, gzip, chunked",
                501,
            ),
            ("POST / HTTP/1.1\nhost: a\ntransfer-encoding: ,chunked", 501),
            (
                "POST / HTTP/1.1\nhost: a\ntransfer-encoding: chunked\ncontent-length: 3",
                400,
            ),
            ("GET / HTTP/2", 400),
            ("GET http://a/ HTTP/2\nhost: b", 400),
            ("GET http://a/ HTTP/2\nhost: a\nhost: a", 400),
            ("GET http://u@a/ HTTP/2", 400),
            ("GET http://a/ HTTP/2\nconnection: close", 400),
            ("GET http://a/ HTTP/2\ntransfer-encoding: chunked", 400),
            ("GET http://a/ HTTP/2\nte: gzip", 400),
            (
                "GET http://a/ HTTP/2\ncontent-length: 1\ncontent-length: 1",
                400,
            ),
            ("GET ftp://a/ HTTP/2", 400),
            ("GET http://a/ HTTP/2\nx-a:  b", 400),
            ("GET http://a/ HTTP/2\nx-a: b ", 400),
            ("GET http://a/ HTTP/2\nx-a: \tb", 400),
            ("GET http://a/ HTTP/2\nx-a: b\t", 400),
            ("GET http://a/ HTTP/2\ncookie: a=1\ncookie: b=2 ", 400),
            ("GET http://a/ HTTP/2\nx-a:  ", 400),
        ];
        for (text, status) in cases {
            let refused = admit(&mut head(text)).expect_err(text);
            assert_eq!(refused.status(), status, "{text}: {refused}");
        }
    }

    #[test]
    fn cookies_become_one_field() {
        let cases: &[(&[&str], &[&str])] = &[
            (&[], &[]),
            (&["a=1"], &["a=1"]),
            (&["a=1", "b=2; c=3"], &["a=1; b=2; c=3"]),
        ];
        for version in ["GET http://h/ HTTP/2", "GET / HTTP/1.1\nhost: h"] {
            for (crumbs, want) in cases {
                let lines: Vec<_> = crumbs.iter().map(|it| format!("\ncookie: {it}")).collect();
                let mut head = head(&format!("{version}{}", lines.concat()));
                assert_eq!(admit(&mut head), Ok(false), "{version} {crumbs:?}");
                let found: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
                assert_eq!(found, *want, "{version} {crumbs:?}");
            }
        }
    }

    #[test]
    fn a_long_target_is_414() {
        let fits = format!("GET /{} HTTP/1.1\nhost: a", "x".repeat(MAX_TARGET - 1));
        assert_eq!(admit(&mut head(&fits)), Ok(false));
        let long = format!("GET /{} HTTP/1.1\nhost: a", "x".repeat(MAX_TARGET));
        assert_eq!(admit(&mut head(&long)).unwrap_err().status(), 414);
    }
}
