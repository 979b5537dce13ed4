//! One decoder for all codings.

use super::CodecError;
use crate::Coding;

#[cfg(feature = "brotli")]
use super::brotli::BrotliDecoder;
#[cfg(feature = "gzip")]
use super::gzip::GzipDecoder;
#[cfg(feature = "zstd")]
use super::zstd::ZstdDecoder;

/// The progress of one step of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of bytes read.
    pub(crate) read: usize,
    /// Whether the stream, or one frame or member of it, has ended.
    pub(crate) is_end: bool,
    /// Whether more output may come without more input.
    pub(crate) has_more: bool,
}

/// A decoder for one stream.
pub(crate) enum Decoder {
    #[cfg(feature = "gzip")]
    Gzip(GzipDecoder),
    #[cfg(feature = "brotli")]
    Brotli(BrotliDecoder),
    #[cfg(feature = "zstd")]
    Zstd(ZstdDecoder),
}

impl Decoder {
    /// Creates a decoder for a body with at most `max_ratio` decoded bytes for each byte.
    pub(crate) fn new(coding: Coding, max_ratio: u64) -> Result<Self, CodecError> {
        #[cfg(not(feature = "brotli"))]
        let _ = max_ratio;
        match coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip | Coding::Deflate => Ok(Self::Gzip(GzipDecoder::new(coding))),
            #[cfg(feature = "brotli")]
            Coding::Brotli => Ok(Self::Brotli(BrotliDecoder::new(max_ratio))),
            #[cfg(feature = "zstd")]
            Coding::Zstd => ZstdDecoder::new().map(Self::Zstd),
        }
    }

    /// Decodes into the spare capacity of `out`: until it is full, `data` is used up, or an end is reached.
    pub(crate) fn decode(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, CodecError> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(decoder) => decoder.decode(data, out),
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => decoder.decode(data, out),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.decode(data, out),
        }
    }
}
