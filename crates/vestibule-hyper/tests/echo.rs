//! An app that says what it saw, and how a client reads it: for the tests here and for the benchmark that asks other servers
//! the same (`benches/framing.rs`).

use http::StatusCode;
use vestibule_core::Request;

/// Says what it saw of the request; does not read the body below `/ignore`.
pub(crate) async fn echo(request: Request) -> (StatusCode, String) {
    let line = format!("{} {}", request.method(), request.uri());
    let host = match request.headers().get("host") {
        Some(host) => format!(" at {}", String::from_utf8_lossy(host.as_bytes())),
        None => String::new(),
    };
    if request.uri().path().starts_with("/ignore") {
        return (StatusCode::OK, line + &host);
    }
    match request.into_body().collect(1 << 20).await {
        Ok(body) if body.is_empty() => (StatusCode::OK, line + &host),
        Ok(body) => {
            let body = String::from_utf8_lossy(&body).into_owned();
            (StatusCode::OK, format!("{line}{host} [{body}]"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// Each response of a connection as `status body`, and whether the last one says that it closes. What is not a whole
/// response stands there as it is.
pub(crate) fn answers(mut text: &str) -> (Vec<String>, bool) {
    let mut answers = Vec::new();
    let mut closes = false;
    while !text.is_empty() {
        let Some(answer) = first(text) else {
            answers.push(text.to_owned());
            break;
        };
        answers.push(
            format!("{} {}", answer.status, answer.body)
                .trim_end()
                .to_owned(),
        );
        closes = answer.closes;
        text = answer.rest;
    }
    (answers, closes)
}

struct Answer<'a> {
    status: &'a str,
    body: &'a str,
    closes: bool,
    rest: &'a str,
}

fn first(text: &str) -> Option<Answer<'_>> {
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let found = fields.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    };
    let length = field("content-length").map_or(Some(0), |length| length.parse().ok());
    let (body, rest) = rest.split_at_checked(length?)?;
    Some(Answer {
        status: head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?,
        body,
        closes: field("connection") == Some("close") || head.starts_with("HTTP/1.0"),
        rest,
    })
}
