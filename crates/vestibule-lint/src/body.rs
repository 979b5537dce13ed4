//! Rules for bodies while they are read, alone and in pairs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use vestibule_core::{Body, BodyError, Panicked, Request, Response};

use crate::exchange::Exchange;
use crate::flow::{BodyEnd, Direction, Port};
use crate::grammar;
use crate::lint::WILL_BE_WOKEN;
use crate::request::RequestHead;
use crate::response::has_no_body;
use crate::rule::{Rule, named_rules};
use crate::violation::Side;
use crate::waker::WakeCheck;

named_rules! { BODY_RULES = [
    LENGTH_IS_TRUE = "content-length-is-true", "RFC 9110, section 8.6",
    "A Content-Length is the number of bytes of the body.";

    NOTHING_FOR_HEAD = "no-bytes-for-head", "RFC 9110, section 9.3.2",
    "A response to HEAD has no bytes.";

    NOTHING_WITH_STATUS = "no-bytes-with-status", "RFC 9110, sections 15.2, 15.3.5 and 15.4.5",
    "1xx, 204 and 304 have no bytes.";

    DATA_BEFORE_TRAILERS = "trailers-are-last", "RFC 9112, section 7.1.2",
    "No data follows the trailers.";

    TRAILERS_ONCE = "trailers-once", "RFC 9112, section 7.1.2",
    "A body has trailers at most once.";

    TRAILERS_ARE_ALLOWED = "trailers-are-allowed", "RFC 9110, section 6.5.1",
    "Trailers have no fields for framing, routing, authentication or content processing.";

    HINT_LOWER = "size-hint-is-not-too-high", "http-body, SizeHint",
    "A body has at least as many bytes as its size hint says at each step.";

    HINT_UPPER = "size-hint-is-not-too-low", "http-body, SizeHint",
    "A body has at most as many bytes as its size hint says at each step.";

    PROGRESS = "frames-make-progress", "Vestibule",
    "A body does not return empty frames repeatedly.";

    FILE_IS_THE_FILE = "file-is-the-body", "Vestibule",
    "A body with a part of a file has as many bytes as the part.";

    BODY_PANICS = "body-does-not-panic", "Vestibule",
    "A body that fails ends with an error and does not panic.";
]}

/// The expected properties of a body, from the head of its message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    length: Option<u64>,
    nothing: Option<&'static Rule>,
    file: Option<u64>,
}

impl Expected {
    pub(crate) fn of_request(request: &Request) -> Self {
        Self {
            length: length(request.headers()),
            nothing: None,
            file: request.body().as_file().map(|part| part.length()),
        }
    }

    pub(crate) fn of_response(head: &RequestHead, response: &Response) -> Self {
        let nothing = match response.status() {
            status if has_no_body(status) => Some(&NOTHING_WITH_STATUS),
            _ if head.method == Method::HEAD => Some(&NOTHING_FOR_HEAD),
            _ => None,
        };
        let is_tunnel = head.method == Method::CONNECT && response.status().is_success();
        let has_length = nothing.is_none() && !is_tunnel;
        Self {
            length: length(response.headers()).filter(|_| has_length),
            // After a 101, the connection carries another protocol, which is not a body.
            nothing: nothing.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS),
            file: response.body().as_file().map(|part| part.length()),
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    grammar::number(headers.get(CONTENT_LENGTH)?.as_bytes())
}

/// Checks a body: at once if it is in memory, and otherwise while it is read.
pub(crate) fn observe(body: Body, expect: Expected, point: ObservationPoint) -> Body {
    let mut probe = BodyState {
        expect,
        point,
        seen: Seen::default(),
    };
    if let Some(bytes) = body.as_bytes() {
        let count = bytes.len() as u64;
        if count > 0 {
            probe.saw_data(count);
        }
        probe.completed();
        return body;
    }
    if let (Some(exact), Some(length)) = (body.size_hint().exact(), probe.expect.length)
        && exact != length
    {
        probe.report(
            &LENGTH_IS_TRUE,
            format!("the head says {length}, the size hint of the body {exact}"),
        );
        probe.expect.length = None;
    }
    if body.size_hint().lower() > 0 {
        probe.saw_bytes_where_none_may_be();
    }
    let file = body.as_file().cloned();
    probe.point.started();
    let watched = Body::new(Observed {
        body,
        probe,
        wakes: WakeCheck::new(),
    });
    match file {
        Some(part) => watched.with_file(part),
        None => watched,
    }
}

/// The observation point of a body.
#[derive(Clone, Debug)]
pub(crate) struct ObservationPoint {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) side: Side,
    /// The stream and its end, if a middleware is between two observation points.
    pub(crate) port: Option<(Direction, Port)>,
}

impl ObservationPoint {
    fn started(&self) {
        if let Some((direction, port)) = self.port {
            self.exchange.flow(direction).start(port);
        }
    }
}

struct Observed {
    body: Body,
    probe: BodyState,
    wakes: WakeCheck,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        this.probe.will_poll(this.body.size_hint());
        let body = Pin::new(&mut this.body);
        let (polled, is_lost) = this.wakes.poll(cx, |cx| body.poll_frame(cx));
        if is_lost {
            let detail = "the body is pending without a waker".to_owned();
            this.probe.report(&WILL_BE_WOKEN, detail);
        }
        this.probe.polled(&polled, this.body.is_end_stream());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.probe.seen.has_ended {
            self.probe.ended(BodyEnd::Dropped);
        }
    }
}

/// The state of one observed body.
struct BodyState {
    expect: Expected,
    point: ObservationPoint,
    seen: Seen,
}

struct Seen {
    bytes: u64,
    empty_frames: u32,
    has_trailers: bool,
    has_ended: bool,
    /// The highest lower bound and the lowest upper bound of the size hints.
    promised: u64,
    allowed: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            bytes: 0,
            empty_frames: 0,
            has_trailers: false,
            has_ended: false,
            promised: 0,
            allowed: u64::MAX,
        }
    }
}

impl BodyState {
    fn will_poll(&mut self, hint: SizeHint) {
        let seen = &mut self.seen;
        seen.promised = seen.promised.max(seen.bytes.saturating_add(hint.lower()));
        let upper = hint
            .upper()
            .map_or(u64::MAX, |upper| seen.bytes.saturating_add(upper));
        seen.allowed = seen.allowed.min(upper);
        if let Some((direction, port)) = self.point.port {
            self.point.exchange.will_poll(direction, port);
        }
    }

    fn polled(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, BodyError>>>, is_end: bool) {
        if let Some((direction, port)) = self.point.port {
            self.point.exchange.polled(direction, port, polled);
        }
        match polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.completed(),
            Poll::Ready(Some(Err(error))) => {
                if error.is::<Panicked>() {
                    self.report(&BODY_PANICS, error.to_string());
                }
                self.ended(BodyEnd::Failed);
            }
            Poll::Ready(Some(Ok(frame))) => {
                match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) => self.saw_data(data.len() as u64),
                    (_, Some(trailers)) => self.saw_trailers(trailers),
                    _ => {}
                }
                if is_end {
                    self.completed();
                }
            }
        }
    }

    fn saw_data(&mut self, count: u64) {
        if self.seen.has_trailers {
            self.report(
                &DATA_BEFORE_TRAILERS,
                format!("{count} bytes after the trailers"),
            );
        }
        self.seen.bytes = self.seen.bytes.saturating_add(count);
        self.seen.empty_frames = if count == 0 {
            self.seen.empty_frames + 1
        } else {
            0
        };
        if self.seen.empty_frames == EMPTY_FRAMES {
            self.report(&PROGRESS, format!("{EMPTY_FRAMES} empty frames in a row"));
        }
        if count > 0 {
            self.saw_bytes_where_none_may_be();
        }
        if let Some(length) = self
            .expect
            .length
            .filter(|length| self.seen.bytes > *length)
        {
            self.expect.length = None;
            self.report(
                &LENGTH_IS_TRUE,
                format!(
                    "it says {length}, the body has at least {}",
                    self.seen.bytes
                ),
            );
        }
    }

    fn saw_bytes_where_none_may_be(&mut self) {
        if let Some(rule) = self.expect.nothing.take() {
            self.report(rule, "the body has bytes".to_owned());
        }
    }

    fn saw_trailers(&mut self, trailers: &HeaderMap) {
        if self.seen.has_trailers {
            self.report(&TRAILERS_ONCE, "the body has more trailers".to_owned());
        }
        self.seen.has_trailers = true;
        if let Some(name) = trailers
            .keys()
            .find(|name| NOT_IN_TRAILERS.contains(&name.as_str()))
        {
            self.report(&TRAILERS_ARE_ALLOWED, format!("{name} is a trailer"));
        }
    }

    fn completed(&mut self) {
        if self.seen.has_ended {
            return;
        }
        let Seen {
            bytes,
            promised,
            allowed,
            ..
        } = self.seen;
        if let Some(length) = self.expect.length.filter(|length| *length != bytes) {
            self.report(
                &LENGTH_IS_TRUE,
                format!("it says {length}, the body has {bytes}"),
            );
        }
        if let Some(length) = self.expect.file.filter(|length| *length != bytes) {
            self.report(
                &FILE_IS_THE_FILE,
                format!("the part has {length} bytes, the body {bytes}"),
            );
        }
        if bytes < promised {
            self.report(
                &HINT_LOWER,
                format!("a hint said at least {promised}, the body has {bytes}"),
            );
        }
        if bytes > allowed {
            self.report(
                &HINT_UPPER,
                format!("a hint said at most {allowed}, the body has {bytes}"),
            );
        }
        self.ended(BodyEnd::Complete);
    }

    fn ended(&mut self, last: BodyEnd) {
        self.seen.has_ended = true;
        if let Some((direction, port)) = self.point.port {
            self.point.exchange.ended(direction, port, last);
        }
    }

    fn report(&self, rule: &'static Rule, detail: String) {
        self.point.exchange.report(rule, self.point.side, detail);
    }
}

/// Number of consecutive empty frames that is a violation.
const EMPTY_FRAMES: u32 = 32;

/// Fields that must not be in trailers (RFC 9110, section 6.5.1).
const NOT_IN_TRAILERS: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "expect",
    "host",
    "max-forwards",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];
