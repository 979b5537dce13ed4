//! Too many failures close a door for a while.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
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
#[doc(alias("rate limit", "brute force", "fail2ban"))]
#[derive(Debug)]
pub struct Lockout {
    by_user: u32,
    by_address: u32,
    period: Duration,
    hasher: RandomState,
    has_failures: AtomicBool,
    failures: Mutex<Table>,
}

/// Failures by the hash of who failed, in sets that are small and never grow: so neither memory nor time
/// depends on how many fail. It is made at the first failure.
#[derive(Debug, Default)]
struct Table {
    sets: Vec<[Failures; WAYS]>,
}

/// Of one user or address; a place that is free has none.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    key: u64,
    count: u32,
    until: Option<Instant>,
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
            has_failures: AtomicBool::new(false),
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

    /// In which time failures count, and how long a lock lasts; at most a year.
    #[must_use]
    pub fn period(mut self, period: Duration) -> Self {
        self.period = period.min(YEAR);
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
        if !self.has_failures.load(Ordering::Relaxed) {
            return None;
        }
        let table = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |key: u64, max: u32| {
            let failed = table.of(key)?;
            let left = failed.until?.checked_duration_since(now)?;
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
            let failed = table.place(key, now);
            failed.count = failed.count.saturating_add(1);
            failed.until = Some(now + self.period);
        }
        self.has_failures.store(true, Ordering::Relaxed);
    }

    /// Forgets the failures of a user who got in. Those of the address stay: else one account of
    /// one's own would pay for guesses at others.
    pub(crate) fn succeeded(&self, user: u64) {
        if !self.has_failures.load(Ordering::Relaxed) {
            return;
        }
        let mut table = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = table.set(user).iter_mut().find(|it| it.key == user) {
            *failed = Failures::default();
        }
    }
}

impl Table {
    fn of(&self, key: u64) -> Option<&Failures> {
        self.sets.get(number(key))?.iter().find(|it| it.key == key)
    }

    fn set(&mut self, key: u64) -> &mut [Failures; WAYS] {
        if self.sets.is_empty() {
            self.sets.resize(SETS, Default::default());
        }
        &mut self.sets[number(key)]
    }

    /// Where the failures of `key` are counted. In a full set that is the place of who failed least: who
    /// is locked out gives way only to those who are as well.
    fn place(&mut self, key: u64, now: Instant) -> &mut Failures {
        let set = self.set(key);
        let is_live = |it: &Failures| it.until.is_some_and(|until| now < until);
        let own = set
            .iter()
            .position(|it| it.key == key && it.until.is_some());
        let at = own.unwrap_or_else(|| {
            let order = |it: &Failures| if is_live(it) { it.count } else { 0 };
            let all = set.iter().enumerate();
            all.min_by_key(|(_, it)| order(it)).map_or(0, |(at, _)| at)
        });
        let place = &mut set[at];
        if own.is_none() || !is_live(place) {
            *place = Failures {
                key,
                ..Failures::default()
            };
        }
        place
    }
}

/// Which set a key is in.
const fn number(key: u64) -> usize {
    (key >> 32) as usize % SETS
}

impl Default for Lockout {
    fn default() -> Self {
        Self::new()
    }
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Half a mebibyte in all.
const SETS: usize = 2048;
const WAYS: usize = 8;

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

    /// In one set, where all places are taken: who failed least gives way, and who comes back after his time
    /// begins anew in his own place.
    #[test]
    fn a_full_set() {
        let lockout = Lockout::new().by_user(2).period(MINUTE);
        let now = Instant::now();
        let fail =
            |key: u64, times: usize, now| (0..times).for_each(|_| lockout.failed(key, None, now));
        (1..=WAYS as u64).for_each(|key| fail(key, if key == 3 { 1 } else { 2 }, now));
        fail(100, 2, now);
        let locked = |now| -> Vec<u64> {
            let keys = (1..=WAYS as u64).chain([100]);
            keys.filter(|key| lockout.wait(*key, None, now).is_some())
                .collect()
        };
        assert_eq!(locked(now), [1, 2, 4, 5, 6, 7, 8, 100]);
        let later = now + MINUTE;
        fail(8, 2, later);
        fail(1, 1, later);
        assert_eq!(locked(later), [8]);
        fail(1, 1, later);
        assert_eq!(locked(later), [1, 8]);
    }

    #[test]
    fn success_forgets() {
        let lockout = Lockout::new().by_user(2);
        let now = Instant::now();
        lockout.succeeded(7);
        lockout.failed(7, None, now);
        lockout.succeeded(7);
        lockout.failed(7, None, now);
        assert!(lockout.wait(7, None, now).is_none());
        lockout.failed(7, None, now);
        assert!(lockout.wait(7, None, now).is_some());
    }

    /// Who guesses with names and addresses without end fills the table and no more, and does not
    /// get a lock out of it by that.
    #[test]
    fn a_million_names_and_addresses_are_bounded() {
        let lockout = Lockout::new().by_user(3);
        let now = Instant::now();
        let locked = lockout.user("alice");
        (0..3).for_each(|_| lockout.failed(locked, None, now));
        for n in 0..1_000_000_u64 {
            let network = IpAddr::from((u128::from(n) << 64).to_be_bytes());
            lockout.failed(lockout.hasher.hash_one(n), Some(network), now);
        }
        assert!(lockout.wait(locked, None, now).is_some());
        let table = lockout.failures.lock().unwrap();
        assert_eq!(table.sets.len(), SETS);
        assert!(size_of_val(&*table.sets) <= 1 << 19);
        let places = table.sets.iter().flatten();
        assert!(places.filter(|it| it.until.is_some()).count() > SETS * WAYS / 10 * 9);
    }
}
