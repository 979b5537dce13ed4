//! How far a request has come, for whoever decides that it is stuck.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// When Python was last known to get on with a request.
///
/// The time in which Python waits for the client, to send more of a body or to read more of one, does
/// not count: clients have timeouts of their own, in the server.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    /// Milliseconds from `start`, plus one; or one of the two states below.
    at: AtomicU64,
}

/// No thread has taken the request yet.
const QUEUED: u64 = 0;

/// Python waits for the client.
const WAITING: u64 = u64::MAX;

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            at: AtomicU64::new(QUEUED),
        }
    }

    /// A thread has taken the request: how long it has waited for that.
    pub(crate) fn begin(&self) -> Duration {
        let waited = self.start.elapsed();
        self.at.store(stamp(waited), Relaxed);
        waited
    }

    /// Something was done just now.
    pub(crate) fn mark(&self) {
        self.at.store(self.now(), Relaxed);
    }

    /// Waits for the client, until the next mark.
    pub(crate) fn waits(&self) {
        self.at.store(WAITING, Relaxed);
    }

    /// How long it has been until now.
    pub(crate) fn age(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn is_queued(&self) -> bool {
        self.at.load(Relaxed) == QUEUED
    }

    /// How long nothing has been done.
    pub(crate) fn silence(&self) -> Duration {
        match self.at.load(Relaxed) {
            QUEUED => self.age(),
            WAITING => Duration::ZERO,
            at => Duration::from_millis(self.now().saturating_sub(at)),
        }
    }

    fn now(&self) -> u64 {
        stamp(self.start.elapsed())
    }
}

/// A time since the start, as it is kept.
fn stamp(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).map_or(WAITING - 1, |time| time + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_the_client_is_no_silence() {
        let progress = Progress::new();
        assert!(progress.is_queued());
        progress.waits();
        assert_eq!(progress.silence(), Duration::ZERO);
        progress.mark();
        assert!(!progress.is_queued());
        assert!(progress.silence() <= progress.age() + Duration::from_millis(1));
    }
}
