//! The server: an app, a protocol, limits, listeners, and the graceful end.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use vestibule_core::{Address, App, BoxError, CatchPanic, Outline, Peer};
use vestibule_environ::{HeadForm, Mapping};
use vestibule_socket::{Backoff, Bind, BindError, Listener, Rarely, Socket, log_order};

use crate::exchange::{Limits, OtherProtocol, Service};
use crate::io::{Io, open};
use crate::{fastcgi, scgi, simple, uwsgi};

/// An app, its protocol and its limits. Add a listener with [`bind`](Self::bind).
///
/// The server trusts every peer that can connect, for the address of the client and for `https`.
/// Listen on a unix socket that only the web server can open, or on the loopback address, or use
/// [`allow`](Self::allow).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use vestibule_core::Request;
/// use vestibule_gateway::Server;
///
/// let server = Server::fastcgi(|_: Request| async { "hello" })
///     .mount("/app")
///     .bind("127.0.0.1:0")
///     .await?;
/// assert!(server.address().to_string().starts_with("127.0.0.1:"));
///
/// let drained = server.run_until(std::future::ready(())).await;
/// assert_eq!(drained.aborted, 0);
/// # Ok(()) }
/// ```
#[doc(alias("fastcgi", "scgi", "uwsgi", "nginx", "apache"))]
#[must_use = "a server does nothing until it is bound and run"]
pub struct Server<A> {
    app: A,
    protocol: Protocol,
    mapping: Mapping,
    limits: Limits,
    allowed: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    FastCgi,
    Scgi,
    Uwsgi,
}

impl<A: App> Server<A> {
    fn new(app: A, protocol: Protocol) -> Self {
        Self {
            app,
            protocol,
            mapping: Mapping::new(),
            limits: Limits::default(),
            allowed: Vec::new(),
        }
    }

    /// Creates a FastCGI responder.
    pub fn fastcgi(app: A) -> Self {
        Self::new(app, Protocol::FastCgi)
    }

    /// Creates an SCGI server.
    pub fn scgi(app: A) -> Self {
        Self::new(app, Protocol::Scgi)
    }

    /// Creates a server for the uwsgi protocol.
    pub fn uwsgi(app: A) -> Self {
        Self::new(app, Protocol::Uwsgi)
    }

    /// Sets the conversion of variables to requests. Defaults to `Mapping::new()`.
    pub fn mapping(mut self, mapping: Mapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// Sets the path at which the web server mounts the app; see [`Mapping::mount`]. Defaults to
    /// `SCRIPT_NAME`.
    pub fn mount(mut self, prefix: impl Into<String>) -> Self {
        self.mapping = self.mapping.mount(prefix);
        self
    }

    /// Sets the addresses that may connect. Others are closed at once; unix sockets use their file
    /// permissions instead. Defaults to all addresses.
    pub fn allow(mut self, peers: impl IntoIterator<Item = IpAddr>) -> Self {
        self.allowed = peers.into_iter().collect();
        self
    }

    /// Sets the maximum size of a request's variables in bytes. Defaults to 256 KiB. More is a 431.
    pub const fn max_params_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_params_bytes = bytes;
        self
    }

    /// Sets the maximum number of variables of a request. Defaults to 256. More is a 431.
    pub const fn max_params(mut self, count: usize) -> Self {
        self.limits.max_params = count;
        self
    }

    /// Sets the maximum time to receive the variables of a request. Defaults to 30 s; the
    /// connection is then closed.
    pub const fn params_timeout(mut self, limit: Duration) -> Self {
        self.limits.params_timeout = limit;
        self
    }

    /// Sets the maximum idle time of a FastCGI connection between requests. Defaults to 75 s, longer than the
    /// 60 s for which nginx keeps connections (`keepalive_timeout` of its `upstream`).
    pub const fn idle_timeout(mut self, limit: Duration) -> Self {
        self.limits.idle_timeout = limit;
        self
    }

    /// Sets the maximum pause in a request's body. Defaults to 60 s. The app then gets a body
    /// error, and may still respond.
    pub const fn body_timeout(mut self, limit: Duration) -> Self {
        self.limits.body_timeout = limit;
        self
    }

    /// Sets the maximum time without write progress while the web server does not read. Defaults to
    /// 60 s.
    pub const fn write_timeout(mut self, limit: Duration) -> Self {
        self.limits.write_timeout = limit;
        self
    }

    /// Sets the maximum time of the graceful end, from the signal to the last response. Defaults to
    /// 30 s.
    pub const fn drain_timeout(mut self, limit: Duration) -> Self {
        self.limits.drain_timeout = limit;
        self
    }

    /// Sets the maximum number of concurrent connections. Defaults to 1024. More wait in the
    /// kernel's queue.
    pub const fn max_connections(mut self, count: usize) -> Self {
        self.limits.max_connections = count;
        self
    }

    /// Listens at `bind`: `"127.0.0.1:9000"`, `"unix:/run/app.sock"`, a listener, or
    /// [`Bind::inherited`].
    ///
    /// Replaces a stale unix socket without a listener. Removes the file of the socket at the end.
    ///
    /// # Errors
    ///
    /// Returns [`BindError`], which says how to fix it.
    pub async fn bind(self, bind: impl Into<Bind>) -> Result<Bound<A>, BindError> {
        let listener = Listener::bind(bind).await?;
        Ok(Bound {
            protocol: self.protocol,
            allowed: self.allowed.clone(),
            service: Arc::new(self.into_service()),
            listeners: vec![listener],
            misdirected: Arc::default(),
        })
    }

    /// Serves one open connection, such as one half of a socket pair or of an in-memory pipe.
    ///
    /// # Errors
    ///
    /// Fails when the connection ends early: the web server disconnected or violated the protocol,
    /// or a timeout expired.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use vestibule_core::Request;
    /// use vestibule_gateway::Server;
    ///
    /// let (mut web_server, connection) = tokio::io::duplex(1024);
    /// let server = Server::scgi(|_: Request| async { "hello" });
    /// tokio::spawn(server.serve_connection(connection));
    ///
    /// let head = "CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GET\0";
    /// web_server.write_all(format!("{}:{head},", head.len()).as_bytes()).await?;
    /// let mut answer = String::new();
    /// web_server.read_to_string(&mut answer).await?;
    /// assert!(answer.starts_with("Status: 200 OK\r\n"));
    /// # Ok(()) }
    /// ```
    pub async fn serve_connection<I>(self, io: I) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // This sender never signals the end; dropping the future ends the connection.
        let (_drain, watch) = watch::channel(false);
        let protocol = self.protocol;
        serve(open(io), protocol, Arc::new(self.into_service()), watch).await
    }

    fn into_service(self) -> Service<A> {
        Service {
            app: CatchPanic::new(self.app),
            mapping: self.mapping,
            limits: self.limits,
        }
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("protocol", &self.protocol)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A server with listeners. Connections wait in the queue until it runs.
#[must_use = "a server does nothing until it is run"]
pub struct Bound<A> {
    service: Arc<Service<A>>,
    protocol: Protocol,
    allowed: Vec<IpAddr>,
    listeners: Vec<Listener>,
    /// Lines of the log about connections that speak another protocol.
    misdirected: Arc<Rarely>,
}

/// The result of a graceful end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Number of connections that did not end in time and were closed.
    pub aborted: usize,
}

impl<A: App> Bound<A> {
    /// Adds a listener.
    ///
    /// # Errors
    ///
    /// The same as for [`Server::bind`].
    pub async fn bind(mut self, bind: impl Into<Bind>) -> Result<Self, BindError> {
        self.listeners.push(Listener::bind(bind).await?);
        Ok(self)
    }

    /// Iterates over the addresses of the listeners, in the order of binding.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().map(Listener::address)
    }

    /// Returns the address of the first listener.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "every value has a listener")]
    pub fn address(&self) -> &Address {
        self.listeners[0].address()
    }

    /// Serves until the process gets SIGINT or SIGTERM. Then waits until the requests in flight are
    /// done, or the drain timeout expires.
    ///
    /// Checks the order of the app's layers at the start, with [`Outline::check`]; each finding is
    /// logged at WARN.
    ///
    /// # Errors
    ///
    /// Fails when signal handlers cannot be installed.
    pub async fn run(self) -> io::Result<Drained> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        Ok(self.run_until(stop).await)
    }

    /// Serves until `stop` is ready. Then waits until the requests in flight are done, or the drain
    /// timeout expires.
    ///
    /// Dropping the future ends everything at once. The order of the layers is checked as in
    /// [`run`](Self::run).
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Drained {
        let drain_timeout = self.service.limits.drain_timeout;
        let (drain, watch) = watch::channel(false);
        let most = self.service.limits.max_connections;
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        let mut connections = JoinSet::new();
        let (mut backoff, refusals) = (Backoff::default(), Rarely::default());
        let mut stop = std::pin::pin!(stop);
        for listener in &self.listeners {
            tracing::info!(
                target: "vestibule", address = %listener.address(), protocol = ?self.protocol, "listening"
            );
        }
        // The server's own `CatchPanic` is the outermost layer, and correct there.
        Outline::of(&self.service.app).inner().map(log_order);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (self.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = accepted => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    let wait = backoff.after(&error);
                    tokio::select! {
                        () = &mut stop => break,
                        () = tokio::time::sleep(wait) => continue,
                    }
                }
            };
            backoff.reset();
            self.start(
                &mut connections,
                socket,
                &peer,
                &refusals,
                &watch,
                place.ok(),
            );
        }
        for listener in std::mem::take(&mut self.listeners) {
            let start = |socket, peer: Peer| {
                self.start(&mut connections, socket, &peer, &refusals, &watch, None);
            };
            listener.close(start).await;
        }
        drain.send_replace(true);
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(drain_timeout, all).await;
        let aborted = connections.len();
        connections.shutdown().await;
        Drained { aborted }
    }

    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        poll_fn(|cx| {
            for listener in &self.listeners {
                if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Serves a connection in its own task, if its peer is allowed.
    fn start(
        &self,
        connections: &mut JoinSet<()>,
        socket: Socket,
        peer: &Peer,
        refusals: &Rarely,
        watch: &watch::Receiver<bool>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let peer = peer.address().clone();
        if !self.allows(&peer) {
            if let Some(silent) = refusals.line() {
                tracing::warn!(target: "vestibule", %peer, silent, "refused a connection");
            }
            return;
        }
        let (service, watch, protocol) = (self.service.clone(), watch.clone(), self.protocol);
        let misdirected = self.misdirected.clone();
        let served = serve(socket.into(), self.protocol, service, watch);
        connections.spawn(async move {
            let Err(error) = served.await else {
                drop(place);
                return;
            };
            if let Some(other) = error.downcast_ref::<OtherProtocol>() {
                if let Some(silent) = misdirected.line() {
                    tracing::warn!(
                        target: "vestibule", %peer, ?protocol, first_bytes = %other.first(), silent,
                        "a connection speaks another protocol: {}", other.hint()
                    );
                }
            } else {
                tracing::debug!(target: "vestibule", error = &*error, "a connection ended early");
            }
            drop(place);
        });
    }

    /// Returns whether the peer may connect. A unix socket uses its file permissions instead.
    fn allows(&self, peer: &Address) -> bool {
        let is_allowed = |peer: IpAddr| {
            let allowed = self.allowed.iter().map(IpAddr::to_canonical);
            self.allowed.is_empty() || allowed.into_iter().any(|it| it == peer.to_canonical())
        };
        peer.ip().is_none_or(is_allowed)
    }
}

impl<A> fmt::Debug for Bound<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("protocol", &self.protocol)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

async fn serve<A: App>(
    io: Box<dyn Io>,
    protocol: Protocol,
    service: Arc<Service<A>>,
    drain: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    match protocol {
        Protocol::FastCgi => fastcgi::serve(io, &service, drain).await,
        Protocol::Scgi => simple::serve(io, &service, scgi::head, HeadForm::Status).await,
        Protocol::Uwsgi => simple::serve(io, &service, uwsgi::head, HeadForm::Http).await,
    }
}
