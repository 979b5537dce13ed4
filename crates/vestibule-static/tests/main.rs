//! Requests to a folder and the responses, without sockets.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

mod basics;
mod cases;
mod changing;
mod codings;
#[cfg(target_os = "linux")]
mod cold;
#[cfg(feature = "embed")]
mod embed;
mod hand_over;
mod indexed;
mod listings;
#[cfg(feature = "precompress")]
mod precompress;
mod ranges;
mod safety;
mod site_options;
mod support;
mod traversal;
