//! A request on its way in: hyper's body becomes an app's, its errors get names, and what the app
//! leaves unread is looked after.

use std::error::Error;
use std::fmt;
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
use vestibule_core::{Body, BoxError};

/// Why the body of a request broke off.
///
/// Apps read it from the error of a [`Body`]: `error.downcast_ref::<RequestBodyError>()`.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestBodyError {
    /// The client closed or reset the connection, or the stream, before the end of the body.
    Disconnected(BoxError),
    /// The body is not framed as HTTP says: a bad chunk, or more bytes than were announced.
    BadFraming(BoxError),
}

impl fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected(_) => "the client went away before the end of the request's body",
            Self::BadFraming(_) => "the request's body is badly framed",
        })
    }
}

impl Error for RequestBodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disconnected(error) | Self::BadFraming(error) => Some(&**error),
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
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse() {
                return true;
            }
        }
        cause = error.source();
    }
    false
}

/// The body as apps get it, and where its rest is found when they are done.
///
/// For HTTP/2 there is no rest to look after: a stream ends alone.
pub(crate) fn receive(body: Incoming, is_http2: bool) -> (Body, Option<Rest>) {
    if body.is_end_stream() {
        return (Body::empty(), None);
    }
    if is_http2 {
        return (
            Body::new(Unread {
                body: Some(body),
                rest: None,
            }),
            None,
        );
    }
    let rest = Rest::default();
    let body = Unread {
        body: Some(body),
        rest: Some(rest.clone()),
    };
    (Body::new(body), Some(rest))
}

/// The place where a body that was dropped unfinished is left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest(Arc<Left>);

#[derive(Debug, Default)]
struct Left {
    body: Mutex<Option<Incoming>>,
    was_read: AtomicBool,
    /// It ended in an error: where the next request begins is anyone's guess.
    broke: AtomicBool,
}

impl Rest {
    /// Reads and drops what the app left, so that the connection can be used again. False when
    /// there is too much of it, when it does not come, or when the body has broken off; then the
    /// connection has to be closed.
    ///
    /// `expects_continue`: the client waits for a `100 Continue` before it sends the body. Reading
    /// would ask it to send what nobody wants.
    pub(crate) async fn drain(self, expects_continue: bool) -> bool {
        let left = self
            .0
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut body) = left else {
            return !self.0.broke.load(Ordering::Relaxed);
        };
        let asks = expects_continue && !self.0.was_read.load(Ordering::Relaxed);
        if asks || body.size_hint().lower() > MAX_DRAIN {
            return false;
        }
        let read_all = async {
            let mut count = 0;
            loop {
                let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
                match frame {
                    None => return true,
                    Some(Err(_)) => return false,
                    Some(Ok(frame)) => {
                        count += frame.data_ref().map_or(0, |data| data.len() as u64)
                    }
                }
                if count > MAX_DRAIN {
                    return false;
                }
            }
        };
        tokio::time::timeout(MAX_DRAIN_TIME, read_all)
            .await
            .unwrap_or(false)
    }
}

/// A request's body while it is read.
struct Unread {
    /// `None` when it has ended.
    body: Option<Incoming>,
    rest: Option<Rest>,
}

impl http_body::Body for Unread {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if let Some(rest) = &self.rest {
            rest.0.was_read.store(true, Ordering::Relaxed);
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = ready!(Pin::new(&mut *body).poll_frame(cx));
        if body.is_end_stream() || matches!(polled, None | Some(Err(_))) {
            self.body = None;
        }
        Poll::Ready(match polled {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    clean(trailers);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                if let Some(rest) = &self.rest {
                    rest.0.broke.store(true, Ordering::Relaxed);
                }
                Some(Err(error.into()))
            }
            None => None,
        })
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
        if let (Some(body), Some(rest)) = (self.body.take(), &self.rest) {
            *rest.0.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
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
}
