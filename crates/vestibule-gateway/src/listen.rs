//! Where web servers find the app.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use vestibule_core::Address;

/// Where to listen: an address as text, a socket that listens already, or the one that this process
/// was started with.
///
/// ```
/// use vestibule_gateway::Bind;
///
/// let _ = Bind::from("127.0.0.1:9000"); // port 0 takes any free port
/// let _ = Bind::from("unix:/run/app.sock").mode(0o660);
/// let _ = Bind::inherited(); // by spawn-fcgi, or mod_fcgid
/// ```
#[derive(Debug)]
pub struct Bind {
    source: Source,
    mode: Option<u32>,
}

#[derive(Debug)]
enum Source {
    Text(String),
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
    Inherited,
}

impl Bind {
    /// The socket that is descriptor 0: FastCGI's `FCGI_LISTENSOCK_FILENO`. It is an error to bind to it
    /// when descriptor 0 is no socket that listens, as in a CGI program.
    #[must_use]
    pub const fn inherited() -> Self {
        Self::new(Source::Inherited)
    }

    /// Who may connect to a unix socket that is made here, as in `chmod`: `0o660` for owner and group,
    /// of which the web server has to be one. It is set before the first connection can be made.
    /// Without it the process's umask decides.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    const fn new(source: Source) -> Self {
        Self { source, mode: None }
    }
}

impl From<&str> for Bind {
    fn from(text: &str) -> Self {
        Self::new(Source::Text(text.to_owned()))
    }
}

impl From<String> for Bind {
    fn from(text: String) -> Self {
        Self::new(Source::Text(text))
    }
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Self {
        Self::new(Source::Text(address.to_string()))
    }
}

impl From<std::net::TcpListener> for Bind {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::new(Source::Tcp(listener))
    }
}

impl From<std::os::unix::net::UnixListener> for Bind {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        Self::new(Source::Unix(listener))
    }
}

/// A connection of either kind.
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

/// A connection of any other kind.
pub(crate) struct Open<I>(pub(crate) I);

impl<I: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for Open<I> {}

impl<I: AsyncRead + Unpin> AsyncRead for Open<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Open<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Io for Box<dyn Io> {
    fn reset(&self) {
        (**self).reset();
    }
}

/// A connection, and the address of its peer when that has one.
pub(crate) type Accepted = (Box<dyn Io>, Option<IpAddr>);

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Listening,
    address: Address,
    /// The file of a unix socket that we made: it goes when we do.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(crate) async fn bind(bind: Bind) -> io::Result<Self> {
        match bind.source {
            Source::Text(text) => Self::open(&text, bind.mode)
                .await
                .map_err(|error| explained(&text, &error)),
            Source::Tcp(listener) => Self::tcp(listener),
            Source::Unix(listener) => Self::unix(listener, None),
            Source::Inherited => Self::inherited(),
        }
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    async fn open(text: &str, mode: Option<u32>) -> io::Result<Self> {
        let Some(path) = text.strip_prefix("unix:") else {
            let listener = TcpListener::bind(text).await?;
            return Self::tcp(listener.into_std()?);
        };
        let path = Path::new(path);
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
        if let Some(mode) = mode {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        // Nobody can connect before this.
        let listener = socket.listen(BACKLOG)?;
        Self::unix(listener.into_std()?, Some(file))
    }

    fn tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            address: Address::Tcp(listener.local_addr()?),
            socket: Listening::Tcp(TcpListener::from_std(listener)?),
            _file: None,
        })
    }

    fn unix(
        listener: std::os::unix::net::UnixListener,
        file: Option<SocketFile>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let path = listener.local_addr()?.as_pathname().map(Into::into);
        Ok(Self {
            address: Address::Unix(path),
            socket: Listening::Unix(UnixListener::from_std(listener)?),
            _file: file,
        })
    }

    fn inherited() -> io::Result<Self> {
        use std::os::fd::AsFd;
        let error = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
        // A socket that listens has no peer. FastCGI 1.0, section 2.2, tells it from CGI in this way.
        let stream = std::os::unix::net::UnixStream::from(descriptor.try_clone()?);
        match stream.peer_addr() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Ok(_) => return Err(error("descriptor 0 is a connection")),
            Err(_) => return Err(error("descriptor 0 is no socket")),
        }
        let unix = std::os::unix::net::UnixListener::from(descriptor.try_clone()?);
        match unix.local_addr() {
            Ok(_) => Self::unix(unix, None),
            Err(_) => Self::tcp(std::net::TcpListener::from(descriptor)),
        }
    }

    /// The next connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match &self.socket {
            Listening::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, peer)| {
                let _ = stream.set_nodelay(true);
                (Box::new(stream) as Box<dyn Io>, Some(peer.ip()))
            }),
            Listening::Unix(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| (Box::new(stream) as Box<dyn Io>, None)),
        }
    }
}

/// Why it cannot listen there, and what to do about it.
fn explained(text: &str, error: &io::Error) -> io::Error {
    let why = match (error.kind(), text.starts_with("unix:")) {
        (io::ErrorKind::NotFound, true) => "its directory does not exist".to_owned(),
        (io::ErrorKind::AddrInUse, false) => {
            "another process listens there; stop it, or choose another port".to_owned()
        }
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot listen on `{text}`: {why}"))
}

/// How many connections wait in the kernel's queue, which may have a lower limit of its own.
const BACKLOG: u32 = 1024;

/// Removes the socket that a process left when it was killed: one on which nobody listens.
async fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let in_use = |text| io::Error::new(io::ErrorKind::AddrInUse, text);
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(in_use(
            "there is a file of that name, and it is no socket; choose another path",
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(in_use(
            "another process listens there; stop it, or choose another path",
        )),
    }
}

/// The file of a unix socket, by its place and identity.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let identity = Self::identity(&path)?;
        Ok(Self { path, identity })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have put its own socket in this place.
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
