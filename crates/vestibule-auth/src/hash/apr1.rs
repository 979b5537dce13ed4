//! `$apr1$salt$hash` and `$1$salt$hash`: MD5 a thousand times, in the order of 1994.
//!
//! Source: FreeBSD's `crypt_md5`, and `apr_md5_encode` of APR, which changed the magic and nothing else.

use md5::{Digest, Md5};

use super::{is_crypt64, push_crypt64};
use crate::secret::is_same;

#[derive(Clone)]
pub(super) struct Apr1 {
    magic: &'static str,
    salt: String,
    hash: String,
}

impl Apr1 {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let magic = ["$apr1$", "$1$"]
            .into_iter()
            .find(|magic| text.starts_with(magic))?;
        let (salt, hash) = text[magic.len()..].split_once('$')?;
        if salt.len() > 8 || hash.len() != 22 || !is_crypt64(hash) {
            return None;
        }
        Some(Self {
            magic,
            salt: salt.to_owned(),
            hash: hash.to_owned(),
        })
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let hash = md5_crypt(self.magic.as_bytes(), self.salt.as_bytes(), password);
        is_same(hash.as_bytes(), self.hash.as_bytes())
    }
}

fn md5_crypt(magic: &[u8], salt: &[u8], password: &[u8]) -> String {
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut start = Md5::new()
        .chain_update(password)
        .chain_update(magic)
        .chain_update(salt);
    let mut rest = password.len();
    while rest > 0 {
        let count = rest.min(16);
        start.update(&inner[..count]);
        rest -= count;
    }
    let mut bits = password.len();
    while bits > 0 {
        match (bits & 1, password.first()) {
            (1, _) | (_, None) => start.update([0]),
            (_, Some(first)) => start.update([*first]),
        }
        bits >>= 1;
    }
    let mut digest = start.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        match round % 2 {
            1 => next.update(password),
            _ => next.update(digest),
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        match round % 2 {
            1 => next.update(digest),
            _ => next.update(password),
        }
        digest = next.finalize();
    }
    let mut text = String::with_capacity(22);
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        push_crypt64(&mut text, [digest[a], digest[b], digest[c]], 4);
    }
    push_crypt64(&mut text, [0, 0, digest[11]], 2);
    text
}
