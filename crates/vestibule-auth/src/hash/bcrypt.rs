//! `$2y$cost$salthash`: bcrypt.
//!
//! Source: Provos and Mazières, "A Future-Adaptable Password Scheme", section 4.

use std::fmt;

use base64ct::{Base64Bcrypt, Encoding};
use blowfish::Blowfish;

use super::HashError;
use crate::secret::{is_same, random};

#[derive(Clone)]
pub(super) struct Bcrypt {
    cost: u32,
    salt: [u8; 16],
    hash: [u8; 23],
}

impl Bcrypt {
    pub(super) fn parse(text: &str) -> Result<Option<Self>, HashError> {
        let is_known = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|it| text.starts_with(it));
        if !is_known || text.len() != 60 || !text.is_ascii() || text.as_bytes()[6] != b'$' {
            return Ok(None);
        }
        let is_number = text.as_bytes()[4..6].iter().all(u8::is_ascii_digit);
        let cost: u32 = match (is_number, text[4..6].parse()) {
            (true, Ok(cost @ 4..=31)) => cost,
            _ => return Ok(None),
        };
        let mut salt = [0; 16];
        let mut hash = [0; 23];
        let read = loosely(&text[7..29], &mut salt).and(loosely(&text[29..], &mut hash));
        match read {
            Some(()) if cost > MAX_COST => Err(HashError::TooCostly),
            Some(()) => Ok(Some(Self { cost, salt, hash })),
            None => Ok(None),
        }
    }

    /// A new hash at the cost that OWASP recommends.
    pub(super) fn make(password: &[u8]) -> Self {
        let salt = random();
        Self {
            cost: COST,
            salt,
            hash: bcrypt(COST, &salt, password),
        }
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        is_same(&bcrypt(self.cost, &self.salt, password), &self.hash)
    }

    #[cfg(test)]
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.cost)
    }
}

/// `$2y$` is the name of what Apache writes: the format without the mistakes of early implementations.
impl fmt::Display for Bcrypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let salt = Base64Bcrypt::encode_string(&self.salt);
        let hash = Base64Bcrypt::encode_string(&self.hash);
        write!(f, "$2y${:02}${salt}{hash}", self.cost)
    }
}

/// Base64 whose unused bits may be set: some implementations leave them so in salts.
fn loosely(text: &str, to: &mut [u8]) -> Option<()> {
    let mut padded = [b'.'; 32];
    padded
        .get_mut(..text.len())?
        .copy_from_slice(text.as_bytes());
    let mut bytes = [0; 24];
    let read = Base64Bcrypt::decode(padded, &mut bytes).ok()?;
    to.copy_from_slice(read.get(..to.len())?);
    Some(())
}

fn bcrypt(cost: u32, salt: &[u8; 16], password: &[u8]) -> [u8; 23] {
    let mut key = [0; 73];
    let length = password.len().min(super::MAX_BCRYPT);
    key[..length].copy_from_slice(&password[..length]);
    // The NUL that ends a C string is part of the key, where there is room for it.
    let key = &key[..(length + 1).min(super::MAX_BCRYPT)];
    let mut state = Blowfish::bc_init_state();
    state.salted_expand_key(salt, key);
    for _ in 0..1_u64 << cost {
        state.bc_expand_key(key);
        state.bc_expand_key(salt);
    }
    let mut output = [0; 24];
    for (block, text) in output.chunks_exact_mut(8).zip(TEXT.chunks_exact(2)) {
        let mut pair = [text[0], text[1]];
        for _ in 0..64 {
            pair = state.bc_encrypt(pair);
        }
        block[..4].copy_from_slice(&pair[0].to_be_bytes());
        block[4..].copy_from_slice(&pair[1].to_be_bytes());
    }
    // The last byte was never written out, by an old mistake that is now the format.
    let mut hash = [0; 23];
    hash.copy_from_slice(&output[..23]);
    hash
}

/// "OrpheanBeholderScryDoubt".
const TEXT: [u32; 6] = [
    0x4f72_7068,
    0x6561_6e42,
    0x6568_6f6c,
    0x6465_7253,
    0x6372_7944,
    0x6f75_6274,
];

const COST: u32 = 10;
/// A check at this cost takes a minute.
const MAX_COST: u32 = 20;
