//! Runs an app behind nginx and Apache: with FastCGI, SCGI, the uwsgi protocol, or as a CGI
//! program.
//!
//! ```rust,no_run
//! use vestibule_core::Request;
//! use vestibule_gateway::Server;
//!
//! async fn hello(_: Request) -> &'static str {
//!     "Hello!"
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::io::Result<()> {
//!     let server = Server::fastcgi(hello).mount("/app");
//!     server.bind("unix:/run/app.sock").await?.run().await?;
//!     Ok(())
//! }
//! ```
//!
//! | protocol | server | web servers |
//! |---|---|---|
//! | FastCGI | [`Server::fastcgi`] | `fastcgi_pass`, `mod_proxy_fcgi`, spawn-fcgi ([`Bind::inherited`]) |
//! | SCGI | [`Server::scgi`] | `scgi_pass`, `mod_proxy_scgi` |
//! | uwsgi | [`Server::uwsgi`] | `uwsgi_pass`, `mod_proxy_uwsgi` |
//! | CGI | [`cgi`] | `ScriptAlias` |
//! | HTTP | `vestibule-hyper` | `proxy_pass`, `mod_proxy_http` |
//!
//! Bodies stream in both directions with backpressure: the server reads no more than the app does,
//! and polls a body only as fast as the web server reads. When the client disconnects, the app's
//! future or the response's body is dropped. A gateway does not support upgrades, informational
//! responses and trailers. A `Failure` is logged by the web server if the protocol supports that
//! (FastCGI's STDERR), otherwise by this process.
//!
//! In the other direction, [`FastCgi`] is an app that sends its requests to a responder such as
//! PHP-FPM:
//!
//! ```rust,no_run
//! use vestibule_core::Mounts;
//! use vestibule_gateway::FastCgi;
//!
//! let blog = FastCgi::new("unix:/run/php/php-fpm.sock").scripts("/srv/blog", "php").fallback("index.php");
//! let app = Mounts::new().at("/blog", blog);
//! ```
//!
//! # nginx
//!
//! ```text
//! location /app {
//!     include fastcgi_params;             # scgi_params, uwsgi_params
//!     fastcgi_param HTTP_PROXY "";
//!     fastcgi_buffering off;              # when responses stream; or the app sends X-Accel-Buffering: no
//!     fastcgi_pass unix:/run/app.sock;    # scgi_pass, uwsgi_pass
//! }
//! ```
//!
//! For keep-alive connections, add an `upstream` with `keepalive 16;`, and `fastcgi_keep_conn on;`.
//!
//! # Apache
//!
//! ```text
//! AllowEncodedSlashes NoDecode
//! RequestHeader unset Proxy early
//! <Location /app>
//!     ProxyPass unix:/run/app.sock|fcgi://app/app flushpackets=on    # scgi:, uwsgi:
//!     ProxyFCGIBackendType GENERIC                                   # FastCGI alone
//!     CGIPassAuth On
//! </Location>
//! ```
//!
//! The text after the host's name is the path of the `<Location>`. At the root it is `fcgi://app/`;
//! without that slash, Apache would look for a host called `appstyle.css`.
//!
//! Set the prefix with [`Server::mount`]: neither configuration sends it in a trustworthy form. For
//! a CGI program it is `SCRIPT_NAME`. The web server needs permission to open the socket: run the
//! app in its group, with [`Bind::mode`] of `0o660`.
//!
//! # Known differences
//!
//! The tests send one list of requests through nginx 1.22 and Apache 2.4 with each protocol. They
//! compare the responses with those of the app without a web server. All are equal, except these:
//!
//! | request | web server | difference |
//! |---|---|---|
//! | `%00` in the path | both | refused by the web server itself: 400 by nginx, 404 by Apache |
//! | a header with two lines | Apache | joined by a comma; so are two `Cookie` lines, if a client sends them |
//! | `Proxy` | both | never reaches the app |
//! | a chunked body | Apache with SCGI, uwsgi | 411: its modules require a length. The others pass the body on |
//! | an incomplete response | Apache with SCGI, CGI | looks complete to the client: these protocols do not mark the end, and Apache ignores the length |
//!
//! The server reads every request to its end, also when the app has already responded without
//! reading the body. A web server treats a request as failed if it cannot write it completely.
//!
//! With SCGI and uwsgi, the end of the connection means that the client is gone. A client of these
//! protocols must not half-close the connection after the request.
//!
//! # Limits
//!
//! - 256 variables, 256 KiB in total and 32 KiB each; otherwise 431.
//! - 30 s to receive the variables.
//! - 60 s for a pause in a request body, which then ends with an error for the app.
//! - 60 s for a web server that does not read, and 75 s for an idle keep-alive connection.
//! - 1024 connections.
//!
//! Lengths are compared with the received bytes before anything is allocated for them.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg(unix)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "input of web servers and responders comes from the network, and must not panic"
    )
)]

mod cgi;
mod exchange;
mod fastcgi;
mod io;
mod responder;
mod scgi;
mod server;
mod simple;
mod uwsgi;

pub use cgi::cgi;
pub use responder::{FastCgi, ResponderError};
pub use server::{Bound, Drained, Server};
pub use vestibule_socket::{Bind, BindError};

/// The parsers, for fuzz targets: each takes the bytes received so far.
#[doc(hidden)]
pub mod parse {
    pub use crate::exchange::Limits;
    pub use crate::fastcgi::{pairs, record};
    pub use crate::scgi::head as scgi;
    pub use crate::uwsgi::head as uwsgi;
}
