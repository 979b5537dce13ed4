//! Every layer of tower-http for servers, in our stack: it has its effect, and bodies stream
//! through it with their trailers.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN,
    SERVER, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, response};
use http_body_util::{BodyExt, Limited};
use tower_http::add_extension::AddExtensionLayer;
use tower_http::auth::{AddAuthorizationLayer, AsyncRequireAuthorizationLayer};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_http::decompression::{DecompressionLayer, RequestDecompressionLayer};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::map_request_body::MapRequestBodyLayer;
use tower_http::map_response_body::MapResponseBodyLayer;
use tower_http::metrics::InFlightRequestsLayer;
use tower_http::normalize_path::NormalizePathLayer;
use tower_http::on_early_drop::{OnBodyDropFn, OnEarlyDropLayer};
use tower_http::propagate_header::PropagateHeaderLayer;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::sensitive_headers::{
    SetSensitiveHeadersLayer, SetSensitiveRequestHeadersLayer, SetSensitiveResponseHeadersLayer,
};
use tower_http::services::{Redirect, ServeDir, ServeFile};
use tower_http::set_header::{SetRequestHeaderLayer, SetResponseHeaderLayer};
use tower_http::set_status::SetStatusLayer;
use tower_http::timeout::{
    RequestBodyDeadlineLayer, RequestBodyTimeoutLayer, ResponseBodyDeadlineLayer,
    ResponseBodyTimeoutLayer, TimeoutLayer,
};
use tower_http::trace::TraceLayer;
use tower_http::validate_request::ValidateRequestHeaderLayer;
use tracing::Span;
use vestibule_core::{
    App, Body, BoxApp, CollectError, FailureKind, IntoResponse, Request, Response, Stack,
};
use vestibule_core::{Failure, map_response};
use vestibule_tower::{from_layer, from_service};

use crate::common::{echo, get, hello, streams, text};

/// Wraps an app in one middleware.
fn around<A: App>(layer: impl Fn(BoxApp) -> A + Send + Sync + 'static, app: impl App) -> BoxApp {
    Stack::new().with(layer).app(app)
}

fn with_header(name: &'static str, value: &'static str) -> Request {
    let mut request = get("/");
    let value = HeaderValue::from_static(value);
    request.headers_mut().insert(name, value);
    request
}

fn post(body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    *request.method_mut() = Method::POST;
    request
}

/// Creates an app that returns the value of a request header.
fn tell(name: HeaderName) -> impl App {
    move |request: Request| {
        let value = request.headers().get(&name).cloned();
        async move { format!("{value:?}") }
    }
}

async fn never(_: Request) {
    std::future::pending().await
}

const X: HeaderName = HeaderName::from_static("x-test");

#[tokio::test]
async fn add_extension() {
    let layer = from_layer(AddExtensionLayer::new(7_u8));
    let app = |request: Request| async move {
        let extension: Option<&u8> = request.extensions().get();
        format!("{extension:?}")
    };
    assert_eq!(
        text(around(layer.clone(), app).call(get("/")).await).await,
        "Some(7)"
    );
    streams(&around(layer, echo)).await;
}

#[tokio::test]
#[allow(deprecated)] // the layer is deprecated because basic authentication is weak
async fn authorization() {
    let layer = from_layer(ValidateRequestHeaderLayer::bearer("secret"));
    let app = around(layer, hello);
    assert_eq!(app.call(get("/")).await.status(), 401);
    let known = with_header("authorization", "Bearer secret");
    assert_eq!(text(app.call(known).await).await, "hello");

    let layer = from_layer(ValidateRequestHeaderLayer::basic("user", "secret"));
    let app = around(layer, hello);
    let response = app.call(get("/")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Basic");
    let known = with_header("authorization", "Basic dXNlcjpzZWNyZXQ=");
    assert_eq!(text(app.call(known).await).await, "hello");

    // The client layer adds the credentials that the server layer expects, and the body streams.
    let stack = Stack::new()
        .with(from_layer(AddAuthorizationLayer::bearer("secret")))
        .with(from_layer(ValidateRequestHeaderLayer::bearer("secret")));
    streams(&stack.app(echo)).await;
}

#[tokio::test]
async fn async_authorization() {
    async fn check(mut request: Request) -> Result<Request, Response> {
        match request.headers().contains_key(AUTHORIZATION) {
            true => {
                request.extensions_mut().insert("user");
                Ok(request)
            }
            false => Err(StatusCode::UNAUTHORIZED.into_response()),
        }
    }
    let layer = from_layer(AsyncRequireAuthorizationLayer::new(check));
    let app = around(layer.clone(), |request: Request| async move {
        request
            .extensions()
            .get::<&str>()
            .copied()
            .unwrap_or("nobody")
    });
    assert_eq!(app.call(get("/")).await.status(), 401);
    let known = with_header("authorization", "any");
    assert_eq!(text(app.call(known).await).await, "user");
    let stack = Stack::new()
        .with(from_layer(AddAuthorizationLayer::bearer("any")))
        .with(layer);
    streams(&stack.app(echo)).await;
}

#[tokio::test]
async fn catch_panic() {
    async fn shaky(_: Request) -> &'static str {
        panic!("no more paper")
    }
    let layer = from_layer(CatchPanicLayer::new());
    let response = around(layer.clone(), shaky).call(get("/")).await;
    assert_eq!(response.status(), 500);
    assert_eq!(text(response).await, "Service panicked");
    streams(&around(layer, echo)).await;
}

const LONG: &str =
    "a text that is long enough to be worth its compression, and long enough, and long";

#[tokio::test]
async fn compression_and_decompression() {
    let compression = from_layer(CompressionLayer::new());
    let app = around(compression.clone(), |_: Request| async { LONG });
    let response = app.call(with_header("accept-encoding", "gzip")).await;
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    let gzip = response.into_body().collect(1000).await.unwrap();
    assert_eq!(gzip[..2], [0x1f, 0x8b]);
    // Without `Accept-Encoding`, the response is not compressed.
    assert_eq!(text(app.call(get("/")).await).await, LONG);
    streams(&around(compression.clone(), echo)).await;

    // The app sees the decompressed body of a request.
    let layer = from_layer(RequestDecompressionLayer::new());
    let app = around(layer.clone(), echo);
    let mut request = post(gzip.clone());
    let coding = HeaderValue::from_static("gzip");
    request.headers_mut().insert(CONTENT_ENCODING, coding);
    assert_eq!(text(app.call(request).await).await, LONG);
    let mut request = post(gzip);
    let coding = HeaderValue::from_static("x-unknown");
    request.headers_mut().insert(CONTENT_ENCODING, coding);
    assert_eq!(app.call(request).await.status(), 415);
    streams(&app).await;

    // Both directions, with the trailers of the body in between.
    let (mut sender, body) = Body::channel();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    sender.send(LONG).await.unwrap();
    sender.finish_with(trailers.clone());
    let coded = Arc::new(AtomicUsize::new(0));
    let seen = coded.clone();
    let app = Stack::new()
        .with(from_layer(DecompressionLayer::new()))
        .with(map_response(move |response: Response| {
            let is_coded = response.headers().contains_key(CONTENT_ENCODING);
            seen.fetch_add(usize::from(is_coded), Ordering::Relaxed);
            response
        }))
        .with(compression)
        .app(|request: Request| async {
            assert!(request.headers().contains_key(ACCEPT_ENCODING));
            ([(CONTENT_TYPE, "text/plain")], request.into_body())
        });
    let body = app.call(post(body)).await.into_body();
    let whole = BodyExt::collect(body).await.unwrap();
    assert_eq!(whole.trailers(), Some(&trailers));
    assert_eq!(whole.to_bytes(), LONG);
    assert_eq!(coded.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn cors() {
    let layer = from_layer(CorsLayer::permissive());
    let app = around(layer.clone(), hello);
    let response = app.call(get("/")).await;
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let mut preflight = with_header("access-control-request-method", "PUT");
    *preflight.method_mut() = Method::OPTIONS;
    let response = app.call(preflight).await;
    assert_eq!(response.headers()["access-control-allow-methods"], "*");
    assert_eq!(text(response).await, "");
    streams(&around(layer, echo)).await;
}

#[tokio::test]
async fn csrf() {
    let layer = from_layer(CsrfLayer::new());
    let app = around(layer.clone(), hello);
    let cross = |mut request: Request| {
        let value = HeaderValue::from_static("cross-site");
        request.headers_mut().insert("sec-fetch-site", value);
        request
    };
    let response = app.call(cross(post(""))).await;
    assert_eq!(response.status(), 403);
    assert!(response.extensions().get::<ProtectionError>().is_some());
    assert_eq!(app.call(cross(get("/"))).await.status(), 200);
    assert_eq!(app.call(post("")).await.status(), 200);
    streams(&around(layer, echo)).await;
}

#[tokio::test]
async fn request_body_limit() {
    let layer = from_layer(RequestBodyLimitLayer::new(20));
    let app = around(layer.clone(), |request: Request| async {
        request.into_body().collect(1000).await
    });
    assert_eq!(text(app.call(post("four")).await).await, "four");
    // A request with a `Content-Length` above the limit is refused at once.
    let mut announced = post(LONG);
    announced.headers_mut().insert("content-length", 21.into());
    let response = app.call(announced).await;
    assert_eq!(response.status(), 413);
    assert_eq!(text(response).await, "length limit exceeded");
    // Without a `Content-Length`, the body ends with an error, and the app decides on the response.
    let (mut sender, body) = Body::channel();
    sender.send(LONG).await.unwrap();
    sender.finish();
    let response = app.call(post(body)).await;
    assert_eq!(response.status(), 400);
    let cause = Failure::of(&response).unwrap().to_string();
    assert_eq!(cause, "the body broke off: length limit exceeded");
    streams(&around(layer, echo)).await;
}

#[tokio::test(start_paused = true)]
async fn timeouts() {
    let second = Duration::from_secs(1);
    let status = StatusCode::GATEWAY_TIMEOUT;
    let layer = from_layer(TimeoutLayer::with_status_code(status, second));
    assert_eq!(
        around(layer.clone(), never).call(get("/")).await.status(),
        504
    );
    streams(&around(layer, echo)).await;

    // A request body that stalls, or takes too long, ends with an error for the app.
    let read = |request: Request| async { request.into_body().collect(1000).await };
    let stalled = from_layer(RequestBodyTimeoutLayer::new(second));
    let late = from_layer(RequestBodyDeadlineLayer::new(second));
    streams(&around(stalled.clone(), echo)).await;
    streams(&around(late.clone(), echo)).await;
    for app in [around(stalled, read), around(late, read)] {
        let (_sender, body) = Body::channel();
        let response = app.call(post(body)).await;
        assert_eq!(response.status(), 400);
        let failure = Failure::of(&response).unwrap();
        assert_eq!(failure.failure_kind(), FailureKind::Request);
        let cause = failure.error().downcast_ref().unwrap();
        let CollectError::Body(cause) = cause else {
            panic!("{cause}")
        };
        assert!(cause.is::<tower_http::timeout::TimeoutError>());
    }

    // A response body ends with an error for the server.
    let stalled = from_layer(ResponseBodyTimeoutLayer::new(second));
    let late = from_layer(ResponseBodyDeadlineLayer::new(second));
    streams(&around(stalled.clone(), echo)).await;
    streams(&around(late.clone(), echo)).await;
    for app in [around(stalled, echo), around(late, echo)] {
        let (mut sender, body) = Body::channel();
        sender.send("half").await.unwrap();
        let mut body = app.call(post(body)).await.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.is::<tower_http::timeout::TimeoutError>());
    }
}

#[tokio::test]
async fn request_ids() {
    let stack = Stack::new()
        .with(from_layer(SetRequestIdLayer::x_request_id(MakeRequestUuid)))
        .with(from_layer(PropagateRequestIdLayer::x_request_id()));
    let app = stack.app(|request: Request| async move {
        let id: &RequestId = request.extensions().get().unwrap();
        id.header_value().to_str().unwrap().to_owned()
    });
    let response = app.call(get("/")).await;
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(id.len(), 36);
    assert_eq!(text(response).await, id);
    let response = app.call(with_header("x-request-id", "mine")).await;
    assert_eq!(text(response).await, "mine");
    streams(&stack.app(echo)).await;
}

#[tokio::test]
async fn sensitive_headers() {
    let app = |request: Request| async move {
        let is_sensitive = request.headers()[COOKIE].is_sensitive();
        let cookie = HeaderValue::from_static("a=b");
        ([(SET_COOKIE, cookie)], is_sensitive.to_string())
    };
    let both = from_layer(SetSensitiveHeadersLayer::new([COOKIE, SET_COOKIE]));
    let request = from_layer(SetSensitiveRequestHeadersLayer::new([COOKIE]));
    let response = from_layer(SetSensitiveResponseHeadersLayer::new([SET_COOKIE]));
    streams(&around(both.clone(), echo)).await;
    let cases = [
        (around(both, app), "true", true),
        (around(request, app), "true", false),
        (around(response, app), "false", true),
    ];
    for (app, asked, answered) in cases {
        let response = app.call(with_header("cookie", "a=b")).await;
        assert_eq!(response.headers()[SET_COOKIE].is_sensitive(), answered);
        assert_eq!(text(response).await, asked);
    }
}

#[tokio::test]
async fn set_header() {
    let value = HeaderValue::from_static("set");
    let request = from_layer(SetRequestHeaderLayer::overriding(X, value.clone()));
    let app = around(request.clone(), tell(X));
    assert_eq!(text(app.call(get("/")).await).await, "Some(\"set\")");
    streams(&around(request, echo)).await;

    // The value may be computed from the response, which has a body of our type.
    let made = move |response: &Response| response.body().as_bytes().map(|_| value.clone());
    let response = from_layer(SetResponseHeaderLayer::if_not_present(SERVER, made));
    let app = around(response.clone(), hello);
    assert_eq!(app.call(get("/")).await.headers()[SERVER], "set");
    let kept = |_: Request| async { ([(SERVER, "mine")], "hello") };
    let app = around(response.clone(), kept);
    assert_eq!(app.call(get("/")).await.headers()[SERVER], "mine");
    streams(&around(response, echo)).await;
}

#[tokio::test]
async fn set_status() {
    let layer = from_layer(SetStatusLayer::new(StatusCode::ACCEPTED));
    assert_eq!(around(layer, hello).call(get("/")).await.status(), 202);
    let layer = from_layer(SetStatusLayer::new(StatusCode::OK));
    streams(&around(layer, echo)).await;
}

#[tokio::test]
async fn propagate_header() {
    let layer = from_layer(PropagateHeaderLayer::new(X));
    let app = around(layer.clone(), hello);
    let response = app.call(with_header("x-test", "there and back")).await;
    assert_eq!(response.headers()[X], "there and back");
    streams(&around(layer, echo)).await;
}

#[tokio::test]
async fn normalize_path() {
    let path = |request: Request| async move { request.uri().path().to_owned() };
    let layer = from_layer(NormalizePathLayer::trim_trailing_slash());
    let app = around(layer.clone(), path);
    assert_eq!(text(app.call(get("/a/b/")).await).await, "/a/b");
    streams(&around(layer, echo)).await;
}

#[tokio::test]
async fn validate_request() {
    let app = around(
        from_layer(ValidateRequestHeaderLayer::accept("application/json")),
        hello,
    );
    assert_eq!(
        app.call(with_header("accept", "text/html")).await.status(),
        406
    );
    assert_eq!(app.call(with_header("accept", "*/*")).await.status(), 200);

    let required = ValidateRequestHeaderLayer::has_header_value("accept", "*/*").unwrap();
    let layer = from_layer(required);
    let app = around(layer.clone(), hello);
    assert_eq!(app.call(get("/")).await.status(), 403);
    streams(&around(layer, echo)).await;

    #[allow(clippy::result_large_err)] // the layer requires this type
    let custom = |request: &mut Request| -> Result<(), Response> {
        match request.uri().path() {
            "/secret" => Err(StatusCode::NOT_FOUND.into_response()),
            _ => Ok(()),
        }
    };
    let app = around(
        from_layer(ValidateRequestHeaderLayer::custom(custom)),
        hello,
    );
    assert_eq!(app.call(get("/secret")).await.status(), 404);
    assert_eq!(app.call(get("/open")).await.status(), 200);
}

#[tokio::test]
async fn map_bodies() {
    // The layer gets and returns a body of another type.
    let limited = from_layer(MapRequestBodyLayer::new(|body: Body| {
        Limited::new(body, 20)
    }));
    let app = around(limited.clone(), |request: Request| async {
        request.into_body().collect(1000).await
    });
    assert_eq!(text(app.call(post("four")).await).await, "four");
    assert_eq!(app.call(post(LONG)).await.status(), 400);
    streams(&around(limited, echo)).await;

    let shout = from_layer(MapResponseBodyLayer::new(|body: Body| {
        body.map_frame(|frame| frame.map_data(|data| Bytes::from(data.to_ascii_uppercase())))
    }));
    let app = around(shout, hello);
    assert_eq!(text(app.call(get("/")).await).await, "HELLO");
    let same = from_layer(MapResponseBodyLayer::new(|body: Body| body.boxed_unsync()));
    streams(&around(same, echo)).await;
}

#[tokio::test]
async fn in_flight_requests() {
    let (layer, counter) = InFlightRequestsLayer::pair();
    let layer = from_layer(layer);
    let app = around(layer.clone(), hello);
    assert_eq!(counter.get(), 0);
    let response = app.call(get("/")).await;
    assert_eq!(counter.get(), 1); // its body has not been read
    drop(response);
    assert_eq!(counter.get(), 0);
    streams(&around(layer, echo)).await;
    assert_eq!(counter.get(), 0);
}

#[tokio::test]
async fn early_drop() {
    let (futures, bodies) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |counter: &Arc<AtomicUsize>| {
        let counter = counter.clone();
        move || {
            let counter = counter.clone();
            move || {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let future_dropped = count(&futures);
    let body_dropped = count(&bodies);
    let layer = OnEarlyDropLayer::builder()
        .on_future_drop(move |_: &Request| future_dropped())
        .on_body_drop(OnBodyDropFn::new(move |_: &Request| {
            let body_dropped = body_dropped();
            move |_: &response::Parts| body_dropped
        }));
    let layer = from_layer(layer);
    let counts = || {
        (
            futures.load(Ordering::Relaxed),
            bodies.load(Ordering::Relaxed),
        )
    };

    streams(&around(layer.clone(), echo)).await;
    assert_eq!(counts(), (0, 0));
    {
        let app = around(layer.clone(), never);
        let mut answer = pin!(app.call(get("/")));
        assert!(futures_util::poll!(&mut answer).is_pending());
    }
    assert_eq!(counts(), (1, 0));
    let (_sender, body) = Body::channel();
    drop(around(layer, echo).call(post(body)).await);
    assert_eq!(counts(), (1, 1));
}

#[tokio::test]
async fn trace() {
    #[derive(Default)]
    struct Seen {
        requests: AtomicUsize,
        responses: AtomicUsize,
        chunk_bytes: AtomicUsize,
        trailers: AtomicUsize,
        failures: AtomicUsize,
    }
    let seen: Arc<Seen> = Arc::default();
    let [one, two, three, four, five] = std::array::from_fn(|_| seen.clone());
    let layer = TraceLayer::new_for_http()
        .on_request(move |_: &Request, _: &Span| {
            one.requests.fetch_add(1, Ordering::Relaxed);
        })
        .on_response(move |_: &Response, _: Duration, _: &Span| {
            two.responses.fetch_add(1, Ordering::Relaxed);
        })
        .on_body_chunk(move |chunk: &Bytes, _: Duration, _: &Span| {
            three.chunk_bytes.fetch_add(chunk.len(), Ordering::Relaxed);
        })
        .on_eos(move |trailers: Option<&HeaderMap>, _: Duration, _: &Span| {
            let count = trailers.map_or(0, HeaderMap::len);
            four.trailers.fetch_add(count, Ordering::Relaxed);
        })
        .on_failure(move |_, _: Duration, _: &Span| {
            five.failures.fetch_add(1, Ordering::Relaxed);
        });
    let layer = from_layer(layer);
    streams(&around(layer.clone(), echo)).await;
    let broken = around(layer, |_: Request| async {
        StatusCode::INTERNAL_SERVER_ERROR
    });
    assert_eq!(broken.call(get("/")).await.status(), 500);
    let counters = [
        &seen.requests,
        &seen.responses,
        &seen.chunk_bytes,
        &seen.trailers,
        &seen.failures,
    ];
    let counts = counters.map(|counter| counter.load(Ordering::Relaxed));
    assert_eq!(counts, [2, 2, 11, 1, 1]);
}

#[tokio::test]
async fn services() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let directory = from_service(ServeDir::new(env!("CARGO_MANIFEST_DIR")));
    for (app, path, status) in [
        (from_service(ServeFile::new(manifest)).boxed(), "/any", 200),
        (directory.clone().boxed(), "/Cargo.toml", 200),
        (directory.boxed(), "/none", 404),
    ] {
        let response = app.call(get(path)).await;
        assert_eq!(response.status(), status, "{path}");
        let body = text(response).await;
        assert_eq!(body.contains("name = \"vestibule-tower\""), status == 200);
    }
    let redirect = Redirect::<Body>::permanent(Uri::from_static("/new"));
    let response = from_service(redirect).call(get("/old")).await;
    assert_eq!(response.status(), 308);
    assert_eq!(response.headers()[LOCATION], "/new");
}

/// Thirteen layers in one stack, with two of ours between them.
#[tokio::test]
async fn thirteen_layers_work_in_one_stack() {
    let minute = Duration::from_secs(60);
    let value = HeaderValue::from_static("1");
    let stack = Stack::new()
        .with(from_layer(TraceLayer::new_for_http()))
        .with(from_layer(SetRequestIdLayer::x_request_id(MakeRequestUuid)))
        .with(from_layer(PropagateRequestIdLayer::x_request_id()))
        .with(from_layer(SetSensitiveHeadersLayer::new([COOKIE])))
        .around(|request, next| async move { next.call(request).await })
        .with(from_layer(CorsLayer::permissive()))
        .with(from_layer(CompressionLayer::new()))
        .with(from_layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            minute,
        )))
        .with(from_layer(RequestBodyLimitLayer::new(1000)))
        .with(from_layer(RequestBodyTimeoutLayer::new(minute)))
        .with(from_layer(ResponseBodyTimeoutLayer::new(minute)))
        .map_request(|request| request)
        .with(from_layer(NormalizePathLayer::trim_trailing_slash()))
        .with(from_layer(SetResponseHeaderLayer::overriding(X, value)))
        .with(from_layer(CatchPanicLayer::new()));
    let app = stack.app(echo);
    let outline = "Trace SetRequestId PropagateRequestId SetSensitiveRequestHeaders Around Cors \
        Compression Timeout RequestBodyLimit RequestBodyTimeout ResponseBodyTimeout MapRequest \
        NormalizePath SetResponseHeader CatchPanic echo";
    let names: Vec<_> = app
        .outline()
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(names.join(" "), outline);
    streams(&app).await;
    let mut request = get("/");
    let origin = HeaderValue::from_static("https://example.com");
    request.headers_mut().insert(ORIGIN, origin);
    let response = app.call(request).await;
    for name in ["x-request-id", "access-control-allow-origin", "x-test"] {
        assert!(response.headers().contains_key(name), "{name}");
    }
}

/// `ServiceBuilder` is a layer as well, and keeps the order of its layers.
#[tokio::test]
async fn a_service_builder_is_one_layer() {
    let both = tower::ServiceBuilder::new()
        .layer(SetRequestHeaderLayer::appending(
            X,
            HeaderValue::from_static("outer"),
        ))
        .layer(SetRequestHeaderLayer::appending(
            X,
            HeaderValue::from_static("inner"),
        ));
    let app = around(from_layer(both), |request: Request| async move {
        let values: Vec<_> = request.headers().get_all(X).iter().cloned().collect();
        Ok::<_, Infallible>(format!("{values:?}"))
    });
    assert_eq!(
        text(app.call(get("/")).await).await,
        r#"["outer", "inner"]"#
    );
}
