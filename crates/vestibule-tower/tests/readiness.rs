//! Services that must be ready before a call, and that detect a call without readiness.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_test::mock;
use vestibule_core::{App, Failure, FailureKind, Request, Response, Stack};
use vestibule_tower::{
    AppService, from_layer, from_layer_shared, from_service, from_service_shared, layer,
    layer_shared, service,
};

use crate::common::{get, hello, mark, text};

/// Is ready at the second poll, for one call. A clone must be polled again.
struct Probe<S> {
    inner: S,
    asked: usize,
    calls: Arc<AtomicUsize>,
}

impl<S> Probe<S> {
    fn new(inner: S) -> Self {
        Self {
            inner,
            asked: 0,
            calls: Arc::default(),
        }
    }
}

impl<S: Clone> Clone for Probe<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            asked: 0,
            calls: self.calls.clone(),
        }
    }
}

impl<S: Service<Request>> Service<Request> for Probe<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.asked += 1;
        match self.asked {
            1 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => self.inner.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request) -> S::Future {
        assert!(self.asked >= 2, "called before it was ready");
        self.asked = 0;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

async fn answers(app: &impl App, calls: &AtomicUsize) {
    for n in 1..=3 {
        let response = app.call(get("/")).await;
        assert_eq!(text(response).await, "hello");
        assert_eq!(calls.load(Ordering::Relaxed), n);
    }
}

/// The other tests rely on this panic.
#[tokio::test]
#[should_panic(expected = "called before it was ready")]
async fn the_probe_panics_without_readiness() {
    let mut probe = Probe::new(service(hello));
    ServiceExt::<Request>::ready(&mut probe).await.unwrap();
    let mut clone = probe.clone();
    drop(probe.call(get("/")));
    drop(clone.call(get("/")));
}

#[tokio::test]
async fn a_service_is_ready_before_it_is_called() {
    let probe = Probe::new(service(hello));
    let calls = probe.calls.clone();
    answers(&from_service(probe), &calls).await;

    let probe = Probe::new(service(hello));
    let calls = probe.calls.clone();
    answers(&from_service_shared(probe), &calls).await;
}

#[tokio::test]
async fn a_layers_service_is_ready_before_it_is_called() {
    let calls: Arc<AtomicUsize> = Arc::default();
    let probe = {
        let calls = calls.clone();
        layer_fn(move |inner: AppService| Probe {
            calls: calls.clone(),
            ..Probe::new(inner)
        })
    };
    let app = Stack::new().with(from_layer(probe.clone())).app(hello);
    answers(&app, &calls).await;
    calls.store(0, Ordering::Relaxed);
    let app = Stack::new().with(from_layer_shared(probe)).app(hello);
    answers(&app, &calls).await;
}

#[tokio::test]
async fn a_service_below_our_middleware_is_ready_before_it_is_called() {
    let probe = Probe::new(service(hello));
    let calls = probe.calls.clone();
    let cloned = ServiceBuilder::new().layer(layer(mark())).service(probe);
    let probe = Probe::new(service(hello));
    let shared_calls = probe.calls.clone();
    let shared = ServiceBuilder::new()
        .layer(layer_shared(mark()))
        .service(probe);
    for (service, calls) in [(cloned, calls), (shared, shared_calls)] {
        for n in 1..=3 {
            let response = service.clone().oneshot(get("/")).await.unwrap();
            assert_eq!(response.headers()["x-mark"], "1");
            assert_eq!(calls.load(Ordering::Relaxed), n);
        }
    }
}

/// tower-test's mock panics if it is called before it is ready. The test decides when it is ready.
#[tokio::test]
async fn a_mock_decides_when_it_is_called() {
    for shared in [false, true] {
        let (service, mut handle) = mock::pair::<Request, Response>();
        handle.allow(0);
        let app = if shared {
            from_service_shared(service).boxed()
        } else {
            from_service(service).boxed()
        };
        let answer = tokio::spawn({
            let app = app.clone();
            async move { app.call(get("/first")).await }
        });
        tokio::task::yield_now().await;
        assert!(handle.poll_request().is_pending());
        assert!(!answer.is_finished());

        handle.allow(1);
        let (request, send) = handle.next_request().await.unwrap();
        assert_eq!(request.uri(), "/first");
        send.send_response(Response::new("mocked".into()));
        assert_eq!(text(answer.await.unwrap()).await, "mocked");

        handle.allow(1);
        let answer = tokio::spawn({
            let app = app.clone();
            async move { app.call(get("/second")).await }
        });
        let (_, send) = handle.next_request().await.unwrap();
        send.send_error("no more paper");
        let response = answer.await.unwrap();
        assert_eq!(response.status(), 500);
        let cause = Failure::of(&response).unwrap();
        assert_eq!(cause.to_string(), "no more paper");
        assert_eq!(cause.failed_layer(), Some("Mock"));

        // An error of the readiness becomes a response as well.
        handle.send_error("closed for today");
        let response = app.call(get("/third")).await;
        assert_eq!(response.status(), 500);
        let cause = Failure::of(&response).unwrap();
        assert_eq!(cause.to_string(), "closed for today");
        assert_eq!(cause.failure_kind(), FailureKind::App);
    }
}

/// Readiness as a number of permits: each call uses one, `Gate::open` adds one.
#[derive(Clone, Default)]
struct Gate(Arc<std::sync::Mutex<(usize, Option<std::task::Waker>)>>);

impl Gate {
    fn open(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 += 1;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Not `Clone`, as a service whose readiness is shared.
struct Gated(Gate);

impl Service<Request> for Gated {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let mut state = self.0.0.lock().unwrap();
        match state.0 {
            0 => {
                // Only the last task that polled is woken, as the contract of `poll_ready` allows.
                state.1 = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.0.lock().unwrap().0 -= 1;
        assert_ne!(request.uri(), "/panic", "asked to panic");
        ready(Ok(Response::new(request.uri().path().to_owned().into())))
    }
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_to_a_shared_service_are_served_in_order() {
    let gate = Gate::default();
    let app = from_service_shared(Gated(gate.clone())).boxed();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..5 {
        let (app, tell) = (app.clone(), tell.clone());
        tokio::spawn(async move {
            tell.send(text(app.call(get(&format!("/{n}"))).await).await)
                .unwrap();
        });
        settle().await;
    }
    for n in 0..5 {
        assert!(told.try_recv().is_err());
        gate.open();
        settle().await;
        assert_eq!(told.try_recv().unwrap(), format!("/{n}"));
    }
}

#[tokio::test]
async fn cancelled_requests_do_not_block_others() {
    let gate = Gate::default();
    let app = from_service_shared(Gated(gate.clone())).boxed();
    let mut waiting = Vec::new();
    for n in 0..5 {
        let app = app.clone();
        waiting.push(tokio::spawn(async move {
            text(app.call(get(&format!("/{n}"))).await).await
        }));
        settle().await;
    }
    // Cancels the first request, which the service would wake, and one in the middle.
    waiting[0].abort();
    waiting[2].abort();
    settle().await;
    for n in [1, 3, 4] {
        gate.open();
        settle().await;
        assert!(waiting[n].is_finished(), "{n}");
        assert_eq!((&mut waiting[n]).await.unwrap(), format!("/{n}"));
    }
}

#[tokio::test]
async fn a_request_that_is_cancelled_after_its_wake_up_wakes_the_next() {
    let gate = Gate::default();
    let app = from_service_shared(Gated(gate.clone())).boxed();
    let mut first = Box::pin(app.call(get("/first")));
    let mut second = Box::pin(app.call(get("/second")));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    gate.open(); // wakes the first request, which is never polled again
    drop(first);
    assert_eq!(text(second.await).await, "/second");
}

#[tokio::test]
async fn a_later_request_does_not_overtake() {
    let gate = Gate::default();
    let app = from_service_shared(Gated(gate.clone())).boxed();
    let mut first = Box::pin(app.call(get("/first")));
    assert!(futures_util::poll!(&mut first).is_pending());
    gate.open(); // the first request is woken, but not polled yet
    let mut second = Box::pin(app.call(get("/second")));
    assert!(futures_util::poll!(&mut second).is_pending());
    assert_eq!(text(first.await).await, "/first");
    gate.open();
    assert_eq!(text(second.await).await, "/second");
}

#[tokio::test]
async fn a_waiting_request_may_move_to_another_task() {
    let gate = Gate::default();
    let app = from_service_shared(Gated(gate.clone())).boxed();
    let mut first = app.clone().call_owned(get("/first"));
    let mut second = app.call_owned(get("/second"));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    let (first, second) = (tokio::spawn(first), tokio::spawn(second));
    settle().await;
    gate.open();
    gate.open();
    settle().await;
    assert!(first.is_finished() && second.is_finished());
}

#[tokio::test]
async fn a_panic_in_a_shared_service_does_not_block_others() {
    let gate = Gate::default();
    let app = from_service_shared(Gated(gate.clone())).boxed();
    let shaky = tokio::spawn({
        let app = app.clone();
        async move { app.call(get("/panic")).await }
    });
    settle().await;
    let next = tokio::spawn({
        let app = app.clone();
        async move { app.call(get("/next")).await }
    });
    settle().await;
    gate.open();
    gate.open();
    assert!(shaky.await.unwrap_err().is_panic());
    assert_eq!(text(next.await.unwrap()).await, "/next");
}
