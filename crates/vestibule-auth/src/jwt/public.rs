//! Signatures by public keys, checked by ring.
//!
//! Source: RFC 7518 section 3.3 to 3.5 and 6.2, 6.3; RFC 8037; RFC 5280 section 4.1 (public keys in DER).

use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use vestibule_pem::Der;

use super::key::{Algorithm, Jwk, KeyError, bytes};
use super::pem;

#[derive(Clone)]
pub(super) enum Public {
    /// A point of a curve, with its one algorithm.
    Point(&'static dyn VerificationAlgorithm, Vec<u8>),
    /// An `RSAPublicKey` in DER.
    RsaDer(Vec<u8>),
    /// A modulus and an exponent.
    Rsa(Vec<u8>, Vec<u8>),
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
                false => Err(KeyError::new(
                    "a coordinate has another length than its curve",
                )),
            }
        };
        let (algorithm, key) = match (&*jwk.kty, jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => (Algorithm::ES256, point(32)?),
            ("EC", Some("P-384")) => (Algorithm::ES384, point(48)?),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, bytes(jwk.x.as_deref())?),
            ("RSA", _) => {
                let algorithm = named.unwrap_or(Algorithm::RS256);
                rsa(algorithm).ok_or(KeyError::new("its `alg` is not for RSA"))?;
                let plain = |member| bytes(member).map(without_zeros);
                let (n, e) = (plain(jwk.n.as_deref())?, plain(jwk.e.as_deref())?);
                if n.len() < 256 {
                    return Err(KeyError::new("an RSA key of less than 2048 bits is weak"));
                }
                return Ok((algorithm, Self::Rsa(n, e)));
            }
            _ => return Err(KeyError::new("its type or curve is not known")),
        };
        if named.is_some_and(|named| named != algorithm) {
            return Err(KeyError::new("its `alg` is not for its curve"));
        }
        Ok((algorithm, Self::Point(of_curve(algorithm)?, key)))
    }

    pub(super) fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        const BROKEN: KeyError = KeyError::new("its PEM block is not a public key");
        const OTHER: KeyError = KeyError::new("it is not for the algorithm");
        let block = pem::key(text)?;
        match &*block.label {
            "PUBLIC KEY" => {}
            // PKCS#1, as OpenSSL writes it with `-RSAPublicKey_out`.
            "RSA PUBLIC KEY" if rsa(algorithm).is_some() => return Ok(Self::RsaDer(block.der)),
            "RSA PUBLIC KEY" => return Err(OTHER),
            label if label.ends_with("PRIVATE KEY") => {
                return Err(KeyError::new(
                    "it is a private key; its public key comes from `openssl pkey -pubout -in FILE`",
                ));
            }
            _ => return Err(BROKEN),
        }
        let (kind, key) = subject_public_key(&block.der).ok_or(BROKEN)?;
        let is_kind = match algorithm {
            Algorithm::ES256 => kind == OID_P256,
            Algorithm::ES384 => kind == OID_P384,
            Algorithm::EdDSA => kind == OID_ED25519,
            _ => kind == OID_RSA,
        };
        if !is_kind {
            return Err(OTHER);
        }
        Self::from_bytes(algorithm, key.to_vec())
    }

    /// Bytes as ring wants them: a point, or an `RSAPublicKey` in DER.
    pub(super) fn from_bytes(algorithm: Algorithm, key: Vec<u8>) -> Result<Self, KeyError> {
        Ok(match rsa(algorithm) {
            Some(_) => Self::RsaDer(key),
            None => Self::Point(of_curve(algorithm)?, key),
        })
    }

    /// Whether a signature by `algorithm` can be checked with it: an RSA key is for six, a point for one.
    pub(super) fn is_for(&self, algorithm: Algorithm, own: Algorithm) -> bool {
        match self {
            Self::Point(..) => algorithm == own,
            Self::RsaDer(_) | Self::Rsa(..) => rsa(algorithm).is_some(),
        }
    }

    pub(super) fn has_signed(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
        let checked = match (self, rsa(algorithm)) {
            (Self::Point(algorithm, key), _) => {
                UnparsedPublicKey::new(*algorithm, key).verify(text, signature)
            }
            (Self::RsaDer(key), Some(parameters)) => {
                UnparsedPublicKey::new(parameters, key).verify(text, signature)
            }
            (Self::Rsa(n, e), Some(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, text, signature)
            }
            (_, None) => return false,
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
        _ => Err(KeyError::new("a public key is not for HMAC")),
    }
}

/// An unsigned number without the zeros in front of it.
pub(super) fn without_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}

/// The kind of key (the curve, where there is one) and its bytes, of a `SubjectPublicKeyInfo`.
fn subject_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut outer = Der::new(der);
    let mut info = outer.inside(0x30)?;
    let mut algorithm = info.inside(0x30)?;
    let kind = algorithm.value(0x06)?;
    let kind = match kind == OID_EC {
        true => algorithm.value(0x06)?,
        false => kind,
    };
    let key = info.value(0x03)?.strip_prefix(&[0])?;
    (outer.is_empty() && info.is_empty()).then_some((kind, key))
}

const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
pub(super) const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
