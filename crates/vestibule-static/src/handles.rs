//! Small files that are asked for again and again are kept for a moment.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::file_body::read_to_keep;
use crate::source::{Content, Stored};

/// Files that were opened less than [`MILLIS`] ago, at most [`SLOTS`] of them, open and with their bytes and headers.
///
/// To open, read and close is most of what a small file costs. A file comes in when it is asked for twice in that time, so
/// that a walk through a large tree leaves nothing here. Whoever takes one out asks the system once (`fstat`): one that
/// was written to, renamed, replaced or removed since is opened anew. What is not seen for so long is a folder above it
/// that was put in the place of another. At most 8 MB are held, by this and by those who are sent them, and while there are
/// requests, what is too old goes within a second.
#[derive(Debug)]
pub(crate) struct Handles {
    slots: [Mutex<Slot>; SLOTS],
    hasher: RandomState,
    /// When old files were let go, in milliseconds.
    swept: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    /// The hash of the name that was asked for last, and when, in milliseconds; a time that lies ahead is when it may come in.
    asked: Option<(u64, u64)>,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    name: Box<[u8]>,
    stored: Stored,
    /// When it was opened, in milliseconds.
    opened: u64,
}

/// What is known of a name.
#[derive(Debug)]
pub(crate) enum Known {
    /// The file, open.
    Open(Stored),
    /// It was asked for a moment ago, and may be kept now.
    Again,
    Nothing,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            swept: AtomicU64::new(0),
        }
    }

    /// What is known of `name` at `now`, which is in milliseconds.
    pub(crate) fn get(&self, name: &[u8], now: u64) -> Known {
        if now.saturating_sub(self.swept.load(Ordering::Relaxed)) >= SWEEP_MILLIS {
            self.sweep(now);
        }
        let (hash, mut slot) = self.slot(name);
        let is_recent = |then: u64| now.saturating_sub(then) < MILLIS;
        if let Some(kept) = slot.kept.as_ref().filter(|kept| *kept.name == *name) {
            if is_recent(kept.opened) && is_current(&kept.stored) {
                return Known::Open(kept.stored.clone());
            }
            slot.kept = None;
        }
        match slot.asked {
            Some((other, then)) if other == hash && then > now => return Known::Nothing,
            _ => {}
        }
        match slot.asked.replace((hash, now)) {
            Some((other, then)) if other == hash && is_recent(then) => Known::Again,
            _ => Known::Nothing,
        }
    }

    /// Takes note that `name` is not to be kept, so that it need not be tried again soon.
    pub(crate) fn refuse(&self, name: &[u8], now: u64) {
        let (hash, mut slot) = self.slot(name);
        slot.asked = Some((hash, now + REFUSED_MILLIS));
    }

    /// Keeps a file that was opened at `now`, if it is small, and reads what is in memory of it.
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
        slot.kept = Some(Kept {
            name: name.into(),
            stored: stored.clone(),
            opened: now,
        });
    }

    /// Lets go what is too old.
    fn sweep(&self, now: u64) {
        self.swept.store(now, Ordering::Relaxed);
        for slot in &self.slots {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let is_old = |kept: &mut Kept| now.saturating_sub(kept.opened) >= MILLIS;
            drop(slot.kept.take_if(is_old));
        }
    }

    fn slot(&self, name: &[u8]) -> (u64, MutexGuard<'_, Slot>) {
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

/// How long a name is taken for the file that it was.
const MILLIS: u64 = 100;

const SWEEP_MILLIS: u64 = 1000;

/// How long a name is not tried again.
const REFUSED_MILLIS: u64 = 1000;

/// Of a larger file the opening is a small part, and a removed one would hold its place on the disk.
const MAX_LENGTH: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(handles: &Handles, name: &[u8], now: u64) -> bool {
        matches!(handles.get(name, now), Known::Open(_))
    }

    #[test]
    fn what_is_asked_for_twice_is_kept_for_a_moment() {
        let handles = Handles::new();
        assert!(matches!(handles.get(b"a", 0), Known::Nothing));
        assert!(matches!(handles.get(b"a", MILLIS), Known::Nothing));
        assert!(matches!(handles.get(b"a", MILLIS + 1), Known::Again));
        handles.keep(b"a", MILLIS + 1, &mut Stored::memory("a"));
        assert!(is_open(&handles, b"a", MILLIS + 1));
        assert!(is_open(&handles, b"a", 2 * MILLIS));
        assert!(!is_open(&handles, b"a", 2 * MILLIS + 1));
        assert!(!is_open(&handles, b"a", 2 * MILLIS + 1));
    }

    #[test]
    fn what_was_refused_is_let_in_later() {
        let handles = Handles::new();
        handles.refuse(b"a", 0);
        assert!(matches!(handles.get(b"a", 1), Known::Nothing));
        assert!(matches!(handles.get(b"a", 2), Known::Nothing));
        assert!(matches!(handles.get(b"a", REFUSED_MILLIS), Known::Again));
    }

    #[test]
    fn large_files_are_not_kept() {
        let handles = Handles::new();
        let mut large = Stored::memory("a");
        large.length = MAX_LENGTH + 1;
        handles.keep(b"a", 0, &mut large);
        assert!(!is_open(&handles, b"a", 0));
    }

    #[test]
    fn names_that_share_a_slot_are_not_mixed_up() {
        let handles = Handles::new();
        for number in 0..1000_u32 {
            let name = number.to_be_bytes();
            handles.keep(&name, 0, &mut Stored::memory(name.to_vec()));
        }
        for number in 0..1000_u32 {
            if let Known::Open(stored) = handles.get(&number.to_be_bytes(), 1) {
                assert_eq!(
                    stored.head(4, crate::Wait::Never).unwrap(),
                    &number.to_be_bytes()[..]
                );
            }
        }
    }
}
