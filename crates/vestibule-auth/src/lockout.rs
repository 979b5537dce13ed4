//! Too many failures close a door for a while.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After how many failures a user or an address is locked out, and for how long.
///
/// Failures count within `period`; the one that makes it `max` locks for `period` again. While a
/// user is locked even the right password is refused, with 429: else guessing could go on. An IPv6
/// address counts with its /64. The table is bounded, and empty where nobody fails.
///
/// ```
/// use std::time::Duration;
/// use vestibule_auth::Lockout;
///
/// let lockout = Lockout::new().by_user(5).by_address(50).period(Duration::from_secs(600));
/// # let _ = lockout;
/// ```
#[derive(Debug)]
pub struct Lockout {
    by_user: u32,
    by_address: u32,
    period: Duration,
    hasher: RandomState,
    size: AtomicUsize,
    failures: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<u64, Failures>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    until: Instant,
}

impl Lockout {
    /// Ten failures of a user or fifty of an address, in five minutes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            by_user: 10,
            by_address: 50,
            period: Duration::from_secs(300),
            hasher: RandomState::new(),
            size: AtomicUsize::new(0),
            failures: Mutex::default(),
        }
    }

    /// Locks a user out after `max` failures; 0 for never.
    #[must_use]
    pub fn by_user(mut self, max: u32) -> Self {
        self.by_user = max;
        self
    }

    /// Locks an address out after `max` failures; 0 for never.
    #[must_use]
    pub fn by_address(mut self, max: u32) -> Self {
        self.by_address = max;
        self
    }

    /// In which time failures count, and how long a lock lasts.
    #[must_use]
    pub fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// A number for a user that no client can choose.
    pub(crate) fn user(&self, name: &str) -> u64 {
        self.hasher.hash_one(("user", name))
    }

    fn address(&self, address: IpAddr) -> u64 {
        let network = match address.to_canonical() {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address) >> 64 << 64,
        };
        self.hasher.hash_one(("address", network))
    }

    /// How long to wait, when the user or the address is locked out.
    pub(crate) fn wait(
        &self,
        user: u64,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Option<Duration> {
        if self.size.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let table = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |key: u64, max: u32| {
            let failed = table.by_key.get(&key)?;
            let left = failed.until.checked_duration_since(now)?;
            (max > 0 && failed.count >= max && !left.is_zero()).then_some(left)
        };
        let user = wait(user, self.by_user);
        let address = address.and_then(|it| wait(self.address(it), self.by_address));
        user.max(address)
    }

    pub(crate) fn failed(&self, user: u64, address: Option<IpAddr>, now: Instant) {
        let mut table = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in [Some(user), address.map(|it| self.address(it))] {
            let Some(key) = key else { continue };
            table.make_room(key, now);
            let failed = table.by_key.entry(key).or_insert(Failures {
                count: 0,
                until: now + self.period,
            });
            if failed.until <= now {
                failed.count = 0;
            }
            failed.count = failed.count.saturating_add(1);
            failed.until = now + self.period;
        }
        self.size.store(table.by_key.len(), Ordering::Relaxed);
    }

    /// Forgets the failures of a user who got in. Those of the address stay: else one account of
    /// one's own would pay for guesses at others.
    pub(crate) fn succeeded(&self, user: u64) {
        if self.size.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut table = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        table.by_key.remove(&user);
        self.size.store(table.by_key.len(), Ordering::Relaxed);
    }
}

impl Table {
    /// Makes room for `key` in a time that does not grow with the table: it is full when someone
    /// fills it.
    fn make_room(&mut self, key: u64, now: Instant) {
        if self.by_key.len() < MAX_ENTRIES || self.by_key.contains_key(&key) {
            return;
        }
        if self.swept.is_none_or(|swept| now >= swept + SWEEP_EVERY) {
            self.by_key.retain(|_, failed| now < failed.until);
            self.swept = Some(now);
        }
        if self.by_key.len() >= MAX_ENTRIES {
            let some = self.by_key.iter().take(8);
            let least = some.min_by_key(|(_, failed)| failed.count);
            if let Some(key) = least.map(|(key, _)| *key) {
                self.by_key.remove(&key);
            }
        }
    }
}

impl Default for Lockout {
    fn default() -> Self {
        Self::new()
    }
}

const MAX_ENTRIES: usize = 1 << 14;
const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_user_is_locked_and_let_go() {
        let lockout = Lockout::new().by_user(3).period(MINUTE);
        let (alice, bob) = (lockout.user("alice"), lockout.user("bob"));
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(lockout.wait(alice, None, now), None);
            lockout.failed(alice, None, now);
        }
        assert_eq!(lockout.wait(alice, None, now), Some(MINUTE));
        assert_eq!(lockout.wait(bob, None, now), None);
        assert_eq!(lockout.wait(alice, None, now + MINUTE), None);
        lockout.failed(alice, None, now + MINUTE);
        assert_eq!(lockout.wait(alice, None, now + MINUTE), None);
    }

    #[test]
    fn an_address_is_locked_for_all_users() {
        let lockout = Lockout::new().by_address(2).period(MINUTE);
        let now = Instant::now();
        lockout.failed(1, ip("2001:db8::1"), now);
        lockout.failed(2, ip("2001:db8::2"), now);
        let wait = |address| lockout.wait(3, address, now).is_some();
        assert!(wait(ip("2001:db8::3")));
        assert!(!wait(ip("2001:db8:0:1::3")));
        assert!(!wait(ip("192.0.2.1")));
        lockout.failed(1, ip("::ffff:192.0.2.1"), now);
        lockout.failed(2, ip("192.0.2.1"), now);
        assert!(wait(ip("192.0.2.1")));
        lockout.succeeded(1);
        assert!(wait(ip("192.0.2.1")));
    }

    #[test]
    fn success_forgets_and_the_table_is_bounded() {
        let lockout = Lockout::new().by_user(2);
        let now = Instant::now();
        lockout.failed(7, None, now);
        lockout.succeeded(7);
        assert_eq!(lockout.size.load(Ordering::Relaxed), 0);
        lockout.failed(7, None, now);
        lockout.failed(7, None, now);
        for user in 0..2 * MAX_ENTRIES as u64 {
            lockout.failed(1 << 32 | user, None, now);
        }
        assert!(lockout.failures.lock().unwrap().by_key.len() <= MAX_ENTRIES);
        assert!(lockout.wait(7, None, now).is_some());
    }
}
