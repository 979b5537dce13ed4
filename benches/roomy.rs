//! Apps that respond at once, for benchmarks of the layers around them.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower_service::Service;
use vestibule::prelude::*;

/// An app whose header map has room, so that the map's own growth is no layer's cost.
pub(crate) async fn roomy(_: Request) -> Response {
    let mut response = Response::default();
    response.headers_mut().reserve(24);
    response
}

/// The same for axum.
pub(crate) async fn roomy_axum() -> axum::response::Response {
    let mut response = axum::response::Response::default();
    response.headers_mut().reserve(24);
    response
}

/// A tower service that answers as [`roomy`] does.
#[derive(Clone)]
pub(crate) struct Roomy;

impl Service<Request> for Roomy {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        std::future::ready(Ok(now(roomy(request))))
    }
}

pub(crate) fn call(app: &impl App) {
    drop(std::hint::black_box(now(app.call(Request::default()))));
}

pub(crate) fn call_tower<S: Service<Request> + Clone>(service: &S) {
    let mut service = service.clone();
    let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(ready.is_ready());
    drop(std::hint::black_box(now(service.call(Request::default()))));
}

pub(crate) fn call_axum(router: &axum::Router) {
    let mut router = router.clone();
    let request = http::Request::new(axum::body::Body::empty());
    drop(std::hint::black_box(now(Service::call(
        &mut router,
        request,
    ))));
}

/// Runs a future that is never pending.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}
