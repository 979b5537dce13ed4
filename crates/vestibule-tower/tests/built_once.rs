//! A layer that builds its middleware once, and finds the right inner service for each request.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use futures_util::FutureExt;
use http::HeaderValue;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use vestibule_core::{
    App, BoxApp, BoxFuture, CatchPanic, Failure, IntoResponse, Only, Request, Response, Stack,
    around,
};
use vestibule_tower::{AppService, from_layer, from_service, layer, layer_shared, service};

use crate::common::{self, mark, text};

/// Creates an app that returns its name.
fn named(name: &'static str) -> AppService {
    service(move |_: Request| async move { name })
}

/// Calls a service and returns the body of its response.
async fn response_text(service: &AppService) -> String {
    text(response(service).await).await
}

async fn response(service: &AppService) -> Response {
    let Ok(response) = service.clone().oneshot(common::get("/")).await;
    response
}

/// Copies the head of a request, for a second call.
fn copy_head(request: &Request) -> Request {
    let mut copy_head = common::get("/");
    *copy_head.extensions_mut() = request.extensions().clone();
    copy_head
}

/// Applies one layer value to two services. Each request must reach its own service, whatever the
/// middleware does. The middleware builds its response from the responses that it got.
async fn reaches<F, Fut>(wanted: [&str; 2], middleware: F)
where
    F: Fn(Request, BoxApp) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
{
    let built = Arc::new(AtomicU32::new(0));
    let counted = built.clone();
    let layer = layer(move |app| {
        counted.fetch_add(1, Relaxed);
        let inner = app.clone();
        around(move |request, _| middleware(request, inner.clone()))(app)
    });
    let (a, b) = (layer.layer(named("a")), layer.layer(named("b")));
    for _ in 0..2 {
        assert_eq!(
            [&*response_text(&a).await, &*response_text(&b).await],
            wanted
        );
    }
    assert_eq!(built.load(Relaxed), 1);
}

async fn body(app: BoxApp, request: Request) -> String {
    text(app.call(request).await).await
}

#[tokio::test]
async fn a_middleware_may_call_its_service_any_number_of_times() {
    reaches(["a", "b"], body_of).await;
    reaches(["never", "never"], |_, _| async { "never" }).await;
    reaches(["aaa", "bbb"], |request, app| async move {
        let (first, second) = (copy_head(&request), copy_head(&request));
        let mut all = body(app.clone(), first).await;
        tokio::task::yield_now().await;
        all += &body(app.clone(), second).await;
        all + &body(app, request).await
    })
    .await;
    reaches(["aa", "bb"], |request, app| async move {
        let other = body(app.clone(), copy_head(&request));
        let (one, two) = tokio::join!(other, body(app.clone(), request));
        one + &two
    })
    .await;
}

fn body_of(request: Request, app: BoxApp) -> impl Future<Output = String> {
    body(app, request)
}

#[tokio::test]
async fn a_middleware_may_lose_the_extensions_in_its_own_task() {
    reaches(["a", "b"], |mut request, app| async move {
        request.extensions_mut().clear();
        body(app, request).await
    })
    .await;
    reaches(["a", "b"], |_, app| async move {
        tokio::task::yield_now().await;
        body(app, Request::default()).await
    })
    .await;
}

#[tokio::test]
async fn a_middleware_may_call_from_another_task() {
    reaches(["a", "b"], |request, app| async move {
        tokio::spawn(body(app, request)).await.unwrap()
    })
    .await;
    // tower's `Buffer` has a worker task.
    let buffer = ServiceBuilder::new().buffer(8);
    let stack = Stack::new().with(from_layer(buffer)).with(mark());
    let layer = layer(|app| stack.app(app));
    for name in ["a", "b"] {
        assert_eq!(response_text(&layer.layer(named(name))).await, name);
    }
}

/// Without extensions and in another task, the service of the request is unknown.
#[tokio::test]
async fn a_new_request_in_another_task_is_refused_with_the_reason() {
    let layer = layer(around(|_, next| async move {
        let call = async move { next.call(Request::default()).await };
        tokio::spawn(call).await.unwrap()
    }));
    let response = response(&layer.layer(named("a"))).await;
    assert_eq!(response.status(), 500);
    let failure = Failure::of(&response).unwrap();
    assert_eq!(failure.failed_layer(), Some("inside"));
    assert_eq!(
        failure.to_string(),
        "the service inside of this layer is unknown, since the request is a new one and was sent from another \
         task; give it the extensions of the first request, or make the layer by `layer_each`"
    );
}

#[tokio::test]
async fn stacks_and_layers_in_layers_find_their_services() {
    let stack = Stack::new()
        .with(CatchPanic::new)
        .with(|app| Only::new(app, |_: &_| true, mark()))
        .around(|request, next| async move { next.call(request).await });
    let whole = layer(|app| stack.app(app));
    let other = layer(mark());
    let outline = whole.outline().to_string();
    assert_eq!(
        outline,
        "CatchPanic\nMapResponse  only: some requests\nAround\ninside\n"
    );
    for name in ["a", "b"] {
        let twice = whole.layer(whole.layer(named(name)));
        assert_eq!(response_text(&twice).await, name);
        let mixed = other.layer(whole.layer(other.layer(named(name))));
        let response = response(&mixed).await;
        assert_eq!(response.headers()["x-mark"], "1");
        assert_eq!(text(response).await, name);
    }
    let shared = layer_shared(mark());
    for name in ["a", "b"] {
        assert_eq!(response_text(&shared.layer(named(name))).await, name);
    }
}

/// The middleware holds a router, with its own layer, between itself and the inner service.
#[tokio::test]
async fn a_router_between_a_middleware_and_its_service() {
    let between = layer(mark());
    let outer = layer(move |app| {
        let router: Router = Router::new().fallback_service(service(app)).layer(between);
        from_service(router)
    });
    for name in ["a", "b"] {
        let response = response(&outer.layer(named(name))).await;
        assert_eq!(response.headers()["x-mark"], "1");
        assert_eq!(text(response).await, name);
    }
}

/// One request stores a future and another request polls it. The future belongs to the first
/// request.
#[tokio::test]
async fn a_parked_future_is_answered_by_its_own_service() {
    type Parked = Arc<Mutex<Option<BoxFuture<'static>>>>;
    let parked = Parked::default();
    let layer = layer(move |app: BoxApp| {
        move |request: Request| {
            let (app, parked) = (app.clone(), parked.clone());
            async move {
                let call: BoxFuture<'static> = Box::pin(async move { app.call(request).await });
                let before = parked.lock().unwrap().replace(call);
                match before {
                    Some(before) => before.await,
                    None => "parked".into_response(),
                }
            }
        }
    });
    let (a, b) = (layer.layer(named("a")), layer.layer(named("b")));
    assert_eq!(response_text(&a).await, "parked");
    assert_eq!(response_text(&b).await, "a");
    assert_eq!(response_text(&a).await, "b");
}

/// After a panic, and after a cancelled request, the next request is answered as usual.
#[tokio::test]
async fn panics_and_dropped_requests_leave_nothing_behind() {
    let (outer, inner) = (layer(mark()), layer(mark()));
    let panics = service(async |_: Request| -> &str { panic!("no more paper") });
    let panics = outer.layer(inner.layer(panics));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let caught = std::panic::AssertUnwindSafe(response(&panics))
        .catch_unwind()
        .await;
    std::panic::set_hook(hook);
    assert!(caught.is_err());

    let pending = service(|_: Request| std::future::pending::<()>());
    let pending = outer.layer(inner.layer(pending));
    assert!(response(&pending).now_or_never().is_none());

    // For a new request, only the thread-local list counts. It must not hold older entries.
    let lost = layer(around(|_, next| async move {
        next.call(Request::default()).await
    }));
    assert_eq!(response_text(&lost.layer(named("a"))).await, "a");
}

/// The last connection releases the service.
#[tokio::test]
async fn a_service_is_released_with_its_last_connection() {
    let layer = layer(around(|request: Request, next| async move {
        let extensions = request.extensions().clone();
        let mut response = next.call(request).await;
        response.extensions_mut().extend(extensions);
        response
    }));
    let handler = Arc::new("held");
    for _ in 0..50 {
        let held = handler.clone();
        let connection = layer.layer(service(move |_: Request| {
            let held = held.clone();
            async move { *held }
        }));
        assert_eq!(response_text(&connection).await, "held");
    }
    assert_eq!(Arc::strong_count(&handler), 1);
}

/// Every place in axum that accepts a layer.
#[tokio::test]
async fn a_layer_is_built_once_for_all_uses_in_axum() {
    let built = Arc::new(AtomicU32::new(0));
    let counted = built.clone();
    let one = layer(move |app| {
        counted.fetch_add(1, Relaxed);
        mark()(app)
    });
    let answer = |name: &'static str| get(move || async move { name });
    let nested: Router = Router::new().route("/c", answer("c")).layer(one.clone());
    let router: Router = Router::new()
        .route("/a", answer("a").layer(one.clone()))
        .route("/b", answer("b"))
        .route_layer(one.clone())
        .nest("/nest", nested)
        .route("/d", answer("d"))
        .layer(ServiceBuilder::new().layer(one.clone()).layer(one));
    for (path, name) in [("/a", "a"), ("/b", "b"), ("/nest/c", "c"), ("/d", "d")] {
        let request = http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        let response = router.clone().call(request).await.unwrap();
        assert_eq!(response.headers()["x-mark"], HeaderValue::from_static("1"));
        let bytes = axum::body::to_bytes(response.into_body(), 10)
            .await
            .unwrap();
        assert_eq!(bytes, name);
    }
    assert_eq!(built.load(Relaxed), 1);
}
