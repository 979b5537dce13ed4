//! What listening is to this server: a socket, and whether TLS is spoken there.

use std::io;
use std::task::{Context, Poll};

use vestibule_core::Peer;
pub use vestibule_socket::BindError;

use crate::io::Socket;

/// Where to listen: an address as text, or a socket that listens already.
///
/// ```
/// use vestibule_hyper::Bind;
///
/// let _ = Bind::from("127.0.0.1:8080"); // port 0 takes any free port
/// let _ = Bind::from(":8080"); // all interfaces, by IPv4 and IPv6
/// let _ = Bind::from("localhost:8080"); // the first address of the name that can be had
/// let _ = Bind::from("unix:/run/app.sock").mode(0o660);
/// ```
#[derive(Debug)]
pub struct Bind {
    place: vestibule_socket::Bind,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::Tls>,
}

impl Bind {
    /// How many connections wait in the kernel's queue: 1024. The kernel may have a lower limit of
    /// its own (`net.core.somaxconn`).
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.place = self.place.backlog(connections);
        self
    }

    /// Lets several sockets listen on the same TCP address, where the kernel shares connections
    /// out between them (`SO_REUSEPORT`): for workers, and for a restart without a gap.
    #[must_use]
    pub fn reuse_port(mut self) -> Self {
        self.place = self.place.reuse_port();
        self
    }

    /// Who may connect to a unix socket, as in `chmod`: `0o660` for owner and group. It is set
    /// before the first connection can be made. Without it the process's umask decides.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.place = self.place.mode(mode);
        self
    }
}

/// Whatever [`vestibule_socket::Bind`] is made from: `&str`, `String`, `SocketAddr`, and the listeners of
/// std and tokio.
impl<P> From<P> for Bind
where
    vestibule_socket::Bind: From<P>,
{
    fn from(place: P) -> Self {
        Self {
            place: place.into(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// A connection that was taken, and what its listener wants of it.
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::Tls>,
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: vestibule_socket::Listener,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::Tls>,
}

/// A copy of one, for another runtime.
pub(crate) struct Detached {
    socket: vestibule_socket::Detached,
    #[cfg(feature = "tls")]
    tls: Option<crate::Tls>,
}

impl Detached {
    /// Has to be called in the runtime that it is for.
    pub(crate) fn attach(self) -> io::Result<Listener> {
        Ok(Listener {
            socket: self.socket.attach()?,
            #[cfg(feature = "tls")]
            tls: self.tls,
        })
    }
}

impl Listener {
    pub(crate) async fn bind(bind: Bind) -> Result<Self, BindError> {
        #[cfg(all(feature = "handover", unix))]
        let handed_over = crate::handover::listener(bind.place.text())?;
        #[cfg(not(all(feature = "handover", unix)))]
        let handed_over = None;
        Ok(Self {
            socket: match handed_over {
                Some(listener) => listener,
                None => vestibule_socket::Listener::bind(bind.place).await?,
            },
            #[cfg(feature = "tls")]
            tls: bind.tls,
        })
    }

    /// A copy that shares the queue of connections.
    pub(crate) fn detach(&self) -> io::Result<Detached> {
        Ok(Detached {
            socket: self.socket.detach()?,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        })
    }

    /// Waits for the next connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        self.socket
            .poll_accept(cx)
            .map_ok(|(socket, peer)| Accepted {
                socket: socket.into(),
                peer,
                #[cfg(feature = "tls")]
                tls: self.tls.clone(),
            })
    }

    /// Stops listening, and gives what waits to `take`. There must be no other copy in this process.
    pub(crate) async fn close(self, mut take: impl FnMut(Accepted)) {
        #[cfg(feature = "tls")]
        let tls = self.tls;
        let take = |socket: vestibule_socket::Socket, peer| {
            take(Accepted {
                socket: socket.into(),
                peer,
                #[cfg(feature = "tls")]
                tls: tls.clone(),
            });
        };
        self.socket.close(take).await;
    }
}
