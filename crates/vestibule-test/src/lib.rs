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
//! | name | purpose |
//! |---|---|
//! | [`ask`] | sends a request as text, and returns the response as text, for a snapshot |
//! | [`answer`], [`Answer`] | returns the response in its parts: status, headers, body, trailers, and the cause that a log would have |
//! | [`Client`] | stores cookies, follows redirects, reads streaming bodies frame by frame |
//! | [`request`] | creates a request from text, to change and send it |
//! | [`battery`], [`Battery`] | the test cases for every middleware |
//!
//! This crate does not sleep or read the clock, so `#[tokio::test(start_paused = true)]` works as
//! expected.
//!
//! # The battery
//!
//! One call runs a middleware through the common cases, each under
//! [`Lint`](https://docs.rs/vestibule-lint). The cases cover HEAD, 204 and 304, streaming bodies
//! with trailers, clients that close the connection at each await, extensions and uploads. They
//! also cover upgrades, panics, a hundred concurrent calls and hostile headers.
//!
//! ```rust
//! use vestibule_core::CatchPanic;
//! use vestibule_test::{Battery, battery};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! battery(CatchPanic::new).await;
//!
//! // Declare the intended exceptions.
//! Battery::new(CatchPanic::new)
//!     .header("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
//!     .allows_status(405)
//!     .run()
//!     .await;
//! # }
//! ```
//!
//! In the crate of a middleware, add a dev-dependency and one test to `tests/main.rs`:
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
//! | the middleware | declare |
//! |---|---|
//! | answers requests itself: auth, rate limits | [`header`](Battery::header), with a header that it accepts |
//! | refuses some methods or sizes | [`allows_status`](Battery::allows_status) |
//! | buffers bodies on purpose | [`buffers`](Battery::buffers) |
//! | changes the bytes of the app | [`changes_body`](Battery::changes_body) |
//! | uses a database or another server | [`real_time`](Battery::real_time) |
//! | breaks a rule for a reason | [`allows_rule`](Battery::allows_rule), or [`skip`](Battery::skip) for a case |
//!
//! Test a whole stack by `battery(move |app| stack.app(app))`. Apply the rules to your own tests by
//! `Client::new(Lint::new(app).panics())`. The message of a failure names the case, its sentence,
//! the observed fault, and the rules that the middleware broke, as sentences.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod battery;
mod client;
mod text;

pub use answer::Answer;
pub use battery::{Battery, Report, battery};
pub use client::{Client, Piece, Reply, answer, ask};
pub use text::request;
