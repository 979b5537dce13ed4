//! Who a TLS client certificate stands for.
//!
//! Source: RFC 8446 section 4.4.2; RFC 7515 section 4.1.8 for the fingerprint: SHA-256 of the certificate in DER.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use vestibule_core::Request;
use vestibule_fields::www_authenticate::Challenge;

use crate::{Identity, Reason, Refusal, Scheme, Verdict};

/// Client certificates by their SHA-256 fingerprints.
///
/// That the client has the key of its certificate, and who signed it, is checked by the adapter that
/// speaks TLS; this says who it is. Where the certificate is found is told by a function, since the
/// adapter keeps it: `TlsInfo::of(request)` with `vestibule-hyper`. A header that a proxy sets is as good
/// as the way to it. There is no challenge: an unknown certificate is 403.
///
/// ```
/// use vestibule_auth::{Authenticate, ClientCertificate, Identity};
/// use vestibule_core::{App, Request};
///
/// /// Stands for what an adapter puts in the extensions.
/// #[derive(Clone)]
/// struct Tls(Vec<u8>);
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let scheme = ClientCertificate::new(|request| request.extensions().get::<Tls>().map(|tls| &*tls.0))
///     // openssl x509 -in robot.pem -noout -fingerprint -sha256
///     .known("BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD", Identity::new("robot", "TLS"));
/// let app = Authenticate::new(|_: Request| async { "in" }, scheme);
///
/// assert_eq!(app.call(Request::default()).await.status(), 403);
/// let mut request = Request::default();
/// request.extensions_mut().insert(Tls(b"abc".to_vec()));
/// assert_eq!(app.call(request).await.status(), 200);
/// # }
/// ```
#[doc(alias("mtls", "x509", "tls"))]
#[derive(Clone)]
pub struct ClientCertificate {
    find: fn(&Request) -> Option<&[u8]>,
    known: Arc<HashMap<[u8; 32], Identity>>,
}

impl ClientCertificate {
    /// `find` gives the client's own certificate in DER.
    #[must_use]
    pub fn new(find: fn(&Request) -> Option<&[u8]>) -> Self {
        Self {
            find,
            known: Arc::default(),
        }
    }

    /// Knows a certificate by its fingerprint: 64 hexadecimal digits, with or without colons.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn known(mut self, fingerprint: &str, identity: Identity) -> Self {
        let bytes = parse(fingerprint).expect("a fingerprint is 64 hexadecimal digits");
        Arc::make_mut(&mut self.known).insert(bytes, identity);
        self
    }
}

impl Scheme for ClientCertificate {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn identify(&self, request: &Request) -> Verdict {
        let Some(certificate) = (self.find)(request) else {
            return Verdict::Absent;
        };
        let fingerprint: [u8; 32] = Sha256::digest(certificate).into();
        match self.known.get(&fingerprint) {
            Some(identity) => Verdict::Known(identity.clone()),
            None => {
                let why = "the certificate is not known";
                Verdict::Refused(Refusal::new(NAME, Reason::Forbidden, why))
            }
        }
    }

    fn challenges(&self, _: Option<&Refusal>, _: &mut Vec<Challenge>) {}
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

fn parse(fingerprint: &str) -> Option<[u8; 32]> {
    let digits = fingerprint.chars().filter(|c| *c != ':');
    let digits: Option<Vec<u32>> = digits.map(|c| c.to_digit(16)).collect();
    let bytes = digits?;
    let bytes: Vec<u8> = bytes
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8))
        .collect();
    let is_whole = fingerprint.chars().filter(|c| *c != ':').count() == 64;
    is_whole.then_some(bytes)?.try_into().ok()
}

const NAME: &str = "TLS";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        let plain = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let abc: [u8; 32] = Sha256::digest(b"abc").into();
        assert_eq!(parse(plain), Some(abc));
        assert_eq!(parse(&plain.to_uppercase()), Some(abc));
        for text in [
            "",
            "ba",
            &plain[1..],
            &format!("{plain}00"),
            &plain.replace('b', "g"),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
