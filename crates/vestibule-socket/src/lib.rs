#![doc = include_str!("../README.md")]

mod backoff;
mod bind;
#[cfg(unix)]
mod file;
mod gate;
mod listener;
mod rarely;

pub use backoff::Backoff;
pub use bind::{Bind, BindError};
#[cfg(unix)]
pub use file::SocketFile;
pub use listener::{Detached, Listener, Socket};
pub use rarely::Rarely;
