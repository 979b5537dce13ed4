//! Who is at the other end of the connection, as far as the adapter knows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use crate::Request;

/// The two ends of the connection that a request came by; an extension that adapters set.
///
/// These are the addresses of the connection. Who stands behind a proxy is the business of a
/// middleware that trusts the proxy.
///
/// ```
/// use vestibule_core::{Address, Peer, Request};
///
/// let mut request = Request::default();
/// assert!(Peer::of(&request).is_none()); // an adapter without sockets sets none
///
/// let peer = Address::Tcp("192.0.2.1:4711".parse().unwrap());
/// let local = Address::Tcp("192.0.2.9:80".parse().unwrap());
/// request.extensions_mut().insert(Peer::new(peer, local));
/// assert_eq!(Peer::of(&request).unwrap().address().to_string(), "192.0.2.1:4711");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    address: Address,
    local: Address,
}

impl Peer {
    /// A connection from `address` to `local`.
    #[must_use]
    pub const fn new(address: Address, local: Address) -> Self {
        Self { address, local }
    }

    /// The peer of a request, when its adapter knows it.
    #[must_use]
    pub fn of(request: &Request) -> Option<&Self> {
        request.extensions().get()
    }

    /// The other end.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Our end.
    #[must_use]
    pub const fn local(&self) -> &Address {
        &self.local
    }
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A unix socket, with its path where it has one; clients seldom do.
    Unix(Option<Arc<Path>>),
}

impl Address {
    /// The IP address, if there is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    /// `192.0.2.1:80`, `[2001:db8::1]:80`, `unix:/run/app.sock` or `unix:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}
