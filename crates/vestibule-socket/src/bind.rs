//! Places to listen, and why one may not be had.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

/// Where to listen: an address as text, or a socket that listens already.
///
/// ```
/// use vestibule_socket::Bind;
///
/// let _ = Bind::from("127.0.0.1:8080"); // port 0 takes any free port
/// let _ = Bind::from(":8080"); // all interfaces, by IPv4 and IPv6
/// let _ = Bind::from("localhost:8080"); // the first address of the name that can be had
/// let _ = Bind::from("unix:/run/app.sock").mode(0o660);
/// let _ = Bind::from("unix:@app"); // an abstract socket of Linux, which everyone on this machine may open
/// ```
#[derive(Debug)]
pub struct Bind {
    pub(crate) source: Source,
    pub(crate) options: Options,
}

/// How a socket is made; for one that is made already they come too late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) backlog: u32,
    pub(crate) reuse_port: bool,
    pub(crate) mode: Option<u32>,
    pub(crate) only_v6: bool,
}

#[derive(Debug)]
pub(crate) enum Source {
    Text(String),
    Tcp(TcpListener),
    StdTcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
    #[cfg(unix)]
    StdUnix(std::os::unix::net::UnixListener),
    #[cfg(unix)]
    Inherited,
}

impl Bind {
    const fn new(source: Source) -> Self {
        Self {
            source,
            options: Options {
                backlog: 1024,
                reuse_port: false,
                mode: None,
                only_v6: false,
            },
        }
    }

    /// The socket that is descriptor 0, as spawn-fcgi, mod_fcgid and inetd (`wait`) leave it: FastCGI's
    /// `FCGI_LISTENSOCK_FILENO`. It is an error to bind to it when descriptor 0 is no socket that
    /// listens, as in a CGI program.
    #[cfg(unix)]
    #[must_use]
    pub const fn inherited() -> Self {
        Self::new(Source::Inherited)
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

    /// Who may connect to a unix socket that is made here, as in `chmod`: `0o660` for owner and group.
    /// It is set before the first connection can be made. Without it the process's umask decides.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.options.mode = Some(mode);
        self
    }

    /// Takes connections by IPv6 alone at an address of IPv6 (`IPV6_V6ONLY`; RFC 3493, section 5.3), so that `[::]:80`
    /// and `0.0.0.0:80` are two sockets. Defaults to `false`: `:80` takes both versions, and `[::]:80` what the system
    /// says, which is both on Linux.
    #[must_use]
    pub const fn only_v6(mut self, enabled: bool) -> Self {
        self.options.only_v6 = enabled;
        self
    }

    /// The IP address and port, when the address is text that has both.
    #[must_use]
    pub fn ip_and_port(&self) -> Option<SocketAddr> {
        self.text()?.parse().ok()
    }

    /// The address, when it is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.source {
            Source::Text(text) => Some(text),
            _ => None,
        }
    }
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
    /// It cannot listen on `address` because of `error`.
    #[must_use]
    pub fn new(address: impl Into<String>, error: io::Error) -> Self {
        let address = address.into();
        Self { address, error }
    }

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
            (io::ErrorKind::PermissionDenied, false) => f.write_str(
                "permission denied; ports below 1024 are for root, or for a process with CAP_NET_BIND_SERVICE",
            ),
            (io::ErrorKind::AddrNotAvailable, _) => f.write_str(
                "this machine has no such address; `:8080` listens at port 8080 of all that it has",
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
