//! Encoders and decoders: bytes in, bytes out, no bodies and no headers.

#[cfg(feature = "brotli")]
mod brotli;
#[cfg(feature = "gzip")]
mod check;
mod encoder;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "libdeflate")]
mod libdeflate;
mod pool;
mod stored;
#[cfg(feature = "zstd")]
mod zstd;

mod decoder;

use std::error::Error;
use std::fmt;

use bytes::Bytes;

#[cfg(feature = "dictionary")]
pub(crate) use brotli::brotli_with_dictionary;
pub(crate) use decoder::Decoder;
pub(crate) use encoder::{Encoder, Size, Spec};
pub(crate) use stored::BLOCK;

#[cfg(feature = "dictionary")]
pub(crate) use zstd::zstd_with_dictionary;

/// Encodes a whole body at once.
pub(crate) fn encode(spec: Spec, data: &[u8]) -> Result<Bytes, CodecError> {
    #[cfg(feature = "libdeflate")]
    if let Some(coded) = libdeflate::encode(&spec, data) {
        return coded;
    }
    let mut encoder = Encoder::new(spec)?;
    encoder.write(data)?;
    encoder.finish()?;
    Ok(encoder.take())
}

/// The error of an encoder or decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodecError {
    /// The bytes are not valid in their coding.
    Corrupt(&'static str),
    /// The stream needs more memory than a decoder may use.
    #[cfg_attr(
        not(feature = "zstd"),
        expect(dead_code, reason = "only zstd asks for it")
    )]
    Window,
    /// The codec failed, for lack of memory or by a bug.
    Internal(&'static str),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(why) => write!(f, "the bytes are not what their coding says: {why}"),
            Self::Window => f.write_str("the bytes ask for a larger window than is allowed"),
            Self::Internal(why) => write!(f, "the codec failed: {why}"),
        }
    }
}

impl Error for CodecError {}
