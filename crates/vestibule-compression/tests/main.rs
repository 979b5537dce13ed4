//! `Compression` and `Decompression` as their users meet them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bodies;
mod clients;
mod dictionaries;
mod faults;
mod heads;
mod memory;
mod requests;
mod support;
mod tools;
