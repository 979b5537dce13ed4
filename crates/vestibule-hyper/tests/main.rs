//! The server over real sockets: raw bytes in, raw bytes out.

#[cfg(unix)]
mod binding;
mod framing;
mod http2;
mod life;
mod responses;
mod support;
