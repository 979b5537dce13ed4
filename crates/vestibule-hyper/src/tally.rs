//! A count and a time that are read by another thread than changes them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many there are of something, and when that was last changed by someone who said when.
///
/// The time is marked before the change, and never goes back. So whoever sees the count that a change has left
/// sees a time that is not before it: of two bodies that end on two threads, the connection is idle since the later.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: AtomicUsize,
    marked: AtomicU64,
}

impl Tally {
    pub(crate) fn mark(&self, now: u64) {
        // Mostly it is the same millisecond still, and nothing has to be written.
        if self.marked.load(Ordering::Relaxed) < now {
            self.marked.fetch_max(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn remove(&self) {
        self.count.fetch_sub(1, Ordering::Release);
    }

    /// To be asked before [`marked`](Self::marked).
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn marked(&self) -> u64 {
        self.marked.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back() {
        let tally = Tally::default();
        tally.add();
        tally.mark(7);
        tally.mark(3);
        tally.remove();
        assert_eq!((tally.count(), tally.marked()), (0, 7));
    }
}
