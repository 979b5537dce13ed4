//! Requests to a folder and what comes back, without sockets.
#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

mod basics;
mod cases;
mod changing;
mod codings;
mod cold;
mod comforts;
mod indexed;
mod listings;
mod ranges;
mod safety;
mod support;
mod traversal;
