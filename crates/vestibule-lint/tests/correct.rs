//! Correct apps, and all middleware of vestibule-core, have no violations.

use std::task::Poll;

use http::{HeaderValue, Uri};
use vestibule_core::{
    App, Body, BoxApp, CatchPanic, Mounts, Next, Only, PathView, Request, Response, Stack, around,
    map_request, map_response,
};
use vestibule_lint::{Lint, torture};

use crate::support::Step::{Data, Error, Hint, Trailers, Wait};
use crate::support::{Violations, app, body, read, request, response, violations};

#[tokio::test]
async fn correct_responses_have_no_violations() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let rich = format!(
        "200\ndate: {date}\nlast-modified: {date}\nexpires: {date}\netag: W/\"a\"\nvary: accept, origin\n\
         content-type: text/html; charset=\"utf-8\"\ncontent-language: en\ncontent-length: 2\nage: 0\n\
         cache-control: public, max-age=60\nset-cookie: a=b; Path=/; Secure; Expires={date}\n\
         set-cookie: a=b; Path=/x\nstrict-transport-security: max-age=\"1\"; includeSubDomains\n\
         access-control-allow-origin: https://a:1\naccess-control-allow-credentials: true\n\
         retry-after: 1\nallow: GET, HEAD"
    );
    // Each row: the request, the head of the response, its body.
    let cases = [
        ("GET http://a.example/", "200\nx-a: b", "ab"),
        ("GET https://a.example/", &*rich, "ab"),
        ("HEAD /", "200\ncontent-length: 5", ""),
        ("OPTIONS *", "204", ""),
        ("CONNECT a:80", "200", ""),
        ("CONNECT https://a/ HTTP/2", "200", ""),
        (
            "GET /\nif-none-match: \"a\"",
            "304\netag: \"a\"\nvary: a",
            "",
        ),
        ("GET /\nif-none-match: \"a\"", "304\ncontent-length: 5", ""),
        (
            "GET /\nrange: bytes=0-1",
            "206\ncontent-range: bytes 0-1/5\ncontent-length: 2",
            "ab",
        ),
        (
            "GET /\nrange: bytes=0-1,3-4",
            "206\ncontent-type: multipart/byteranges; boundary=a",
            "ab",
        ),
        (
            "GET /\nrange: bytes=9-",
            "416\ncontent-range: bytes */5",
            "",
        ),
        (
            "GET /\nupgrade: websocket\nconnection: upgrade",
            "101\nupgrade: websocket\nconnection: upgrade",
            "",
        ),
        ("GET /", "426\nupgrade: TLS/1.0\nconnection: upgrade", ""),
        ("GET /", "302\nlocation: ../a?b=%20#c", ""),
        ("GET /", "401\nwww-authenticate: Basic realm=\"a\"", ""),
        ("GET /", "405\nallow: GET", ""),
        ("GET /\nhost: [::1]:80", "205", ""),
    ];
    for (asked, head, text) in cases {
        let owned = head.to_owned();
        let lint = Lint::new(app(move || response(&owned, text)));
        assert_eq!(
            violations(lint, request(asked)).await,
            [],
            "{asked}, {head}"
        );
    }
}

#[tokio::test]
async fn correct_bodies_have_no_violations() {
    let cases = [
        vec![Data("a"), Wait, Data("b"), Trailers("x-sum")],
        vec![Hint(2, Some(2)), Data("a"), Hint(1, Some(1)), Data("b")],
        vec![Hint(0, Some(9)), Data("a"), Data("")],
        vec![Data("a"), Error],
        vec![Hint(5, None), Data("a"), Error],
        vec![Error],
    ];
    for steps in cases {
        let shown = format!("{steps:?}");
        let lint = Lint::new(app(move || response("200", body(steps.clone()))));
        assert_eq!(violations(lint, request("GET /")).await, [], "{shown}");
    }
}

type Wrap = Box<dyn Fn(BoxApp) -> BoxApp>;

/// Every middleware of vestibule-core.
fn all_of_core() -> Vec<(&'static str, Wrap)> {
    vec![
        ("nothing", Box::new(|app| app)),
        (
            "Around",
            Box::new(|app| {
                around(|request, next: Next| async move { next.call(request).await })(app).boxed()
            }),
        ),
        (
            "MapRequest",
            Box::new(|app| {
                map_request(|mut request| {
                    *request.uri_mut() = Uri::from_static("/elsewhere");
                    request
                })(app)
                .boxed()
            }),
        ),
        (
            "MapResponse",
            Box::new(|app| {
                map_response(|mut response: Response| {
                    response
                        .headers_mut()
                        .insert("x-a", HeaderValue::from_static("b"));
                    response
                })(app)
                .boxed()
            }),
        ),
        (
            "Only",
            Box::new(|app| Only::new(app, |_: &Request| true, CatchPanic::new).boxed()),
        ),
        ("CatchPanic", Box::new(|app| CatchPanic::new(app).boxed())),
        (
            "Mounts",
            Box::new(|app| Mounts::new().at("/a", app).boxed()),
        ),
        (
            "Stack",
            Box::new(|app| {
                Stack::new()
                    .with(CatchPanic::new)
                    .with(CatchPanic::new)
                    .app(app)
            }),
        ),
        ("Lint", Box::new(|app| Lint::new(app).boxed())),
        (
            "Lint::both",
            Box::new(|app| Lint::both(app, CatchPanic::new).boxed()),
        ),
    ]
}

#[tokio::test]
async fn core_middleware_has_no_violations() {
    for (name, wrap) in all_of_core() {
        let answers: [fn() -> Response; 6] = [
            || response("200\ncontent-length: 2", "ab"),
            || {
                response(
                    "200",
                    body([Data("a"), Wait, Data("b"), Wait, Trailers("x-sum")]),
                )
            },
            || {
                response(
                    "200\ncontent-length: 2",
                    body([Hint(2, Some(2)), Data("a"), Data("b")]),
                )
            },
            || response("200", body([Data("a"), Error])),
            || response("204", Body::empty()),
            || response("101\nupgrade: a", body([Data("a"), Data("b")])),
        ];
        for (index, answer) in answers.into_iter().enumerate() {
            let lint = Lint::both(app(answer), &wrap);
            let mut request = request("POST /a/b\nupgrade: a\ncontent-length: 2");
            *request.body_mut() = body([Data("a"), Wait, Data("b")]);
            assert_eq!(
                violations(lint, request).await,
                [],
                "{name}, answer {index}"
            );
        }
        let waiting = |_: Request| async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            response("200", body([Data("a"), Wait, Data("b")]))
        };
        let tortured = torture(&wrap(waiting.boxed()), || request("GET /a")).await;
        assert_eq!((tortured.calls, tortured.bodies), (2, 3), "{name}");
        assert_eq!(tortured.violations, [], "{name}");
    }
}

#[tokio::test]
async fn an_app_may_read_its_request() {
    let lint = Lint::new(|request: Request| async move {
        let is_path = PathView::of(&request).is_ok();
        let bytes = request.into_body().collect(99).await?;
        Ok::<_, vestibule_core::CollectError>(format!("{is_path} {}", bytes.len()))
    });
    let mut request = request("POST /\ncontent-length: 2");
    *request.body_mut() = body([Data("a"), Wait, Data("b")]);
    assert_eq!(violations(lint, request).await, []);
}

#[tokio::test]
async fn a_body_may_be_read_after_the_client_closed() {
    let told = Violations::default();
    let finishes = around(|request, next: Next| async move {
        let call = tokio::spawn(async move {
            let response = next.call(request).await;
            tokio::task::yield_now().await;
            read(response.into_body()).await.concat()
        });
        tokio::task::yield_now().await;
        call.await.unwrap_or_default()
    });
    let inner = app(|| response("200", body([Data("a"), Wait, Data("b")])));
    let lint = told.on(Lint::both(inner, finishes));
    let mut call = Box::pin(lint.call(request("GET /")));
    let is_waiting = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending()));
    assert!(is_waiting.await);
    drop(call);
    for _ in 0..9 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told.all(), []);

    // With a connected client, the same behaviour is a violation.
    lint.call(request("GET /")).await;
    assert_eq!(told.all()[0].rule.id, "response-body-is-lazy");
}
