//! One a second, on any number of threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Lets one a second pass, and counts those that it keeps back: none is counted twice, and none forgotten.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// When the next may pass, in milliseconds.
    next: AtomicU64,
    kept_back: AtomicU64,
}

impl Gate {
    /// Whether one passes at this millisecond: how many were kept back before it.
    pub(crate) fn pass(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Relaxed);
        let after = now.saturating_add(INTERVAL);
        let exchange = |next| self.next.compare_exchange(next, after, Relaxed, Relaxed);
        // Of two at the same time one is first.
        if now < next || exchange(next).is_err() {
            self.kept_back.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.kept_back.swap(0, Relaxed))
    }
}

/// In milliseconds.
const INTERVAL: u64 = 1_000;
