//! `Compression` and `Decompression` as their users meet them.

mod bodies;
mod clients;
mod faults;
mod heads;
mod requests;
mod support;
mod tools;
