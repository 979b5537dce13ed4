#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "variables and heads come from other programs, and none may panic"
    )
)]

mod environ;
mod error;
mod head;
mod mapping;
mod path;
mod slot;
mod wsgi;

pub use environ::Environ;
pub use error::EnvironError;
pub use head::{Head, HeadError, HeadForm, respond};
pub use mapping::Mapping;
pub use path::PathSource;
pub use wsgi::{StartError, StartResponse, Write, WsgiStyle, call_wsgi, wsgi_style};
