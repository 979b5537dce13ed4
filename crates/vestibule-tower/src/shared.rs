//! A service that is not `Clone`, or not `Sync`, as an app.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use vestibule_core::{App, Body, BoxApp, BoxError, Outline, Request, Response};

use crate::HttpService;
use crate::errors::{self, OnError};
use crate::foreign::{self, ForeignPath};
use crate::line::{Line, Place};
use crate::roles;

/// Makes an app of a tower service that is not `Clone` (or not `Sync`), such as tower's `RateLimit`.
///
/// The one service stands behind a mutex. Requests wait in line, first come first served, until it
/// is ready for the first of them; the line is not bounded, so put a limit or a timeout outside.
/// The lock is held while the service is asked for readiness and called, never while it works on an
/// answer: answers come in parallel. There is no buffer and no task.
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

/// One tower service that all requests share; made by [`from_service_shared`] and
/// [`from_layer_shared`](crate::from_layer_shared).
///
/// Errors become responses as those of [`FromService`](crate::FromService).
pub struct FromServiceShared<S> {
    service: Mutex<S>,
    line: Line,
    /// What the service wraps, where that is known.
    inner: Option<BoxApp>,
    path: ForeignPath,
    on_error: OnError,
}

impl<S: HttpService> FromServiceShared<S> {
    pub(crate) fn new(service: S, inner: Option<BoxApp>) -> Self {
        Self {
            service: Mutex::new(service),
            line: Line::default(),
            path: ForeignPath::of(inner.is_some()),
            inner,
            on_error: errors::table,
        }
    }

    /// Makes responses of errors by another table.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Removes the prefix of the request's mount from the path that the service sees. Defaults to
    /// `false`. See [`FromService::below_mount`](crate::FromService::below_mount).
    #[must_use]
    pub fn below_mount(mut self, enabled: bool) -> Self {
        self.path = ForeignPath::of(self.inner.is_some()).below_mount(enabled);
        self
    }

    /// Waits in line and for readiness, and calls the service in the same moment: readiness that
    /// was given is never left unused. Only the first in line asks, so the one waker that a service
    /// has to remember is enough.
    fn poll_call(
        &self,
        place: &mut Place<'_>,
        request: &mut Option<Request>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Future, BoxError>> {
        ready!(place.poll_first(cx));
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
        let mut place = Place::new(&self.line);
        let called = poll_fn(|cx| self.poll_call(&mut place, &mut request, cx)).await;
        drop(place);
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
        roles::tell::<S>(outline);
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

/// A service that panicked is asked for readiness again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
