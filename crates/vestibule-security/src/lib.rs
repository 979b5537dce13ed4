#![doc = include_str!("../README.md")]

mod proxy_headers;
mod redirect_https;

pub use proxy_headers::ProxyHeaders;
pub use redirect_https::RedirectHttps;
