//! How many wait for something, and not too many.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of those who wait, at most `max`.
#[derive(Debug)]
pub(crate) struct Waiting {
    count: AtomicUsize,
    max: usize,
}

/// One that waits; counted until it is dropped, wherever that is.
#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a AtomicUsize);

impl Waiting {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            max,
        }
    }

    /// One more, unless there are too many. Who is refused counts for a moment, and may be the reason that
    /// another is.
    pub(crate) fn begin(&self) -> Option<Waits<'_>> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let waits = Waits(&self.count);
        (before < self.max).then_some(waits)
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
