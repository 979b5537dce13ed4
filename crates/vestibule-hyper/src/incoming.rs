//! A request on its way in: hyper's body becomes an app's, its errors get names, and what the app
//! leaves unread is looked after.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use vestibule_core::{Body, BoxError};

use crate::link::Link;
use crate::server::Limits;
use crate::vitals::InFlight;

/// Why the body of a request broke off.
///
/// Apps read it from the error of a [`Body`]: `error.downcast_ref::<RequestBodyError>()`.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestBodyError {
    /// The client closed or reset the connection, or the stream, before the end of the body.
    Disconnected(BoxError),
    /// The client sent nothing for too long.
    Stalled,
    /// The client sent less than the least rate.
    TooSlow,
    /// The body is not framed as HTTP says: a bad chunk, or more bytes than were announced.
    BadFraming(BoxError),
}

impl fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected(_) => "the client went away before the end of the request's body",
            Self::Stalled => "the client stopped sending in the request's body",
            Self::TooSlow => "the client sends the request's body too slowly",
            Self::BadFraming(_) => "the request's body is badly framed",
        })
    }
}

impl Error for RequestBodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disconnected(error) | Self::BadFraming(error) => Some(&**error),
            Self::Stalled | Self::TooSlow => None,
        }
    }
}

impl From<hyper::Error> for RequestBodyError {
    fn from(error: hyper::Error) -> Self {
        match is_bad_framing(&error) {
            true => Self::BadFraming(error.into()),
            false => Self::Disconnected(error.into()),
        }
    }
}

/// The chunk decoder fails with an I/O error of these kinds, and HTTP/2 with a protocol error;
/// everything else that ends a body early is a client that is gone.
fn is_bad_framing(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let kind = error.kind();
            return matches!(
                kind,
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            );
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse()
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The body as apps get it, and where its rest is found when they are done.
pub(crate) fn receive(
    body: Incoming,
    is_http2: bool,
    expects_continue: bool,
    link: &Arc<Link>,
    limits: &Limits,
) -> (Body, Option<Rest>) {
    if body.is_end_stream() {
        return (Body::empty(), None);
    }
    let rest = Rest(Arc::new(Place {
        expects_continue,
        ..Place::default()
    }));
    let body = Unread {
        body: Some(body),
        rest: rest.clone(),
        // A stream of HTTP/2 ends alone: there is no rest to look after.
        leaves_rest: !is_http2,
        pace: Pace {
            limit: limits.body_timeout,
            rate: limits.min_body_rate,
            bytes: 0,
            waited: Duration::ZERO,
        },
        waiting: None,
        timer: None,
        in_flight: Some(InFlight::body(link.clone())),
    };
    (Body::new(body), Some(rest))
}

/// The place where a body that was dropped unfinished is left.
#[derive(Clone, Debug)]
pub(crate) struct Rest(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    body: Mutex<Option<Incoming>>,
    /// The client waits for a `100 Continue` before it sends the body.
    expects_continue: bool,
    was_read: AtomicBool,
    /// It ended in an error.
    broke: AtomicBool,
    /// That error was that the client took too long.
    timed_out: AtomicBool,
}

impl Rest {
    /// Whether the client took too long to send it.
    pub(crate) fn timed_out(&self) -> bool {
        self.0.timed_out.load(Ordering::Relaxed)
    }

    /// Reads and drops what the app left, so that the connection can be used again.
    pub(crate) async fn drain(self) -> Left {
        let left = self
            .0
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut body) = left else {
            return match self.0.broke.load(Ordering::Relaxed) {
                true => Left::Broken,
                false => Left::Nothing,
            };
        };
        // Reading would ask the client to send what nobody wants.
        if self.0.expects_continue && !self.0.was_read.load(Ordering::Relaxed) {
            return Left::Unasked;
        }
        if body.size_hint().lower() > MAX_DRAIN {
            return Left::More;
        }
        let read_all = async {
            let mut count = 0;
            loop {
                let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
                match frame {
                    None => return Left::Nothing,
                    Some(Err(_)) => return Left::Broken,
                    Some(Ok(frame)) => {
                        count += frame.data_ref().map_or(0, |data| data.len() as u64)
                    }
                }
                if count > MAX_DRAIN {
                    return Left::More;
                }
            }
        };
        tokio::time::timeout(MAX_DRAIN_TIME, read_all)
            .await
            .unwrap_or(Left::More)
    }
}

/// What is left of a body that was answered. Only after nothing can the connection be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// More than is read for nothing, or it does not come.
    More,
    /// All of it, and the client waits to be told to send it.
    Unasked,
    /// It has broken off: where the next request begins is anyone's guess.
    Broken,
}

/// A request's body while it is read.
struct Unread {
    /// `None` when it has ended.
    body: Option<Incoming>,
    rest: Rest,
    leaves_rest: bool,
    pace: Pace,
    /// Since when the app waits for the client.
    waiting: Option<Instant>,
    /// Made when the app waits for the first time.
    timer: Option<Pin<Box<Sleep>>>,
    in_flight: Option<InFlight>,
}

/// How fast a body comes. Only the time in which the app waits for it counts: an app may take its
/// own time.
#[derive(Clone, Copy, Debug)]
struct Pace {
    limit: Duration,
    /// Bytes a second, or 0.
    rate: u64,
    bytes: u64,
    waited: Duration,
}

impl Pace {
    /// How long the app waits for the next bytes at most, and what it is told then.
    fn patience(&self) -> (Duration, RequestBodyError) {
        if let Some(time) = self.bytes.saturating_mul(1000).checked_div(self.rate) {
            let allowed = Duration::from_millis(time).max(GRACE);
            let left = allowed.saturating_sub(self.waited);
            if left < self.limit {
                return (left, RequestBodyError::TooSlow);
            }
        }
        (self.limit, RequestBodyError::Stalled)
    }
}

impl Unread {
    /// Nothing is there yet: the clock runs.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<RequestBodyError> {
        let (patience, error) = self.pace.patience();
        let since = *self.waiting.get_or_insert_with(Instant::now);
        // A limit that no clock can hold is none.
        let Some(at) = since.checked_add(patience) else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx).map(|()| error)
    }

    fn end(&mut self) {
        self.body = None;
        self.in_flight = None;
    }

    fn broke(&self, error: &RequestBodyError) {
        let is_late = matches!(error, RequestBodyError::Stalled | RequestBodyError::TooSlow);
        self.rest.0.broke.store(true, Ordering::Relaxed);
        self.rest.0.timed_out.store(is_late, Ordering::Relaxed);
    }
}

impl http_body::Body for Unread {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        this.rest.0.was_read.store(true, Ordering::Relaxed);
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let is_last = body.is_end_stream();
        if let Some(in_flight) = &this.in_flight {
            in_flight.link().vitals.set_wants_body(polled.is_pending());
        }
        let polled = match polled {
            Poll::Ready(polled) => polled.map(|result| result.map_err(RequestBodyError::from)),
            Poll::Pending => Some(Err(ready!(this.poll_patience(cx)))),
        };
        if let Some(since) = this.waiting.take() {
            this.pace.waited += since.elapsed();
        }
        match polled {
            Some(Ok(mut frame)) => {
                this.pace.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(trailers) = frame.trailers_mut() {
                    clean(trailers);
                }
                if is_last {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.broke(&error);
                this.end();
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let (Some(body), true) = (self.body.take(), self.leaves_rest) {
            let mut left = self
                .rest
                .0
                .body
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *left = Some(body);
        }
    }
}

/// Takes out what a trailer must not say: how the message is framed and whom it is for
/// (RFC 9110, section 6.5.1).
fn clean(trailers: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, HOST] {
        trailers.remove(name);
    }
}

/// How long an app waits for a body before its rate counts.
const GRACE: Duration = Duration::from_secs(10);

/// How many bytes are read and dropped to keep a connection.
const MAX_DRAIN: u64 = 64 * 1024;

/// How long that may take.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_do_not_frame() {
        let mut trailers = HeaderMap::new();
        for name in ["content-length", "host", "transfer-encoding", "x-sum"] {
            trailers.insert(name, "1".parse().unwrap());
        }
        clean(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
    }

    #[test]
    fn whose_fault_it_is() {
        let cases = [
            (io::ErrorKind::InvalidInput, true),
            (io::ErrorKind::InvalidData, true),
            (io::ErrorKind::UnexpectedEof, false),
            (io::ErrorKind::ConnectionReset, false),
        ];
        for (kind, is_bad) in cases {
            assert_eq!(is_bad_framing(&io::Error::from(kind)), is_bad, "{kind}");
        }
    }

    #[test]
    fn patience_wears_off() {
        let secs = Duration::from_secs;
        let pace = |bytes, waited| Pace {
            limit: secs(30),
            rate: 500,
            bytes,
            waited: secs(waited),
        };
        // bytes so far, seconds waited, seconds left, whether that is the stall's limit
        let cases = [
            (0, 0, 10, false),
            (0, 9, 1, false),
            (0, 10, 0, false),
            (0, 11, 0, false),
            (5_000, 9, 1, false),
            (10_000, 0, 20, false),
            (10_000, 15, 5, false),
            (15_000, 0, 30, true),
            (1_000_000, 100, 30, true),
            (u64::MAX, 100, 30, true),
        ];
        for (bytes, waited, left, is_stall) in cases {
            let (patience, error) = pace(bytes, waited).patience();
            assert_eq!(patience, secs(left), "{bytes} bytes in {waited} s");
            assert_eq!(
                matches!(error, RequestBodyError::Stalled),
                is_stall,
                "{bytes}"
            );
        }
        let (patience, _) = Pace {
            rate: 0,
            ..pace(0, 100)
        }
        .patience();
        assert_eq!(patience, secs(30));
    }
}
