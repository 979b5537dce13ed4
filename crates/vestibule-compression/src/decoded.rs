//! A body that decodes another as it is read, within limits.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use vestibule_core::{Body, BodyError};

use crate::codec::{CodecError, Decoder};
use crate::turn::after_others;
use crate::{Coding, DecompressionError};

/// State that all decoders of one request share.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) max_ratio: u64,
    pub(crate) is_one_member: bool,
    /// The first error, for the response.
    pub(crate) fault: OnceLock<DecompressionError>,
    /// Bytes of the outermost coding that were decoded.
    pub(crate) wire: AtomicU64,
}

pub(crate) struct DecodedBody {
    inner: Body,
    coding: Coding,
    limits: Arc<Limits>,
    /// Whether this is the outermost coding, which reads the received bytes.
    is_wire: bool,
    state: State,
    pending: Bytes,
    out: Vec<u8>,
    /// The number of decoded bytes so far.
    made: u64,
    /// Output since the last yield.
    spent: usize,
    trailers: Option<HeaderMap>,
}

enum State {
    /// Before the first byte.
    Fresh,
    /// In the middle of a stream. The flag says whether the decoder may have more output without more input.
    Within(Decoder, bool),
    /// At the end of a stream, or of one of several.
    AtEnd(Decoder),
    Done,
}

impl DecodedBody {
    pub(crate) fn new(inner: Body, coding: Coding, limits: Arc<Limits>, is_wire: bool) -> Self {
        Self {
            inner,
            coding,
            limits,
            is_wire,
            state: State::Fresh,
            pending: Bytes::new(),
            out: Vec::new(),
            made: 0,
            spent: 0,
            trailers: None,
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.spent >= SPENT {
                self.spent = 0;
                after_others(cx);
                return Poll::Pending;
            }
            if !self.pending.is_empty() || matches!(self.state, State::Within(_, true)) {
                self.step().map_err(BodyError::new)?;
                if !self.out.is_empty() {
                    let data = Bytes::copy_from_slice(&self.out);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                continue;
            }
            if matches!(self.state, State::Done) {
                let trailers = self.trailers.take();
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
            self.spent += FRAME;
            let frame = match ready!(http_body::Body::poll_frame(Pin::new(&mut self.inner), cx)) {
                Some(frame) => frame?,
                None => {
                    self.end().map_err(BodyError::new)?;
                    self.state = State::Done;
                    continue;
                }
            };
            match frame.into_data() {
                Ok(data) => self.pending = data,
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
    }

    /// One step of the decoder, with its output in `out`.
    fn step(&mut self) -> Result<(), DecompressionError> {
        self.out.clear();
        self.out.reserve(CHUNK);
        let mut decoder = match std::mem::replace(&mut self.state, State::Done) {
            State::Fresh => Decoder::new(self.coding, self.limits.max_ratio).map_err(fault)?,
            State::Within(decoder, _) => decoder,
            State::AtEnd(decoder) => self.next_member(decoder)?,
            State::Done => return Err(DecompressionError::Trailing),
        };
        let progress = decoder
            .decode(&self.pending, &mut self.out)
            .map_err(fault)?;
        let read = progress.read.min(self.pending.len());
        let is_idle = read == 0 && self.out.is_empty() && !progress.has_more && !progress.is_end;
        if is_idle && !self.pending.is_empty() {
            return Err(DecompressionError::Corrupt("its decoder is stuck"));
        }
        let _ = self.pending.split_to(read);
        self.spent += match self.out.len() + read {
            // The size of the output is unknown.
            0 => CHUNK,
            bytes => bytes,
        };
        self.made += self.out.len() as u64;
        let read = match self.is_wire {
            true => read as u64,
            false => 0,
        };
        let wire = read + self.limits.wire.fetch_add(read, Ordering::Relaxed);
        self.check(wire)?;
        self.state = match progress.is_end {
            true => State::AtEnd(decoder),
            false => State::Within(decoder, progress.has_more),
        };
        Ok(())
    }

    /// Handles bytes after the end of a stream: another member or frame, if the coding allows it.
    fn next_member(&self, decoder: Decoder) -> Result<Decoder, DecompressionError> {
        if self.limits.is_one_member {
            return Err(DecompressionError::Trailing);
        }
        match self.coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip if self.pending.first() == Some(&GZIP_MAGIC) => {
                Decoder::new(self.coding, self.limits.max_ratio).map_err(fault)
            }
            // The same decoder starts again, and checks the magic number.
            #[cfg(feature = "zstd")]
            Coding::Zstd => Ok(decoder),
            #[cfg(any(feature = "gzip", feature = "brotli"))]
            _ => {
                drop(decoder);
                Err(DecompressionError::Trailing)
            }
        }
    }

    fn check(&self, wire: u64) -> Result<(), DecompressionError> {
        let Limits {
            max_bytes,
            max_ratio,
            ..
        } = *self.limits;
        if self.made > max_bytes {
            return Err(DecompressionError::TooLarge { limit: max_bytes });
        }
        if self.made > FREE && self.made > wire.saturating_mul(max_ratio) {
            return Err(DecompressionError::TooDense { limit: max_ratio });
        }
        Ok(())
    }

    /// Checks that the stream has ended when the inner body has ended.
    fn end(&self) -> Result<(), DecompressionError> {
        match self.state {
            State::Within(..) => Err(DecompressionError::Truncated),
            _ => Ok(()),
        }
    }
}

impl http_body::Body for DecodedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = ready!(self.poll_step(cx));
        if let Some(Err(error)) = &polled {
            if let Some(error) = error.downcast_ref::<DecompressionError>() {
                // The first error counts: inner codings only see its consequences.
                let _ = self.limits.fault.set(error.clone());
            }
            self.state = State::Done;
            self.pending = Bytes::new();
            self.inner = Body::empty();
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done) && self.trailers.is_none()
    }
}

fn fault(error: CodecError) -> DecompressionError {
    match error {
        CodecError::Corrupt(why) | CodecError::Internal(why) => DecompressionError::Corrupt(why),
        CodecError::Window => DecompressionError::Window,
    }
}

/// The maximum size of a frame of output.
const CHUNK: usize = 16 * 1024;

/// RFC 1952, section 2.3.1: the first byte of a member.
#[cfg(feature = "gzip")]
const GZIP_MAGIC: u8 = 0x1f;

/// The task yields after this many bytes in and out: less than a millisecond of work.
const SPENT: usize = 128 * 1024;

/// The work of reading a frame, in bytes.
const FRAME: usize = 256;

/// The ratio does not count for this many decoded bytes.
const FREE: u64 = 1 << 20;
