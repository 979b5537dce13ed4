//! Sockets that listen, and connections taken from them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(unix)]
use std::path::Path;
#[cfg(unix)]
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixSocket, UnixStream};
#[cfg(unix)]
use vestibule_core::Credentials;
use vestibule_core::{Address, Peer};

use crate::bind::{Options, Source};
use crate::closing::Ownership;
#[cfg(unix)]
use crate::file::{SocketFile, remove_stale};
use crate::{Bind, BindError};

/// A socket that listens: connections wait in its queue until they are accepted.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Listening,
    address: Address,
    text: Option<String>,
    /// The file of a unix socket that we made: it goes when we do.
    #[cfg(unix)]
    pub(crate) file: Option<SocketFile>,
    pub(crate) ownership: Ownership,
}

#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A connection.
#[derive(Debug)]
pub enum Socket {
    /// By TCP; small writes go out at once.
    Tcp(TcpStream),
    /// By a unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A copy of a socket that listens, for another runtime.
#[derive(Debug)]
pub struct Detached {
    socket: StdListening,
    address: Address,
    ownership: Ownership,
}

#[derive(Debug)]
enum StdListening {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// Listens at `bind`.
    ///
    /// A stale unix socket, on which nobody listens, is replaced; the file of one that is made here is
    /// removed when the listener is dropped.
    ///
    /// # Errors
    ///
    /// When it cannot listen there.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that has I/O.
    pub async fn bind(bind: impl Into<Bind>) -> Result<Self, BindError> {
        let Bind { source, options } = bind.into();
        let (address, opened) = match source {
            Source::Text(text) => {
                let opened = Self::open(&text, options).await;
                return Self::named(text, opened);
            }
            Source::Tcp(listener) => ("a listener", Self::tcp(listener)),
            Source::StdTcp(listener) => ("a listener", Self::std_tcp(listener)),
            #[cfg(unix)]
            Source::Unix(listener) => ("a listener", Self::unix(listener, None)),
            #[cfg(unix)]
            Source::StdUnix(listener) => ("a listener", Self::std_unix(listener, None)),
            #[cfg(unix)]
            Source::Inherited => ("descriptor 0", Self::inherited()),
        };
        opened.map_err(|error| BindError::new(address, error))
    }

    /// Takes a socket that another process made by this text, and listens on. A file that goes with it
    /// is not this process's until [`SocketFile::set_ours`] says so.
    ///
    /// # Errors
    ///
    /// When it is not a socket that listens.
    ///
    /// # Panics
    ///
    /// As [`bind`](Self::bind).
    #[cfg(unix)]
    pub fn adopt(text: &str, socket: OwnedFd) -> Result<Self, BindError> {
        let adopted = match text.strip_prefix("unix:") {
            // An abstract socket has no file.
            Some(name) if name.starts_with('@') => Self::std_unix(socket.into(), None),
            Some(path) => SocketFile::new(Path::new(path)).and_then(|file| {
                file.set_ours(false);
                Self::std_unix(socket.into(), Some(file))
            }),
            None => Self::std_tcp(socket.into()),
        };
        let adopted = adopted.inspect(|listener| listener.ownership.set_ours(true));
        Self::named(text.to_owned(), adopted)
    }

    fn named(text: String, opened: io::Result<Self>) -> Result<Self, BindError> {
        match opened {
            Ok(listener) => Ok(Self {
                text: Some(text),
                ..listener
            }),
            Err(error) => Err(BindError::new(text, error)),
        }
    }

    /// Where it listens; the port is the real one.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What it was bound by, when that was text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The file of a unix socket that was bound by text.
    #[cfg(unix)]
    #[must_use]
    pub const fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// A copy that shares the queue of connections. It has no text and no file.
    ///
    /// # Errors
    ///
    /// When no descriptor is free.
    pub fn detach(&self) -> io::Result<Detached> {
        #[cfg(windows)]
        use std::os::windows::io::AsSocket;
        let socket = match &self.socket {
            #[cfg(windows)]
            Listening::Tcp(it) => StdListening::Tcp(it.as_socket().try_clone_to_owned()?.into()),
            #[cfg(unix)]
            Listening::Tcp(it) => StdListening::Tcp(it.as_fd().try_clone_to_owned()?.into()),
            #[cfg(unix)]
            Listening::Unix(it) => StdListening::Unix(it.as_fd().try_clone_to_owned()?.into()),
        };
        Ok(Detached {
            socket,
            address: self.address.clone(),
            ownership: self.ownership.clone(),
        })
    }

    /// Waits for the next connection, and for who made it.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        match &self.socket {
            Listening::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| tcp(stream, peer, &self.address)),
            #[cfg(unix)]
            Listening::Unix(listener) => listener.poll_accept(cx).map_ok(|(stream, peer)| {
                let path = peer.as_pathname().map(Into::into);
                unix(stream, path, &self.address)
            }),
        }
    }

    async fn open(text: &str, options: Options) -> io::Result<Self> {
        if !text.contains(':') || text == "unix:" {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an address is `127.0.0.1:8080`, `:8080` for all interfaces, `[::1]:8080`, `localhost:8080`, `unix:/run/app.sock` or, on Linux, `unix:@name`",
            ));
        }
        if let Some(name) = text.strip_prefix("unix:@") {
            return Self::open_abstract(name, options);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            #[cfg(unix)]
            return Self::open_unix(Path::new(path), options).await;
            #[cfg(not(unix))]
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "this system has no unix sockets, as {path} would be: use an address and a port"
                ),
            ));
        }
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a port is 0 to 65535, as in `:8080`",
                )
            })?;
            return Self::made(open_all(port, options)?);
        }
        let mut refused = None;
        for address in tokio::net::lookup_host(text).await? {
            match open_tcp(address, options) {
                Ok(listener) => return Self::made(listener),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused
            .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    }

    /// A unix socket by a name that is in no file system; unix(7), "Abstract sockets".
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn open_abstract(name: &str, options: Options) -> io::Result<Self> {
        let error = |kind, text: &str| io::Error::new(kind, text);
        if name.is_empty() {
            let text = "a name follows the `@`, as in `unix:@app`";
            return Err(error(io::ErrorKind::InvalidInput, text));
        }
        if options.mode.is_some() {
            return Err(error(
                io::ErrorKind::InvalidInput,
                "an abstract socket has no mode: everyone in this network namespace may connect; use a path, as in \
                 `unix:/run/app.sock`",
            ));
        }
        let socket = UnixSocket::new_stream()?;
        socket
            .bind(format!("\0{name}"))
            .map_err(|it| match it.kind() {
                io::ErrorKind::AddrInUse => error(it.kind(), "another process has this name"),
                _ => it,
            })?;
        let listener = Self::unix(socket.listen(options.backlog)?, None)?;
        listener.ownership.set_ours(true);
        Ok(listener)
    }

    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    fn open_abstract(_: &str, _: Options) -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only Linux has abstract unix sockets: use a path, as in `unix:/run/app.sock`, or `unix:./@name`",
        ))
    }

    fn tcp(listener: TcpListener) -> io::Result<Self> {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        bound_unsent(&listener);
        Ok(Self {
            address: Address::Tcp(listener.local_addr()?),
            socket: Listening::Tcp(listener),
            text: None,
            #[cfg(unix)]
            file: None,
            ownership: Ownership::new(false),
        })
    }

    /// A socket that was made here: no other process has it.
    fn made(listener: TcpListener) -> io::Result<Self> {
        let listener = Self::tcp(listener)?;
        listener.ownership.set_ours(true);
        Ok(listener)
    }

    fn std_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::tcp(TcpListener::from_std(listener)?)
    }
}

#[cfg(unix)]
impl Listener {
    async fn open_unix(path: &Path, options: Options) -> io::Result<Self> {
        let socket = UnixSocket::new_stream()?;
        match socket.bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path).await?;
                socket.bind(path)?;
            }
            other => other?,
        }
        // From here on the file is ours, and goes if the rest fails.
        let file = SocketFile::new(path)?;
        if let Some(mode) = options.mode {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        // Nobody can connect before this.
        Self::unix(socket.listen(options.backlog)?, Some(file))
    }

    fn unix(listener: UnixListener, file: Option<SocketFile>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let path = address.as_pathname().map(Into::into);
        Ok(Self {
            address: Address::Unix(path.or_else(|| abstract_name(&address))),
            socket: Listening::Unix(listener),
            text: None,
            ownership: Ownership::new(file.is_some()),
            file,
        })
    }

    fn std_unix(
        listener: std::os::unix::net::UnixListener,
        file: Option<SocketFile>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::unix(UnixListener::from_std(listener)?, file)
    }

    fn inherited() -> io::Result<Self> {
        let error = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
        // A socket that listens has no peer. FastCGI 1.0, section 2.2, tells it from CGI in this way.
        let stream = std::os::unix::net::UnixStream::from(descriptor.try_clone()?);
        match stream.peer_addr() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Ok(_) => return Err(error("it is a connection")),
            Err(_) => {
                return Err(error(
                    "it is no socket; spawn-fcgi and mod_fcgid start a program with one there",
                ));
            }
        }
        let unix = std::os::unix::net::UnixListener::from(descriptor.try_clone()?);
        match unix.local_addr() {
            Ok(_) => Self::std_unix(unix, None),
            Err(_) => Self::std_tcp(descriptor.into()),
        }
    }
}

#[cfg(unix)]
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Listening::Tcp(socket) => socket.as_fd(),
            Listening::Unix(socket) => socket.as_fd(),
        }
    }
}

#[cfg(unix)]
impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            StdListening::Tcp(socket) => socket.as_fd(),
            StdListening::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Detached {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub(crate) const fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub(crate) const fn tcp(&self) -> Option<&std::net::TcpListener> {
        match &self.socket {
            StdListening::Tcp(socket) => Some(socket),
            StdListening::Unix(_) => None,
        }
    }

    /// Listens in the runtime in which it is called.
    ///
    /// # Errors
    ///
    /// When the runtime does not take it.
    ///
    /// # Panics
    ///
    /// As [`Listener::bind`].
    pub fn attach(self) -> io::Result<Listener> {
        Ok(Listener {
            socket: match self.socket {
                StdListening::Tcp(socket) => Listening::Tcp(TcpListener::from_std(socket)?),
                #[cfg(unix)]
                StdListening::Unix(socket) => Listening::Unix(UnixListener::from_std(socket)?),
            },
            address: self.address,
            text: None,
            #[cfg(unix)]
            file: None,
            ownership: self.ownership,
        })
    }

    /// Takes the next connection, in the runtime in which it is called.
    pub(crate) fn accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.socket {
            StdListening::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(tcp(TcpStream::from_std(stream)?, peer, &self.address))
            }
            #[cfg(unix)]
            StdListening::Unix(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let path = peer.as_pathname().map(Into::into);
                Ok(unix(UnixStream::from_std(stream)?, path, &self.address))
            }
        }
    }
}

/// A connection by TCP to the listener at `address`.
fn tcp(stream: TcpStream, peer: SocketAddr, address: &Address) -> (Socket, Peer) {
    // A connection that is gone already says so later.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr();
    let local = local.map_or_else(|_| address.clone(), |local| Address::Tcp(canonical(local)));
    let peer = Peer::new(Address::Tcp(canonical(peer)), local);
    (Socket::Tcp(stream), peer)
}

/// A connection by the unix socket at `address`, from a client whose socket may have a path.
#[cfg(unix)]
fn unix(stream: UnixStream, path: Option<Arc<Path>>, address: &Address) -> (Socket, Peer) {
    let peer = Peer::new(Address::Unix(path), address.clone());
    let peer = match stream.peer_cred() {
        Ok(process) => peer.with_credentials(Credentials {
            uid: process.uid(),
            gid: process.gid(),
            pid: process.pid(),
        }),
        Err(_) => peer,
    };
    (Socket::Unix(stream), peer)
}

/// The name of an abstract socket behind an `@`, as it is written and shown everywhere.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn abstract_name(address: &tokio::net::unix::SocketAddr) -> Option<Arc<Path>> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from(address.clone());
    let name = String::from_utf8_lossy(address.as_abstract_name()?).into_owned();
    Some(Path::new(&format!("@{name}")).into())
}

#[cfg(all(unix, not(any(target_os = "android", target_os = "linux"))))]
fn abstract_name(_: &tokio::net::unix::SocketAddr) -> Option<Arc<Path>> {
    None
}

/// Listens at a port of all interfaces: by IPv6 and IPv4 with one socket, or by IPv4 on a machine without IPv6.
fn open_all(port: u16, options: Options) -> io::Result<TcpListener> {
    let opened = new_v6(options.only_v6)
        .and_then(|socket| listen(socket_address(Ipv6Addr::UNSPECIFIED, port), socket, options));
    match opened {
        // IPv6 is compiled out or turned off. Any other error is the same for IPv4.
        Err(error)
            if !options.only_v6
                && !matches!(
                    error.kind(),
                    io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
                ) =>
        {
            open_tcp(socket_address(Ipv4Addr::UNSPECIFIED, port), options)
        }
        other => other,
    }
}

/// A socket for IPv6 that takes connections by IPv4 too, or does not, whatever the default of the system is (RFC 3493,
/// section 5.3).
fn new_v6(is_only_v6: bool) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v6()?;
    socket2::SockRef::from(&socket).set_only_v6(is_only_v6)?;
    Ok(socket)
}

fn socket_address(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

/// An IPv4 address that a socket for IPv6 shows as `::ffff:192.0.2.1`, as itself; others stay as they are.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(it) if it.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(address.ip().to_canonical(), address.port())
        }
        _ => address,
    }
}

fn open_tcp(address: SocketAddr, options: Options) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) if options.only_v6 => new_v6(true)?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    listen(address, socket, options)
}

fn listen(address: SocketAddr, socket: TcpSocket, options: Options) -> io::Result<TcpListener> {
    // A restart need not wait for the connections of the last run to be forgotten. On Windows the
    // option means something else.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    if options.reuse_port {
        #[cfg(unix)]
        socket.set_reuseport(true)?;
        #[cfg(not(unix))]
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "SO_REUSEPORT is for unix",
        ));
    }
    socket.bind(address)?;
    socket.listen(options.backlog)
}

/// Lets no more than [`MAX_UNSENT`] wait in the kernel for a client that reads slowly: without this it
/// is megabytes for each. Accepted sockets have it from the one that listens.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn bound_unsent(listener: &TcpListener) {
    if let Err(error) = socket2::SockRef::from(listener).set_tcp_notsent_lowat(MAX_UNSENT) {
        tracing::debug!(target: "vestibule", "the kernel may hold much for slow readers: {error}");
    }
}

/// What the kernel takes beyond what it has sent, in bytes. What is on its way is not counted, so
/// a fast client is as fast as before.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT: u32 = 128 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn tcp(address: &Address) -> SocketAddr {
        match address {
            Address::Tcp(address) => *address,
            other => panic!("{other}"),
        }
    }

    /// The addresses of the server and of the client, as the server sees a connection to `ip`.
    async fn accepted(listener: &Listener, ip: IpAddr) -> Option<(IpAddr, IpAddr)> {
        let port = tcp(listener.address()).port();
        let client = TcpStream::connect((ip, port)).await.ok()?;
        let (_, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.ok()?;
        let (local, peer) = (tcp(peer.local()), tcp(peer.address()));
        assert_eq!(peer.port(), client.local_addr().ok()?.port());
        Some((local.ip(), peer.ip()))
    }

    #[tokio::test]
    async fn a_port_alone_is_all_interfaces_and_both_versions_of_ip() {
        let listener = Listener::bind(":0").await.unwrap();
        assert_eq!(listener.text(), Some(":0"));
        let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
        // Not `::ffff:127.0.0.1`, which no rule for addresses would know.
        assert_eq!(accepted(&listener, v4).await, Some((v4, v4)));
        let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
        let has_v6 = std::net::TcpListener::bind((v6, 0)).is_ok();
        assert_eq!(accepted(&listener, v6).await, has_v6.then_some((v6, v6)));
        let port = tcp(listener.address()).port();
        let taken = Listener::bind(&*format!(":{port}")).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(taken.address(), format!(":{port}"));
    }

    #[tokio::test]
    async fn other_texts_after_the_colon_are_not_a_port() {
        for text in [":", ":x", ":70000", ":-1", ":80 ", ":80/"] {
            let error = Listener::bind(text).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().contains("as in `:8080`"), "{error}");
        }
    }

    #[test]
    fn mapped_addresses_are_shown_as_ipv4() {
        for (address, want) in [
            ("[::ffff:192.0.2.1]:5", "192.0.2.1:5"),
            ("192.0.2.1:5", "192.0.2.1:5"),
            ("[2001:db8::1]:5", "[2001:db8::1]:5"),
            ("[fe80::1%3]:5", "[fe80::1%3]:5"),
            ("[::1]:0", "[::1]:0"),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(canonical(address).to_string(), want);
        }
    }
}
