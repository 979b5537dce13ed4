//! The server: an app, its limits, the places where it listens, and its end.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use vestibule_core::{Address, App, BoxApp};

use crate::accept::{Accept, Workers};
use crate::connection::Service;
use crate::counts::ConnectionCounts;
use crate::descriptors::max_connections;
#[cfg(feature = "tls")]
use crate::drain::Hangups;
use crate::drain::{Drain, Drained, First, StopSignals, race};
use crate::guard::refusal;
#[cfg(all(feature = "handover", unix))]
use crate::handover::Handover;
use crate::listen::{Bind, BindError, Listener};
#[cfg(unix)]
use crate::notify::{READY, STOPPING, notify};
use crate::per_address::PerAddress;

/// Serves `app` at `bind` until the process is asked to end (SIGINT or SIGTERM), and then until
/// the requests in flight are answered.
///
/// At the start it checks the order of the app's layers; see [`Bound::run`].
///
/// ```no_run
/// use vestibule_core::Request;
///
/// async fn hello(_: Request) -> &'static str {
///     "Hello!"
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> std::io::Result<()> {
///     vestibule_hyper::serve("127.0.0.1:8080", hello).await
/// }
/// ```
///
/// # Errors
///
/// When it cannot listen there (the error is a [`BindError`] inside), or cannot listen to signals.
pub async fn serve(bind: impl Into<Bind>, app: impl App) -> io::Result<()> {
    Server::new(app).bind(bind).await?.run().await?;
    Ok(())
}

/// An app and the limits that it is served within; [`bind`](Self::bind) gives it a place.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use std::time::Duration;
/// use vestibule_core::Request;
/// use vestibule_hyper::Server;
///
/// let server = Server::new(|_: Request| async { "hello" })
///     .header_timeout(Duration::from_secs(5))
///     .bind("127.0.0.1:0")
///     .await?;
/// assert!(server.address().to_string().starts_with("127.0.0.1:"));
///
/// let drained = server.run_until(std::future::ready(())).await;
/// assert_eq!(drained.aborted, 0);
/// # Ok(()) }
/// ```
#[doc(alias("http server", "http2", "graceful shutdown"))]
#[must_use = "a server does nothing until it is bound and run"]
pub struct Server<A> {
    app: A,
    refused: BoxApp,
    limits: Limits,
    counts: ConnectionCounts,
}

/// What a connection may take; the defaults trip no honest client.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) first_byte_timeout: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) max_header_bytes: usize,
    pub(crate) title_case_headers: bool,
    pub(crate) max_headers: usize,
    pub(crate) max_streams: u32,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Duration,
    pub(crate) drain_delay: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) body_timeout: Duration,
    /// Bytes a second; 0 is no least rate.
    pub(crate) min_body_rate: u64,
    pub(crate) write_timeout: Duration,
    pub(crate) max_requests: Option<usize>,
    pub(crate) max_connection_age: Option<Duration>,
    pub(crate) tcp_keep_alive: Option<Duration>,
    pub(crate) lame_duck: Duration,
    pub(crate) max_connections: Option<usize>,
    max_per_address: Option<usize>,
    /// How many threads with runtimes of their own, or 0.
    pub(crate) workers: usize,
    pub(crate) extended_connect: bool,
    #[cfg(all(feature = "handover", unix))]
    hands_over: bool,
    /// Which peers speak for others.
    proxies: Option<Arc<Trust>>,
}

type Trust = dyn Fn(&Address) -> bool + Send + Sync;

impl Limits {
    pub(crate) const MAX_HEADERS: usize = 100;

    /// How often a connection at work is looked at. A stream of HTTP/2 begins to wait for its client
    /// where nobody tells: so it is found within a quarter of its limit.
    pub(crate) fn glance(&self) -> Duration {
        self.idle_timeout.min(self.write_timeout) / 4
    }

    /// Whether a peer has to say for whom it speaks.
    pub(crate) fn is_proxy(&self, peer: &Address) -> bool {
        self.proxies.as_ref().is_some_and(|trust| trust(peer))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_byte_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 32 * 1024,
            title_case_headers: false,
            max_headers: Self::MAX_HEADERS,
            max_streams: 100,
            ping_interval: Some(Duration::from_secs(60)),
            ping_timeout: Duration::from_secs(20),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            min_body_rate: 500,
            write_timeout: Duration::from_secs(30),
            max_requests: None,
            max_connection_age: None,
            tcp_keep_alive: Some(Duration::from_secs(60)),
            lame_duck: Duration::from_secs(1),
            max_connections: max_connections(),
            max_per_address: None,
            workers: 0,
            extended_connect: false,
            #[cfg(all(feature = "handover", unix))]
            hands_over: false,
            proxies: None,
        }
    }
}

impl<A: App> Server<A> {
    /// A server for `app`. A panic in the app is a 500 and no more.
    pub fn new(app: A) -> Self {
        Self {
            app,
            refused: refusal.boxed(),
            limits: Limits::default(),
            counts: ConnectionCounts::default(),
        }
    }

    /// Answers by `app` what the guard refuses, so that an access log has it too: the app is
    /// [`refusal`], in what is to see such requests. They carry [`Refused`](crate::Refused) and
    /// [`Peer`](vestibule_core::Peer), and may be what no other app ever sees: a target without a
    /// slash, two `Host` lines.
    ///
    /// A request of HTTP/1 that the parser itself refuses (400, 414, 431, 501, 505) is given to this app too, with
    /// its line as [`RequestLine`](vestibule_core::RequestLine), if the parser still had it. The answer
    /// was sent by then: the app's is read and dropped. Every refusal is also an event of level info,
    /// at most one a second.
    ///
    /// ```
    /// use vestibule_core::{App, Request};
    /// use vestibule_hyper::{Server, refusal};
    ///
    /// # fn access_log(app: impl App) -> impl App { app }
    /// let server = Server::new(access_log(|_: Request| async { "hello" }))
    ///     .refused(access_log(refusal));
    /// # drop(server);
    /// ```
    pub fn refused(mut self, app: impl App) -> Self {
        self.refused = app.boxed();
        self
    }

    /// Returns the counts of this server's connections, for metrics.
    ///
    /// Each connection that ends before its first request is counted by reason there, and is an event of
    /// level info with its peer and reason, at most one a second. A client that connects and leaves without
    /// a byte, as health checks do, is counted and makes no event.
    pub fn counts(&self) -> ConnectionCounts {
        self.counts.clone()
    }

    /// How long a new connection may take until it is clear which protocol it speaks: 10 s.
    ///
    /// A connection that has sent nothing, or half of HTTP/2's preface, is closed then.
    pub const fn first_byte_timeout(mut self, limit: Duration) -> Self {
        self.limits.first_byte_timeout = limit;
        self
    }

    /// How long the head of an HTTP/1 request may take from its first byte to its last: 10 s.
    ///
    /// The connection is closed then, without an answer.
    pub const fn header_timeout(mut self, limit: Duration) -> Self {
        self.limits.header_timeout = limit;
        self
    }

    /// Sets the maximum time that a connection waits between requests. Defaults to 75 s; the connection is then closed.
    ///
    /// A balancer in front must close its idle connections first, or it sends a request on a connection that has just
    /// been closed, and its client gets a 502. [The table](crate#behind-a-load-balancer) has the time-outs of common
    /// ones.
    pub const fn idle_timeout(mut self, limit: Duration) -> Self {
        self.limits.idle_timeout = limit;
        self
    }

    /// How long an app that reads a request's body waits for its next bytes: 30 s.
    ///
    /// The body ends in [`RequestBodyError::Stalled`](crate::RequestBodyError::Stalled) then. An
    /// app that answers with that error answers 408, and the connection is closed.
    pub const fn body_timeout(mut self, limit: Duration) -> Self {
        self.limits.body_timeout = limit;
        self
    }

    /// How fast a request's body has to come when an app waits for it: 500 bytes a second, after
    /// 10 s of waiting in all. 0 turns it off.
    ///
    /// The body ends in [`RequestBodyError::TooSlow`](crate::RequestBodyError::TooSlow) otherwise.
    pub const fn min_body_rate(mut self, bytes_per_second: u64) -> Self {
        self.limits.min_body_rate = bytes_per_second;
        self
    }

    /// How long a client may read nothing of a response that is there for it: 30 s. The connection
    /// is reset then.
    ///
    /// On HTTP/2 that is also a client that opens no window for any of its streams.
    pub const fn write_timeout(mut self, limit: Duration) -> Self {
        self.limits.write_timeout = limit;
        self
    }

    /// How many requests a connection may carry before it is closed after an answer: no limit.
    pub fn max_requests(mut self, count: impl Into<Option<usize>>) -> Self {
        self.limits.max_requests = count.into();
        self
    }

    /// Sets the maximum age of a connection. Defaults to no limit. Each connection has its own, up to a tenth less or
    /// more, so that not all of them end at once.
    ///
    /// On HTTP/1 the next response after that says `Connection: close` (RFC 9112, section 9.6). On HTTP/2 the client
    /// gets a GOAWAY (RFC 9113, section 6.8): its streams go on to their end, and it opens a new connection for others. An
    /// upgraded connection, such as a WebSocket, stays.
    ///
    /// It is for HTTP/2 and gRPC behind a balancer of TCP. Such a client has one connection for all that it asks, and
    /// the balancer chooses a server for connections: a server that was started later gets no requests until clients
    /// connect again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_core::Request;
    /// use vestibule_hyper::Server;
    ///
    /// let server = Server::new(|_: Request| async { "hello" })
    ///     .max_connection_age(Duration::from_secs(30 * 60));
    /// # drop(server);
    /// ```
    #[doc(alias("MAX_CONNECTION_AGE", "max_connection_duration"))]
    pub fn max_connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.limits.max_connection_age = age.into();
        self
    }

    /// Sets the maximum size of a request head in bytes. Defaults to 32 KiB. A larger one is answered with 431.
    ///
    /// HTTP/2 counts 32 bytes more for each field (RFC 9113, section 6.5.2), so clients are told of this size and of 32
    /// bytes for each of [`max_headers`](Self::max_headers).
    pub const fn max_header_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_header_bytes = bytes;
        self
    }

    /// Writes the names of header fields as in `Content-Type` on HTTP/1. Defaults to `false`: they are in lower case.
    ///
    /// Names are case-insensitive (RFC 9110, section 5.1). It is for old clients that find no others.
    pub const fn title_case_headers(mut self, enabled: bool) -> Self {
        self.limits.title_case_headers = enabled;
        self
    }

    /// How many fields the head of an HTTP/1 request may have: 100. More is a 431.
    pub const fn max_headers(mut self, count: usize) -> Self {
        self.limits.max_headers = count;
        self
    }

    /// How many requests an HTTP/2 connection may have open at a time: 100.
    pub const fn max_streams(mut self, count: u32) -> Self {
        self.limits.max_streams = count;
        self
    }

    /// Sets how often an HTTP/2 connection is asked for a sign of life by a PING (RFC 9113, section 6.7). Defaults to 60 s;
    /// `None` turns it off.
    ///
    /// A connection that only has a tunnel is asked too. Without it, [`tcp_keep_alive`](Self::tcp_keep_alive) finds a
    /// client that has vanished.
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.limits.ping_interval = interval.into();
        self
    }

    /// Sets how long a TCP connection may be silent before the kernel asks the client for a sign of life. Defaults to 60 s;
    /// `None` turns it off.
    ///
    /// On Linux a client that acknowledges nothing for twice this time is gone: reads and writes fail. It is for
    /// connections that have no other limit: a WebSocket, or a client that waits for an app that takes long. A client
    /// that is there and reads nothing of what a WebSocket sends is also gone after that time. The probes also keep
    /// balancers and NAT from forgetting a connection; the shortest idle time-out of the
    /// [table](crate#behind-a-load-balancer) that is of TCP is four minutes. The client's program sees nothing of them.
    ///
    /// The sockets are asked to do so when they are bound, those of a service manager too. Connections by unix sockets
    /// need none.
    #[doc(alias("SO_KEEPALIVE", "TCP_USER_TIMEOUT"))]
    pub fn tcp_keep_alive(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.limits.tcp_keep_alive = interval.into();
        self
    }

    /// Lets HTTP/2 clients open other protocols by `CONNECT` with a `:protocol` (RFC 8441): off.
    ///
    /// Browsers make WebSockets in that way as soon as they may, so it is for apps that know it: the
    /// request has the protocol's name as `hyper::ext::Protocol` in its extensions, a path, and no
    /// `Upgrade`; the answer is a 200.
    pub const fn extended_connect(mut self, allows: bool) -> Self {
        self.limits.extended_connect = allows;
        self
    }

    /// How long the answer to such a question may take: 20 s.
    pub const fn ping_timeout(mut self, limit: Duration) -> Self {
        self.limits.ping_timeout = limit;
        self
    }

    /// How long the end may take in all, from the signal: 30 s. Connections that are still at work a
    /// second before (or a tenth of it, if that is less) are cut. [`drain_delay`](Self::drain_delay)
    /// is a part of it.
    ///
    /// A WebSocket, or any other upgraded connection, is waited for until its app drops it. The app
    /// learns of the end from [`Shutdown`](crate::Shutdown).
    pub const fn drain_timeout(mut self, limit: Duration) -> Self {
        self.limits.drain_timeout = limit;
        self
    }

    /// How long, after the signal, connections are still accepted, while [`ready`](crate::ready)
    /// answers 503: not at all. For load balancers that need a while to hear of it. It leaves so much
    /// less of [`drain_timeout`](Self::drain_timeout) to what is in flight.
    pub const fn drain_delay(mut self, time: Duration) -> Self {
        self.limits.drain_delay = time;
        self
    }

    /// How many connections there may be at a time, on all listeners together: four fifths of what
    /// the process may open, less 100 (on Linux; no limit elsewhere).
    ///
    /// More than that wait in the kernel's queue until a place is free; none is turned away.
    pub fn max_connections(mut self, count: impl Into<Option<usize>>) -> Self {
        self.limits.max_connections = count.into();
        self
    }

    /// How many connections one address may have at a time: no limit. More than that are closed at
    /// once, so that one client cannot have all places.
    ///
    /// 64 bits of an IPv6 address count as one. Balancers of [`proxy_protocol`](Self::proxy_protocol)
    /// and unix sockets have no limit. Think of offices behind one address: a browser opens six.
    #[doc(alias("rate limit"))]
    pub fn max_per_address(mut self, count: impl Into<Option<usize>>) -> Self {
        self.limits.max_per_address = count.into();
        self
    }

    /// Reads the PROXY protocol, version 1 or 2, from those peers that `trust` is true of: load
    /// balancers that pass connections on. Requests have the client's addresses in their
    /// [`Peer`](vestibule_core::Peer) then.
    ///
    /// From a trusted peer the header has to come, or the connection is closed. From all others it
    /// is not read, and a client that sends one gets a 400.
    ///
    /// ```
    /// use vestibule_core::{Address, Request};
    /// use vestibule_hyper::Server;
    ///
    /// let server = Server::new(|_: Request| async { "hello" })
    ///     .proxy_protocol(|peer: &Address| peer.ip().is_some_and(|ip| ip.is_loopback()));
    /// # drop(server);
    /// ```
    #[doc(alias("PROXY protocol", "haproxy"))]
    pub fn proxy_protocol(
        mut self,
        trust: impl Fn(&Address) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.limits.proxies = Some(Arc::new(trust));
        self
    }

    /// How long, at the end, a kept HTTP/1 connection is still read: 1 s.
    ///
    /// A request that was on its way when the drain began is answered, with `Connection: close`;
    /// without this it would be lost, since clients send on a kept connection before they know
    /// that it is closed.
    pub const fn lame_duck(mut self, time: Duration) -> Self {
        self.limits.lame_duck = time;
        self
    }

    /// Serves on so many threads, each with a runtime of its own, instead of the runtime that the
    /// server runs in: 0.
    ///
    /// A connection stays on the thread that took it, so nothing moves between cores; but nothing
    /// helps a thread that is busy. For a small text both ways measure alike on two cores. Take it for
    /// many quick requests on many cores, with as many threads; leave it where requests differ much
    /// in what they cost. In such an app `tokio::spawn` stays
    /// on the same thread, and `block_in_place` panics.
    pub const fn workers(mut self, threads: usize) -> Self {
        self.limits.workers = threads;
        self
    }

    /// Hands the listening sockets over to a new process at SIGUSR2, for a restart that refuses no
    /// connection: off.
    ///
    /// The process starts its own program again, with the same arguments, from the place where it
    /// was found when this was called; so a new version may have been put there. What the new process binds
    /// by the same text is the same socket. When it serves, this process drains and ends; when it fails, this one
    /// goes on as if nothing had been asked.
    ///
    /// The new process's standard input is the way by which the sockets come. It is a child
    /// of this one until this one ends. systemd's `Type=notify` is told that it is the main process now
    /// (`NotifyAccess=all`). One server in a process.
    #[doc(alias("graceful restart", "zero downtime", "SIGUSR2"))]
    #[cfg(all(feature = "handover", unix))]
    pub fn handover(mut self) -> Self {
        self.limits.hands_over = true;
        self
    }

    /// Limits for a server that stands in the open and has simple clients: heads within 5 s, 16 KiB
    /// and 64 fields; 15 s of idleness; bodies without a pause of 10 s and at 1 KiB/s or faster;
    /// responses read without a pause of 10 s; 1,000 requests a connection; 32 open streams.
    ///
    /// Options after it change single limits.
    pub fn strict(mut self) -> Self {
        self.limits = Limits {
            first_byte_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            max_header_bytes: 16 * 1024,
            max_headers: 64,
            max_streams: 32,
            idle_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(10),
            min_body_rate: 1024,
            write_timeout: Duration::from_secs(10),
            max_requests: Some(1000),
            ..self.limits
        };
        self
    }

    /// Listens at `bind`: `"127.0.0.1:8080"`, `"unix:/run/app.sock"`, or a listener.
    ///
    /// A stale unix socket, on which nobody listens, is replaced; the socket's file is removed when
    /// the server has ended.
    ///
    /// # Errors
    ///
    /// [`BindError`], which says what to do.
    pub async fn bind(self, bind: impl Into<Bind>) -> Result<Bound<A>, BindError> {
        let listener = Listener::bind(bind.into()).await?;
        listener.keep_alive(self.limits.tcp_keep_alive);
        Ok(Bound {
            service: Arc::new(Service::new(
                self.app,
                self.refused,
                self.limits,
                self.counts,
            )),
            listeners: vec![listener],
        })
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// A server that listens: connections wait in its queue until it runs.
#[must_use = "a server does nothing until it is run"]
pub struct Bound<A> {
    service: Arc<Service<A>>,
    listeners: Vec<Listener>,
}

impl<A: App> Bound<A> {
    /// Listens at one more place. `[::]:80` takes IPv6 alone when the server has bound an IPv4 address of the same port;
    /// [`Bind::beside_each_other`] is for places in another order.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub async fn bind(mut self, bind: impl Into<Bind>) -> Result<Self, BindError> {
        let listener = Listener::bind_beside(bind.into(), &self.listeners).await?;
        listener.keep_alive(self.service.limits().tcp_keep_alive);
        self.listeners.push(listener);
        Ok(self)
    }

    /// Where the server listens, in the order of binding.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().map(|it| it.socket.address())
    }

    /// Where the server listens first.
    #[must_use]
    pub fn address(&self) -> &Address {
        // There is no way to make a `Bound` without a listener.
        self.listeners[0].socket.address()
    }

    #[cfg(all(unix, feature = "socket-activation"))]
    pub(crate) fn into_listeners(self) -> Vec<Listener> {
        self.listeners
    }

    /// Serves until the process is asked to end, by SIGINT or SIGTERM, and then until what is in
    /// flight is done, or the drain's time is up. A second signal ends it at once.
    ///
    /// A service manager that set `NOTIFY_SOCKET` (systemd's `Type=notify`) is told `READY=1` when
    /// connections are accepted, and `STOPPING=1` when the drain begins.
    ///
    /// The order of the app's layers is checked at the start, by
    /// [`Outline::check`](vestibule_core::Outline::check): each finding is a line of the log, at WARN.
    ///
    /// # Errors
    ///
    /// When signals cannot be listened to.
    pub async fn run(self) -> io::Result<Drained> {
        let mut signals = StopSignals::listen()?;
        let mut more = StopSignals::listen()?;
        #[cfg(all(feature = "handover", unix))]
        let handover = match self.service.limits().hands_over {
            true => Some(Handover::prepare(&self.listeners)?),
            false => None,
        };
        #[cfg(not(all(feature = "handover", unix)))]
        let handover = None;
        // The sockets listen already: what connects from now on is served.
        #[cfg(unix)]
        notify(READY);
        let first = async move {
            match race(signals.next(), handed_over(handover)).await {
                First::Left(()) => {
                    #[cfg(unix)]
                    notify(STOPPING);
                    tracing::info!(target: "vestibule", "draining; a second signal ends at once");
                }
                First::Right(next) => {
                    #[cfg(unix)]
                    notify(format!("MAINPID={next}").as_bytes());
                    tracing::info!(target: "vestibule", next, "draining; another process serves now");
                }
            }
        };
        let second = async move {
            more.next().await;
            more.next().await;
        };
        #[cfg(feature = "tls")]
        let _reloads = reload_certificates(&self.listeners)?;
        Ok(self.run_with(first, second).await)
    }

    /// Serves until `stop` is ready, and then until what is in flight is done, or the drain's time
    /// is up.
    ///
    /// Dropping the future ends everything at once. The order of the layers is checked as by
    /// [`run`](Self::run).
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Drained {
        self.run_with(stop, std::future::pending()).await
    }

    async fn run_with(
        self,
        stop: impl Future<Output = ()>,
        now: impl Future<Output = ()>,
    ) -> Drained {
        let drain = Drain::new();
        let limit = self.service.limits().drain_timeout;
        let delay = self.service.limits().drain_delay.min(limit);
        let workers = self.service.limits().workers;
        let mut now = pin!(now);
        // A listener that waits for a connection holds a place for it: all but one get an extra.
        let extra = (self.listeners.len() * workers.max(1)).saturating_sub(1);
        let places = self.service.limits().max_connections.map(|most| {
            let most = most.max(1).saturating_add(extra);
            Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
        });
        for listener in &self.listeners {
            tracing::info!(target: "vestibule", address = %listener.socket.address(), "listening");
        }
        #[cfg(feature = "tls")]
        for tls in certificates(&self.listeners) {
            tls.log_warnings();
        }
        self.service.log_order();
        #[cfg(all(feature = "handover", unix))]
        crate::handover::serves(&self.listeners);
        let most = self.service.limits().max_per_address;
        let accept = Accept {
            per_address: most.map(PerAddress::new),
            service: self.service,
            places,
            watch: drain.watch(),
            guard: drain.guard(),
        };
        let workers = match workers {
            0 => Workers::here(self.listeners, accept),
            count => Workers::start(count, self.listeners, accept),
        };
        if let First::Right(()) = race(stop, now.as_mut()).await {
            return Drained::default();
        }
        let asked = Instant::now();
        drain.announce();
        let delay = tokio::time::sleep(delay);
        if let First::Right(()) = race(delay, now.as_mut()).await {
            return Drained::default();
        }
        drain.begin();
        // What it holds keeps their runtimes until the last connection has ended.
        let _workers = workers.accepted().await;
        let left = limit.saturating_sub(asked.elapsed());
        let drained = drain.finish(left, now).await;
        if drained.aborted > 0 {
            tracing::warn!(
                target: "vestibule", aborted = drained.aborted,
                "connections were cut at the end of the drain"
            );
        }
        drained
    }
}

impl<A> fmt::Debug for Bound<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// Resolves to the number of the process that has taken over; never, when none is asked to.
async fn handed_over(handover: Option<Handover>) -> u32 {
    match handover {
        #[cfg(all(feature = "handover", unix))]
        Some(handover) => handover.done().await,
        _ => std::future::pending().await,
    }
}

/// Without the feature there is none.
#[cfg(not(all(feature = "handover", unix)))]
type Handover = std::convert::Infallible;

/// Reads certificates again at SIGHUP, where there are signals, and when their files change; until it is dropped.
#[cfg(feature = "tls")]
fn reload_certificates(listeners: &[Listener]) -> io::Result<AbortOnDrop> {
    let all = certificates(listeners);
    let mut hangups = Hangups::listen()?;
    let task = tokio::spawn(async move {
        while !all.is_empty() {
            let told = race(hangups.next(), tokio::time::sleep(RELOAD_INTERVAL)).await;
            let is_told = matches!(told, First::Left(()));
            for tls in all.clone() {
                // Files may be on a slow disk, or on the network. It fails only when the runtime ends.
                let _ = tokio::task::spawn_blocking(move || reload(&tls, is_told)).await;
            }
        }
    });
    Ok(AbortOnDrop(task))
}

/// Reads the certificates again, always when the operator has asked for it, and logs what came of it.
#[cfg(feature = "tls")]
fn reload(tls: &crate::Tls, is_told: bool) {
    let reloaded = match is_told {
        true => tls.reload().map(|()| true),
        false => tls.reload_if_changed(),
    };
    match reloaded {
        Ok(true) => tracing::info!(target: "vestibule", ?tls, "certificates reloaded"),
        Ok(false) => {}
        Err(error) => {
            tracing::error!(target: "vestibule", "certificates stay as they were: {error}")
        }
    }
    // Time alone makes new ones.
    tls.log_warnings();
}

/// The certificates of all listeners, each once.
#[cfg(feature = "tls")]
fn certificates(listeners: &[Listener]) -> Vec<crate::Tls> {
    let mut all: Vec<crate::Tls> = Vec::new();
    for tls in listeners.iter().filter_map(|it| it.tls.as_ref()) {
        if !all.iter().any(|other| other.is_same(tls)) {
            all.push(tls.clone());
        }
    }
    all
}

/// A task that ends with whoever started it.
#[cfg(feature = "tls")]
struct AbortOnDrop(tokio::task::JoinHandle<()>);

#[cfg(feature = "tls")]
impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How often the files of certificates are looked at.
#[cfg(feature = "tls")]
const RELOAD_INTERVAL: Duration = Duration::from_secs(60);
