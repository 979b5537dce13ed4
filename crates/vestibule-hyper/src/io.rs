//! The connection's bytes: a socket of any kind, the bytes that were read ahead, and a close that loses nothing.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::{Duration, Instant, Sleep, sleep_until};

use crate::accept::ConnectionPermit;
use crate::detect::Protocol;
use crate::link::Link;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Self>>),
}

impl From<vestibule_socket::Socket> for Socket {
    fn from(socket: vestibule_socket::Socket) -> Self {
        match socket {
            vestibule_socket::Socket::Tcp(stream) => Self::Tcp(stream),
            #[cfg(unix)]
            vestibule_socket::Socket::Unix(stream) => Self::Unix(stream),
        }
    }
}

impl Socket {
    /// The protocol that ALPN chose; `None` without TLS, or when the client offered nothing.
    fn agreed(&self) -> Option<Protocol> {
        match self {
            Self::Tcp(_) => None,
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => match stream.get_ref().1.alpn_protocol()? {
                b"h2" => Some(Protocol::Http2),
                _ => Some(Protocol::Http1),
            },
        }
    }

    /// Makes the close that follows a reset, where there is such a thing.
    fn reset(&self) {
        match self {
            // If it fails the connection is gone already.
            Self::Tcp(stream) => drop(stream.set_zero_linger()),
            #[cfg(unix)]
            Self::Unix(_) => {}
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().0.reset(),
        }
    }
}

/// A socket as hyper reads and writes it.
///
/// A close *lingers*: after the last byte has been written, what the client is still sending is
/// read and dropped, within bounds. A socket that is closed with bytes unread answers with a reset,
/// which can destroy the response before the client has read it (RFC 9112, section 9.6).
///
/// A client that closes its side after its request may be gone, or wait for the answer as `nc -N` does:
/// TCP says the same of both. hyper takes it for gone; so it hears of the end a little later.
#[derive(Debug)]
pub(crate) struct Io {
    socket: Socket,
    /// The bytes that were read to tell the protocol; hyper reads them first.
    ahead: Vec<u8>,
    link: Arc<Link>,
    has_ended: bool,
    /// How long hyper does not hear that the client has ended.
    hush: Option<Box<Hush>>,
    lingering: Option<Box<Lingering>>,
    /// An upgraded connection keeps it.
    permit: Option<Box<ConnectionPermit>>,
    /// Wakes the tasks that read or write an upgraded connection when it is cut. Made at the first wait.
    cut: Option<Box<Cut>>,
    /// The response of hyper's parser to a refused request. It is held back until `Http1` has chosen the status.
    withheld: Bytes,
}

/// Waits for the end of the server's drain, once for each direction: each may belong to another task.
struct Cut {
    reads: Aborted,
    writes: Aborted,
}

/// Resolves when the drain's time is up.
type Aborted = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Copy, Debug)]
enum Direction {
    Read,
    Write,
}

/// The time for which hyper does not hear of an end.
#[derive(Debug)]
struct Hush {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

/// A close that waits for the other side.
#[derive(Debug)]
struct Lingering {
    patience: Patience,
    begun: Instant,
    timer: Pin<Box<Sleep>>,
    bytes: u64,
}

/// How much of the other side is waited for, and how long.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// In all.
    time: Duration,
    /// Between two reads.
    silence: Duration,
    bytes: u64,
}

impl Io {
    /// How many bytes can be read ahead: the length of HTTP/2's preface.
    pub(crate) const AHEAD: usize = 24;

    pub(crate) fn new(socket: Socket, link: Arc<Link>) -> Self {
        Self {
            socket,
            ahead: Vec::new(),
            link,
            has_ended: false,
            hush: None,
            lingering: None,
            permit: None,
            cut: None,
            withheld: Bytes::new(),
        }
    }

    /// Keeps the permit until the socket is closed.
    pub(crate) fn keep(&mut self, permit: Box<ConnectionPermit>) {
        self.permit = Some(permit);
    }

    /// The protocol, when it is not for the first bytes to tell.
    pub(crate) fn agreed(&self) -> Option<Protocol> {
        self.socket.agreed()
    }

    /// What has been read ahead so far.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads up to [`AHEAD`](Self::AHEAD) bytes ahead: the number of new ones, 0 at the end of the
    /// stream.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [MaybeUninit::uninit(); Self::AHEAD];
        let room = Self::AHEAD.saturating_sub(self.ahead.len());
        let mut buffer = ReadBuf::uninit(&mut scratch[..room]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        self.ahead.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// The client has ended: ready when hyper is to hear of it. That is at once, unless a request is to
    /// be answered still. Then the app has half a second for bytes of its answer. Whoever takes these is
    /// there; the system of one that is gone answers them with a reset.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.has_ended = true;
        let vitals = &self.link.vitals;
        if !vitals.is_answering() {
            return Poll::Ready(());
        }
        // A client that does not read has a limit of its own.
        if vitals.has_whole_request() && vitals.is_blocked() {
            return Poll::Pending;
        }
        let time = match vitals.wants_body() {
            true => BODY_HUSH,
            false => HUSH,
        };
        let hush = self.hush.get_or_insert_with(|| {
            let since = Instant::now();
            let timer = Box::pin(sleep_until(since + time));
            Box::new(Hush { since, timer })
        });
        let end = hush.since + time;
        if hush.timer.deadline() != end {
            hush.timer.as_mut().reset(end);
        }
        hush.timer.as_mut().poll(cx)
    }

    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.has_ended && polled.is_ready() && self.link.vitals.has_whole_request() {
            self.hush = None;
        }
        if self.link.vitals.wrote(&polled) {
            // The connection writes first and asks the body then.
            cx.waker().wake_by_ref();
        }
        self.unless_cut(Direction::Write, cx, polled)
    }

    /// Returns what a read or a write came to, or an error once an upgraded connection is cut. No task
    /// of the server could cut it: it belongs to the app. Any other connection ends with its task.
    fn unless_cut<T>(
        &mut self,
        direction: Direction,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !self.link.vitals.is_tunnel() {
            return polled;
        }
        let is_cut = match polled {
            Poll::Ready(_) => self.link.watch.is_aborted(),
            Poll::Pending => self.poll_cut(direction, cx).is_ready(),
        };
        if is_cut {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, CUT);
            return Poll::Ready(Err(error));
        }
        polled
    }

    fn poll_cut(&mut self, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        let watch = &self.link.watch;
        let aborted = || -> Aborted {
            let mut watch = watch.clone();
            Box::pin(async move { watch.aborted().await })
        };
        let cut = self.cut.get_or_insert_with(|| {
            Box::new(Cut {
                reads: aborted(),
                writes: aborted(),
            })
        });
        let waits = match direction {
            Direction::Read => &mut cut.reads,
            Direction::Write => &mut cut.writes,
        };
        ready!(waits.as_mut().poll(cx));
        // It is asked again by an app that goes on after an error.
        *waits = Box::pin(std::future::ready(()));
        Poll::Ready(())
    }

    /// Holds `data` back if it is a response of hyper's parser, and returns whether it is. The first write of an
    /// app's response is never held back. A later write that looks the same is only sent later.
    fn withholds(&mut self, data: &[u8]) -> bool {
        let vitals = &self.link.vitals;
        if vitals.takes_answer() || !is_of_parser(data) || !vitals.is_http1() || vitals.is_tunnel()
        {
            return false;
        }
        self.withheld = Bytes::copy_from_slice(data);
        vitals.set_withholds(true);
        true
    }

    /// Takes what is kept back, and keeps back nothing from here on.
    pub(crate) fn take_withheld(&mut self) -> Bytes {
        self.link.vitals.set_withholds(false);
        std::mem::take(&mut self.withheld)
    }

    /// Sends `answer` first, by the next flush or shutdown.
    pub(crate) fn send_first(&mut self, answer: Bytes) {
        self.withheld = answer;
    }

    /// Sends what was kept back.
    fn poll_withheld(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.withheld.is_empty() {
            let polled = Pin::new(&mut self.socket).poll_write(cx, &self.withheld);
            match ready!(self.wrote(cx, polled))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.withheld.advance(count),
            }
        }
        self.link.vitals.set_withholds(false);
        Poll::Ready(Ok(()))
    }

    /// Gives bytes back that were read too early.
    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        self.ahead.splice(..0, bytes.iter().copied());
    }
}

/// What was read too early is read first.
fn read_ahead(ahead: &mut Vec<u8>, buffer: &mut ReadBuf<'_>) {
    let count = ahead.len().min(buffer.remaining());
    buffer.put_slice(&ahead[..count]);
    ahead.drain(..count);
    if ahead.is_empty() {
        *ahead = Vec::new();
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if !this.ahead.is_empty() {
            read_ahead(&mut this.ahead, buffer);
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The rest of a request that came in one piece is read in the same go.
        let polled = Pin::new(&mut this.socket).poll_read(cx, buffer);
        let has_some = buffer.filled().len() > before;
        let polled = match polled {
            Poll::Ready(Ok(())) if !has_some => this.poll_end(cx).map(Ok),
            other if !has_some => other,
            // An error comes again at the next read; what is there goes first.
            _ => {
                this.link.vitals.read();
                Poll::Ready(Ok(()))
            }
        };
        this.unless_cut(Direction::Read, cx, polled)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.withheld.is_empty() {
            ready!(self.poll_withheld(cx))?;
        }
        if self.withholds(data) {
            return Poll::Ready(Ok(data.len()));
        }
        let polled = Pin::new(&mut self.socket).poll_write(cx, data);
        self.wrote(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut scratch = [MaybeUninit::uninit(); SMALL];
        let mut buffer = ReadBuf::uninit(&mut scratch);
        // A head and a small body: to copy them costs less than to have the kernel gather them.
        if join(pieces, &mut buffer) {
            return self.poll_write(cx, buffer.filled());
        }
        if !self.withheld.is_empty() {
            ready!(self.poll_withheld(cx))?;
        }
        self.link.vitals.takes_answer();
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.wrote(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.withheld.is_empty() && !self.link.vitals.withholds() {
            ready!(self.poll_withheld(cx))?;
        }
        let polled = Pin::new(&mut self.socket).poll_flush(cx);
        self.unless_cut(Direction::Write, cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.withheld.is_empty() {
            if this.link.vitals.withholds() {
                // `Http1` looks at the response first, and then shuts down again.
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_withheld(cx))?;
        }
        if this.lingering.is_none() {
            // From here on it ends, and does not rest: there is nothing more to wait for.
            this.link.vitals.set_awake(false);
            let polled = Pin::new(&mut this.socket).poll_shutdown(cx);
            let closed = ready!(this.unless_cut(Direction::Write, cx, polled));
            let is_ours = !this.link.vitals.has_tunnel();
            if closed.is_err() || this.has_ended || !is_ours {
                return Poll::Ready(closed);
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| {
            Box::new(Lingering::new(match this.link.vitals.has_left_body() {
                true => LONG,
                false => SHORT,
            }))
        });
        poll_rest(&mut this.socket, lingering, cx).map(Ok)
    }
}

/// Closes the writing side and drops what the other side still sends, within the bounds of [`SHORT`].
///
/// For a connection whose last bytes say why it ends: those bytes would be lost in a reset.
#[cfg(feature = "tls")]
pub(crate) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S) {
    let closed = std::future::poll_fn(|cx| Pin::new(&mut *socket).poll_shutdown(cx)).await;
    if closed.is_ok() {
        let mut lingering = Lingering::new(SHORT);
        std::future::poll_fn(|cx| poll_rest(socket, &mut lingering, cx)).await;
    }
}

/// Reads and drops bytes until the other side has closed, or the bounds are reached.
fn poll_rest<S: AsyncRead + Unpin>(
    socket: &mut S,
    lingering: &mut Lingering,
    cx: &mut Context<'_>,
) -> Poll<()> {
    loop {
        let mut scratch = [MaybeUninit::uninit(); 16 * 1024];
        let mut buffer = ReadBuf::uninit(&mut scratch);
        match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                if !lingering.goes_on(buffer.filled().len()) {
                    return Poll::Ready(());
                }
            }
            // The other side has closed too, or is gone: the last bytes are no longer in danger.
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return lingering.timer.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cut")
    }
}

impl Lingering {
    fn new(patience: Patience) -> Self {
        Self {
            begun: Instant::now(),
            timer: Box::pin(tokio::time::sleep(patience.silence)),
            bytes: 0,
            patience,
        }
    }

    /// Whether more is waited for after so many bytes.
    fn goes_on(&mut self, count: usize) -> bool {
        let Patience {
            time,
            silence,
            bytes,
        } = self.patience;
        self.bytes = self.bytes.saturating_add(count as u64);
        let now = Instant::now();
        let end = self.begun + time;
        self.timer.as_mut().reset(end.min(now + silence));
        now < end && self.bytes <= bytes
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.link.vitals.resets() {
            self.socket.reset();
        }
    }
}

macro_rules! either {
    ($self:expr, $socket:ident => $do:expr) => {
        match $self.get_mut() {
            Socket::Tcp($socket) => $do,
            #[cfg(unix)]
            Socket::Unix($socket) => $do,
            #[cfg(feature = "tls")]
            Socket::Tls($socket) => $do,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(&mut *socket).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, socket => Pin::new(&mut *socket).poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, socket => Pin::new(&mut *socket).poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(&mut *socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(&mut *socket).poll_shutdown(cx))
    }
}

/// Copies all pieces, if they fit.
fn join(pieces: &[io::IoSlice<'_>], buffer: &mut ReadBuf<'_>) -> bool {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    if length > buffer.remaining() {
        return false;
    }
    for piece in pieces {
        buffer.put_slice(piece);
    }
    true
}

/// Whether `data` is spelt as hyper spells the answers of its parser: a status, no length, and the date.
fn is_of_parser(data: &[u8]) -> bool {
    let is_short = data.len() <= MAX_PARSERS;
    is_short && data.starts_with(b"HTTP/1.1 4") && {
        let fields = data.iter().position(|byte| *byte == b'\n');
        let fields = fields.map_or(&[][..], |end| &data[end + 1..]);
        let begin = fields.get(..PARSERS_FIELDS.len()).unwrap_or_default();
        begin.eq_ignore_ascii_case(PARSERS_FIELDS) && fields.ends_with(b" GMT\r\n\r\n")
    }
}

/// The fields of these answers, before the date.
const PARSERS_FIELDS: &[u8] = b"connection: close\r\ncontent-length: 0\r\ndate: ";

/// None of these answers is longer, in bytes.
const MAX_PARSERS: usize = 160;

/// The error of an upgraded connection whose time is up.
const CUT: &str = "the server's drain was over";

/// How long an app has for bytes of its answer when the client has closed its side.
const HUSH: Duration = Duration::from_millis(500);

/// The same, when the app waits for more of the request's body: what has come of it is on its way to the
/// app, and if that is not all it has to hear of the end.
const BODY_HUSH: Duration = Duration::from_millis(10);

/// How many bytes are copied rather than gathered.
const SMALL: usize = 4096;

/// The last request is whole: what may still come is one that was sent too early.
const SHORT: Patience = Patience {
    time: Duration::from_secs(1),
    silence: Duration::from_secs(1),
    bytes: 64 * 1024,
};

/// The answer came before the body's end, and the client, or a proxy that reads the answer only then,
/// goes on sending. The times are those of nginx (`lingering_time`, `lingering_timeout`), the bytes
/// are what Apache takes at most (`LimitRequestBody`).
const LONG: Patience = Patience {
    time: Duration::from_secs(30),
    silence: Duration::from_secs(5),
    bytes: 1 << 30,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that come, and the milliseconds between them, until no more are waited for: how often, and
    /// after how long.
    #[tokio::test(start_paused = true)]
    async fn a_close_waits_within_bounds() {
        let cases = [
            (SHORT, 1024, 100, 10, 1000),
            (SHORT, 20_000, 0, 4, 0),
            (SHORT, 65_536, 100, 2, 200),
            (LONG, 1, 1000, 30, 30_000),
            (LONG, 16_384, 4999, 7, 34_993),
            (LONG, 64 << 20, 100, 17, 1700),
        ];
        for (patience, count, millis, times, end) in cases {
            let mut lingering = Lingering::new(patience);
            let mut reads = 0;
            loop {
                tokio::time::advance(Duration::from_millis(millis)).await;
                reads += 1;
                if !lingering.goes_on(count) {
                    break;
                }
            }
            let took = lingering.begun.elapsed().as_millis();
            assert_eq!((reads, took), (times, end), "{patience:?}, {count} bytes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_waits_for_no_silence() {
        for (patience, end) in [(SHORT, SHORT.time), (LONG, LONG.silence)] {
            let mut lingering = Lingering::new(patience);
            let begun = Instant::now();
            lingering.timer.as_mut().await;
            assert_eq!(begun.elapsed(), end);
            // Each byte gives it as much again, and no more than there is in all.
            lingering.goes_on(1);
            let left = patience.time.saturating_sub(begun.elapsed());
            lingering.timer.as_mut().await;
            assert_eq!(begun.elapsed(), end + left.min(patience.silence));
        }
    }
}
