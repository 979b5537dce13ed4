//! Converts tower layers to our middleware.

use std::sync::Arc;

use tower_layer::Layer;
use vestibule_core::BoxApp;

use crate::{AppService, FromService, FromServiceShared, HttpService};

/// Converts a tower or tower-http layer to a middleware, a function from app to app.
///
/// In outlines it has the name of the service that the layer creates. `tower::ServiceBuilder` is a
/// layer as well, and has the name of its outermost layer. A layer whose service is not `Clone`
/// needs [`from_layer_shared`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use tower_http::cors::CorsLayer;
/// use vestibule_core::{App, Request, Stack};
/// use vestibule_tower::from_layer;
///
/// let app = Stack::new()
///     .with(from_layer(CorsLayer::permissive()))
///     .app(|_: Request| async { "hello" });
///
/// let response = app.call(Request::default()).await;
/// assert_eq!(response.headers()["access-control-allow-origin"], "*");
/// assert_eq!(app.outline().name(), "Cors");
/// # }
/// ```
///
/// The order check recognizes some layers of tower-http by their type: `AsyncRequireAuthorization`,
/// `CatchPanic`, `Compression`, `Cors`, `Csrf`, `RequestBodyLimit`, `RequestDecompression`,
/// `SetRequestId` and `Timeout`. Give another layer its role by
/// [`in_role`](vestibule_core::in_role):
///
/// ```
/// use tower_http::{cors::CorsLayer, validate_request::ValidateRequestHeaderLayer};
/// use vestibule_core::{Role, Stack, in_role};
/// use vestibule_tower::from_layer;
///
/// let stack = Stack::new()
///     .with(in_role(Role::AUTH, from_layer(ValidateRequestHeaderLayer::accept("text/html"))))
///     .with(from_layer(CorsLayer::permissive()));
/// assert_eq!(stack.check()[0].fix, "move Cors outside of ValidateRequestHeader");
/// ```
///
/// The returned middleware has options, such as another error table:
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use http::StatusCode;
/// use std::time::Duration;
/// use tower::timeout::TimeoutLayer;
/// use vestibule_core::{App, IntoResponse, Request, Stack};
/// use vestibule_tower::{failure, from_layer};
///
/// let timeout = from_layer(TimeoutLayer::new(Duration::from_secs(5)));
/// let app = Stack::new()
///     .with(move |app| timeout(app).on_error(|error| {
///         failure(error).status(StatusCode::REQUEST_TIMEOUT).into_response()
///     }))
///     .app(|_: Request| std::future::pending::<()>());
/// assert_eq!(app.call(Request::default()).await.status(), 408);
/// # }
/// ```
#[doc(alias("tower", "tower-http", "cors", "middleware"))]
pub fn from_layer<L>(
    layer: L,
) -> impl Fn(BoxApp) -> FromService<L::Service> + Send + Sync + Clone + 'static
where
    L: Layer<AppService, Service: HttpService + Clone + Sync> + Send + Sync + 'static,
{
    let layer = Arc::new(layer);
    move |app| {
        FromService::new(
            layer.layer(AppService::in_our_stack(app.clone())),
            Some(app),
        )
    }
}

/// Converts a layer whose service is not `Clone` (or not `Sync`), such as tower's `RateLimitLayer`.
/// All requests share one service and queue for its readiness.
///
/// See [`from_service_shared`](crate::from_service_shared) for the consequences.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use tower::limit::RateLimitLayer;
/// use vestibule_core::{App, Request, Stack};
/// use vestibule_tower::from_layer_shared;
///
/// let limit = RateLimitLayer::new(1, Duration::from_secs(60));
/// let app = Stack::new()
///     .with(from_layer_shared(limit))
///     .app(|_: Request| async { "hello" });
///
/// let start = tokio::time::Instant::now();
/// app.call(Request::default()).await;
/// app.call(Request::default()).await;
/// assert_eq!(start.elapsed().as_secs(), 60);
/// # }
/// ```
pub fn from_layer_shared<L>(
    layer: L,
) -> impl Fn(BoxApp) -> FromServiceShared<L::Service> + Send + Sync + Clone + 'static
where
    L: Layer<AppService, Service: HttpService> + Send + Sync + 'static,
{
    let layer = Arc::new(layer);
    move |app| {
        FromServiceShared::new(
            layer.layer(AppService::in_our_stack(app.clone())),
            Some(app),
        )
    }
}
