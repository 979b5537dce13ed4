//! UUIDs of version 7: the time in milliseconds, a counter, and random bits.
//!
//! ```text
//! unix_ts_ms (48) | ver = 7 (4) | rand_a (12) | var = 2 (2) | rand_b (62)
//! ```
//!
//! Source: RFC 9562, section 5.7; `rand_a` is a counter as in section 6.2, method 1, so that ids of one
//! millisecond and one process sort in the order in which they were made.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// An id of 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Uuid(u128);

impl Uuid {
    /// A new id.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis() as u64);
        Self::from_parts(tick(millis), random())
    }

    /// `tick`: 48 bits of milliseconds and 12 of a counter.
    fn from_parts(tick: u64, random: u64) -> Self {
        let (millis, counter) = (u128::from(tick >> 12), u128::from(tick & 0xFFF));
        let random = u128::from(random & (u64::MAX >> 2));
        Self(millis << 80 | 7 << 76 | counter << 64 | 2 << 62 | random)
    }

    /// 36 characters: digits in lower case and four hyphens.
    pub(crate) fn to_bytes(self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let places = (0..36).filter(|place| ![8, 13, 18, 23].contains(place));
        for (index, place) in places.enumerate() {
            text[place] = HEX[(self.0 >> (124 - 4 * index)) as usize & 15];
        }
        text
    }
}

/// The time, or one more than the last when the clock has not moved on, or has gone back.
fn tick(millis: u64) -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = millis << 12;
    let next = |last: u64| Some(now.max(last + 1));
    // The closure never refuses.
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    now.max(last.unwrap_or_default() + 1)
}

/// 64 bits that nobody outside can tell in advance: a keyed hash (SipHash, with keys of the system's
/// randomness) of a counter. Ids are names, not secrets.
pub(crate) fn random() -> u64 {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut hasher = KEYS.get_or_init(RandomState::new).build_hasher();
    hasher.write_u64(COUNTER.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9562_appendix_a_6() {
        // The example of version 7: 2022-02-22T19:22:22Z.
        let uuid = Uuid::from_parts(0x017F_22E2_79B0 << 12 | 0xCC3, 0x18C4_DC0C_0C07_398F);
        assert_eq!(&uuid.to_bytes(), b"017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    }

    #[test]
    fn ids_differ_and_sort() {
        let ids: Vec<_> = (0..10_000).map(|_| Uuid::now()).collect();
        assert!(ids.is_sorted());
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..5_000).map(|_| Uuid::now()).collect::<Vec<_>>()))
            .collect();
        let mut all: Vec<_> = threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20_000);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_take_ids_back() {
        let first = tick(u64::MAX >> 20);
        assert!(tick(1) > first);
    }
}
