#![doc = include_str!("../README.md")]
#![cfg(unix)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "what web servers and responders send comes from the network, and none may panic"
    )
)]

mod cgi;
mod exchange;
mod fastcgi;
mod io;
mod responder;
mod scgi;
mod server;
mod simple;
mod uwsgi;

pub use cgi::cgi;
pub use responder::{FastCgi, ResponderError};
pub use server::{Bound, Drained, Server};
pub use vestibule_socket::{Bind, BindError};

/// The parsers, for whoever wants to try bytes on them: each takes what has come so far.
#[doc(hidden)]
pub mod parse {
    pub use crate::exchange::Limits;
    pub use crate::fastcgi::{pairs, record};
    pub use crate::scgi::head as scgi;
    pub use crate::uwsgi::head as uwsgi;
}
