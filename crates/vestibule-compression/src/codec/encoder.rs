//! One encoder for all codings, which appends its output to its own buffer.

use bytes::Bytes;

#[cfg(any(feature = "brotli", feature = "zstd"))]
use super::stored::Format;
use super::stored::{BLOCK, StoredEncoder};
use super::{CodecError, pool};
use crate::Coding;
use crate::budget::Grant;

#[cfg(feature = "brotli")]
use super::brotli::BrotliEncoder;
#[cfg(feature = "gzip")]
use super::gzip::GzipEncoder;
#[cfg(feature = "zstd")]
use super::zstd::ZstdEncoder;

/// The parameters of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) coding: Coding,
    pub(crate) level: u8,
    pub(crate) size: Size,
    /// The approximate number of padding bytes at the start.
    pub(crate) padding: usize,
}

/// The expected size, which decides how much memory is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// This many bytes, all at once: the state is freed before the client reads.
    Whole(u64),
    /// More bytes, or an unknown number. The client decides how long the state is held.
    Stream,
    /// The same, when memory is scarce.
    LeanStream,
}

impl Spec {
    /// Returns whether a slice may take longer than a worker thread can spare.
    pub(crate) const fn is_costly(&self) -> bool {
        self.level >= self.coding.costly_level()
    }

    /// Returns an upper bound of the memory of a stream's state and buffer, in bytes.
    pub(crate) fn stream_cost(&self) -> u64 {
        let state = match self.coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip | Coding::Deflate => super::gzip::STREAM_COST,
            #[cfg(feature = "brotli")]
            Coding::Brotli => super::brotli::stream_cost(self),
            #[cfg(feature = "zstd")]
            Coding::Zstd => super::zstd::stream_cost(self.level, self.size),
        };
        state + BUFFER
    }

    /// Returns the same stream with the least memory that the coding allows.
    pub(crate) fn lean(self) -> Self {
        let level = match self.coding {
            #[cfg(feature = "brotli")]
            Coding::Brotli => self.level.min(1),
            _ => self.level,
        };
        Self {
            level,
            size: Size::LeanStream,
            ..self
        }
    }
}

/// An encoder and its output. The state of a whole body comes from a pool, and returns to it on drop.
pub(crate) struct Encoder {
    codec: Option<Codec>,
    out: Vec<u8>,
    /// The grant for the memory of a stream's state.
    grant: Option<Grant>,
    is_stream: bool,
}

pub(super) enum Codec {
    #[cfg(feature = "gzip")]
    Gzip(GzipEncoder),
    #[cfg(feature = "brotli")]
    Brotli(BrotliEncoder),
    #[cfg(feature = "zstd")]
    Zstd(ZstdEncoder),
    Stored(StoredEncoder),
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
            Some(Codec::Stored($codec)) =>
            {
                #[allow(clippy::unit_arg, reason = "it cannot fail, and the others can")]
                Ok($do)
            }
            None => Err(CodecError::Internal("it was used after its end")),
        }
    }};
}

impl Encoder {
    /// Creates an encoder at the start of its stream.
    pub(crate) fn new(spec: Spec) -> Result<Self, CodecError> {
        let (codec, out) = match pool::take(&spec) {
            Some((mut codec, out)) => {
                codec.reset(spec)?;
                (codec, out)
            }
            None => (Codec::new(spec)?, Vec::new()),
        };
        Self::begin(codec, out, spec)
    }

    /// Creates an encoder of a stream, with the memory of `grant`.
    pub(crate) fn granted(spec: Spec, grant: Grant) -> Result<Self, CodecError> {
        let mut encoder = Self::new(spec)?;
        encoder.grant = Some(grant);
        Ok(encoder)
    }

    /// Creates an encoder that does not compress and has no state.
    pub(crate) fn stored(spec: Spec) -> Result<Self, CodecError> {
        let codec = Codec::Stored(StoredEncoder::new(spec.coding));
        Self::begin(codec, Vec::new(), spec)
    }

    fn begin(codec: Codec, out: Vec<u8>, spec: Spec) -> Result<Self, CodecError> {
        let mut encoder = Self {
            codec: Some(codec),
            out,
            grant: None,
            is_stream: !matches!(spec.size, Size::Whole(_)),
        };
        if spec.padding > 0 {
            each!(encoder, codec, out => codec.pad(spec.padding, out))?;
        }
        Ok(encoder)
    }

    /// Encodes `data`; some of it may stay inside until more comes.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), CodecError> {
        each!(self, codec, out => codec.write(data, out))
    }

    /// Flushes, so that a decoder can read all bytes written so far.
    pub(crate) fn flush(&mut self) -> Result<(), CodecError> {
        each!(self, codec, out => codec.flush(out))
    }

    /// Ends the stream. Its state is freed at once, because a client may read the rest slowly.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        each!(self, codec, out => codec.finish(out))?;
        if self.is_stream
            && let Some(codec) = self.codec.take()
        {
            pool::give(codec, Vec::new());
            self.grant = None;
        }
        Ok(())
    }

    /// Frees the state in the middle of the stream. Later bytes are not compressed.
    pub(crate) fn give_up(&mut self) -> Result<(), CodecError> {
        self.flush()?;
        if let Some(mut codec) = self.codec.take() {
            self.codec = Some(Codec::Stored(match &mut codec {
                #[cfg(feature = "gzip")]
                Codec::Gzip(codec) => StoredEncoder::after(codec.format(), true),
                #[cfg(feature = "brotli")]
                Codec::Brotli(_) => StoredEncoder::after(Format::Brotli, true),
                #[cfg(feature = "zstd")]
                Codec::Zstd(codec) => StoredEncoder::after(Format::Zstd, codec.has_header()),
                Codec::Stored(_) => {
                    self.codec = Some(codec);
                    return Ok(());
                }
            }));
            pool::give(codec, Vec::new());
        }
        self.grant = None;
        Ok(())
    }

    /// Writes the header of an uncompressed block and returns true, so that the caller sends the bytes of
    /// `block` without a copy. Returns false if the encoder compresses.
    pub(crate) fn begin_stored(&mut self, block: &[u8]) -> bool {
        match &mut self.codec {
            Some(Codec::Stored(codec)) if (1..=BLOCK).contains(&block.len()) => {
                codec.begin_block(block, &mut self.out);
                true
            }
            _ => false,
        }
    }

    /// Returns whether the encoder holds memory of the budget.
    pub(crate) const fn has_grant(&self) -> bool {
        self.grant.is_some()
    }

    /// Returns whether the encoder has no state, and so does not compress.
    pub(crate) const fn is_stored(&self) -> bool {
        matches!(self.codec, Some(Codec::Stored(_)))
    }

    /// Returns the size of the output, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes the output, in one allocation of exactly its size.
    pub(crate) fn take(&mut self) -> Bytes {
        let bytes = Bytes::copy_from_slice(&self.out);
        self.out.clear();
        if self.is_stream && self.grant.is_none() {
            // A buffer without a grant is freed, because the client may not read.
            self.out = Vec::new();
        }
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
            #[cfg(feature = "zstd")]
            Self::Zstd(codec) => codec.reset(spec),
            _ => Err(CodecError::Internal("its state cannot be used again")),
        }
    }

    /// Returns whether this state can be reused for `spec`.
    pub(super) fn fits(&self, spec: &Spec) -> bool {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(codec) => codec.fits(spec),
            // The state of a whole body has more memory than the grant of a stream.
            #[cfg(feature = "zstd")]
            Self::Zstd(_) => spec.coding == Coding::Zstd && matches!(spec.size, Size::Whole(_)),
            _ => false,
        }
    }

    /// Returns whether the state can be reused at all.
    pub(super) const fn is_reusable(&self) -> bool {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(_) => true,
            #[cfg(feature = "zstd")]
            Self::Zstd(_) => true,
            _ => false,
        }
    }
}

/// The memory of an encoder's buffer, in bytes: an incompressible slice and some spare capacity.
const BUFFER: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Decoder;

    fn spec(coding: Coding, level: u8, padding: usize) -> Spec {
        Spec {
            coding,
            level,
            size: Size::Stream,
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

    /// A decoder reads a stream that lost its state after some pieces like any other.
    #[test]
    fn a_state_is_given_back_anywhere_in_a_stream() {
        let plain = "every request passes through it ".repeat(3_000);
        let pieces: Vec<_> = plain.as_bytes().chunks(20_000).collect();
        for &coding in Coding::ALL {
            for level in coding.levels() {
                for padding in [0, 1, 300] {
                    for lost_at in 0..=pieces.len() + 1 {
                        let spec = spec(coding, level, padding);
                        if spec.is_costly() && lost_at > 2 {
                            // The formats are the same at each level.
                            continue;
                        }
                        let mut encoder = match lost_at {
                            0 => Encoder::stored(spec).unwrap(),
                            _ => Encoder::new(spec).unwrap(),
                        };
                        for (at, piece) in pieces.iter().enumerate() {
                            if at + 1 == lost_at {
                                encoder.give_up().unwrap();
                                encoder.give_up().unwrap();
                                assert!(encoder.is_stored());
                            }
                            encoder.write(piece).unwrap();
                            if at % 2 == 0 {
                                encoder.flush().unwrap();
                            }
                        }
                        encoder.finish().unwrap();
                        let coded = encoder.take();
                        assert!(coded.len() > padding);
                        let name = format!("{coding}:{level}, {padding}, {lost_at}");
                        assert_eq!(decode(coding, &coded), plain.as_bytes(), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_coding_without_compression_holds_the_plain_bytes() {
        for &coding in Coding::ALL {
            for length in [0, 1, 255, 16_384, 16_385, 70_000] {
                let plain: Vec<u8> = (0..length).map(|at: u32| (at * 7 % 251) as u8).collect();
                for padding in [0, 1, 256, 257, 65_535] {
                    let mut encoder = Encoder::stored(spec(coding, 1, padding)).unwrap();
                    encoder.write(&plain).unwrap();
                    encoder.finish().unwrap();
                    let coded = encoder.take();
                    let most = plain.len() + padding + 64;
                    assert!((plain.len() + padding..=most).contains(&coded.len()));
                    assert_eq!(
                        decode(coding, &coded),
                        plain,
                        "{coding}, {length}, {padding}"
                    );
                }
            }
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn no_stream_of_zstd_takes_more_than_it_costs() {
        let plain = "every request passes through it ".repeat(10_000);
        for level in Coding::Zstd.levels() {
            for lean in [false, true] {
                let mut spec = spec(Coding::Zstd, level, 0);
                if lean {
                    spec = spec.lean();
                }
                let mut encoder = Encoder::new(spec).unwrap();
                encoder.write(plain.as_bytes()).unwrap();
                let Some(Codec::Zstd(codec)) = &encoder.codec else {
                    panic!("it is zstd");
                };
                assert!(
                    codec.memory() as u64 + BUFFER <= spec.stream_cost(),
                    "{spec:?}"
                );
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
