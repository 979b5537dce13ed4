//! Compresses responses and decompresses request bodies, for every app of the contract of
//! [`vestibule-core`](vestibule_core). It negotiates by RFC 9110, yields to other tasks, and delays no
//! bytes. Every response that it could have encoded says so in `Vary`.
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
//! # Fields of the response
//!
//! | field | change |
//! |---|---|
//! | `Content-Encoding` | set |
//! | `Vary` | `Accept-Encoding` is added to each response that might have been encoded, and to its 304 and 206 |
//! | `ETag` | strong: `"v1"` becomes `"v1+gzip"`; weak: unchanged |
//! | `If-None-Match`, `If-Match` | the app sees `"v1"` again; a 304 has the tag that the client sent |
//! | `Range` in requests | applies to plain bytes; removed beside an `If-Match` that names encoded ones, or a date in `If-Range` |
//! | `Content-Length` | the length of the encoded bytes for a body that was whole in memory; else removed |
//! | `Accept-Ranges`, `Content-MD5`, `Digest`, `Content-Digest`, `Repr-Digest` | removed, also in trailers |
//!
//! # Cost
//!
//! The state of an encoder takes several hundred KB, and creating it costs more than the compression
//! of a small page. Each thread keeps two states for reuse; states of brotli cannot be reused. A body
//! is encoded in slices of 32 KiB, and the task yields between them. A thread encodes bodies that are
//! whole in memory one after the other, because several states do not fit a cache. Levels whose slices
//! take more than about 2 ms (zstd 11, brotli 6) run on tokio's threads for blocking work. A frame
//! costs one allocation. For figures beside nginx and tower-http see
//! [benches/README.md](https://github.com/vestibule-rs/vestibule/blob/main/benches/README.md).
//!
//! # Memory
//!
//! A client decides how long the encoder of a stream lives. So an [`EncoderBudget`] limits the memory
//! of all of them, to 16 MiB by default. Streams have small windows: 32 KB for gzip, 64 KB for zstd and
//! brotli. When half of the budget is used, new encoders get smaller tables (brotli: level 1). When all
//! of it is used, the budget takes the encoder that has waited longest for its client, at least a
//! second. The rest of that stream is sent in uncompressed blocks of the same coding. When no encoder
//! waits, the response is sent plain, with its length, its entity tag and its ranges. A client that
//! refuses plain bytes (`identity;q=0`) gets uncompressed blocks from the start.
//!
//! Bodies of known length above [`Compression::max_size`] (64 MiB) are sent plain. Bodies of at most
//! 256 KiB that are whole in memory are encoded before the client can delay them, and do not count.
//!
//! # Streams that clients read at once
//!
//! Event streams, NDJSON, gRPC-web and `multipart/x-mixed-replace` are flushed after each frame. All
//! other streams are flushed when the app has no more bytes ready. So no byte waits in the encoder
//! while a client waits for it.
//!
//! # Dictionaries
//!
//! With the feature `dictionary`, `Compression::dictionary` encodes against bytes that a client
//! already has (RFC 9842): the previous version of a bundle, or the common parts of a site's pages. A
//! new version of a bundle is then as large as its difference to the old one.
//!
//! # Bombs
//!
//! [`Decompression`] counts the decoded bytes while the app reads. More than 64 MiB is a 413, and so
//! is, after the first MiB, more than 100 bytes for each received byte. A zstd window of more than
//! 8 MB is a 413, too. brotli may use its window of 16 MB after 2 MB of the body have shown that it is
//! not a bomb. Small bodies may have any ratio.
//!
//! # Secrets
//!
//! The size of a compressed body reveals a secret in it when the body also holds text of an attacker
//! (BREACH). [`Uncompressed`] in a response's extensions keeps the response plain.
//! [`Compression::padding`] adds a random number of bytes that decoders skip. This makes the attack
//! longer, but not impossible.
//!
//! # Position in a stack
//!
//! Compression belongs outside of layers that compute entity tags, of caches and of error pages.
//! `Stack::check` reports another order.

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

/// The maximum number of bytes that one poll encodes.
pub(crate) const SLICE: usize = 32 * 1024;
