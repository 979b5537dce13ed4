//! Signatures by public keys, checked by ring.
//!
//! Source: RFC 7518 section 3.3 to 3.5 and 6.2, 6.3; RFC 8037; RFC 5280 section 4.1 (public keys in DER).

use base64ct::{Base64, Encoding};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

use super::key::{Algorithm, Jwk, KeyError, bytes};

#[derive(Clone)]
pub(super) enum Public {
    /// Bytes as ring wants them: a point, or an `RSAPublicKey` in DER.
    Bytes(&'static dyn VerificationAlgorithm, Vec<u8>),
    Rsa(&'static signature::RsaParameters, Vec<u8>, Vec<u8>),
}

impl Public {
    pub(super) fn from_jwk(
        jwk: &Jwk,
        named: Option<Algorithm>,
    ) -> Result<(Algorithm, Self), KeyError> {
        let point = |length: usize| -> Result<Vec<u8>, KeyError> {
            let (x, y) = (bytes(jwk.x.as_deref())?, bytes(jwk.y.as_deref())?);
            match x.len() == length && y.len() == length {
                true => Ok([&[4][..], &x, &y].concat()),
                false => Err(KeyError("a coordinate has another length than its curve")),
            }
        };
        let (algorithm, key) = match (&*jwk.kty, jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => (Algorithm::ES256, point(32)?),
            ("EC", Some("P-384")) => (Algorithm::ES384, point(48)?),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, bytes(jwk.x.as_deref())?),
            ("RSA", _) => {
                let algorithm = named.unwrap_or(Algorithm::RS256);
                let parameters = rsa(algorithm).ok_or(KeyError("its `alg` is not for RSA"))?;
                let plain = |member| bytes(member).map(without_zeros);
                let (n, e) = (plain(jwk.n.as_deref())?, plain(jwk.e.as_deref())?);
                if n.len() < 256 {
                    return Err(KeyError("an RSA key of less than 2048 bits is weak"));
                }
                return Ok((algorithm, Self::Rsa(parameters, n, e)));
            }
            _ => return Err(KeyError("its type or curve is not known")),
        };
        if named.is_some_and(|named| named != algorithm) {
            return Err(KeyError("its `alg` is not for its curve"));
        }
        Ok((algorithm, Self::Bytes(of_curve(algorithm)?, key)))
    }

    pub(super) fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        const BROKEN: KeyError = KeyError("it is no public key in PEM");
        let text = pem
            .trim()
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|text| text.strip_suffix("-----END PUBLIC KEY-----"))
            .ok_or(BROKEN)?;
        let text: String = text.split_ascii_whitespace().collect();
        let der = Base64::decode_vec(&text).map_err(|_| BROKEN)?;
        let (kind, key) = subject_public_key(&der).ok_or(BROKEN)?;
        let is_kind = match algorithm {
            Algorithm::ES256 => kind == OID_P256,
            Algorithm::ES384 => kind == OID_P384,
            Algorithm::EdDSA => kind == OID_ED25519,
            _ => kind == OID_RSA,
        };
        if !is_kind {
            return Err(KeyError("it is not for the algorithm"));
        }
        let by_ring: &'static dyn VerificationAlgorithm = match rsa(algorithm) {
            Some(parameters) => parameters,
            None => of_curve(algorithm)?,
        };
        Ok(Self::Bytes(by_ring, key.to_vec()))
    }

    pub(super) fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            Self::Bytes(algorithm, key) => {
                UnparsedPublicKey::new(*algorithm, key).verify(text, signature)
            }
            Self::Rsa(parameters, n, e) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, text, signature)
            }
        };
        checked.is_ok()
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn of_curve(algorithm: Algorithm) -> Result<&'static dyn VerificationAlgorithm, KeyError> {
    match algorithm {
        Algorithm::ES256 => Ok(&signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Ok(&signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Ok(&signature::ED25519),
        _ => Err(KeyError("a public key is not for HMAC")),
    }
}

fn without_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}

/// The kind of key (the curve, where there is one) and its bytes, of a `SubjectPublicKeyInfo`.
fn subject_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, rest) = value(der, 0x30)?;
    let (algorithm, info) = value(info, 0x30)?;
    let (kind, parameters) = value(algorithm, 0x06)?;
    let kind = match kind == OID_EC {
        true => value(parameters, 0x06)?.0,
        false => kind,
    };
    let (bits, after) = value(info, 0x03)?;
    let key = bits.strip_prefix(&[0])?;
    (rest.is_empty() && after.is_empty()).then_some((kind, key))
}

/// One value in DER, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match *head {
        [own, _] if own != tag => return None,
        [_, length @ ..=0x7f] => (usize::from(length), rest),
        [_, 0x81] => (usize::from(*rest.first()?), &rest[1..]),
        [_, 0x82] => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
