//! Checks that apps, middleware and servers keep the contract of Vestibule, as `wsgiref.validate`
//! and `Rack::Lint` do for WSGI and Rack. Each rule is one sentence beside the check that enforces
//! it. The sentences together are the specification, in
//! [SPEC.md](https://github.com/vestibule-rs/vestibule/blob/main/crates/vestibule-lint/SPEC.md).
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
//! | name | purpose |
//! |---|---|
//! | [`Lint::new`] | checks an app or a whole stack from outside: its requests and its responses |
//! | [`Lint::both`] | checks a middleware from outside and inside. It tells the faults of the middleware from those of the app, and checks that extensions, frames, trailers and errors pass |
//! | [`torture`] | drops calls at every await and bodies at every frame |
//! | [`Rule`], [`Violation`], [`Side`] | the broken rule, the observation, and the side that broke it |
//! | [`spec`] | all sentences |
//!
//! Violations become warnings of `tracing`, unless there is a [`sink`](Lint::sink). In tests
//! [`panics`](Lint::panics) is the simplest option; in a browser [`header`](Lint::header) is.
//!
//! A middleware that buffers bodies on purpose declares it by [`buffers`](Lint::buffers).
//! [`allow`](Lint::allow) disables a rule by its id. A lint changes only the header of a response
//! that it was asked for. A body in memory stays in memory, and a file stays a file.

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
