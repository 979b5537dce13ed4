//! Middleware that says what happened, for whoever has to find out at three in the morning.
//!
//! ```rust
//! use vestibule_core::{App, Request, Stack};
//! use vestibule_logging::{AccessLog, ServerTiming, Sink};
//!
//! let (lines, log) = Sink::memory();
//! let app = Stack::new()
//!     .with(move |app| AccessLog::new(app).to(log.clone()))
//!     .with(ServerTiming::new)
//!     .app(|_: Request| async { "hello" });
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let (lines, log) = Sink::memory();
//! # let app = Stack::new().with(move |app| AccessLog::new(app).to(log.clone())).with(ServerTiming::new).app(|_: Request| async { "hello" });
//! let response = app.call(Request::default()).await;
//! assert!(response.headers()["server-timing"].to_str().unwrap().starts_with("app;dur="));
//!
//! assert_eq!(lines.take(), ""); // the body has not ended
//! response.into_body().collect(100).await.unwrap();
//! assert!(lines.take().contains("\"GET / HTTP/1.1\" 200 5"));
//! # }
//! ```
//!
//! | middleware | effect |
//! |---|---|
//! | [`AccessLog`] | one line a request, when the response's body has ended; 499 when the client went away |
//! | [`SetRequestId`] | an id for each request: a UUID of version 7, or that of a trusted proxy |
//! | [`Trace`] | a `tracing` span for each request, in the trace of its `traceparent` |
//! | [`Metrics`] | counts and histograms for Prometheus, at a path or from code |
//! | [`ServerTiming`] | a `Server-Timing` field with the time that the app took, and each layer's own in a timed stack |
//!
//! With the feature `event-limit`, `EventLimit` is a layer of `tracing-subscriber`: a client cannot fill the
//! program's own log with the warnings of the HTTP and TLS libraries.
//!
//! # The line
//!
//! A [`Format`] is `common`, `combined` (the default), `json`, `logfmt`, `short`, or any of
//! Apache's `LogFormat` strings. JSON and logfmt have the names of OpenTelemetry's semantic
//! conventions, and `access-log.schema.json` describes them. In each of them, whatever the client
//! chose is escaped: a line is one line, and printable ASCII.
//!
//! What must not be said is redacted: `Authorization`, `Proxy-Authorization`, `Cookie` and
//! `Set-Cookie` always, other headers, parameters of queries and the last part of addresses by an
//! option. Health checks are skipped, what is usual is sampled, what is slow is marked:
//!
//! ```rust
//! use std::time::Duration;
//! use vestibule_core::Request;
//! use vestibule_logging::{AccessLog, Format};
//!
//! # fn main() -> Result<(), vestibule_logging::FormatError> {
//! let log = AccessLog::new(|_: Request| async { "hello" })
//!     .format(Format::apache(r#"%h "%r" %>s %b %{ms}T"#)?)
//!     .redact_parameter("token")
//!     .truncate_addresses()
//!     .skip(|record| record.uri.path() == "/health")
//!     .slow(Duration::from_secs(1));
//! # let _ = log; Ok(()) }
//! ```
//!
//! # Where it goes
//!
//! A [`Sink`] is standard output or error, a [`LogFile`], the syslog, `tracing` events, any writer,
//! or a closure. None makes a request wait: lines queue up to 1 MiB, and what is dropped is counted
//! and said, at most once a minute. What is queued is written at the end, for which it waits at
//! most 5 seconds.
//!
//! A file may be rotated in each of the usual ways without a line lost or torn: renamed, with
//! [`Sink::reopen`] on SIGHUP or without; copied and truncated, on Linux; or by itself, by size or
//! age. Two limits: a copy that takes longer than 3 seconds may lose what is written after that,
//! and whoever opens the file to read along (`tail -f`) holds it up for as long, once.
//!
//! Several processes may write to the same pipe: a line is written in one piece, however long it is
//! (Linux; see [`WholeLines`], which a program can use for its own lines, too).
//!
//! # What it does not know
//!
//! `%I`, `%O` and `%S` of Apache (bytes with their heads) are `-`: heads are the server's. The
//! user's name is there when a layer attached a
//! [`RemoteUser`](vestibule_core::RemoteUser) to the response, as `vestibule-auth` does.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod access_log;
#[cfg(feature = "event-limit")]
mod event_limit;
mod families;
mod format;
mod metrics;
mod on_demand;
mod process;
mod record;
mod redact;
mod request_id;
mod server_timing;
mod sink;
mod trace;
mod tried_user;
mod uuid;
mod whole_lines;

pub use access_log::AccessLog;
#[cfg(feature = "event-limit")]
pub use event_limit::EventLimit;
pub use families::{MetricError, Samples};
pub use format::{Format, FormatError, Zone, ZoneError};
pub use metrics::{Metrics, Registry};
pub use record::{Record, RecordOutcome};
pub use request_id::{RequestId, SetRequestId};
pub use server_timing::ServerTiming;
pub use sink::{Lines, LogFile, Sink};
pub use trace::{Trace, TraceContext};
pub use vestibule_fields::trace_context::{SpanId, TraceId, TraceParent};
pub use whole_lines::WholeLines;
