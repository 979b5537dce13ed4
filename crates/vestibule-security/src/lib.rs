#![doc = include_str!("../README.md")]

mod proxy_headers;

pub use proxy_headers::ProxyHeaders;
