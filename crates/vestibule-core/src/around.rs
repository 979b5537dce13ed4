//! Middleware from an async closure: `|request, next| async move { next.call(request).await }`.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::{App, BoxApp, IntoResponse, Outline, Request, Response};

/// Wraps an app in an async closure that gets the request and the rest of the stack.
///
/// Created by [`Stack::around`](crate::Stack::around) or [`around`]. Costs one reference count and
/// one allocation per request.
pub struct Around<F> {
    app: BoxApp,
    f: Arc<F>,
}

impl<F, Fut> Around<F>
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send,
{
    /// Wraps `app`. The closure `f` decides if, when and how often it is called.
    pub fn new(app: impl App, f: F) -> Self {
        Self {
            app: app.boxed(),
            f: Arc::new(f),
        }
    }
}

impl<F, Fut> App for Around<F>
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send,
{
    async fn call(&self, request: Request) -> Response {
        (self.f)(request, Next(self.app.clone()))
            .await
            .into_response()
    }

    fn describe(&self, outline: &mut Outline) {
        outline.wraps(&self.app);
    }
}

impl<F> fmt::Debug for Around<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Around").field("app", &self.app).finish()
    }
}

/// The rest of the stack, down to the app.
#[derive(Clone, Debug)]
pub struct Next(BoxApp);

impl Next {
    /// Calls the rest of the stack. It may be called once, several times, or not at all.
    pub async fn call(&self, request: Request) -> Response {
        self.0.call(request).await
    }
}

/// Creates a middleware, a function from app to app, from an async closure.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request, Stack, around};
/// use http::{StatusCode, Method};
///
/// let read_only = around(|request, next| async move {
///     match *request.method() {
///         Method::GET | Method::HEAD => Ok(next.call(request).await),
///         _ => Err(StatusCode::METHOD_NOT_ALLOWED),
///     }
/// });
/// let app = Stack::new().with(read_only).app(|_: Request| async { "read me" });
///
/// let mut request = Request::default();
/// *request.method_mut() = Method::POST;
/// assert_eq!(app.call(request).await.status(), 405);
/// # }
/// ```
pub fn around<F, Fut>(f: F) -> impl Fn(BoxApp) -> Around<F> + Send + Sync + Clone + 'static
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send,
{
    let f = Arc::new(f);
    move |app| Around { app, f: f.clone() }
}
