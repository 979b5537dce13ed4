//! The connection's bytes: a socket of any kind, the bytes that were read ahead, and a close that loses nothing.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Sleep};

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

impl Socket {
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
/// read and dropped, up to a second and 64 KiB. A socket that is closed with bytes unread answers
/// with a reset, which can destroy the response before the client has read it
/// (RFC 9112, section 9.6).
#[derive(Debug)]
pub(crate) struct Io {
    socket: Socket,
    /// The bytes that were read to tell the protocol; hyper reads them first.
    ahead: Vec<u8>,
    link: Arc<Link>,
    has_ended: bool,
    lingering: Option<Lingering>,
    /// The place among the server's connections; an upgraded one keeps it.
    place: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
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
            lingering: None,
            place: None,
        }
    }

    /// Keeps a place among the server's connections until the socket is closed.
    pub(crate) fn keep(&mut self, place: Option<OwnedSemaphorePermit>) {
        self.place = place;
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

    fn wrote(&self, cx: &Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.link.vitals.wrote(&polled) {
            // The connection writes first and asks the body then.
            cx.waker().wake_by_ref();
        }
        polled
    }

    /// Gives bytes back that were read too early.
    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        self.ahead.splice(..0, bytes.iter().copied());
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
            let count = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..count]);
            this.ahead.drain(..count);
            if this.ahead.is_empty() {
                this.ahead = Vec::new();
            }
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The rest of a request that came in one piece is read in the same go.
        let polled = Pin::new(&mut this.socket).poll_read(cx, buffer);
        let has_some = buffer.filled().len() > before;
        match polled {
            Poll::Ready(Ok(())) if !has_some => {
                this.has_ended = true;
                Poll::Ready(Ok(()))
            }
            other if !has_some => other,
            // An error comes again at the next read; what is there goes first.
            _ => {
                this.link.vitals.read();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
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
        let socket = Pin::new(&mut self.socket);
        // A head and a small body: to copy them costs less than to have the kernel gather them.
        let polled = match join(pieces, &mut buffer) {
            true => socket.poll_write(cx, buffer.filled()),
            false => socket.poll_write_vectored(cx, pieces),
        };
        self.wrote(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            // From here on it ends, and does not rest: there is nothing more to wait for.
            this.link.vitals.set_awake(false);
            let closed = ready!(Pin::new(&mut this.socket).poll_shutdown(cx));
            let is_ours = !this.link.vitals.has_tunnel();
            if closed.is_err() || this.has_ended || !is_ours {
                return Poll::Ready(closed);
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| Lingering {
            until: Box::pin(tokio::time::sleep(LINGER)),
            bytes_left: LINGER_BYTES,
        });
        loop {
            let mut scratch = [MaybeUninit::uninit(); 4096];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut this.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let count = buffer.filled().len();
                    match lingering.bytes_left.checked_sub(count) {
                        Some(left) => lingering.bytes_left = left,
                        None => return Poll::Ready(Ok(())),
                    }
                }
                // The other side has closed too, or is gone: the response is no longer in danger.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return lingering.until.as_mut().poll(cx).map(Ok),
            }
        }
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

/// How many bytes are copied rather than gathered.
const SMALL: usize = 4096;

/// How long a close waits for the other side.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes a close reads and drops.
const LINGER_BYTES: usize = 64 * 1024;
