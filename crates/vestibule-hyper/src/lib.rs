//! Serves a [Vestibule](vestibule_core) app over HTTP/1.1 and HTTP/2, in the clear and by TLS, on
//! TCP and unix sockets, with [hyper](https://hyper.rs). Every limit is on from the start, and none
//! that an honest client can trip.
//!
//! ```rust,no_run
//! use vestibule_core::Request;
//!
//! async fn hello(_: Request) -> &'static str {
//!     "Hello!"
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::io::Result<()> {
//!     vestibule_hyper::serve("127.0.0.1:8080", hello).await
//! }
//! ```
//!
//! [`serve`] ends at SIGINT or SIGTERM: it stops accepting, finishes what is in flight, cuts what
//! is left after 30 s, and says how much that was. A second signal ends it at once. [`Server`] has
//! the options, and [`Bound::run_until`] another end. A WebSocket is in flight until its app drops it;
//! [`Shutdown`] tells the app when to say goodbye.
//!
//! ```rust
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # async fn app(_: vestibule_core::Request) -> &'static str { "hello" }
//! use std::time::Duration;
//! use vestibule_hyper::Server;
//!
//! let server = Server::new(app)
//!     .drain_timeout(Duration::from_secs(5))
//!     .bind("127.0.0.1:0").await?
//!     .bind("[::1]:0").await?;
//! assert_eq!(server.addresses().count(), 2);
//! # let drained =
//! server.run_until(std::future::ready(())).await;
//! # assert_eq!(drained.aborted, 0);
//! # Ok(()) }
//! ```
//!
//! # Listening
//!
//! An address is `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `unix:/run/app.sock` or, on Linux,
//! `unix:@name` for an abstract socket; or it is a listener that is there already. [`Bind`] has what can be said of a socket: its backlog, a shared
//! port, the mode of a unix socket. A stale unix socket is replaced, and the file goes when the
//! server does. HTTP/2 without TLS is for clients that know it beforehand. Over TLS it is what was
//! agreed on that counts, not what the first bytes look like.
//!
//! | feature | adds |
//! |---|---|
//! | `tls` | `Bind::tls` and `Tls`: HTTPS by rustls, certificates by name and kind of key, reloaded at SIGHUP and when their files change, client certificates and revocation lists, warnings of what visitors will refuse; `TlsInfo` in the extensions of requests |
//! | `tls-aws-lc-rs` | `Crypto::AwsLcRs`: AWS-LC in place of ring, which is the default |
//! | `tls-self-signed` | `Tls::self_signed`: a certificate for development |
//! | `handover` | `Server::handover`: a restart that hands the listening sockets over, at SIGUSR2 |
//! | `socket-activation` | `Bind::inherited`: sockets from systemd |
//!
//! Certificates of an ACME authority are another program's business (certbot, lego): the files that
//! it writes are read again by themselves.
//!
//! Behind a load balancer, [`proxy_protocol`](Server::proxy_protocol) says which peers speak for
//! others. [`workers`](Server::workers) serves on threads that each have a runtime of their own,
//! instead of the runtime that is there. A service manager that set `NOTIFY_SOCKET` is told when
//! the server is ready and when it stops.
//!
//! # Limits
//!
//! | what | limit | then | option |
//! |---|---|---|---|
//! | connections | 4/5 of (open files - 100) | more wait in the kernel's queue | [`max_connections`](Server::max_connections) |
//! | connections of one address | none | closed at once | [`max_per_address`](Server::max_per_address) |
//! | first bytes of a connection | 10 s | closed | [`first_byte_timeout`](Server::first_byte_timeout) |
//! | head of an HTTP/1 request | 10 s | closed | [`header_timeout`](Server::header_timeout) |
//! | | 32 KiB | 431 | [`max_header_bytes`](Server::max_header_bytes) |
//! | | 100 fields | 431 | [`max_headers`](Server::max_headers) |
//! | | target of 8 KiB | 414 | |
//! | header list of an HTTP/2 request | 32 KiB, and 32 bytes for each of 100 fields | 431, or the stream is reset | the two above |
//! | open streams of an HTTP/2 connection | 100 | refused | [`max_streams`](Server::max_streams) |
//! | sign of life on HTTP/2 | every 60 s, within 20 s | closed | [`ping_interval`](Server::ping_interval), [`ping_timeout`](Server::ping_timeout) |
//! | sign of life on TCP | after 60 s of silence, within 60 s (Linux) | reset | [`tcp_keep_alive`](Server::tcp_keep_alive) |
//! | idleness between requests | 75 s | closed | [`idle_timeout`](Server::idle_timeout) |
//! | age of a connection | none | closed after the next answer; on HTTP/2 after the open streams | [`max_connection_age`](Server::max_connection_age) |
//! | requests of a connection | none | closed after the answer | [`max_requests`](Server::max_requests) |
//! | pause in a request's body that an app waits for | 30 s | the body ends in an error; 408 | [`body_timeout`](Server::body_timeout) |
//! | its rate, after 10 s of waiting | 500 B/s | the same | [`min_body_rate`](Server::min_body_rate) |
//! | request body that the app left unread | 64 KiB in 1 s are skipped | closed after the answer | |
//! | the rest of it, while the client reads that answer | 30 s in all, 5 s of silence, 1 GiB | closed | |
//! | client that reads nothing of its response | 30 s | reset | [`write_timeout`](Server::write_timeout) |
//! | response waiting in memory for a slow reader | 32 KiB, or one piece of its body; 64 KiB on HTTP/2; and 128 KiB in the kernel (Linux) | the body waits | |
//! | buffers of an HTTP/1 connection that is idle | 1 s | given back: it takes some 3 KiB then | |
//! | resets of an HTTP/2 connection | 20 that wait, 1,024 that the client brought about | closed | |
//! | requests of it that the client ends | 1,024 more than were answered | closed | |
//! | frames of it that are read before others have a turn | 64, and 64 KiB | the rest waits | |
//! | HTTP/2 frames that carry nothing | hyper's budgets | closed | |
//! | drain | 30 s in all | cut and counted after 29 s | [`drain_timeout`](Server::drain_timeout) |
//! | in it, kept HTTP/1 connections are still read | 1 s | closed | [`lame_duck`](Server::lame_duck) |
//!
//! [`strict`](Server::strict) is a tighter set. How long an app takes to answer is not limited
//! here: that is for a middleware, which can answer for it. An upgraded connection has no limit but
//! the signs of life: a WebSocket whose client has vanished ends with an error.
//!
//! # Behind a load balancer
//!
//! A balancer keeps connections to the server for its next requests. It must close an idle one before the server does:
//! otherwise it sends a request on a connection that is being closed, and answers its client with a 502.
//! [`idle_timeout`](Server::idle_timeout) is 75 s by default, longer than the 60 s of many balancers. A balancer of TCP
//! only passes the client's connection on. There the server must be the first, so that the client learns of the close.
//!
//! | balancer | closes an idle connection to the server after | set `idle_timeout` to |
//! |---|---|---|
//! | AWS Application Load Balancer | 60 s by default | 75 s; more than its own setting |
//! | AWS Network Load Balancer, which is TCP | 350 s by default | 75 s; less than its own setting |
//! | Amazon CloudFront | 5 s by default | 75 s |
//! | Azure Load Balancer, which is TCP | 4 minutes by default, and without a word | 75 s; less than its own setting |
//! | Cloudflare | 900 s | 920 s |
//! | Envoy | 1 hour by default (`idle_timeout` of the cluster) | 65 minutes, or lower Envoy's |
//! | Google Cloud external Application Load Balancer | 600 s, which is fixed | 620 s |
//! | HAProxy | 5 s by default (`pool-purge-delay`; half of the unused ones at a time) | 75 s |
//! | nginx, with `keepalive` in `upstream` | 60 s by default (`keepalive_timeout` there) | 75 s |
//! | Oracle Cloud Load Balancer | 300 s | 320 s |
//! | Traefik | 90 s by default (`forwardingTimeouts.idleConnTimeout`) | 105 s |
//!
//! A client of HTTP/2 or gRPC keeps one connection for as long as it can, so a balancer of TCP leaves it at one server:
//! [`max_connection_age`](Server::max_connection_age) makes it choose again from time to time.
//!
//! The figures are those of the makers' manuals in 2026; HAProxy's is of version 2.6.
//!
//! # The beginning, a restart, and the end
//!
//! There are no hooks, because there is nothing that they could do and code in order cannot. `bind`
//! has opened the sockets when it returns, and connections wait in their queues; `run` says that
//! the server is ready, and serves; when it has returned the last response is out.
//!
//! ```rust
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # async fn app(_: vestibule_core::Request) -> &'static str { "hello" }
//! # async fn warm_up() {} async fn say_goodbye() {} async fn stop() {}
//! use vestibule_hyper::Server;
//!
//! let server = Server::new(app).bind("127.0.0.1:0").await?;
//! warm_up().await; // at start: nobody is refused, and nobody is served yet
//! server.run_until(stop()).await; // or `run`, which listens to signals
//! say_goodbye().await; // at the end
//! # Ok(()) }
//! ```
//!
//! A restart without a gap goes by handing over: with the feature `handover`, `Server::handover`
//! makes SIGUSR2 start the program again and give it the listening sockets. Old and new process
//! accept from the same queue until the new one serves; then the old one drains. If the new one
//! fails to start, nothing has happened. Twenty restarts under load refuse and reset no connection;
//! that is a test. Sockets of a service manager (`Bind::inherited`) refuse nobody either, but
//! between the end of one process and the beginning of the next the queue waits. A process that
//! must not change its number, such as the first of a container, is restarted in that way, or by
//! starting another container.
//!
//! [`ready`] is an app for a load balancer: 200, and 503 as soon as the server is about to end.
//! [`drain_delay`](Server::drain_delay) leaves time between the two.
//!
//! # What stands between the wire and the app
//!
//! A guard refuses, with a 400 and the end of the connection, what two servers in a row could read
//! as two different requests: no `Host` or two, a `Host` that is none (`a@b/c`, or empty), a target
//! that is not for its method, `Transfer-Encoding` twice. Apps find in `Host` what the request is
//! for: the authority of an absolute target, or HTTP/2's `:authority`, wins. What the guard
//! refuses, [`refusal`] answers, in whatever log [`Server::refused`] puts around it; what the
//! parser below refuses is answered by the parser, and no app can see it. Both are events of level
//! info, with the peer's address and the reason; at most one of each a second, which says how many
//! more there were (`silent`). An expectation other than `100-continue` is ignored, as RFC 9110
//! (section 10.1.1) allows. Three things are settled before the guard can see them: a
//! `Content-Length` beside a `Transfer-Encoding` is dropped, and the connection closed after the
//! answer (RFC 9112, section 6.3); a fragment in the target is cut off; a line may end in a bare LF
//! (RFC 9112, section 2.2).
//!
//! A request carries [`Peer`](vestibule_core::Peer) in its extensions (with the user and process at
//! the other end of a unix socket), [`Scheme`](vestibule_core::Scheme) when it came by HTTPS, and
//! what `hyper::upgrade::on` needs, where its connection can be upgraded. A body that breaks off is
//! a [`RequestBodyError`]. [`Shutdown`] tells an app that answers for long that the server is about
//! to end. Request trailers are kept, without those that would frame a message.
//!
//! A client that goes takes the future of its request along. One that only closes its side of an
//! HTTP/1 connection when it has asked (`printf 'GET / HTTP/1.0\r\n\r\n' | nc -N localhost 80`)
//! looks the same at first, so an app has half a second to begin its answer before that is taken
//! for the end; whoever takes the answer gets all of it.
//!
//! An app's panic is a 500. Its response is held to its head: 1xx other than an agreed 101 are a
//! 500; 204, 205, 304 and answers to HEAD have no bytes; `Transfer-Encoding` is the server's to
//! set; a body that is shorter or longer than its `Content-Length`, or that fails or panics, is cut
//! so that no client takes it for whole. These are logged, under the target `vestibule`, because no
//! response can carry them. A failure that a response does carry is left to the access log.
//!
//! Response trailers go out on HTTP/2, and on HTTP/1.1 when the client sends `TE: trailers` and the
//! app names them in `Trailer`.
//!
//! Interim responses (103 Early Hints, or 100 from an app) are absent: hyper 1.12's server has no
//! way to write one. It sends 100 itself when an app reads a body whose client waits for that, and
//! turns any other 1xx into an error; the sender of h2 could, and hyper keeps it to itself. So no
//! request carries a capability for them.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod accept;
#[cfg(feature = "socket-activation")]
mod activation;
mod age;
mod bell;
mod connection;
mod counts;
mod descriptors;
mod detect;
mod drain;
mod guard;
#[cfg(all(feature = "handover", unix))]
mod handover;
mod http1;
mod http2;
mod incoming;
mod io;
mod link;
mod listen;
#[cfg(unix)]
mod notify;
mod outgoing;
mod per_address;
mod pieces;
#[cfg(feature = "tls")]
mod plain_http;
mod proxy;
mod ready;
mod server;
mod tally;
#[cfg(feature = "tls")]
mod tls;
mod unparsed;
mod vitals;

#[cfg(all(unix, feature = "socket-activation"))]
pub use activation::Sockets;
pub use counts::ConnectionCounts;
pub use drain::{Drained, Shutdown};
pub use guard::{Refused, refusal};
#[cfg(all(feature = "handover", unix))]
pub use handover::is_restart;
pub use incoming::RequestBodyError;
pub use listen::{Bind, BindError};
#[cfg(unix)]
pub use notify::notify;
pub use ready::ready;
pub use server::{Bound, Server, serve};
#[cfg(feature = "tls")]
pub use tls::{AltName, Crypto, Tls, TlsError, TlsInfo, TlsVersion, TlsWarning};
