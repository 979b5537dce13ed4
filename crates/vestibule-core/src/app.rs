//! The contract: an app takes a request and returns a response.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::{Body, IntoResponse, Outline};

/// The request type of every app and middleware.
pub type Request = http::Request<Body>;

/// The response type of every app and middleware.
pub type Response = http::Response<Body>;

/// A callable from request to response.
///
/// A server calls an app, an application is an app, and middleware is an app that wraps another.
/// There is no readiness to poll and no error to handle. An app that cannot do its work returns an
/// error response, with the cause in a [`Failure`](crate::Failure).
///
/// Every `async fn(Request) -> impl IntoResponse` is an app:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
///
/// async fn hello(_: Request) -> &'static str {
///     "Hello!"
/// }
///
/// let response = hello.call(Request::default()).await;
/// assert_eq!(response.status(), 200);
/// # }
/// ```
///
/// A middleware is a type that wraps an app:
///
/// ```
/// use vestibule_core::{App, Request, Response};
/// use http::HeaderValue;
///
/// struct NoSniff<A> {
///     app: A,
/// }
///
/// impl<A: App> App for NoSniff<A> {
///     async fn call(&self, request: Request) -> Response {
///         let mut response = self.app.call(request).await;
///         response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
///         response
///     }
/// }
/// ```
///
/// A tower service, such as an axum `Router`, is an app by `vestibule_tower::from_service`.
///
/// An app has no lifetime: it owns its values, or shares them by [`Arc`]. [`boxed`](App::boxed)
/// erases the type of an app and returns a [`BoxApp`]. `Box<dyn App>` and `Arc<dyn App>` are apps
/// as well.
///
/// # Rules
///
/// The server may drop the future at any await, for example when the client closes the connection.
/// Call the wrapped app *inside* the async block: a call before it doubles the size of the future
/// at every layer.
#[doc(alias("handler", "endpoint", "middleware", "service"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an app",
    label = "an `async fn(Request)` is an app, a tower service or axum `Router` by `vestibule_tower::from_service(..)`",
    note = "an app is an `async fn(Request) -> R` where `R` can become a response (text, bytes, a status, a `Response`, a `Result` of these)",
    note = "or a type with `impl App for ...`; a closure takes exactly one `Request` and returns a future that is `Send`",
    note = "or a `Stack` around an app: `stack.app(app)`"
)]
pub trait App: ErasedApp + Send + Sync + 'static {
    /// Answers the request.
    // The compile error of a middleware with a lifetime shows the line of the return type. The
    // comment on that line names the fix.
    #[rustfmt::skip]
    fn call(&self, request: Request)
        -> impl Future<Output = Response> + Send // no lifetimes: own it, or share it by `Arc`
    where
        Self: Sized;

    /// Describes this app to the outline: its options, mounts, and the app that it wraps.
    ///
    /// The default implementation adds nothing to the name. A middleware in a
    /// [`Stack`](crate::Stack) may leave out the wrapped app, since the stack knows it.
    fn describe(&self, outline: &mut Outline) {
        let _ = outline;
    }

    /// Returns the name of this kind of app for outlines, logs and stacks: the name of the type,
    /// without its path and parameters.
    fn name() -> &'static str
    where
        Self: Sized,
    {
        Outline::name_of::<Self>()
    }

    /// Erases the type. Costs one allocation now, and one for the future of each call.
    fn boxed(self) -> BoxApp
    where
        Self: Sized,
    {
        BoxApp(Arc::new(self))
    }
}

impl<F, Fut> App for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send,
{
    async fn call(&self, request: Request) -> Response {
        self(request).await.into_response()
    }
}

impl<A: App> App for Arc<A> {
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send {
        A::call(self, request)
    }

    fn describe(&self, outline: &mut Outline) {
        A::describe(self, outline);
    }

    fn name() -> &'static str {
        A::name()
    }
}

/// A boxed future of a response.
pub type BoxFuture<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// An app with an erased type. It is cheap to clone, and is never boxed twice.
///
/// ```
/// use vestibule_core::{App, BoxApp, Request};
///
/// async fn hello(_: Request) -> &'static str { "Hello!" }
/// async fn bye(_: Request) -> &'static str { "Bye!" }
///
/// let apps: [BoxApp; 2] = [hello.boxed(), bye.boxed()];
/// assert_eq!(apps[1].outline().name(), "bye");
/// ```
#[derive(Clone)]
pub struct BoxApp(Arc<dyn ErasedApp>);

impl BoxApp {
    /// Creates an app from a function that returns a boxed future, which is not boxed again.
    ///
    /// `name` is the name in outlines. Use it for apps that select another [`BoxApp`] at run time
    /// and pass the request to it: [`BoxApp::call_owned`] returns such a future.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, BoxApp, Request};
    ///
    /// async fn hello(_: Request) -> &'static str { "Hello!" }
    ///
    /// let found = hello.boxed();
    /// let app = BoxApp::from_fn("Forward", move |request| found.clone().call_owned(request));
    /// assert_eq!(app.call(Request::default()).await.status(), 200);
    /// assert_eq!(app.outline().name(), "Forward");
    /// # }
    /// ```
    pub fn from_fn(
        name: &'static str,
        f: impl Fn(Request) -> BoxFuture<'static> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(FromFn { name, f }))
    }

    /// Returns the structure of this app, as a tree.
    #[must_use]
    pub fn outline(&self) -> Outline {
        Outline::of(self)
    }

    /// Calls the app with a future that keeps the app alive, and so borrows nothing. Use it for
    /// spawned tasks, and for services whose futures have no lifetime. Costs one allocation, as
    /// [`App::call`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    ///
    /// async fn hello(_: Request) -> &'static str { "Hello!" }
    ///
    /// let answer = hello.boxed().call_owned(Request::default());
    /// assert_eq!(tokio::spawn(answer).await.unwrap().status(), 200);
    /// # }
    /// ```
    #[must_use = "a future does nothing until it is awaited"]
    pub fn call_owned(self, request: Request) -> BoxFuture<'static> {
        self.0.erased_call_owned(request)
    }

    /// Returns the name of the app inside.
    pub(crate) fn inner_name(&self) -> &'static str {
        self.0.erased_name()
    }
}

impl App for BoxApp {
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send {
        self.0.erased_call(request)
    }

    fn describe(&self, outline: &mut Outline) {
        outline.rename(self.inner_name());
        self.0.erased_describe(outline);
    }

    fn boxed(self) -> BoxApp {
        self
    }
}

impl fmt::Debug for BoxApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxApp({})", self.outline().name())
    }
}

/// [`App`] as a trait object, with boxed futures. Every app implements it, and no other type can.
/// It is a supertrait so that `dyn App` can be called.
pub trait ErasedApp: Send + Sync {
    #[doc(hidden)]
    fn erased_call(&self, request: Request) -> BoxFuture<'_>;
    #[doc(hidden)]
    fn erased_call_owned(self: Arc<Self>, request: Request) -> BoxFuture<'static>;
    #[doc(hidden)]
    fn erased_describe(&self, outline: &mut Outline);
    #[doc(hidden)]
    fn erased_name(&self) -> &'static str;
}

macro_rules! dyn_apps {
    ($($pointer:ty),+) => {$(
        impl App for $pointer {
            fn call(&self, request: Request) -> impl Future<Output = Response> + Send {
                (**self).erased_call(request)
            }

            fn describe(&self, outline: &mut Outline) {
                outline.rename((**self).erased_name());
                (**self).erased_describe(outline);
            }

            /// Keeps the allocation.
            fn boxed(self) -> BoxApp {
                let app: Arc<dyn App> = self.into();
                BoxApp(app)
            }
        }
    )+};
}

dyn_apps!(Box<dyn App>, Arc<dyn App>);

impl<A: App> ErasedApp for A {
    fn erased_call(&self, request: Request) -> BoxFuture<'_> {
        let mut place = Box::<InPlaceFuture<_>>::default();
        place.future = Some(App::call(self, request));
        Box::into_pin(place)
    }

    fn erased_call_owned(self: Arc<Self>, request: Request) -> BoxFuture<'static> {
        Box::pin(async move { A::call(&self, request).await })
    }

    fn erased_describe(&self, outline: &mut Outline) {
        App::describe(self, outline);
    }

    fn erased_name(&self) -> &'static str {
        A::name()
    }
}

/// A function that returns a boxed future.
struct FromFn<F> {
    name: &'static str,
    f: F,
}

impl<F: Fn(Request) -> BoxFuture<'static> + Send + Sync> ErasedApp for FromFn<F> {
    fn erased_call(&self, request: Request) -> BoxFuture<'_> {
        (self.f)(request)
    }

    fn erased_call_owned(self: Arc<Self>, request: Request) -> BoxFuture<'static> {
        (self.f)(request)
    }

    fn erased_describe(&self, _: &mut Outline) {}

    fn erased_name(&self) -> &'static str {
        self.name
    }
}

pin_project! {
    /// A future that is created inside its allocation. `Box::pin` creates the future first and then
    /// copies it, which is a third of the cost of a layer.
    struct InPlaceFuture<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F> Default for InPlaceFuture<F> {
    fn default() -> Self {
        Self { future: None }
    }
}

impl<F: Future> Future for InPlaceFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => unreachable!("the future is set before the first poll"),
        }
    }
}

/// Shortens `a::b::Name<c::D>` to `Name`. A closure keeps the name of the function around it.
pub(crate) fn short_name(full: &'static str) -> &'static str {
    let plain = match full.find('<') {
        Some(at) if at > 0 => &full[..at],
        _ => full,
    };
    let own = match plain.strip_suffix("::{{closure}}") {
        Some(outer) => outer,
        None => plain,
    };
    match own.rfind("::") {
        Some(at) => &plain[at + 2..],
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        let cases = [
            ("a::b::Name<c::D<e::F>>", "Name"),
            ("a::hello", "hello"),
            ("Name", "Name"),
            ("a::main::{{closure}}", "main::{{closure}}"),
            (
                "a::main::{{closure}}::{{closure}}",
                "{{closure}}::{{closure}}",
            ),
        ];
        for (full, short) in cases {
            assert_eq!(short_name(full), short, "{full}");
        }
    }

    #[tokio::test]
    async fn trait_objects_are_apps() {
        async fn hello(_: Request) -> &'static str {
            "hello"
        }
        let apps: [Box<dyn App>; 2] = [Box::new(hello), Box::new(crate::CatchPanic::new(hello))];
        let shared: Arc<dyn App> = Arc::new(hello);
        assert_eq!(Outline::of(&apps[1]).to_string(), "CatchPanic\nhello\n");
        for app in &apps {
            assert_eq!(app.call(Request::default()).await.status(), 200);
        }
        assert_eq!(shared.call(Request::default()).await.status(), 200);
        assert_eq!(shared.boxed().outline().name(), "hello");
        for app in apps {
            let app = crate::Stack::new().with(crate::CatchPanic::new).app(app);
            assert_eq!(app.call(Request::default()).await.status(), 200);
        }
    }

    #[test]
    fn boxing_a_boxed_app_is_the_same_allocation() {
        let once = (|_: Request| async { "x" }).boxed();
        let twice = once.clone().boxed();
        assert!(Arc::ptr_eq(&once.0, &twice.0));
    }
}
