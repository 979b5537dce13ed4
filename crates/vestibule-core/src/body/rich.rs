//! A body with more than bytes in memory: streamed frames, callbacks, a declared length, a file.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use sync_wrapper::SyncWrapper;

use super::{BodyError, End, FilePart, Frames, LengthMismatch, Outcome};
use crate::Panicked;

pin_project! {
    /// The frames and the additional properties, in one allocation.
    pub(super) struct Rich<B: ?Sized> {
        pub(super) extra: Extra,
        #[pin]
        frames: B,
    }
}

type Polled = Option<Result<Frame<Bytes>, BodyError>>;

impl Rich<dyn Frames> {
    pub(super) fn new(extra: Extra, frames: impl Frames + 'static) -> Pin<Box<Self>> {
        Box::pin(Rich { extra, frames })
    }

    /// Polls the next frame. It must not be called after the end or an error.
    pub(super) fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        let this = self.project();
        let (extra, mut frames) = (this.extra, this.frames);
        if let Some(bytes) = extra.whole.take() {
            let frame = (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)));
            return Poll::Ready(extra.saw(frame, true));
        }
        if extra.is_complete && extra.length.is_none() {
            return Poll::Ready(extra.saw(None, true));
        }
        match Panicked::catch(|| frames.as_mut().poll_frame(cx)) {
            Ok(polled) => {
                let polled = ready!(polled);
                Poll::Ready(extra.saw(polled, frames.is_end_stream()))
            }
            Err(panicked) => Poll::Ready(extra.saw(Some(Err(BodyError::new(panicked))), true)),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self.extra.length {
            Some(length) if length > self.extra.bytes => false,
            // The frames may exceed the length; only the next poll shows it.
            Some(_) => self.frames_ended(),
            None => self.extra.is_complete || self.frames_ended(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match (self.extra.length, &self.extra.whole) {
            (Some(length), _) => SizeHint::with_exact(length.saturating_sub(self.extra.bytes)),
            (None, Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            (None, None) => self.frames.size_hint(),
        }
    }

    /// Returns the number of data bytes that are in memory.
    pub(super) fn at_hand(&self) -> usize {
        let whole = self.extra.whole.as_ref().map(Bytes::len);
        whole.unwrap_or_else(|| self.frames.at_hand())
    }

    fn frames_ended(&self) -> bool {
        self.extra.whole.as_ref().is_none_or(Bytes::is_empty) && self.frames.is_end_stream()
    }
}

/// Properties that few bodies have.
#[derive(Default)]
pub(super) struct Extra {
    /// The bytes of a body in memory, until they are read.
    whole: Option<Bytes>,
    /// Stored directly, since most bodies have at most one callback.
    first: Option<Callback>,
    more: Vec<Callback>,
    /// Number of data bytes read so far.
    bytes: u64,
    /// The declared length, in bytes.
    length: Option<u64>,
    file: Option<FilePart>,
    /// Kept for the callbacks, if there are any. Boxed, since few bodies have trailers.
    trailers: Option<Box<HeaderMap>>,
    /// The body is complete: a drop from now on is not an abort.
    is_complete: bool,
}

/// Callbacks are only `Send`. The wrapper makes them `Sync`, which is sound since they run by
/// `&mut`.
type Callback = SyncWrapper<Box<dyn FnOnce(&End<'_>) + Send>>;

impl Extra {
    /// Creates the properties of a body in memory.
    pub(super) fn of(bytes: Bytes) -> Self {
        let mut extra = Self::default();
        extra.is_complete = bytes.is_empty();
        extra.whole = Some(bytes);
        extra
    }

    pub(super) fn push(&mut self, f: impl FnOnce(&End<'_>) + Send + 'static) {
        let callback: Callback = SyncWrapper::new(Box::new(f));
        match self.first {
            None => self.first = Some(callback),
            Some(_) => self.more.push(callback),
        }
    }

    pub(super) const fn is_watched(&self) -> bool {
        self.first.is_some()
    }

    /// Takes the callbacks into new properties without bytes. Returns `None` if there are no
    /// callbacks.
    pub(super) fn stripped(&mut self) -> Option<Self> {
        let first = self.first.take()?;
        let mut extra = Self::of(Bytes::new());
        extra.first = Some(first);
        extra.more = mem::take(&mut self.more);
        Some(extra)
    }

    pub(super) const fn expect(&mut self, length: u64) {
        self.length = Some(length);
        self.is_complete = length == self.bytes;
    }

    pub(super) const fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    pub(super) fn set_file(&mut self, part: FilePart) {
        self.file = Some(part);
    }

    pub(super) const fn file(&self) -> Option<&FilePart> {
        self.file.as_ref()
    }

    /// Counts the bytes of a frame. Replaces it with an error if it breaks the declared length.
    fn saw(&mut self, polled: Polled, is_last: bool) -> Polled {
        self.file = None;
        let polled = match polled {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(trailers) = frame.trailers_ref().filter(|_| self.is_watched()) {
                    self.trailers = Some(Box::new(trailers.clone()));
                }
                match self.length {
                    Some(length) if self.bytes > length => Some(Err(self.mismatch(length))),
                    _ => Some(Ok(frame)),
                }
            }
            None => match self.length {
                Some(length) if self.bytes < length => Some(Err(self.mismatch(length))),
                _ => None,
            },
            error => error,
        };
        match &polled {
            Some(Ok(_)) => {
                self.is_complete = match self.length {
                    Some(length) => self.bytes == length,
                    None => is_last,
                }
            }
            Some(Err(error)) => self.end(Outcome::Failed(error.get_ref())),
            None => self.end(Outcome::Complete),
        }
        polled
    }

    fn mismatch(&self, length: u64) -> BodyError {
        let bytes = self.bytes;
        BodyError::new(LengthMismatch { length, bytes })
    }

    /// Calls the callbacks. Each runs once, for the first event that ends the body.
    pub(super) fn end(&mut self, outcome: Outcome<'_>) {
        let bytes = self.bytes;
        let trailers = self.trailers.take();
        let callbacks = self
            .first
            .take()
            .into_iter()
            .chain(mem::take(&mut self.more));
        for callback in callbacks {
            callback.into_inner()(&End {
                outcome,
                bytes,
                trailers: trailers.as_deref(),
            });
        }
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        if self.is_complete {
            self.end(Outcome::Complete)
        } else {
            self.end(Outcome::Aborted)
        }
    }
}

/// The frame source of a body in memory: no frames after its bytes.
pub(super) struct NoFrames;

impl http_body::Body for NoFrames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Polled> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}
