//! Lines of the log that clients can cause, as many as they like.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Lets one line a second through, and counts those that it keeps back.
#[derive(Debug)]
pub(crate) struct Rarely {
    begun: Instant,
    /// When the next line may come, in milliseconds.
    next: AtomicU64,
    silent: AtomicU64,
}

impl Default for Rarely {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            next: AtomicU64::new(0),
            silent: AtomicU64::new(0),
        }
    }
}

impl Rarely {
    /// When a line may be written now: how many were kept back since the last.
    pub(crate) fn line(&self) -> Option<u64> {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Relaxed);
        let after = now.saturating_add(INTERVAL);
        let exchange = |next| self.next.compare_exchange(next, after, Relaxed, Relaxed);
        // Of two at the same time one is first.
        if now < next || exchange(next).is_err() {
            self.silent.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.silent.swap(0, Relaxed))
    }
}

/// In milliseconds.
const INTERVAL: u64 = Duration::from_secs(1).as_millis() as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_second() {
        let rarely = Rarely::default();
        let mut lines = Vec::new();
        for _ in 0..40 {
            lines.extend(rarely.line());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(lines, [0, 9, 9, 9]);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((rarely.line(), rarely.line()), (Some(9), None));
    }
}
