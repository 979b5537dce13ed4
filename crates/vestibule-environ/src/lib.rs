//! Maps CGI variables to HTTP requests and back. Used behind web servers and in front of WSGI apps.
//!
//! ```rust
//! use vestibule_core::Mount;
//! use vestibule_environ::{Environ, Mapping};
//!
//! let environ = Environ::from_iter([
//!     ("REQUEST_METHOD", "GET"),
//!     ("REQUEST_URI", "/app/a%2Fb?q=1"),
//!     ("SCRIPT_NAME", "/app"),
//!     ("PATH_INFO", "/a/b"),
//!     ("HTTP_HOST", "example.org"),
//! ]);
//! let request = Mapping::new().request(environ).unwrap();
//! assert_eq!(request.uri(), "/app/a%2Fb?q=1"); // as the client sent it
//! assert_eq!(Mount::rest_of(&request), "/a%2Fb");
//!
//! let environ = Environ::from(request);
//! assert_eq!(environ.get("PATH_INFO"), Some(&b"/a/b"[..]));
//! ```
//!
//! | item | purpose |
//! |---|---|
//! | [`Environ`] | variables as a typed map; `Environ::from` converts a request |
//! | [`Mapping`] | converts variables to a request |
//! | [`respond`], [`HeadForm`] | convert a response to the bytes for CGI, FastCGI, SCGI and uwsgi |
//! | [`Head`] | the head of a response that a program wrote |
//! | [`wsgi_style`], [`call_wsgi`] | convert a WSGI callable with two arguments to an app, and back |
//!
//! # The path of a request
//!
//! Each web server fills `SCRIPT_NAME`, `PATH_INFO` and `REQUEST_URI` in its own way: nginx
//! decodes, merges slashes and resolves dots; Apache leaves `%2F` escaped or sends the whole path
//! as `SCRIPT_NAME`. The path of the request is that of `REQUEST_URI` if all variables agree on its
//! meaning, so `%2F`, `//` and `;` arrive unchanged. If they differ, the web server has rewritten
//! the URL, and its variables are used. [`PathSource`] and [`Mapping::mount`] change this.
//!
//! # Differences from mod_wsgi
//!
//! A test sends one list of requests through Apache twice: to a Python app under mod_wsgi 4.9, and
//! to an app that builds an [`Environ`] from FastCGI variables. All fields are equal, except these:
//!
//! | field | mod_wsgi | Vestibule | reason |
//! |---|---|---|---|
//! | `PATH_INFO` | `/a%2Fb`; `/a/b` of `/a//b`; `/y` of `/x/../y` | `/a/b`; `/a//b`; `/x/../y` | Apache resolves the path and leaves `%2F` escaped, so it looks like `%252F`; Vestibule sends the path of the client, decoded once. The app decides which paths are valid: `PathView` of `vestibule-core` refuses `..` and `//` |
//! | `RAW_URI` | | the unchanged target | gunicorn's name for `REQUEST_URI`, for apps that read it |
//! | `HTTP_CONNECTION` | `close` | | a field of the connection between client and Apache (RFC 9110 section 7.6.1) |
//! | `HTTP_TRANSFER_ENCODING` | `chunked` | | the same; the body is no longer chunked |
//! | `CONTENT_LENGTH` | none for a chunked body | the length, when the body was small | Apache's mod_proxy_fcgi counts the bytes |
//! | `SERVER_SOFTWARE` | Apache and its modules | `vestibule/0.1.0` | the software that creates the variables (RFC 3875 section 4.1.17) |
//! | `SERVER_ADMIN` | an address | | from Apache's configuration; not a CGI variable |
//! | `SERVER_SIGNATURE` | a line for error pages | | the same |
//! | `REMOTE_PORT` | | | the two requests used two connections |
//! | `DOCUMENT_ROOT` | a directory | | not for a WSGI app; a gateway's original variables are in [`Environ::of`] |
//! | `CONTEXT_DOCUMENT_ROOT` | a directory | | the same |
//! | `CONTEXT_PREFIX` | | | the same |
//! | `SCRIPT_FILENAME` | the app's file | | the app is in this process |
//! | `PATH_TRANSLATED` | `PATH_INFO` below the document root | | a file that does not exist |
//! | `wsgi.*` | streams and flags | `wsgi.url_scheme` alone | Python objects, which the Python host adds |
//! | `apache.*` | Apache's version | | mod_wsgi's own |
//! | `mod_wsgi.*` | names of its processes, its counters | | mod_wsgi's own |
//!
//! Neither has `HTTP_PROXY`, or headers with `_` in their names. Both join two `Cookie` lines by `,
//! `, since Apache does so first.
//!
//! # Untrusted input
//!
//! `HTTP_PROXY` never becomes a header (httpoxy). `REMOTE_USER` is ignored unless it is trusted.
//! `X-Forwarded-*` has no effect in this crate.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "variables and heads come from other programs, and must not panic"
    )
)]

mod environ;
mod error;
mod head;
mod mapping;
mod path;
mod piece_channel;
mod wsgi;

pub use environ::Environ;
pub use error::EnvironError;
pub use head::{Head, HeadError, HeadForm, respond};
pub use mapping::Mapping;
pub use path::PathSource;
pub use wsgi::{StartError, StartResponse, Write, WsgiStyle, call_wsgi, wsgi_style};
