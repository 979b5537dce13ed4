//! Addresses, sockets that listen there, and connections taken from them.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::Arc;
#[cfg(unix)]
use std::sync::atomic::AtomicBool;
#[cfg(all(feature = "handover", unix))]
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixSocket, UnixStream};
#[cfg(unix)]
use vestibule_core::Credentials;
use vestibule_core::{Address, Peer};

use crate::io::Socket;
use crate::rarely::Rarely;

/// Where to listen: an address as text, or a socket that listens already.
///
/// ```
/// use vestibule_hyper::Bind;
///
/// let _ = Bind::from("127.0.0.1:8080"); // port 0 takes any free port
/// let _ = Bind::from("localhost:8080"); // the first address of the name that can be had
/// let _ = Bind::from("unix:/run/app.sock").mode(0o660);
/// ```
#[derive(Debug)]
pub struct Bind {
    source: Source,
    options: Options,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::Tls>,
}

/// How a socket is made; for one that is made already they come too late.
#[derive(Clone, Copy, Debug)]
struct Options {
    backlog: u32,
    reuse_port: bool,
    mode: Option<u32>,
}

impl Bind {
    const fn new(source: Source) -> Self {
        Self {
            source,
            options: Options {
                backlog: 1024,
                reuse_port: false,
                mode: None,
            },
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How many connections wait in the kernel's queue: 1024. The kernel may have a lower limit of
    /// its own (`net.core.somaxconn`).
    #[must_use]
    pub const fn backlog(mut self, connections: u32) -> Self {
        self.options.backlog = connections;
        self
    }

    /// Lets several sockets listen on the same TCP address, where the kernel shares connections
    /// out between them (`SO_REUSEPORT`): for workers, and for a restart without a gap.
    #[must_use]
    pub const fn reuse_port(mut self) -> Self {
        self.options.reuse_port = true;
        self
    }

    /// Who may connect to a unix socket, as in `chmod`: `0o660` for owner and group. It is set
    /// before the first connection can be made. Without it the process's umask decides.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.options.mode = Some(mode);
        self
    }
}

#[derive(Debug)]
enum Source {
    Text(String),
    Tcp(TcpListener),
    StdTcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
    #[cfg(unix)]
    StdUnix(std::os::unix::net::UnixListener),
}

macro_rules! bind_from {
    ($($(#[$attribute:meta])* $from:ty => $source:expr),+ $(,)?) => {$(
        $(#[$attribute])*
        impl From<$from> for Bind {
            fn from(value: $from) -> Self {
                Self::new($source(value))
            }
        }
    )+};
}

bind_from! {
    &str => |text: &str| Source::Text(text.to_owned()),
    String => Source::Text,
    SocketAddr => |address: SocketAddr| Source::Text(address.to_string()),
    TcpListener => Source::Tcp,
    std::net::TcpListener => Source::StdTcp,
    #[cfg(unix)]
    UnixListener => Source::Unix,
    #[cfg(unix)]
    std::os::unix::net::UnixListener => Source::StdUnix,
}

/// Why a server cannot listen where it was told to, and what to do about it.
///
/// It turns into an [`io::Error`] of the same kind.
pub struct BindError {
    address: String,
    error: io::Error,
}

impl BindError {
    /// The address as it was given.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What kind of error it is: [`io::ErrorKind::AddrInUse`] and so on.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        let is_unix = address.starts_with("unix:");
        write!(f, "cannot listen on `{address}`: ")?;
        match (error.kind(), is_unix) {
            (io::ErrorKind::AddrInUse, false) => f.write_str(
                "another process listens there; stop it, or choose another port (port 0 takes any free one)",
            ),
            (io::ErrorKind::AddrInUse, true) => {
                write!(f, "{error}; stop the process that listens there, or choose another path")
            }
            (io::ErrorKind::PermissionDenied, false) => f.write_str(
                "permission denied; ports below 1024 are for root, or for a process with CAP_NET_BIND_SERVICE",
            ),
            (io::ErrorKind::AddrNotAvailable, _) => f.write_str(
                "this machine has no such address; `0.0.0.0` or `[::]` stand for all that it has",
            ),
            (io::ErrorKind::NotFound, true) => f.write_str("its directory does not exist"),
            _ => error.fmt(f),
        }
    }
}

impl fmt::Debug for BindError {
    /// The sentence, since `main` prints an error that it returns in this form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        Self::new(error.kind(), error)
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
    socket: Listening,
    address: Address,
    /// What it was bound by, when that was text.
    #[cfg(all(feature = "handover", unix))]
    pub(crate) text: Option<String>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::Tls>,
    /// The file of a unix socket that we made: it goes when we do.
    #[cfg(unix)]
    #[cfg_attr(
        not(feature = "handover"),
        allow(dead_code, reason = "it is there to be dropped")
    )]
    pub(crate) file: Option<SocketFile>,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A copy of a socket that listens, for another runtime.
pub(crate) struct Detached {
    socket: StdListening,
    address: Address,
    #[cfg(feature = "tls")]
    tls: Option<crate::Tls>,
}

enum StdListening {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

impl Detached {
    /// Has to be called in the runtime that it is for.
    pub(crate) fn attach(self) -> io::Result<Listener> {
        Ok(Listener {
            socket: match self.socket {
                StdListening::Tcp(socket) => Listening::Tcp(TcpListener::from_std(socket)?),
                #[cfg(unix)]
                StdListening::Unix(socket) => Listening::Unix(UnixListener::from_std(socket)?),
            },
            address: self.address,
            #[cfg(all(feature = "handover", unix))]
            text: None,
            #[cfg(feature = "tls")]
            tls: self.tls,
            #[cfg(unix)]
            file: None,
        })
    }
}

impl Listener {
    /// A copy of its socket.
    #[cfg(all(feature = "handover", unix))]
    pub(crate) fn duplicate(&self) -> io::Result<std::os::fd::OwnedFd> {
        use std::os::fd::AsFd;
        match &self.socket {
            Listening::Tcp(socket) => socket.as_fd().try_clone_to_owned(),
            Listening::Unix(socket) => socket.as_fd().try_clone_to_owned(),
        }
    }

    /// A copy that shares the queue of connections.
    #[cfg(unix)]
    pub(crate) fn detach(&self) -> io::Result<Detached> {
        use std::os::fd::AsFd;
        Ok(Detached {
            socket: match &self.socket {
                Listening::Tcp(it) => StdListening::Tcp(it.as_fd().try_clone_to_owned()?.into()),
                Listening::Unix(it) => StdListening::Unix(it.as_fd().try_clone_to_owned()?.into()),
            },
            address: self.address.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        })
    }

    /// A copy that shares the queue of connections.
    #[cfg(windows)]
    pub(crate) fn detach(&self) -> io::Result<Detached> {
        use std::os::windows::io::AsSocket;
        let Listening::Tcp(socket) = &self.socket;
        Ok(Detached {
            socket: StdListening::Tcp(socket.as_socket().try_clone_to_owned()?.into()),
            address: self.address.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        })
    }

    /// The socket without a runtime that watches it, and the file that goes with it.
    #[cfg(all(unix, feature = "socket-activation"))]
    pub(crate) fn into_parts(self) -> io::Result<(std::os::fd::OwnedFd, Option<SocketFile>)> {
        use std::os::fd::AsFd;
        let socket = match &self.socket {
            Listening::Tcp(it) => it.as_fd().try_clone_to_owned()?,
            Listening::Unix(it) => it.as_fd().try_clone_to_owned()?,
        };
        Ok((socket, self.file))
    }

    pub(crate) async fn bind(bind: Bind) -> Result<Self, BindError> {
        let (address, opened) = match bind.source {
            Source::Text(text) => {
                let opened = Self::open(&text, bind.options).await;
                #[cfg(all(feature = "handover", unix))]
                let opened = opened.map(|listener| Self {
                    text: Some(text.clone()),
                    ..listener
                });
                (text, opened)
            }
            Source::Tcp(listener) => ("a listener".to_owned(), Self::tcp(listener)),
            Source::StdTcp(listener) => ("a listener".to_owned(), Self::std_tcp(listener)),
            #[cfg(unix)]
            Source::Unix(listener) => ("a listener".to_owned(), Self::unix(listener, None)),
            #[cfg(unix)]
            Source::StdUnix(listener) => ("a listener".to_owned(), Self::std_unix(listener, None)),
        };
        match opened {
            #[cfg(feature = "tls")]
            Ok(listener) => Ok(Self {
                tls: bind.tls,
                ..listener
            }),
            #[cfg(not(feature = "tls"))]
            Ok(listener) => Ok(listener),
            Err(error) => Err(BindError { address, error }),
        }
    }

    /// Where it listens; the port is the real one.
    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    async fn open(text: &str, options: Options) -> io::Result<Self> {
        #[cfg(all(feature = "handover", unix))]
        if let Some(socket) = crate::handover::take(text)? {
            return match text.strip_prefix("unix:") {
                Some(path) => {
                    let file = SocketFile::new(Path::new(path))?;
                    // It is the other process's until this one serves.
                    file.set_ours(false);
                    Self::std_unix(socket.into(), Some(file))
                }
                None => Self::std_tcp(socket.into()),
            };
        }
        if let Some(path) = text.strip_prefix("unix:") {
            #[cfg(unix)]
            return Self::open_unix(Path::new(path), options).await;
            #[cfg(not(unix))]
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("unix sockets such as {path} are for unix"),
            ));
        }
        if !text.contains(':') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an address is `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080` or `unix:/run/app.sock`",
            ));
        }
        let mut refused = None;
        for address in tokio::net::lookup_host(text).await? {
            match open_tcp(address, options) {
                Ok(listener) => return Self::tcp(listener),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused
            .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    }

    fn tcp(listener: TcpListener) -> io::Result<Self> {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        bound_unsent(&listener);
        Ok(Self {
            address: Address::Tcp(listener.local_addr()?),
            socket: Listening::Tcp(listener),
            #[cfg(all(feature = "handover", unix))]
            text: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(unix)]
            file: None,
        })
    }

    fn std_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::tcp(TcpListener::from_std(listener)?)
    }

    /// Waits for the next connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        self.poll_socket(cx).map_ok(|(socket, peer)| Accepted {
            socket,
            peer,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        })
    }

    fn poll_socket(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        match &self.socket {
            Listening::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, peer)| {
                // Small writes go out at once; a connection that is gone already says so later.
                let _ = stream.set_nodelay(true);
                let local = stream
                    .local_addr()
                    .map_or_else(|_| self.address.clone(), Address::Tcp);
                (Socket::Tcp(stream), Peer::new(Address::Tcp(peer), local))
            }),
            #[cfg(unix)]
            Listening::Unix(listener) => listener.poll_accept(cx).map_ok(|(stream, peer)| {
                let address = Address::Unix(peer.as_pathname().map(Into::into));
                let peer = Peer::new(address, self.address.clone());
                let peer = match stream.peer_cred() {
                    Ok(process) => peer.with_credentials(Credentials {
                        uid: process.uid(),
                        gid: process.gid(),
                        pid: process.pid(),
                    }),
                    Err(_) => peer,
                };
                (Socket::Unix(stream), peer)
            }),
        }
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
        let path = listener.local_addr()?.as_pathname().map(Into::into);
        Ok(Self {
            address: Address::Unix(path),
            socket: Listening::Unix(listener),
            #[cfg(all(feature = "handover", unix))]
            text: None,
            #[cfg(feature = "tls")]
            tls: None,
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
}

fn open_tcp(address: SocketAddr, options: Options) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
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

/// Removes the socket that a process left when it was killed: one on which nobody listens.
#[cfg(unix)]
async fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;

    let in_use = |text| io::Error::new(io::ErrorKind::AddrInUse, text);
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(in_use(
            "there is a file of that name, and it is not a socket",
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(in_use("another process listens there")),
    }
}

/// The file of a unix socket, by its place and identity. A clone is the same file.
#[cfg(unix)]
#[derive(Clone, Debug)]
pub(crate) struct SocketFile(
    #[cfg_attr(
        not(feature = "handover"),
        allow(dead_code, reason = "it is there to be dropped")
    )]
    Arc<OwnFile>,
);

#[cfg(unix)]
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    identity: (u64, u64),
    is_ours: AtomicBool,
}

#[cfg(unix)]
impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        // A later change of directory does not change what is ours.
        let path = std::path::absolute(path)?;
        let identity = Self::identity(&path)?;
        Ok(Self(Arc::new(OwnFile {
            path,
            identity,
            is_ours: AtomicBool::new(true),
        })))
    }

    /// Whether it goes when the last of its clones does.
    #[cfg(feature = "handover")]
    pub(crate) fn set_ours(&self, is_ours: bool) {
        self.0.is_ours.store(is_ours, Ordering::Relaxed);
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

#[cfg(unix)]
impl Drop for OwnFile {
    fn drop(&mut self) {
        // Another server may have put its own socket in this place.
        let is_there =
            || SocketFile::identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if *self.is_ours.get_mut() && is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// How many connections the process has descriptors for; `None` when that is not known.
pub(crate) fn max_connections() -> Option<usize> {
    connections_within(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// Four fifths of the soft limit on open files, less what the app itself may need: from the text
/// of Linux's `/proc/self/limits`, `Max open files  1024  4096  files`.
fn connections_within(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let files: usize = line.split_whitespace().next()?.parse().ok()?;
    Some((files.saturating_sub(100) / 5 * 4).max(files / 4).max(1))
}

/// What an accept loop does about an error.
///
/// A connection that died in the queue is no reason to wait; nor is what Linux passes on of the network
/// below it (accept(2): EPROTO, ENETDOWN and others), unless it does not end. A shortage (no
/// descriptor, no memory) stays true for a while: the loop waits 5 ms, and twice as long each time up
/// to 250 ms. It logs at most one line a second.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// Errors in a row that were no reason to wait.
    passed: u32,
    /// Errors in a row that were.
    waited: u32,
    log: Rarely,
}

impl Backoff {
    /// An accept succeeded.
    pub(crate) fn reset(&mut self) {
        (self.passed, self.waited) = (0, 0);
    }

    /// How long to wait after `error`.
    pub(crate) fn after(&mut self, error: &io::Error) -> Duration {
        if !is_shortage(error) && self.passed < MAX_PASSED {
            self.passed += 1;
            return Duration::ZERO;
        }
        if let Some(silent) = self.log.line() {
            tracing::error!(
                target: "vestibule", silent,
                "cannot accept connections, and will try again: {error}"
            );
        }
        let wait = SHORTEST * 2_u32.saturating_pow(self.waited.min(10));
        self.waited = self.waited.saturating_add(1);
        wait.min(LONGEST)
    }
}

/// Whether something is missing that the next connection would need as well.
fn is_shortage(error: &io::Error) -> bool {
    // These have one number on every unix.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE) if cfg!(unix))
        || error.kind() == io::ErrorKind::OutOfMemory
}

/// What the kernel takes beyond what it has sent, in bytes. What is on its way is not counted, so
/// a fast client is as fast as before.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT: u32 = 128 * 1024;

/// The first wait after an error.
const SHORTEST: Duration = Duration::from_millis(5);

/// The longest wait.
const LONGEST: Duration = Duration::from_millis(250);

/// How many errors in a row are taken for one connection's each.
const MAX_PASSED: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_bound_connections() {
        let line = |soft: &str| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax open files            {soft}                 1048576              files     \nMax locked memory 1 2 bytes\n"
            )
        };
        let cases = [
            ("1024", Some(736)),
            ("1048576", Some(838_780)),
            ("64", Some(16)),
            ("0", Some(1)),
            ("unlimited", None),
        ];
        for (soft, most) in cases {
            assert_eq!(connections_within(&line(soft)), most, "{soft}");
        }
        assert_eq!(connections_within(""), None);
    }

    #[test]
    fn waits_double_up_to_a_quarter_second() {
        let full = io::Error::from_raw_os_error(24); // EMFILE
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after(&full).as_millis()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 250, 250]);
        backoff.reset();
        assert_eq!(backoff.after(&full).as_millis(), 5);
        for _ in 0..1000 {
            backoff.after(&full);
        }
        assert_eq!(backoff.after(&full), LONGEST);
    }

    /// The errors of accept(2) on Linux.
    #[cfg(target_os = "linux")]
    #[test]
    fn faults_67_which_errors_of_accept_wait() {
        let cases = [
            ("EPERM", 1, false),
            ("EINTR", 4, false),
            ("ENOMEM", 12, true),
            ("ENFILE", 23, true),
            ("EMFILE", 24, true),
            ("ENONET", 64, false),
            ("EPROTO", 71, false),
            ("ENOPROTOOPT", 92, false),
            ("EOPNOTSUPP", 95, false),
            ("ENETDOWN", 100, false),
            ("ENETUNREACH", 101, false),
            ("ECONNABORTED", 103, false),
            ("ENOBUFS", 105, false),
            ("EHOSTDOWN", 112, false),
            ("EHOSTUNREACH", 113, false),
        ];
        for (name, number, waits) in cases {
            let error = io::Error::from_raw_os_error(number);
            let mut backoff = Backoff::default();
            assert_eq!(backoff.after(&error) > Duration::ZERO, waits, "{name}");
            // None keeps the loop busy for ever.
            let ended = (0..200).find(|_| backoff.after(&error) == LONGEST);
            assert!(ended.is_some(), "{name}");
        }
    }

    #[test]
    fn a_dead_connection_costs_nothing() {
        let mut backoff = Backoff::default();
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(backoff.after(&aborted), Duration::ZERO);
        assert_eq!(backoff.log.line(), Some(0), "it was not told");
    }
}
