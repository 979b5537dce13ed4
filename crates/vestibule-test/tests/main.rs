//! The battery on what is right, and on what is broken: each case has something that fails it.

mod broken;
mod client;
mod core_middleware;
