//! Bytes on their way to one that reads, a piece at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// A place for one piece.
#[derive(Default)]
pub(crate) struct Slot(Mutex<State>);

#[derive(Default)]
struct State {
    piece: Option<Bytes>,
    /// Nobody reads any more.
    is_closed: bool,
    reader: Option<Waker>,
    /// Whoever starts a response again has a second writer, perhaps in another task.
    writers: Vec<Waker>,
}

impl Slot {
    /// For who writes: lays `data` down once the place is free. Ready when there is nothing left in it, or
    /// nobody to read it.
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

    /// For the reader: from here on it is woken when there is something to [`take`](Self::take).
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        self.lock().reader = Some(cx.waker().clone());
    }

    pub(crate) fn take(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let piece = state.piece.take()?;
        state.wake_writers();
        Some(piece)
    }

    /// Nobody reads any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.piece = None;
        state.wake_writers();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_writers(&mut self) {
        self.writers.drain(..).for_each(Waker::wake);
    }
}
