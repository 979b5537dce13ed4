//! Checks that apps, middleware and servers keep the contract of Vestibule, as `wsgiref.validate`
//! and `Rack::Lint` do for theirs. Each rule is one sentence beside the check that enforces it; the
//! sentences together are the specification, in [SPEC.md](https://github.com/vestibule-rs/vestibule/blob/main/crates/vestibule-lint/SPEC.md).
//!
//! ```rust
//! use http::StatusCode;
//! use vestibule_core::{App, Request};
//! use vestibule_lint::Lint;
//!
//! async fn gone(_: Request) -> StatusCode {
//!     StatusCode::MOVED_PERMANENTLY
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = Lint::new(gone).header();
//! let response = app.call(Request::default()).await;
//! assert_eq!(response.headers()["vestibule-lint"], "location-with-30x");
//! # }
//! ```
//!
//! | where | what |
//! |---|---|
//! | [`Lint::new`] | around an app, or around a whole stack: was it called, and did it answer, as the rules say? |
//! | [`Lint::both`] | one half outside of a middleware and one inside: was it the middleware or the app? And what became of extensions, frames, trailers and errors in between? |
//! | [`torture`] | drops calls at every await and bodies at every frame |
//! | [`Rule`], [`Violation`], [`Side`] | what was broken, how, and by whom |
//! | [`spec`] | all sentences |
//!
//! Violations are warnings of `tracing`, unless there is a [`sink`](Lint::sink). In tests
//! [`panics`](Lint::panics) is the shortest way; in a browser [`header`](Lint::header) is.
//!
//! A middleware that reads bodies whole on purpose says so with [`buffers`](Lint::buffers), and a
//! rule that has to be broken is [`allow`](Lint::allow)ed by its id. A lint changes nothing of a
//! response but the header that it was asked for; watched bodies are what they were: whole ones
//! stay whole, files stay files.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod exchange;
mod flow;
mod grammar;
mod lint;
mod request;
mod response;
mod rule;
mod spec;
mod torture;
mod violation;
mod waker;

pub use lint::Lint;
pub use rule::Rule;
pub use spec::spec;
pub use torture::{Torture, torture};
pub use violation::{Side, Violation};
