#![cfg_attr(feature = "embed", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "embed"),
    doc = "Hosts Python WSGI apps; there is nothing without the feature `embed` or `wheel`."
)]

#[cfg(feature = "python")]
mod app;
#[cfg(feature = "python")]
mod call;
#[cfg(feature = "python")]
mod environ;
#[cfg(feature = "python")]
mod error;
#[cfg(feature = "python")]
mod errors;
#[cfg(feature = "python")]
mod feed;
#[cfg(feature = "python")]
mod file_wrapper;
#[cfg(feature = "python")]
mod forks;
#[cfg(feature = "python")]
mod input;
#[cfg(feature = "embed")]
mod interpreter;
#[cfg(feature = "python")]
mod load;
#[cfg(feature = "python")]
mod outbox;
#[cfg(feature = "python")]
mod pool;
#[cfg(feature = "python")]
mod progress;
#[cfg(feature = "python")]
mod queue;
#[cfg(feature = "wheel")]
mod server;
#[cfg(feature = "python")]
mod start_response;
#[cfg(feature = "python")]
mod wait;

#[cfg(feature = "python")]
pub use app::{WsgiApp, WsgiOptions};
#[cfg(feature = "python")]
pub use error::LoadError;
