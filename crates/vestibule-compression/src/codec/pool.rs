//! Encoder states that wait to be used again, a few for each thread.
//!
//! A new state costs more than the compression of a small body: several hundred KB are allocated and
//! zeroed. A state goes to the pool of the thread on which it is dropped; no lock is taken.

use std::cell::RefCell;

use super::encoder::{Codec, Spec};

thread_local! {
    static POOL: RefCell<Vec<(Codec, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

/// A state for `spec`, and a buffer to write to.
pub(super) fn take(spec: &Spec) -> Option<(Codec, Vec<u8>)> {
    POOL.try_with(|pool| {
        let mut pool = pool.try_borrow_mut().ok()?;
        let place = pool.iter().rposition(|(codec, _)| codec.fits(spec))?;
        Some(pool.swap_remove(place))
    })
    .ok()?
}

/// Keeps a state, unless there are enough.
pub(super) fn give(codec: Codec, mut out: Vec<u8>) {
    // A thread that ends has no pool any more; the state is dropped.
    let _ = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut()
            && pool.len() < STATES
        {
            if out.capacity() > BUFFER {
                out = Vec::new();
            }
            pool.push((codec, out));
        }
    });
}

/// States that a thread keeps: about 5 MB of gzip, when so many bodies were encoded at once.
const STATES: usize = 16;

/// A buffer that grew larger than this is not kept.
const BUFFER: usize = 256 * 1024;
