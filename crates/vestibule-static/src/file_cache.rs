//! A short-lived cache of small files that are requested often.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::file_body::read_to_keep;
use crate::source::{Content, Stored};

/// A cache of at most [`SLOTS`] files that were opened less than [`MILLIS`] ago, with their
/// descriptors, bytes and headers.
///
/// For a small file, most of the cost is to open, read and close it. A file enters the cache at its
/// second request within that time, so that a walk through a large tree does not fill it. Each use
/// asks the system once (`fstat`): a file that was written to, renamed, replaced or removed is
/// opened again. A replaced parent folder is not detected within that time. Cached bytes, including
/// those in responses, are limited to 8 MB. Expired files are dropped within a second while there
/// are requests.
#[derive(Debug)]
pub(crate) struct FileCache {
    slots: [Mutex<CacheEntry>; SLOTS],
    hasher: RandomState,
    /// When expired files were last dropped, in milliseconds.
    swept: AtomicU64,
}

#[derive(Debug, Default)]
struct CacheEntry {
    /// The hash of the name that was requested last, and the time in milliseconds. A time in the
    /// future is the earliest time at which the name may enter.
    asked: Option<(u64, u64)>,
    kept: Option<CachedFile>,
}

#[derive(Debug)]
struct CachedFile {
    name: Box<[u8]>,
    stored: Stored,
    /// When the file was opened, in milliseconds.
    opened: u64,
}

/// The result of a look-up.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// The file is in the cache.
    Open(Stored),
    /// The name was requested a moment ago, and may enter the cache now.
    Again,
    Nothing,
}

impl FileCache {
    pub(crate) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            swept: AtomicU64::new(0),
        }
    }

    /// Looks up `name`. `now` is in milliseconds.
    pub(crate) fn get(&self, name: &[u8], now: u64) -> Lookup {
        if now.saturating_sub(self.swept.load(Ordering::Relaxed)) >= SWEEP_MILLIS {
            self.sweep(now);
        }
        let (hash, mut slot) = self.slot(name);
        let is_recent = |then: u64| now.saturating_sub(then) < MILLIS;
        if let Some(kept) = slot.kept.as_ref().filter(|kept| *kept.name == *name) {
            if is_recent(kept.opened) && is_current(&kept.stored) {
                return Lookup::Open(kept.stored.clone());
            }
            slot.kept = None;
        }
        match slot.asked {
            Some((other, then)) if other == hash && then > now => return Lookup::Nothing,
            _ => {}
        }
        match slot.asked.replace((hash, now)) {
            Some((other, then)) if other == hash && is_recent(then) => Lookup::Again,
            _ => Lookup::Nothing,
        }
    }

    /// Records that `name` does not enter the cache, so that it is not tried again soon.
    pub(crate) fn refuse(&self, name: &[u8], now: u64) {
        let (hash, mut slot) = self.slot(name);
        slot.asked = Some((hash, now + REFUSED_MILLIS));
    }

    /// Caches a file that was opened at `now` if it is small, and reads its bytes if they are in
    /// memory.
    pub(crate) fn keep(&self, name: &[u8], now: u64, stored: &mut Stored) {
        if stored.length > MAX_LENGTH {
            return;
        }
        let bytes = match &stored.content {
            Content::File(file) => read_to_keep(file),
            Content::Memory(_) => None,
        };
        stored.make(bytes);
        let (_, mut slot) = self.slot(name);
        slot.kept = Some(CachedFile {
            name: name.into(),
            stored: stored.clone(),
            opened: now,
        });
    }

    /// Drops expired files.
    fn sweep(&self, now: u64) {
        self.swept.store(now, Ordering::Relaxed);
        for slot in &self.slots {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let is_old = |kept: &mut CachedFile| now.saturating_sub(kept.opened) >= MILLIS;
            drop(slot.kept.take_if(is_old));
        }
    }

    fn slot(&self, name: &[u8]) -> (u64, MutexGuard<'_, CacheEntry>) {
        let hash = self.hasher.hash_one(name);
        let slot = &self.slots[hash as usize % SLOTS];
        (hash, slot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_current(stored: &Stored) -> bool {
    match &stored.content {
        Content::File(file) => file.is_untouched(),
        Content::Memory(_) => true,
    }
}

const SLOTS: usize = 64;

/// How long a file stays in the cache, in milliseconds.
const MILLIS: u64 = 100;

const SWEEP_MILLIS: u64 = 1000;

/// How long a refused name is not tried again, in milliseconds.
const REFUSED_MILLIS: u64 = 1000;

/// Maximum size of a cached file in bytes. For a larger file the open is a small part of the cost,
/// and a removed one would keep its disk space.
const MAX_LENGTH: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(cache: &FileCache, name: &[u8], now: u64) -> bool {
        matches!(cache.get(name, now), Lookup::Open(_))
    }

    #[test]
    fn the_second_request_caches_a_file_for_a_moment() {
        let cache = FileCache::new();
        assert!(matches!(cache.get(b"a", 0), Lookup::Nothing));
        assert!(matches!(cache.get(b"a", MILLIS), Lookup::Nothing));
        assert!(matches!(cache.get(b"a", MILLIS + 1), Lookup::Again));
        cache.keep(b"a", MILLIS + 1, &mut Stored::memory("a"));
        assert!(is_open(&cache, b"a", MILLIS + 1));
        assert!(is_open(&cache, b"a", 2 * MILLIS));
        assert!(!is_open(&cache, b"a", 2 * MILLIS + 1));
        assert!(!is_open(&cache, b"a", 2 * MILLIS + 1));
    }

    #[test]
    fn refused_names_may_enter_later() {
        let cache = FileCache::new();
        cache.refuse(b"a", 0);
        assert!(matches!(cache.get(b"a", 1), Lookup::Nothing));
        assert!(matches!(cache.get(b"a", 2), Lookup::Nothing));
        assert!(matches!(cache.get(b"a", REFUSED_MILLIS), Lookup::Again));
    }

    #[test]
    fn large_files_are_not_kept() {
        let cache = FileCache::new();
        let mut large = Stored::memory("a");
        large.length = MAX_LENGTH + 1;
        cache.keep(b"a", 0, &mut large);
        assert!(!is_open(&cache, b"a", 0));
    }

    #[test]
    fn names_with_the_same_index_are_not_mixed_up() {
        let cache = FileCache::new();
        for number in 0..1000_u32 {
            let name = number.to_be_bytes();
            cache.keep(&name, 0, &mut Stored::memory(name.to_vec()));
        }
        for number in 0..1000_u32 {
            if let Lookup::Open(stored) = cache.get(&number.to_be_bytes(), 1) {
                assert_eq!(
                    stored.head(4, crate::Wait::Never).unwrap(),
                    &number.to_be_bytes()[..]
                );
            }
        }
    }
}
