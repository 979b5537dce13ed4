//! The client: cookies, redirects, streams, and paused time.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use vestibule_core::{Body, Failure, IntoResponse, Request, Response};
use vestibule_test::{Client, Piece, answer, ask, request};

async fn site(request: Request) -> Response {
    let cookies = request.headers().get("cookie").cloned();
    let cookies = cookies
        .as_ref()
        .map_or("none", |value| value.to_str().unwrap_or("odd"));
    match (request.method().as_str(), request.uri().path()) {
        ("POST", "/login") => (
            StatusCode::FOUND,
            [("set-cookie", "user=me; Path=/"), ("location", "home?a#b")],
            (),
        )
            .into_response(),
        ("GET", "/logout") => ([("set-cookie", "user=; Path=/; Max-Age=0")], "bye").into_response(),
        ("POST", "/moved") => {
            (StatusCode::PERMANENT_REDIRECT, [("location", "/echo")], ()).into_response()
        }
        ("POST", "/echo") => {
            let bytes = request.into_body().collect(99).await;
            bytes
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .into_response()
        }
        ("GET", "/loop") => (StatusCode::FOUND, [("location", "/loop")], ()).into_response(),
        (method, _) => format!("{method} {} {cookies}", request.uri()).into_response(),
    }
}

#[tokio::test]
async fn cookies_are_kept_and_redirects_followed() {
    let mut client = Client::new(site).follow(3);
    let answer = client.ask("POST /login\nhost: a\n\nname=me").await;
    assert_eq!(answer.text(), "GET /home?a user=me");
    assert_eq!(client.cookies().collect::<Vec<_>>(), ["user=me"]);
    assert_eq!(
        client.ask("GET /other\nhost: b").await.text(),
        "GET /other none"
    );
    client.ask("GET /logout\nhost: a").await;
    assert_eq!(client.cookies().count(), 0);
    assert_eq!(client.ask("POST /moved\n\nkept").await.text(), "kept");
    assert_eq!(client.ask("GET /loop").await.status, 302);
}

#[tokio::test]
async fn redirects_are_not_followed_by_default() {
    let mut client = Client::new(site);
    assert_eq!(client.ask("POST /login\nhost: a").await.status, 302);
}

async fn ticks(_: Request) -> Response {
    let (mut sender, body) = Body::channel();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            sender.send("tick").await?;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-ticks", 2.into());
        sender.finish_with(trailers);
        Ok::<_, vestibule_core::Closed>(())
    });
    Response::new(body)
}

#[tokio::test(start_paused = true)]
async fn paused_time_passes_at_once() {
    let start = tokio::time::Instant::now();
    let mut reply = Client::new(ticks).open("GET /").await;
    assert_eq!(reply.next().await, Some(Piece::Data("tick".into())));
    assert_eq!(start.elapsed().as_secs(), 3600);
    assert_eq!(reply.next().await, Some(Piece::Data("tick".into())));
    let Some(Piece::Trailers(trailers)) = reply.next().await else {
        panic!("there are no trailers");
    };
    assert_eq!(trailers["x-ticks"], "2");
    assert_eq!(reply.next().await, None);
    assert_eq!(
        ask(&ticks, "GET /").await,
        "HTTP/1.1 200 OK\n\nticktick\n-- trailers\nx-ticks: 2\n"
    );
}

#[tokio::test]
async fn an_answer_has_the_cause_of_a_failure() {
    let app = |_: Request| async { Err::<(), _>(Failure::new("disk on fire")) };
    let answer = answer(&app, "GET /").await;
    assert_eq!(
        answer.failure.map(|failure| failure.to_string()).as_deref(),
        Some("disk on fire")
    );
    assert_eq!(
        ask(&app, "GET /").await,
        "HTTP/1.1 500 Internal Server Error\ncontent-type: text/plain; charset=utf-8\n\n500 Internal Server Error\n"
    );
}

#[test]
#[should_panic(expected = "invalid request: line 2, \"host x\": a header needs a colon")]
fn an_invalid_request_text_is_in_the_panic() {
    let _ = request("GET / HTTP/1.1\nhost x\n\n");
}
