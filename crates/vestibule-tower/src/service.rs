//! Converts an app to a service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use vestibule_core::{App, Body, BoxApp, BoxError, BoxFuture, Response};

use crate::foreign;

/// Converts an app to a tower service: for axum's `route_service`, for servers that accept
/// services, and as the inner service of tower's layers.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use http_body_util::Full;
/// use tower::ServiceExt;
/// use vestibule_core::Request;
///
/// async fn length(request: Request) -> String {
///     request.into_body().as_bytes().map_or(0, |bytes| bytes.len()).to_string()
/// }
///
/// let service = vestibule_tower::service(length);
/// let request = http::Request::new(vestibule_core::Body::from("four"));
/// let response = service.clone().oneshot(request).await.unwrap();
/// assert_eq!(response.body().as_bytes().unwrap(), "4");
///
/// // The body of a request may have any type.
/// let request = http::Request::new(Full::new(&b"a foreign body"[..]));
/// assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
/// # }
/// ```
#[doc(alias("tower", "axum"))]
pub fn service(app: impl App) -> AppService {
    AppService {
        app: app.boxed(),
        is_in_our_stack: false,
    }
}

/// An app as a service of tower and hyper; created by [`service`].
///
/// It is always ready, since an app has no readiness. So an outer layer that sheds load by
/// readiness never sheds a request. Its errors are responses. A call costs one allocation, and
/// another one if the request's body has another type and is not empty.
#[derive(Clone)]
pub struct AppService {
    app: BoxApp,
    is_in_our_stack: bool,
}

impl AppService {
    /// Creates the inner service of a layer in one of our stacks. Its requests come from our side,
    /// with any body type.
    pub(crate) const fn in_our_stack(app: BoxApp) -> Self {
        Self {
            app,
            is_in_our_stack: true,
        }
    }

    /// Answers a request, for both contracts.
    pub(crate) fn answer<B>(&self, request: http::Request<B>) -> ResponseFuture
    where
        B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let mut request = request.map(Body::new);
        if self.is_in_our_stack {
            foreign::enter::<Body>(&mut request);
        } else {
            foreign::enter::<B>(&mut request);
        }
        let answer = self.app.clone().call_owned(request);
        ResponseFuture { answer }
    }
}

impl<B> tower_service::Service<http::Request<B>> for AppService
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ResponseFuture {
        self.answer(request)
    }
}

impl fmt::Debug for AppService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AppService").field(&self.app).finish()
    }
}

/// The response future of an [`AppService`].
#[must_use = "a future does nothing until it is awaited"]
pub struct ResponseFuture {
    answer: BoxFuture<'static>,
}

impl Future for ResponseFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
