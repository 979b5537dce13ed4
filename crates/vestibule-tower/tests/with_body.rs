//! Layers for axum's body type, in our stacks.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use axum::extract::{ConnectInfo, Request as AxumRequest};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_request, map_response};
use axum::response::Response as AxumResponse;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tower::{Layer, Service};
use vestibule_core::{
    Abort, Address, App, Body, Failure, IntoResponse, Mount, Mounts, Outcome, Peer, Request,
    Response, Stack,
};
use vestibule_tower::{failure, from_layer_with_body};

use crate::common::{echo, get, hello, streams, text};

async fn marks(request: AxumRequest, next: Next) -> AxumResponse {
    let mut response = next.run(request).await;
    let one = HeaderValue::from_static("1");
    response.headers_mut().insert("x-mark", one);
    response
}

/// A layer with axum's body type on both sides, as `tower_governor`. It refuses `/no`, and fails at
/// `/fail`.
#[derive(Clone)]
struct Strict;

#[derive(Clone)]
struct Picky<S>(S);

impl<S> Layer<S> for Strict {
    type Service = Picky<S>;

    fn layer(&self, inner: S) -> Picky<S> {
        Picky(inner)
    }
}

impl<S> Service<http::Request<AxumBody>> for Picky<S>
where
    S: Service<http::Request<AxumBody>, Response = AxumResponse, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = AxumResponse;
    type Error = tower::BoxError;
    type Future = futures_util::future::BoxFuture<'static, Result<AxumResponse, tower::BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tower::BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<AxumBody>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let inner = self.0.call(request);
        Box::pin(async move {
            match &*path {
                "/no" => Ok(StatusCode::FORBIDDEN.into_axum()),
                "/fail" => Err(tower::timeout::error::Elapsed::new().into()),
                _ => Ok(inner.await?),
            }
        })
    }
}

trait IntoAxum {
    fn into_axum(self) -> AxumResponse;
}

impl IntoAxum for StatusCode {
    fn into_axum(self) -> AxumResponse {
        axum::response::IntoResponse::into_response(self)
    }
}

#[tokio::test]
async fn functions_of_axum_are_middleware() {
    let app = Stack::new()
        .with(from_layer_with_body(from_fn(marks), AxumBody::new))
        .with(from_layer_with_body(
            from_fn_with_state(
                7,
                async |axum::extract::State(n): axum::extract::State<u32>,
                       mut request: AxumRequest,
                       next: Next| {
                    request.headers_mut().insert("x-state", n.into());
                    next.run(request).await
                },
            ),
            AxumBody::new,
        ))
        .with(from_layer_with_body(
            map_request(async |mut request: AxumRequest| {
                let yes = HeaderValue::from_static("yes");
                request.headers_mut().insert("x-seen", yes);
                request
            }),
            AxumBody::new,
        ))
        .with(from_layer_with_body(
            map_response(async |response: AxumResponse| (StatusCode::ACCEPTED, response)),
            AxumBody::new,
        ))
        .app(|request: Request| async move {
            let of = |name| request.headers()[name].to_str().unwrap().to_owned();
            format!("{} {}", of("x-state"), of("x-seen"))
        });
    let response = app.call(get("/")).await;
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["x-mark"], "1");
    assert_eq!(text(response).await, "7 yes");
    let names = ["FromFn", "FromFn", "MapRequest", "MapResponse"];
    let outline = app.outline();
    let layers: Vec<_> = outline.layers().map(|layer| layer.name()).collect();
    assert_eq!(layers[..4], names);
}

#[tokio::test]
async fn bodies_stream_with_their_trailers() {
    for app in [
        Stack::new()
            .with(from_layer_with_body(from_fn(marks), AxumBody::new))
            .app(echo),
        Stack::new()
            .with(from_layer_with_body(Strict, AxumBody::new))
            .app(echo),
    ] {
        streams(&app).await;
    }
}

#[tokio::test]
async fn a_layer_may_answer_and_fail() {
    let strict = from_layer_with_body(Strict, AxumBody::new);
    let app = Stack::new().with(strict.clone()).app(hello);
    assert_eq!(text(app.call(get("/")).await).await, "hello");
    assert_eq!(app.call(get("/no")).await.status(), 403);
    let failed = app.call(get("/fail")).await;
    assert_eq!(failed.status(), 504);
    assert_eq!(Failure::of(&failed).unwrap().failed_layer(), Some("Picky"));

    let teapot = move |app| {
        strict(app).on_error(|error| {
            let cause = failure(error).status(StatusCode::IM_A_TEAPOT);
            cause.into_response()
        })
    };
    let app = Stack::new().with(teapot).app(hello);
    assert_eq!(app.call(get("/fail")).await.status(), 418);
}

#[tokio::test]
async fn end_callbacks_and_errors_pass() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let listens = heard.clone();
    let app = Stack::new()
        .with(from_layer_with_body(from_fn(marks), AxumBody::new))
        .app(move |_: Request| {
            let listens = listens.clone();
            async move {
                let (mut sender, body) = Body::channel();
                sender.send("half").await.unwrap();
                sender.abort(Abort);
                body.on_end(move |end| {
                    let aborted =
                        matches!(end.outcome, Outcome::Failed(error) if error.is::<Abort>());
                    listens
                        .lock()
                        .unwrap()
                        .push(format!("{aborted} {}", end.bytes));
                })
            }
        });
    let mut body = app.call(get("/")).await.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(*heard.lock().unwrap(), ["true 4"]);
    // axum has wrapped the error, which is one of the sources.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause.filter(|error| !error.is::<Abort>()) {
        cause = error.source();
    }
    assert!(cause.is_some());
}

#[tokio::test]
async fn sizes_are_kept_and_an_empty_body_stays_empty() {
    let app = Stack::new()
        .with(from_layer_with_body(from_fn(marks), AxumBody::new))
        .app(|request: Request| async move {
            let is_empty = request
                .body()
                .as_bytes()
                .is_some_and(|bytes| bytes.is_empty());
            assert!(is_empty, "an empty body is none");
            "four"
        });
    let body = app.call(get("/")).await.into_body();
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(4));
    assert!(!body.is_buffered(), "as the docs say");
    assert_eq!(BodyExt::collect(body).await.unwrap().to_bytes(), "four");
}

/// The layer sees the client as in axum, and the whole path. So does the app inside.
#[tokio::test]
async fn the_client_and_the_path_are_known_on_both_sides() {
    async fn tells(mut request: AxumRequest, next: Next) -> AxumResponse {
        let client = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let client = client.map_or_else(String::new, |ConnectInfo(client)| client.to_string());
        let seen = format!("{client} {}", request.uri().path());
        let seen = HeaderValue::from_str(&seen).unwrap();
        request.headers_mut().insert("x-seen", seen);
        next.run(request).await
    }
    async fn inner(request: Request) -> String {
        let seen = request.headers()["x-seen"].to_str().unwrap();
        let peer = Peer::of(&request).unwrap().address();
        let mount = Mount::of(&request).unwrap();
        let path = request.uri().path();
        format!("{seen} | {peer} {} {path}", mount.prefix())
    }
    let stack = Stack::new().with(from_layer_with_body(from_fn(tells), AxumBody::new));
    let app = Mounts::new().at("/api", stack.app(inner));
    let mut request = get("/api/users");
    let at = |port| Address::Tcp(([192, 0, 2, 1], port).into());
    request.extensions_mut().insert(Peer::new(at(5), at(80)));
    let response: Response = app.call(request).await;
    let got = text(response).await;
    #[cfg(feature = "axum")]
    assert_eq!(got, "192.0.2.1:5 /api/users | 192.0.2.1:5 /api /api/users");
    #[cfg(not(feature = "axum"))]
    assert_eq!(got, " /api/users | 192.0.2.1:5 /api /api/users");
}
