//! The logs as an operator meets them: hostile requests, real files, real tools.

mod lines;
mod sinks;
mod support;
