#![doc = include_str!("../README.md")]

mod app;
mod around;
mod body;
mod check;
mod failure;
mod into_response;
mod map;
mod mount;
mod mounts;
mod network;
mod only;
mod outline;
mod panic;
mod path;
mod peer;
mod queue_time;
mod remote_user;
mod scheme;
mod stack;
mod timing;

pub use app::{App, BoxApp, BoxFuture, Request, Response};
pub use around::{Around, Next, around};
pub use body::{
    Abort, Body, BodySender, Closed, CollectError, End, FilePart, LengthMismatch, Outcome,
};
pub use check::{Finding, Role};
pub use failure::{Failure, FailureKind};
pub use into_response::IntoResponse;
pub use map::{MapRequest, MapResponse, map_request, map_response};
pub use mount::Mount;
pub use mounts::Mounts;
pub use network::{InvalidNetwork, Network};
pub use only::Only;
pub use outline::Outline;
pub use panic::{CatchPanic, Panicked};
pub use path::{PathError, PathView};
pub use peer::{Address, Credentials, Peer};
pub use queue_time::QueueTime;
pub use remote_user::RemoteUser;
pub use scheme::Scheme;
pub use stack::{Stack, UnknownLayer, WrapFn};
pub use timing::{LayerTiming, SlowRequest, Timing, Timings};

/// The crate whose requests and responses these are, in the version that the contract speaks.
pub use http;

/// Any error, boxed: what bodies end with and what a [`Failure`] is made from.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
