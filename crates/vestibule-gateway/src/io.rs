//! Connections of any kind.

use tokio::io::{AsyncRead, AsyncWrite, Join, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use vestibule_socket::Socket;

/// A connection.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Makes the close that follows a reset, by which the other side sees that not all is there. A
    /// unix socket has none.
    fn reset(&self) {}
}

impl Io for UnixStream {}

impl Io for TcpStream {
    fn reset(&self) {
        // A socket that is gone needs none.
        let _ = self.set_zero_linger();
    }
}

#[cfg(test)]
impl Io for tokio::io::DuplexStream {}

/// What [`open`] gives.
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

/// A connection that was open already.
pub(crate) fn open(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Box<dyn Io> {
    // As halves: a type of their own, which can be `Io` whatever they are halves of.
    let (reader, writer) = tokio::io::split(io);
    Box::new(tokio::io::join(reader, writer))
}
