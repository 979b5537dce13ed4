//! Middleware composed at run time, with names.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::timing::LayerTimer;
use crate::{
    App, Around, BoxApp, IntoResponse, MapRequest, MapResponse, Next, Only, Outline, Request,
    Response, Timings, around, map_request, map_response,
};

/// A list of middleware, outermost first, that wraps any app.
///
/// Each layer is a function from app to app. Its name is the key to find, replace and remove it. A
/// stack can be cloned, and can wrap several apps. Each layer costs one small allocation per
/// request; the number of layers is not limited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request, Stack};
/// use http::HeaderValue;
///
/// let stack = Stack::new()
///     .around(|request, next| async move { next.call(request).await })
///     .map_response(|mut response| {
///         response.headers_mut().insert("x-frame-options", HeaderValue::from_static("DENY"));
///         response
///     });
/// let app = stack.app(|_: Request| async { "hello" });
///
/// assert_eq!(stack.names().collect::<Vec<_>>(), ["Around", "MapResponse"]);
/// assert_eq!(app.call(Request::default()).await.headers()["x-frame-options"], "DENY");
/// # }
/// ```
#[doc(alias("middleware", "pipeline", "ServiceBuilder"))]
#[derive(Clone, Default)]
#[must_use = "a stack does nothing until `app` wraps an app in it"]
pub struct Stack {
    layers: Vec<Layer>,
    timings: Option<Timings>,
}

#[derive(Clone)]
struct Layer {
    name: Cow<'static, str>,
    wrap: Arc<Wrap>,
}

/// Wraps an app as the layer with this name. In a timed stack it also gets a timer.
type Wrap = dyn Fn(BoxApp, Cow<'static, str>, Option<LayerTimer>) -> BoxApp + Send + Sync;

/// A function that wraps an app: `AccessLog::new`, or `|app| Compression::new(app).min_size(256)`.
///
/// Every `Fn(BoxApp) -> A` implements it, and no other type can. The trait gives this bound a name,
/// so that the compiler can name the fix for a tower layer or a finished middleware.
///
/// ```
/// use vestibule_core::{App, CatchPanic, Stack, WrapFn};
///
/// /// Adds a layer twice. It takes a function that wraps an app, as the methods of a stack do.
/// fn twice<A: App>(wrap: impl WrapFn<A> + Clone + Send + Sync + 'static) -> Stack {
///     Stack::new().with(wrap.clone()).with(wrap)
/// }
///
/// assert_eq!(twice(CatchPanic::new).names().count(), 2);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function from app to app",
    label = "a middleware is `AccessLog::new` or `|app| Compression::new(app)`, a tower layer `vestibule_tower::from_layer(..)`",
    note = "a stack passes the function the app that the layer wraps",
    note = "the layers of another stack are added by `Stack::append`"
)]
pub trait WrapFn<A>: Fn(BoxApp) -> A {}

// Without this attribute, the compiler would report the `Fn` bound.
#[diagnostic::do_not_recommend]
impl<F: Fn(BoxApp) -> A, A> WrapFn<A> for F {}

impl Stack {
    /// Creates a stack without layers.
    pub const fn new() -> Self {
        Self {
            layers: Vec::new(),
            timings: None,
        }
    }

    /// Adds a layer inside the existing ones: `AccessLog::new`, or
    /// `|app| Compression::new(app).min_size(256)`. For a tower layer, pass
    /// `vestibule_tower::from_layer(layer)`.
    pub fn with<A: App>(self, wrap: impl WrapFn<A> + Send + Sync + 'static) -> Self {
        self.named(A::name(), wrap)
    }

    /// Adds a layer with a custom name.
    pub fn named<A: App>(
        mut self,
        name: impl Into<Cow<'static, str>>,
        wrap: impl WrapFn<A> + Send + Sync + 'static,
    ) -> Self {
        self.layers.push(Layer::new(name, wrap));
        self
    }

    /// Adds a layer if `condition` is true. It is evaluated once, while the stack is built.
    pub fn when<A: App>(
        self,
        condition: bool,
        wrap: impl WrapFn<A> + Send + Sync + 'static,
    ) -> Self {
        if condition { self.with(wrap) } else { self }
    }

    /// Adds a layer for the requests for which `predicate` returns true.
    pub fn only<A, P>(self, predicate: P, wrap: impl WrapFn<A> + Send + Sync + 'static) -> Self
    where
        A: App,
        P: Fn(&Request) -> bool + Send + Sync + 'static,
    {
        let predicate = Arc::new(predicate);
        self.with(move |app| {
            let predicate = predicate.clone();
            Only::new(app, move |request: &Request| predicate(request), &wrap)
        })
    }

    /// Adds a layer from an async closure: `|request, next| async move { next.call(request).await }`.
    pub fn around<F, Fut>(self, f: F) -> Self
    where
        F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoResponse> + Send + 'static,
    {
        self.named(Around::<F>::name(), around(f))
    }

    /// Adds a layer that passes each request through a function.
    pub fn map_request<F>(self, f: F) -> Self
    where
        F: Fn(Request) -> Request + Send + Sync + 'static,
    {
        self.named(MapRequest::<BoxApp, F>::name(), map_request(f))
    }

    /// Adds a layer that passes each response through a function.
    pub fn map_response<F>(self, f: F) -> Self
    where
        F: Fn(Response) -> Response + Send + Sync + 'static,
    {
        self.named(MapResponse::<BoxApp, F>::name(), map_response(f))
    }

    /// Adds the layers of another stack inside the existing ones.
    pub fn append(mut self, inner: Self) -> Self {
        self.layers.extend(inner.layers);
        self
    }

    /// Adds a layer just outside the layer `name`.
    ///
    /// # Errors
    ///
    /// Returns [`UnknownLayer`] if no layer has this name. If several do, the outermost is used.
    pub fn insert_before<A: App>(
        self,
        name: &str,
        wrap: impl WrapFn<A> + Send + Sync + 'static,
    ) -> Result<Self, UnknownLayer> {
        let at = self.position(name)?;
        Ok(self.inserted(at, wrap))
    }

    /// Adds a layer just inside the layer `name`.
    ///
    /// # Errors
    ///
    /// Fails as [`Stack::insert_before`].
    pub fn insert_after<A: App>(
        self,
        name: &str,
        wrap: impl WrapFn<A> + Send + Sync + 'static,
    ) -> Result<Self, UnknownLayer> {
        let at = self.position(name)?;
        Ok(self.inserted(at + 1, wrap))
    }

    /// Replaces the layer `name` by another one, which keeps the name.
    ///
    /// # Errors
    ///
    /// Fails as [`Stack::insert_before`].
    pub fn replace<A: App>(
        mut self,
        name: &str,
        wrap: impl WrapFn<A> + Send + Sync + 'static,
    ) -> Result<Self, UnknownLayer> {
        let at = self.position(name)?;
        let layer = &mut self.layers[at];
        *layer = Layer::new(layer.name.clone(), wrap);
        Ok(self)
    }

    /// Removes the layer `name`.
    ///
    /// # Errors
    ///
    /// Fails as [`Stack::insert_before`].
    pub fn remove(mut self, name: &str) -> Result<Self, UnknownLayer> {
        let at = self.position(name)?;
        self.layers.remove(at);
        Ok(self)
    }

    /// Turns on the measurement of the time that each layer takes: see [`timings`](Self::timings).
    ///
    /// A stack without it has no such cost. Timing costs two clock reads for each layer, and a few
    /// allocations for each request.
    pub fn timed(mut self) -> Self {
        self.timings.get_or_insert_default();
        self
    }

    /// Returns the times of the layers, if the stack is [`timed`](Self::timed). If the stack wraps
    /// several apps, they are the times of the last wrapped app, unless the layers have the same
    /// names.
    #[must_use]
    pub fn timings(&self) -> Option<Timings> {
        self.timings.clone()
    }

    /// Returns the names of the layers, outermost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| &*layer.name)
    }

    /// Wraps `app` in all layers. Each call creates new middleware. For a tower service, such as an
    /// axum `Router`, pass `vestibule_tower::from_service(service)`.
    ///
    /// So a lock-out, a counter or a cache that is created inside the closure of a layer exists
    /// once for each wrapped app. To share it, wrap all apps at once with
    /// [`Mounts`](crate::Mounts), or create the state outside the closure and clone it:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use vestibule_core::{App, MapResponse, Request, Stack};
    ///
    /// let shared = Arc::new(AtomicU32::new(0));
    /// let stack = Stack::new().with(move |app| {
    ///     let shared = shared.clone(); // one count for all apps of this stack
    ///     MapResponse::new(app, move |mut response| {
    ///         let count = shared.fetch_add(1, Relaxed) + 1;
    ///         response.headers_mut().insert("x-count", count.into());
    ///         response
    ///     })
    /// });
    /// let (a, b) = (stack.app(|_: Request| async { "a" }), stack.app(|_: Request| async { "b" }));
    /// assert_eq!(a.call(Request::default()).await.headers()["x-count"], "1");
    /// assert_eq!(b.call(Request::default()).await.headers()["x-count"], "2");
    /// # }
    /// ```
    pub fn app(&self, app: impl App) -> BoxApp {
        let Some(timings) = &self.timings else {
            return self.wrapped(app.boxed(), |_| None);
        };
        let app_name = Outline::of(&app).name().to_owned();
        let names = self.layers.iter().map(|layer| layer.name.clone());
        let clocks = timings.clocks(names.chain([app_name.into()]));
        let timer = |index| LayerTimer {
            timings: timings.clone(),
            clocks: clocks.clone(),
            index,
        };
        let app = timer(self.layers.len()).timed(app);
        self.wrapped(app, |index| Some(timer(index)))
    }

    fn wrapped(&self, app: BoxApp, timer: impl Fn(usize) -> Option<LayerTimer>) -> BoxApp {
        let layers = self.layers.iter().enumerate().rev();
        let wrap = |app, (index, layer): (usize, &Layer)| {
            (layer.wrap)(app, layer.name.clone(), timer(index))
        };
        layers.fold(app, wrap)
    }

    /// Returns the outline of the stack around an app with the name `app`.
    #[must_use]
    pub fn outline(&self) -> Outline {
        async fn app(_: Request) {}
        self.wrapped(app.boxed(), |_| None).outline()
    }

    fn inserted<A: App>(mut self, at: usize, wrap: impl WrapFn<A> + Send + Sync + 'static) -> Self {
        self.layers.insert(at, Layer::new(A::name(), wrap));
        self
    }

    fn position(&self, name: &str) -> Result<usize, UnknownLayer> {
        let found = self.names().position(|other| other == name);
        found.ok_or_else(|| UnknownLayer {
            name: name.to_owned(),
            names: self.names().map(str::to_owned).collect(),
        })
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// The error of a layer name that the stack does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLayer {
    name: String,
    names: Vec<String>,
}

impl fmt::Display for UnknownLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no layer is called `{}`; ", self.name)?;
        if self.names.is_empty() {
            f.write_str("the stack is empty")
        } else {
            write!(f, "the layers are: {}", self.names.join(", "))
        }
    }
}

impl Error for UnknownLayer {}

impl Layer {
    fn new<A: App>(
        name: impl Into<Cow<'static, str>>,
        wrap: impl WrapFn<A> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            wrap: Arc::new(move |inner, name, timer| {
                let app = wrap(inner.clone());
                let layered = Layered { name, app, inner };
                match timer {
                    Some(timer) => timer.timed(layered),
                    None => layered.boxed(),
                }
            }),
        }
    }
}

/// A layer with the name and the inner app that the stack knows, for middleware that does not
/// describe itself.
struct Layered<A> {
    name: Cow<'static, str>,
    app: A,
    inner: BoxApp,
}

impl<A: App> App for Layered<A> {
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send {
        self.app.call(request)
    }

    fn describe(&self, outline: &mut Outline) {
        self.app.describe(outline);
        outline.rename(self.name.clone());
        if outline.inner().is_none() {
            outline.wraps(&self.inner);
        }
    }

    fn name() -> &'static str {
        A::name()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Appends its letter to `x-order` on the way out.
    fn mark(letter: &'static str) -> impl Fn(BoxApp) -> Marked + Send + Sync + 'static {
        move |app| Marked { app, letter }
    }

    struct Marked {
        app: BoxApp,
        letter: &'static str,
    }

    impl App for Marked {
        async fn call(&self, request: Request) -> Response {
            let mut response = self.app.call(request).await;
            let letter = HeaderValue::from_static(self.letter);
            response.headers_mut().append("x-order", letter);
            response
        }
    }

    async fn order(stack: &Stack) -> String {
        let response = stack
            .app(|_: Request| async {})
            .call(Request::default())
            .await;
        let letters = response.headers().get_all("x-order").iter();
        letters.map(|letter| letter.to_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn outermost_first() {
        let stack = Stack::new().with(mark("a")).with(mark("b")).with(mark("c"));
        assert_eq!(order(&stack).await, "cba");
    }

    #[tokio::test]
    async fn layers_are_found_by_name() {
        let stack = Stack::new().named("a", mark("a")).named("b", mark("b"));
        let before = stack.clone().insert_before("b", mark("x")).unwrap();
        assert_eq!(order(&before).await, "bxa");
        let after = stack.clone().insert_after("b", mark("x")).unwrap();
        assert_eq!(order(&after).await, "xba");
        let replaced = stack.clone().replace("a", mark("x")).unwrap();
        assert_eq!(order(&replaced).await, "bx");
        assert_eq!(replaced.names().collect::<Vec<_>>(), ["a", "b"]);
        let removed = stack.clone().remove("a").unwrap();
        assert_eq!(order(&removed).await, "b");
        let error = stack.remove("z").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no layer is called `z`; the layers are: a, b"
        );
    }

    #[tokio::test]
    async fn when_and_append_add_layers() {
        let stack = Stack::new()
            .when(true, mark("t"))
            .when(false, mark("f"))
            .only(|request| request.method() == "GET", mark("g"))
            .only(|request| request.method() == "POST", mark("p"))
            .append(Stack::new().with(mark("z")));
        assert_eq!(order(&stack).await, "zgt");
        assert_eq!(stack.names().collect::<Vec<_>>(), ["Marked"; 4]);
    }

    /// State that is created in the closure belongs to the wrapped app, and not to the stack.
    #[test]
    fn each_app_has_its_own_middleware() {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        let built = Arc::new(AtomicU32::new(0));
        let counted = built.clone();
        let stack = Stack::new().with(move |app| {
            counted.fetch_add(1, Relaxed);
            mark("a")(app)
        });
        let leaf = || async |_: Request| ();
        let _all = stack.app(crate::Mounts::new().at("/a", leaf()).at("/b", leaf()));
        assert_eq!(built.load(Relaxed), 1);
        let _each = [stack.app(leaf()), stack.app(leaf())];
        assert_eq!(built.load(Relaxed), 3);
    }

    #[tokio::test]
    async fn a_stack_of_a_hundred_layers_runs() {
        let stack = (0..100).fold(Stack::new(), |stack, _| stack.with(mark("x")));
        assert_eq!(order(&stack).await.len(), 100);
        assert_eq!(stack.outline().layers().count(), 101);
    }

    #[test]
    #[allow(clippy::redundant_clone)] // the test needs the method call
    fn closures_need_no_type_for_their_app() {
        // Each closure calls a method on `app` before its type is known from elsewhere.
        let wrap = |app: BoxApp| app;
        let stack = Stack::new()
            .with(|app| app.boxed())
            .named("named", |app| app.boxed())
            .when(true, |app| app.boxed())
            .only(|_| true, |app| app.boxed())
            .with(crate::CatchPanic::new)
            .with(wrap);
        let stack = stack.insert_before("named", |app| app.boxed()).unwrap();
        let stack = stack.insert_after("named", |app| app.boxed()).unwrap();
        let stack = stack.replace("named", |app| app.boxed()).unwrap();
        assert_eq!(stack.names().count(), 8);
    }

    #[test]
    fn the_outline_includes_layers_that_do_not_describe_themselves() {
        let stack = Stack::new().named("first", mark("a")).with(mark("b"));
        assert_eq!(stack.outline().to_string(), "first\nMarked\napp\n");
    }
}
