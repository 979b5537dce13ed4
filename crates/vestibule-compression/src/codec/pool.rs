//! Encoder states for reuse, a few for each thread.
//!
//! A new state costs more than the compression of a small body: several hundred KB are allocated and
//! zeroed. A state goes to the pool of the thread on which it is dropped; no lock is taken. A thread encodes one
//! body after the other, so it needs few.

use std::cell::RefCell;

use super::encoder::{Codec, Spec};

thread_local! {
    static POOL: RefCell<Vec<(Codec, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

/// Takes a state for `spec`, and an output buffer.
pub(super) fn take(spec: &Spec) -> Option<(Codec, Vec<u8>)> {
    POOL.try_with(|pool| {
        let mut pool = pool.try_borrow_mut().ok()?;
        let place = pool.iter().rposition(|(codec, _)| codec.fits(spec))?;
        Some(pool.swap_remove(place))
    })
    .ok()?
}

/// Keeps a reusable state. When the pool is full, it replaces the oldest.
pub(super) fn give(codec: Codec, mut out: Vec<u8>) {
    if !codec.is_reusable() {
        return;
    }
    // A thread that ends has no pool any more, so the state is dropped.
    let _ = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut() {
            if out.capacity() > BUFFER {
                out = Vec::new();
            }
            if pool.len() >= STATES {
                pool.remove(0);
            }
            pool.push((codec, out));
        }
    });
}

/// The number of states of a thread: 0.5 MB each for gzip, at most 1.6 MB for zstd at its default level.
const STATES: usize = 2;

/// A buffer that grew larger than this is not kept.
const BUFFER: usize = 256 * 1024;
