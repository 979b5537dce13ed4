//! Tests of the whole workspace through the facade: text in, text out.

#![allow(clippy::unwrap_used)] // a failure here is a failed test

mod auth_in_axum;
mod examples;
#[cfg(unix)]
mod forwarding;
mod grpc;
mod inside_axum;
mod middleware;
mod otlp;
mod peers;
mod real_sites;
mod socketio;
mod stacks;
mod stored_values;
mod websocket;
