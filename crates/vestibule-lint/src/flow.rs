//! A stream of frames that a middleware passes on: what goes in, and what comes out.

use std::task::Poll;
use std::thread::{self, ThreadId};

use bytes::Bytes;
use http_body::Frame;
use vestibule_core::BodyError;

use crate::rule::{Rule, named_rules};

named_rules! { FLOW_RULES = [
    HELD_BACK = "nothing-is-held-back", "PEP 3333, Middleware Handling of Block Boundaries",
    "A middleware that has frames from the inner body, and waits for more of them, gives what it has first.";

    TRAILERS_KEPT = "trailers-are-kept", "Vestibule, section 1",
    "Trailers of the inner body are trailers of the outer one.";

    ERROR_PASSED_ON = "errors-pass-on", "Vestibule, section 1",
    "A body whose inner body failed does not end as if it were whole.";

    CUT_SHORT = "not-cut-short", "Vestibule, section 1",
    "A body does not end as if it were whole while there is more in the inner body that it was reading.";

    TUNNEL_UNTOUCHED = "tunnels-are-untouched", "Vestibule, section 1",
    "The body of a 101 and of a CONNECT's 2xx passes byte for byte.";
]}

/// The body of the request, or of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// Which end of a middleware: where frames go in, or where they come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Source,
    Sink,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Complete,
    Failed,
    Dropped,
}

/// What is allowed to a middleware, by what it declared and by what it answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leave {
    /// It reads bodies whole.
    pub(crate) buffers: bool,
    /// It answers with something else: a part, an error.
    pub(crate) replaces: bool,
    /// Nothing may change: a tunnel.
    pub(crate) is_tunnel: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Flow {
    source: End,
    sink: End,
    /// Frames that went in since the last that came out.
    fresh: u64,
    /// Who is polling the sink.
    polling: Option<ThreadId>,
    /// The source was polled by them, and had nothing.
    is_source_pending: bool,
}

#[derive(Debug, Default)]
struct End {
    has_started: bool,
    was_polled: bool,
    has_trailers: bool,
    last: Option<Last>,
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

    /// What is wrong after a poll.
    pub(crate) fn polled(
        &mut self,
        port: Port,
        polled: &Poll<Option<Result<Frame<Bytes>, BodyError>>>,
        leave: Leave,
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
                    is_pending && self.is_source_pending && self.fresh > 0 && !leave.buffers;
                is_held.then(|| {
                    (
                        &HELD_BACK,
                        format!("{} frames went in and none came out", self.fresh),
                    )
                })
            }
        }
    }

    /// What is wrong with an end.
    pub(crate) fn ended(
        &mut self,
        port: Port,
        last: Last,
        leave: Leave,
    ) -> Vec<(&'static Rule, String)> {
        self.end(port).last = Some(last);
        if port == Port::Source || last != Last::Complete || !self.source.has_started {
            return Vec::new();
        }
        let (source, sink) = (&self.source, &self.sink);
        let mut wrong: Vec<(&'static Rule, String)> = Vec::new();
        if leave.is_tunnel && (source.bytes, source.sum) != (sink.bytes, sink.sum) {
            wrong.push((
                &TUNNEL_UNTOUCHED,
                format!("{} bytes went in, {} came out", source.bytes, sink.bytes),
            ));
        }
        if source.last == Some(Last::Failed) && !leave.replaces {
            wrong.push((
                &ERROR_PASSED_ON,
                format!("it failed after {} bytes", source.bytes),
            ));
        }
        let is_unread = matches!(source.last, None | Some(Last::Dropped));
        if source.was_polled && is_unread && !leave.replaces {
            wrong.push((
                &CUT_SHORT,
                format!("it was read for {} bytes", source.bytes),
            ));
        }
        if source.has_trailers && !sink.has_trailers && !leave.buffers {
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
            // FNV-1a: the order of bytes counts, where they are parted does not.
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
