//! Secrets that are compared: by keyed hashes, in constant time.

use std::collections::HashMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::Identity;

/// HMAC-SHA-256 under a key that nobody else has, ready to be used.
#[derive(Clone)]
pub(crate) struct Keyed(Hmac<Sha256>);

/// The result of a keyed hash.
pub(crate) type Digest = [u8; 32];

impl Keyed {
    /// A key of this process.
    ///
    /// # Panics
    ///
    /// The system has random numbers.
    pub(crate) fn random() -> Self {
        Self::new(&random::<32>())
    }

    pub(crate) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// The hash of several parts; where one ends and the next begins is part of it.
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut mac = self.0.clone();
        let mut room = [0; ROOM];
        let mut used = 0;
        for part in parts {
            // Short parts go in with one update: a call costs more than the bytes.
            let length = (part.len() as u64).to_le_bytes();
            match room.get_mut(used..used + 8 + part.len()) {
                Some(place) => {
                    place[..8].copy_from_slice(&length);
                    place[8..].copy_from_slice(part);
                    used += 8 + part.len();
                }
                None => {
                    mac.update(&room[..used]);
                    used = 0;
                    mac.update(&length);
                    mac.update(part);
                }
            }
        }
        mac.update(&room[..used]);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyed")
    }
}

/// Whether two byte strings are the same, in a time that depends on their lengths only.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Random bytes of the system.
///
/// # Panics
///
/// The system has random numbers.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes).expect("a system without random numbers cannot keep secrets");
    bytes
}

/// Opaque tokens and whom they stand for. Only keyed hashes are kept, so that neither memory nor
/// the time of a lookup tells a token.
///
/// ```
/// use vestibule_auth::{Identity, Tokens};
///
/// let tokens = Tokens::new()
///     .with("mF_9.B5f-4.1JqM", Identity::new("ci", "Bearer").with_scopes(["deploy"]));
/// assert_eq!(tokens.len(), 1);
/// assert!(!format!("{tokens:?}").contains("mF_9"));
/// ```
#[derive(Clone, Debug)]
pub struct Tokens {
    key: Keyed,
    known: HashMap<Digest, Identity>,
}

impl Tokens {
    /// No tokens.
    #[must_use]
    pub fn new() -> Self {
        Self {
            key: Keyed::random(),
            known: HashMap::new(),
        }
    }

    /// Adds a token.
    ///
    /// # Panics
    ///
    /// A token is not empty: an empty one would let in a client that was not configured.
    #[must_use]
    pub fn with(mut self, token: impl AsRef<[u8]>, identity: Identity) -> Self {
        let token = token.as_ref();
        assert!(!token.is_empty(), "a token is not empty");
        let digest = self.key.digest(&[token]);
        self.known.insert(digest, identity);
        self
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whom a token stands for. The map is asked by a keyed hash, which a client cannot steer.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Identity> {
        let digest = self.key.digest(&[token]);
        let (known, identity) = self.known.get_key_value(&digest)?;
        is_same(known, &digest).then(|| identity.clone())
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

/// What is gathered before it is hashed.
const ROOM: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_ends() {
        let key = Keyed::new(b"k");
        let long = [7; 400];
        let all: [&[&[u8]]; 7] = [
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc"],
            &[b"abc", b""],
            &[&long, b"a"],
            &[b"a", &long],
            &[&long[..200], &long[200..], b"a"],
        ];
        for (at, a) in all.iter().enumerate() {
            assert_eq!(key.digest(a), key.digest(a));
            for b in &all[at + 1..] {
                assert_ne!(key.digest(a), key.digest(b));
            }
        }
        assert_ne!(
            Keyed::random().digest(&[b"a"]),
            Keyed::random().digest(&[b"a"])
        );
    }

    /// RFC 4231 section 4.2, by the cut that `is_same` and `Keyed` stand on.
    #[test]
    fn rfc4231_test_case_1() {
        let mut mac = Keyed::new(&[0x0b; 20]).0;
        mac.update(b"Hi There");
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn tokens_are_found_whole() {
        let tokens = Tokens::new().with("abc", Identity::new("a", "Bearer"));
        assert!(tokens.find(b"abc").is_some());
        for other in [&b""[..], b"ab", b"abcd", b"ABC", b"abd"] {
            assert!(tokens.find(other).is_none());
        }
    }
}
