//! Bridges between Vestibule's contract and tower's, in all four directions, and hyper's besides:
//! **tower's layers in our stacks, our middleware in theirs, and the apps of each as those of the
//! other**. Nothing is left behind on the way: bodies stream, trailers arrive, extensions and
//! upgrades survive, and an error is a response that carries its cause.
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
//! [`layers`] has a table with what to write for each layer of tower, tower-http and axum, and our own
//! equivalents. A layer that is written for axum's body, such as `middleware::from_fn`, needs
//! [`from_layer_with_body`].
//!
//! tower's layers in our stack, around an axum router:
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
//! # Middleware of ours in an axum app
//!
//! **Around the whole router** is the first choice: it sees every request, unmatched ones included,
//! and costs least. The result is a service, so `fallback_service` makes a router of it again:
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
//! // for `axum::serve(listener, ..)`; without it nobody knows the address of the client
//! router.into_make_service_with_connect_info::<SocketAddr>()
//! # }
//! ```
//!
//! **On some routes**, [`layer`] makes a tower layer of a middleware or of a whole stack. It is built
//! once, so a lock-out, a counter or a cache in it is one for all routes and connections:
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
//! The feature `axum` is on by default in this crate (in `vestibule` it is off, and called `axum` too).
//! With it the bridge translates between axum's extensions and ours, in both directions:
//!
//! | axum | ours | who needs it |
//! |---|---|---|
//! | `ConnectInfo<SocketAddr>` | [`Peer`](vestibule_core::Peer) | logs, lock-outs, trusted proxies |
//! | `OriginalUri`, and a URI without the prefix of `nest` | the whole URI and a [`Mount`](vestibule_core::Mount) | guards, redirects, logs |
//!
//! axum's `nest` and `nest_service` remove the prefix from the URI. Our middleware and apps inside see
//! the whole URI, and the services inside of a [`layer`] see what axum made of it. In the other
//! direction, [`FromService::below_mount`] hands a request to a router without the prefix of its
//! `Mounts`.
//!
//! A middleware of either side may change the client or the path, and the other side sees the change.
//! axum does not say to which of our addresses a connection came: [`Peer::local`] is `0.0.0.0:0` or
//! `[::]:0` there. For a listener without IP addresses, insert a [`Peer`] yourself, as
//! `Router::layer(axum::Extension(peer))`.
//!
//! When the address of a client is not known, the bridge logs one warning with the line that mends it.
//! When a path is not known, it logs another one, and a guard refuses requests by path
//! ([`UnknownPrefix`](vestibule_core::UnknownPrefix)): without the feature, with another version of
//! axum, and with it where a path is rewritten between a router and a `nest` with captures. Two things
//! hide a removed prefix from the bridge: an axum middleware that makes a new request without the
//! extensions of the first one, and, without the feature, a layer that turns axum's body into a
//! [`Body`](vestibule_core::Body) of ours.
//!
//! [`Peer`]: vestibule_core::Peer
//! [`Peer::local`]: vestibule_core::Peer::local
//!
//! This crate is for axum 0.8, tower-http 0.7 and tower 0.5. Layers and services cross the bridge by
//! tower's own traits (tower-layer 0.3, tower-service 0.3) and http 1, so other versions on top of these
//! work as well, without the feature `axum`.
//!
//! # Readiness
//!
//! tower asks a service whether it is ready before it calls it; we do not. So the bridge awaits the
//! readiness of the service that it is about to call, and that very one is called.
//!
//! | the service is | functions | readiness is awaited on |
//! |---|---|---|
//! | `Clone` and `Sync` | [`from_service`], [`from_layer`], [`layer`] | a clone for each request |
//! | not (`RateLimit`, `BoxService`) | [`from_service_shared`], [`from_layer_shared`], [`layer_shared`] | the one service, in line |
//!
//! A shared service stands behind a mutex that is held while it is asked and called, never while it
//! works on an answer. There is no hidden buffer, and no task is spawned.
//!
//! What leaves for tower is always ready: `LoadShed` directly around our [`service`] never sheds.
//! Put both into one `from_layer`, as below, or let the limit stand outside.
//!
//! # Errors
//!
//! tower's errors become responses: a timeout is a 504, an overload a 503, a body over its limit a
//! 413, any other a 500. The error is in the response's `Failure`, with the name of the service
//! that it came from, so that layers outside see a response and the log sees the cause. The table
//! is [`failure`]; `on_error` puts another in its place.
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
//! # What it costs
//!
//! Our side of a crossing is one allocation, the future of the call, which every layer of a `Stack`
//! has anyway. A [`layer`], which is built once, costs one or two allocations more, for the extension
//! by which a request finds the service inside; [`layer_each`] does not. A body of another type is
//! boxed once, unless it is empty; a [`Body`](vestibule_core::Body) that comes back as a `Body` is not
//! touched. tower's own costs come on top: a clone of the service for each request, as everywhere in
//! tower.

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
mod line;
mod roles;
mod service;
mod shared;
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
