//! The library that does the cryptography.

use std::sync::Arc;

#[cfg(feature = "tls-aws-lc-rs")]
use rustls::crypto::aws_lc_rs;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ProducesTickets;

/// Whose cryptography handshakes and records are done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Crypto {
    /// ring: small, and quick to build.
    #[default]
    Ring,
    /// AWS-LC, by the crate aws-lc-rs, for projects that require it. Its C code takes a minute to build.
    #[cfg(feature = "tls-aws-lc-rs")]
    AwsLcRs,
}

impl Crypto {
    pub(super) fn provider(self) -> CryptoProvider {
        match self {
            Self::Ring => ring::default_provider(),
            #[cfg(feature = "tls-aws-lc-rs")]
            Self::AwsLcRs => aws_lc_rs::default_provider(),
        }
    }

    /// The keys that session tickets are sealed with.
    pub(super) fn tickets(self) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        match self {
            Self::Ring => ring::Ticketer::new(),
            #[cfg(feature = "tls-aws-lc-rs")]
            Self::AwsLcRs => aws_lc_rs::Ticketer::new(),
        }
    }
}

/// The SHA-256 of `bytes`, by the library that is here for TLS.
pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13();
    let suite = suite.expect("the suite is one of TLS 1.3");
    suite.common.hash_provider.hash(bytes).as_ref().to_vec()
}
