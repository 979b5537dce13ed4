//! Tests of the whole workspace through the facade: text in, text out.

#![allow(clippy::unwrap_used)] // a failure here is a failed test

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
