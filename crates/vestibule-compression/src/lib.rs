//! Compresses responses and decompresses request bodies, for every app that speaks the contract of
//! [`vestibule-core`](vestibule_core). It is negotiated by RFC 9110, gives others their turn, holds
//! nothing back, and is told by every response that it could have touched.
//!
//! ```rust
//! use vestibule_compression::{Coding, Compression, Decompression};
//! use vestibule_core::{App, IntoResponse, Request, Response};
//!
//! async fn rooms(_: Request) -> Response {
//!     ([("content-type", "application/json")], "{\"free\": true}, ".repeat(1000)).into_response()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = Compression::new(Decompression::new(rooms)).level(Coding::Gzip, 5);
//!
//! let mut request = Request::default();
//! request.headers_mut().insert("accept-encoding", "gzip;q=0.9, identity;q=0.1".parse().unwrap());
//! let response = app.call(request).await;
//! assert_eq!(response.headers()["content-encoding"], "gzip");
//! # }
//! ```
//!
//! | feature | coding | by | default |
//! |---|---|---|---|
//! | `gzip` | gzip, and deflate in its zlib form | flate2 with zlib-rs, in Rust | on |
//! | `brotli` | br | the crate brotli, in Rust, large | |
//! | `zstd` | zstd | the C library | |
//! | `dictionary` | dcz, dcb (RFC 9842) | both of the two above | |
//! | `libdeflate` | gzip and deflate of bodies of up to 32 KiB that are whole in memory | the C library libdeflate, which is quicker | |
//!
//! # What a response looks like after it
//!
//! | field | what becomes of it |
//! |---|---|
//! | `Content-Encoding` | set |
//! | `Vary` | `Accept-Encoding` is added to all that might have been encoded, and to the 304 and 206 that stand for it |
//! | `ETag` | strong: `"v1"` becomes `"v1+gzip"`; weak: kept |
//! | `If-None-Match`, `If-Match` | the app sees `"v1"` again; a 304 answers with the tag that the client has |
//! | `Range` in requests | is for plain bytes; taken off beside an `If-Match` that names encoded ones, or a date in `If-Range` |
//! | `Content-Length` | that of the encoded bytes, where the body was whole in memory; else none |
//! | `Accept-Ranges`, `Content-MD5`, `Digest`, `Content-Digest`, `Repr-Digest` | dropped, in trailers too |
//!
//! # What it costs
//!
//! An encoder's state is several hundred KB, and making one costs more than the compression of a
//! small page. States are kept, two for each thread, and used again; brotli's cannot be. A body
//! is encoded in slices of 32 KiB, with a turn for others in between. Of bodies that are whole in
//! memory a thread encodes one after the other, since the states of several do not stay in a cache.
//! Levels at which a slice takes more than about 2 ms (zstd 11, brotli 6) run on the threads that
//! tokio has for blocking work. A frame costs one allocation. Beside nginx and tower-http:
//! [benches/README.md](https://github.com/vestibule-rs/vestibule/blob/main/benches/README.md).
//!
//! # Memory
//!
//! A client decides how long a stream's encoder lives, so an [`EncoderBudget`] limits what all of them hold: 16 MiB
//! by default. Streams have small windows: 32 KB for gzip, 64 KB for zstd and brotli. When half of the budget is
//! used, new encoders get smaller tables (brotli: level 1). When all of it is used, the encoder that has waited
//! longest for its client, a second at least, is taken away. The rest of its stream is sent in blocks of the same
//! coding that are not compressed. When no encoder waits, the response is sent plain, with its length, its entity
//! tag and its ranges. A client that refuses plain bytes (`identity;q=0`) gets such blocks from the start.
//!
//! Bodies of known length above [`Compression::max_size`] (64 MiB) are sent plain. Bodies of at most 256 KiB that
//! are whole in memory are encoded before a client can stop them, and are not counted.
//!
//! # Bodies that are read while they are written
//!
//! Event streams, NDJSON, gRPC-web and `multipart/x-mixed-replace` are flushed after each frame.
//! All others are flushed when the app has nothing more ready. Nothing is held back while somebody
//! waits.
//!
//! # Dictionaries
//!
//! With the feature `dictionary`, `Compression::dictionary` encodes against bytes that a client has
//! already (RFC 9842): the version of a bundle before this one, or what the pages of a site have in
//! common. A new version of a bundle is then as large as its difference to the old one.
//!
//! # Bombs
//!
//! [`Decompression`] counts what comes out, as the app reads: more than 64 MiB, or after the first
//! MiB more than 100 bytes for each byte of the wire, is a 413. A zstd window of more than 8 MB is
//! one too. One of brotli may have its 16 MB, once 2 MB of the body have shown that it is no bomb.
//! Ten kilobytes of one letter are no bomb, so small bodies may be as monotonous as they like.
//!
//! # Secrets
//!
//! Compression and secrets do not mix: a body that holds a secret and what an attacker chose tells
//! the secret by its size (BREACH). [`Uncompressed`] in a response's extensions keeps it plain.
//! [`Compression::padding`] adds a random number of bytes that decoders skip, which makes the
//! attack longer, not impossible.
//!
//! # Where it stands
//!
//! Outside of what computes entity tags, of caches, and of error pages; inside of nothing in
//! particular. `Stack::check` says so when the order is another.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(feature = "gzip", feature = "brotli", feature = "zstd")))]
compile_error!("turn on a coding: one of the features `gzip`, `brotli` and `zstd`");

mod body;
mod budget;
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

pub use budget::EncoderBudget;
pub use coding::Coding;
pub use compression::{Compression, Uncompressed};
pub use decompression::{Decompression, DecompressionError};
#[cfg(feature = "dictionary")]
pub use dictionary::{Dictionary, InvalidDictionary};
pub use predicate::{And, ContentType, Not, Or, Predicate, Types};

/// The most that is encoded in one poll.
pub(crate) const SLICE: usize = 32 * 1024;
