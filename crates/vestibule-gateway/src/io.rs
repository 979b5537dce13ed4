//! Connections of any kind.

use tokio::io::{AsyncRead, AsyncWrite, Join, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use vestibule_socket::Socket;

/// A connection of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Makes the next close a reset, so that the other side sees an incomplete response. A unix
    /// socket has no reset.
    fn reset(&self) {}
}

impl Io for UnixStream {}

impl Io for TcpStream {
    fn reset(&self) {
        // A socket that is gone needs no reset.
        let _ = self.set_zero_linger();
    }
}

#[cfg(test)]
impl Io for tokio::io::DuplexStream {}

/// The result of [`open`].
impl<I: AsyncRead + AsyncWrite + Send + 'static> Io for Join<ReadHalf<I>, WriteHalf<I>> {}

impl Io for Box<dyn Io> {
    fn reset(&self) {
        (**self).reset();
    }
}

impl From<Socket> for Box<dyn Io> {
    fn from(socket: Socket) -> Self {
        match socket {
            Socket::Tcp(stream) => Box::new(stream),
            Socket::Unix(stream) => Box::new(stream),
        }
    }
}

/// Wraps a connection that is already open.
pub(crate) fn open(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Box<dyn Io> {
    // Split into halves: their type can implement `Io` for every inner type.
    let (reader, writer) = tokio::io::split(io);
    Box::new(tokio::io::join(reader, writer))
}
