//! tower's own middleware: inside our stacks, below ours, and around ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::buffer::{Buffer, BufferLayer};
use tower::limit::{ConcurrencyLimitLayer, RateLimitLayer};
use tower::load_shed::LoadShedLayer;
use tower::retry::{Policy, RetryLayer};
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};
use vestibule_core::{App, Body, Failure, FailureKind, Request, Response, Stack};
use vestibule_tower::{
    from_layer, from_layer_shared, from_service, from_service_shared, layer, layer_shared, service,
};

use crate::common::{echo, get, hello, mark, marked, streams, text};

/// An app that waits for a permit. It counts the requests inside: the current and the highest
/// number.
#[derive(Clone)]
struct Busy {
    go: Arc<Semaphore>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Busy {
    fn new() -> Self {
        Self {
            go: Arc::new(Semaphore::new(0)),
            now: Arc::default(),
            most: Arc::default(),
        }
    }
}

impl App for Busy {
    async fn call(&self, _: Request) -> Response {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.go.acquire().await.unwrap().forget();
        self.now.fetch_sub(1, Ordering::SeqCst);
        Response::default()
    }
}

/// Sends three requests at the same time. Returns the statuses and the highest number inside the
/// app.
async fn three_at_once(app: &impl App, busy: &Busy) -> ([u16; 3], usize) {
    let calls = async { tokio::join!(app.call(get("/")), app.call(get("/")), app.call(get("/"))) };
    let opened = async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        busy.go.add_permits(3);
    };
    let ((a, b, c), ()) = tokio::join!(calls, opened);
    let statuses = [a, b, c].map(|response| response.status().as_u16());
    (statuses, busy.most.load(Ordering::SeqCst))
}

#[tokio::test]
async fn concurrency_limit() {
    let busy = Busy::new();
    assert_eq!(three_at_once(&busy, &busy).await, ([200; 3], 3));

    let busy = Busy::new();
    let limit = ConcurrencyLimitLayer::new(2);
    let app = Stack::new().with(from_layer(limit)).app(busy.clone());
    assert_eq!(three_at_once(&app, &busy).await, ([200; 3], 2));

    let busy = Busy::new();
    let limited = ServiceBuilder::new()
        .layer(layer(mark()))
        .concurrency_limit(1)
        .service(service(busy.clone()));
    assert_eq!(
        three_at_once(&from_service(limited), &busy).await,
        ([200; 3], 1)
    );

    let busy = Busy::new();
    let limited = ServiceBuilder::new()
        .concurrency_limit(1)
        .layer(layer(mark()))
        .service(service(busy.clone()));
    assert_eq!(
        three_at_once(&from_service_shared(limited), &busy).await,
        ([200; 3], 1)
    );

    let app = Stack::new()
        .with(from_layer(ConcurrencyLimitLayer::new(1)))
        .app(echo);
    streams(&app).await;
}

#[tokio::test]
async fn load_shed() {
    let busy = Busy::new();
    let shed = ServiceBuilder::new().load_shed().concurrency_limit(2);
    let app = Stack::new()
        .map_response(marked)
        .with(from_layer(shed))
        .app(busy.clone());
    assert_eq!(app.outline().to_string(), "MapResponse\nLoadShed\nBusy\n");
    assert_eq!(three_at_once(&app, &busy).await, ([200, 200, 503], 2));

    // No request is accepted, so the response is immediate. The outer layers still apply.
    let shut = ServiceBuilder::new().load_shed().concurrency_limit(0);
    let app = Stack::new()
        .map_response(marked)
        .with(from_layer(shut))
        .app(hello);
    let response = app.call(get("/")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["x-mark"], "1");
    let cause = Failure::of(&response).unwrap();
    assert_eq!(cause.failure_kind(), FailureKind::Overload);
    assert_eq!(cause.failed_layer(), Some("LoadShed"));
    assert!(cause.error().is::<tower::load_shed::error::Overloaded>());

    let out = ServiceBuilder::new()
        .layer(layer(mark()))
        .layer(LoadShedLayer::new())
        .concurrency_limit(0)
        .service(service(hello));
    let response = out.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["x-mark"], "1");
}

async fn never(_: Request) {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn timeout() {
    let second = TimeoutLayer::new(Duration::from_secs(1));
    let app = Stack::new().with(from_layer(second.clone())).app(never);
    let response = app.call(get("/")).await;
    assert_eq!(response.status(), 504);
    assert_eq!(text_of(&response), "504 Gateway Timeout\n");
    let cause = Failure::of(&response).unwrap();
    assert_eq!(cause.failure_kind(), FailureKind::Timeout);
    assert_eq!(cause.failed_layer(), Some("Timeout"));
    assert!(cause.error().is::<tower::timeout::error::Elapsed>());

    let out = ServiceBuilder::new()
        .layer(layer(mark()))
        .layer(second.clone())
        .service(service(never));
    let response = out.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()["x-mark"], "1");

    // Around our layer, the error is tower's own, since no layer of ours is outside.
    let around = ServiceBuilder::new()
        .layer(second.clone())
        .layer(layer(mark()))
        .service(service(never));
    let error = around.oneshot(get("/")).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>());

    let own = layer(mark()).on_error(|error| {
        let teapot = StatusCode::IM_A_TEAPOT;
        let mut response = Response::default();
        *response.status_mut() = teapot;
        Failure::new(error).attach(&mut response);
        response
    });
    let out = ServiceBuilder::new()
        .layer(own)
        .layer(second.clone())
        .service(service(never));
    let response = out.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), 418);
    let cause = Failure::of(&response).unwrap();
    assert_eq!(cause.failed_layer(), Some("Timeout"));

    let app = Stack::new().with(from_layer(second)).app(echo);
    streams(&app).await;
}

fn text_of(response: &Response) -> &str {
    std::str::from_utf8(response.body().as_bytes().unwrap()).unwrap()
}

/// Retries a 503 response, at most twice.
#[derive(Clone)]
pub(crate) struct Twice(pub(crate) usize);

impl<E> Policy<Request, Response, E> for Twice {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut Request, result: &mut Result<Response, E>) -> Option<Self::Future> {
        let unavailable = matches!(result, Ok(response) if response.status() == 503);
        self.0 = self.0.checked_sub(usize::from(unavailable))?;
        unavailable.then(|| std::future::ready(()))
    }

    /// A streaming body cannot be sent twice.
    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        let bytes = request.body().as_bytes()?;
        let mut clone = Request::new(Body::from(bytes.clone()));
        *clone.uri_mut() = request.uri().clone();
        Some(clone)
    }
}

/// Creates an app that responds with 503 until its third call.
fn third_time() -> impl App {
    let calls = AtomicUsize::new(0);
    move |request: Request| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            let status = match call {
                0 | 1 => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::OK,
            };
            (status, request.into_body())
        }
    }
}

#[tokio::test]
async fn retry() {
    let post = || http::Request::post("/").body(Body::from("again")).unwrap();
    let app = Stack::new()
        .with(from_layer(RetryLayer::new(Twice(2))))
        .app(third_time());
    let response = app.call(post()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "again");

    let app = Stack::new()
        .with(from_layer(RetryLayer::new(Twice(1))))
        .app(third_time());
    assert_eq!(app.call(post()).await.status(), 503);

    let under = ServiceBuilder::new()
        .layer(layer(mark()))
        .retry(Twice(2))
        .service(service(third_time()));
    assert_eq!(under.oneshot(post()).await.unwrap().status(), 200);

    let around = ServiceBuilder::new()
        .retry(Twice(2))
        .layer(layer(mark()))
        .service(service(third_time()));
    assert_eq!(around.oneshot(post()).await.unwrap().status(), 200);

    let app = Stack::new()
        .with(from_layer(RetryLayer::new(Twice(2))))
        .app(echo);
    streams(&app).await;
}

#[tokio::test]
async fn buffer() {
    let app = Stack::new().with(from_layer(BufferLayer::new(4))).app(echo);
    streams(&app).await;

    let under = ServiceBuilder::new()
        .layer(layer(mark()))
        .buffer(4)
        .service(service(hello));
    let response = under.oneshot(get("/")).await.unwrap();
    assert_eq!(response.headers()["x-mark"], "1");

    let around = ServiceBuilder::new()
        .buffer(4)
        .layer(layer(mark()))
        .service(service(hello));
    let response = around.oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello");

    // A service whose readiness fails ends its buffer. The response still carries the cause.
    let (mock, mut handle) = tower_test::mock::pair::<Request, Response>();
    handle.send_error("no more paper");
    let app = from_service(Buffer::new(mock, 4));
    let response = app.call(get("/")).await;
    assert_eq!(response.status(), 500);
    let cause = Failure::of(&response).unwrap().to_string();
    assert_eq!(cause, "buffered service failed: no more paper");
}

/// Returns the duration of three calls at one call per second.
async fn seconds(app: &impl App) -> u64 {
    let start = Instant::now();
    let answers = tokio::join!(app.call(get("/")), app.call(get("/")), app.call(get("/")));
    for response in [answers.0, answers.1, answers.2] {
        assert_eq!(text(response).await, "hello");
    }
    start.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn rate_limit() {
    let one_a_second = RateLimitLayer::new(1, Duration::from_secs(1));
    let app = Stack::new()
        .with(from_layer_shared(one_a_second.clone()))
        .app(hello);
    assert_eq!(seconds(&app).await, 2);

    let limited = ServiceBuilder::new()
        .layer(one_a_second.clone())
        .service(service(hello));
    assert_eq!(seconds(&from_service_shared(limited)).await, 2);

    let under = ServiceBuilder::new()
        .layer(layer_shared(mark()))
        .layer(one_a_second.clone())
        .service(service(hello));
    assert_eq!(seconds(&from_service(under)).await, 2);

    let mut around = ServiceBuilder::new()
        .layer(one_a_second.clone())
        .layer(layer(mark()))
        .service(service(hello));
    let start = Instant::now();
    for _ in 0..3 {
        let ready = ServiceExt::<Request>::ready(&mut around).await.unwrap();
        let answer = ready.call(get("/")).await.unwrap();
        assert_eq!(answer.headers()["x-mark"], "1");
    }
    assert_eq!(start.elapsed().as_secs(), 2);

    let app = Stack::new().with(from_layer_shared(one_a_second)).app(echo);
    streams(&app).await;
}

#[tokio::test]
async fn boxed_services_are_apps() {
    let boxed = BoxCloneSyncService::new(service(hello));
    let response = from_service(boxed).call(get("/")).await;
    assert_eq!(text(response).await, "hello");
    // `Clone`, but not `Sync`.
    let boxed = tower::util::BoxCloneService::new(service(hello));
    let response = from_service_shared(boxed).call(get("/")).await;
    assert_eq!(text(response).await, "hello");
}
