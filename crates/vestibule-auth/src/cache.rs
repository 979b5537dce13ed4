//! Successes of slow checks, remembered for a short time under a keyed hash.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Identity;
use crate::secret::{Digest, Keyed};

/// What was found right. No password is in it: only hashes under a key that dies with the process.
#[derive(Debug)]
pub(crate) struct Cache {
    key: Keyed,
    life: Duration,
    found: Mutex<HashMap<Digest, (Instant, Identity)>>,
}

impl Cache {
    pub(crate) fn new(life: Duration) -> Self {
        Self {
            key: Keyed::random(),
            life: life.min(MAX_LIFE),
            found: Mutex::default(),
        }
    }

    /// What an entry is found by. `stored` is what the password was checked against, so that an
    /// entry ends with the stored password that it was made for.
    pub(crate) fn key(&self, user: &str, password: &str, stored: &[u8]) -> Digest {
        self.key
            .digest(&[user.as_bytes(), password.as_bytes(), stored])
    }

    /// The hash is of a secret key, so nobody can steer where in the map it is looked for.
    pub(crate) fn get(&self, key: &Digest, now: Instant) -> Option<Identity> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, identity) = found.get(key)?;
        (now < *until).then(|| identity.clone())
    }

    pub(crate) fn put(&self, key: Digest, identity: Identity, now: Instant) {
        self.put_for(key, identity, now, self.life);
    }

    /// Remembers it for `life`, when that is shorter than the cache's own.
    pub(crate) fn put_for(&self, key: Digest, identity: Identity, now: Instant, life: Duration) {
        let life = life.min(self.life);
        if life.is_zero() {
            return;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MAX_ENTRIES {
            found.retain(|_, (until, _)| now < *until);
        }
        if found.len() >= MAX_ENTRIES {
            // Which one goes means little: its user pays for one more check.
            if let Some(key) = found.keys().next().copied() {
                found.remove(&key);
            }
        }
        found.insert(key, (now + life, identity));
    }
}

const MAX_LIFE: Duration = Duration::from_secs(86_400);
const MAX_ENTRIES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_short_lived_and_bounded() {
        let cache = Cache::new(Duration::from_secs(60));
        let now = Instant::now();
        let alice = || Identity::new("alice", "Basic");
        let key = cache.key("alice", "secret", b"hash");
        assert!(cache.get(&key, now).is_none());
        cache.put(key, alice(), now);
        assert!(cache.get(&key, now + Duration::from_secs(59)).is_some());
        assert!(cache.get(&key, now + Duration::from_secs(60)).is_none());
        for other in [
            cache.key("alice", "secret", b"changed"),
            cache.key("alice", "secre", b"hash"),
            cache.key("alic", "esecret", b"hash"),
        ] {
            assert!(cache.get(&other, now).is_none());
        }
        for n in 0..2 * MAX_ENTRIES {
            cache.put(cache.key(&n.to_string(), "", b""), alice(), now);
        }
        assert_eq!(cache.found.lock().unwrap().len(), MAX_ENTRIES);
    }

    #[test]
    fn an_entry_may_live_shorter_than_the_others_and_never_longer() {
        let cache = Cache::new(Duration::from_secs(60));
        let now = Instant::now();
        for (life, lives) in [(0, 0), (5, 5), (99, 60)] {
            let key = cache.key(&life.to_string(), "", b"");
            let own = Duration::from_secs(life);
            cache.put_for(key, Identity::new("a", "Bearer"), now, own);
            let is_there = |at| cache.get(&key, now + Duration::from_secs(at)).is_some();
            assert!(
                !is_there(lives) && (lives == 0 || is_there(lives - 1)),
                "{life}"
            );
        }
    }

    #[test]
    fn no_life_is_no_cache() {
        let cache = Cache::new(Duration::ZERO);
        let key = cache.key("a", "b", b"");
        cache.put(key, Identity::new("a", "Basic"), Instant::now());
        assert!(cache.get(&key, Instant::now()).is_none());
    }
}
