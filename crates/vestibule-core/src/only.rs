//! Middleware for a part of the requests.

use std::fmt;
use std::sync::Arc;

use crate::{App, BoxApp, Outline, Request, Response};

/// Passes a request through a middleware if a predicate is true, and directly to the app otherwise.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, MapResponse, Only, Request};
/// use http::HeaderValue;
///
/// async fn hello(_: Request) -> &'static str { "hello" }
///
/// let app = Only::new(hello, |request: &Request| request.uri().path() == "/marked", |app| {
///     MapResponse::new(app, |mut response| {
///         response.headers_mut().insert("x-mark", HeaderValue::from_static("1"));
///         response
///     })
/// });
/// let mut request = Request::default();
/// assert!(!app.call(request).await.headers().contains_key("x-mark"));
/// request = Request::default();
/// *request.uri_mut() = "/marked".parse().unwrap();
/// assert!(app.call(request).await.headers().contains_key("x-mark"));
/// # }
/// ```
pub struct Only<A, P> {
    wrapped: A,
    plain: BoxApp,
    predicate: Arc<P>,
}

impl<A: App, P: Fn(&Request) -> bool + Send + Sync + 'static> Only<A, P> {
    /// Wraps `app` with `wrap`, for requests for which `predicate` returns true.
    pub fn new(app: impl App, predicate: P, wrap: impl FnOnce(BoxApp) -> A) -> Self {
        let plain = app.boxed();
        Self {
            wrapped: wrap(plain.clone()),
            plain,
            predicate: Arc::new(predicate),
        }
    }
}

impl<A: App, P: Fn(&Request) -> bool + Send + Sync + 'static> App for Only<A, P> {
    async fn call(&self, request: Request) -> Response {
        if (self.predicate)(&request) {
            self.wrapped.call(request).await
        } else {
            self.plain.call(request).await
        }
    }

    fn describe(&self, outline: &mut Outline) {
        self.wrapped.describe(outline);
        outline.rename(A::name()).option("only", "some requests");
    }

    fn name() -> &'static str {
        A::name()
    }
}

impl<A: fmt::Debug, P> fmt::Debug for Only<A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Only")
            .field("wrapped", &self.wrapped)
            .finish_non_exhaustive()
    }
}
