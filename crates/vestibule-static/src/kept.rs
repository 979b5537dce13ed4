//! Bytes of files that several are sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes that are kept for those who ask next, and that whoever is sent them holds as well: all that there are of them count,
/// and there are never more than [`MOST_KEPT`], however many do not read what they asked for.
pub(crate) struct Kept(Vec<u8>);

impl Kept {
    /// Room for `length` bytes; `None` when so many are kept that there is none.
    pub(crate) fn new(length: usize) -> Option<Self> {
        let kept = KEPT.fetch_add(length, Ordering::Relaxed);
        if kept.saturating_add(length) > MOST_KEPT {
            KEPT.fetch_sub(length, Ordering::Relaxed);
            return None;
        }
        Some(Self(vec![0; length]))
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// The bytes of all that is kept.
static KEPT: AtomicUsize = AtomicUsize::new(0);

const MOST_KEPT: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_an_end() {
        let all = Kept::new(MOST_KEPT - 100_000).unwrap().freeze();
        assert!(Kept::new(100_001).is_none());
        let some = all.slice(..10);
        drop(all);
        assert!(Kept::new(100_001).is_none(), "somebody reads it still");
        drop(some);
        assert!(Kept::new(100_001).is_some());
    }
}
