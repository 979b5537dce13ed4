#![doc = include_str!("../README.md")]

mod connection;
mod detect;
mod drain;
mod guard;
mod incoming;
mod io;
mod listen;
mod outgoing;
mod server;
mod vitals;

pub use drain::{Drained, Shutdown};
pub use guard::Refused;
pub use incoming::RequestBodyError;
pub use listen::{Bind, BindError};
pub use server::{Bound, Server, serve};
