//! The head of a response in CGI's form: written for web servers, read from programs.

use std::error::Error;
use std::fmt;

use http::header::{self, HeaderMap};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use vestibule_core::{Body, Failure, FailureKind, IntoResponse, Replaced, Response};
use vestibule_fields::list::trim;

use crate::environ::is_hop_by_hop;

/// The first line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadForm {
    /// `Status: 200 OK`: CGI, FastCGI, SCGI.
    Status,
    /// `HTTP/1.1 200 OK`: uwsgi.
    Http,
}

/// Converts a response to a request of `method` to the bytes of its head and the body after it.
///
/// The status always comes first: without it, some web servers would follow a `Location`
/// themselves. Fields of the connection are dropped. So are `X-Sendfile`, `X-Accel-Redirect` and
/// similar fields, with which an attacker who controls a header could read any file.
///
/// A response to HEAD, and 204 and 304, have no body; their length is sent if it is known. An
/// informational response, which CGI cannot express, becomes a 502.
///
/// ```
/// use http::{Method, StatusCode};
/// use vestibule_core::IntoResponse;
/// use vestibule_environ::{HeadForm, respond};
///
/// let response = (StatusCode::IM_A_TEAPOT, "short and stout").into_response();
/// let (head, _) = respond(&Method::GET, HeadForm::Status, response);
/// assert_eq!(head, b"Status: 418 I'm a teapot\r\n\
///     content-type: text/plain; charset=utf-8\r\ncontent-length: 15\r\n\r\n");
/// ```
#[must_use]
pub fn respond(method: &Method, form: HeadForm, mut response: Response) -> (Vec<u8>, Body) {
    if response.status().is_informational() {
        let reason = "a gateway cannot send an informational response or an upgrade";
        let instead = Failure::new(reason)
            .kind(FailureKind::Upstream)
            .into_response();
        let replaced = Replaced::new(instead.status(), reason);
        std::mem::replace(&mut response, instead)
            .into_body()
            .abandon(replaced);
    }
    let (mut head, mut body) = response.into_parts();
    let status = head.status;
    let said = length(&mut head.headers);
    let exact = body.size_hint().exact();
    let has_no_bytes = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = match (has_no_bytes, *method == Method::HEAD) {
        (true, _) => {
            body = body.without_bytes();
            said.filter(|_| status == StatusCode::NOT_MODIFIED)
        }
        (false, true) => {
            body = body.without_bytes();
            said.or(exact.filter(|exact| *exact > 0))
        }
        (false, false) => {
            if let Some(said) = said.filter(|said| Some(*said) != exact) {
                body = body.with_length(said);
            }
            said.or(exact)
        }
    };
    if let Some(length) = length {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    (write(form, status, &head.headers), body)
}

/// Removes `Content-Length`; returns `None` when it is absent, invalid, or repeated.
fn length(headers: &mut HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let digits = only.map(HeaderValue::as_bytes).unwrap_or_default();
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let length = is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok());
    headers.remove(header::CONTENT_LENGTH);
    length.flatten()
}

fn write(form: HeadForm, status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(match form {
        HeadForm::Status => b"Status: ",
        HeadForm::Http => b"HTTP/1.1 ",
    });
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    let reason = status.canonical_reason().unwrap_or("Unknown");
    head.extend_from_slice(reason.as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        // A field of that name would be a second status.
        let is_dropped = is_hop_by_hop(name)
            || is_order_to_server(name)
            || matches!(name.as_str(), "status" | "proxy-authenticate");
        if !is_dropped {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Returns whether web servers read the field as a command, such as to send one of their files.
/// Commands for buffering are harmless.
fn is_order_to_server(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "x-sendfile" | "x-lighttpd-send-file")
        || (name.starts_with("x-accel-") && name != "x-accel-buffering")
}

/// The head of a response that a program or a responder wrote.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Head {
    /// `Status`, or the status of a line such as `HTTP/1.1 200 OK`. Without these it is 302 if
    /// there is a `Location`, otherwise 200.
    pub status: StatusCode,
    /// All fields except `Status` and those of the connection.
    pub headers: HeaderMap,
    /// RFC 3875, section 6.2.2: a `Location` that is a path, without a status. It asks the server
    /// to respond as if the client had requested that path.
    pub is_local_redirect: bool,
}

/// The reason why bytes are not the head of a response. The server that sent the request responds
/// with 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// There is no empty line in the first 64 KiB.
    TooLarge,
    /// A line is not a header field.
    Field,
    /// The status is not a number from 200 to 999.
    Status,
    /// There is no field.
    Empty,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the head of the response has no end",
            Self::Field => "a line in the head of the response is not a header field",
            Self::Status => "the status of the response is not a number from 200 to 999",
            Self::Empty => "the head of the response is empty",
        })
    }
}

impl Error for HeadError {}

impl Head {
    /// Reads a head whose lines end in CRLF or LF. Returns `None` when more bytes are needed;
    /// otherwise the head and its length in bytes, after which the body begins.
    ///
    /// # Errors
    ///
    /// See [`HeadError`].
    ///
    /// ```
    /// use vestibule_environ::Head;
    ///
    /// let (head, length) = Head::parse(b"Status: 404\nX-A: 1\n\nbody").unwrap().unwrap();
    /// assert_eq!((head.status.as_u16(), length), (404, 20));
    /// assert!(Head::parse(b"Status: 404\n").unwrap().is_none());
    /// assert!(Head::parse(b"Status: abc\n\n").is_err());
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let mut status = None;
        let mut headers = HeaderMap::new();
        let mut length = 0_usize;
        let window = bytes.get(..MAX_HEAD).unwrap_or(bytes);
        for (number, line) in window.split_inclusive(|byte| *byte == b'\n').enumerate() {
            length = length.saturating_add(line.len());
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                return match number {
                    0 => Err(HeadError::Empty),
                    _ => Ok(Some((Self::new(status, headers), length))),
                };
            }
            match line.strip_prefix(b"HTTP/").filter(|_| number == 0) {
                Some(line) => {
                    let text = line.splitn(2, |byte| *byte == b' ').nth(1);
                    status = Some(status_code(text.ok_or(HeadError::Status)?)?);
                }
                None => field(line, &mut status, &mut headers)?,
            }
        }
        match bytes.len() >= MAX_HEAD {
            true => Err(HeadError::TooLarge),
            false => Ok(None),
        }
    }

    fn new(status: Option<StatusCode>, mut headers: HeaderMap) -> Self {
        let own: Vec<_> = headers
            .keys()
            .filter(|it| is_hop_by_hop(it))
            .cloned()
            .collect();
        for name in own {
            headers.remove(name);
        }
        let location = headers.get(header::LOCATION).map(HeaderValue::as_bytes);
        let is_local_redirect = status.is_none()
            && location.is_some_and(|to| to.starts_with(b"/") && !to.starts_with(b"//"));
        let implied = match location {
            Some(_) => StatusCode::FOUND,
            None => StatusCode::OK,
        };
        Self {
            status: status.unwrap_or(implied),
            headers,
            is_local_redirect,
        }
    }
}

fn field(
    line: &[u8],
    status: &mut Option<StatusCode>,
    headers: &mut HeaderMap,
) -> Result<(), HeadError> {
    let mut parts = line.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
        return Err(HeadError::Field);
    };
    let value = trim(value);
    if name.eq_ignore_ascii_case(b"status") {
        *status = Some(status_code(value)?);
        return Ok(());
    }
    let name = HeaderName::from_bytes(name).map_err(|_| HeadError::Field)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::Field)?;
    let added = headers.try_append(name, value);
    added.map(drop).map_err(|_| HeadError::TooLarge)
}

/// Parses `404` or `404 Not Found`.
fn status_code(text: &[u8]) -> Result<StatusCode, HeadError> {
    let text = trim(text);
    let digits = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let code = StatusCode::from_bytes(digits).map_err(|_| HeadError::Status)?;
    match code.is_informational() {
        true => Err(HeadError::Status),
        false => Ok(code),
    }
}

/// Maximum length of a head in bytes.
const MAX_HEAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(method: Method, form: HeadForm, response: impl IntoResponse) -> String {
        let (head, body) = respond(&method, form, response.into_response());
        let body = body
            .as_bytes()
            .map(|it| String::from_utf8_lossy(it).into_owned());
        String::from_utf8_lossy(&head).into_owned() + &body.unwrap_or("...".into())
    }

    fn with(status: u16, headers: &[(&'static str, &str)], body: impl Into<Body>) -> Response {
        let mut response = Response::new(body.into());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            response.headers_mut().append(*name, value);
        }
        response
    }

    #[test]
    fn responses() {
        use HeadForm::{Http, Status};
        let cases = [
            // the status
            (
                Method::GET,
                Status,
                with(200, &[], "a"),
                "Status: 200 OK\r\ncontent-length: 1\r\n\r\na",
            ),
            (
                Method::GET,
                Http,
                with(200, &[], "a"),
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
            ),
            (
                Method::GET,
                Status,
                with(299, &[], ""),
                "Status: 299 Unknown\r\ncontent-length: 0\r\n\r\n",
            ),
            // responses that CGI cannot express
            (
                Method::GET,
                Status,
                with(101, &[("upgrade", "x")], ""),
                "Status: 502 Bad Gateway\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 16\r\n\r\n502 Bad Gateway\n",
            ),
            // two lines stay two lines
            (
                Method::GET,
                Status,
                with(204, &[("set-cookie", "a=1"), ("set-cookie", "b=2")], ""),
                "Status: 204 No Content\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n",
            ),
            // fields of the connection
            (
                Method::GET,
                Status,
                with(
                    204,
                    &[
                        ("connection", "close"),
                        ("keep-alive", "1"),
                        ("te", "x"),
                        ("trailer", "x"),
                        ("transfer-encoding", "chunked"),
                        ("upgrade", "x"),
                        ("proxy-authenticate", "x"),
                        ("proxy-connection", "x"),
                        ("status", "500"),
                    ],
                    "",
                ),
                "Status: 204 No Content\r\n\r\n",
            ),
            // lengths
            (
                Method::GET,
                Status,
                with(204, &[("content-length", "0")], ""),
                "Status: 204 No Content\r\n\r\n",
            ),
            (
                Method::GET,
                Status,
                with(304, &[("content-length", "9")], "x"),
                "Status: 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            ),
            (
                Method::HEAD,
                Status,
                with(200, &[], "abc"),
                "Status: 200 OK\r\ncontent-length: 3\r\n\r\n",
            ),
            (
                Method::HEAD,
                Status,
                with(200, &[], ""),
                "Status: 200 OK\r\n\r\n",
            ),
            (
                Method::HEAD,
                Status,
                with(200, &[("content-length", "7")], ""),
                "Status: 200 OK\r\ncontent-length: 7\r\n\r\n",
            ),
            (
                Method::GET,
                Status,
                with(200, &[("content-length", "1, 1")], "a"),
                "Status: 200 OK\r\ncontent-length: 1\r\n\r\na",
            ),
            // a redirect has its status
            (
                Method::GET,
                Status,
                with(302, &[("location", "/x")], ""),
                "Status: 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
            ),
            // commands to the server
            (
                Method::GET,
                Status,
                with(
                    204,
                    &[
                        ("x-accel-redirect", "/etc"),
                        ("x-sendfile", "/etc"),
                        ("x-accel-buffering", "no"),
                    ],
                    "",
                ),
                "Status: 204 No Content\r\nx-accel-buffering: no\r\n\r\n",
            ),
        ];
        for (method, form, response, expected) in cases {
            assert_eq!(text(method, form, response), expected);
        }
    }

    #[tokio::test]
    async fn a_wrong_length_is_an_error() {
        let response = with(200, &[("content-length", "5")], "abc");
        let (_, body) = respond(&Method::GET, HeadForm::Status, response);
        assert!(body.collect(10).await.is_err());
    }

    #[test]
    fn heads_of_programs() {
        type Expected = Result<Option<(u16, usize)>, HeadError>;
        let cases: [(&str, Expected); 18] = [
            ("Content-Type: a/b\r\n\r\nx", Ok(Some((200, 21)))),
            ("Content-Type: a/b\n\nx", Ok(Some((200, 19)))),
            ("Status: 404 Not Found\n\n", Ok(Some((404, 23)))),
            ("Status:404\n\n", Ok(Some((404, 12)))),
            ("Status: 999\n\n", Ok(Some((999, 13)))),
            ("HTTP/1.0 201 Made\r\nA: b\r\n\r\n", Ok(Some((201, 27)))),
            ("Location: /x\n\n", Ok(Some((302, 14)))),
            ("A: b", Ok(None)),
            ("A: b\n", Ok(None)),
            ("", Ok(None)),
            ("\n", Err(HeadError::Empty)),
            ("\r\n\r\n", Err(HeadError::Empty)),
            ("Status: abc\n\n", Err(HeadError::Status)),
            ("Status: 101\n\n", Err(HeadError::Status)),
            ("Status: 099\n\n", Err(HeadError::Status)),
            ("Status: 1000\n\n", Err(HeadError::Status)),
            ("no field\n\n", Err(HeadError::Field)),
            ("A b: c\n\n", Err(HeadError::Field)),
        ];
        for (text, expected) in cases {
            let got = Head::parse(text.as_bytes());
            let got = got.map(|it| it.map(|(head, length)| (head.status.as_u16(), length)));
            assert_eq!(got, expected, "{text:?}");
        }
        let endless = "A: b\n".repeat(20_000);
        assert!(matches!(
            Head::parse(endless.as_bytes()),
            Err(HeadError::TooLarge)
        ));
    }

    /// Invalid heads of CGI programs.
    #[test]
    fn heads_of_broken_programs() {
        let large = format!("X: {}\n\n", "x".repeat(70_000));
        let cases: [(&str, Result<Option<u16>, HeadError>); 12] = [
            ("", Ok(None)),
            ("Content-Ty", Ok(None)),
            ("Status: 200 OK\r\n", Ok(None)),
            ("Status: 200 OK\r\n\r", Ok(None)),
            ("HTTP/1.1 404 No\r\nA: b\r\n\r\n", Ok(Some(404))),
            ("HTTP/1.1\r\n\r\n", Err(HeadError::Status)),
            ("HTTP/1.1 x\r\n\r\n", Err(HeadError::Status)),
            ("A: b\nHTTP/1.1 200 OK\n\n", Err(HeadError::Field)),
            ("A: b\n\nbody", Ok(Some(200))),
            ("<html>\n\n", Err(HeadError::Field)),
            ("A: b\0c\n\n", Err(HeadError::Field)),
            (&large, Err(HeadError::TooLarge)),
        ];
        for (text, expected) in cases {
            let got = Head::parse(text.as_bytes());
            let got = got.map(|it| it.map(|(head, _)| head.status.as_u16()));
            assert_eq!(got, expected, "{:?}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn rfc3875_6_2_2_local_redirects() {
        for (text, is_local) in [
            ("Location: /x\n\n", true),
            ("Location: //x\n\n", false),
            ("Location: http://x/\n\n", false),
            ("Status: 302\nLocation: /x\n\n", false),
        ] {
            let (head, _) = Head::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.is_local_redirect, is_local, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, length))) = Head::parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
