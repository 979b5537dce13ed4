//! Runs an app under nginx and Apache: by FastCGI, SCGI, the uwsgi protocol, or as a CGI program.
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
//! | by | server | web servers |
//! |---|---|---|
//! | FastCGI | [`Server::fastcgi`] | `fastcgi_pass`, `mod_proxy_fcgi`, spawn-fcgi ([`Bind::inherited`]) |
//! | SCGI | [`Server::scgi`] | `scgi_pass`, `mod_proxy_scgi` |
//! | uwsgi | [`Server::uwsgi`] | `uwsgi_pass`, `mod_proxy_uwsgi` |
//! | CGI | [`cgi`] | `ScriptAlias` |
//! | HTTP | `vestibule-hyper` | `proxy_pass`, `mod_proxy_http` |
//!
//! Bodies flow both ways, and at the pace of the slower side: what the app does not read is not
//! taken in, and what the web server does not read is not made. When the client goes away the app's
//! future, or the response's body, is dropped. Of what HTTP has, a gateway carries no upgrades, no
//! informational responses and no trailers. What a `Failure` has to say goes to the web server's
//! log where the protocol has a way to it (FastCGI's STDERR), and to ours otherwise.
//!
//! The other way round, [`FastCgi`] is an app that a responder answers, such as PHP-FPM:
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
//! For kept connections, an `upstream` with `keepalive 16;`, and `fastcgi_keep_conn on;`.
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
//! What follows the host's name is the path of the `<Location>`: at the root it is `fcgi://app/`,
//! and without that slash Apache would look for a host called `appstyle.css`.
//!
//! Give the server its prefix with [`Server::mount`]: neither configuration sends it in a form that
//! could be trusted. For a CGI program it is `SCRIPT_NAME`. The web server has to be allowed to
//! open the socket: run the app in its group, with [`Bind::mode`] of `0o660`.
//!
//! # What is not the same
//!
//! The tests send one list of requests through nginx 1.22 and Apache 2.4 by every way, and compare
//! the answers with those of the app without a web server. They are the same but for these:
//!
//! | request | web server | what happens |
//! |---|---|---|
//! | `%00` in the path | both | refused by the web server itself: 400 by nginx, 404 by Apache |
//! | a header in two lines | Apache | joined by a comma; so are two `Cookie` lines, where a client sends them |
//! | `Proxy` | both | never reaches the app |
//! | a chunked body | Apache by SCGI, uwsgi | 411: its modules want a length. The others send the body on |
//! | a response that breaks off | Apache by SCGI, CGI | looks whole to the client: these protocols have no end of their own, and Apache forgets the length |
//!
//! A request is read to its end, also when the app has answered before and wants none of its body:
//! web servers take one that they could not write for a failed one.
//!
//! By SCGI and uwsgi the end of the connection means that the client has gone: a client of these
//! protocols must not close its half when it has sent the request.
//!
//! # Limits
//!
//! 256 variables, 256 KiB in all and 32 KiB each, or 431; 30 s for them to come; 60 s for a pause
//! in a body, which breaks off for the app then, and for a web server that does not read; 75 s for
//! an idle kept connection; 1024 connections. Lengths are held against what has come before
//! anything is allocated for them.

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
        reason = "what web servers and responders send comes from the network, and none may panic"
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

/// The parsers, for whoever wants to try bytes on them: each takes what has come so far.
#[doc(hidden)]
pub mod parse {
    pub use crate::exchange::Limits;
    pub use crate::fastcgi::{pairs, record};
    pub use crate::scgi::head as scgi;
    pub use crate::uwsgi::head as uwsgi;
}
