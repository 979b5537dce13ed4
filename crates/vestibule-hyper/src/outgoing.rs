//! A response on its way out: framed as HTTP says whatever the app set, and cut rather than ended
//! well when its body breaks.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use vestibule_core::{
    Abort, Body, BodyError, BoxError, Failure, IntoResponse, LengthMismatch, Panicked, Replaced,
    Response,
};

use crate::link::Link;
use crate::pieces::Pieces;
use crate::vitals::{InFlight, Sending};

/// What has to be known of a request to answer it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// For the log only.
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    /// Whether the connection can become another protocol's.
    pub(crate) can_upgrade: bool,
}

/// Makes a response fit for hyper, which trusts what it is given.
pub(crate) fn prepare(
    mut response: Response,
    asked: Asked,
    closes: bool,
    mut in_flight: InFlight,
) -> http::Response<Outgoing> {
    let vitals = &in_flight.link().vitals;
    let is_http2 = asked.version == Version::HTTP_2;
    let framing = Framing::of(response.headers());
    let mut has_coding = framing.has_coding;
    let shape = match shape(&asked, response.status(), framing.length) {
        Ok(shape) => shape,
        Err(mistake) => {
            tracing::error!(
                target: "vestibule", method = %asked.method, uri = %asked.uri,
                status = response.status().as_u16(), "the app's response cannot be sent: {mistake}"
            );
            let instead = Failure::new(mistake).into_response();
            let replaced = Replaced::new(instead.status(), mistake);
            std::mem::replace(&mut response, instead)
                .into_body()
                .abandon(replaced);
            has_coding = false;
            match asked.method {
                Method::HEAD => Shape::NoBytes { keeps_length: true },
                _ => Shape::Any,
            }
        }
    };
    *response.version_mut() = match is_http2 {
        true => Version::HTTP_2,
        false => Version::HTTP_11,
    };
    let (mut head, mut body) = response.into_parts();
    let headers = &mut head.headers;
    if has_coding {
        headers.remove(TRANSFER_ENCODING);
    }
    match shape {
        Shape::Handover => {
            if head.status != StatusCode::SWITCHING_PROTOCOLS {
                headers.remove(CONTENT_LENGTH);
            }
            vitals.tunnel();
        }
        Shape::NoBytes { keeps_length } => {
            let length = match Framing::of(headers).length {
                Ok(Some(length)) => Some(length),
                // An app that gives a HEAD no body at all has said nothing of its length.
                _ if asked.method == Method::HEAD => body.size_hint().exact().filter(|it| *it > 0),
                _ => None,
            };
            match length.filter(|_| keeps_length) {
                Some(length) => headers.insert(CONTENT_LENGTH, length.into()),
                None => headers.remove(CONTENT_LENGTH),
            };
            body = body.without_bytes();
        }
        Shape::Length(length) => {
            // One line, and in our spelling.
            if !framing.is_plain {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            if body.size_hint().exact() != Some(length) {
                body = body.with_length(length);
            }
        }
        Shape::Any => {}
    }
    // An HTTP/1.0 client knows no chunks: to it the end of the connection is the end of such a body, whatever it
    // asked for (RFC 9112, sections 6.3 and 9.3).
    let ends_with_connection = asked.version < Version::HTTP_11
        && shape == Shape::Any
        && body.size_hint().exact().is_none();
    let closes = closes || ends_with_connection || vitals.is_last() || vitals.is_too_old();
    if closes && !is_http2 && shape != Shape::Handover {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if asked.version < Version::HTTP_11 {
            // To an answer of 1.1 hyper would add `keep-alive`, where the client asked for it.
            head.version = Version::HTTP_10;
        }
    }
    if !is_http2 {
        vitals.give_answer();
    }
    let can_break = !body.is_buffered() || body.size_hint().exact() != body.as_bytes().map(len);
    let watched = can_break.then(|| Box::new(Watched::new(asked, in_flight.link().clone())));
    if is_http2 && body.is_end_stream() {
        in_flight.finish();
    }
    let sending =
        (is_http2 && !body.is_end_stream()).then(|| Sending::new(in_flight.link().clone()));
    let body = Outgoing {
        body,
        watched,
        sending,
        in_flight,
    };
    http::Response::from_parts(head, body)
}

/// What a response may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// The connection is no longer HTTP's: hands off.
    Handover,
    /// No bytes (RFC 9110, section 6.4.1), with or without a `Content-Length`.
    NoBytes { keeps_length: bool },
    /// Exactly as many bytes as the app says.
    Length(u64),
    /// Whatever the body has.
    Any,
}

/// A pure function of the request and of what the app set.
fn shape(asked: &Asked, status: StatusCode, length: Length) -> Result<Shape, Mistake> {
    let is_http2 = asked.version == Version::HTTP_2;
    if status == StatusCode::SWITCHING_PROTOCOLS && asked.can_upgrade && !is_http2 {
        return Ok(Shape::Handover);
    }
    if status.is_informational() {
        return Err(Mistake::Informational(status));
    }
    if asked.method == Method::CONNECT && status.is_success() {
        return Ok(Shape::Handover);
    }
    let length = length.map_err(|()| Mistake::ContentLength)?;
    let is_head = asked.method == Method::HEAD;
    match status {
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT => Ok(Shape::NoBytes {
            keeps_length: false,
        }),
        StatusCode::NOT_MODIFIED => Ok(Shape::NoBytes { keeps_length: true }),
        _ if is_head => Ok(Shape::NoBytes { keeps_length: true }),
        _ => Ok(length.map_or(Shape::Any, Shape::Length)),
    }
}

/// The one length that the lines agree on; an error when they do not, or say no number.
type Length = Result<Option<u64>, ()>;

/// What a response says about where it ends, found in one pass over its fields.
struct Framing {
    length: Length,
    /// There is one line, and it is spelt as we do.
    is_plain: bool,
    has_coding: bool,
}

impl Framing {
    fn of(headers: &HeaderMap) -> Self {
        let mut framing = Self {
            length: Ok(None),
            is_plain: true,
            has_coding: false,
        };
        for (name, line) in headers {
            if *name == CONTENT_LENGTH {
                let this = number(line.as_bytes());
                framing.is_plain &=
                    framing.length == Ok(None) && !line.as_bytes().starts_with(b"0");
                framing.length = match (framing.length, this) {
                    (Ok(None), Some(this)) => Ok(Some(this)),
                    (Ok(Some(other)), Some(this)) if this == other => Ok(Some(this)),
                    _ => Err(()),
                };
            } else if *name == TRANSFER_ENCODING {
                framing.has_coding = true;
            }
        }
        framing
    }
}

/// Digits and nothing else: `parse` would take a sign.
fn number(text: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for byte in text {
        let digit = char::from(*byte).to_digit(10)?;
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    (!text.is_empty()).then_some(number)
}

/// What an app did that cannot be sent; the client gets a 500 instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    Informational(StatusCode),
    ContentLength,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Informational(status) if *status == StatusCode::SWITCHING_PROTOCOLS => {
                f.write_str("101 answers a request that asks for no other protocol")
            }
            Self::Informational(status) => write!(f, "{status} is not a final answer"),
            Self::ContentLength => {
                f.write_str("Content-Length is not a number, or two of them differ")
            }
        }
    }
}

impl Error for Mistake {}

fn len(bytes: &Bytes) -> u64 {
    bytes.len() as u64
}

/// A response's body as hyper reads it.
///
/// An error in it is logged here, since no response can carry it any more: an app's mistake at
/// error level, a failing source at warn level, and an [`Abort`] on purpose at debug level.
pub(crate) struct Outgoing {
    body: Body,
    /// `None` for a body that cannot break.
    watched: Option<Box<Watched>>,
    sending: Option<Sending>,
    in_flight: InFlight,
}

struct Watched {
    asked: Asked,
    link: Arc<Link>,
    /// What comes next, and was asked for already.
    next: Option<Result<Frame<Bytes>, BoxError>>,
    /// The error that comes next.
    late: Option<BodyError>,
    /// How many frames in a row had no bytes.
    empty: u32,
}

impl Watched {
    fn new(asked: Asked, link: Arc<Link>) -> Self {
        Self {
            asked,
            link,
            next: None,
            late: None,
            empty: 0,
        }
    }

    fn log(&self, error: &BodyError) {
        let Asked { method, uri, .. } = &self.asked;
        if is_caused_by::<Abort>(error) {
            tracing::debug!(target: "vestibule", %method, %uri, "the app aborted its response");
        } else if is_caused_by::<LengthMismatch>(error) || is_caused_by::<Panicked>(error) {
            tracing::error!(target: "vestibule", %method, %uri, "the response is cut: {error}");
        } else {
            tracing::warn!(target: "vestibule", %method, %uri, "the response is cut: {error}");
        }
    }

    /// Adds what is in memory already: each write costs the kernel much the same, and its last bytes are
    /// a packet of their own.
    fn gather(&mut self, pieces: &mut Pieces, body: &mut Body, cx: &mut Context<'_>) {
        while pieces.remaining() < GATHERED && pieces.count() < MAX_PIECES && body.at_hand() > 0 {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(more) => pieces.push(more),
                    Err(trailers) => return self.next = Some(Ok(trailers)),
                },
                Poll::Ready(Some(Err(error))) => return self.late = Some(error),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// Whether it is known already what comes next.
    fn has_next(&self) -> bool {
        self.next.is_some() || self.late.is_some()
    }

    /// The body has ended in `error`. hyper throws away what it has not written when it hears of
    /// that, the head of the response included: so it gets a turn to write first.
    fn broke(
        &mut self,
        error: BodyError,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, BoxError>>> {
        self.log(&error);
        // To an HTTP/1.0 client the end of the connection is the end of the body.
        if self.asked.version < Version::HTTP_11 {
            self.link.vitals.reset();
        }
        self.next = Some(Err(error.into_inner()));
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl http_body::Body for Outgoing {
    type Data = Pieces;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, BoxError>>> {
        let polled = self.poll(cx);
        if self.sending.is_some() && (matches!(polled, Poll::Ready(None)) || self.is_end_stream()) {
            self.in_flight.finish();
        }
        if let Some(sending) = &mut self.sending {
            sending.asked(polled.is_pending());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let has_next = self
            .watched
            .as_ref()
            .is_some_and(|watched| watched.has_next());
        // A body that owes bytes is asked for them, and so found short.
        !has_next && self.body.is_end_stream() && self.body.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Outgoing {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Pieces>, BoxError>>> {
        let body = &mut self.body;
        let Some(watched) = &mut self.watched else {
            let polled = Pin::new(body).poll_frame(cx);
            return polled.map(|frame| frame.map(frame_in_pieces));
        };
        if let Some(next) = watched.next.take() {
            return Poll::Ready(Some(next.map(in_pieces)));
        }
        if let Some(error) = watched.late.take() {
            return watched.broke(error, cx);
        }
        // What a client does not read is held for it, however slow it is: so it is one piece, and not
        // as many as hyper has room for.
        if watched.link.vitals.holds_up() {
            return Poll::Pending;
        }
        let first = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => frame.into_data(),
            Some(Err(error)) => return watched.broke(error, cx),
            None => return Poll::Ready(None),
        };
        let mut pieces = match first {
            Ok(first) => Pieces::One(first),
            Err(trailers) => return Poll::Ready(Some(Ok(in_pieces(trailers)))),
        };
        if !pieces.has_remaining() {
            // hyper asks again at once; a body of nothing but these would hold its thread.
            watched.empty += 1;
            if watched.empty >= MAX_EMPTY {
                watched.empty = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Some(Ok(Frame::data(pieces))));
        }
        watched.empty = 0;
        if watched.link.vitals.is_http1() {
            watched.gather(&mut pieces, body, cx);
        }
        // hyper stops asking at the length that was announced. Whether there is more is asked here.
        if !watched.has_next() && body.size_hint().exact() == Some(0) && !body.is_end_stream() {
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => return watched.broke(error, cx),
                Poll::Ready(Some(Ok(frame))) => watched.next = Some(Ok(frame)),
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
        Poll::Ready(Some(Ok(Frame::data(pieces))))
    }
}

fn in_pieces(frame: Frame<Bytes>) -> Frame<Pieces> {
    frame.map_data(Pieces::One)
}

/// Converts a frame for hyper. An error becomes the box inside, without another allocation.
fn frame_in_pieces(frame: Result<Frame<Bytes>, BodyError>) -> Result<Frame<Pieces>, BoxError> {
    match frame {
        Ok(frame) => Ok(in_pieces(frame)),
        Err(error) => Err(error.into_inner()),
    }
}

/// Whether the error, or one of its sources, is an `E`. A layer that wraps the body in one of its own
/// (axum's, for example) wraps the error too.
fn is_caused_by<E: Error + 'static>(error: &BodyError) -> bool {
    let first: Option<&(dyn Error + 'static)> = Some(error.get_ref());
    std::iter::successors(first, |&error| error.source()).any(|error| error.is::<E>())
}

/// From how many bytes on nothing more is added to what is sent in one go.
const GATHERED: usize = 512 * 1024;

/// How many pieces that may be: the kernel takes a head, what frames them, and these.
const MAX_PIECES: usize = 48;

/// How many empty frames in a row a body has before others get a turn.
const MAX_EMPTY: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Shape = Shape::NoBytes {
        keeps_length: false,
    };
    const SIZED: Shape = Shape::NoBytes { keeps_length: true };

    #[test]
    fn shapes() {
        // method, version, whether it may upgrade, status, Content-Length lines
        type Case = (&'static str, Version, bool, u16, &'static [&'static str]);
        let one = Version::HTTP_11;
        let two = Version::HTTP_2;
        let cases: [(Case, Option<Shape>); 21] = [
            (("GET", one, false, 200, &[]), Some(Shape::Any)),
            (("GET", one, false, 200, &["3"]), Some(Shape::Length(3))),
            (
                ("GET", one, false, 200, &["3", "03"]),
                Some(Shape::Length(3)),
            ),
            (("GET", one, false, 200, &["3", "4"]), None),
            (("GET", one, false, 200, &["+3"]), None),
            (("GET", one, false, 200, &["3, 3"]), None),
            (("GET", one, false, 200, &[""]), None),
            (("GET", one, false, 200, &["99999999999999999999"]), None),
            (("GET", two, false, 500, &["3"]), Some(Shape::Length(3))),
            (("HEAD", one, false, 200, &["3"]), Some(SIZED)),
            (("HEAD", one, false, 204, &["3"]), Some(BARE)),
            (("GET", one, false, 204, &["3"]), Some(BARE)),
            (("GET", one, false, 205, &[]), Some(BARE)),
            (("GET", two, false, 304, &["3"]), Some(SIZED)),
            (("GET", one, true, 101, &[]), Some(Shape::Handover)),
            (("GET", one, false, 101, &[]), None),
            (("GET", two, true, 101, &[]), None),
            (("GET", one, false, 100, &[]), None),
            (("GET", one, false, 103, &[]), None),
            (("CONNECT", one, true, 200, &["3"]), Some(Shape::Handover)),
            (("CONNECT", one, true, 403, &["3"]), Some(Shape::Length(3))),
        ];
        for ((method, version, can_upgrade, status, lengths), want) in cases {
            let asked = Asked {
                method: method.parse().unwrap(),
                uri: Uri::default(),
                version,
                can_upgrade,
            };
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append(CONTENT_LENGTH, length.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let got = shape(&asked, status, Framing::of(&headers).length).ok();
            assert_eq!(got, want, "{method} {version:?} {status} {lengths:?}");
        }
    }

    /// An error that was wrapped on its way, as axum's body does it.
    #[derive(Debug)]
    struct Wrapped(BodyError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_abort_is_known_however_often_it_was_wrapped() {
        let once = BodyError::new(Wrapped(BodyError::new(Abort)));
        let twice = BodyError::new(Wrapped(BodyError::new(Wrapped(BodyError::new(Abort)))));
        for error in [BodyError::new(Abort), once, twice] {
            assert!(is_caused_by::<Abort>(&error));
            assert!(!is_caused_by::<Panicked>(&error));
        }
        assert!(!is_caused_by::<Abort>(&BodyError::new(
            "aborted on purpose"
        )));
    }
}
