//! Hashes for entity tags.

use std::hash::{DefaultHasher, Hasher};

/// Returns a 128-bit hash of the content. The same version of this program gives the same hash.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let half = |seed| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(bytes);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(1), half(2))
}

/// Returns a 64-bit hash of `numbers`, the same on all systems.
pub(crate) fn hash_numbers(numbers: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for number in numbers {
        hasher.write(&number.to_le_bytes());
    }
    hasher.finish()
}
