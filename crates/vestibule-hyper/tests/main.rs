//! The server over real sockets: raw bytes in, raw bytes out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod age;
#[cfg(unix)]
mod binding;
mod defaults;
mod early;
mod echo;
#[cfg(target_os = "linux")]
mod frames;
mod framing;
mod http2;
mod http2_frame;
mod life;
mod limits;
mod order;
#[cfg(target_os = "linux")]
mod process;
mod refusals;
mod requests;
mod responses;
#[cfg(all(feature = "handover", target_os = "linux"))]
mod restart;
mod support;
#[cfg(feature = "tls-self-signed")]
mod tls;
#[cfg(feature = "tls-self-signed")]
mod tls_files;
#[cfg(feature = "tls-self-signed")]
mod tls_programs;
mod upgrades;
#[cfg(target_os = "linux")]
mod vanished;
