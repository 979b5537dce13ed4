//! zstd, by the C library.

use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::decoder::Progress;
use super::{CodecError, Spec};

pub(super) struct ZstdEncoder {
    state: CCtx<'static>,
}

impl ZstdEncoder {
    pub(super) fn new(spec: Spec) -> Result<Self, CodecError> {
        let state = CCtx::try_create().ok_or(CodecError::Internal("no memory for zstd"))?;
        let mut encoder = Self { state };
        encoder.reset(spec)?;
        Ok(encoder)
    }

    pub(super) fn reset(&mut self, spec: Spec) -> Result<(), CodecError> {
        let Self { state } = self;
        let reset = ResetDirective::SessionAndParameters;
        state.reset(reset).map_err(internal)?;
        let level = CParameter::CompressionLevel(i32::from(spec.level));
        state.set_parameter(level).map_err(internal)?;
        match spec.size {
            Some(size) => state.set_pledged_src_size(Some(size)).map_err(internal)?,
            None => state
                .set_parameter(CParameter::WindowLog(STREAM_WINDOW_LOG))
                .map_err(internal)?,
        };
        Ok(())
    }

    /// A skippable frame (RFC 8878, section 3.1.2) of `length` bytes before the others.
    pub(super) fn pad(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let size = u32::try_from(length).unwrap_or(u32::MAX);
        out.extend_from_slice(&SKIPPABLE);
        out.extend_from_slice(&size.to_le_bytes());
        out.resize(out.len() + length, 0);
        Ok(())
    }

    pub(super) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
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

/// Appends `plain`, encoded against `dictionary`, which is raw content whatever it begins with.
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

/// The window of a body whose size is not known: 128 KB.
const STREAM_WINDOW_LOG: u32 = 17;

/// The window that a decoder allows: 8 MB (RFC 9659, section 3).
const MAX_WINDOW_LOG: u32 = 23;

/// The first of the sixteen magic numbers of frames to skip, little-endian.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// So much room is made in the buffer before each step.
const ROOM: usize = 4 * 1024;
