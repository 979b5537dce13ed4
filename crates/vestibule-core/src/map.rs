//! Middleware from plain functions of the request or of the response.

use std::fmt;
use std::sync::Arc;

use crate::{App, BoxApp, Outline, Request, Response};

/// Passes each request through a function before the app sees it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, MapRequest, Request};
/// use http::Uri;
///
/// let app = MapRequest::new(
///     |request: Request| async move { request.uri().path().to_owned() },
///     |mut request| {
///         *request.uri_mut() = Uri::from_static("/new");
///         request
///     },
/// );
/// let body = app.call(Request::default()).await.into_body();
/// assert_eq!(body.as_bytes().unwrap(), "/new");
/// # }
/// ```
pub struct MapRequest<A, F> {
    app: A,
    f: Arc<F>,
}

impl<A: App, F: Fn(Request) -> Request + Send + Sync + 'static> MapRequest<A, F> {
    /// Wraps `app`, and calls it with the result of `f`.
    pub fn new(app: A, f: F) -> Self {
        Self {
            app,
            f: Arc::new(f),
        }
    }
}

impl<A: App, F: Fn(Request) -> Request + Send + Sync + 'static> App for MapRequest<A, F> {
    async fn call(&self, request: Request) -> Response {
        self.app.call((self.f)(request)).await
    }

    fn describe(&self, outline: &mut Outline) {
        outline.wraps(&self.app);
    }
}

impl<A: fmt::Debug, F> fmt::Debug for MapRequest<A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapRequest")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// Passes each response through a function before the server sees it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, MapResponse, Request};
/// use http::{HeaderValue, header::SERVER};
///
/// let app = MapResponse::new(
///     |_: Request| async { "hello" },
///     |mut response| {
///         response.headers_mut().insert(SERVER, HeaderValue::from_static("Vestibule"));
///         response
///     },
/// );
/// assert_eq!(app.call(Request::default()).await.headers()["server"], "Vestibule");
/// # }
/// ```
pub struct MapResponse<A, F> {
    app: A,
    f: Arc<F>,
}

impl<A: App, F: Fn(Response) -> Response + Send + Sync + 'static> MapResponse<A, F> {
    /// Wraps `app`, and replaces its responses with the result of `f`.
    pub fn new(app: A, f: F) -> Self {
        Self {
            app,
            f: Arc::new(f),
        }
    }
}

impl<A: App, F: Fn(Response) -> Response + Send + Sync + 'static> App for MapResponse<A, F> {
    async fn call(&self, request: Request) -> Response {
        (self.f)(self.app.call(request).await)
    }

    fn describe(&self, outline: &mut Outline) {
        outline.wraps(&self.app);
    }
}

impl<A: fmt::Debug, F> fmt::Debug for MapResponse<A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapResponse")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// Creates a middleware, a function from app to app, from a function of the request.
pub fn map_request<F>(
    f: F,
) -> impl Fn(BoxApp) -> MapRequest<BoxApp, F> + Send + Sync + Clone + 'static
where
    F: Fn(Request) -> Request + Send + Sync + 'static,
{
    let f = Arc::new(f);
    move |app| MapRequest { app, f: f.clone() }
}

/// Creates a middleware, a function from app to app, from a function of the response.
pub fn map_response<F>(
    f: F,
) -> impl Fn(BoxApp) -> MapResponse<BoxApp, F> + Send + Sync + Clone + 'static
where
    F: Fn(Response) -> Response + Send + Sync + 'static,
{
    let f = Arc::new(f);
    move |app| MapResponse { app, f: f.clone() }
}
