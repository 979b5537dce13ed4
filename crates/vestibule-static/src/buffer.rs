//! Pooled read buffers: to zero and fault in new memory costs as much as the read itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// A read buffer. All but the smallest come from a pool, and return to it when the last [`Bytes`]
/// made from them is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// The usable length. The pool's buffers have a few fixed sizes.
    length: usize,
}

impl Buffer {
    /// Takes a buffer of `length` bytes. Its content is unspecified.
    pub(crate) fn new(length: usize) -> Self {
        let bytes = match class(length) {
            Some(class) => POOL[class].take().unwrap_or_else(|| vec![0; SIZES[class]]),
            None => vec![0; length],
        };
        if HELD.fetch_add(bytes.len(), Ordering::Relaxed) >= MUCH {
            IS_SWOLLEN.store(true, Ordering::Relaxed);
        }
        Self { bytes, length }
    }

    /// Returns the maximum number of bytes that one body should buffer. Thousands of clients may
    /// not read their bodies, so the share is small while many bytes are in use.
    pub(crate) fn share() -> usize {
        match HELD.load(Ordering::Relaxed) {
            0..MUCH => usize::MAX,
            _ => LITTLE,
        }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }

    /// Returns the first `length` bytes as immutable bytes.
    pub(crate) fn freeze(mut self, length: usize) -> Bytes {
        self.length = length.min(self.length);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let held = HELD.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        if held == self.bytes.len() && IS_SWOLLEN.swap(false, Ordering::Relaxed) {
            POOL.iter().for_each(Shelf::clear);
            return;
        }
        if let Some(class) = SIZES.iter().position(|size| *size == self.bytes.len()) {
            POOL[class].give(std::mem::take(&mut self.bytes));
        }
    }
}

/// Free buffers of one size.
struct Shelf {
    buffers: Mutex<Vec<Vec<u8>>>,
    most: usize,
}

impl Shelf {
    const fn new(size: usize) -> Self {
        Self {
            buffers: Mutex::new(Vec::new()),
            most: SHELF_BYTES / size,
        }
    }

    fn take(&self) -> Option<Vec<u8>> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.pop()
    }

    fn clear(&self) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        *buffers = Vec::new();
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < self.most {
            buffers.push(buffer);
        }
    }
}

/// Returns the index of the pool for `length` bytes. `None` for the smallest buffers, which the
/// allocator handles better, and for buffers above the largest size.
fn class(length: usize) -> Option<usize> {
    if length <= SMALL {
        return None;
    }
    SIZES.iter().position(|size| length <= *size)
}

const SMALL: usize = 512;

/// Number of bytes in all buffers that are in use.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Whether many bytes were in use since the pool was last emptied. Free buffers are then spread
/// over the heap, and an allocator that returns memory only from the end of the heap would keep
/// everything below them.
static IS_SWOLLEN: AtomicBool = AtomicBool::new(false);

/// Number of bytes in use that counts as many: 64 fast readers use at most this.
const MUCH: usize = 16 * 1024 * 1024;

/// Size of a small share. A server takes several pieces of this size at a time.
const LITTLE: usize = SIZES[1];

const SIZES: [usize; 6] = [
    4 * 1024,
    8 * 1024,
    16 * 1024,
    64 * 1024,
    128 * 1024,
    256 * 1024,
];

/// Maximum number of free bytes for each buffer size.
const SHELF_BYTES: usize = 2 * 1024 * 1024;

static POOL: [Shelf; SIZES.len()] = [
    Shelf::new(SIZES[0]),
    Shelf::new(SIZES[1]),
    Shelf::new(SIZES[2]),
    Shelf::new(SIZES[3]),
    Shelf::new(SIZES[4]),
    Shelf::new(SIZES[5]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (length, held) in [
            (0, 0),
            (1, 1),
            (SMALL, SMALL),
            (SMALL + 1, SIZES[0]),
            (SIZES[0], SIZES[0]),
            (SIZES[0] + 1, SIZES[1]),
            (SIZES[5], SIZES[5]),
            (SIZES[5] + 1, SIZES[5] + 1),
        ] {
            let mut buffer = Buffer::new(length);
            assert_eq!((buffer.as_mut().len(), buffer.bytes.len()), (length, held));
            buffer.as_mut().fill(7);
            assert_eq!(buffer.freeze(length / 2), vec![7; length / 2]);
        }
    }

    #[test]
    fn pools_have_a_maximum_size() {
        let shelf = Shelf::new(SHELF_BYTES / 2);
        for _ in 0..5 {
            shelf.give(Vec::new());
        }
        assert_eq!(shelf.buffers.lock().unwrap().len(), 2);
        assert!(shelf.take().is_some());
    }
}
