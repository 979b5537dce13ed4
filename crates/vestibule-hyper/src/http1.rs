//! A connection of HTTP/1, which is hyper's only while something is in flight.

use std::convert::Infallible;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;

use crate::connection::Conversation;
use crate::guard::Refused;
use crate::io::Io;
use crate::outgoing::Outgoing;
use crate::server::Limits;
use crate::unparsed::{self, Decision};
use crate::vitals::Vitals;

/// A connection of HTTP/1. hyper keeps 8 KiB to read into, and more, however long nothing comes:
/// so while it rests there is no hyper, only the socket.
///
/// hyper answers by itself what its parser refuses. The socket keeps that answer back, and it is sent with the right status.
pub(crate) struct Http1<'a, S: HttpService<Incoming>> {
    builder: &'a http1::Builder,
    vitals: &'a Vitals,
    max_header_bytes: usize,
    state: State<S>,
}

enum State<S: HttpService<Incoming>> {
    Awake(Box<http1::UpgradeableConnection<TokioIo<Io>, S>>),
    Resting(Io, S),
    Ending(Box<Ending>),
    /// Another protocol has its socket, or a poll was interrupted by a panic.
    Gone,
}

/// The end of a connection whose last answer was kept back.
struct Ending {
    io: Io,
    ended: Option<hyper::Result<()>>,
    /// The bytes that were read and not parsed.
    unread: Bytes,
    refused: Option<Refused>,
}

impl<'a, S> Http1<'a, S>
where
    S: HttpService<Incoming, ResBody = Outgoing, Error = Infallible>,
{
    /// Begins one; what was read ahead is read again.
    pub(crate) const fn new(
        builder: &'a http1::Builder,
        limits: &Limits,
        io: Io,
        vitals: &'a Vitals,
        service: S,
    ) -> Self {
        Self {
            builder,
            vitals,
            max_header_bytes: limits.max_header_bytes,
            state: State::Resting(io, service),
        }
    }

    /// Ends it: the bytes that were read and not parsed, and why not, if the client has been told by us.
    pub(crate) fn into_unread(self) -> (Bytes, Option<Refused>) {
        match self.state {
            State::Ending(ending) => (ending.unread, ending.refused),
            State::Awake(connection) => {
                let parts = connection.into_parts();
                (parts.map_or_else(Bytes::new, |parts| parts.read_buf), None)
            }
            State::Resting(..) | State::Gone => (Bytes::new(), None),
        }
    }

    /// hyper is done, and its last answer is kept back: looks whether it is the right one.
    fn decide(&mut self, ended: hyper::Result<()>) {
        let State::Awake(connection) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        let Some(parts) = connection.into_parts() else {
            return;
        };
        let mut io = parts.io.into_inner();
        let mut answer = io.take_withheld();
        let mut refused = None;
        if let Err(error) = &ended
            && error.is_parse()
        {
            match unparsed::decide(&parts.read_buf, error, self.max_header_bytes) {
                Decision::Serve(head) => {
                    io.give_back(&head);
                    self.vitals.read();
                    self.state = State::Resting(io, parts.service);
                    return;
                }
                Decision::Refuse(why) => {
                    answer = unparsed::with_status(&answer, why.status());
                    refused = Some(why);
                }
            }
        }
        io.send_first(answer);
        self.state = State::Ending(Box::new(Ending {
            io,
            ended: Some(ended),
            unread: parts.read_buf,
            refused,
        }));
    }

    fn wake(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Gone) {
            State::Resting(io, service) => {
                self.vitals.set_awake(true);
                let connection = self.builder.serve_connection(TokioIo::new(io), service);
                State::Awake(Box::new(connection.with_upgrades()))
            }
            other => other,
        };
    }
}

impl<S> Conversation for Http1<'_, S>
where
    S: HttpService<Incoming, ResBody = Outgoing, Error = Infallible> + Unpin,
{
    fn finish(&mut self) {
        self.wake();
        if let State::Awake(connection) = &mut self.state {
            Pin::new(&mut **connection).graceful_shutdown();
        }
    }

    fn rest(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Gone) {
            State::Awake(connection) => match connection.into_parts() {
                Some(parts) => {
                    let mut io = parts.io.into_inner();
                    if !parts.read_buf.is_empty() {
                        io.give_back(&parts.read_buf);
                        self.vitals.read();
                    }
                    State::Resting(io, parts.service)
                }
                None => State::Gone,
            },
            other => other,
        };
        self.vitals.set_awake(false);
    }
}

impl<S> Future for Http1<'_, S>
where
    S: HttpService<Incoming, ResBody = Outgoing, Error = Infallible> + Unpin,
{
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        loop {
            if let State::Resting(io, _) = &mut self.state {
                if io.ahead().is_empty() {
                    // An end, or an error, hyper finds again.
                    let _ = ready!(io.poll_ahead(cx));
                }
                self.vitals.read();
                self.wake();
            }
            let polled = match &mut self.state {
                State::Awake(connection) => Pin::new(&mut **connection).poll(cx),
                State::Ending(ending) => {
                    // If it fails, the client is gone.
                    let _ = ready!(Pin::new(&mut ending.io).poll_shutdown(cx));
                    Poll::Ready(ending.ended.take().unwrap_or(Ok(())))
                }
                State::Resting(..) | State::Gone => Poll::Ready(Ok(())),
            };
            match polled {
                polled if !self.vitals.withholds() => return polled,
                Poll::Ready(ended) => self.decide(ended),
                // The connection goes on, so that was no answer of the parser: hyper flushes, and it is sent.
                Poll::Pending => self.vitals.set_withholds(false),
            }
        }
    }
}

/// Its settings.
pub(crate) fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The watchdog has the clock: it can tell a slow head from an idle connection.
        .header_read_timeout(None)
        .max_header_size(limits.max_header_bytes)
        .title_case_headers(limits.title_case_headers)
        .max_buf_size(MIN_BUFFER.max(limits.max_header_bytes));
    // hyper's default number is the one that needs no allocation.
    if limits.max_headers != Limits::MAX_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    builder
}

/// The smallest room that hyper takes for a head, and for what waits to be written.
const MIN_BUFFER: usize = 8 * 1024;
