//! brotli, by the crate of the same name.

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct,
};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::decoder::Progress;
use super::{CodecError, Spec};

/// Its state cannot be used again: only the buffer comes from the pool.
pub(super) struct BrotliEncoder {
    state: Box<BrotliEncoderStateStruct<StandardAlloc>>,
}

impl BrotliEncoder {
    pub(super) fn new(spec: Spec) -> Self {
        let mut state = Box::new(BrotliEncoderStateStruct::new(StandardAlloc::default()));
        // At its two fastest levels the encoder panics when it is flushed after metadata.
        let quality = match (spec.padding, u32::from(spec.level)) {
            (1.., 0..2) => 2,
            (_, level) => level,
        };
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, quality);
        let window = window_bits(spec.size);
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window);
        if let Some(size) = spec.size.and_then(|size| u32::try_from(size).ok()) {
            state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, size);
        }
        Self { state }
    }

    pub(super) fn reset(&mut self, spec: Spec) -> Result<(), CodecError> {
        *self = Self::new(spec);
        Ok(())
    }

    /// A block of metadata (RFC 7932, section 9.2), which decoders skip.
    pub(super) fn pad(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let nothing = vec![b' '; length.clamp(MIN_METADATA, MAX_METADATA)];
        let operation = BrotliEncoderOperation::BROTLI_OPERATION_EMIT_METADATA;
        self.run(&nothing, out, operation)
    }

    pub(super) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let operation = BrotliEncoderOperation::BROTLI_OPERATION_PROCESS;
        self.run(data, out, operation)
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let operation = BrotliEncoderOperation::BROTLI_OPERATION_FLUSH;
        self.run(&[], out, operation)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let operation = BrotliEncoderOperation::BROTLI_OPERATION_FINISH;
        self.run(&[], out, operation)
    }

    fn run(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
        operation: BrotliEncoderOperation,
    ) -> Result<(), CodecError> {
        let (mut left, mut at) = (data.len(), 0);
        loop {
            let filled = out.len();
            out.resize(filled + ROOM, 0);
            let (mut room, mut written) = (ROOM, 0);
            let is_well = self.state.compress_stream(
                operation,
                &mut left,
                data,
                &mut at,
                &mut room,
                out.get_mut(filled..).unwrap_or_default(),
                &mut written,
                &mut None,
                &mut |_, _, _, _| (),
            );
            out.truncate(filled + written);
            if !is_well {
                return Err(CodecError::Internal("brotli"));
            }
            let is_finish = operation == BrotliEncoderOperation::BROTLI_OPERATION_FINISH;
            let is_done = left == 0 && !self.state.has_more_output();
            if is_done && (!is_finish || self.state.is_finished()) {
                return Ok(());
            }
        }
    }
}

pub(crate) struct BrotliDecoder {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
}

impl BrotliDecoder {
    pub(super) fn new() -> Self {
        let alloc = StandardAlloc::default;
        // Strict: without the large windows that are no part of RFC 7932.
        let state = Box::new(BrotliState::new_strict(alloc(), alloc(), alloc()));
        Self { state }
    }

    /// Decodes until `out` is full, or `data` is used up, or the stream ends.
    pub(super) fn decode(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, CodecError> {
        let filled = out.len();
        let (mut left, mut read) = (data.len(), 0);
        let (mut room, mut written, mut total) = (out.capacity() - filled, 0, 0);
        out.resize(out.capacity(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            data,
            &mut room,
            &mut written,
            out.get_mut(filled..).unwrap_or_default(),
            &mut total,
            &mut self.state,
        );
        out.truncate(filled + written);
        match result {
            BrotliResult::ResultFailure => Err(CodecError::Corrupt("brotli")),
            BrotliResult::ResultSuccess => Ok(Progress { read, is_end: true }),
            _ => Ok(Progress {
                read,
                is_end: false,
            }),
        }
    }
}

/// The smallest window that holds a body of `size` bytes; 256 KB when that is not known.
fn window_bits(size: Option<u64>) -> u32 {
    let Some(size) = size else {
        return STREAM_WINDOW_BITS;
    };
    (MIN_WINDOW_BITS..MAX_WINDOW_BITS)
        .find(|bits| (1_u64 << bits) - 16 >= size)
        .unwrap_or(MAX_WINDOW_BITS)
}

const STREAM_WINDOW_BITS: u32 = 18;
const MIN_WINDOW_BITS: u32 = 16;

/// 4 MB: larger windows shrink little of what is made for one response.
const MAX_WINDOW_BITS: u32 = 22;

/// The encoder writes a wrong length for one byte of metadata.
const MIN_METADATA: usize = 2;

/// RFC 7932, section 9.2: the length has at most three bytes.
const MAX_METADATA: usize = 1 << 24;

/// So much room is made in the buffer before each step.
const ROOM: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_the_body() {
        let cases = [
            (None, 18),
            (Some(0), 16),
            (Some(65_520), 16),
            (Some(65_521), 17),
            (Some(1 << 20), 21),
            (Some(u64::MAX), 22),
        ];
        for (size, bits) in cases {
            assert_eq!(window_bits(size), bits, "{size:?}");
        }
    }
}
