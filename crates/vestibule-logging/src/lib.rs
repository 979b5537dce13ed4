#![doc = include_str!("../README.md")]

mod access_log;
mod combined;
mod record;
mod server_timing;
mod sink;

pub use access_log::AccessLog;
pub use record::{Record, RecordOutcome};
pub use server_timing::ServerTiming;
pub use sink::{Lines, Sink};
