//! Real web servers in front of the same app.

#![allow(clippy::unwrap_used)] // what fails here is a test

mod faults;
mod front;
mod matrix;
mod modwsgi;
mod probe;
mod responder;
mod server;
mod streams;
mod web_server;
