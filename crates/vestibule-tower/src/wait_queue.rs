//! A fair queue of waiting tasks: first come, first served.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The waiting tasks, in the order of arrival.
#[derive(Default)]
pub(crate) struct WaitQueue {
    waiting: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    queue: VecDeque<(u64, Waker)>,
    next_ticket: u64,
}

impl WaitQueue {
    /// Ignores poisoning: a panic elsewhere leaves the queue consistent.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the first task. Unlocks before, since the waker may run foreign code.
    fn wake_first(&self) {
        let first = self.lock().queue.front().map(|(_, waker)| waker.clone());
        if let Some(waker) = first {
            waker.wake();
        }
    }
}

/// A position in the queue. The drop removes it, so that a cancelled request does not block others.
pub(crate) struct QueuePosition<'a> {
    queue: &'a WaitQueue,
    ticket: Option<u64>,
}

impl<'a> QueuePosition<'a> {
    pub(crate) const fn new(queue: &'a WaitQueue) -> Self {
        Self {
            queue,
            ticket: None,
        }
    }

    /// Returns ready if this task is the first in the queue. It stays the first until it is
    /// dropped.
    pub(crate) fn poll_first(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = self.queue.lock();
        let Some(ticket) = self.ticket else {
            let ticket = waiting.next_ticket;
            waiting.next_ticket += 1;
            waiting.queue.push_back((ticket, cx.waker().clone()));
            self.ticket = Some(ticket);
            return first(&waiting, ticket);
        };
        // Tickets are sorted. Earlier positions may have been removed.
        if let Ok(at) = waiting
            .queue
            .binary_search_by_key(&ticket, |position| position.0)
        {
            waiting.queue[at].1.clone_from(cx.waker());
        }
        first(&waiting, ticket)
    }
}

impl Drop for QueuePosition<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let was_first = {
            let mut waiting = self.queue.lock();
            let was_first = first(&waiting, ticket).is_ready();
            if let Ok(at) = waiting
                .queue
                .binary_search_by_key(&ticket, |position| position.0)
            {
                waiting.queue.remove(at);
            }
            was_first
        };
        if was_first {
            self.queue.wake_first();
        }
    }
}

fn first(waiting: &Entries, ticket: u64) -> Poll<()> {
    match waiting.queue.front() {
        Some((first, _)) if *first == ticket => Poll::Ready(()),
        _ => Poll::Pending,
    }
}
