//! Tests apps and middleware without a socket: text in, text out.
//!
//! ```rust
//! use vestibule_core::Request;
//! use vestibule_test::ask;
//!
//! async fn hello(_: Request) -> &'static str {
//!     "Hello!"
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! assert_eq!(ask(&hello, "GET / HTTP/1.1\nhost: example.org").await, "\
//! HTTP/1.1 200 OK
//! content-type: text/plain; charset=utf-8
//!
//! Hello!");
//! # }
//! ```
//!
//! | where | what |
//! |---|---|
//! | [`ask`] | a request as text; the answer as text, for a snapshot |
//! | [`answer`], [`Answer`] | the answer in its parts: status, headers, body, trailers, and the cause that a log would see |
//! | [`Client`] | keeps cookies, follows redirects, reads streaming bodies frame by frame |
//! | [`request`] | a request from text, to be changed and sent by hand |
//! | [`battery`], [`Battery`] | the cases that every middleware has to pass |
//!
//! Nothing here sleeps or knows the time, so `#[tokio::test(start_paused = true)]` works as it
//! should.
//!
//! # The battery
//!
//! One call runs a middleware through the common cases, each under
//! [`Lint`](https://docs.rs/vestibule-lint): HEAD, 204 and 304, streaming bodies and their
//! trailers, clients that go away at each await, extensions, uploads, upgrades, panics, a hundred
//! calls at once, hostile headers.
//!
//! ```rust
//! use vestibule_core::CatchPanic;
//! use vestibule_test::{Battery, battery};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! battery(CatchPanic::new).await;
//!
//! // What a middleware does on purpose, it says.
//! Battery::new(CatchPanic::new)
//!     .header("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
//!     .allows_status(405)
//!     .run()
//!     .await;
//! # }
//! ```
//!
//! In the crate of a middleware this is a dev-dependency and one line in `tests/main.rs`:
//!
//! ```toml
//! [dev-dependencies]
//! tokio = { version = "1", features = ["macros", "rt"] }
//! vestibule-test = "0.1"
//! ```
//!
//! ```rust
//! # use vestibule_core::CatchPanic as Compression;
//! #[tokio::test]
//! async fn passes_the_battery() {
//!     vestibule_test::battery(Compression::new).await;
//! }
//! # fn main() {}
//! ```
//!
//! | a middleware that | says |
//! |---|---|
//! | answers requests itself: auth, rate limits | [`header`](Battery::header), with what it takes to get past it |
//! | refuses some methods or sizes | [`allows_status`](Battery::allows_status) |
//! | reads bodies whole, on purpose | [`buffers`](Battery::buffers) |
//! | gives other bytes than the app, unasked | [`changes_body`](Battery::changes_body) |
//! | talks to a store or another server | [`real_time`](Battery::real_time) |
//! | breaks a rule, for a reason | [`allows_rule`](Battery::allows_rule), or [`skip`](Battery::skip) for a case |
//!
//! A stack is tested as a whole by `battery(move |app| stack.app(app))`, and a test of one's own is
//! under the rules by `Client::new(Lint::new(app).panics())`. A failure names the case, what it
//! says, what was seen, and the rules that the middleware broke on the way, as sentences.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod battery;
mod client;
mod text;

pub use answer::Answer;
pub use battery::{Battery, Report, battery};
pub use client::{Client, Piece, Reply, answer, ask};
pub use text::request;
