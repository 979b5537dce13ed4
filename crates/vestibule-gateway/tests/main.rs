//! Real web servers in front of the same app.

#![allow(clippy::unwrap_used)] // a failure here is a failed test

mod front;
mod hostile;
mod malformed_input;
mod matrix;
mod modwsgi;
mod order;
mod other_protocols;
mod probe;
#[allow(dead_code, reason = "the HTTP server has its own tests")]
#[path = "../../vestibule-hyper/tests/requests.rs"]
mod requests;
mod responder;
mod server;
mod streams;
mod web_server;
