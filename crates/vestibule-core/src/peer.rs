//! The other end of the connection, as the adapter knows it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;
use http::header::VIA;
use vestibule_fields::forwarding::is_forwarding;

use crate::HasExtensions;

/// The two ends of the connection of a request; an extension that adapters set.
///
/// These are the addresses of the connection. Middleware that trusts a proxy finds the client
/// behind the proxy.
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
#[doc(alias("ConnectInfo", "remote address", "client ip"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    address: Address,
    local: Address,
    credentials: Option<Credentials>,
    is_proxied: bool,
    /// The other end of the connection if `address` is a client behind it. Boxed, since it is rare.
    connection: Option<Box<Address>>,
}

impl Peer {
    /// Creates the peer of a connection from `address` to `local`.
    #[must_use]
    pub const fn new(address: Address, local: Address) -> Self {
        Self {
            address,
            local,
            credentials: None,
            is_proxied: false,
            connection: None,
        }
    }

    /// Sets whether the request came through a proxy. Defaults to `false`. Middleware that removes
    /// proxy fields from a request sets it, so that [`is_local`](Self::is_local) still works.
    ///
    /// ```
    /// use vestibule_core::{Address, Peer, Request};
    ///
    /// let address = Address::Tcp("127.0.0.1:4711".parse().unwrap());
    /// let mut request = Request::default();
    /// request.extensions_mut().insert(Peer::new(address.clone(), address).proxied(true));
    /// assert!(!Peer::is_local(&request));
    /// ```
    #[must_use]
    pub const fn proxied(mut self, enabled: bool) -> Self {
        self.is_proxied = enabled;
        self
    }

    /// Returns whether a middleware has detected a proxy.
    #[must_use]
    pub const fn is_proxied(&self) -> bool {
        self.is_proxied
    }

    /// Adds the credentials of the process at the other end.
    #[must_use]
    pub const fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sets the other end of the connection if [`address`](Self::address) is a client behind a
    /// proxy. It is for middleware and adapters that trust a proxy.
    ///
    /// ```
    /// use vestibule_core::{Address, Peer};
    ///
    /// let proxy = Address::Tcp("10.0.0.1:5000".parse().unwrap());
    /// let client = Address::Tcp("192.0.2.7:4711".parse().unwrap());
    /// let peer = Peer::new(client.clone(), Address::Unix(None)).with_connection(proxy.clone());
    /// assert_eq!((peer.address(), peer.connection()), (&client, &proxy));
    /// ```
    #[must_use]
    pub fn with_connection(mut self, connection: Address) -> Self {
        self.connection = Some(Box::new(connection));
        self
    }

    /// Returns the peer of a request, if its adapter knows it.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// Returns whether a request was made on this machine, without a proxy. Use it to protect
    /// internal pages.
    ///
    /// A local request fulfils three conditions:
    ///
    /// - It came by the loopback interface or a unix socket.
    /// - It has no sign of a proxy: `Via`, [`is_proxied`](Self::is_proxied), or a field of
    ///   `vestibule_fields::forwarding`.
    /// - Its host, if it has one, is `localhost`, a name below it, or an address. Another name may
    ///   be one that a foreign name server points to this machine.
    ///
    /// ```
    /// use vestibule_core::{Address, Peer, Request};
    ///
    /// let address = Address::Tcp("127.0.0.1:4711".parse().unwrap());
    /// let mut request = Request::default();
    /// request.extensions_mut().insert(Peer::new(address.clone(), address));
    /// assert!(Peer::is_local(&request));
    ///
    /// request.headers_mut().insert("host", "evil.example".parse().unwrap()); // DNS rebinding
    /// assert!(!Peer::is_local(&request));
    /// ```
    #[must_use]
    pub fn is_local<B>(request: &http::Request<B>) -> bool {
        let is_near = Self::of(request).is_some_and(|peer| match &peer.address {
            _ if peer.is_proxied => false,
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        });
        let headers = request.headers();
        let is_of_proxy = |name: &HeaderName| *name == VIA || is_forwarding(name);
        let is_direct = !headers.keys().any(is_of_proxy);
        is_near && is_direct && has_local_host(request)
    }

    /// Returns the address of the other end, or of the client behind a trusted proxy.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the address at the other end of the connection: that of the proxy, if `address` is
    /// the client behind it.
    ///
    /// ```
    /// use vestibule_core::{Address, Peer};
    ///
    /// let client = Address::Tcp("192.0.2.7:4711".parse().unwrap());
    /// let peer = Peer::new(client.clone(), Address::Unix(None));
    /// assert_eq!(peer.connection(), &client); // without a proxy they are the same
    /// ```
    #[must_use]
    pub fn connection(&self) -> &Address {
        self.connection.as_deref().unwrap_or(&self.address)
    }

    /// Returns our address.
    #[must_use]
    pub const fn local(&self) -> &Address {
        &self.local
    }

    /// Returns the credentials of the process at the other end of a unix socket, if the system has
    /// them.
    #[must_use]
    pub const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }
}

/// The owner of the process at the other end of a unix socket, as the kernel reports it
/// (`SO_PEERCRED`). The values are those at the time of the connection.
///
/// ```
/// use vestibule_core::{Address, Credentials, Peer};
///
/// let root = Credentials { uid: 0, gid: 0, pid: Some(1) };
/// let peer = Peer::new(Address::Unix(None), Address::Unix(None)).with_credentials(root);
/// assert_eq!(peer.credentials().map(|it| it.uid), Some(0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The process id, if the system has it. The process may have ended since, and another process
    /// may have its id.
    pub pid: Option<i32>,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A unix socket, with its path if it has one. Clients rarely do.
    Unix(Option<Arc<Path>>),
}

impl Address {
    /// Returns the IP address, if there is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// Returns the address with an IPv4-mapped IPv6 address as IPv4 (RFC 4291, section 2.5.5.2).
    ///
    /// A socket that listens at `[::]` reports IPv4 clients in the form `::ffff:192.0.2.1`.
    ///
    /// ```
    /// use vestibule_core::Address;
    ///
    /// let mapped = Address::Tcp("[::ffff:192.0.2.1]:4711".parse().unwrap());
    /// assert_eq!(mapped.to_canonical().to_string(), "192.0.2.1:4711");
    /// ```
    #[must_use]
    pub fn to_canonical(&self) -> Self {
        match self {
            Self::Tcp(address) => Self::from(*address),
            Self::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

impl From<SocketAddr> for Address {
    /// Converts an IPv4-mapped IPv6 address to IPv4.
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(match address.ip().to_canonical() {
            // Keep the socket address: an IPv6 address may have a scope, which `IpAddr` does not
            // hold.
            IpAddr::V6(_) => address,
            four => SocketAddr::new(four, address.port()),
        })
    }
}

impl fmt::Display for Address {
    /// Writes `192.0.2.1:80`, `[2001:db8::1]:80`, `unix:/run/app.sock` or `unix:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// Returns whether the request has no host, or a host that is a local name or an address.
fn has_local_host<B>(request: &http::Request<B>) -> bool {
    let field = request.headers().get(http::header::HOST);
    let field = field.map(|host| host.to_str().unwrap_or("?"));
    let target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    [field, target].into_iter().flatten().all(is_local_host)
}

/// Accepts `localhost`, a name below it, or an address, each with or without a port.
fn is_local_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || bare.unwrap_or(&name).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_sign_of_a_proxy_is_not_local() {
        let is_local = |name: Option<&'static str>| {
            let address = Address::Unix(None);
            let mut request = crate::Request::default();
            request
                .extensions_mut()
                .insert(Peer::new(address.clone(), address));
            if let Some(name) = name {
                let value = http::HeaderValue::from_static("a");
                request.headers_mut().insert(name, value);
            }
            Peer::is_local(&request)
        };
        for name in [None, Some("x-request-id"), Some("remote-user")] {
            assert!(is_local(name), "{name:?}");
        }
        let signs = [
            "via",
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-server",
            "x-real-ip",
            "x-original-url",
            "client-cert",
        ];
        for name in signs {
            assert!(!is_local(Some(name)), "{name}");
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        for (text, want) in [
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("[::ffff:c000:207]:0", "192.0.2.7:0"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("[::1]:80", "[::1]:80"),
            ("[::]:80", "[::]:80"),
            ("[fe80::1%3]:80", "[fe80::1%3]:80"),
            // Compatible and translated addresses are not mapped (RFC 4291, section 2.5.5.1, and
            // RFC 6052).
            ("[::192.0.2.7]:80", "[::c000:207]:80"),
            ("[64:ff9b::192.0.2.7]:80", "[64:ff9b::c000:207]:80"),
            ("[::ffff:0:192.0.2.7]:80", "[::ffff:0:c000:207]:80"),
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).to_string(), want, "{text}");
            assert_eq!(Address::Tcp(address).to_canonical().to_string(), want);
        }
    }

    #[test]
    fn localhost_and_addresses_are_local_hosts() {
        for host in [
            "localhost",
            "LocalHost:80",
            "a.localhost",
            "127.0.0.1:8080",
            "[::1]:1",
            "[::1]",
        ] {
            assert!(is_local_host(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "localhost:x",
            "?",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_local_host(host), "{host}");
        }
    }
}
