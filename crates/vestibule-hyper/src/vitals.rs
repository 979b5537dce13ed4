//! What a connection is doing and since when, and how long it may go on.
//!
//! Whoever moves a connection on leaves word of it here: the socket when it is read and when it
//! cannot be written, the service when a request begins and ends, the body when it is asked for. One
//! timer a connection looks at it, and only when the earliest of its limits could have passed; a
//! request that is quick moves no timer, and reads the clock once.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::link::Link;
use crate::server::Limits;
use crate::tally::Tally;

/// The state of a connection, shared by its socket, its service and its bodies.
#[derive(Debug)]
pub(crate) struct Vitals {
    started: Instant,
    is_http1: AtomicBool,
    /// An HTTP/1 request is answered. There is one at a time, and its beginning and end are the
    /// connection's own: no other thread writes here.
    is_answering: AtomicBool,
    /// Requests of HTTP/2, and bodies of requests, that are not done; and when the last thing in flight ended.
    in_flight: Tally,
    /// The app waits for more of the body of a request; HTTP/1 only, where there is one.
    wants_body: AtomicBool,
    /// Tasks that answer HTTP/2 requests. Of a stream that was reset it is there until it has heard of that.
    tasks: AtomicUsize,
    /// Those of them that have not begun yet.
    fresh: AtomicUsize,
    /// How many more of these ended without a whole answer than with one.
    cut: AtomicUsize,
    /// When the head of a request began, [`JUST_NOW`], or [`NEVER`] between heads; HTTP/1 only.
    head: AtomicU64,
    /// It has buffers that it does not need while nothing is in flight; HTTP/1 only.
    is_awake: AtomicBool,
    /// When the socket took no more bytes, or [`NEVER`].
    blocked: AtomicU64,
    /// The body of an HTTP/1 response was not asked, since the socket was full.
    has_waiting: AtomicBool,
    /// HTTP/2 bodies that wait for the client: they have given bytes and are not asked for more; and
    /// when one of them was last asked, or written.
    sending: Tally,
    has_turn: AtomicBool,
    requests: AtomicUsize,
    /// The next answer is the connection's last.
    is_last: AtomicBool,
    /// When the connection is too old, or [`NEVER`].
    expires: AtomicU64,
    /// The client is still sending a body that nobody reads.
    has_left_body: AtomicBool,
    /// A stream of the connection is another protocol's now.
    has_tunnel: AtomicBool,
    /// The connection is to end with a reset: a plain close would look like the end of a whole body.
    resets: AtomicBool,
    /// An answer of the service has been given to hyper, and nothing was written since; HTTP/1 only.
    has_answer: AtomicBool,
    /// The socket keeps back what the parser has answered; HTTP/1 only.
    withholds: AtomicBool,
}

/// Which limit a connection has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It has asked for nothing.
    Idle,
    /// It has asked for nothing for so long that its buffers are given back.
    Rest,
    /// The head of its request is not whole.
    Head,
    /// It does not read what it asked for.
    Write,
    /// It ends what it asks for, over and over.
    Resets,
    /// It is too old; HTTP/2 only.
    Age,
}

impl Vitals {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            is_http1: AtomicBool::new(false),
            is_answering: AtomicBool::new(false),
            in_flight: Tally::default(),
            wants_body: AtomicBool::new(false),
            tasks: AtomicUsize::new(0),
            fresh: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
            head: AtomicU64::new(NEVER),
            is_awake: AtomicBool::new(false),
            blocked: AtomicU64::new(NEVER),
            has_waiting: AtomicBool::new(false),
            sending: Tally::default(),
            has_turn: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            is_last: AtomicBool::new(false),
            expires: AtomicU64::new(NEVER),
            has_left_body: AtomicBool::new(false),
            has_tunnel: AtomicBool::new(false),
            resets: AtomicBool::new(false),
            has_answer: AtomicBool::new(false),
            withholds: AtomicBool::new(false),
        }
    }

    /// The protocol is known; for HTTP/1 a head has begun.
    pub(crate) fn begin(&self, is_http1: bool) {
        self.is_http1.store(is_http1, Relaxed);
        self.is_awake.store(is_http1, Relaxed);
        match is_http1 {
            true => self.head.store(JUST_NOW, Relaxed),
            false => self.in_flight.mark(self.now()),
        }
    }

    pub(crate) fn is_http1(&self) -> bool {
        self.is_http1.load(Relaxed)
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_answering() && self.in_flight.count() == 0 && !self.has_tunnel()
    }

    /// Whether an HTTP/1 request is answered.
    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering.load(Relaxed)
    }

    /// Whether no body of an HTTP/1 request is still to be read.
    pub(crate) fn has_whole_request(&self) -> bool {
        self.in_flight.count() == 0
    }

    /// Word of whether the app waits for more of a body.
    pub(crate) fn set_wants_body(&self, wants_body: bool) {
        self.wants_body.store(wants_body, Relaxed);
    }

    pub(crate) fn wants_body(&self) -> bool {
        self.wants_body.load(Relaxed)
    }

    /// Whether the socket took no more bytes.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed) != NEVER
    }

    /// The connection's task is polled; HTTP/2 only.
    pub(crate) fn begin_turn(&self) {
        self.has_turn.store(true, Relaxed);
    }

    /// Whether it was polled anew since this was last asked.
    pub(crate) fn takes_turn(&self) -> bool {
        self.has_turn.swap(false, Relaxed)
    }

    /// Whether the client of HTTP/2 makes work and wants no answers.
    pub(crate) fn is_flooded(&self) -> bool {
        self.cut.load(Relaxed) > MAX_CUT
    }

    /// How many tasks answer requests of HTTP/2.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.load(Relaxed)
    }

    /// Whether there are requests of HTTP/2 whose tasks have not begun.
    pub(crate) fn has_fresh(&self) -> bool {
        self.fresh.load(Relaxed) > 0
    }

    /// Whether it has something that will not last: the half of a head, a socket that is full, a
    /// client that is waited for.
    pub(crate) fn is_pressed(&self) -> bool {
        self.head.load(Relaxed) != NEVER || self.is_blocked() || self.sending.count() > 0
    }

    /// Bytes were read from the socket. When they came is not asked here: most heads are whole, and
    /// gone again at once.
    pub(crate) fn read(&self) {
        if self.is_http1() && self.is_idle() && self.head.load(Relaxed) == NEVER {
            self.head.store(JUST_NOW, Relaxed);
        }
    }

    /// The connection has given its buffers back, or has some again.
    pub(crate) fn set_awake(&self, is_awake: bool) {
        self.is_awake.store(is_awake, Relaxed);
    }

    /// The socket took so many bytes, or is full: whether a body waits for that.
    pub(crate) fn wrote(&self, polled: &Poll<io::Result<usize>>) -> bool {
        let was_blocked = self.is_blocked();
        match (was_blocked, polled) {
            (false, Poll::Pending) => self.blocked.store(self.now(), Relaxed),
            (true, Poll::Ready(_)) => self.blocked.store(NEVER, Relaxed),
            _ => {}
        }
        let goes_on = was_blocked && polled.is_ready() && self.has_waiting.load(Relaxed);
        if goes_on {
            self.has_waiting.store(false, Relaxed);
        }
        // Of HTTP/2, it may be the answer to a ping; bodies that move are larger.
        let is_body = matches!(polled, Poll::Ready(Ok(count)) if *count >= LEAST_BODY);
        if is_body && self.sending.count() > 0 {
            self.sending.mark(self.now());
        }
        goes_on
    }

    /// Whether the body of an HTTP/1 response has to wait, until [`wrote`](Self::wrote) says that it
    /// goes on.
    pub(crate) fn holds_up(&self) -> bool {
        let holds_up = self.is_http1() && self.is_blocked();
        if holds_up {
            self.has_waiting.store(true, Relaxed);
        }
        holds_up
    }

    /// A request has begun: how many there were before it.
    pub(crate) fn request(&self) -> usize {
        if !self.is_http1() {
            return self.requests.fetch_add(1, Relaxed);
        }
        self.head.store(NEVER, Relaxed);
        let before = self.requests.load(Relaxed);
        self.requests.store(before + 1, Relaxed);
        before
    }

    /// Whether a request has begun.
    pub(crate) fn has_had_requests(&self) -> bool {
        self.requests.load(Relaxed) > 0
    }

    /// The connection is to end after this answer.
    pub(crate) fn make_last(&self) {
        self.is_last.store(true, Relaxed);
    }

    pub(crate) fn is_last(&self) -> bool {
        self.is_last.load(Relaxed)
    }

    /// The connection is too old when it has this age.
    pub(crate) fn expire_at(&self, age: Duration) {
        self.expires.store(millis(age), Relaxed);
    }

    /// Whether the connection is too old. Without a limit this reads no clock.
    pub(crate) fn is_too_old(&self) -> bool {
        let expires = self.expires.load(Relaxed);
        expires != NEVER && expires <= self.now()
    }

    /// Returns when an HTTP/2 connection gets its GOAWAY for its age. On HTTP/1 a response says `Connection: close`.
    fn expires(&self) -> u64 {
        match self.is_http1() || self.is_last() {
            true => NEVER,
            false => self.expires.load(Relaxed),
        }
    }

    /// The connection ends with an answer that came before the end of the request's body.
    pub(crate) fn leave_body(&self) {
        self.has_left_body.store(true, Relaxed);
    }

    pub(crate) fn has_left_body(&self) -> bool {
        self.has_left_body.load(Relaxed)
    }

    /// An answer of the service is given to hyper.
    pub(crate) fn give_answer(&self) {
        self.has_answer.store(true, Relaxed);
    }

    /// Whether an answer of the service is in what is written next.
    pub(crate) fn takes_answer(&self) -> bool {
        let has_answer = self.has_answer.load(Relaxed);
        if has_answer {
            self.has_answer.store(false, Relaxed);
        }
        has_answer
    }

    /// The socket keeps back what the parser has answered, or has to send it.
    pub(crate) fn set_withholds(&self, withholds: bool) {
        self.withholds.store(withholds, Relaxed);
    }

    pub(crate) fn withholds(&self) -> bool {
        self.withholds.load(Relaxed)
    }

    pub(crate) fn tunnel(&self) {
        self.has_tunnel.store(true, Relaxed);
    }

    pub(crate) fn has_tunnel(&self) -> bool {
        self.has_tunnel.load(Relaxed)
    }

    /// Whether the whole connection was upgraded: of HTTP/2 it is only a stream.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.has_tunnel() && self.is_http1()
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
        let is_sending = self.sending.count() > 0;
        let is_idle = self.is_idle();
        let mut head = self.head.load(Relaxed);
        if head == JUST_NOW {
            head = self.now();
            self.head.store(head, Relaxed);
        }
        let is_quiet = is_idle && head == NEVER;
        let rests = is_quiet && blocked == NEVER && self.is_awake.load(Relaxed);
        let since = self.in_flight.marked();
        let asked = self.sending.marked();
        let cases = [
            (
                blocked != NEVER,
                blocked,
                limits.write_timeout,
                Overdue::Write,
            ),
            (is_sending, asked, limits.write_timeout, Overdue::Write),
            (
                is_idle && head != NEVER,
                head,
                limits.header_timeout,
                Overdue::Head,
            ),
            (is_quiet, since, limits.idle_timeout, Overdue::Idle),
            (rests, since, REST, Overdue::Rest),
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
pub(crate) struct InFlight {
    link: Arc<Link>,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// The one HTTP/1 request that is answered.
    Request,
    /// One of HTTP/2, by a task of its own.
    Task {
        is_fresh: bool,
        is_whole: bool,
    },
    Body,
}

impl InFlight {
    /// A request.
    pub(crate) fn request(link: Arc<Link>) -> Self {
        let what = match link.vitals.is_http1() {
            true => {
                link.vitals.is_answering.store(true, Relaxed);
                What::Request
            }
            false => {
                link.vitals.in_flight.add();
                link.vitals.tasks.fetch_add(1, Relaxed);
                link.vitals.fresh.fetch_add(1, Relaxed);
                What::Task {
                    is_fresh: true,
                    is_whole: false,
                }
            }
        };
        Self { link, what }
    }

    /// The body of a request, which an app may read anywhere.
    pub(crate) fn body(link: Arc<Link>) -> Self {
        link.vitals.in_flight.add();
        Self {
            link,
            what: What::Body,
        }
    }

    /// Its task has begun.
    pub(crate) fn begin(&mut self) {
        if let What::Task { is_fresh, .. } = &mut self.what
            && std::mem::take(is_fresh)
        {
            self.link.vitals.fresh.fetch_sub(1, Relaxed);
        }
    }

    /// The response is whole.
    pub(crate) fn finish(&mut self) {
        if let What::Task { is_whole, .. } = &mut self.what {
            *is_whole = true;
        }
    }

    pub(crate) const fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.begin();
        let vitals = &self.link.vitals;
        // The time first: whoever sees nothing in flight sees since when.
        vitals.in_flight.mark(vitals.now());
        match self.what {
            What::Request => vitals.is_answering.store(false, Relaxed),
            What::Task { is_whole, .. } => {
                vitals.tasks.fetch_sub(1, Relaxed);
                match is_whole {
                    true => {
                        let less = |cut: usize| cut.checked_sub(1);
                        // There is nothing less than none.
                        let _ = vitals.cut.fetch_update(Relaxed, Relaxed, less);
                    }
                    false => drop(vitals.cut.fetch_add(1, Relaxed)),
                }
                vitals.in_flight.remove();
            }
            What::Body => {
                vitals.set_wants_body(false);
                vitals.in_flight.remove();
            }
        }
    }
}

/// A body of an HTTP/2 response, and whom it waits for. hyper asks it for bytes only when the
/// client has room for them: one that is not asked waits for the client.
#[derive(Debug)]
pub(crate) struct Sending {
    link: Arc<Link>,
    waits_for_client: bool,
}

impl Sending {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        link.vitals.sending.mark(link.vitals.now());
        link.vitals.sending.add();
        Self {
            link,
            waits_for_client: true,
        }
    }

    /// It was asked, and had something, or waits for the app.
    pub(crate) fn asked(&mut self, waits_for_app: bool) {
        let vitals = &self.link.vitals;
        vitals.sending.mark(vitals.now());
        self.wait(!waits_for_app);
    }

    fn wait(&mut self, for_client: bool) {
        match (self.waits_for_client, for_client) {
            (false, true) => self.link.vitals.sending.add(),
            (true, false) => self.link.vitals.sending.remove(),
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
        // The timer is set for what is at work, or rests, and too late for one that is idle.
        is_late: bool,
    }
}

impl<'a> Watchdog<'a> {
    pub(crate) fn new(vitals: &'a Vitals, limits: &'a Limits) -> Self {
        Self {
            vitals,
            limits,
            timer: tokio::time::sleep(limits.glance()),
            at: vitals.now().saturating_add(millis(limits.glance())),
            is_late: true,
        }
    }

    /// Whether a limit may have come nearer than the timer is. One that moved away is found when
    /// the timer fires.
    pub(crate) fn has_to_look(&self) -> bool {
        let vitals = self.vitals;
        vitals.is_pressed() || self.is_late && vitals.is_awake.load(Relaxed) && vitals.is_idle()
    }
}

impl Future for Watchdog<'_> {
    type Output = Overdue;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Overdue> {
        let mut this = self.project();
        let at_time = |at: u64| this.vitals.started + Duration::from_millis(at.min(FAR));
        let due = this.vitals.deadline(this.limits);
        let expires = this.vitals.expires();
        *this.is_late = !matches!(due, Some((_, Overdue::Rest)));
        let nearest = due.map_or(expires, |(at, _)| at.min(expires));
        if nearest < *this.at {
            *this.at = nearest;
            this.timer.as_mut().reset(at_time(nearest));
        }
        while this.timer.as_mut().poll(cx).is_ready() {
            let now = this.vitals.now();
            *this.at = match due {
                Some((at, what)) if at <= now => return Poll::Ready(what),
                _ if expires <= now => return Poll::Ready(Overdue::Age),
                Some((at, _)) => at.min(expires),
                // At work. What ends the work may not wake this task, so it looks again.
                None => now
                    .saturating_add(millis(this.limits.glance()))
                    .min(expires),
            };
            this.timer.as_mut().reset(at_time(*this.at));
        }
        Poll::Pending
    }
}

/// How long a connection that is idle keeps its buffers. One that is used more often than that has
/// them all the time; to take them anew costs about a tenth of a small request.
const REST: Duration = Duration::from_secs(1);

/// How many requests of an HTTP/2 connection may end too early. hyper allows as many resets that the client
/// brings about by breaking the protocol, and knows no end of some others.
const MAX_CUT: usize = 1024;

/// How many bytes written at once are taken for a part of a body.
const LEAST_BODY: usize = 64;

/// No time is later.
const NEVER: u64 = u64::MAX;

/// A time that is still to be looked up.
const JUST_NOW: u64 = NEVER - 1;

/// A century is as good as for ever, and no clock breaks at it.
const FAR: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}
