//! The contract of Vestibule: **an app is an async callable from request to response**, and
//! middleware is an app that wraps an app. It brings the idea of WSGI to Rust: any app runs under
//! any server, and middleware keeps the same contract on both sides.
//!
//! ```rust
//! use vestibule_core::{App, Request, Response, Stack};
//! use http::HeaderValue;
//!
//! async fn hello(_: Request) -> &'static str {
//!     "Hello!"
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = Stack::new()
//!     .around(|request, next| async move {
//!         let mut response = next.call(request).await;
//!         response.headers_mut().insert("x-hello", HeaderValue::from_static("1"));
//!         response
//!     })
//!     .app(hello);
//!
//! let response = app.call(Request::default()).await;
//! assert_eq!(response.headers()["x-hello"], "1");
//! # }
//! ```
//!
//! | name | purpose |
//! |---|---|
//! | [`App`], [`BoxApp`], [`Request`], [`Response`] | the contract |
//! | [`Body`] | one body: whole or streaming, with trailers, fused, `Send + Sync`; [`Body::on_end`] reports how it ended |
//! | [`IntoResponse`] | the values that an app may return |
//! | [`Failure`] | the cause of an error response, for the log only; the client does not see it |
//! | [`Stack`], [`Outline`] | middleware composed at run time, with names, printed as a tree |
//! | [`Outline::check`], [`Role`] | a check that the order of the layers works |
//! | [`around`], [`map_request`], [`map_response`], [`Only`] | middleware from closures |
//! | [`PathView`], [`Mount`], [`Mounts`] | one interpretation of paths, and several apps in one URL space |
//! | [`Peer`], [`Scheme`] | the other end of the connection, and `http` or `https` |
//! | [`CatchPanic`] | middleware that turns a panic into a 500 response |
//!
//! The crate depends on no async runtime and opens no sockets; `vestibule-hyper` serves an app over
//! HTTP.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod app;
mod around;
mod body;
mod check;
mod failure;
mod has_extensions;
mod in_role;
mod into_response;
mod map;
mod mount;
mod mounts;
mod network;
mod only;
mod original_uri;
mod outline;
mod panic;
mod path;
mod peer;
mod queue_time;
mod remote_user;
mod request_line;
mod scheme;
mod stack;
mod timing;

pub use app::{App, BoxApp, BoxFuture, Request, Response};
pub use around::{Around, Next, around};
pub use body::{
    Abort, Body, BodyError, BodySender, Closed, CollectError, End, FilePart, LengthMismatch,
    Outcome, Replaced,
};
pub use check::{Finding, Role};
pub use failure::{Failure, FailureKind};
pub use has_extensions::HasExtensions;
pub use in_role::{InRole, in_role};
pub use into_response::IntoResponse;
pub use map::{MapRequest, MapResponse, map_request, map_response};
pub use mount::Mount;
pub use mounts::Mounts;
pub use network::{InvalidNetwork, Network};
pub use only::Only;
pub use original_uri::{OriginalUri, UnknownPrefix};
pub use outline::Outline;
pub use panic::{CatchPanic, Panicked};
pub use path::{PathError, PathView};
pub use peer::{Address, Credentials, Peer};
pub use queue_time::QueueTime;
pub use remote_user::RemoteUser;
pub use request_line::RequestLine;
pub use scheme::Scheme;
pub use stack::{Stack, UnknownLayer, WrapFn};
pub use timing::{LayerTiming, SlowRequest, Timing, Timings};

/// The crate of the request and response types, in the version that the contract uses.
pub use http;

/// Any error in a box. A [`Failure`] and a [`BodyError`] are made from it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
