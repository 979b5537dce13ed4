//! gzip and zlib, by flate2 with zlib-rs.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::check::Container;
use super::decoder::Progress;
use super::stored::Format;
use super::{CodecError, Spec};
use crate::Coding;

/// Deflate without a container; the container is written around it.
pub(super) struct GzipEncoder {
    state: Compress,
    container: Container,
    has_header: bool,
    level: u8,
}

impl GzipEncoder {
    pub(super) fn new(spec: Spec) -> Self {
        let level = Compression::new(u32::from(spec.level));
        Self {
            state: Compress::new_with_window_bits(level, false, WINDOW_BITS),
            container: Container::new(spec.coding),
            has_header: false,
            level: spec.level,
        }
    }

    pub(super) fn fits(&self, spec: &Spec) -> bool {
        matches!(spec.coding, Coding::Gzip | Coding::Deflate) && self.level == spec.level
    }

    /// Starts a new stream. `spec` [fits](Self::fits).
    pub(super) fn reset(&mut self, spec: Spec) -> Result<(), CodecError> {
        self.state.reset();
        self.container = Container::new(spec.coding);
        self.has_header = false;
        Ok(())
    }

    /// Returns the format for the rest of the stream, after a flush. The state itself can be reused.
    pub(super) fn format(&mut self) -> Format {
        let container = Container::Zlib(1, 0);
        Format::Deflate(std::mem::replace(&mut self.container, container))
    }

    /// Begins the stream with `length` bytes that decoders skip.
    pub(super) fn pad(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.start(length, out);
        Ok(())
    }

    pub(super) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.start(0, out);
        self.container.update(data);
        self.run(data, out, FlushCompress::None)
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.start(0, out);
        self.run(&[], out, FlushCompress::Sync)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.start(0, out);
        self.run(&[], out, FlushCompress::Finish)?;
        self.container.trailer(out);
        Ok(())
    }

    fn start(&mut self, padding: usize, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_header, true) {
            self.container.header(padding, out);
        }
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
            // With spare capacity left, the codec has no more output.
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

/// 32 KB, the maximum of deflate.
const WINDOW_BITS: u8 = 15;

/// The spare capacity of the buffer before each step.
const ROOM: usize = 4 * 1024;

/// The memory of a state at any level, in bytes, as measured by a counting allocator, rounded up.
pub(super) const STREAM_COST: u64 = 480 * 1024;
