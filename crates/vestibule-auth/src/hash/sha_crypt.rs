//! `$5$[rounds=N$]salt$hash` and `$6$...`: SHA-256 and SHA-512, five thousand times unless told otherwise.
//!
//! Source: "Unix crypt using SHA-256 and SHA-512", Ulrich Drepper.

use sha_crypt::Params;

use super::{HashError, is_crypt64, push_crypt64};
use crate::secret::is_same;

#[derive(Clone)]
pub(super) struct ShaCrypt {
    is_512: bool,
    rounds: u32,
    salt: String,
    hash: String,
}

impl ShaCrypt {
    pub(super) fn parse(text: &str) -> Result<Option<Self>, HashError> {
        let is_512 = text.starts_with("$6$");
        let mut rest = &text[3..];
        let mut rounds = Params::RECOMMENDED_ROUNDS;
        if let Some(told) = rest.strip_prefix("rounds=") {
            let Some((number, after)) = told.split_once('$') else {
                return Ok(None);
            };
            let Ok(number) = number.parse::<u32>() else {
                return Ok(None);
            };
            if number > MAX_ROUNDS {
                return Err(HashError::TooCostly);
            }
            rounds = number.max(Params::ROUNDS_MIN);
            rest = after;
        }
        let Some((salt, hash)) = rest.split_once('$') else {
            return Ok(None);
        };
        let length = if is_512 { 86 } else { 43 };
        if hash.len() != length || !is_crypt64(hash) {
            return Ok(None);
        }
        Ok(Some(Self {
            is_512,
            rounds,
            salt: salt.to_owned(),
            hash: hash.to_owned(),
        }))
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let Ok(params) = Params::new(self.rounds) else {
            return false;
        };
        let salt = self.salt.as_bytes();
        let mut text = String::with_capacity(86);
        if self.is_512 {
            let digest = sha_crypt::sha512_crypt(password, salt, params);
            for start in 0..21 {
                // Each group is the last one, one further, and turned by one.
                let group = [start, start + 21, start + 42];
                let at = |index: usize| digest[group[(index + start) % 3]];
                push_crypt64(&mut text, [at(0), at(1), at(2)], 4);
            }
            push_crypt64(&mut text, [0, 0, digest[63]], 2);
        } else {
            let digest = sha_crypt::sha256_crypt(password, salt, params);
            for start in 0..10 {
                let group = [start, start + 10, start + 20];
                let at = |index: usize| digest[group[(index + 2 * start) % 3]];
                push_crypt64(&mut text, [at(0), at(1), at(2)], 4);
            }
            push_crypt64(&mut text, [0, digest[31], digest[30]], 3);
        }
        is_same(text.as_bytes(), self.hash.as_bytes())
    }

    #[cfg(test)]
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.rounds) + u64::from(self.is_512)
    }
}

/// A check of so many takes some ten seconds.
const MAX_ROUNDS: u32 = 10_000_000;
