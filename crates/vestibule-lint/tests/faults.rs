//! At least one broken app, server or middleware for each rule. The lint reports each with its
//! sentence.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body::{Body as _, Frame};
use vestibule_core::{
    App, Body, BodyError, BoxApp, Failure, FilePart, IntoResponse, Mount, Next, Request, Response,
    around, map_response,
};
use vestibule_lint::{Lint, Rule, Side, Violation, torture};

use crate::support::Step::{self, Data, Error, Hint, Panic, Sleep, Trailers, Wait};
use crate::support::{Violations, app, body, read, request, response, violations};

const GET: &str = "GET / HTTP/1.1";

/// A fault, and the reported violations.
struct Case {
    id: &'static str,
    side: Side,
    reported: Vec<Violation>,
}

async fn bad_requests(cases: &mut Vec<Case>) {
    let mut mounted = request("GET /a/b HTTP/1.1");
    mounted.extensions_mut().insert(Mount::new("/x/b", 2));
    let faults = [
        ("asterisk-with-options", request("GET *")),
        ("authority-with-connect", request("GET example.org:80")),
        ("connect-names-a-port", request("CONNECT /")),
        ("target-is-ascii", request("GET /ü")),
        ("scheme-is-http", request("GET ftp://example.org/")),
        ("no-user-in-target", request("GET http://me@example.org/")),
        ("host-is-a-host", request("GET /\nhost: a@b")),
        ("host-once", request("GET /\nhost: a\nhost: a")),
        (
            "request-length-is-digits",
            request("GET /\ncontent-length: +0"),
        ),
        (
            "one-framing",
            request("GET /\ncontent-length: 0\ntransfer-encoding: chunked"),
        ),
        (
            "no-connection-fields-on-http2",
            request("GET / HTTP/2\nkeep-alive: 1"),
        ),
        ("request-values-are-trimmed", request("GET /\nx-a: b ")),
        ("mount-is-the-path", mounted),
        (
            "content-length-is-true",
            request("POST /\ncontent-length: 3"),
        ),
    ];
    for (id, request) in faults {
        let lint = Lint::new(app(|| response("204", Body::empty())));
        cases.push(Case {
            id,
            side: Side::Server,
            reported: violations(lint, request).await,
        });
    }
}

async fn bad_heads(cases: &mut Vec<Case>) {
    // Each row: the rule, the request, the response.
    let faults = [
        ("status-in-range", GET, "600"),
        ("answer-is-final", GET, "103"),
        (
            "no-101-on-http2",
            "GET / HTTP/2\nupgrade: a",
            "101\nupgrade: a",
        ),
        ("upgrade-with-101", GET, "101"),
        (
            "chosen-was-offered",
            "GET /\nupgrade: a, b",
            "101\nupgrade: c",
        ),
        ("upgrade-with-426", GET, "426"),
        ("no-connection-fields", GET, "200\nconnection: close"),
        (
            "no-connection-fields",
            GET,
            "200\ntransfer-encoding: chunked",
        ),
        ("no-status-field", GET, "200\nstatus: 200"),
        ("values-are-trimmed", GET, "200\nx-a: \tb"),
        (
            "once-only",
            GET,
            "200\ndate: Sun, 06 Nov 1994 08:49:37 GMT\ndate: Sun, 06 Nov 1994 08:49:37 GMT",
        ),
        (
            "length-is-digits",
            GET,
            "200\ncontent-length: 0\ncontent-length: 0",
        ),
        ("length-is-digits", GET, "200\ncontent-length: 0x0"),
        ("no-length-without-body", GET, "204\ncontent-length: 0"),
        (
            "no-length-without-body",
            "GET /\nif-none-match: *",
            "304\ncontent-length: 0",
        ),
        ("no-type-without-body", GET, "204\ncontent-type: text/plain"),
        ("nothing-with-205", GET, "205\ncontent-length: 1"),
        ("range-with-206", "GET /\nrange: bytes=0-", "206"),
        (
            "range-with-206",
            "GET /\nrange: bytes=0-",
            "206\ncontent-range: bytes 0-0/1\ncontent-type: multipart/byteranges; boundary=a",
        ),
        ("range-was-asked", GET, "206\ncontent-range: bytes 0-0/1"),
        (
            "content-range-syntax",
            "GET /\nrange: bytes=0-",
            "206\ncontent-range: bytes 4-3/9",
        ),
        (
            "content-range-syntax",
            GET,
            "200\ncontent-range: bytes 0-0/1",
        ),
        (
            "part-is-as-long-as-it-says",
            "GET /\nrange: bytes=0-",
            "206\ncontent-range: bytes 0-4/9\ncontent-length: 4",
        ),
        ("location-with-30x", GET, "308"),
        ("location-syntax", GET, "302\nlocation: /a\tb"),
        ("condition-with-304", GET, "304"),
        ("challenge-with-401", GET, "401"),
        ("challenge-with-407", GET, "407"),
        ("challenge-syntax", GET, "401\nwww-authenticate: \"a\""),
        ("allow-with-405", GET, "405"),
        ("allow-syntax", GET, "405\nallow: GET POST"),
        ("range-with-416", GET, "416"),
        (
            "no-framing-of-a-tunnel",
            "CONNECT a:80",
            "200\ncontent-length: 0",
        ),
        ("type-syntax", GET, "200\ncontent-type: text"),
        ("coding-syntax", GET, "200\ncontent-encoding: identity"),
        ("vary-syntax", GET, "200\nvary: *, accept"),
        ("etag-syntax", GET, "200\netag: abc"),
        ("dates-are-fixdates", GET, "200\nexpires: 0"),
        (
            "dates-are-fixdates",
            GET,
            "200\nexpires: Sun, 06 Nov 1994 08:49:60 GMT",
        ),
        (
            "dates-are-fixdates",
            GET,
            "200\nlast-modified: Sunday, 06-Nov-94 08:49:37 GMT",
        ),
        ("retry-after-syntax", GET, "503\nretry-after: soon"),
        ("age-syntax", GET, "200\nage: -1"),
        ("cache-control-syntax", GET, "200\ncache-control: max age"),
        ("cookie-syntax", GET, "200\nset-cookie: a=b c"),
        (
            "cookie-expires-is-a-date",
            GET,
            "200\nset-cookie: a=b; Expires=tomorrow",
        ),
        (
            "cookie-keeps-its-promise",
            GET,
            "200\nset-cookie: __Host-a=b; Path=/",
        ),
        ("cookie-once", GET, "200\nset-cookie: a=b\nset-cookie: a=c"),
        (
            "no-sts-over-http",
            "GET http://a/",
            "200\nstrict-transport-security: max-age=1",
        ),
        ("sts-syntax", GET, "200\nstrict-transport-security: preload"),
        (
            "no-credentials-for-all",
            GET,
            "200\naccess-control-allow-origin: *\naccess-control-allow-credentials: true",
        ),
        (
            "allowed-origin-syntax",
            GET,
            "200\naccess-control-allow-origin: https://a, https://b",
        ),
    ];
    for (id, asked, answer) in faults {
        let lint = Lint::new(app(move || response(answer, Body::empty())));
        cases.push(Case {
            id,
            side: Side::App,
            reported: violations(lint, request(asked)).await,
        });
    }
    let talkative = app(|| {
        let mut response = response("500", "sorry: table users is locked");
        Failure::new("table users is locked").attach(&mut response);
        response
    });
    let reported = violations(Lint::new(talkative), request(GET)).await;
    cases.push(Case {
        id: "cause-is-not-told",
        side: Side::App,
        reported,
    });
}

async fn bad_bodies(cases: &mut Vec<Case>) {
    let many = vec![Data(""); 32];
    // Each row: the rule, the request, the head of the response, its body.
    let faults: Vec<(_, _, _, Vec<Step>)> = vec![
        (
            "content-length-is-true",
            GET,
            "200\ncontent-length: 3",
            vec![Data("ab")],
        ),
        (
            "content-length-is-true",
            GET,
            "200\ncontent-length: 3",
            vec![Data("ab"), Data("cd")],
        ),
        (
            "content-length-is-true",
            GET,
            "200\ncontent-length: 3",
            vec![Hint(2, Some(2)), Data("ab")],
        ),
        ("no-bytes-for-head", "HEAD /", "200", vec![Data("ab")]),
        ("no-bytes-with-status", GET, "204", vec![Data("ab")]),
        (
            "nothing-with-205",
            GET,
            "205",
            vec![Hint(2, Some(2)), Data("ab")],
        ),
        (
            "trailers-are-last",
            GET,
            "200",
            vec![Trailers("x-a"), Data("ab")],
        ),
        (
            "trailers-once",
            GET,
            "200",
            vec![Trailers("x-a"), Trailers("x-b")],
        ),
        (
            "trailers-are-allowed",
            GET,
            "200",
            vec![Trailers("content-length")],
        ),
        (
            "size-hint-is-not-too-high",
            GET,
            "200",
            vec![Hint(3, None), Data("ab")],
        ),
        (
            "size-hint-is-not-too-low",
            GET,
            "200",
            vec![Data("a"), Hint(0, Some(1)), Data("bc")],
        ),
        ("frames-make-progress", GET, "200", many),
        ("body-does-not-panic", GET, "200", vec![Data("a"), Panic]),
    ];
    for (id, asked, head, steps) in faults {
        let lint = Lint::new(app(move || response(head, body(steps.clone()))));
        cases.push(Case {
            id,
            side: Side::App,
            reported: violations(lint, request(asked)).await,
        });
    }
    // Bodies in memory.
    let whole = [
        ("content-length-is-true", GET, "200\ncontent-length: 3"),
        ("no-bytes-for-head", "HEAD /", "200"),
        ("no-bytes-with-status", GET, "204"),
    ];
    for (id, asked, head) in whole {
        let lint = Lint::new(app(move || response(head, "ab")));
        cases.push(Case {
            id,
            side: Side::App,
            reported: violations(lint, request(asked)).await,
        });
    }
    let file = app(|| {
        let part = FilePart::new(std::path::Path::new("/a"), 0, 9);
        Response::new(Body::from("abc").with_file(part))
    });
    let reported = violations(Lint::new(file), request(GET)).await;
    cases.push(Case {
        id: "file-is-the-body",
        side: Side::App,
        reported,
    });

    let shaky = Lint::new(|_: Request| async {
        let text: u8 = "x".parse().expect("planted");
        text.to_string()
    });
    let reported = violations(shaky, request(GET)).await;
    cases.push(Case {
        id: "app-does-not-panic",
        side: Side::App,
        reported,
    });
}

/// Creates a middleware that replaces the body of each response.
fn map_body(f: impl Fn(Body) -> Body + Send + Sync + 'static) -> impl Fn(BoxApp) -> BoxApp {
    let wrap = map_response(move |response: Response| response.map(&f));
    move |app| wrap(app).boxed()
}

type Polled = Option<Result<Frame<Bytes>, BodyError>>;

/// Maps each frame by `f`. `None` drops the frame.
fn frames(body: Body, f: impl FnMut(Polled) -> Option<Polled> + Send + 'static) -> Body {
    Body::new(Frames {
        body,
        f: Box::new(f),
    })
}

struct Frames {
    body: Body,
    f: Box<dyn FnMut(Polled) -> Option<Polled> + Send>,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
            if let Some(out) = (self.f)(polled) {
                return Poll::Ready(out);
            }
        }
    }
}

async fn bad_middleware(cases: &mut Vec<Case>) {
    let three = || vec![Data("a"), Wait, Data("b"), Wait, Data("c")];
    let streaming = move || app(move || response("200", body(three())));
    let mut push = |id, reported| {
        cases.push(Case {
            id,
            side: Side::Middleware,
            reported,
        })
    };

    let forgets = around(|_, next: Next| async move { next.call(Request::default()).await });
    push(
        "request-extensions-are-kept",
        violations(Lint::both(streaming(), forgets), request(GET)).await,
    );

    let forgets = around(|request, next: Next| async move {
        Response::new(next.call(request).await.into_body())
    });
    push(
        "response-extensions-are-kept",
        violations(Lint::both(streaming(), forgets), request(GET)).await,
    );

    let cuts = around(|mut request: Request, next: Next| async move {
        *request.uri_mut() = Uri::from_static("/b");
        next.call(request).await
    });
    push(
        "uri-is-not-cut",
        violations(Lint::both(streaming(), cuts), request("GET /a/b")).await,
    );

    let drains = around(|request, next: Next| async move {
        let (head, body) = next.call(request).await.into_parts();
        let bytes = body.collect(1 << 20).await.unwrap_or_default();
        Response::from_parts(head, Body::from(bytes))
    });
    push(
        "response-body-is-lazy",
        violations(Lint::both(streaming(), drains.clone()), request(GET)).await,
    );

    let drains_requests = around(|request: Request, next: Next| async move {
        let (head, body) = request.into_parts();
        let bytes = body.collect(1 << 20).await.unwrap_or_default();
        next.call(Request::from_parts(head, Body::from(bytes)))
            .await
    });
    let upload = || request("POST /").map(|_| body(three()));
    push(
        "request-body-is-lazy",
        violations(Lint::both(streaming(), drains_requests.clone()), upload()).await,
    );

    let holds = map_body(|body| {
        let mut kept = Vec::new();
        frames(body, move |frame| match frame {
            Some(Ok(frame)) => {
                kept.extend_from_slice(frame.data_ref().expect("data"));
                None
            }
            _ if kept.is_empty() => Some(None),
            _ => Some(Some(Ok(Frame::data(Bytes::from(std::mem::take(
                &mut kept,
            )))))),
        })
    });
    push(
        "nothing-is-held-back",
        violations(Lint::both(streaming(), holds), request(GET)).await,
    );

    let data_only = map_body(|body| {
        frames(body, |frame| match frame {
            Some(Ok(frame)) if frame.is_trailers() => None,
            other => Some(other),
        })
    });
    let trailing = app(|| response("200", body([Data("a"), Trailers("x-sum")])));
    push(
        "trailers-are-kept",
        violations(Lint::both(trailing, data_only), request(GET)).await,
    );

    let swallows = map_body(|body| {
        frames(body, |frame| match frame {
            Some(Err(_)) => Some(None),
            other => Some(other),
        })
    });
    let failing = app(|| response("200", body([Data("a"), Error])));
    push(
        "errors-pass-on",
        violations(Lint::both(failing, swallows), request(GET)).await,
    );

    let first_only = map_body(|body| {
        let mut count = 0;
        frames(body, move |frame| {
            count += 1;
            Some(frame.filter(|_| count < 2))
        })
    });
    let plain = || app(|| response("200", body([Data("a"), Data("b"), Data("c")])));
    push(
        "not-cut-short",
        violations(Lint::both(plain(), first_only), request(GET)).await,
    );

    let shouts = map_body(|body| {
        frames(body, |frame| {
            Some(frame.map(|frame| {
                frame.map(|frame| frame.map_data(|data| data.to_ascii_uppercase().into()))
            }))
        })
    });
    push(
        "tunnels-are-untouched",
        violations(Lint::both(plain(), shouts), request("CONNECT a:80")).await,
    );

    let marks = map_response(|mut response| {
        response
            .headers_mut()
            .append("etag", http::HeaderValue::from_static("abc"));
        response
    });
    push(
        "etag-syntax",
        violations(Lint::both(plain(), marks), request(GET)).await,
    );
}

/// Polls only once, since the future would never be polled again.
async fn futures_that_are_never_woken(cases: &mut Vec<Case>) {
    let reported = Violations::default();
    let lint = reported.on(Lint::new(|_: Request| std::future::pending::<()>()));
    let mut call = Box::pin(lint.call(request(GET)));
    poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
    cases.push(Case {
        id: "pending-will-be-woken",
        side: Side::App,
        reported: reported.all(),
    });

    let reported = Violations::default();
    let lint = reported.on(Lint::new(app(|| response("200", body([Data("a"), Sleep])))));
    let mut body = lint.call(request(GET)).await.into_body();
    assert!(body.frame().await.is_some());
    assert_eq!(reported.all(), []);
    poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx).is_pending())).await;
    cases.push(Case {
        id: "pending-will-be-woken",
        side: Side::App,
        reported: reported.all(),
    });
}

async fn not_cancel_safe(cases: &mut Vec<Case>) {
    let is_busy = Arc::new(AtomicBool::new(false));
    let app = move |_: Request| {
        let is_busy = is_busy.clone();
        async move {
            if is_busy.swap(true, Ordering::SeqCst) {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            tokio::task::yield_now().await;
            is_busy.store(false, Ordering::SeqCst);
            "done".into_response()
        }
    };
    let torture = torture(&app, Request::default).await;
    assert_eq!(torture.calls, 1);
    cases.push(Case {
        id: "may-be-dropped",
        side: Side::App,
        reported: torture.violations,
    });
}

#[tokio::test]
async fn each_rule_is_reported_with_its_sentence() {
    let mut cases = Vec::new();
    bad_requests(&mut cases).await;
    bad_heads(&mut cases).await;
    bad_bodies(&mut cases).await;
    bad_middleware(&mut cases).await;
    futures_that_are_never_woken(&mut cases).await;
    not_cancel_safe(&mut cases).await;

    for Case { id, side, reported } in &cases {
        let rule = Rule::find(id).expect("a rule");
        let mut found = reported.iter().filter(|violation| violation.rule == rule);
        let Some(violation) = found.next() else {
            panic!("{id} is not reported, but {reported:?}");
        };
        assert_eq!(violation.side, *side, "{violation}");
        assert!(violation.to_string().contains(rule.sentence));
        assert!(!violation.detail.is_empty());
    }
    let planted: BTreeSet<_> = cases.iter().map(|case| case.id).collect();
    let all: BTreeSet<_> = Rule::all().map(|rule| rule.id).collect();
    assert_eq!(
        all.difference(&planted).count(),
        0,
        "rules without a fault: {:?}",
        all.difference(&planted)
    );
    assert!(cases.len() >= 80, "{}", cases.len());
}

#[tokio::test]
async fn a_fault_that_a_middleware_passes_on_is_that_of_the_app() {
    let broken = app(|| response("200\netag: abc", body([Data("a"), Data("b")])));
    let reported = violations(
        Lint::both(
            broken,
            around(|request, next: Next| async move { next.call(request).await }),
        ),
        request(GET),
    )
    .await;
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!(reported[0].side, Side::App);
}

#[tokio::test]
async fn a_declared_buffer_may_read() {
    let drains = around(|request, next: Next| async move {
        let (head, body) = next.call(request).await.into_parts();
        let bytes = read(body).await.concat();
        Response::from_parts(head, Body::from(bytes))
    });
    let streaming = app(|| response("200", body([Data("a"), Wait, Data("b"), Trailers("x-a")])));
    let reported = violations(Lint::both(streaming, drains).buffers(), request(GET)).await;
    assert_eq!(reported, []);
}
