//! `$argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash`: argon2.
//!
//! Source: RFC 9106, and the PHC string format.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64Unpadded, Encoding};

use super::HashError;
use crate::secret::{is_same, random};

#[derive(Clone)]
pub(super) struct Argon {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Argon {
    pub(super) fn parse(text: &str) -> Result<Option<Self>, HashError> {
        let Some(read) = Read::of(text) else {
            return Ok(None);
        };
        if read.memory > MAX_MEMORY || read.passes > MAX_PASSES || read.lanes > MAX_LANES {
            return Err(HashError::TooCostly);
        }
        Ok(read.argon())
    }

    /// A new hash at the usual cost.
    pub(super) fn make(password: &[u8]) -> Self {
        let mut new = Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params: Params::DEFAULT,
            salt: random::<16>().to_vec(),
            hash: Vec::new(),
        };
        new.hash = new
            .compute(password, 32)
            .expect("the default cost, a salt of 16 bytes and a hash of 32 are allowed");
        new
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        self.compute(password, self.hash.len())
            .is_some_and(|hash| is_same(&hash, &self.hash))
    }

    #[cfg(test)]
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.params.m_cost()) * u64::from(self.params.t_cost())
    }

    fn compute(&self, password: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut hash = vec![0; length];
        Argon2::new(self.algorithm, self.version, self.params.clone())
            .hash_password_into(password, &self.salt, &mut hash)
            .ok()?;
        Some(hash)
    }
}

impl fmt::Display for Argon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "${}$v={}$m={},t={},p={}${}${}",
            self.algorithm.as_str(),
            u32::from(self.version),
            self.params.m_cost(),
            self.params.t_cost(),
            self.params.p_cost(),
            Base64Unpadded::encode_string(&self.salt),
            Base64Unpadded::encode_string(&self.hash),
        )
    }
}

/// The parts of the text.
struct Read<'a> {
    algorithm: Algorithm,
    version: Version,
    memory: u32,
    passes: u32,
    lanes: u32,
    salt: &'a str,
    hash: &'a str,
}

impl<'a> Read<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix('$')?.split('$');
        let algorithm = match parts.next()? {
            "argon2id" => Algorithm::Argon2id,
            "argon2i" => Algorithm::Argon2i,
            "argon2d" => Algorithm::Argon2d,
            _ => return None,
        };
        let mut next = parts.next()?;
        // The first version did not say that it was.
        let version = match next {
            "v=19" => Version::V0x13,
            "v=16" => Version::V0x10,
            _ if next.starts_with("m=") => Version::V0x10,
            _ => return None,
        };
        if next.starts_with("v=") {
            next = parts.next()?;
        }
        let mut costs = next.split(',');
        let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let (memory, passes, lanes) = (cost("m=")?, cost("t=")?, cost("p=")?);
        let read = Self {
            algorithm,
            version,
            memory,
            passes,
            lanes,
            salt: parts.next()?,
            hash: parts.next()?,
        };
        (costs.next().is_none() && parts.next().is_none()).then_some(read)
    }

    fn argon(&self) -> Option<Argon> {
        let salt = Base64Unpadded::decode_vec(self.salt).ok()?;
        let hash = Base64Unpadded::decode_vec(self.hash).ok()?;
        let params = Params::new(self.memory, self.passes, self.lanes, Some(hash.len())).ok()?;
        // A short hash is one that can be guessed.
        (salt.len() >= 8 && hash.len() >= 16).then_some(Argon {
            algorithm: self.algorithm,
            version: self.version,
            params,
            salt,
            hash,
        })
    }
}

/// KiB: a gigabyte.
const MAX_MEMORY: u32 = 1 << 20;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 64;
