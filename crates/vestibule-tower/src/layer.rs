//! Our middleware in tower's stacks.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;
use vestibule_core::{App, BoxApp};

use crate::errors::{self, OnError};
use crate::{AppService, FromService, FromServiceShared, HttpService, service};

/// Makes a tower layer of a middleware, a function from app to app: for axum's `Router::layer`, for
/// `tower::ServiceBuilder`, for a tonic server.
///
/// A whole [`Stack`](vestibule_core::Stack) is one: `layer(move |app| stack.app(app))`. The
/// services that it wraps are `Clone`; for others there is [`layer_shared`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum::{Router, routing::get};
/// use http::HeaderValue;
/// use tower::ServiceExt;
/// use vestibule_core::{CatchPanic, map_response};
/// use vestibule_tower::layer;
///
/// let router = Router::new()
///     .route("/", get(async || -> &str { panic!("no more paper") }))
///     .layer(layer(CatchPanic::new))
///     .layer(layer(map_response(|mut response| {
///         response.headers_mut().insert("x-frame-options", HeaderValue::from_static("DENY"));
///         response
///     })));
///
/// # let hook = std::panic::take_hook();
/// # std::panic::set_hook(Box::new(|_| ()));
/// let response = router.oneshot(http::Request::new(axum::body::Body::empty())).await.unwrap();
/// # std::panic::set_hook(hook);
/// assert_eq!(response.status(), 500);
/// assert_eq!(response.headers()["x-frame-options"], "DENY");
/// # }
/// ```
pub fn layer<F, A>(f: F) -> AppLayer<F>
where
    F: Fn(BoxApp) -> A,
    A: App,
{
    AppLayer {
        f: Arc::new(f),
        on_error: errors::table,
    }
}

/// Makes a tower layer as [`layer`] does, for services that are not `Clone` (or not `Sync`).
///
/// See [`from_service_shared`](crate::from_service_shared) for what that means.
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
/// // `RateLimit` is not `Clone`; what stands around it is, and its clones share the limit.
/// let response = service.clone().oneshot(Request::default()).await.unwrap();
/// assert_eq!(response.status(), 200);
/// # }
/// ```
pub fn layer_shared<F, A>(f: F) -> AppLayerShared<F>
where
    F: Fn(BoxApp) -> A,
    A: App,
{
    AppLayerShared {
        f: Arc::new(f),
        on_error: errors::table,
    }
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident of $from:ident where S: $($bound:path),+;)+) => {$(
        $(#[$doc])*
        pub struct $name<F> {
            f: Arc<F>,
            on_error: OnError,
        }

        impl<F> $name<F> {
            /// Makes responses of the errors of the wrapped service by another table.
            #[must_use]
            pub fn on_error(mut self, on_error: OnError) -> Self {
                self.on_error = on_error;
                self
            }
        }

        impl<S, F, A> Layer<S> for $name<F>
        where
            S: $($bound +)+,
            F: Fn(BoxApp) -> A,
            A: App,
        {
            type Service = AppService;

            fn layer(&self, inner: S) -> AppService {
                let inner = $from::new(inner, None).on_error(self.on_error);
                service((self.f)(inner.boxed()))
            }
        }

        impl<F> Clone for $name<F> {
            fn clone(&self) -> Self {
                Self {
                    f: self.f.clone(),
                    on_error: self.on_error,
                }
            }
        }

        impl<F> fmt::Debug for $name<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )+};
}

layers! {
    /// A middleware as a tower layer; made by [`layer`].
    ///
    /// What it makes is always ready and never fails: the readiness of the wrapped service is awaited
    /// in the call, and its errors are responses before the middleware sees them. A call costs two
    /// allocations, and one for a body of another type that is not empty.
    AppLayer of FromService where S: HttpService, Clone, Sync;

    /// A middleware as a tower layer for services that are not `Clone`; made by [`layer_shared`].
    AppLayerShared of FromServiceShared where S: HttpService;
}
