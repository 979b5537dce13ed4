//! What listening is to this server: a socket, and whether TLS is spoken there.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use vestibule_core::{Address, Peer};
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
/// let _ = Bind::from("unix:@app"); // an abstract socket of Linux, which everyone on this machine may open
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

    /// Takes connections by IPv6 alone at an address of IPv6 (`IPV6_V6ONLY`), so that `[::]:80` and `0.0.0.0:80` are two
    /// sockets. Defaults to `false`: `:80` takes both versions, and `[::]:80` what the system says, which is both on
    /// Linux.
    ///
    /// A server that has bound an IPv4 address does this by itself for `[::]` of the same port.
    #[must_use]
    pub fn only_v6(mut self, enabled: bool) -> Self {
        self.place = self.place.only_v6(enabled);
        self
    }

    /// Lets places of one server be beside each other: `[::]:80` takes IPv6 alone when there is an IPv4 address of the
    /// same port among them, in whatever order.
    ///
    /// ```
    /// use vestibule_hyper::Bind;
    ///
    /// let places = Bind::beside_each_other(["[::]:8080", "0.0.0.0:8080"]);
    /// assert_eq!(places.len(), 2);
    /// ```
    pub fn beside_each_other(places: impl IntoIterator<Item = impl Into<Self>>) -> Vec<Self> {
        let places: Vec<Self> = places.into_iter().map(Into::into).collect();
        let addresses: Vec<_> = places
            .iter()
            .filter_map(|it| it.place.ip_and_port())
            .collect();
        places
            .into_iter()
            .map(|place| place.beside(&addresses))
            .collect()
    }

    /// This place, when the same server listens at `others`.
    pub(crate) fn beside(self, others: &[SocketAddr]) -> Self {
        match self.place.ip_and_port() {
            Some(address) if shares_port(address, others) => self.only_v6(true),
            _ => self,
        }
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

/// Whether `address` is all of IPv6, and others have its port by IPv4. Port 0 is another one for each.
fn shares_port(address: SocketAddr, others: &[SocketAddr]) -> bool {
    address.ip() == Ipv6Addr::UNSPECIFIED
        && address.port() != 0
        && others
            .iter()
            .any(|other| other.is_ipv4() && other.port() == address.port())
}

/// The one of `ours` that takes the connections to `address` already.
pub(crate) fn overlapping(address: SocketAddr, ours: &[SocketAddr]) -> Option<SocketAddr> {
    let takes = |one: SocketAddr, other: SocketAddr| {
        let is_all = one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4());
        one.ip() == other.ip() || is_all
    };
    ours.iter()
        .copied()
        .find(|it| it.port() == address.port() && (takes(*it, address) || takes(address, *it)))
}

/// No other process is in the way.
fn is_ours(address: SocketAddr) -> io::Error {
    let text = match address.ip() == Ipv6Addr::UNSPECIFIED {
        true => format!(
            "this server listens at `{address}` already, by IPv4 too; bind the IPv4 address first, or use \
             `Bind::beside_each_other`"
        ),
        false => format!("this server listens at `{address}` already"),
    };
    io::Error::new(io::ErrorKind::InvalidInput, text)
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

    /// Listens at `bind` beside what the same server has bound.
    pub(crate) async fn bind_beside(bind: Bind, others: &[Self]) -> Result<Self, BindError> {
        let ours: Vec<_> = others.iter().filter_map(Self::ip_and_port).collect();
        let bind = bind.beside(&ours);
        let address = bind.place.text().map(str::to_owned);
        Self::bind(bind).await.map_err(|error| {
            let address = address.filter(|_| error.kind() == io::ErrorKind::AddrInUse);
            let taken = address.and_then(|text| {
                let port = text.strip_prefix(':').map(|port| format!("[::]:{port}"));
                let asked = port.as_deref().unwrap_or(&text).parse().ok()?;
                Some((overlapping(asked, &ours)?, text))
            });
            match taken {
                Some((ours, text)) => BindError::new(text, is_ours(ours)),
                None => error,
            }
        })
    }

    /// Asks clients for signs of life. It is no reason not to serve when the system cannot.
    pub(crate) fn keep_alive(&self, interval: Option<Duration>) {
        if let Err(error) = self.socket.set_keep_alive(interval) {
            tracing::debug!(target: "vestibule", "clients that vanish may not be found: {error}");
        }
    }

    fn ip_and_port(&self) -> Option<SocketAddr> {
        match self.socket.address() {
            Address::Tcp(address) => Some(*address),
            _ => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn all_of_ipv6_is_alone_beside_ipv4_of_the_same_port() {
        let cases = [
            ("[::]:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "0.0.0.0:81", false),
            ("[::]:80", "[::1]:80", false),
            ("[::1]:80", "0.0.0.0:80", false),
            ("0.0.0.0:80", "[::]:80", false),
            ("[::]:0", "0.0.0.0:0", false),
        ];
        for (one, other, want) in cases {
            let others = [address(one), address(other)];
            assert_eq!(shares_port(address(one), &others), want, "{one} {other}");
        }
    }

    #[test]
    fn addresses_that_overlap() {
        let cases = [
            ("0.0.0.0:80", "[::]:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::1]:80", "[::]:80", true),
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:81", false),
            ("[::1]:80", "0.0.0.0:80", false),
            ("[::1]:80", "127.0.0.1:80", false),
        ];
        for (one, other, want) in cases {
            let found = overlapping(address(one), &[address(other)]);
            assert_eq!(found.is_some(), want, "{one} {other}");
        }
    }
}
