//! A broken middleware for each case of the battery.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri};
use http_body::Frame;
use vestibule_core::{
    App, Body, BodyError, BoxApp, IntoResponse, Next, Request, Response, around, map_response,
};
use vestibule_test::Battery;

type Wrap = Box<dyn Fn(BoxApp) -> BoxApp + Send + Sync>;

fn wrap<A: App>(f: impl Fn(BoxApp) -> A + Send + Sync + 'static) -> Wrap {
    Box::new(move |app| f(app).boxed())
}

/// Creates a middleware that replaces the body of each response.
fn map_body(f: impl Fn(Body) -> Body + Send + Sync + 'static) -> Wrap {
    wrap(map_response(move |response: Response| response.map(&f)))
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

fn shouting(body: Body) -> Body {
    frames(body, |frame| {
        Some(frame.map(|frame| {
            frame.map(|frame| frame.map_data(|data| data.to_ascii_uppercase().into()))
        }))
    })
}

/// Holds all data back until the end.
fn buffered(body: Body) -> Body {
    let mut kept = Vec::new();
    frames(body, move |frame| match frame {
        Some(Ok(frame)) => {
            kept.extend_from_slice(frame.data_ref()?);
            None
        }
        _ if kept.is_empty() => Some(None),
        _ => Some(Some(Ok(Frame::data(std::mem::take(&mut kept).into())))),
    })
}

/// Returns the name of each case with a middleware that fails it.
fn all_broken() -> Vec<(&'static str, Wrap)> {
    let slot: Arc<Mutex<Option<HeaderValue>>> = Arc::default();
    vec![
        (
            "get",
            wrap(around(|_, _: Next| async { StatusCode::FORBIDDEN })),
        ),
        (
            "head",
            wrap(around(|request: Request, next: Next| async move {
                let is_head = request.method() == "HEAD";
                let mut response = next.call(request).await;
                if is_head {
                    response.headers_mut().remove("content-type");
                }
                response
            })),
        ),
        (
            "statuses",
            map_body(|body| {
                if body.is_buffered() {
                    Body::from("always")
                } else {
                    body
                }
            }),
        ),
        (
            "failure",
            wrap(around(|request, next: Next| async move {
                let response = next.call(request).await;
                if response.status().is_server_error() {
                    (response.status(), "sorry").into_response()
                } else {
                    response
                }
            })),
        ),
        (
            "repeated-headers",
            wrap(map_response(|mut response: Response| {
                let headers = response.headers().clone();
                for (name, value) in &headers {
                    response.headers_mut().insert(name, value.clone());
                }
                response
            })),
        ),
        (
            "streaming",
            wrap(around(|request, next: Next| async move {
                let (head, body) = next.call(request).await.into_parts();
                let bytes = body.collect(8 << 20).await.unwrap_or_default();
                Response::from_parts(head, bytes.into())
            })),
        ),
        (
            "coded-streaming",
            wrap(around(|request: Request, next: Next| async move {
                let is_coded = request.headers().contains_key("accept-encoding");
                let response = next.call(request).await;
                if is_coded && !response.body().is_buffered() {
                    response.map(buffered)
                } else {
                    response
                }
            })),
        ),
        (
            "large",
            map_body(|body| match body.as_bytes() {
                Some(bytes) => Body::from(bytes.slice(..bytes.len().min(1 << 20))),
                None => body,
            }),
        ),
        (
            "file",
            map_body(|body| match body.as_file().cloned() {
                Some(file) => Body::from("HELLO").with_file(file),
                None => body,
            }),
        ),
        (
            "trailers",
            map_body(|body| {
                frames(body, |frame| match frame {
                    Some(Ok(frame)) if frame.is_trailers() => None,
                    other => Some(other),
                })
            }),
        ),
        (
            "body-error",
            map_body(|body| frames(body, |frame| Some(frame.filter(Result::is_ok)))),
        ),
        (
            "on-end",
            map_body(|body| match body.as_bytes().cloned() {
                Some(bytes) => {
                    std::mem::forget(body);
                    Body::from(bytes)
                }
                None => body,
            }),
        ),
        (
            "client-gone",
            Box::new(|app| {
                let permits = Arc::new(tokio::sync::Semaphore::new(1));
                around(move |request, next: Next| {
                    let permits = permits.clone();
                    async move {
                        permits.acquire().await?.forget();
                        let response = next.call(request).await;
                        permits.add_permits(1); // never, if the call is dropped
                        Ok::<_, vestibule_core::Failure>(response)
                    }
                })(app)
                .boxed()
            }),
        ),
        (
            "extensions",
            wrap(around(|request: Request, next: Next| async move {
                let (head, body) = request.into_parts();
                let mut fresh = Request::new(body);
                *fresh.method_mut() = head.method;
                *fresh.uri_mut() = head.uri;
                *fresh.version_mut() = head.version;
                *fresh.headers_mut() = head.headers;
                next.call(fresh).await
            })),
        ),
        (
            "uri",
            wrap(around(|mut request: Request, next: Next| async move {
                let path = request.uri().path().to_owned();
                if let Some(rest) = path
                    .strip_prefix("/a")
                    .and_then(|rest| rest.parse::<Uri>().ok())
                {
                    *request.uri_mut() = rest;
                }
                next.call(request).await
            })),
        ),
        (
            "upload",
            wrap(around(|request: Request, next: Next| async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect(8 << 20).await.unwrap_or_default();
                next.call(Request::from_parts(head, bytes.into())).await
            })),
        ),
        (
            "unread-upload",
            wrap(around(|mut request: Request, next: Next| async move {
                let mut body = std::mem::take(request.body_mut());
                let response = next.call(request).await;
                while body.frame().await.is_some() {}
                response
            })),
        ),
        (
            "upload-error",
            wrap(around(|request: Request, next: Next| async move {
                next.call(
                    request.map(|body| frames(body, |frame| Some(frame.filter(Result::is_ok)))),
                )
                .await
            })),
        ),
        (
            "concurrent",
            wrap(around(move |request: Request, next: Next| {
                let slot = slot.clone();
                async move {
                    *slot.lock()? = request.headers().get("x-call").cloned();
                    let mut response = next.call(request).await;
                    if let Some(id) = slot.lock()?.take() {
                        response.headers_mut().insert("x-call", id);
                    }
                    Ok::<_, Poisoned>(response)
                }
            })),
        ),
        (
            "panics",
            Box::new(|app| {
                let permits = Arc::new(tokio::sync::Semaphore::new(3));
                around(move |request, next: Next| {
                    let permits = permits.clone();
                    async move {
                        permits.acquire().await?.forget();
                        let guard = OnlyWhenDropped(permits);
                        let response = next.call(request).await;
                        drop(guard);
                        Ok::<_, vestibule_core::Failure>(response)
                    }
                })(app)
                .boxed()
            }),
        ),
        (
            "upgrade",
            wrap(map_response(|mut response: Response| {
                response.headers_mut().remove("connection");
                response
            })),
        ),
        ("tunnel", map_body(shouting)),
        (
            "methods",
            wrap(around(|request: Request, next: Next| async move {
                match request.method().as_str() {
                    "PROPFIND" => panic!("planted: what is this?"),
                    _ => next.call(request).await,
                }
            })),
        ),
        (
            "hostile-headers",
            wrap(around(|request: Request, next: Next| async move {
                let cookie = request
                    .headers()
                    .get("cookie")
                    .map(|cookie| cookie.to_str().expect("planted"));
                assert!(cookie.is_none_or(|cookie| cookie.len() < 1 << 20));
                next.call(request).await
            })),
        ),
    ]
}

/// Returns its permit, unless a panic drops it.
struct OnlyWhenDropped(Arc<tokio::sync::Semaphore>);

impl Drop for OnlyWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.add_permits(1);
        }
    }
}

struct Poisoned;

impl<T> From<std::sync::PoisonError<T>> for Poisoned {
    fn from(_: std::sync::PoisonError<T>) -> Self {
        Self
    }
}

impl IntoResponse for Poisoned {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[tokio::test]
async fn each_case_can_fail() {
    let mut covered = BTreeSet::new();
    for (case, wrap) in all_broken() {
        let report = Battery::new(wrap).only(case).report().await;
        assert!(!report.is_passed(), "{case} is passed");
        let shown = report.to_string();
        assert!(shown.contains(&format!("- {case}: ")), "{shown}");
        covered.insert(case);
    }
    let without: Vec<_> = Battery::cases()
        .filter(|(case, _)| !covered.contains(case))
        .collect();
    assert!(without.is_empty(), "nothing fails {without:?}");
}

#[tokio::test]
async fn a_broken_rule_fails_a_case_by_its_sentence() {
    let adds = wrap(map_response(|mut response: Response| {
        response
            .headers_mut()
            .append("etag", HeaderValue::from_static("no quotes"));
        response
    }));
    let report = Battery::new(adds).report().await;
    assert!(
        report.to_string().contains("An ETag is a quoted string"),
        "{report}"
    );
    let adds = wrap(map_response(|mut response: Response| {
        response
            .headers_mut()
            .append("etag", HeaderValue::from_static("no quotes"));
        response
    }));
    Battery::new(adds).allows_rule("etag-syntax").run().await;
}

#[tokio::test]
async fn a_middleware_that_waits_forever_is_found_at_once() {
    let start = std::time::Instant::now();
    let stuck = around(|_, _: Next| async {
        std::future::pending::<()>().await;
    });
    let report = Battery::new(stuck).report().await;
    assert!(report.to_string().contains("it waits forever"), "{report}");
    assert!(start.elapsed().as_secs() < 30);
}

#[tokio::test]
#[should_panic(expected = "- trailers: Trailers pass.")]
async fn run_panics_with_the_report() {
    let drops = map_body(|body| {
        frames(body, |frame| match frame {
            Some(Ok(frame)) if frame.is_trailers() => None,
            other => Some(other),
        })
    });
    Battery::new(drops).run().await;
}

#[tokio::test]
async fn cases_may_be_left_out() {
    let report = Battery::new(|app| app).skip("large").report().await;
    assert!(!report.passed().any(|case| case == "large"));
    assert_eq!(report.passed().count() + 1, Battery::cases().count());
}

#[tokio::test]
async fn headers_get_past_a_guard() {
    let guard = around(|request: Request, next: Next| async move {
        if request.headers().contains_key("x-key") {
            next.call(request).await
        } else {
            StatusCode::FORBIDDEN.into_response()
        }
    });
    let report = Battery::new(guard.clone()).report().await;
    let (_, fault) = report
        .failed()
        .find(|(case, _)| *case == "get")
        .expect("it fails");
    assert!(
        fault.contains("set a header that the middleware accepts"),
        "{fault}"
    );
    Battery::new(guard).header("x-key", "1").run().await;
}
