#![doc = include_str!("../README.md")]

mod network;
mod proxy_headers;

pub use network::{Network, NetworkError};
pub use proxy_headers::ProxyHeaders;
