//! Real web servers in front of the same app.

#![allow(clippy::unwrap_used)] // what fails here is a test

mod faults;
mod front;
mod hostile;
mod matrix;
mod modwsgi;
mod order;
mod other_protocols;
mod probe;
#[allow(
    dead_code,
    reason = "what our own server has to answer is tested where it is"
)]
#[path = "../../vestibule-hyper/tests/requests.rs"]
mod requests;
mod responder;
mod server;
mod streams;
mod web_server;
