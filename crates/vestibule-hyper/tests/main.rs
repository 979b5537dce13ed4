//! The server over real sockets: raw bytes in, raw bytes out.

mod framing;
mod support;
