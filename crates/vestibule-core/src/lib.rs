//! The contract of Vestibule: **an app is an async callable from request to response**, and
//! middleware is an app that holds an app. It is WSGI's idea for Rust: any app runs under any
//! server, and what stands in between keeps the same contract on both sides.
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
//! | where | what |
//! |---|---|
//! | [`App`], [`BoxApp`], [`Request`], [`Response`] | the contract |
//! | [`Body`] | one body: whole or streaming, with trailers, fused, `Send + Sync`; [`Body::on_end`] hears how it ended |
//! | [`IntoResponse`] | what an app may return |
//! | [`Failure`] | the cause of an error response, for the log; never for the client |
//! | [`Stack`], [`Outline`] | middleware composed at run time, named and printed |
//! | [`Outline::check`], [`Role`] | whether the layers stand in an order that works |
//! | [`around`], [`map_request`], [`map_response`], [`Only`] | middleware from closures |
//! | [`PathView`], [`Mount`], [`Mounts`] | one reading of paths, and several apps in one URL space |
//! | [`Peer`], [`Scheme`] | who is at the other end of the connection, and whether it came by `https` |
//! | [`CatchPanic`] | a panic is a 500 |
//!
//! The crate knows no runtime and no sockets; `vestibule-hyper` serves an app over HTTP.

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

/// The crate whose requests and responses these are, in the version that the contract speaks.
pub use http;

/// Any error, boxed: what a [`Failure`] and a [`BodyError`] are made from.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
