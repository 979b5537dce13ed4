//! Converts a service that is not `Clone`, or not `Sync`, to an app.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use vestibule_core::{App, Body, BoxApp, BoxError, Outline, Request, Response};

use crate::HttpService;
use crate::errors::{self, OnError};
use crate::foreign::{self, ForeignPath};
use crate::roles;
use crate::wait_queue::{QueuePosition, WaitQueue};

/// Converts a tower service that is not `Clone` (or not `Sync`), such as tower's `RateLimit`, to an
/// app.
///
/// The service is behind a mutex. Requests wait in a queue, first come, first served, until the
/// service is ready for the first one. The queue has no limit, so put a limit or a timeout outside.
/// The mutex is locked while the service is polled for readiness and called, and not while its
/// response is awaited: responses are processed in parallel. There is no buffer and no spawned
/// task.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
/// use tower::limit::{RateLimit, rate::Rate};
/// use vestibule_core::{App, Request};
/// use vestibule_tower::{from_service_shared, service};
///
/// async fn hello(_: Request) -> &'static str { "hello" }
///
/// let limited = RateLimit::new(service(hello), Rate::new(5, Duration::from_secs(1)));
/// let app = from_service_shared(limited);
/// assert_eq!(app.call(Request::default()).await.status(), 200);
/// # }
/// ```
pub fn from_service_shared<S: HttpService>(service: S) -> FromServiceShared<S> {
    FromServiceShared::new(service, None)
}

/// A tower service that all requests share; created by [`from_service_shared`] and
/// [`from_layer_shared`](crate::from_layer_shared).
///
/// Errors become responses, as in [`FromService`](crate::FromService).
pub struct FromServiceShared<S> {
    service: Mutex<S>,
    queue: WaitQueue,
    /// The app that the service wraps, if it is known.
    inner: Option<BoxApp>,
    path: ForeignPath,
    on_error: OnError,
}

impl<S: HttpService> FromServiceShared<S> {
    pub(crate) fn new(service: S, inner: Option<BoxApp>) -> Self {
        Self {
            service: Mutex::new(service),
            queue: WaitQueue::default(),
            path: ForeignPath::of(inner.is_some()),
            inner,
            on_error: errors::table,
        }
    }

    /// Sets the conversion of errors to responses. Defaults to the table of
    /// [`failure`](crate::failure).
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Sets whether the service sees the path without the prefix of the request's mount. Defaults
    /// to `false`. See [`FromService::below_mount`](crate::FromService::below_mount).
    #[must_use]
    pub fn below_mount(mut self, enabled: bool) -> Self {
        self.path = ForeignPath::of(self.inner.is_some()).below_mount(enabled);
        self
    }

    /// Waits in the queue and for readiness, and calls the service in the same poll, so that
    /// readiness is never left unused. Only the first request in the queue polls for readiness, so
    /// the one waker that a service stores is enough.
    fn poll_call(
        &self,
        position: &mut QueuePosition<'_>,
        request: &mut Option<Request>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Future, BoxError>> {
        ready!(position.poll_first(cx));
        let mut service = lock(&self.service);
        ready!(service.poll_ready(cx)).map_err(Into::into)?;
        let request = request.take().unwrap_or_default();
        Poll::Ready(Ok(service.call(request)))
    }
}

impl<S: HttpService> App for FromServiceShared<S> {
    async fn call(&self, mut request: Request) -> Response {
        foreign::leave(&mut request, self.path);
        let mut request = Some(request);
        let mut position = QueuePosition::new(&self.queue);
        let called = poll_fn(|cx| self.poll_call(&mut position, &mut request, cx)).await;
        drop(position);
        let answer = match called {
            Ok(answer) => answer,
            Err(error) => return errors::respond(error, self.on_error, Self::name()),
        };
        match answer.await {
            Ok(response) => response.map(Body::new),
            Err(error) => errors::respond(error.into(), self.on_error, Self::name()),
        }
    }

    fn describe(&self, outline: &mut Outline) {
        roles::add_known_role::<S>(outline);
        if let Some(inner) = &self.inner {
            outline.wraps(inner);
        }
    }

    fn name() -> &'static str {
        Outline::name_of::<S>()
    }
}

impl<S> fmt::Debug for FromServiceShared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromServiceShared")
            .field(&Outline::name_of::<S>())
            .finish()
    }
}

/// Ignores poisoning: after a panic, the service is polled for readiness again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
