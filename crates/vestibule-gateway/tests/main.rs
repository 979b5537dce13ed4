//! Real web servers in front of the same app.

mod front;
mod matrix;
mod probe;
mod streams;
