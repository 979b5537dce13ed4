//! Converts any body, and any stream, to one that a [`Body`](super::Body) can hold.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use sync_wrapper::SyncWrapper;

use super::BodyError;
use crate::BoxError;

pin_project! {
    /// A body with its data and error types converted to ours. It is `Sync` even if `B` is not.
    ///
    /// The wrapper gives no shared access to `B`, so it stores the values that `&self` methods
    /// return.
    pub(super) struct Adapter<B> {
        #[pin]
        body: SyncWrapper<B>,
        hint: SizeHint,
        is_end: bool,
    }
}

impl<B: http_body::Body> Adapter<B> {
    pub(super) fn new(body: B) -> Self {
        Self {
            hint: body.size_hint(),
            is_end: body.is_end_stream(),
            body: SyncWrapper::new(body),
        }
    }
}

impl<B> http_body::Body for Adapter<B>
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.project();
        let mut body = this.body.get_pin_mut();
        let polled = ready!(body.as_mut().poll_frame(cx));
        let body = body.as_ref();
        *this.hint = body.size_hint();
        *this.is_end = body.is_end_stream();
        Poll::Ready(polled.map(|frame| {
            frame
                .map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
                .map_err(BodyError::new)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.is_end
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

pin_project! {
    /// A stream of chunks as a body of unknown size.
    pub(super) struct FromStream<S> {
        #[pin]
        stream: S,
    }
}

impl<S> FromStream<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream }
    }
}

impl<S, T, E> http_body::Body for FromStream<S>
where
    S: Stream<Item = Result<T, E>>,
    T: Into<Bytes>,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let next = ready!(self.project().stream.poll_next(cx));
        Poll::Ready(next.map(|piece| piece.map(|piece| Frame::data(piece.into()))))
    }
}
