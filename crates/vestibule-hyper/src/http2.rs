//! A connection of HTTP/2, which is read turn by turn.
//!
//! A frame may be nine bytes, and each is work, or memory until an app has seen it: a request, a reset,
//! a byte of a body. What is below handles all that it is given at once; so it is not given more than
//! a few frames before others have had a turn.
//!
//! Source: RFC 9113, sections 3.4 (the preface) and 4.1 (the frame).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::HttpService;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant};

use crate::connection::Conversation;
use crate::io::Io;
use crate::link::Link;
use crate::outgoing::Outgoing;
use crate::server::Limits;
use crate::vitals::Vitals;

/// hyper's connection, and where it says that it is polled anew.
pub(crate) struct Http2<'a, S: HttpService<Incoming>> {
    connection: Pin<Box<http2::Connection<TokioIo<Frames>, S, TokioExecutor>>>,
    vitals: &'a Vitals,
}

impl<'a, S> Http2<'a, S>
where
    S: HttpService<Incoming, ResBody = Outgoing, Error = Infallible>,
    S::Future: Send + 'static,
{
    /// Begins one; its preface is read again.
    pub(crate) fn new(
        builder: &http2::Builder<TokioExecutor>,
        max_streams: u32,
        io: Io,
        link: &'a Arc<Link>,
        service: S,
    ) -> Self {
        let frames = Frames::new(io, link.clone(), max_streams);
        let connection = builder.serve_connection(TokioIo::new(frames), service);
        Self {
            connection: Box::pin(connection),
            vitals: &link.vitals,
        }
    }
}

impl<S> Conversation for Http2<'_, S>
where
    S: HttpService<Incoming, ResBody = Outgoing, Error = Infallible>,
    S::Future: Send + 'static,
{
    fn finish(&mut self) {
        self.connection.as_mut().graceful_shutdown();
    }

    fn rest(&mut self) {}
}

impl<S> Future for Http2<'_, S>
where
    S: HttpService<Incoming, ResBody = Outgoing, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.vitals.begin_turn();
        self.connection.as_mut().poll(cx)
    }
}

/// Its settings.
pub(crate) fn builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(max_header_list(limits))
        .max_send_buf_size(MAX_BUFFER);
    if limits.extended_connect {
        builder.enable_connect_protocol();
    }
    builder
}

/// The value of `SETTINGS_MAX_HEADER_LIST_SIZE`: what HTTP/1 may send, counted as RFC 9113, section 6.5.2 does, with 32
/// bytes more for each field.
fn max_header_list(limits: &Limits) -> u32 {
    let fields = limits.max_headers.saturating_mul(FIELD_OVERHEAD);
    let bytes = limits.max_header_bytes.saturating_add(fields);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A connection's bytes, as HTTP/2 reads and writes them: no more than there are in a turn, and answers to
/// what came together in one piece.
struct Frames {
    io: Io,
    link: Arc<Link>,
    turn: Turn,
    /// Since when a write waits for more, or has waited, until all is written.
    waits_since: Option<Instant>,
    /// How many times what there is goes out at once before a write waits again.
    hurries: u32,
    has_written: bool,
}

impl Frames {
    fn new(io: Io, link: Arc<Link>, max_streams: u32) -> Self {
        Self {
            io,
            link,
            turn: Turn::first(max_streams.try_into().unwrap_or(usize::MAX)),
            waits_since: None,
            hurries: FIRST,
            has_written: false,
        }
    }

    /// Whether a write waits, once, until the requests that were read have begun. The first of their tasks
    /// that ends wakes the connection, and the runtime polls that before the other tasks: each answer would
    /// be written alone, by a system call of its own. The first one is, so that its client can go on.
    fn waits(&mut self, cx: &Context<'_>) -> bool {
        let waits = self.waits_since.is_none() && self.hurries == 0 && self.link.vitals.has_fresh();
        if waits {
            self.waits_since = Some(Instant::now());
            // This puts it behind the tasks that are to run.
            cx.waker().wake_by_ref();
        }
        self.has_written |= !waits;
        waits
    }

    /// All that there was is written.
    fn wrote(&mut self) {
        if std::mem::take(&mut self.has_written) {
            self.hurries = match self.waits_since.take() {
                Some(since) if since.elapsed() > LONG => HURRIES,
                Some(_) => FIRST,
                None => self.hurries.saturating_sub(1),
            };
        }
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, link, turn, .. } = &mut *self;
        if link.vitals.takes_turn() {
            turn.begin();
        }
        if turn.is_over(link.vitals.tasks()) {
            return yield_now(cx);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *io).poll_read(cx, buffer))?;
        let end = before + turn.take(&buffer.filled()[before..]);
        if end < buffer.filled().len() {
            io.give_back(&buffer.filled()[end..]);
            buffer.set_filled(end);
        }
        Poll::Ready(Ok(()))
    }
}

/// Goes on when all others, new connections among them, have had a turn.
fn yield_now<T>(cx: &mut Context<'_>) -> Poll<T> {
    // It is woken when the runtime has looked at its sockets; what it says then is nobody's business.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

impl AsyncWrite for Frames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.waits(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.waits(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wrote();
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What was read since others had a turn.
#[derive(Debug)]
struct Turn {
    max_streams: usize,
    frames: u32,
    bytes: usize,
    /// How many bytes there are until the next frame begins.
    rest: usize,
    /// The length of that frame, as far as its three bytes have come.
    length: usize,
    digits: u32,
}

impl Turn {
    /// The first of a connection.
    const fn first(max_streams: usize) -> Self {
        Self {
            max_streams,
            frames: 0,
            bytes: 0,
            rest: PREFACE,
            length: 0,
            digits: 0,
        }
    }

    /// `tasks` answer requests. If they are more than there may be streams, some of these were reset, and
    /// wait to hear of it: until then nothing bounds their number, and nothing that is read helps them.
    const fn is_over(&self, tasks: usize) -> bool {
        self.frames >= MAX_FRAMES || self.bytes >= MAX_BYTES || tasks > self.max_streams
    }

    /// Others have had theirs.
    const fn begin(&mut self) {
        self.frames = 0;
        self.bytes = 0;
    }

    /// How many of the bytes that were read fit in: up to the frame that is one too many.
    fn take(&mut self, read: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(byte) = read.get(taken) {
            if self.rest > 0 {
                let count = self.rest.min(read.len() - taken);
                self.rest -= count;
                taken += count;
                continue;
            }
            if self.digits == 0 && self.frames >= MAX_FRAMES {
                break;
            }
            taken += 1;
            self.length = self.length << 8 | usize::from(*byte);
            self.digits += 1;
            if self.digits == LENGTH {
                self.rest = HEAD - LENGTH as usize + self.length;
                (self.length, self.digits) = (0, 0);
                self.frames += 1;
            }
        }
        self.bytes += taken;
        taken
    }
}

/// How much of an HTTP/2 response waits in memory for a client that reads slowly, in bytes.
const MAX_BUFFER: usize = 64 * 1024;

/// In bytes.
const FIELD_OVERHEAD: usize = 32;

/// A wait that is longer is the last for a while: apps that compute would keep their client from answers
/// that are ready.
const LONG: Duration = Duration::from_millis(4);

/// How many times nothing waits then.
const HURRIES: u32 = 64;

/// How many times nothing waits between two waits.
const FIRST: u32 = 1;

/// A client with a hundred requests has two turns for them.
const MAX_FRAMES: u32 = 64;

/// Four frames of DATA, as most clients send them.
const MAX_BYTES: usize = 64 * 1024;

const PREFACE: usize = 24;
const HEAD: usize = 9;
/// The first part of a head.
const LENGTH: u32 = 3;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use vestibule_core::{Address, Peer};

    use super::*;
    use crate::drain::Drain;
    use crate::io::Socket;
    use crate::vitals::InFlight;

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn answers_are_written_together() {
        let (socket, _other) = tokio::net::UnixStream::pair().unwrap();
        let link = Arc::new(Link {
            vitals: Vitals::new(),
            peer: Peer::new(Address::Unix(None), Address::Unix(None)),
            watch: Drain::new().watch(),
            #[cfg(feature = "tls")]
            tls: None,
        });
        link.vitals.begin(false);
        let io = Io::new(Socket::Unix(socket), link.clone());
        let mut frames = Frames::new(io, link.clone(), 100);
        let mut cx = Context::from_waker(Waker::noop());
        let mut writes =
            |frames: &mut Frames| Pin::new(frames).poll_write(&mut cx, b"x").is_ready();
        let flush = async |frames: &mut Frames| {
            std::future::poll_fn(|cx| Pin::new(&mut *frames).poll_flush(cx))
                .await
                .unwrap();
        };
        assert!(writes(&mut frames), "no request, no wait");
        flush(&mut frames).await;

        let mut request = InFlight::request(link.clone());
        assert!(!writes(&mut frames), "it may have an answer at once");
        assert!(writes(&mut frames), "it waits once");
        assert!(writes(&mut frames), "and no more until all is written");
        flush(&mut frames).await;
        assert!(
            writes(&mut frames),
            "the next answer is one that goes first"
        );
        flush(&mut frames).await;
        assert!(!writes(&mut frames));
        request.begin();
        assert!(writes(&mut frames));
        flush(&mut frames).await;
        assert!(writes(&mut frames), "it takes its time");

        // One that is dropped before it has begun is none to wait for.
        drop(InFlight::request(link.clone()));
        assert!(writes(&mut frames));
        flush(&mut frames).await;

        let _request = InFlight::request(link.clone());
        assert!(!writes(&mut frames));
        tokio::time::advance(LONG * 2).await;
        for _ in 0..=HURRIES {
            assert!(writes(&mut frames), "the last wait was too long");
            flush(&mut frames).await;
        }
        assert!(!writes(&mut frames));
    }

    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = (length as u32).to_be_bytes()[1..].to_vec();
        bytes.resize(HEAD + length, 0xff);
        bytes
    }

    /// What is read in each turn, when `piece` bytes come at a time.
    fn turns(stream: &[u8], piece: usize) -> Vec<usize> {
        let (mut turn, mut read, mut at) = (Turn::first(100), vec![0], 0);
        while at < stream.len() {
            if turn.is_over(100) {
                turn.begin();
                read.push(0);
            }
            let end = stream.len().min(at + piece);
            let taken = turn.take(&stream[at..end]);
            assert!(taken > 0, "it goes on");
            at += taken;
            *read.last_mut().unwrap() += taken;
        }
        read
    }

    #[test]
    fn a_turn_is_so_many_frames() {
        let preface = vec![b'p'; PREFACE];
        let small = [preface.clone(), frame(0).repeat(150)].concat();
        assert_eq!(turns(&small, 100_000), [600, 576, 198]);
        let mixed = [preface, frame(1), frame(300), frame(0).repeat(62), frame(5)];
        assert_eq!(
            turns(&mixed.concat(), 100_000),
            [24 + 10 + 309 + 62 * 9, 14]
        );
        // However it is cut, a frame counts once.
        for piece in 1..50 {
            assert_eq!(turns(&small, piece).len(), 3, "{piece}");
            assert_eq!(turns(&mixed.concat(), piece).len(), 2, "{piece}");
        }
    }

    #[test]
    fn a_turn_is_so_many_bytes() {
        let large = [vec![b'p'; PREFACE], frame(16_384).repeat(10)].concat();
        let read = turns(&large, 1000);
        assert_eq!(read.iter().sum::<usize>(), large.len());
        assert!(
            read.iter().all(|bytes| *bytes < MAX_BYTES + 1000),
            "{read:?}"
        );
        assert_eq!(read.len(), 3);
    }
}
