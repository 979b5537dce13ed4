//! What bodies do while they are read, one by one and in pairs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use vestibule_core::{Body, BodyError, Panicked, Request, Response};

use crate::exchange::Exchange;
use crate::flow::{Direction, Last, Port};
use crate::grammar;
use crate::lint::WILL_BE_WOKEN;
use crate::request::Asked;
use crate::response::has_no_body;
use crate::rule::{Rule, named_rules};
use crate::violation::Side;
use crate::waker::WakeCheck;

named_rules! { BODY_RULES = [
    LENGTH_IS_TRUE = "content-length-is-true", "RFC 9110, section 8.6",
    "A Content-Length is the number of bytes that the body has.";

    NOTHING_FOR_HEAD = "no-bytes-for-head", "RFC 9110, section 9.3.2",
    "An answer to HEAD has no bytes.";

    NOTHING_WITH_STATUS = "no-bytes-with-status", "RFC 9110, sections 15.2, 15.3.5 and 15.4.5",
    "1xx, 204 and 304 have no bytes.";

    DATA_BEFORE_TRAILERS = "trailers-are-last", "RFC 9112, section 7.1.2",
    "After the trailers there is no data.";

    TRAILERS_ONCE = "trailers-once", "RFC 9112, section 7.1.2",
    "A body has trailers once at most.";

    TRAILERS_ARE_ALLOWED = "trailers-are-allowed", "RFC 9110, section 6.5.1",
    "Trailers have no fields for framing, routing, authentication or the reading of the content.";

    HINT_LOWER = "size-hint-is-not-too-high", "http-body, SizeHint",
    "A body has at least as many bytes as its size hint says at each step.";

    HINT_UPPER = "size-hint-is-not-too-low", "http-body, SizeHint",
    "A body has at most as many bytes as its size hint says at each step.";

    PROGRESS = "frames-make-progress", "Vestibule, section 1",
    "A body does not give empty frames over and over.";

    FILE_IS_THE_FILE = "file-is-the-body", "Vestibule, section 1",
    "A body that says it is part of a file has as many bytes as the part.";

    BODY_PANICS = "body-does-not-panic", "Vestibule, section 1",
    "A body that cannot go on ends in an error; it does not panic.";
]}

/// What a body has to be like, by the head that it comes with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expect {
    length: Option<u64>,
    nothing: Option<&'static Rule>,
    file: Option<u64>,
}

impl Expect {
    pub(crate) fn of_request(request: &Request) -> Self {
        Self {
            length: length(request.headers()),
            nothing: None,
            file: request.body().as_file().map(|part| part.length()),
        }
    }

    pub(crate) fn of_response(asked: &Asked, response: &Response) -> Self {
        let nothing = match response.status() {
            status if has_no_body(status) => Some(&NOTHING_WITH_STATUS),
            _ if asked.method == Method::HEAD => Some(&NOTHING_FOR_HEAD),
            _ => None,
        };
        let is_tunnel = asked.method == Method::CONNECT && response.status().is_success();
        let has_length = nothing.is_none() && !is_tunnel;
        Self {
            length: length(response.headers()).filter(|_| has_length),
            // What a 101 switches to is no body, but what is written to the connection.
            nothing: nothing.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS),
            file: response.body().as_file().map(|part| part.length()),
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    grammar::number(headers.get(CONTENT_LENGTH)?.as_bytes())
}

/// Watches a body: at once when it is whole in memory, and that it stays; else as it is read.
pub(crate) fn watch(body: Body, expect: Expect, place: Watch) -> Body {
    let mut probe = Probe {
        expect,
        place,
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
            format!("the head says {length}, the body {exact}"),
        );
        probe.expect.length = None;
    }
    if body.size_hint().lower() > 0 {
        probe.saw_bytes_where_none_may_be();
    }
    let file = body.as_file().cloned();
    probe.place.started();
    let watched = Body::new(Watched {
        body,
        probe,
        wakes: WakeCheck::new(),
    });
    match file {
        Some(part) => watched.with_file(part),
        None => watched,
    }
}

/// Where a body is watched.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) side: Side,
    /// Which end of which stream this is, when a middleware is between two watchers.
    pub(crate) port: Option<(Direction, Port)>,
}

impl Watch {
    fn started(&self) {
        if let Some((direction, port)) = self.port {
            self.exchange.flow(direction).start(port);
        }
    }
}

struct Watched {
    body: Body,
    probe: Probe,
    wakes: WakeCheck,
}

impl http_body::Body for Watched {
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
            let detail = "the body waits for nothing".to_owned();
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

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.probe.seen.has_ended {
            self.probe.ended(Last::Dropped);
        }
    }
}

/// What is known of a body so far.
struct Probe {
    expect: Expect,
    place: Watch,
    seen: Seen,
}

struct Seen {
    bytes: u64,
    empty_frames: u32,
    has_trailers: bool,
    has_ended: bool,
    /// The most that a hint promised, and the least that one allowed.
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

impl Probe {
    fn will_poll(&mut self, hint: SizeHint) {
        let seen = &mut self.seen;
        seen.promised = seen.promised.max(seen.bytes.saturating_add(hint.lower()));
        let upper = hint
            .upper()
            .map_or(u64::MAX, |upper| seen.bytes.saturating_add(upper));
        seen.allowed = seen.allowed.min(upper);
        if let Some((direction, port)) = self.place.port {
            self.place.exchange.will_poll(direction, port);
        }
    }

    fn polled(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, BodyError>>>, is_end: bool) {
        if let Some((direction, port)) = self.place.port {
            self.place.exchange.polled(direction, port, polled);
        }
        match polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.completed(),
            Poll::Ready(Some(Err(error))) => {
                if error.is::<Panicked>() {
                    self.report(&BODY_PANICS, error.to_string());
                }
                self.ended(Last::Failed);
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
                    "it says {length}, the body has {} and more",
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
            self.report(&TRAILERS_ONCE, "there are more trailers".to_owned());
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
                format!("a hint said {promised} or more, it was {bytes}"),
            );
        }
        if bytes > allowed {
            self.report(
                &HINT_UPPER,
                format!("a hint said {allowed} or less, it was {bytes}"),
            );
        }
        self.ended(Last::Complete);
    }

    fn ended(&mut self, last: Last) {
        self.seen.has_ended = true;
        if let Some((direction, port)) = self.place.port {
            self.place.exchange.ended(direction, port, last);
        }
    }

    fn report(&self, rule: &'static Rule, detail: String) {
        self.place.exchange.report(rule, self.place.side, detail);
    }
}

/// So many empty frames in a row are one too many.
const EMPTY_FRAMES: u32 = 32;

/// Fields that are of no use, or of harm, after the content (RFC 9110, section 6.5.1).
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
