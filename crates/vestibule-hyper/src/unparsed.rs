//! A request that the parser refused, made into one that an access log can write.

use http::{Method, Request, StatusCode, Version};
use vestibule_core::{Body, RequestLine};

use crate::guard::Refused;

/// Makes the request that stands for one that could not be parsed: its line as it came, and why it is refused.
///
/// `head` are the bytes that the parser had; there may be none, when it had read the head already.
pub(crate) fn request(head: &[u8], error: &hyper::Error) -> Request<Body> {
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
    extensions.insert(refused(error));
    request
}

/// The first line, without its end. Empty lines before it do not count (RFC 9112, section 2.2).
fn request_line(head: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let begin = head.iter().take_while(|byte| is_end(byte)).count();
    let line = &head[begin..];
    let end = line.iter().position(|byte| *byte == b'\n');
    let line = &line[..end.unwrap_or(line.len()).min(MAX_LINE)];
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The status that the parser answers with, and why.
fn refused(error: &hyper::Error) -> Refused {
    // Only the text tells these kinds apart.
    let text = error.to_string();
    let found = REASONS.iter().find(|(begin, ..)| text.starts_with(begin));
    let (_, status, reason) = found.copied().unwrap_or(UNKNOWN);
    Refused::new(status, reason)
}

/// How the parser's errors begin, and what they mean.
const REASONS: [(&str, StatusCode, &str); 8] = [
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
        "invalid HTTP version",
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
        "invalid HTTP header",
        StatusCode::BAD_REQUEST,
        "a header field cannot be parsed",
    ),
];

const UNKNOWN: (&str, StatusCode, &str) =
    ("", StatusCode::BAD_REQUEST, "the head cannot be parsed");

/// How much of a line is kept for the log, in bytes: as much as the guard lets a target have.
const MAX_LINE: usize = 8 * 1024;

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
