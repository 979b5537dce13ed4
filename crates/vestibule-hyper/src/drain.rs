//! How a server ends: stop accepting, finish what is in flight, give up on the rest at a deadline.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::sync::{mpsc, watch};
use vestibule_core::HasExtensions;

use crate::link::Linked;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Aborted,
}

/// The end that says when; when it is dropped, everything that watches it is aborted.
#[derive(Debug)]
pub(crate) struct Drain {
    phase: watch::Sender<Phase>,
    shutdown: Shutdown,
    guard: DrainGuard,
    /// Nothing is sent; it is closed when all guards are gone.
    guards: mpsc::Receiver<()>,
}

/// Follows the phase of the drain. The drain does not wait for it, so an app may keep one.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    phase: watch::Receiver<Phase>,
    shutdown: Shutdown,
}

/// Holds the drain up until it is dropped. Each listener has one, and each connection keeps one with
/// its socket: an upgraded connection has no task of the server any more.
#[derive(Clone, Debug)]
pub(crate) struct DrainGuard {
    _guard: mpsc::Sender<()>,
}

/// Tells an app that the server is about to end; an extension of requests.
///
/// What answers for long (an event stream, a long poll) listens to it and comes to an end, before
/// the drain's time is up and it is cut. Holding one holds nothing up.
///
/// A connection that was upgraded (a WebSocket, a tunnel) is in flight until the app drops its
/// bytes. Its app listens too, says goodbye in its own protocol, and closes. When the time is up,
/// its reads and writes fail.
///
/// ```
/// use vestibule_core::{Body, Request};
/// use vestibule_hyper::Shutdown;
///
/// async fn events(request: Request) -> Body {
///     let shutdown = Shutdown::of(&request).expect("this app runs under this server");
///     let (mut sender, body) = Body::channel();
///     tokio::spawn(async move {
///         shutdown.begun().await; // or the next event, whichever is first
///         let _ = sender.send("event: bye\n\n").await;
///         sender.finish();
///     });
///     body
/// }
/// # assert!(Shutdown::of(&Request::default()).is_none());
/// ```
///
/// A tunnel that ends with the server:
///
/// ```
/// use http::StatusCode;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use vestibule_core::Request;
/// use vestibule_hyper::Shutdown;
///
/// async fn echo(mut request: Request) -> StatusCode {
///     let shutdown = Shutdown::of(&request).expect("this app runs under this server");
///     let upgrade = hyper::upgrade::on(&mut request);
///     tokio::spawn(async move {
///         let Ok(upgraded) = upgrade.await else { return };
///         let mut io = hyper_util::rt::TokioIo::new(upgraded);
///         let mut byte = [0];
///         loop {
///             let read = tokio::select! {
///                 read = io.read_exact(&mut byte) => read,
///                 () = shutdown.begun() => break,
///             };
///             if read.is_err() || io.write_all(&byte).await.is_err() {
///                 return;
///             }
///         }
///         let _ = io.write_all(b"goodbye").await;
///         let _ = io.shutdown().await;
///     });
///     StatusCode::SWITCHING_PROTOCOLS
/// }
/// # let _ = echo;
/// ```
#[doc(alias("graceful shutdown"))]
#[derive(Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// Returns the shutdown of the server that a request came by, when it is this one.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<Self> {
        Linked::of(source).map(|link| link.watch.shutdown())
    }

    /// Whether the server drains.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when the server begins to drain.
    pub async fn begun(&self) {
        // The sender is here, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(|has_begun| *has_begun).await;
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("has_begun", &self.has_begun())
            .finish()
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// How many connections had not ended by themselves and were cut.
    pub aborted: usize,
}

impl Drain {
    pub(crate) fn new() -> Self {
        let (guard, guards) = mpsc::channel(1);
        Self {
            phase: watch::Sender::new(Phase::Running),
            shutdown: Shutdown(Arc::new(watch::Sender::new(false))),
            guard: DrainGuard { _guard: guard },
            guards,
        }
    }

    pub(crate) fn guard(&self) -> DrainGuard {
        self.guard.clone()
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch {
            phase: self.phase.subscribe(),
            shutdown: self.shutdown.clone(),
        }
    }

    /// Tells apps, and no one else yet.
    pub(crate) fn announce(&self) {
        self.shutdown.0.send_replace(true);
    }

    pub(crate) fn begin(&self) {
        self.announce();
        self.phase.send_replace(Phase::Draining);
    }

    /// Waits until every guard is gone, at most for `limit` or until `now` says that it is enough. The
    /// last of that is for what was cut.
    pub(crate) async fn finish(self, limit: Duration, now: impl Future<Output = ()>) -> Drained {
        let Self {
            phase,
            guard,
            mut guards,
            ..
        } = self;
        drop(guard);
        let abort = ABORT.min(limit / 10);
        let enough = race(tokio::time::sleep(limit - abort), now);
        if let First::Left(None | Some(())) = race(guards.recv(), enough).await {
            return Drained::default();
        }
        let aborted = guards.sender_strong_count();
        phase.send_replace(Phase::Aborted);
        // A connection that is told to end needs one poll; one that is blocked gets no more time.
        let _ = tokio::time::timeout(abort, guards.recv()).await;
        Drained { aborted }
    }
}

impl Watch {
    pub(crate) fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Resolves when the drain begins.
    pub(crate) async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Whether the time is up. It is for a watch that waits for nothing itself: one load tells it
    /// that it has nothing new to look at, as long as the drain has not begun.
    pub(crate) fn is_aborted(&self) -> bool {
        match self.phase.has_changed() {
            Ok(has_changed) => has_changed && *self.phase.borrow() >= Phase::Aborted,
            // The server is gone.
            Err(_) => true,
        }
    }

    /// Resolves when the time is up.
    pub(crate) async fn aborted(&mut self) {
        self.reached(Phase::Aborted).await;
    }

    async fn reached(&mut self, phase: Phase) {
        // An error says that the server is gone: that is the end too.
        let _ = self.phase.wait_for(|now| *now >= phase).await;
    }
}

/// Which of two futures was first.
pub(crate) enum First<A, B> {
    Left(A),
    Right(B),
}

pin_project! {
    /// See [`race`].
    pub(crate) struct Race<A, B> {
        #[pin]
        a: A,
        #[pin]
        b: B,
    }
}

/// Runs both until one is ready; the left is asked first. No `async fn`: that would hold each of
/// the two twice, as an argument and as what it runs, for as long as a connection lasts.
pub(crate) fn race<A: Future, B: Future>(a: A, b: B) -> Race<A, B> {
    Race { a, b }
}

impl<A: Future, B: Future> Future for Race<A, B> {
    type Output = First<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(a) = this.a.poll(cx) {
            return Poll::Ready(First::Left(a));
        }
        this.b.poll(cx).map(First::Right)
    }
}

/// The signals that ask a process to end: SIGINT and SIGTERM, or Ctrl-C.
#[derive(Debug)]
pub(crate) struct StopSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal of either kind.
    pub(crate) async fn next(&mut self) {
        race(self.interrupt.recv(), self.terminate.recv()).await;
    }
}

#[cfg(not(unix))]
impl StopSignals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The signal that asks for a reload: SIGHUP. Other systems than unix have none.
#[cfg(feature = "tls")]
pub(crate) struct Hangups {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

#[cfg(all(feature = "tls", unix))]
impl Hangups {
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) {
        self.hangup.recv().await;
    }
}

#[cfg(all(feature = "tls", not(unix)))]
impl Hangups {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}

/// How long aborted connections have to let go of what they hold, at most.
const ABORT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_without_connections_is_over_at_once() {
        let drained = Drain::new()
            .finish(Duration::from_secs(30), std::future::pending())
            .await;
        assert_eq!(drained.aborted, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_counted() {
        let drain = Drain::new();
        let (mut quick, held) = (drain.watch(), drain.guard());
        tokio::spawn(async move {
            quick.draining().await;
            drop(held);
        });
        let (mut slow, held) = (drain.watch(), drain.guard());
        tokio::spawn(async move {
            slow.aborted().await;
            std::future::pending::<()>().await;
            drop(held);
        });
        // Who only watches is not waited for.
        let _watch = drain.watch();
        drain.begin();
        let begun = tokio::time::Instant::now();
        let drained = drain
            .finish(Duration::from_secs(30), std::future::pending())
            .await;
        assert_eq!(drained.aborted, 1);
        // One that does not even hear of it costs no more time.
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn enough_is_enough() {
        let drain = Drain::new();
        let guard = drain.guard();
        drain.begin();
        let started = tokio::time::Instant::now();
        let drained = drain.finish(Duration::from_secs(30), async {}).await;
        assert_eq!(drained.aborted, 1);
        assert!(started.elapsed() < Duration::from_secs(2));
        drop(guard);
    }

    #[test]
    fn the_time_is_up_at_the_end_only() {
        let drain = Drain::new();
        let watch = drain.watch();
        assert!(!watch.is_aborted());
        drain.begin();
        assert!(!watch.is_aborted());
        drain.phase.send_replace(Phase::Aborted);
        assert!(watch.is_aborted());

        let drain = Drain::new();
        let watch = drain.watch();
        drop(drain);
        assert!(watch.is_aborted());
    }
}
