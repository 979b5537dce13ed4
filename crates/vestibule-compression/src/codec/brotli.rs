//! brotli, by the crate of the same name.

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct,
};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::decoder::Progress;
use super::{CodecError, Size, Spec};

/// Its state cannot be reused.
pub(super) struct BrotliEncoder {
    state: Box<BrotliEncoderStateStruct<StandardAlloc>>,
}

impl BrotliEncoder {
    pub(super) fn new(spec: Spec) -> Self {
        let mut state = Box::new(BrotliEncoderStateStruct::new(StandardAlloc::default()));
        let quality = quality(&spec);
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, quality);
        let window = window_bits(spec.size, quality);
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window);
        // From 1 MB on, a stream that says its size gets a table of 4 MB.
        if let Size::Whole(size) = spec.size
            && let Ok(size) = u32::try_from(size)
        {
            state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, size);
        }
        Self { state }
    }

    /// Appends a block of metadata (RFC 7932, section 9.2), which decoders skip.
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

/// Appends `plain`, encoded against `dictionary`.
///
/// The encoder treats a dictionary as preceding bytes. Decoders do the same if both fit the window.
#[cfg(feature = "dictionary")]
pub(crate) fn brotli_with_dictionary(
    dictionary: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let both = dictionary.len() + plain.len();
    let bits = (MIN_WINDOW_BITS..=LARGEST_WINDOW_BITS).find(|bits| (1 << bits) - 16 >= both);
    let bits = bits.ok_or(CodecError::Window)?;
    let mut state = Box::new(BrotliEncoderStateStruct::new(StandardAlloc::default()));
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, 5);
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, bits);
    state.set_custom_dictionary(dictionary.len(), dictionary);
    let mut encoder = BrotliEncoder { state };
    encoder.write(plain, out)?;
    encoder.finish(out)
}

/// RFC 7932, section 9.1: 16 MB.
#[cfg(feature = "dictionary")]
const LARGEST_WINDOW_BITS: u32 = 24;

/// Decodes brotli without memory for bombs.
///
/// A decoder fills its window before its first output, and a few bytes can fill the 16 MB of the largest
/// window. So a stream with a large window is first decoded with a small one, as a trial. Both give the
/// same output until it exceeds the small window; a bomb is found by then. Other streams are decoded again
/// from the start, with their own window.
pub(crate) struct BrotliDecoder {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    stage: Stage,
    /// The maximum number of decoded bytes for each byte read, for the decision of a trial.
    max_ratio: u64,
}

enum Stage {
    Start,
    /// With a smaller window than its own: the bytes read, and the number of decoded bytes.
    Trial {
        read: Vec<u8>,
        made: usize,
    },
    /// Again from the start: the bytes to read, the position, and the number of bytes decoded already.
    Again {
        read: Vec<u8>,
        at: usize,
        skip: usize,
    },
    Own,
}

impl BrotliDecoder {
    pub(super) fn new(max_ratio: u64) -> Self {
        Self {
            state: fresh_state(),
            stage: Stage::Start,
            max_ratio,
        }
    }

    /// Decodes until `out` is full, or `data` is used up, or the stream ends.
    pub(super) fn decode(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, CodecError> {
        match &mut self.stage {
            Stage::Start => match data.first().map(|first| (first, small_window(*first))) {
                Some((first, Some(small))) => {
                    let (read, made) = (vec![*first], 0);
                    self.stage = Stage::Trial { read, made };
                    step(&mut self.state, &[small], out, TRIAL).progress()
                }
                _ => {
                    self.stage = Stage::Own;
                    step(&mut self.state, data, out, usize::MAX).progress()
                }
            },
            Stage::Trial { read, made } => {
                let filled = out.len();
                let step = step(&mut self.state, data, out, TRIAL - *made);
                let is_over = step.is_corrupt || (out.len() == filled && step.has_more);
                if !is_over {
                    read.extend_from_slice(data.get(..step.read).unwrap_or_default());
                    *made += out.len() - filled;
                    return step.progress();
                }
                // The trial has given all it can, or the next bytes refer to data outside its window.
                let wire = (read.len() + step.read) as u64;
                if wire.saturating_mul(self.max_ratio) < TRIAL as u64 {
                    return step.progress();
                }
                let (read, skip) = (std::mem::take(read), *made);
                self.stage = Stage::Again { read, at: 0, skip };
                self.state = fresh_state();
                self.decode(data, out)
            }
            Stage::Again { read, at, skip } => {
                let filled = out.len();
                let rest = read.get(*at..).unwrap_or_default();
                let progress = step(&mut self.state, rest, out, usize::MAX).progress()?;
                *at += progress.read;
                let known = (out.len() - filled).min(*skip);
                out.drain(filled..filled + known);
                *skip -= known;
                if *at == read.len() && *skip == 0 {
                    self.stage = Stage::Own;
                }
                Ok(Progress {
                    read: 0,
                    has_more: true,
                    ..progress
                })
            }
            Stage::Own => step(&mut self.state, data, out, usize::MAX).progress(),
        }
    }
}

fn fresh_state() -> Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>> {
    let alloc = StandardAlloc::default;
    // Strict: without the large windows that are not in RFC 7932.
    Box::new(BrotliState::new_strict(alloc(), alloc(), alloc()))
}

/// Decodes into the spare capacity of `out`, at most `most` bytes.
fn step(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    data: &[u8],
    out: &mut Vec<u8>,
    most: usize,
) -> Step {
    let filled = out.len();
    let (mut left, mut read) = (data.len(), 0);
    let (mut room, mut written, mut total) = ((out.capacity() - filled).min(most), 0, 0);
    out.resize(filled + room, 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut read,
        data,
        &mut room,
        &mut written,
        out.get_mut(filled..).unwrap_or_default(),
        &mut total,
        state,
    );
    out.truncate(filled + written);
    Step {
        read,
        is_end: matches!(result, BrotliResult::ResultSuccess),
        has_more: room == 0,
        is_corrupt: matches!(result, BrotliResult::ResultFailure),
    }
}

/// The progress of a step, even if it failed.
struct Step {
    read: usize,
    is_end: bool,
    has_more: bool,
    is_corrupt: bool,
}

impl Step {
    const fn progress(self) -> Result<Progress, CodecError> {
        match self {
            Self {
                is_corrupt: true, ..
            } => Err(CodecError::Corrupt("brotli")),
            Self {
                read,
                is_end,
                has_more,
                ..
            } => Ok(Progress {
                read,
                is_end,
                has_more,
            }),
        }
    }
}

/// Returns the first byte of a stream with the window of a trial, or `None` if its own is not larger.
///
/// RFC 7932, section 9.1: of a window of 2^18 bytes and more, the first bit is 1, and the next three say how many
/// bits there are above 17.
fn small_window(first: u8) -> Option<u8> {
    let bits = 17 + u32::from(first >> 1 & 0b111);
    let is_large = first & 1 == 1 && bits > TRIAL_WINDOW_BITS;
    is_large.then_some(first & 0xf0 | ((TRIAL_WINDOW_BITS - 17) << 1) as u8 | 1)
}

/// Returns the encoder's quality. At its two fastest levels it panics when flushed after metadata.
fn quality(spec: &Spec) -> u32 {
    match (spec.padding, u32::from(spec.level)) {
        (1.., 0..2) => 2,
        (_, level) => level,
    }
}

/// Returns the smallest window that holds a body, or for a stream the one that needs the least memory.
fn window_bits(size: Size, quality: u32) -> u32 {
    let Size::Whole(size) = size else {
        // With a window of 64 KB, levels 5 to 9 have tables of 34 MB.
        return if matches!(quality, 5..=9) { 18 } else { 16 };
    };
    (MIN_WINDOW_BITS..MAX_WINDOW_BITS)
        .find(|bits| (1_u64 << bits) - 16 >= size)
        .unwrap_or(MAX_WINDOW_BITS)
}

/// Returns the memory of a stream's state, in bytes, as measured by a counting allocator, rounded up.
pub(super) fn stream_cost(spec: &Spec) -> u64 {
    let kib = match quality(spec) {
        0 => 256,
        1 => 384,
        2..=3 => 1088,
        4 => 1920,
        5 => 5248,
        6 => 6272,
        7 => 14_336,
        8 => 22_528,
        9 => 38_912,
        10 => 4224,
        _ => 6656,
    };
    kib * 1024
}

const MIN_WINDOW_BITS: u32 = 16;

/// 2 MB: twice the output for which the ratio does not count.
const TRIAL_WINDOW_BITS: u32 = 21;

/// The size of the trial's window (RFC 7932, section 9.1), and so the length of the output that is the same
/// with any larger window.
const TRIAL: usize = (1 << TRIAL_WINDOW_BITS) - 16;

/// 4 MB: larger windows hardly shrink single responses further.
const MAX_WINDOW_BITS: u32 = 22;

/// The encoder writes a wrong length for metadata of one byte.
const MIN_METADATA: usize = 2;

/// RFC 7932, section 9.2: the length has at most three bytes.
const MAX_METADATA: usize = 1 << 24;

/// The spare capacity of the buffer before each step.
const ROOM: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_a_window_of_2_mb() {
        let cases = [
            (0x1f, Some(0x19)),
            (0xcf, Some(0xc9)),
            (0x8b, Some(0x89)),
            (0x9d, Some(0x99)),
            (0xa9, None),
            (0xa1, None),
            (0x00, None),
            (0xfe, None),
        ];
        for (own, small) in cases {
            assert_eq!(small_window(own), small, "{own:#x}");
        }
    }

    #[test]
    fn windows_hold_the_body() {
        let cases = [
            (Size::Stream, 4, 16),
            (Size::LeanStream, 1, 16),
            (Size::Stream, 5, 18),
            (Size::Stream, 9, 18),
            (Size::Stream, 11, 16),
            (Size::Whole(0), 4, 16),
            (Size::Whole(65_520), 4, 16),
            (Size::Whole(65_521), 4, 17),
            (Size::Whole(1 << 20), 11, 21),
            (Size::Whole(u64::MAX), 4, 22),
        ];
        for (size, quality, bits) in cases {
            assert_eq!(window_bits(size, quality), bits, "{size:?}:{quality}");
        }
    }
}
