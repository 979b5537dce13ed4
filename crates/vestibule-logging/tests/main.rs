//! The logs as an operator meets them: hostile requests, real files, real tools.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analysers;
mod battery;
mod clients;
mod lines;
mod meaning;
mod metrics;
mod sinks;
mod support;
mod zones;
