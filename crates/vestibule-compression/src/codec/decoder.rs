//! One decoder for all codings.

use super::CodecError;
use crate::Coding;

#[cfg(feature = "brotli")]
use super::brotli::BrotliDecoder;
#[cfg(feature = "gzip")]
use super::gzip::GzipDecoder;
#[cfg(feature = "zstd")]
use super::zstd::ZstdDecoder;

/// What one step of a decoder did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many bytes it used up.
    pub(crate) read: usize,
    /// The stream, or one frame or member of it, has ended.
    pub(crate) is_end: bool,
    /// More may come out without more to read.
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
    /// A decoder for a body of which no more than `max_ratio` bytes may come out of each.
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

    /// Decodes into the room that `out` has: until it is full, `data` is used up, or an end is reached.
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
