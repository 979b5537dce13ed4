//! Finds out whether a body of unknown size is small.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use vestibule_core::{Body, BodyError};

/// Reads the ready bytes of `body`, up to `most` bytes, without waiting. A body that ends within them
/// becomes a body that is whole in memory. No byte of the others is lost.
pub(crate) async fn peek(mut body: Body, most: u64) -> Body {
    let mut front = VecDeque::new();
    let mut is_whole = false;
    std::future::poll_fn(|cx| {
        is_whole = read_ready(&mut body, &mut front, most, cx);
        Poll::Ready(())
    })
    .await;
    match (is_whole, front.len()) {
        (false, 0) => body,
        (true, 0) => Body::empty(),
        (true, 1) if matches!(front.front(), Some(Ok(frame)) if frame.is_data()) => {
            let frame = front.pop_front().and_then(Result::ok);
            Body::from(
                frame
                    .and_then(|frame| frame.into_data().ok())
                    .unwrap_or_default(),
            )
        }
        (true, _)
            if front
                .iter()
                .all(|frame| frame.as_ref().is_ok_and(Frame::is_data)) =>
        {
            let mut whole = BytesMut::new();
            for data in front.iter().flatten().filter_map(Frame::data_ref) {
                whole.extend_from_slice(data);
            }
            Body::from(whole.freeze())
        }
        _ => Body::new(Chained { front, rest: body }),
    }
}

type Polled = Result<Frame<Bytes>, BodyError>;

/// Whether the end of the body was reached.
fn read_ready(
    body: &mut Body,
    front: &mut VecDeque<Polled>,
    most: u64,
    cx: &mut Context<'_>,
) -> bool {
    let mut bytes = 0;
    for _ in 0..MAX_FRAMES {
        match http_body::Body::poll_frame(Pin::new(body), cx) {
            Poll::Ready(None) => return true,
            Poll::Ready(Some(frame)) => {
                let data = frame.as_ref().ok().and_then(Frame::data_ref);
                bytes += data.map_or(0, |data| data.len() as u64);
                let is_nothing = data.is_some_and(Bytes::is_empty);
                if !is_nothing {
                    front.push_back(frame);
                }
            }
            Poll::Pending => return false,
        }
        if http_body::Body::is_end_stream(body) {
            return true;
        }
        if bytes >= most {
            return false;
        }
    }
    false
}

/// Frames that were read ahead, and the rest.
struct Chained {
    front: VecDeque<Polled>,
    rest: Body,
}

impl http_body::Body for Chained {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Polled>> {
        match self.front.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => http_body::Body::poll_frame(Pin::new(&mut self.rest), cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.front.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.front.iter().flatten().filter_map(Frame::data_ref);
        let front: u64 = data.map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(front));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(front)) {
            hint.set_upper(upper);
        }
        hint
    }
}

/// A body of many tiny or empty frames is not read ahead for ever.
const MAX_FRAMES: usize = 64;
