//! The two ends of a stream of frames through a middleware.

use std::task::Poll;
use std::thread::{self, ThreadId};

use bytes::Bytes;
use http_body::Frame;
use vestibule_core::BodyError;

use crate::rule::{Rule, named_rules};

named_rules! { FLOW_RULES = [
    HELD_BACK = "nothing-is-held-back", "PEP 3333, Middleware Handling of Block Boundaries",
    "A middleware that waits for more frames of the inner body first returns the frames that it has.";

    TRAILERS_KEPT = "trailers-are-kept", "Vestibule",
    "Trailers of the inner body are trailers of the outer body.";

    ERROR_PASSED_ON = "errors-pass-on", "Vestibule",
    "A body whose inner body failed ends with an error.";

    CUT_SHORT = "not-cut-short", "Vestibule",
    "A body does not end successfully before the inner body that it reads.";

    TUNNEL_UNTOUCHED = "tunnels-are-untouched", "Vestibule",
    "The body of a 101, and of a 2xx to CONNECT, passes unchanged.";
]}

/// The body of the request, or of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// The end of a stream at a middleware: `Source` is its input, and `Sink` is its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Source,
    Sink,
}

/// The end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    Complete,
    Failed,
    Dropped,
}

/// The exceptions for a middleware, from its declaration and its response.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowances {
    /// It may buffer bodies.
    pub(crate) buffers: bool,
    /// It responds with other content: a part, or an error.
    pub(crate) replaces: bool,
    /// The stream is a tunnel, and nothing may change.
    pub(crate) is_tunnel: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Flow {
    source: End,
    sink: End,
    /// Number of input frames since the last output frame.
    fresh: u64,
    /// The thread that polls the output.
    polling: Option<ThreadId>,
    /// The same thread has polled the input, which was pending.
    is_source_pending: bool,
}

#[derive(Debug, Default)]
struct End {
    has_started: bool,
    was_polled: bool,
    has_trailers: bool,
    last: Option<BodyEnd>,
    bytes: u64,
    sum: u64,
}

impl Flow {
    pub(crate) fn start(&mut self, port: Port) {
        if port == Port::Source {
            self.fresh = 0;
        }
        *self.end(port) = End {
            has_started: true,
            ..End::default()
        };
    }

    pub(crate) const fn was_source_polled(&self) -> bool {
        self.source.was_polled
    }

    fn end(&mut self, port: Port) -> &mut End {
        match port {
            Port::Source => &mut self.source,
            Port::Sink => &mut self.sink,
        }
    }

    pub(crate) fn will_poll(&mut self, port: Port) {
        self.end(port).was_polled = true;
        if port == Port::Sink {
            self.polling = Some(thread::current().id());
            self.is_source_pending = false;
        }
    }

    /// Returns the violation after a poll.
    pub(crate) fn polled(
        &mut self,
        port: Port,
        polled: &Poll<Option<Result<Frame<Bytes>, BodyError>>>,
        allowances: Allowances,
    ) -> Option<(&'static Rule, String)> {
        let is_pending = polled.is_pending();
        if let Poll::Ready(Some(Ok(frame))) = polled {
            self.end(port).note(frame);
            let is_empty = frame.data_ref().is_some_and(Bytes::is_empty);
            match port {
                Port::Source if !is_empty => self.fresh += 1,
                Port::Source => {}
                Port::Sink => self.fresh = 0,
            }
        }
        match port {
            Port::Source => {
                if self.polling == Some(thread::current().id()) {
                    self.is_source_pending = is_pending;
                }
                None
            }
            Port::Sink => {
                self.polling = None;
                let is_held =
                    is_pending && self.is_source_pending && self.fresh > 0 && !allowances.buffers;
                is_held.then(|| {
                    (
                        &HELD_BACK,
                        format!("{} frames went in and none came out", self.fresh),
                    )
                })
            }
        }
    }

    /// Returns the violations at the end.
    pub(crate) fn ended(
        &mut self,
        port: Port,
        last: BodyEnd,
        allowances: Allowances,
    ) -> Vec<(&'static Rule, String)> {
        self.end(port).last = Some(last);
        if port == Port::Source || last != BodyEnd::Complete || !self.source.has_started {
            return Vec::new();
        }
        let (source, sink) = (&self.source, &self.sink);
        let mut wrong: Vec<(&'static Rule, String)> = Vec::new();
        if allowances.is_tunnel && (source.bytes, source.sum) != (sink.bytes, sink.sum) {
            wrong.push((
                &TUNNEL_UNTOUCHED,
                format!("{} bytes went in, {} came out", source.bytes, sink.bytes),
            ));
        }
        if source.last == Some(BodyEnd::Failed) && !allowances.replaces {
            wrong.push((
                &ERROR_PASSED_ON,
                format!("it failed after {} bytes", source.bytes),
            ));
        }
        let is_unread = matches!(source.last, None | Some(BodyEnd::Dropped));
        if source.was_polled && is_unread && !allowances.replaces {
            wrong.push((
                &CUT_SHORT,
                format!("it was read for {} bytes", source.bytes),
            ));
        }
        if source.has_trailers && !sink.has_trailers && !allowances.buffers {
            wrong.push((
                &TRAILERS_KEPT,
                "they went in and did not come out".to_owned(),
            ));
        }
        wrong
    }
}

impl End {
    fn note(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.bytes += data.len() as u64;
            // FNV-1a depends on the order of the bytes, and not on the frame boundaries.
            let start = if self.sum == 0 { FNV_START } else { self.sum };
            self.sum = data.iter().fold(start, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
            });
        }
        self.has_trailers |= frame.is_trailers();
    }
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
