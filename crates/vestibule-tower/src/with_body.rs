//! Converts layers that use the body type of another framework.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use tower_layer::Layer;
use tower_service::Service;
use vestibule_core::{App, Body, BoxApp, BoxError, Outline, Request, Response};

use crate::errors::{self, OnError};
use crate::foreign::{self, ForeignPath};
use crate::{AppService, ResponseFuture, roles};

/// Converts a layer that uses the body type of another framework, such as axum's
/// `middleware::from_fn`, to a middleware.
///
/// `new_body` converts our body to that type, for requests and for the responses of the inner app.
/// For axum it is `axum::body::Body::new`. A layer that accepts a body of any type needs only
/// [`from_layer`](crate::from_layer), at a lower cost.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum::body::Body;
/// use axum::extract::Request;
/// use axum::http::StatusCode;
/// use axum::middleware::{Next, from_fn};
/// use axum::response::Response;
/// use vestibule_core::{App, Stack};
/// use vestibule_tower::from_layer_with_body;
///
/// async fn check(request: Request, next: Next) -> Result<Response, StatusCode> {
///     if request.headers().contains_key("x-key") {
///         Ok(next.run(request).await)
///     } else {
///         Err(StatusCode::UNAUTHORIZED)
///     }
/// }
///
/// let app = Stack::new()
///     .with(from_layer_with_body(from_fn(check), Body::new))
///     .app(|_: vestibule_core::Request| async { "hello" });
///
/// let mut request = vestibule_core::Request::default();
/// assert_eq!(app.call(request).await.status(), 401);
///
/// request = vestibule_core::Request::default();
/// request.headers_mut().insert("x-key", "secret".parse().unwrap());
/// assert_eq!(app.call(request).await.status(), 200);
/// assert_eq!(app.outline().name(), "FromFn");
/// # }
/// ```
///
/// # Details
///
/// Each body is wrapped twice: our body in the foreign type, and the result in our type again.
/// Frames, trailers, sizes, errors and end callbacks pass through.
///
/// A body in memory, or with a file, becomes a stream. So a server can no longer send the file
/// itself, and middleware that needs a body in memory does not find one. Put the layer inside of
/// such middleware, or use it for a part of the site.
pub fn from_layer_with_body<L, F, B>(
    layer: L,
    new_body: F,
) -> impl Fn(BoxApp) -> FromLayerWithBody<L::Service, F> + Send + Sync + Clone + 'static
where
    L: Layer<AppServiceWithBody<F>> + Send + Sync + 'static,
    L::Service: HttpServiceWithBody<B> + Clone + Sync,
    F: Fn(Body) -> B + Send + Sync + 'static,
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let (layer, new_body) = (Arc::new(layer), Arc::new(new_body));
    move |app| FromLayerWithBody {
        service: layer.layer(AppServiceWithBody {
            service: AppService::in_our_stack(app.clone()),
            new_body: new_body.clone(),
        }),
        new_body: new_body.clone(),
        inner: app,
        on_error: errors::table,
    }
}

/// A layer with another body type around an app; created by [`from_layer_with_body`].
///
/// Errors become responses, as in [`FromService`](crate::FromService).
pub struct FromLayerWithBody<S, F> {
    service: S,
    new_body: Arc<F>,
    inner: BoxApp,
    on_error: OnError,
}

impl<S, F> FromLayerWithBody<S, F> {
    /// Sets the conversion of errors to responses. Defaults to the table of
    /// [`failure`](crate::failure).
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }
}

impl<S, F, B> App for FromLayerWithBody<S, F>
where
    S: HttpServiceWithBody<B> + Clone + Sync,
    F: Fn(Body) -> B + Send + Sync + 'static,
    B: Send + 'static,
{
    async fn call(&self, mut request: Request) -> Response {
        foreign::leave(&mut request, ForeignPath::Whole);
        let mut service = self.service.clone();
        if let Err(error) = poll_fn(|cx| service.poll_ready(cx).map_err(Into::into)).await {
            return errors::respond(error, self.on_error, Self::name());
        }
        let answer = service.call(request.map(|body| (self.new_body)(body)));
        // The service may hold a permit that others wait for, and its response no longer needs it.
        drop(service);
        match answer.await {
            Ok(response) => response.map(Body::new),
            Err(error) => errors::respond(error.into(), self.on_error, Self::name()),
        }
    }

    fn describe(&self, outline: &mut Outline) {
        roles::add_known_role::<S>(outline);
        outline.wraps(&self.inner);
    }

    fn name() -> &'static str {
        Outline::name_of::<S>()
    }
}

impl<S: Clone, F> Clone for FromLayerWithBody<S, F> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            new_body: self.new_body.clone(),
            inner: self.inner.clone(),
            on_error: self.on_error,
        }
    }
}

impl<S, F> fmt::Debug for FromLayerWithBody<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromLayerWithBody")
            .field(&Outline::name_of::<S>())
            .finish()
    }
}

/// A tower service that answers requests with a body of type `B`. It is a short name for a long
/// bound.
///
/// Every matching service implements it automatically. No other type can.
pub trait HttpServiceWithBody<B>:
    Service<
        http::Request<B>,
        Response = http::Response<Self::Body>,
        Error: Into<BoxError>,
        Future: Send,
    > + Send
    + 'static
{
    /// The type of the response bodies.
    type Body: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B, R> HttpServiceWithBody<B> for S
where
    S: Service<http::Request<B>, Response = http::Response<R>, Error: Into<BoxError>, Future: Send>
        + Send
        + 'static,
    R: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    type Body = R;
}

/// An app as a service whose responses have another body type. [`from_layer_with_body`] passes it
/// to its layer.
pub struct AppServiceWithBody<F> {
    service: AppService,
    new_body: Arc<F>,
}

impl<F, B, Q> Service<http::Request<Q>> for AppServiceWithBody<F>
where
    F: Fn(Body) -> B,
    Q: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    type Response = http::Response<B>;
    type Error = Infallible;
    type Future = ResponseFutureWithBody<F>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Q>) -> ResponseFutureWithBody<F> {
        ResponseFutureWithBody {
            answer: self.service.answer(request),
            new_body: self.new_body.clone(),
        }
    }
}

impl<F> Clone for AppServiceWithBody<F> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            new_body: self.new_body.clone(),
        }
    }
}

impl<F> fmt::Debug for AppServiceWithBody<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AppServiceWithBody")
            .field(&self.service)
            .finish()
    }
}

/// The response future of an [`AppServiceWithBody`].
#[must_use = "a future does nothing until it is awaited"]
pub struct ResponseFutureWithBody<F> {
    answer: ResponseFuture,
    new_body: Arc<F>,
}

impl<F: Fn(Body) -> B, B> Future for ResponseFutureWithBody<F> {
    type Output = Result<http::Response<B>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.answer).poll(cx);
        polled.map_ok(|response| response.map(|body| (this.new_body)(body)))
    }
}

impl<F> fmt::Debug for ResponseFutureWithBody<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFutureWithBody")
    }
}
