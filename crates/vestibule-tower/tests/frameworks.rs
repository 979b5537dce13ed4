//! axum's routers on both sides, and hyper's services.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::extract::Path;
use axum::routing::{get, get_service, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::service::service_fn;
use tower::{Layer, Service, ServiceExt};
use vestibule_core::{App, CatchPanic, Failure, Mounts, Request, Stack};
use vestibule_tower::{from_hyper, from_service, hyper_service, layer, service};

use crate::common::{self, hello, mark, streams, text};

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "from axum" }))
        .route(
            "/users/{id}",
            get(|Path(id): Path<u32>| async move { format!("user {id}") }),
        )
        .route("/echo", post(|body: axum::body::Body| async { body }))
}

async fn ask(router: &Router, path: &str) -> axum::response::Response {
    let request = http::Request::get(path)
        .body(axum::body::Body::empty())
        .unwrap();
    router.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn a_router_is_an_app() {
    let app = Stack::new().with(mark()).app(from_service(router()));
    let cases = [
        ("/", 200, "from axum"),
        ("/users/7", 200, "user 7"),
        ("/none", 404, ""),
    ];
    for (path, status, body) in cases {
        let response = app.call(common::get(path)).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["x-mark"], "1");
        assert_eq!(text(response).await, body, "{path}");
    }
    assert_eq!(app.outline().to_string(), "MapResponse\nRouter\n");
}

#[tokio::test]
async fn a_router_streams() {
    let echo = Router::new().fallback(|body: axum::body::Body| async { body });
    streams(&from_service(echo)).await;
}

#[tokio::test]
async fn our_middleware_layers_a_router_and_its_parts() {
    let router = router()
        .route("/shaky", get(async || -> () { panic!("no more paper") }))
        .layer(layer(CatchPanic::new))
        .layer(layer(mark()));
    for (path, status) in [
        ("/", 200),
        ("/users/7", 200),
        ("/none", 404),
        ("/shaky", 500),
    ] {
        let response = ask(&router, path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["x-mark"], "1", "{path}");
    }
    let failure = ask(&router, "/shaky").await;
    let failure: &Failure = failure.extensions().get().unwrap();
    assert_eq!(failure.to_string(), "panicked: no more paper");

    let part = Router::new()
        .route("/in", get(|| async {}).layer(layer(mark())))
        .route("/out", get(|| async {}))
        .route("/late", get(|| async {}))
        .route_layer(layer(mark()))
        .route("/plain", get(|| async {}));
    for (path, marked) in [("/in", true), ("/late", true), ("/plain", false)] {
        let response = ask(&part, path).await;
        assert_eq!(response.headers().contains_key("x-mark"), marked, "{path}");
    }
}

#[tokio::test]
async fn a_whole_stack_is_a_layer() {
    let stack = Stack::new()
        .around(|mut request: Request, next| async move {
            request.extensions_mut().insert(7_u8);
            next.call(request).await
        })
        .with(mark());
    let router = Router::new()
        .route(
            "/",
            get(|Extension(n): Extension<u8>| async move { n.to_string() }),
        )
        .layer(layer(move |app| stack.app(app)));
    let response = ask(&router, "/").await;
    assert_eq!(response.headers()["x-mark"], "1");
    let body = axum::body::to_bytes(response.into_body(), 10).await;
    assert_eq!(body.unwrap(), "7");
}

#[tokio::test]
async fn our_app_is_a_service_of_a_router() {
    async fn path(request: Request) -> String {
        request.uri().path().to_owned()
    }
    let router = Router::new()
        .route("/service", get_service(service(hello)))
        .route_service("/exact", service(path))
        .nest_service("/nested", service(Mounts::new().at("/deep", path)))
        .fallback_service(service(|_: Request| async {
            (StatusCode::NOT_FOUND, "ours")
        }));
    let cases = [
        ("/service", 200, "hello"),
        ("/exact", 200, "/exact"),
        ("/nested/deep", 200, "/nested/deep"),
        ("/none", 404, "ours"),
    ];
    for (path, status, body) in cases {
        let response = ask(&router, path).await;
        assert_eq!(response.status(), status, "{path}");
        let bytes = axum::body::to_bytes(response.into_body(), 100).await;
        assert_eq!(bytes.unwrap(), body, "{path}");
    }
}

/// A service as generated gRPC servers have it. It accepts any body type; its response has its own
/// boxed body, and the status in the trailers.
#[derive(Clone)]
struct Greeter;

type BoxedBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

impl<B> Service<http::Request<B>> for Greeter
where
    B: http_body::Body + Send + 'static,
{
    type Response = http::Response<BoxedBody>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<B>) -> Self::Future {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let body = http_body_util::Full::new(Bytes::from("greeting"))
            .map_err(Into::into)
            .with_trailers(std::future::ready(Some(Ok(trailers))));
        std::future::ready(Ok(http::Response::new(body.boxed_unsync())))
    }
}

/// The bounds of a gRPC server on a layer and on its service.
fn grpc_server<L, B>(
    layer: L,
) -> impl Service<http::Request<BoxedBody>, Response = http::Response<B>, Error = Infallible>
where
    L: Layer<Greeter>,
    L::Service: Service<
            http::Request<BoxedBody>,
            Response = http::Response<B>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<tower::BoxError>> + Send + 'static,
{
    layer.layer(Greeter)
}

#[tokio::test]
async fn our_middleware_layers_a_grpc_server() {
    let server = grpc_server(layer(mark()));
    let request = http::Request::new(http_body_util::Empty::new().map_err(Into::into));
    let response = server
        .oneshot(request.map(BodyExt::boxed_unsync))
        .await
        .unwrap();
    assert_eq!(response.headers()["x-mark"], "1");
    let whole = BodyExt::collect(response.into_body()).await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), "greeting");
}

#[tokio::test]
async fn hypers_services_are_apps_and_apps_are_hypers_services() {
    async fn answer(request: Request) -> Result<http::Response<String>, std::io::Error> {
        match request.uri().path() {
            "/" => Ok(http::Response::new("from hyper".to_owned())),
            _ => Err(std::io::Error::other("no more paper")),
        }
    }
    let app = Stack::new()
        .with(mark())
        .app(from_hyper(service_fn(answer)));
    let response = app.call(common::get("/")).await;
    assert_eq!(response.headers()["x-mark"], "1");
    assert_eq!(text(response).await, "from hyper");
    let response = app.call(common::get("/none")).await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["x-mark"], "1");
    let cause = Failure::of(&response).unwrap();
    assert_eq!(cause.to_string(), "no more paper");
    assert_eq!(cause.failed_layer(), Some("ServiceFn"));

    let there_and_back = from_hyper(hyper_service(common::echo));
    streams(&there_and_back).await;
}
