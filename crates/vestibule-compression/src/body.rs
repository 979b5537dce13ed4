//! A body that encodes another as it is read.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use vestibule_core::{Body, BodyError};

use crate::SLICE;
use crate::budget::{EncoderBudget, Seat};
use crate::codec::{self, CodecError, Encoder, Spec};
use crate::policy::remove_digests;
use crate::turn::{Turn, after_others};

/// Encodes `inner` frame by frame.
///
/// The encoder is flushed when `inner` has nothing ready, or after each frame, so that no byte waits in
/// it while a client waits. After a slice of work the body yields, ready or not.
pub(crate) struct EncodedBody {
    inner: Body,
    seat: Arc<Seat>,
    budget: EncoderBudget,
    work: Work,
    stage: Stage,
    /// Bytes that were read and are not encoded yet.
    pending: Bytes,
    /// The rest of an uncompressed block; the encoder has its beginning.
    block: Bytes,
    trailers: Option<HeaderMap>,
    is_flushed_by_frame: bool,
    /// The encoder holds data that a decoder cannot see yet.
    has_unflushed: bool,
    /// The output must be sent now, even if it is small.
    is_due: bool,
    /// Work since the last yield, in bytes.
    spent: usize,
}

enum Work {
    /// The encoder is in its [`Seat`].
    Here,
    /// On a thread for blocking work, since the level is costly.
    Away(JoinHandle<(Encoder, Result<(), CodecError>)>),
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reading,
    /// `inner` has ended; some bytes may be pending.
    Read,
    Finished,
}

/// The step of the encoder after a write.
#[derive(Clone, Copy)]
enum Then {
    Nothing,
    Flush,
    Finish,
}

impl EncodedBody {
    pub(crate) fn new(
        inner: Body,
        seat: Arc<Seat>,
        budget: EncoderBudget,
        is_flushed_by_frame: bool,
    ) -> Self {
        Self {
            inner,
            seat,
            budget,
            work: Work::Here,
            stage: Stage::Reading,
            pending: Bytes::new(),
            block: Bytes::new(),
            trailers: None,
            is_flushed_by_frame,
            has_unflushed: false,
            is_due: false,
            spent: 0,
        }
    }

    /// Reads from `inner`; ready when something changed.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        match http_body::Body::poll_frame(Pin::new(&mut self.inner), cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // An empty frame is work too: a body may have any number of them.
                self.spent += FRAME;
                match frame.into_data() {
                    Ok(data) => {
                        self.pending = data;
                    }
                    Err(frame) => {
                        if let Ok(mut trailers) = frame.into_trailers() {
                            remove_digests(&mut trailers);
                            self.trailers = Some(trailers);
                        }
                    }
                }
                if http_body::Body::is_end_stream(&self.inner) {
                    self.stage = Stage::Read;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
            Poll::Ready(None) => {
                self.stage = Stage::Read;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                self.spent = 0;
                Poll::Pending
            }
        }
    }

    /// Takes a slice of the pending bytes, and the step after it.
    fn next_job(&mut self, most: usize) -> (Bytes, Then) {
        let slice = self.pending.split_to(self.pending.len().min(most));
        let is_block = !slice.is_empty() && self.seat.is_stored();
        let then = match (self.pending.is_empty(), self.stage) {
            // A flush or the end comes after the bytes of the block.
            _ if is_block => Then::Nothing,
            (true, Stage::Read) => Then::Finish,
            (true, _) if self.is_flushed_by_frame => Then::Flush,
            _ => Then::Nothing,
        };
        (slice, then)
    }

    /// Gives the encoder work to do, here or on another thread.
    fn start(&mut self, data: Bytes, then: Then) -> Result<(), CodecError> {
        match then {
            Then::Nothing => self.has_unflushed = true,
            Then::Flush => (self.has_unflushed, self.is_due) = (false, true),
            Then::Finish => (self.stage, self.is_due) = (Stage::Finished, true),
        }
        let Some(mut encoder) = self.seat.take() else {
            return Err(CodecError::Internal("it was given two tasks at once"));
        };
        if matches!(then, Then::Nothing) && encoder.begin_stored(&data) {
            self.spent += data.len();
            self.seat.put(encoder);
            (self.block, self.is_due, self.has_unflushed) = (data, true, false);
            return Ok(());
        }
        match Handle::try_current() {
            Ok(runtime) if self.seat.spec().is_costly() && !encoder.is_stored() => {
                self.work = Work::Away(runtime.spawn_blocking(move || {
                    let result = run(&mut encoder, &data, then);
                    (encoder, result)
                }));
                Ok(())
            }
            _ => {
                self.spent += data.len();
                let result = run(&mut encoder, &data, then);
                self.seat.put(encoder);
                result
            }
        }
    }

    /// Waits for work on another thread. Then the encoder is in its seat again.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if let Work::Away(task) = &mut self.work {
            let (encoder, result) = ready!(Pin::new(task).poll(cx)).map_err(BodyError::new)?;
            self.seat.put(encoder);
            self.work = Work::Here;
            self.spent = 0;
            result.map_err(BodyError::new)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the encoder back.
    fn end_work(&mut self) {
        self.work = Work::Done;
        drop(self.seat.take());
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let is_finished = self.stage == Stage::Finished;
            ready!(self.poll_work(cx)?);
            let least = if self.is_due { 1 } else { ENOUGH };
            self.is_due = false;
            let made = self.seat.take_made(least);
            if made.is_none() && !self.block.is_empty() {
                let block = mem::take(&mut self.block);
                return Poll::Ready(Some(Ok(Frame::data(block))));
            }
            if let Some(data) = made {
                if is_finished {
                    self.end_work();
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if is_finished {
                self.end_work();
                return Poll::Ready(
                    self.trailers
                        .take()
                        .map(|trailers| Ok(Frame::trailers(trailers))),
                );
            }
            if self.spent >= SLICE {
                // Other tasks run.
                self.spent = 0;
                after_others(cx);
                return Poll::Pending;
            }
            if !self.pending.is_empty() || self.stage == Stage::Read {
                let left = SLICE - self.spent;
                let most = if self.seat.is_stored() {
                    left.min(codec::BLOCK)
                } else if self.seat.spec().is_costly() {
                    SLICE_AWAY
                } else {
                    left
                };
                let (data, then) = self.next_job(most);
                self.start(data, then).map_err(BodyError::new)?;
                continue;
            }
            match self.poll_inner(cx)? {
                Poll::Ready(()) => {}
                Poll::Pending if self.has_unflushed => self
                    .start(Bytes::new(), Then::Flush)
                    .map_err(BodyError::new)?,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn run(encoder: &mut Encoder, data: &[u8], then: Then) -> Result<(), CodecError> {
    if !data.is_empty() {
        encoder.write(data)?;
    }
    match then {
        Then::Nothing => Ok(()),
        Then::Flush => encoder.flush(),
        Then::Finish => encoder.finish(),
    }
}

impl http_body::Body for EncodedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.seat.asked(self.budget.now());
        let polled = ready!(self.poll_step(cx));
        if let Some(Err(_)) = &polled {
            self.stage = Stage::Finished;
            self.end_work();
            self.trailers = None;
            self.inner = Body::empty();
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.stage == Stage::Finished && self.trailers.is_none() && matches!(self.work, Work::Done)
    }
}

/// Encodes a body that is whole in memory, slice by slice, and yields in between.
pub(crate) async fn encode_whole(
    spec: Spec,
    bytes: Bytes,
    budget: &EncoderBudget,
) -> Result<Bytes, CodecError> {
    if spec.is_costly()
        && let Ok(runtime) = Handle::try_current()
    {
        // More bodies at a time would take memory, and would not be faster.
        let _core = budget.core().await;
        let task = runtime.spawn_blocking(move || codec::encode(spec, &bytes));
        let failed = CodecError::Internal("it panicked, or the runtime ends");
        return task.await.unwrap_or(Err(failed));
    }
    if bytes.len() <= SLICE {
        return codec::encode(spec, &bytes);
    }
    let turn = Turn::wait().await;
    let mut encoder = Encoder::new(spec)?;
    let mut rest = bytes;
    while rest.len() > SLICE {
        encoder.write(&rest.split_to(SLICE))?;
        turn.next_slice().await;
    }
    run(&mut encoder, &rest, Then::Finish)?;
    Ok(encoder.take())
}

/// A frame of this many bytes is sent, due or not.
const ENOUGH: usize = 8 * 1024;

/// The work of reading a frame, in bytes.
const FRAME: usize = 256;

/// Work for another thread comes in larger pieces.
const SLICE_AWAY: usize = 128 * 1024;
