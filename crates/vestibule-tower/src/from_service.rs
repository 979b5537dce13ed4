//! Converts a service that is `Clone` to an app.

use std::fmt;
use std::future::poll_fn;

use bytes::Buf;
use vestibule_core::{App, Body, BoxApp, BoxError, Outline, Request, Response};

use crate::errors::{self, OnError};
use crate::foreign::{self, ForeignPath};
use crate::roles;

/// Converts a tower service to an app: an axum `Router`, tower-http's `ServeDir`, a tonic server.
///
/// Each request gets a clone of the service. The bridge waits until this clone is ready, and then
/// calls it. A service that is not `Clone` needs
/// [`from_service_shared`](crate::from_service_shared).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum::{Router, routing::get};
/// use vestibule_core::{App, Request};
/// use vestibule_tower::from_service;
///
/// let router = Router::new().route("/", get(|| async { "from axum" }));
/// let app = from_service(router);
///
/// let body = app.call(Request::default()).await.into_body();
/// assert_eq!(body.collect(100).await.unwrap(), "from axum");
/// # }
/// ```
#[doc(alias("tower", "axum", "Router"))]
pub fn from_service<S: HttpService + Clone + Sync>(service: S) -> FromService<S> {
    FromService::new(service, None)
}

/// A tower service as an app; created by [`from_service`] and [`from_layer`](crate::from_layer).
///
/// Errors of the service and of its readiness become responses; see [`failure`](crate::failure). In
/// outlines it has the name of the service's type. A call costs a clone of the service, and one
/// allocation if the response body is not a `Body` and not empty.
#[derive(Clone)]
pub struct FromService<S> {
    service: S,
    /// The app that the service wraps, if it is known.
    inner: Option<BoxApp>,
    path: ForeignPath,
    on_error: OnError,
}

impl<S: HttpService + Clone + Sync> FromService<S> {
    pub(crate) fn new(service: S, inner: Option<BoxApp>) -> Self {
        Self {
            service,
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

    /// Sets whether the service sees the path without the prefix of the request's mount, as with
    /// `nest` of axum. Defaults to `false`: the service sees the whole path.
    ///
    /// The whole URI is in the extension [`OriginalUri`](vestibule_core::OriginalUri), and with the
    /// feature `axum` also in axum's extension of this name. Our middleware inside the service sees
    /// the whole path again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use axum::{Router, routing::get};
    /// use vestibule_core::{App, Mounts, Request};
    /// use vestibule_tower::from_service;
    ///
    /// let router = Router::new().route("/users", get(|| async { "from axum" }));
    /// let app = Mounts::new().at("/api", from_service(router).below_mount(true));
    ///
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/api/users".parse().unwrap();
    /// assert_eq!(app.call(request).await.status(), 200);
    /// # }
    /// ```
    #[must_use]
    pub fn below_mount(mut self, enabled: bool) -> Self {
        self.path = ForeignPath::of(self.inner.is_some()).below_mount(enabled);
        self
    }
}

impl<S: HttpService + Clone + Sync> App for FromService<S> {
    async fn call(&self, mut request: Request) -> Response {
        foreign::leave(&mut request, self.path);
        let mut service = self.service.clone();
        if let Err(error) = poll_fn(|cx| service.poll_ready(cx).map_err(Into::into)).await {
            return errors::respond(error, self.on_error, Self::name());
        }
        let answer = service.call(request);
        // The service may hold a permit that others wait for, and its response no longer needs it.
        drop(service);
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

impl<S> fmt::Debug for FromService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromService")
            .field(&Outline::name_of::<S>())
            .finish()
    }
}

/// A tower service that answers our requests, with responses of any body type. It is a short name
/// for a long bound.
///
/// Every matching service implements it automatically. No other type can.
pub trait HttpService:
    tower_service::Service<
        Request,
        Response = http::Response<Self::Body>,
        Error: Into<BoxError>,
        Future: Send,
    > + Send
    + 'static
{
    /// The type of the response bodies.
    type Body: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HttpService for S
where
    S: tower_service::Service<
            Request,
            Response = http::Response<B>,
            Error: Into<BoxError>,
            Future: Send,
        > + Send
        + 'static,
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
}
