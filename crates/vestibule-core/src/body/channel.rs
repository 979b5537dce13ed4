//! A body with a separate writer.
//!
//! It uses a mutex and two wakers, since this crate depends on no runtime.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{Abort, BodyError};
use crate::BoxError;

/// The writing end of [`Body::channel`](super::Body::channel).
///
/// A sender that is dropped before [`finish`](Self::finish) ends the body with an error. So a
/// reader never takes the body of a panicked writer for a complete one.
pub struct BodySender {
    shared: Arc<Mutex<ChannelState>>,
}

/// The error of a write to a dropped body: the reader stopped reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body that is written to was dropped")
    }
}

impl Error for Closed {}

impl BodySender {
    /// Sets the number of bytes that may wait before a write does. A waiting writer is woken when half of
    /// the limit is free. A large limit pays off where the writer and the reader are threads, since each
    /// wake-up is expensive.
    ///
    /// Defaults to a limit that grows with the reader. It is 16 KiB for the first bytes of a body, then
    /// 8 KiB. When 4 MiB were read, it grows by 1 KiB for each 32 KiB, up to 64 KiB. So a client that
    /// reads nothing holds little memory.
    ///
    /// A body is not read before the app has returned its response. An app that writes more than the limit
    /// before that waits for ever; it must write from a task.
    #[must_use]
    pub fn with_room(self, bytes: usize) -> Self {
        lock(&self.shared).set_room = Some(bytes.max(1));
        self
    }

    /// Writes a chunk. Waits while the [limit](Self::with_room) is reached.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the body was dropped.
    pub async fn send(&mut self, data: impl Into<Bytes>) -> Result<(), Closed> {
        let data = data.into();
        self.ready().await?;
        if data.is_empty() {
            Ok(())
        } else {
            self.push(Frame::data(data))
        }
    }

    /// Waits until the buffer has room. The next write then does not wait.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the body was dropped.
    pub async fn ready(&mut self) -> Result<(), Closed> {
        poll_fn(|cx| lock(&self.shared).poll_room(cx)).await
    }

    /// Waits until the body is dropped. Use it for writers that wait for another event meanwhile.
    pub async fn closed(&mut self) {
        poll_fn(|cx| lock(&self.shared).poll_closed(cx)).await;
    }

    /// Ends the body successfully.
    pub fn finish(self) {
        end(lock(&self.shared), None);
    }

    /// Ends the body with trailers.
    pub fn finish_with(mut self, trailers: HeaderMap) {
        if self.push(Frame::trailers(trailers)).is_ok() {
            self.finish();
        }
    }

    /// Ends the body with an error, so that the reader sees that it is incomplete.
    pub fn abort(&mut self, error: impl Into<BoxError>) {
        end(lock(&self.shared), Some(error.into().into()));
    }

    fn push(&mut self, frame: Frame<Bytes>) -> Result<(), Closed> {
        let mut shared = lock(&self.shared);
        if shared.is_closed {
            return Err(Closed);
        }
        shared.waiting += frame.data_ref().map_or(0, Bytes::len);
        shared.frames.push_back(frame);
        wake(shared.reader.take(), shared);
        Ok(())
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        end(lock(&self.shared), Some(BodyError::new(Abort)));
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = lock(&self.shared);
        f.debug_struct("BodySender")
            .field("waiting_bytes", &shared.waiting)
            .field("is_closed", &shared.is_closed)
            .finish()
    }
}

/// The reading end, which is inside a `Body`.
pub(super) struct Receiver {
    shared: Arc<Mutex<ChannelState>>,
}

pub(super) fn channel() -> (BodySender, Receiver) {
    let shared = Arc::new(Mutex::new(ChannelState::default()));
    let sender = BodySender {
        shared: shared.clone(),
    };
    (sender, Receiver { shared })
}

impl http_body::Body for Receiver {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut shared = lock(&self.shared);
        if let Some(frame) = shared.frames.pop_front() {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            shared.waiting -= bytes;
            shared.read = shared.read.saturating_add(bytes);
            if shared.waiting <= shared.room() / 2 {
                wake(shared.writer.take(), shared);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut shared.end {
            Some(error) => Poll::Ready(error.take().map(Err)),
            None => {
                shared.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        shared.frames.is_empty() && matches!(shared.end, Some(None))
    }

    /// The size is unknown until the end.
    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            SizeHint::with_exact(0)
        } else {
            SizeHint::default()
        }
    }
}

impl Receiver {
    /// Returns the number of data bytes that can be read without a wait.
    pub(super) fn at_hand(&self) -> usize {
        lock(&self.shared).waiting
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.is_closed = true;
        shared.frames.clear();
        wake(shared.writer.take(), shared);
    }
}

#[derive(Default)]
struct ChannelState {
    frames: VecDeque<Frame<Bytes>>,
    /// Number of data bytes in `frames`.
    waiting: usize,
    /// Number of data bytes that were read.
    read: usize,
    /// Limit of `waiting` that the writer has set: above it, a writer waits.
    set_room: Option<usize>,
    /// Set once, by the writer: `None` inside for a successful end, else the error.
    end: Option<Option<BodyError>>,
    /// Set when the reader is dropped.
    is_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl ChannelState {
    fn room(&self) -> usize {
        self.set_room.unwrap_or_else(|| room_after(self.read))
    }

    fn poll_room(&mut self, cx: &Context<'_>) -> Poll<Result<(), Closed>> {
        if self.is_closed {
            return Poll::Ready(Err(Closed));
        }
        if self.waiting < self.room() {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_closed(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.is_closed {
            return Poll::Ready(());
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Ends the body, unless it has already ended.
fn end(mut shared: MutexGuard<'_, ChannelState>, error: Option<BodyError>) {
    if shared.end.is_none() {
        shared.end = Some(error);
        wake(shared.reader.take(), shared);
    }
}

/// Unlocks before it wakes the other side. A thread that is woken earlier would wait for the lock.
fn wake(waker: Option<Waker>, shared: MutexGuard<'_, ChannelState>) {
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Ignores poisoning: every change is one step, so a panic elsewhere leaves the queue consistent.
fn lock(shared: &Mutex<ChannelState>) -> MutexGuard<'_, ChannelState> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the limit of waiting bytes after `read` bytes were read.
///
/// Each wait of a writer costs a wake-up, so a short body has none. The kernel accepts the start of a long
/// body for a client that reads nothing; bytes behind that are held until the connection is closed. A
/// client that goes on reading gets a larger limit.
fn room_after(read: usize) -> usize {
    let start = START.saturating_sub(read);
    let earned = LEAST_ROOM.saturating_add(read.saturating_sub(READ_BEFORE_GROWTH) / READ_FOR_ROOM);
    start.max(earned).min(MAX_ROOM)
}

/// The largest limit, in bytes.
const MAX_ROOM: usize = 64 * 1024;

/// The limit at the start of a body, in bytes. With 64 KiB each of 2,000 clients that read nothing held
/// 18 KiB more.
const START: usize = 16 * 1024;

/// The smallest limit, in bytes.
const LEAST_ROOM: usize = 8 * 1024;

/// The limit does not grow before this many bytes were read. An encoder reads several times the bytes that
/// the kernel accepts for a client that reads nothing.
const READ_BEFORE_GROWTH: usize = 4 * 1024 * 1024;

/// Then the limit grows by one byte for this many bytes read.
const READ_FOR_ROOM: usize = 32;

#[cfg(test)]
mod tests {
    use std::future::Future;

    use http_body::Body as _;

    use super::super::Body;
    use super::*;

    #[tokio::test]
    async fn a_writer_waits_for_its_reader() {
        let (mut sender, mut body) = Body::channel();
        sender.send(vec![0; MAX_ROOM]).await.unwrap();
        let writer = tokio::spawn(async move {
            sender.send("more").await.unwrap();
            sender.finish();
        });
        tokio::task::yield_now().await;
        assert!(!writer.is_finished());
        assert_eq!(
            body.frame()
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap()
                .len(),
            MAX_ROOM
        );
        writer.await.unwrap();
        assert_eq!(body.collect(10).await.unwrap(), "more");
    }

    #[test]
    fn the_room_is_small_after_the_start_and_grows_with_what_was_read() {
        let cases = [
            (0, 16),
            (1, 15),
            (8, 8),
            (4_096, 8),
            (4_128, 9),
            (4_352, 16),
            (5_120, 40),
            (5_888, 64),
            (100_000, 64),
        ];
        for (read, room) in cases {
            assert_eq!(room_after(read * 1024) / 1024, room, "{read} KiB");
        }
        assert_eq!(room_after(usize::MAX), MAX_ROOM);
        for read in (0..8 * 1024 * 1024).step_by(1_000) {
            assert!(
                (LEAST_ROOM..=MAX_ROOM).contains(&room_after(read)),
                "{read}"
            );
        }
    }

    /// Writes until a write waits, and returns the number of waiting bytes.
    async fn fill(sender: &mut BodySender, piece: usize) -> usize {
        loop {
            let mut write = std::pin::pin!(sender.send(vec![0; piece]));
            let polled = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await;
            if polled.is_pending() {
                break;
            }
        }
        lock(&sender.shared).waiting
    }

    #[tokio::test]
    async fn a_reader_that_stops_holds_little() {
        for piece in [1, 100, 8_000] {
            let (mut sender, mut body) = Body::channel();
            assert!((START..START + piece).contains(&fill(&mut sender, piece).await));
            let mut read = 0;
            while read < 100_000 {
                while let Some(frame) = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Ready(frame) => Poll::Ready(frame),
                    Poll::Pending => Poll::Ready(None),
                })
                .await
                {
                    read += frame.unwrap().into_data().unwrap().len();
                }
                let room = room_after(read);
                let waiting = fill(&mut sender, piece).await;
                assert!(
                    (room..room + piece).contains(&waiting),
                    "{piece}, {read}: {waiting}"
                );
            }
            assert!(lock(&sender.shared).waiting < 12_000 + piece);
        }
    }

    #[tokio::test]
    async fn a_waiting_writer_is_woken_at_half_of_the_limit() {
        let (sender, mut body) = Body::channel();
        let mut sender = sender.with_room(3);
        for piece in ["a", "b", "c"] {
            sender.send(piece).await.unwrap();
        }
        let writer = tokio::spawn(async move { sender.send("d").await });
        tokio::task::yield_now().await;
        body.frame().await.unwrap().unwrap();
        tokio::task::yield_now().await;
        assert!(!writer.is_finished(), "two of three are not half");
        body.frame().await.unwrap().unwrap();
        assert_eq!(writer.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_dropped_sender_is_an_error() {
        let (mut sender, mut body) = Body::channel();
        sender.send("half").await.unwrap();
        drop(sender);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().unwrap_err().is::<Abort>());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_write_to_a_dropped_body_fails() {
        let (mut sender, body) = Body::channel();
        drop(body);
        assert_eq!(sender.send("x").await, Err(Closed));
        sender.closed().await;
    }

    #[tokio::test]
    async fn trailers_come_last() {
        let (mut sender, mut body) = Body::channel();
        sender.send("x").await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        sender.finish_with(trailers.clone());
        body.frame().await;
        assert_eq!(
            body.frame()
                .await
                .unwrap()
                .unwrap()
                .into_trailers()
                .unwrap(),
            trailers
        );
        assert!(body.frame().await.is_none());
    }
}
