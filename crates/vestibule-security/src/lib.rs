//! Middleware for the client and the scheme of a request. [`ProxyHeaders`] finds the client behind
//! trusted proxies, and ignores the fields of other peers. [`RedirectHttps`] redirects plain HTTP
//! to HTTPS.
//!
//! ```rust
//! use vestibule_core::{App, Peer, Request};
//! use vestibule_security::ProxyHeaders;
//!
//! async fn who(request: Request) -> String {
//!     Peer::of(&request).map(|peer| peer.address().to_string()).unwrap_or_default()
//! }
//!
//! let app = ProxyHeaders::new(who).trust("127.0.0.0/8".parse().unwrap());
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod proxy_headers;
mod redirect_https;

pub use proxy_headers::ProxyHeaders;
pub use redirect_https::RedirectHttps;
