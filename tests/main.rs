//! The house as a whole, by the facade: text in, text out.

#![allow(clippy::unwrap_used)] // what fails here is a test

mod examples;
#[cfg(unix)]
mod forwarding;
mod inside_axum;
mod middleware;
mod otlp;
mod real_sites;
mod stacks;
mod stored_values;
mod websocket;
