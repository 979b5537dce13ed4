#![doc = include_str!("../README.md")]

mod accept;
#[cfg(feature = "socket-activation")]
mod activation;
mod bell;
mod connection;
mod descriptors;
mod detect;
mod drain;
mod guard;
#[cfg(all(feature = "handover", unix))]
mod handover;
mod http1;
mod http2;
mod incoming;
mod io;
mod link;
mod listen;
#[cfg(unix)]
mod notify;
mod outgoing;
mod per_address;
mod pieces;
mod proxy;
mod ready;
mod server;
mod tally;
#[cfg(feature = "tls")]
mod tls;
mod vitals;

#[cfg(all(unix, feature = "socket-activation"))]
pub use activation::Sockets;
pub use drain::{Drained, Shutdown};
pub use guard::{Refused, refusal};
pub use incoming::RequestBodyError;
pub use listen::{Bind, BindError};
pub use ready::ready;
pub use server::{Bound, Server, serve};
#[cfg(feature = "tls")]
pub use tls::{Crypto, Tls, TlsError, TlsInfo};
