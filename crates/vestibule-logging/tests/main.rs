//! The logs as an operator meets them: hostile requests, real files, real tools.

mod lines;
mod metrics;
mod sinks;
mod support;
