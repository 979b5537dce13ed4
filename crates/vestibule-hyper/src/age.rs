//! How old a connection may become.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The age at which a connection is to end: `age`, give or take a tenth. Connections that were opened together, as
/// after a restart, so end one after the other.
pub(crate) fn jittered(age: Duration) -> Duration {
    between(age, RandomState::new().hash_one(()))
}

/// The age for a random number: from nine tenths of `age` for 0 to eleven tenths for the largest.
fn between(age: Duration, random: u64) -> Duration {
    let tenth = age / 10;
    let least = age - tenth;
    // The upper half of the number is enough, and a `Duration` can be multiplied by it.
    let share = u32::try_from(random >> 32).unwrap_or(u32::MAX);
    let nanos = (tenth * 2).as_nanos() * u128::from(share) / u128::from(u32::MAX);
    least.saturating_add(u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_more_or_less() {
        let minute = Duration::from_secs(60);
        assert_eq!(between(minute, 0), Duration::from_secs(54));
        assert_eq!(between(minute, u64::MAX), Duration::from_secs(66));
        let half = between(minute, u64::MAX / 2);
        assert!((half.as_secs_f64() - 60.0).abs() < 0.01, "{half:?}");
        assert_eq!(between(Duration::ZERO, u64::MAX), Duration::ZERO);
        assert!(between(Duration::MAX, u64::MAX) >= between(Duration::MAX, 0));
    }

    #[test]
    fn connections_that_begin_together_end_at_different_times() {
        let hour = Duration::from_secs(3600);
        let ages: Vec<_> = (0..100).map(|_| jittered(hour)).collect();
        assert!(
            ages.iter()
                .all(|age| *age >= hour * 9 / 10 && *age <= hour * 11 / 10)
        );
        let first = ages.iter().filter(|age| **age < hour).count();
        assert!((20..=80).contains(&first), "{ages:?}");
    }
}
