//! Converts our middleware to tower layers.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;
use vestibule_core::{App, BoxApp, Outline};

use crate::errors::{self, OnError};
use crate::inner::{Applied, LayerId, placeholder};
use crate::{AppService, FromService, FromServiceShared, HttpService, service};

/// Converts a middleware, a function from app to app, to a tower layer: for axum's `Router::layer`,
/// `tower::ServiceBuilder`, or a tonic server.
///
/// The middleware is built once, in this call, and all services that the layer wraps share it.
/// Counters, limits and caches belong to the layer value. (axum applies a layer to each route,
/// method and connection.) A whole [`Stack`](vestibule_core::Stack) is one middleware:
/// `layer(|app| stack.app(app))`. The wrapped services must be `Clone`; for others use
/// [`layer_shared`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum::{Router, body::Body, routing::get};
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use tower::ServiceExt;
/// use vestibule_core::{App, Request, Response};
/// use vestibule_tower::layer;
///
/// /// Numbers the requests.
/// struct Numbered<A> { app: A, count: AtomicU32 }
///
/// impl<A: App> App for Numbered<A> {
///     async fn call(&self, request: Request) -> Response {
///         let number = self.count.fetch_add(1, Relaxed) + 1;
///         let mut response = self.app.call(request).await;
///         response.headers_mut().insert("x-number", number.into());
///         response
///     }
/// }
///
/// let router: Router = Router::new()
///     .route("/a", get(|| async { "a" }))
///     .route("/b", get(|| async { "b" }))
///     .layer(layer(|app| Numbered { app, count: AtomicU32::new(0) }));
///
/// for (path, number) in [("/a", "1"), ("/b", "2"), ("/a", "3")] {
///     let request = http::Request::get(path).body(Body::empty()).unwrap();
///     let response = router.clone().oneshot(request).await.unwrap();
///     assert_eq!(response.headers()["x-number"], number);
/// }
/// # }
/// ```
///
/// # Details
///
/// - A request finds the inner service by its extensions. Middleware that creates a new request
///   should copy the extensions of the first one. Otherwise the service is still found in the same
///   task. In another task the response is a 500 whose [`Failure`](vestibule_core::Failure) names
///   the reason.
/// - Without a request there is no inner service. Middleware that calls its app from a background
///   task gets that 500. It needs [`layer_each`].
/// - For separate state for each route, create one layer value for each route, or use
///   [`layer_each`].
/// - Middleware that spawns a task when it is created needs the runtime at the call of `layer`.
/// - A body error arrives as a [`BodyError`](vestibule_core::BodyError). A tower-http
///   `RequestBodyLimitLayer` outside of our layer cuts a body that has no length. axum's extractors
///   then answer 400, not 413. Put that layer inside of ours. axum's own `DefaultBodyLimit` works
///   on either side.
#[doc(alias("tower", "axum", "middleware"))]
pub fn layer<F, A>(f: F) -> AppLayer<A>
where
    F: FnOnce(BoxApp) -> A,
    A: App,
{
    AppLayer(Built::new(f))
}

/// Converts a middleware as [`layer`] does, for services that are not `Clone` (or not `Sync`).
///
/// See [`from_service_shared`](crate::from_service_shared) for the consequences.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt};
/// use vestibule_core::{CatchPanic, Request};
/// use vestibule_tower::{layer_shared, service};
///
/// let service = ServiceBuilder::new()
///     .layer(layer_shared(CatchPanic::new))
///     .rate_limit(100, Duration::from_secs(1))
///     .service(service(|_: Request| async { "hello" }));
///
/// // `RateLimit` is not `Clone`; the service around it is, and its clones share the limit.
/// let response = service.clone().oneshot(Request::default()).await.unwrap();
/// assert_eq!(response.status(), 200);
/// # }
/// ```
pub fn layer_shared<F, A>(f: F) -> AppLayerShared<A>
where
    F: FnOnce(BoxApp) -> A,
    A: App,
{
    AppLayerShared(Built::new(f))
}

/// Converts a middleware to a tower layer that builds it each time it is applied. axum applies it
/// to each route, method and connection.
///
/// It costs about 1,000 instructions per request less than [`layer`]. Use it for middleware without
/// state, for middleware that calls its app without a request, or for a `ServiceBuilder` that
/// applies its layers once. With `axum::serve`, state inside such middleware is lost with each
/// connection.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use axum::{Router, routing::get};
/// use vestibule_core::CatchPanic;
/// use vestibule_tower::layer_each;
///
/// static BUILT: AtomicU32 = AtomicU32::new(0);
///
/// let router: Router = Router::new()
///     .route("/a", get(|| async { "a" }).post(|| async { "a" }))
///     .route("/b", get(|| async { "b" }))
///     .layer(layer_each(|app| {
///         BUILT.fetch_add(1, Relaxed);
///         CatchPanic::new(app)
///     }));
/// assert!(BUILT.load(Relaxed) > 1);
/// ```
pub fn layer_each<F, A>(f: F) -> AppLayerEach<F>
where
    F: Fn(BoxApp) -> A,
    A: App,
{
    AppLayerEach {
        f: Arc::new(f),
        on_error: errors::table,
    }
}

/// A middleware as a tower layer; created by [`layer`].
///
/// Its service is always ready and never fails. The call waits for the readiness of the wrapped
/// service, and errors become responses before the middleware sees them. A call costs two to four
/// allocations, and one for a body of another type that is not empty.
pub struct AppLayer<A>(Built<A>);

/// A middleware as a tower layer for services that are not `Clone`; created by [`layer_shared`].
pub struct AppLayerShared<A>(Built<A>);

/// The common part of the two layers that build once.
struct Built<A> {
    app: Arc<A>,
    id: LayerId,
    on_error: OnError,
}

impl<A: App> Built<A> {
    fn new(f: impl FnOnce(BoxApp) -> A) -> Self {
        let id = LayerId::new();
        Self {
            app: Arc::new(f(placeholder(id.clone()))),
            id,
            on_error: errors::table,
        }
    }

    fn around(&self, inner: BoxApp) -> AppService {
        service(Applied {
            app: self.app.clone(),
            layer: self.id.clone(),
            inner,
        })
    }
}

impl<A> Clone for Built<A> {
    fn clone(&self) -> Self {
        Self {
            app: self.app.clone(),
            id: self.id.clone(),
            on_error: self.on_error,
        }
    }
}

macro_rules! built_once {
    ($($name:ident of $from:ident where S: $($bound:path),+;)+) => {$(
        impl<A: App> $name<A> {
            /// Sets the conversion of the wrapped service's errors to responses. Defaults to the
            /// table of [`failure`](crate::failure).
            #[must_use]
            pub fn on_error(mut self, on_error: OnError) -> Self {
                self.0.on_error = on_error;
                self
            }

            /// Returns the structure of the middleware. The wrapped service has the name `inside`.
            #[must_use]
            pub fn outline(&self) -> Outline {
                Outline::of(&self.0.app)
            }
        }

        impl<S, A: App> Layer<S> for $name<A>
        where
            S: $($bound +)+,
        {
            type Service = AppService;

            fn layer(&self, inner: S) -> AppService {
                let inner = $from::new(inner, None).on_error(self.0.on_error);
                self.0.around(inner.boxed())
            }
        }

        impl<A> Clone for $name<A> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<A: App> fmt::Debug for $name<A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.outline().name()).finish()
            }
        }
    )+};
}

built_once! {
    AppLayer of FromService where S: HttpService, Clone, Sync;
    AppLayerShared of FromServiceShared where S: HttpService;
}

/// A middleware as a tower layer that builds it each time; created by [`layer_each`].
pub struct AppLayerEach<F> {
    f: Arc<F>,
    on_error: OnError,
}

impl<F> AppLayerEach<F> {
    /// Sets the conversion of the wrapped service's errors to responses. Defaults to the table of
    /// [`failure`](crate::failure).
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }
}

impl<S, F, A> Layer<S> for AppLayerEach<F>
where
    S: HttpService + Clone + Sync,
    F: Fn(BoxApp) -> A,
    A: App,
{
    type Service = AppService;

    fn layer(&self, inner: S) -> AppService {
        let inner = FromService::new(inner, None).on_error(self.on_error);
        service((self.f)(inner.boxed()))
    }
}

impl<F> Clone for AppLayerEach<F> {
    fn clone(&self) -> Self {
        Self {
            f: self.f.clone(),
            on_error: self.on_error,
        }
    }
}

impl<F> fmt::Debug for AppLayerEach<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppLayerEach")
    }
}
