//! Cached file bytes that several responses share.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// File bytes that are cached for later requests and shared with the responses that send them.
///
/// All such bytes count towards [`MOST_KEPT`], also those of responses whose clients do not read.
pub(crate) struct CachedBytes(Vec<u8>);

impl CachedBytes {
    /// Allocates `length` bytes; `None` when the limit of cached bytes is reached.
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

impl AsRef<[u8]> for CachedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for CachedBytes {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// Number of cached bytes in the process.
static KEPT: AtomicUsize = AtomicUsize::new(0);

const MOST_KEPT: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_bytes_are_limited() {
        let all = CachedBytes::new(MOST_KEPT - 100_000).unwrap().freeze();
        assert!(CachedBytes::new(100_001).is_none());
        let some = all.slice(..10);
        drop(all);
        assert!(
            CachedBytes::new(100_001).is_none(),
            "a response still holds its bytes"
        );
        drop(some);
        assert!(CachedBytes::new(100_001).is_some());
    }
}
