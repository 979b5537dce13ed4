//! Lines that wait for the thread that writes them.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines between those who log and the one thread that writes: at most `room` bytes of them. A line is
/// handed over once, or counted as dropped.
///
/// `O` is what the thread writes to. It waits here until there is a first line: a sink that is never used
/// costs no thread.
pub(super) struct Pending<O> {
    room: usize,
    state: Mutex<State<O>>,
    /// The thread waits for lines.
    wake: Condvar,
    /// Others wait for the thread.
    done: Condvar,
}

struct State<O> {
    lines: Vec<u8>,
    /// Lines that were dropped, ever.
    dropped: u64,
    /// Bytes that were queued, ever, and how many of them the thread is done with.
    queued: u64,
    finished: u64,
    is_closed: bool,
    /// The thread has ended, or there is none.
    is_over: bool,
    wants_reopen: bool,
    not_started: Option<O>,
}

impl<O> Pending<O> {
    pub(super) fn new(room: usize, out: O) -> Self {
        let state = State {
            lines: Vec::new(),
            dropped: 0,
            queued: 0,
            finished: 0,
            is_closed: false,
            is_over: false,
            wants_reopen: false,
            not_started: Some(out),
        };
        Self {
            room,
            state: Mutex::new(state),
            wake: Condvar::new(),
            done: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a line, or drops it when there is no room. Who gets what is written to has to start the
    /// thread, and before that waits for nothing.
    pub(super) fn push(&self, line: &[u8]) -> Option<O> {
        let mut state = self.lock();
        if state.is_over || state.lines.len() + line.len() > self.room {
            state.dropped += 1;
            return None;
        }
        let before = state.lines.len();
        state.lines.extend_from_slice(line);
        state.queued += line.len() as u64;
        let out = state.not_started.take();
        let is_many = before < self.many() && state.lines.len() >= self.many();
        drop(state);
        if before == 0 || is_many {
            self.wake.notify_one();
        }
        out
    }

    pub(super) fn reopen(&self) {
        self.lock().wants_reopen = true;
        self.wake.notify_one();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until what is queued now has been written or dropped; false when it was not in time.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let state = self.lock();
        let queued = state.queued;
        let is_open = |state: &mut State<O>| state.finished < queued && !state.is_over;
        let waited = self.done.wait_timeout_while(state, limit, is_open);
        let (_state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// Takes no more lines and waits until the thread has written the last; when it has not in time, how
    /// many bytes are left.
    pub(super) fn close(&self, limit: Duration) -> Option<u64> {
        let mut state = self.lock();
        state.is_closed = true;
        if state.not_started.is_some() {
            return None;
        }
        self.wake.notify_one();
        let runs = |state: &mut State<O>| !state.is_over;
        let waited = self.done.wait_timeout_while(state, limit, runs);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        timeout.timed_out().then(|| state.queued - state.finished)
    }

    /// For the thread: takes what waits, in place of what is in `lines`, as soon as there is something. True
    /// when a file has to be opened anew before that is written; `None` at the end.
    pub(super) fn take(&self, lines: &mut Vec<u8>) -> Option<bool> {
        let mut state = self.wait();
        if state.lines.is_empty() && state.is_closed {
            return None;
        }
        let wants_reopen = mem::take(&mut state.wants_reopen);
        lines.clear();
        mem::swap(lines, &mut state.lines);
        Some(wants_reopen)
    }

    /// For the thread: it is done with so many bytes, of which so many lines were lost. How many were
    /// dropped ever.
    pub(super) fn finish(&self, bytes: usize, lost: u64) -> u64 {
        let mut state = self.lock();
        state.finished += bytes as u64;
        state.dropped += lost;
        let dropped = state.dropped;
        drop(state);
        self.done.notify_all();
        dropped
    }

    /// There is no thread any more; it has lost so many lines. How many were dropped ever.
    pub(super) fn end(&self, lost: u64) -> u64 {
        let mut state = self.lock();
        state.dropped += lost + count(&mem::take(&mut state.lines));
        state.is_over = true;
        let dropped = state.dropped;
        drop(state);
        self.done.notify_all();
        dropped
    }

    /// Waits for something to do, and then a moment longer, so that lines come in company.
    fn wait(&self) -> MutexGuard<'_, State<O>> {
        let is_idle = |state: &mut State<O>| {
            state.lines.is_empty() && !state.is_closed && !state.wants_reopen
        };
        let state = self.wake.wait_while(self.lock(), is_idle);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let may_wait = |state: &mut State<O>| {
            state.lines.len() < self.many() && !state.is_closed && !state.wants_reopen
        };
        let waited = self.wake.wait_timeout_while(state, LINGER, may_wait);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// So many bytes are worth a wake.
    const fn many(&self) -> usize {
        self.room / 4
    }
}

pub(super) fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// How long the first line waits for others.
const LINGER: Duration = Duration::from_millis(2);
