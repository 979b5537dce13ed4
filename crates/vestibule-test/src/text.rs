//! Requests from text.

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Uri, Version};
use vestibule_core::{Body, Request};

/// Parses a request from text in HTTP/1.1 format; lines end in `\n` or `\r\n`.
///
/// The version is optional and defaults to HTTP/1.1. The text after the first empty line is the
/// body, unchanged. A request with a body and without Content-Length and Transfer-Encoding gets a
/// Content-Length.
///
/// ```
/// let request = vestibule_test::request("POST /a?b HTTP/1.1\nhost: example.org\n\nbody");
/// assert_eq!(request.uri().query(), Some("b"));
/// assert_eq!(request.headers()["content-length"], "4");
/// assert_eq!(request.body().as_bytes().unwrap(), "body");
/// ```
///
/// # Panics
///
/// Panics if the text is not a request. The message has the fault and its line.
#[must_use]
#[track_caller]
pub fn request(text: &str) -> Request {
    match parse(text) {
        Ok(request) => request,
        Err(wrong) => panic!("invalid request: {wrong}\n---\n{text}\n---"),
    }
}

fn parse(text: &str) -> Result<Request, String> {
    let (head, body) = split(text);
    let mut lines = head
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let mut request = Request::default();
    let (method, target, version) =
        request_line(first).map_err(|wrong| format!("line 1, {first:?}: {wrong}"))?;
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.version_mut() = version;
    for (index, line) in lines.enumerate() {
        let (name, value) =
            header(line).map_err(|wrong| format!("line {}, {line:?}: {wrong}", index + 2))?;
        request.headers_mut().append(name, value);
    }
    let has_framing = [CONTENT_LENGTH, TRANSFER_ENCODING]
        .iter()
        .any(|name| request.headers().contains_key(name));
    if !body.is_empty() && !has_framing {
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    *request.body_mut() = Body::from(body.to_owned());
    Ok(request)
}

/// Returns the head without its last line end, and the body.
fn split(text: &str) -> (&str, &str) {
    let ends = ["\n\n", "\n\r\n"].into_iter();
    let ends = ends.filter_map(|end| text.find(end).map(|at| (at, at + end.len())));
    match ends.min() {
        Some((head, body)) => (&text[..head], &text[body..]),
        None => (text.strip_suffix('\n').unwrap_or(text), ""),
    }
}

fn request_line(line: &str) -> Result<(Method, Uri, Version), String> {
    let mut words = line.split(' ');
    let shape = "a request begins with a line like `GET /path HTTP/1.1`";
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(shape.to_owned());
    };
    let version = match words.next() {
        None => Version::HTTP_11,
        Some("HTTP/1.0") => Version::HTTP_10,
        Some("HTTP/1.1") => Version::HTTP_11,
        Some("HTTP/2" | "HTTP/2.0") => Version::HTTP_2,
        Some("HTTP/3" | "HTTP/3.0") => Version::HTTP_3,
        Some(other) => return Err(format!("{other:?} is not a version, such as `HTTP/1.1`")),
    };
    if words.next().is_some() {
        return Err(format!("the line has more than three words; {shape}"));
    }
    let method = method
        .parse()
        .map_err(|_| format!("{method:?} is not a method; {shape}"))?;
    let target = target
        .parse()
        .map_err(|error| format!("{target:?} is not a target: {error}"))?;
    Ok((method, target, version))
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or("a header needs a colon, and the body an empty line before it")?;
    let own = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is not a header name"))?;
    let value = value.trim_matches([' ', '\t']);
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| format!("{value:?} cannot be a header value"))?;
    Ok((own, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_parsed() {
        // Each row: the text, and then method, target, version, headers and body.
        let cases = [
            ("GET /", "GET / HTTP/1.1 {} \"\""),
            ("GET /\n", "GET / HTTP/1.1 {} \"\""),
            ("GET / HTTP/1.0\n\n", "GET / HTTP/1.0 {} \"\""),
            (
                "GET / HTTP/2\r\na: b\r\n\r\n",
                "GET / HTTP/2.0 {\"a\": \"b\"} \"\"",
            ),
            (
                "PUT /\nA:b \n\nc\n\nd",
                "PUT / HTTP/1.1 {\"a\": \"b\", \"content-length\": \"4\"} \"c\\n\\nd\"",
            ),
            (
                "PUT /\r\n\r\nc\n\nd",
                "PUT / HTTP/1.1 {\"content-length\": \"4\"} \"c\\n\\nd\"",
            ),
            (
                "PUT /\ncontent-length: 9\n\nc",
                "PUT / HTTP/1.1 {\"content-length\": \"9\"} \"c\"",
            ),
            ("OPTIONS *", "OPTIONS * HTTP/1.1 {} \"\""),
            ("CONNECT a:80", "CONNECT a:80 HTTP/1.1 {} \"\""),
        ];
        for (text, want) in cases {
            let request = parse(text).unwrap();
            let body = String::from_utf8_lossy(request.body().as_bytes().unwrap()).into_owned();
            let got = format!(
                "{} {} {:?} {:?} {body:?}",
                request.method(),
                request.uri(),
                request.version(),
                request.headers()
            );
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn texts_that_are_not_requests_are_refused() {
        let cases = [
            (
                "",
                "line 1, \"\": a request begins with a line like `GET /path HTTP/1.1`",
            ),
            ("GET", "line 1, \"GET\": a request begins"),
            ("G(T /", "\"G(T\" is not a method"),
            ("GET / HTTP/9", "\"HTTP/9\" is not a version"),
            ("GET / b HTTP/1.1", "\"b\" is not a version"),
            ("GET / HTTP/1.1 x", "the line has more than three words"),
            ("GET a/b c", "\"c\" is not a version"),
            ("GET a b/c:d", "\"b/c:d\" is not a version"),
            ("GET http://", "is not a target"),
            (
                "GET /\na: b\nbody",
                "line 3, \"body\": a header needs a colon, and the body an empty line before it",
            ),
            (
                "GET /\na b: c",
                "line 2, \"a b: c\": \"a b\" is not a header name",
            ),
            ("GET /\na: b\u{1}", "cannot be a header value"),
        ];
        for (text, want) in cases {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.contains(want), "{text:?}: {wrong}");
        }
    }
}
