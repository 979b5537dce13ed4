//! Lines of the log that clients can cause, as many as they like.

use tokio::time::Instant;

use crate::gate::Gate;

/// Lets one line a second through, and counts those that it keeps back.
#[derive(Debug)]
pub struct Rarely {
    begun: Instant,
    gate: Gate,
}

impl Default for Rarely {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            gate: Gate::default(),
        }
    }
}

impl Rarely {
    /// When a line may be written now: how many were kept back since the last.
    pub fn line(&self) -> Option<u64> {
        let now = self.begun.elapsed().as_millis();
        self.gate.pass(u64::try_from(now).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
