//! One encoder for all codings: it appends what it makes to its own buffer.

use bytes::Bytes;

use super::{CodecError, pool};
use crate::Coding;

#[cfg(feature = "brotli")]
use super::brotli::BrotliEncoder;
#[cfg(feature = "gzip")]
use super::gzip::GzipEncoder;
#[cfg(feature = "zstd")]
use super::zstd::ZstdEncoder;

/// What an encoder is asked to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) coding: Coding,
    pub(crate) level: u8,
    /// How many bytes will come, where that is known.
    pub(crate) size: Option<u64>,
    /// How many bytes of nothing to add at the start, about.
    pub(crate) padding: usize,
}

impl Spec {
    /// Whether a slice may take longer than a worker can spare.
    pub(crate) const fn is_costly(&self) -> bool {
        self.level >= self.coding.costly_level()
    }
}

/// An encoder and what it has made so far. Its state comes from a pool, and goes back on drop.
pub(crate) struct Encoder {
    codec: Option<Codec>,
    out: Vec<u8>,
}

pub(super) enum Codec {
    #[cfg(feature = "gzip")]
    Gzip(GzipEncoder),
    #[cfg(feature = "brotli")]
    Brotli(BrotliEncoder),
    #[cfg(feature = "zstd")]
    Zstd(ZstdEncoder),
}

macro_rules! each {
    ($self:expr, $codec:ident, $out:ident => $do:expr) => {{
        let $out = &mut $self.out;
        match $self.codec.as_mut() {
            #[cfg(feature = "gzip")]
            Some(Codec::Gzip($codec)) => $do,
            #[cfg(feature = "brotli")]
            Some(Codec::Brotli($codec)) => $do,
            #[cfg(feature = "zstd")]
            Some(Codec::Zstd($codec)) => $do,
            None => Err(CodecError::Internal("it was used after its end")),
        }
    }};
}

impl Encoder {
    /// An encoder at the start of its stream.
    pub(crate) fn new(spec: Spec) -> Result<Self, CodecError> {
        let (codec, out) = match pool::take(&spec) {
            Some((mut codec, out)) => {
                codec.reset(spec)?;
                (codec, out)
            }
            None => (Codec::new(spec)?, Vec::new()),
        };
        let codec = Some(codec);
        let mut encoder = Self { codec, out };
        if spec.padding > 0 {
            each!(encoder, codec, out => codec.pad(spec.padding, out))?;
        }
        Ok(encoder)
    }

    /// Encodes `data`; some of it may stay inside until more comes.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), CodecError> {
        each!(self, codec, out => codec.write(data, out))
    }

    /// Gives out all that was written, so that a decoder can read it now.
    pub(crate) fn flush(&mut self) -> Result<(), CodecError> {
        each!(self, codec, out => codec.flush(out))
    }

    /// Ends the stream.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        each!(self, codec, out => codec.finish(out))
    }

    /// How many bytes wait to be taken.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes what was made: one allocation, of exactly its size.
    pub(crate) fn take(&mut self) -> Bytes {
        let bytes = Bytes::copy_from_slice(&self.out);
        self.out.clear();
        bytes
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if let Some(codec) = self.codec.take() {
            self.out.clear();
            pool::give(codec, std::mem::take(&mut self.out));
        }
    }
}

impl Codec {
    fn new(spec: Spec) -> Result<Self, CodecError> {
        match spec.coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip | Coding::Deflate => Ok(Self::Gzip(GzipEncoder::new(spec))),
            #[cfg(feature = "brotli")]
            Coding::Brotli => Ok(Self::Brotli(BrotliEncoder::new(spec))),
            #[cfg(feature = "zstd")]
            Coding::Zstd => ZstdEncoder::new(spec).map(Self::Zstd),
        }
    }

    fn reset(&mut self, spec: Spec) -> Result<(), CodecError> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(codec) => codec.reset(spec),
            #[cfg(feature = "brotli")]
            Self::Brotli(codec) => codec.reset(spec),
            #[cfg(feature = "zstd")]
            Self::Zstd(codec) => codec.reset(spec),
        }
    }

    /// Whether this state can be used again for `spec`.
    pub(super) fn fits(&self, spec: &Spec) -> bool {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(codec) => codec.fits(spec),
            #[cfg(feature = "brotli")]
            Self::Brotli(_) => spec.coding == Coding::Brotli,
            #[cfg(feature = "zstd")]
            Self::Zstd(_) => spec.coding == Coding::Zstd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Decoder;

    fn spec(coding: Coding, level: u8, padding: usize) -> Spec {
        Spec {
            coding,
            level,
            size: None,
            padding,
        }
    }

    fn decode(coding: Coding, mut coded: &[u8]) -> Vec<u8> {
        let mut decoder = Decoder::new(coding, u64::MAX).unwrap();
        let mut out = Vec::with_capacity(1 << 20);
        while !coded.is_empty() {
            let progress = decoder.decode(coded, &mut out).unwrap();
            assert!(progress.read > 0);
            coded = &coded[progress.read..];
            assert!(progress.is_end || !coded.is_empty(), "{coding}: cut off");
        }
        out
    }

    #[test]
    fn every_level_makes_what_is_read_again() {
        let plain = "every request passes through it ".repeat(500);
        for &coding in Coding::ALL {
            for level in coding.levels() {
                for padding in [0, 1, 255, 70_000] {
                    for data in ["", "a", &plain] {
                        let mut encoder = Encoder::new(spec(coding, level, padding)).unwrap();
                        let mut coded = Vec::new();
                        for piece in data.as_bytes().chunks(5_000) {
                            encoder.write(piece).unwrap();
                            encoder.flush().unwrap();
                            coded.extend_from_slice(&encoder.take());
                        }
                        encoder.finish().unwrap();
                        coded.extend_from_slice(&encoder.take());
                        assert!(
                            coded.len() >= padding || data.is_empty(),
                            "{coding}:{level}"
                        );
                        let found = decode(coding, &coded);
                        assert_eq!(found, data.as_bytes(), "{coding}:{level}, {padding}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_state_that_was_left_in_the_middle_is_used_again() {
        for &coding in Coding::ALL {
            for _ in 0..3 {
                let mut left = Encoder::new(spec(coding, coding.default_level(), 0)).unwrap();
                left.write(b"what nobody reads").unwrap();
                drop(left);
                let mut encoder = Encoder::new(spec(coding, coding.default_level(), 0)).unwrap();
                encoder.write(b"what is read").unwrap();
                encoder.finish().unwrap();
                assert_eq!(decode(coding, &encoder.take()), b"what is read");
            }
        }
    }
}
