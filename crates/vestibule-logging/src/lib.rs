#![doc = include_str!("../README.md")]

mod access_log;
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
mod uuid;

pub use access_log::AccessLog;
pub use format::{Format, FormatError};
pub use metrics::{Metrics, Registry};
pub use record::{Record, RecordOutcome};
pub use request_id::{RequestId, SetRequestId};
pub use server_timing::ServerTiming;
pub use sink::{Lines, LogFile, Sink};
pub use trace::{Trace, TraceContext};
pub use vestibule_fields::trace_context::{SpanId, TraceId, TraceParent};
