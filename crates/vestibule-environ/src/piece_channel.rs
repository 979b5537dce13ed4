//! A channel for one piece of bytes, from several writers to one reader.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Holds at most one piece.
#[derive(Default)]
pub(crate) struct PieceChannel(Mutex<PieceState>);

#[derive(Default)]
struct PieceState {
    piece: Option<Bytes>,
    /// The reader is gone.
    is_closed: bool,
    reader: Option<Waker>,
    /// A response that is started again has a second writer, perhaps in another task.
    writers: Vec<Waker>,
}

impl PieceChannel {
    /// Stores `data` when the channel is empty, for writers. Ready when the piece has been read, or
    /// when the reader is gone.
    pub(crate) fn poll_put(&self, data: &mut Option<Bytes>, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_closed {
            return Poll::Ready(());
        }
        if data.is_some() && state.piece.is_none() {
            state.piece = data.take();
            if let Some(reader) = state.reader.take() {
                reader.wake();
            }
        }
        if data.is_none() && state.piece.is_none() {
            return Poll::Ready(());
        }
        if !state.writers.iter().any(|it| it.will_wake(cx.waker())) {
            state.writers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Registers the reader to be woken when a piece is ready for [`take`](Self::take).
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        self.lock().reader = Some(cx.waker().clone());
    }

    pub(crate) fn take(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let piece = state.piece.take()?;
        state.wake_writers();
        Some(piece)
    }

    /// Closes the channel: there is no reader any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.piece = None;
        state.wake_writers();
    }

    fn lock(&self) -> MutexGuard<'_, PieceState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PieceState {
    fn wake_writers(&mut self) {
        self.writers.drain(..).for_each(Waker::wake);
    }
}
