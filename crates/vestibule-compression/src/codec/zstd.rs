//! zstd, by the C library.

use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::decoder::Progress;
use super::{CodecError, Size, Spec};

pub(super) struct ZstdEncoder {
    state: CCtx<'static>,
    /// Whether the header of the frame is written. It comes with the first bytes, and not by a flush.
    has_header: bool,
}

impl ZstdEncoder {
    pub(super) fn new(spec: Spec) -> Result<Self, CodecError> {
        let state = CCtx::try_create().ok_or(CodecError::Internal("no memory for zstd"))?;
        let has_header = false;
        let mut encoder = Self { state, has_header };
        encoder.reset(spec)?;
        Ok(encoder)
    }

    pub(super) fn reset(&mut self, spec: Spec) -> Result<(), CodecError> {
        self.has_header = false;
        let Self { state, .. } = self;
        let reset = ResetDirective::SessionAndParameters;
        state.reset(reset).map_err(internal)?;
        let level = CParameter::CompressionLevel(i32::from(spec.level));
        state.set_parameter(level).map_err(internal)?;
        let window = match spec.size {
            Size::Whole(size) => {
                state.set_pledged_src_size(Some(size)).map_err(internal)?;
                return Ok(());
            }
            Size::Stream => STREAM_WINDOW_LOG,
            Size::LeanStream => LEAN_WINDOW_LOG,
        };
        // A level has tables of up to 80 MB for an unknown size. Small tables cost 3 % of the saved bytes.
        for parameter in [
            CParameter::WindowLog(window),
            CParameter::HashLog(STREAM_TABLE_LOG),
            CParameter::ChainLog(STREAM_TABLE_LOG),
        ] {
            state.set_parameter(parameter).map_err(internal)?;
        }
        Ok(())
    }

    /// Returns whether the frame has begun.
    pub(super) const fn has_header(&self) -> bool {
        self.has_header
    }

    /// Returns the memory of the state, in bytes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.state.sizeof()
    }

    /// Appends a skippable frame of `length` bytes, before the first frame.
    pub(super) fn pad(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        skippable(length, out);
        Ok(())
    }

    pub(super) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.has_header |= !data.is_empty();
        self.run(data, out, ZSTD_EndDirective::ZSTD_e_continue)
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.run(&[], out, ZSTD_EndDirective::ZSTD_e_flush)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.run(&[], out, ZSTD_EndDirective::ZSTD_e_end)
    }

    fn run(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
        how: ZSTD_EndDirective,
    ) -> Result<(), CodecError> {
        let mut input = InBuffer::around(data);
        let is_write = matches!(how, ZSTD_EndDirective::ZSTD_e_continue);
        loop {
            if out.capacity() - out.len() < ROOM {
                out.reserve(2 * ROOM);
            }
            let at = out.len();
            let mut output = OutBuffer::around_pos(out, at);
            let left = self
                .state
                .compress_stream2(&mut output, &mut input, how)
                .map_err(internal)?;
            let is_read = input.pos() == data.len();
            if is_read && (left == 0 || is_write) {
                return Ok(());
            }
        }
    }
}

/// Appends a skippable frame (RFC 8878, section 3.1.2) of `length` bytes.
pub(super) fn skippable(length: usize, out: &mut Vec<u8>) {
    let size = u32::try_from(length).unwrap_or(u32::MAX);
    out.extend_from_slice(&SKIPPABLE);
    out.extend_from_slice(&size.to_le_bytes());
    out.resize(out.len() + length, 0);
}

/// Returns the memory of a stream's state, in bytes, as `ZSTD_sizeof_CCtx` reports it, rounded up.
pub(super) const fn stream_cost(level: u8, size: Size) -> u64 {
    let kib = match (size, level) {
        (Size::LeanStream, 0..=15) => 384,
        (Size::LeanStream, _) => 768,
        (_, 0..=15) => 640,
        (_, _) => 1152,
    };
    kib * 1024
}

pub(crate) struct ZstdDecoder {
    state: DCtx<'static>,
}

impl ZstdDecoder {
    pub(super) fn new() -> Result<Self, CodecError> {
        let mut state = DCtx::try_create().ok_or(CodecError::Internal("no memory for zstd"))?;
        let window = DParameter::WindowLogMax(MAX_WINDOW_LOG);
        state.set_parameter(window).map_err(internal)?;
        Ok(Self { state })
    }

    /// Decodes until `out` is full, or `data` is used up, or a frame ends.
    pub(super) fn decode(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, CodecError> {
        let mut input = InBuffer::around(data);
        let at = out.len();
        let mut output = OutBuffer::around_pos(out, at);
        let left = self
            .state
            .decompress_stream(&mut output, &mut input)
            .map_err(|code| match zstd_safe::get_error_name(code) {
                why if why.contains("too much memory") => CodecError::Window,
                why => CodecError::Corrupt(why),
            })?;
        Ok(Progress {
            read: input.pos(),
            is_end: left == 0,
            has_more: out.len() == out.capacity(),
        })
    }
}

/// Appends `plain`, encoded against `dictionary`, which is always treated as raw content.
#[cfg(feature = "dictionary")]
pub(crate) fn zstd_with_dictionary(
    dictionary: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let mut state = CCtx::try_create().ok_or(CodecError::Internal("no memory for zstd"))?;
    state.ref_prefix(dictionary).map_err(internal)?;
    let size = u64::try_from(plain.len()).ok();
    state.set_pledged_src_size(size).map_err(internal)?;
    let mut coded = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    state.compress2(&mut coded, plain).map_err(internal)?;
    out.extend_from_slice(&coded);
    Ok(())
}

fn internal(code: usize) -> CodecError {
    CodecError::Internal(zstd_safe::get_error_name(code))
}

/// The window of a stream: 64 KB.
const STREAM_WINDOW_LOG: u32 = 16;

/// The window of a stream when memory is scarce: 32 KB.
const LEAN_WINDOW_LOG: u32 = 15;

/// The tables of a stream have 16,384 entries.
const STREAM_TABLE_LOG: u32 = 14;

/// The window that a decoder allows: 8 MB (RFC 9659, section 3).
const MAX_WINDOW_LOG: u32 = 23;

/// The first of the sixteen magic numbers of frames to skip, little-endian.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// The spare capacity of the buffer before each step.
const ROOM: usize = 4 * 1024;
