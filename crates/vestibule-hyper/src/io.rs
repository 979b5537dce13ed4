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

use crate::vitals::Vitals;

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
    ahead: Ahead,
    vitals: Arc<Vitals>,
    has_ended: bool,
    lingering: Option<Lingering>,
    /// The place among the server's connections; an upgraded one keeps it.
    place: Option<OwnedSemaphorePermit>,
}

/// The bytes that were read to tell the protocol; hyper reads them first.
#[derive(Debug)]
struct Ahead {
    bytes: [u8; Io::AHEAD],
    start: u8,
    end: u8,
}

#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl Io {
    /// How many bytes can be read ahead: the length of HTTP/2's preface.
    pub(crate) const AHEAD: usize = 24;

    pub(crate) fn new(socket: Socket, vitals: Arc<Vitals>) -> Self {
        Self {
            socket,
            ahead: Ahead {
                bytes: [0; Self::AHEAD],
                start: 0,
                end: 0,
            },
            vitals,
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
        let Ahead { bytes, start, end } = &self.ahead;
        &bytes[usize::from(*start)..usize::from(*end)]
    }

    /// Reads more ahead: the number of new bytes, 0 at the end of the stream or when there is no
    /// room for more.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let end = usize::from(self.ahead.end);
        let mut buffer = ReadBuf::new(&mut self.ahead.bytes[end..]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        // At most 24, which fits.
        self.ahead.end = u8::try_from(end + count).unwrap_or(u8::MAX);
        Poll::Ready(Ok(count))
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
        let ahead = this.ahead();
        if !ahead.is_empty() {
            let count = ahead.len().min(buffer.remaining());
            buffer.put_slice(&ahead[..count]);
            this.ahead.start += u8::try_from(count).unwrap_or(u8::MAX);
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
                this.vitals.read();
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
        self.vitals.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.vitals.wrote(&polled);
        polled
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
            let closed = ready!(Pin::new(&mut this.socket).poll_shutdown(cx));
            let is_ours = !this.vitals.has_tunnel();
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
        if self.vitals.resets() {
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

/// How long a close waits for the other side.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes a close reads and drops.
const LINGER_BYTES: usize = 64 * 1024;
