//! CGI variables and HTTP requests: one mapping, both ways, for everything that stands under a web
//! server or above a WSGI app.
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
//! | where | what |
//! |---|---|
//! | [`Environ`] | variables as a typed map; a request as variables by `Environ::from` |
//! | [`Mapping`] | variables as a request |
//! | [`respond`], [`HeadForm`] | a response as the bytes that CGI, FastCGI, SCGI and uwsgi want |
//! | [`Head`] | the head of a response that a program wrote |
//! | [`wsgi_style`], [`call_wsgi`] | WSGI's own form: a callable of two arguments as an app, and the reverse |
//!
//! # Which path
//!
//! Web servers fill `SCRIPT_NAME`, `PATH_INFO` and `REQUEST_URI` each in their own way: nginx
//! decodes, merges slashes and resolves dots; Apache leaves `%2F` alone or sends the whole path as
//! `SCRIPT_NAME`. The path of the request is that of `REQUEST_URI` as long as all agree on what it
//! means, so `%2F`, `//` and `;` arrive as they were sent. When they do not, the web server has
//! rewritten the URL, and its word counts. [`PathSource`] and [`Mapping::mount`] say otherwise.
//!
//! # Beside mod_wsgi
//!
//! A test sends one list of requests through Apache twice: to a Python app under mod_wsgi 4.9, and
//! to an app that makes an [`Environ`] of what came by FastCGI. Field by field they are the same,
//! but for these:
//!
//! | field | mod_wsgi | ours | why |
//! |---|---|---|---|
//! | `PATH_INFO` | `/a%2Fb`; `/a/b` of `/a//b`; `/y` of `/x/../y` | `/a/b`; `/a//b`; `/x/../y` | Apache resolves the path and leaves `%2F` escaped, so that it cannot be told from `%252F`; ours is the path of the client, decoded once. What may stand in a path is for the app to say: `PathView` of `vestibule-core` refuses `..` and `//` |
//! | `RAW_URI` | | the target as it came | gunicorn's name for `REQUEST_URI`, for apps that look there |
//! | `HTTP_CONNECTION` | `close` | | of the connection between client and Apache (RFC 9110 section 7.6.1) |
//! | `HTTP_TRANSFER_ENCODING` | `chunked` | | the same; the body has no chunks any more |
//! | `CONTENT_LENGTH` | none for a chunked body | the length, when the body was small | Apache's mod_proxy_fcgi has counted it |
//! | `SERVER_SOFTWARE` | Apache and its modules | `vestibule/0.1.0` | whoever makes the environ (RFC 3875 section 4.1.17) |
//! | `SERVER_ADMIN` | an address | | of Apache's configuration; none of CGI's variables |
//! | `SERVER_SIGNATURE` | a line for error pages | | the same |
//! | `REMOTE_PORT` | | | the two requests came by two connections |
//! | `DOCUMENT_ROOT` | a directory | | files are none of a WSGI app's; what came by a gateway is in [`Environ::of`] |
//! | `CONTEXT_DOCUMENT_ROOT` | a directory | | the same |
//! | `CONTEXT_PREFIX` | | | the same |
//! | `SCRIPT_FILENAME` | the app's file | | the app is in this process |
//! | `PATH_TRANSLATED` | `PATH_INFO` below the document root | | a file that is not there |
//! | `wsgi.*` | streams and flags | `wsgi.url_scheme` alone | objects of Python, which its host adds |
//! | `apache.*` | Apache's version | | mod_wsgi's own |
//! | `mod_wsgi.*` | names of its processes, its counters | | mod_wsgi's own |
//!
//! Neither has `HTTP_PROXY`, or headers with `_` in their names. Two `Cookie` lines are joined by
//! `, ` in both: Apache has done it before either sees them.
//!
//! # What is not believed
//!
//! `HTTP_PROXY` never becomes a header (httpoxy), `REMOTE_USER` is ignored unless it is trusted,
//! and `X-Forwarded-*` change nothing here.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "variables and heads come from other programs, and none may panic"
    )
)]

mod environ;
mod error;
mod head;
mod mapping;
mod path;
mod slot;
mod wsgi;

pub use environ::Environ;
pub use error::EnvironError;
pub use head::{Head, HeadError, HeadForm, respond};
pub use mapping::Mapping;
pub use path::PathSource;
pub use wsgi::{StartError, StartResponse, Write, WsgiStyle, call_wsgi, wsgi_style};
