//! The statuses of requests that the parser refuses, and a later minor version, which is served.

use std::sync::Arc;

use http::StatusCode;
use tokio::sync::Notify;
use vestibule_core::{Body, IntoResponse, Request, Response};
use vestibule_hyper::Server;

use crate::support::{Running, answers, echo};

const CLOSE: &str = "Host: a\r\nConnection: close\r\n\r\n";

/// One after the other on a connection: the last one closes it.
fn in_line(requests: &[&str]) -> String {
    requests.concat()
}

/// RFC 9110, section 2.5: "processed as if it were in the highest minor version within that major version".
#[tokio::test]
async fn a_later_minor_version_is_served() {
    let server = Running::brief(echo).await;
    let cases = [
        (format!("GET / HTTP/1.2\r\n{CLOSE}"), vec!["200 GET / at a"]),
        (
            format!("\r\n\r\nGET /x?y HTTP/1.9\r\n{CLOSE}"),
            vec!["200 GET /x?y at a"],
        ),
        (
            format!("GET / HTTP/1.2\n{}", CLOSE.replace('\r', "")),
            vec!["200 GET / at a"],
        ),
        (
            in_line(&[
                "GET /1 HTTP/1.2\r\nHost: a\r\n\r\n",
                "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /3 HTTP/1.7\r\nHost: a\r\n\r\n",
                &format!("GET /4 HTTP/1.2\r\n{CLOSE}"),
            ]),
            vec![
                "200 GET /1 at a",
                "200 GET /2 at a",
                "200 GET /3 at a",
                "200 GET /4 at a",
            ],
        ),
        (
            format!("POST / HTTP/1.3\r\nContent-Length: 3\r\n{CLOSE}abc"),
            vec!["200 POST / at a [abc]"],
        ),
        (
            format!(
                "POST / HTTP/1.3\r\nTransfer-Encoding: chunked\r\n{CLOSE}3\r\nabc\r\n0\r\n\r\n"
            ),
            vec!["200 POST / at a [abc]"],
        ),
        // It is refused for what it is else.
        (
            "GET / HTTP/1.2\r\nConnection: close\r\n\r\n".to_owned(),
            vec!["400"],
        ),
        (
            format!("GET / HTTP/1.2\r\nno colon\r\n{CLOSE}"),
            vec!["400"],
        ),
        (format!("GET / HTTP/1.22\r\n{CLOSE}"), vec!["400"]),
    ];
    for (request, want) in cases {
        let pieces = [request.len(), 1, 7];
        for piece in pieces {
            let mut client = server.connect().await;
            client.pieces(request.as_bytes().chunks(piece)).await;
            let (got, closes) = answers(&client.rest().await);
            let is_right = got.len() == want.len()
                && got
                    .iter()
                    .zip(&want)
                    .all(|(got, want)| got.starts_with(want));
            assert!(
                is_right && closes,
                "{request:?} in pieces of {piece}: {got:?}"
            );
        }
    }
}

/// The parser says 400 to all of these but the large ones, and 431 to those.
#[tokio::test]
async fn the_status_says_what_is_wrong() {
    let x = |count: usize| "x".repeat(count);
    let get = |target: String, fields: String| {
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n");
    let cases = [
        ("GET / HTTP/2.0\r\n\r\n".to_owned(), "505"),
        ("GET / HTTP/3.1\r\n\r\n".to_owned(), "505"),
        ("GET / HTTP/0.9\r\n\r\n".to_owned(), "505"),
        ("GET / HTTP/2\r\n\r\n".to_owned(), "505"),
        ("GET / HTTP/1\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/a.b\r\n\r\n".to_owned(), "400"),
        ("GET / ICAP/1.0\r\n\r\n".to_owned(), "400"),
        (post("Transfer-Encoding: gzip\r\n"), "501"),
        (post("Transfer-Encoding: gzip, chunked\r\n"), "501"),
        (
            post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
            "501",
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"),
            "501",
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            "400",
        ),
        (post("Content-Length: x\r\n"), "400"),
        (get(x(8192), String::new()), "414"),
        (get(x(40_000), String::new()), "414"),
        (format!("GET /{}", x(40_000)), "414"),
        (get(x(20_000), format!("X: {}\r\n", x(20_000))), "414"),
        (get(x(100), format!("X: {}\r\n", x(40_000))), "431"),
        (get(x(8000), format!("X: {}\r\n", x(40_000))), "431"),
        (get(String::new(), "X: y\r\n".repeat(200)), "431"),
        (x(40_000), "501"),
    ];
    let server = Running::brief(echo).await;
    for (request, want) in cases {
        for before in ["", "GET /before HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let (got, closes) = answers(&server.send(format!("{before}{request}")).await);
            let name: String = request.chars().take(60).collect();
            let last = got.last().map(String::as_str).unwrap_or_default();
            assert!(last.starts_with(want) && closes, "{name:?}: {got:?}");
            assert_eq!(
                got.len(),
                1 + usize::from(!before.is_empty()),
                "{name:?}: {got:?}"
            );
        }
    }
}

/// A head that is allowed to be small is filled by its target.
#[tokio::test]
async fn a_target_that_fills_a_small_head_is_414() {
    let server = Running::with(Server::new(echo).max_header_bytes(1024)).await;
    for (target, field, want) in [(2000, 1, "414"), (500, 2000, "431"), (500, 1, "200")] {
        let request = format!(
            "GET /{} HTTP/1.1\r\nX: {}\r\n{CLOSE}",
            "x".repeat(target),
            "y".repeat(field)
        );
        let (got, _) = answers(&server.send(request).await);
        assert!(got[0].starts_with(want), "{target} {field}: {got:?}");
    }
}

/// An app may answer just as the parser does.
#[tokio::test]
async fn an_answer_of_an_app_that_looks_like_the_parsers_is_sent() {
    async fn app(request: Request, told: Arc<Notify>) -> Response {
        let text = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                    date: Tue, 01 Dec 2026 03:00:00 GMT\r\n\r\n";
        match request.uri().path() {
            "/empty" => StatusCode::BAD_REQUEST.into_response(),
            "/whole" => text.into_response(),
            _ => {
                let (mut sender, body) = Body::channel();
                tokio::spawn(async move {
                    let _ = sender.send("first ").await;
                    // The client has it, so the text is a write of its own.
                    told.notified().await;
                    let _ = sender.send(text).await;
                    sender.finish();
                });
                Response::new(body.with_length(6 + text.len() as u64))
            }
        }
    }
    let told = Arc::new(Notify::new());
    let of_app = told.clone();
    let server = Running::brief(move |request| app(request, of_app.clone())).await;
    for path in ["/empty", "/whole", "/parts"] {
        for end in ["\r\n", "Connection: close\r\n\r\n"] {
            let mut client = server.connect().await;
            client
                .write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{end}"))
                .await;
            let mut said = String::new();
            if path == "/parts" {
                said = client.until("first ").await;
                told.notify_one();
            }
            said += &client.rest().await;
            let count = said.matches("HTTP/1.1 400 ").count();
            assert_eq!(count, 1, "{path} {end:?}: {said}");
            let is_whole = path == "/empty" || said.ends_with(" GMT\r\n\r\n");
            assert!(is_whole, "{path} {end:?}: {said}");
        }
    }
}
