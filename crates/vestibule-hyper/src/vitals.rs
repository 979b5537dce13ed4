//! What a connection is doing and since when, and how long it may go on.
//!
//! Whoever moves a connection on leaves a timestamp here: the socket when it is read and when it
//! cannot be written, the service when a request begins, the body when it is asked for. One timer a
//! connection looks at them, and only when the earliest of its limits could have passed; a request
//! that is quick moves no timer at all.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::server::Limits;

/// The state of a connection, shared by its socket, its service and its bodies.
#[derive(Debug)]
pub(crate) struct Vitals {
    started: Instant,
    is_http1: AtomicBool,
    /// Requests and bodies that are not done.
    in_flight: AtomicUsize,
    /// Whether the head of a request has begun; HTTP/1 only.
    in_head: AtomicBool,
    /// When the head began, or else when the last thing in flight ended.
    since: AtomicU64,
    /// When the socket took no more bytes, or [`NEVER`].
    blocked: AtomicU64,
    /// HTTP/2 bodies that wait for the client: they have given bytes and are not asked for more.
    sending: AtomicUsize,
    /// When one of these was last asked, or written.
    asked: AtomicU64,
    requests: AtomicUsize,
    /// The next answer is the connection's last.
    is_last: AtomicBool,
    /// A stream of the connection is another protocol's now.
    has_tunnel: AtomicBool,
    /// The connection is to end with a reset: a plain close would look like the end of a whole body.
    resets: AtomicBool,
}

/// Which limit a connection has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It has asked for nothing.
    Idle,
    /// The head of its request is not whole.
    Head,
    /// It does not read what it asked for.
    Write,
}

impl Vitals {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            is_http1: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            in_head: AtomicBool::new(false),
            since: AtomicU64::new(0),
            blocked: AtomicU64::new(NEVER),
            sending: AtomicUsize::new(0),
            asked: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            is_last: AtomicBool::new(false),
            has_tunnel: AtomicBool::new(false),
            resets: AtomicBool::new(false),
        }
    }

    /// The protocol is known; for HTTP/1 a head has begun.
    pub(crate) fn begin(&self, is_http1: bool) {
        self.is_http1.store(is_http1, Relaxed);
        self.in_head.store(is_http1, Relaxed);
        self.since.store(self.now(), Relaxed);
    }

    pub(crate) fn is_http1(&self) -> bool {
        self.is_http1.load(Relaxed)
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.load(Relaxed) == 0 && !self.has_tunnel()
    }

    /// Runs an HTTP/1 connection to its end; one of HTTP/2 until its last request has come, which
    /// is `None`: there the server has to say so.
    pub(crate) fn finished<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
    ) -> impl Future<Output = Option<C::Output>> {
        poll_fn(move |cx| {
            let polled = connection.as_mut().poll(cx);
            match polled.is_pending() && self.is_last() && !self.is_http1() {
                true => Poll::Ready(None),
                false => polled.map(Some),
            }
        })
    }

    /// Bytes were read from the socket.
    pub(crate) fn read(&self) {
        let is_new = self.is_http1.load(Relaxed)
            && self.in_flight.load(Relaxed) == 0
            && !self.in_head.load(Relaxed);
        if is_new {
            self.in_head.store(true, Relaxed);
            self.since.store(self.now(), Relaxed);
        }
    }

    /// The socket took so many bytes, or is full.
    pub(crate) fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        let was_blocked = self.blocked.load(Relaxed) != NEVER;
        match (was_blocked, polled) {
            (false, Poll::Pending) => self.blocked.store(self.now(), Relaxed),
            (true, Poll::Ready(_)) => self.blocked.store(NEVER, Relaxed),
            _ => {}
        }
        // Of HTTP/2, it may be the answer to a ping; bodies that move are larger.
        let is_body = matches!(polled, Poll::Ready(Ok(count)) if *count >= LEAST_BODY);
        if is_body && self.sending.load(Relaxed) > 0 {
            self.asked.store(self.now(), Relaxed);
        }
    }

    /// A request has begun: how many there were before it.
    pub(crate) fn request(&self) -> usize {
        self.in_head.store(false, Relaxed);
        self.requests.fetch_add(1, Relaxed)
    }

    /// The connection is to end after this answer.
    pub(crate) fn make_last(&self) {
        self.is_last.store(true, Relaxed);
    }

    pub(crate) fn is_last(&self) -> bool {
        self.is_last.load(Relaxed)
    }

    pub(crate) fn tunnel(&self) {
        self.has_tunnel.store(true, Relaxed);
    }

    pub(crate) fn has_tunnel(&self) -> bool {
        self.has_tunnel.load(Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.resets.store(true, Relaxed);
    }

    pub(crate) fn resets(&self) -> bool {
        self.resets.load(Relaxed)
    }

    /// When which limit is passed, if nothing moves until then.
    fn deadline(&self, limits: &Limits) -> Option<(u64, Overdue)> {
        let blocked = self.blocked.load(Relaxed);
        let is_sending = self.sending.load(Relaxed) > 0;
        let is_idle = self.is_idle();
        let cases = [
            (
                blocked != NEVER,
                blocked,
                limits.write_timeout,
                Overdue::Write,
            ),
            (
                is_sending,
                self.asked.load(Relaxed),
                limits.write_timeout,
                Overdue::Write,
            ),
            match self.in_head.load(Relaxed) {
                true => (
                    is_idle,
                    self.since.load(Relaxed),
                    limits.header_timeout,
                    Overdue::Head,
                ),
                false => (
                    is_idle,
                    self.since.load(Relaxed),
                    limits.idle_timeout,
                    Overdue::Idle,
                ),
            },
        ];
        let due = cases.into_iter().filter(|(holds, ..)| *holds);
        due.map(|(_, since, limit, what)| (since.saturating_add(millis(limit)), what))
            .min_by_key(|(at, _)| *at)
    }

    /// Milliseconds since the connection began.
    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

/// Something of a connection that is not done; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Vitals>);

impl InFlight {
    pub(crate) fn new(vitals: &Arc<Vitals>) -> Self {
        vitals.in_flight.fetch_add(1, Relaxed);
        Self(vitals.clone())
    }

    pub(crate) const fn vitals(&self) -> &Arc<Vitals> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // The time first: whoever sees nothing in flight sees since when.
        self.0.since.store(self.0.now(), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A body of an HTTP/2 response, and whom it waits for. hyper asks it for bytes only when the
/// client has room for them: one that is not asked waits for the client.
#[derive(Debug)]
pub(crate) struct Sending {
    vitals: Arc<Vitals>,
    waits_for_client: bool,
}

impl Sending {
    pub(crate) fn new(vitals: &Arc<Vitals>) -> Self {
        vitals.asked.store(vitals.now(), Relaxed);
        vitals.sending.fetch_add(1, Relaxed);
        Self {
            vitals: vitals.clone(),
            waits_for_client: true,
        }
    }

    /// It was asked, and had something, or waits for the app.
    pub(crate) fn asked(&mut self, waits_for_app: bool) {
        self.vitals.asked.store(self.vitals.now(), Relaxed);
        self.wait(!waits_for_app);
    }

    fn wait(&mut self, for_client: bool) {
        match (self.waits_for_client, for_client) {
            (false, true) => {
                self.vitals.sending.fetch_add(1, Relaxed);
            }
            (true, false) => {
                self.vitals.sending.fetch_sub(1, Relaxed);
            }
            _ => {}
        }
        self.waits_for_client = for_client;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.wait(false);
    }
}

pin_project! {
    /// Resolves when a connection has passed a limit. It has to be polled after the connection is.
    pub(crate) struct Watchdog<'a> {
        vitals: &'a Vitals,
        limits: &'a Limits,
        #[pin]
        timer: Sleep,
        // What the timer is set to.
        at: u64,
    }
}

impl<'a> Watchdog<'a> {
    pub(crate) fn new(vitals: &'a Vitals, limits: &'a Limits) -> Self {
        Self {
            vitals,
            limits,
            timer: tokio::time::sleep(limits.glance()),
            at: vitals.now().saturating_add(millis(limits.glance())),
        }
    }
}

impl Future for Watchdog<'_> {
    type Output = Overdue;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Overdue> {
        let mut this = self.project();
        let at_time = |at: u64| this.vitals.started + Duration::from_millis(at.min(FAR));
        let due = this.vitals.deadline(this.limits);
        if let Some((at, _)) = due {
            // A limit that moved away is found when the timer fires; one that came nearer is not.
            if at < *this.at {
                *this.at = at;
                this.timer.as_mut().reset(at_time(at));
            }
        }
        while this.timer.as_mut().poll(cx).is_ready() {
            let now = this.vitals.now();
            *this.at = match due {
                Some((at, what)) if at <= now => return Poll::Ready(what),
                Some((at, _)) => at,
                // At work. What ends the work may not wake this task, so it looks again.
                None => now.saturating_add(millis(this.limits.glance())),
            };
            this.timer.as_mut().reset(at_time(*this.at));
        }
        Poll::Pending
    }
}

/// How many bytes written at once are taken for a part of a body.
const LEAST_BODY: usize = 64;

/// No time is later.
const NEVER: u64 = u64::MAX;

/// A century is as good as for ever, and no clock breaks at it.
const FAR: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}
