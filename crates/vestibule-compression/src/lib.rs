#![doc = include_str!("../README.md")]

#[cfg(not(any(feature = "gzip", feature = "brotli", feature = "zstd")))]
compile_error!("turn on a coding: one of the features `gzip`, `brotli` and `zstd`");

mod body;
mod codec;
mod coding;
mod compression;
mod decoded;
mod decompression;
#[cfg(feature = "dictionary")]
mod dictionary;
mod negotiation;
mod peek;
mod policy;
mod predicate;
mod turn;
mod validators;

pub use coding::Coding;
pub use compression::{Compression, Uncompressed};
pub use decompression::{Decompression, DecompressionError};
#[cfg(feature = "dictionary")]
pub use dictionary::{Dictionary, InvalidDictionary};
pub use predicate::{And, ContentType, Not, Or, Predicate, Types};

/// The most that is encoded in one poll.
pub(crate) const SLICE: usize = 32 * 1024;
