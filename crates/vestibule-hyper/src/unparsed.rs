//! A request that the parser refused, made into one that an access log can write.

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use vestibule_core::{Body, RequestLine};

use crate::guard::Refused;

/// Makes the request that stands for one that could not be parsed: its line as it came, and why it is refused.
///
/// `head` are the bytes that the parser had; there may be none, when it had read the head already.
pub(crate) fn request(head: &[u8], refused: Refused) -> Request<Body> {
    let line = request_line(head);
    let mut request = Request::new(Body::empty());
    // Which one it is, or whether there is one, is not known.
    if let Ok(unknown) = Method::from_bytes(b"_OTHER") {
        *request.method_mut() = unknown;
    }
    *request.version_mut() = match line.ends_with(b"HTTP/1.0") {
        true => Version::HTTP_10,
        false => Version::HTTP_11,
    };
    let extensions = request.extensions_mut();
    extensions.insert(RequestLine::new(line));
    extensions.insert(refused);
    request
}

/// The decision about a request that the parser has refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is parsed again, from these bytes on.
    Serve(Vec<u8>),
    Refuse(Refused),
}

/// Decides by the bytes that the parser had, and by its error.
pub(crate) fn decide(head: &[u8], error: &hyper::Error, max_header_bytes: usize) -> Decision {
    let parsers = refused(error);
    match parsers.status() {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            Decision::Refuse(too_large(head, max_header_bytes).unwrap_or(parsers))
        }
        _ if error.to_string().starts_with(VERSION) => version(head, parsers),
        _ => Decision::Refuse(parsers),
    }
}

/// RFC 9110, section 2.5: a request of a later minor version is served as one of the highest minor version that is
/// known. Section 15.6.6: one of another major version is a 505.
fn version(head: &[u8], parsers: Refused) -> Decision {
    let line = request_line(head);
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let version = words.nth(2).unwrap_or_default();
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => {
            let begin = leading_ends(head);
            let mut head = head[begin..].to_vec();
            head[line.len() - 1] = b'1';
            Decision::Serve(head)
        }
        [b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9'] => Decision::Refuse(NO_VERSION),
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'0' | b'2'..=b'9',
            b'.',
            b'0'..=b'9',
        ] => Decision::Refuse(NO_VERSION),
        _ => Decision::Refuse(parsers),
    }
}

const NO_VERSION: Refused = Refused::new(
    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    "a version of HTTP that is not spoken on this connection",
);

/// Why a head is too large, when that is because of its first line: of a method (RFC 9112, section 3) or a target
/// (RFC 9110, section 15.5.15).
fn too_large(head: &[u8], max_header_bytes: usize) -> Option<Refused> {
    let head = &head[leading_ends(head)..];
    let length = head.iter().position(|byte| *byte == b'\n');
    let line = &head[..length.unwrap_or(head.len())];
    let Some(method) = line.iter().position(|byte| *byte == b' ') else {
        let is_long = line.len() > MAX_METHOD;
        return is_long.then_some(Refused::new(
            StatusCode::NOT_IMPLEMENTED,
            "the method is longer than any that there is",
        ));
    };
    let target = line[method + 1..].split(|byte| *byte == b' ').next();
    let is_long = target.is_some_and(|target| target.len() > MAX_LINE);
    (is_long || line.len() >= max_header_bytes).then_some(Refused::new(
        StatusCode::URI_TOO_LONG,
        "the target is too long",
    ))
}

/// The parser's answer with another status.
pub(crate) fn with_status(answer: &[u8], status: StatusCode) -> Bytes {
    let end = answer.iter().position(|byte| *byte == b'\n');
    let fields = end.map_or(&[][..], |end| &answer[end + 1..]);
    let reason = status.canonical_reason().unwrap_or_default();
    let line = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    [line.as_bytes(), fields].concat().into()
}

/// How many bytes of empty lines are before the request. They do not count (RFC 9112, section 2.2).
fn leading_ends(head: &[u8]) -> usize {
    let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    head.iter().take_while(is_end).count()
}

/// The first line, without its end.
fn request_line(head: &[u8]) -> &[u8] {
    let line = &head[leading_ends(head)..];
    let end = line.iter().position(|byte| *byte == b'\n');
    let line = &line[..end.unwrap_or(line.len()).min(MAX_LINE)];
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The status that the parser answers with, and why.
pub(crate) fn refused(error: &hyper::Error) -> Refused {
    // Only the text tells these kinds apart.
    let text = error.to_string();
    let found = REASONS.iter().find(|(begin, ..)| text.starts_with(begin));
    let (_, status, reason) = found.copied().unwrap_or(UNKNOWN);
    Refused::new(status, reason)
}

/// How the parser's errors begin, and what they mean.
const REASONS: [(&str, StatusCode, &str); 9] = [
    (
        "message head is too large",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the head is too large",
    ),
    (
        "URI too long",
        StatusCode::URI_TOO_LONG,
        "the target is too long",
    ),
    (
        "invalid HTTP method",
        StatusCode::BAD_REQUEST,
        "the method cannot be parsed",
    ),
    (
        "invalid URI",
        StatusCode::BAD_REQUEST,
        "the target cannot be parsed",
    ),
    (
        VERSION,
        StatusCode::BAD_REQUEST,
        "the version cannot be parsed",
    ),
    (
        "invalid content-length",
        StatusCode::BAD_REQUEST,
        "Content-Length is not a number, or two differ",
    ),
    (
        "unexpected transfer-encoding",
        StatusCode::BAD_REQUEST,
        "a Transfer-Encoding that cannot be",
    ),
    (
        // The last coding is not `chunked`, so it is one that is not implemented (RFC 9112, section 6.1).
        "invalid transfer-encoding",
        StatusCode::NOT_IMPLEMENTED,
        "a transfer coding that is not implemented",
    ),
    (
        "invalid HTTP header",
        StatusCode::BAD_REQUEST,
        "a header field cannot be parsed",
    ),
];

/// How the parser's error about a version begins.
const VERSION: &str = "invalid HTTP version";

const UNKNOWN: (&str, StatusCode, &str) =
    ("", StatusCode::BAD_REQUEST, "the head cannot be parsed");

/// How much of a line is kept for the log, in bytes: as much as the guard lets a target have.
const MAX_LINE: usize = 8 * 1024;

/// The longest method that is registered has 17 letters; this is enough for all that apps have made up.
const MAX_METHOD: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let long = vec![b'a'; MAX_LINE + 1];
        let cases: [(&[u8], &[u8]); 9] = [
            (b"", b""),
            (b"\r\n", b""),
            (
                b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET /a b HTTP/1.1",
            ),
            (
                b"\r\n\nGET /a b HTTP/1.1\nHost: a\n\n",
                b"GET /a b HTTP/1.1",
            ),
            (b"\x16\x03\x01\0\xa5\x01", b"\x16\x03\x01\0\xa5\x01"),
            (b"SSH-2.0-x\r\n", b"SSH-2.0-x"),
            (b"a\rb\r\n", b"a\rb"),
            (b"half of a line", b"half of a line"),
            (&long, &long[1..]),
        ];
        for (head, want) in cases {
            assert_eq!(request_line(head), want, "{}", head.escape_ascii());
        }
    }
}
