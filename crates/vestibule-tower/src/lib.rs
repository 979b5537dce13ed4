//! Bridges between Vestibule and tower, in both directions: **tower's layers in our stacks, our
//! middleware in tower's stacks, our apps as services, and services as our apps**. hyper's services
//! are supported as well. Bodies stream with their trailers, extensions and upgrades are kept, and
//! an error becomes a response that carries its cause.
//!
//! | from | to | function | for example |
//! |---|---|---|---|
//! | a tower layer | our middleware | [`from_layer`] | `Stack::new().with(from_layer(CorsLayer::permissive()))` |
//! | our middleware | a tower layer | [`layer`] | `Router::new().layer(layer(ServerTiming::new))` |
//! | a tower service | our app | [`from_service`] | `stack.app(from_service(router))` |
//! | our app | a tower service | [`service`] | `Router::new().fallback_service(service(app))` |
//! | a hyper service | our app | [`from_hyper`] | `stack.app(from_hyper(service_fn(f)))` |
//! | our app | a hyper service | [`hyper_service`] | `http1::Builder::new().serve_connection(io, hyper_service(app))` |
//!
//! [`layers`] has a table with the code for each layer of tower, tower-http and axum, and our own
//! equivalents. A layer for axum's body type, such as `middleware::from_fn`, needs
//! [`from_layer_with_body`].
//!
//! Layers of tower in our stack, around an axum router:
//!
//! ```rust
//! use axum::{Router, routing::get};
//! use http::HeaderName;
//! use tower_http::{cors::CorsLayer, propagate_header::PropagateHeaderLayer};
//! use vestibule_core::{App, Request, Stack};
//! use vestibule_tower::{from_layer, from_service};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let router = Router::new().route("/", get(|| async { "from axum" }));
//!
//! let app = Stack::new()
//!     .with(from_layer(CorsLayer::permissive()))
//!     .with(from_layer(PropagateHeaderLayer::new(HeaderName::from_static("x-trace"))))
//!     .app(from_service(router));
//!
//! let response = app.call(Request::default()).await;
//! assert_eq!(response.headers()["access-control-allow-origin"], "*");
//! assert_eq!(app.outline().to_string(), "Cors\nPropagateHeader\nRouter\n");
//! # }
//! ```
//!
//! # Our middleware in an axum app
//!
//! Prefer to wrap **the whole router**: the middleware then sees every request, also unmatched
//! ones, at the lowest cost. The result is a service, so `fallback_service` converts it to a router
//! again:
//!
//! ```rust
//! use std::net::SocketAddr;
//! use axum::{Router, routing::get};
//! use vestibule_core::{CatchPanic, Stack};
//! use vestibule_tower::{from_service, service};
//!
//! # fn served() -> axum::extract::connect_info::IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
//! let router = Router::new().route("/", get(|| async { "hello" }));
//! let app = Stack::new().with(CatchPanic::new).app(from_service(router));
//!
//! let router = Router::new().fallback_service(service(app));
//! // for `axum::serve(listener, ..)`; without it, the address of the client is unknown
//! router.into_make_service_with_connect_info::<SocketAddr>()
//! # }
//! ```
//!
//! **For some routes**, [`layer`] converts a middleware or a whole stack to a tower layer. It is
//! built once, so all routes and connections share a lock-out, a counter or a cache in it:
//!
//! ```rust
//! use axum::{Router, body::Body, routing::get};
//! use http::{HeaderValue, Request};
//! use tower::ServiceExt;
//! use vestibule_core::{CatchPanic, Stack};
//! use vestibule_tower::layer;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let stack = Stack::new()
//!     .around(|request, next| async move { next.call(request).await })
//!     .map_response(|mut response| {
//!         response.headers_mut().insert("x-frame-options", HeaderValue::from_static("DENY"));
//!         response
//!     });
//!
//! let router = Router::new()
//!     .route("/", get(|| async { "hello" }))
//!     .layer(layer(CatchPanic::new))
//!     .layer(layer(|app| stack.app(app)));
//!
//! let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
//! assert_eq!(response.headers()["x-frame-options"], "DENY");
//! # }
//! ```
//!
//! # Clients and paths in axum
//!
//! The feature `axum` is on by default in this crate. In `vestibule` it is off, and is also called
//! `axum`. With it the bridge translates between axum's extensions and ours, in both directions:
//!
//! | axum | ours | used by |
//! |---|---|---|
//! | `ConnectInfo<SocketAddr>` | [`Peer`](vestibule_core::Peer) | logs, lock-outs, trusted proxies |
//! | `OriginalUri`, and a URI without the prefix of `nest` | the whole URI and a [`Mount`](vestibule_core::Mount) | guards, redirects, logs |
//!
//! axum's `nest` and `nest_service` remove the prefix from the URI. Our middleware and apps inside
//! see the whole URI, and the services inside a [`layer`] see the URI as axum changed it. In the
//! other direction, [`FromService::below_mount`] passes a request to a router without the prefix of
//! its `Mounts`.
//!
//! Middleware on either side may change the client or the path, and the other side sees the change.
//! axum does not report the local address of a connection: [`Peer::local`] is then `0.0.0.0:0` or
//! `[::]:0`. For a listener without IP addresses, insert a [`Peer`] yourself, as
//! `Router::layer(axum::Extension(peer))`.
//!
//! If the client address is unknown, the bridge logs one warning with the line of code that fixes
//! it. If a path is unknown, it logs another one, and a guard refuses requests by path
//! ([`UnknownPrefix`](vestibule_core::UnknownPrefix)). A path is unknown without the feature, and
//! with another version of axum. With the feature, it is unknown if it is rewritten between a
//! router and a `nest` with captures.
//!
//! Two things hide a removed prefix from the bridge:
//!
//! - an axum middleware that creates a new request without the extensions of the first one;
//! - without the feature, a layer that converts axum's body to a [`Body`](vestibule_core::Body) of
//!   ours.
//!
//! [`Peer`]: vestibule_core::Peer
//! [`Peer::local`]: vestibule_core::Peer::local
//!
//! This crate supports axum 0.8, tower-http 0.7 and tower 0.5. The bridge uses tower's own traits
//! (tower-layer 0.3, tower-service 0.3) and http 1. So other versions that use these work as well,
//! without the feature `axum`.
//!
//! # Readiness
//!
//! tower polls the readiness of a service before it calls it; our apps have no readiness. So the
//! bridge waits until the service is ready, and then calls the same instance.
//!
//! | the service is | functions | readiness is awaited on |
//! |---|---|---|
//! | `Clone` and `Sync` | [`from_service`], [`from_layer`], [`layer`] | a clone for each request |
//! | not (`RateLimit`, `BoxService`) | [`from_service_shared`], [`from_layer_shared`], [`layer_shared`] | the one service, in a queue |
//!
//! A shared service is behind a mutex. The mutex is locked while the service is polled for
//! readiness and called, and not while its response is awaited. There is no hidden buffer and no
//! spawned task.
//!
//! Our [`service`] is always ready, so `LoadShed` directly around it never sheds a request. Put
//! `LoadShed` and its limit into one `from_layer`, as below, or put the limit outside.
//!
//! # Errors
//!
//! tower's errors become responses: a timeout is a 504, an overload a 503, a body over its limit a
//! 413, any other a 500. The `Failure` of the response holds the error and the name of the service
//! that failed. So outer layers see a response, and the log has the cause. [`failure`] has the
//! table; `on_error` replaces it.
//!
//! ```rust
//! use tower::ServiceBuilder;
//! use vestibule_core::{App, Failure, Request, Stack};
//! use vestibule_tower::from_layer;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let shut = ServiceBuilder::new().load_shed().concurrency_limit(0);
//! let app = Stack::new().with(from_layer(shut)).app(|_: Request| async { "never" });
//!
//! let response = app.call(Request::default()).await;
//! assert_eq!(response.status(), 503);
//! let failure = Failure::of(&response).unwrap();
//! assert_eq!(failure.to_string(), "service overloaded");
//! assert_eq!(failure.failed_layer(), Some("LoadShed"));
//! # }
//! ```
//!
//! # Costs
//!
//! Our side of a crossing costs one allocation, the future of the call, as every layer of a
//! `Stack`. A [`layer`] costs one or two allocations more, for the extension by which a request
//! finds the inner service; [`layer_each`] does not. A body of another type is boxed once, unless
//! it is empty. A [`Body`](vestibule_core::Body) that returns as a `Body` is unchanged. In
//! addition, tower clones the service for each request.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod errors;
mod foreign;
mod from_layer;
mod from_service;
mod hyper;
mod inner;
mod layer;
pub mod layers;
mod roles;
mod service;
mod shared;
mod wait_queue;
mod with_body;

pub use errors::{OnError, failure};
pub use from_layer::{from_layer, from_layer_shared};
pub use from_service::{FromService, HttpService, from_service};
pub use hyper::{FromHyper, from_hyper, hyper_service};
pub use layer::{AppLayer, AppLayerEach, AppLayerShared, layer, layer_each, layer_shared};
pub use service::{AppService, ResponseFuture, service};
pub use shared::{FromServiceShared, from_service_shared};
pub use with_body::{
    AppServiceWithBody, FromLayerWithBody, HttpServiceWithBody, ResponseFutureWithBody,
    from_layer_with_body,
};
