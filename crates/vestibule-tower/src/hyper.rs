//! Converts hyper's own services, which have `&self`, an error and no readiness.

use std::convert::Infallible;
use std::fmt;

use bytes::Buf;
use hyper::service::Service;
use vestibule_core::{App, Body, BoxError, Outline, Request, Response};

use crate::errors::{self, OnError};
use crate::foreign::{self, ForeignPath};
use crate::{AppService, ResponseFuture, service};

/// Converts an app to a hyper service, for hyper's `serve_connection`.
///
/// It returns the same type as [`service`], which is a service of tower and of hyper.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use hyper::service::Service;
/// use vestibule_core::Request;
/// use vestibule_tower::hyper_service;
///
/// let service = hyper_service(|_: Request| async { "hello" });
/// let request = http::Request::new(http_body_util::Empty::<&[u8]>::new());
/// assert_eq!(service.call(request).await.unwrap().status(), 200);
/// # }
/// ```
pub fn hyper_service(app: impl App) -> AppService {
    service(app)
}

impl<B> Service<http::Request<B>> for AppService
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: http::Request<B>) -> ResponseFuture {
        self.answer(request)
    }
}

/// Converts a hyper service to an app.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use http_body_util::Full;
/// use hyper::service::service_fn;
/// use std::io;
/// use vestibule_core::{App, Request};
/// use vestibule_tower::from_hyper;
///
/// let app = from_hyper(service_fn(|request: Request| async move {
///     match request.uri().path() {
///         "/" => Ok(http::Response::new(Full::new(&b"from hyper"[..]))),
///         _ => Err(io::Error::from(io::ErrorKind::TimedOut)),
///     }
/// }));
/// let response = app.call(Request::default()).await;
/// assert_eq!(response.into_body().collect(100).await.unwrap(), "from hyper");
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/slow".parse().unwrap();
/// assert_eq!(app.call(request).await.status(), 504);
/// # }
/// ```
pub fn from_hyper<S, B>(service: S) -> FromHyper<S>
where
    S: Service<Request, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    FromHyper {
        service,
        on_error: errors::table,
    }
}

/// A hyper service as an app; created by [`from_hyper`].
///
/// Errors become responses, as in [`FromService`](crate::FromService).
#[derive(Clone)]
pub struct FromHyper<S> {
    service: S,
    on_error: OnError,
}

impl<S> FromHyper<S> {
    /// Sets the conversion of errors to responses. Defaults to the table of
    /// [`failure`](crate::failure).
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }
}

impl<S, B> App for FromHyper<S>
where
    S: Service<Request, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    async fn call(&self, mut request: Request) -> Response {
        foreign::leave(&mut request, ForeignPath::AsItCame);
        match self.service.call(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => errors::respond(error.into(), self.on_error, Self::name()),
        }
    }

    fn name() -> &'static str {
        Outline::name_of::<S>()
    }
}

impl<S> fmt::Debug for FromHyper<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromHyper")
            .field(&Outline::name_of::<S>())
            .finish()
    }
}
