//! gzip and zlib, by flate2 with zlib-rs.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::decoder::Progress;
use super::{CodecError, Spec};
use crate::Coding;

pub(super) struct GzipEncoder {
    state: Compress,
    coding: Coding,
    level: u8,
}

impl GzipEncoder {
    pub(super) fn new(spec: Spec) -> Self {
        let level = Compression::new(u32::from(spec.level));
        let state = match spec.coding {
            Coding::Gzip => Compress::new_gzip(level, WINDOW_BITS),
            _ => Compress::new_with_window_bits(level, true, WINDOW_BITS),
        };
        Self {
            state,
            coding: spec.coding,
            level: spec.level,
        }
    }

    pub(super) fn fits(&self, spec: &Spec) -> bool {
        self.coding == spec.coding && self.level == spec.level
    }

    /// Begins anew; `spec` [fits](Self::fits).
    pub(super) fn reset(&mut self, _: Spec) -> Result<(), CodecError> {
        self.state.reset();
        Ok(())
    }

    /// Adds `length` bytes of nothing at the start: a comment in the header of gzip (RFC 1952,
    /// section 2.3), empty stored blocks after that of zlib (RFC 1951, section 3.2.4).
    pub(super) fn pad(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        // The header comes out with the first flush; an empty one adds an empty block.
        let start = out.len();
        self.flush(out)?;
        let rest = match self.coding {
            Coding::Gzip => {
                if let Some(flags) = out.get_mut(start + 3) {
                    *flags |= HAS_COMMENT;
                }
                out.split_off((start + GZIP_HEADER).min(out.len()))
            }
            _ => out.split_off((start + ZLIB_HEADER).min(out.len())),
        };
        match self.coding {
            Coding::Gzip => {
                out.resize(out.len() + length, b' ');
                out.push(0);
            }
            _ => (0..length.div_ceil(EMPTY_BLOCK.len()))
                .for_each(|_| out.extend_from_slice(&EMPTY_BLOCK)),
        }
        out.extend_from_slice(&rest);
        Ok(())
    }

    pub(super) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.run(data, out, FlushCompress::None)
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.run(&[], out, FlushCompress::Sync)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.run(&[], out, FlushCompress::Finish)
    }

    fn run(
        &mut self,
        mut data: &[u8],
        out: &mut Vec<u8>,
        how: FlushCompress,
    ) -> Result<(), CodecError> {
        loop {
            if out.capacity() - out.len() < ROOM {
                out.reserve(2 * ROOM);
            }
            let before = self.state.total_in();
            let status = self.state.compress_vec(data, out, how);
            let status = status.map_err(|_| CodecError::Internal("deflate"))?;
            let read = usize::try_from(self.state.total_in() - before).unwrap_or(usize::MAX);
            data = data.get(read..).unwrap_or_default();
            // With room left over, all was done that could be done.
            let is_done = out.len() < out.capacity() && data.is_empty();
            match (status, how) {
                (Status::StreamEnd, _) => return Ok(()),
                (_, FlushCompress::Finish) => {}
                _ if is_done => return Ok(()),
                _ => {}
            }
        }
    }
}

pub(crate) struct GzipDecoder {
    state: Decompress,
}

impl GzipDecoder {
    pub(super) fn new(coding: Coding) -> Self {
        let state = match coding {
            Coding::Gzip => Decompress::new_gzip(WINDOW_BITS),
            _ => Decompress::new_with_window_bits(true, WINDOW_BITS),
        };
        Self { state }
    }

    /// Decodes until `out` is full, or `data` is used up, or the stream ends.
    pub(super) fn decode(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, CodecError> {
        let before = self.state.total_in();
        let status = self
            .state
            .decompress_vec(data, out, FlushDecompress::None)
            .map_err(|error| match error.needs_dictionary() {
                Some(_) => CodecError::Corrupt("it needs a dictionary"),
                None => CodecError::Corrupt("deflate, or its check"),
            })?;
        let read = usize::try_from(self.state.total_in() - before).unwrap_or(usize::MAX);
        Ok(Progress {
            read,
            is_end: status == Status::StreamEnd,
            has_more: out.len() == out.capacity(),
        })
    }
}

/// 32 KB, the most that deflate has.
const WINDOW_BITS: u8 = 15;

/// So much room is made in the buffer before each step.
const ROOM: usize = 4 * 1024;

/// RFC 1952, section 2.3: ten bytes when no flag is set.
const GZIP_HEADER: usize = 10;

/// FCOMMENT: text that ends with a zero.
const HAS_COMMENT: u8 = 0x10;

/// RFC 1950, section 2.2.
const ZLIB_HEADER: usize = 2;

/// A stored block that is not the last, of length zero.
const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];
