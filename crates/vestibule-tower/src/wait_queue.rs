//! First come, first served.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Those who wait for something, in the order in which they came.
#[derive(Default)]
pub(crate) struct Line {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    line: VecDeque<(u64, Waker)>,
    next_ticket: u64,
}

impl Line {
    /// A panic elsewhere leaves the line whole.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the first. The lock is free again before the waker runs, which may be anyone's code.
    fn wake_first(&self) {
        let first = self.lock().line.front().map(|(_, waker)| waker.clone());
        if let Some(waker) = first {
            waker.wake();
        }
    }
}

/// A place in the line. It is left on drop: a request that is given up holds nobody up.
pub(crate) struct Place<'a> {
    line: &'a Line,
    ticket: Option<u64>,
}

impl<'a> Place<'a> {
    pub(crate) const fn new(line: &'a Line) -> Self {
        Self { line, ticket: None }
    }

    /// Ready for the first in line. It stays the first until it leaves.
    pub(crate) fn poll_first(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = self.line.lock();
        let Some(ticket) = self.ticket else {
            let ticket = waiting.next_ticket;
            waiting.next_ticket += 1;
            waiting.line.push_back((ticket, cx.waker().clone()));
            self.ticket = Some(ticket);
            return first(&waiting, ticket);
        };
        // Tickets are in order, and places before this one may have been left.
        if let Ok(at) = waiting.line.binary_search_by_key(&ticket, |place| place.0) {
            waiting.line[at].1.clone_from(cx.waker());
        }
        first(&waiting, ticket)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let was_first = {
            let mut waiting = self.line.lock();
            let was_first = first(&waiting, ticket).is_ready();
            if let Ok(at) = waiting.line.binary_search_by_key(&ticket, |place| place.0) {
                waiting.line.remove(at);
            }
            was_first
        };
        if was_first {
            self.line.wake_first();
        }
    }
}

fn first(waiting: &Waiting, ticket: u64) -> Poll<()> {
    match waiting.line.front() {
        Some((first, _)) if *first == ticket => Poll::Ready(()),
        _ => Poll::Pending,
    }
}
