//! Signatures by private keys, made by ring.
//!
//! Source: RFC 7518, section 3.3 to 3.5, 6.2.2 and 6.3.2 (members of private JWKs); RFC 8037; RFC 5958 (PKCS#8);
//! RFC 5915 (`EC PRIVATE KEY`).

use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};

use super::key::{Algorithm, Jwk, KeyError, bytes};
use super::pem;
use super::public::{OID_P256, OID_P384, without_zeros};
use super::sec1::ec_private_key;

/// A key pair; cheap to clone. `Debug` is nowhere derived, so it is never printed.
#[derive(Clone)]
pub(super) enum Private {
    Rsa(Arc<RsaKeyPair>),
    Ecdsa(Arc<EcdsaKeyPair>),
    Ed25519(Arc<Ed25519KeyPair>),
}

impl Private {
    pub(super) fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let block = pem::key(text)?;
        let is_pkcs8 = match &*block.label {
            "PRIVATE KEY" => true,
            "RSA PRIVATE KEY" => false,
            "EC PRIVATE KEY" => return Self::from_sec1(algorithm, &block.der),
            label if label.ends_with("PUBLIC KEY") => {
                return Err(KeyError::new("it is a public key, which signs nothing"));
            }
            _ => return Err(KeyError::new("it is not a private key")),
        };
        let random = SystemRandom::new();
        let der = &block.der;
        let pair = match (algorithm, is_pkcs8) {
            (Algorithm::ES256, true) => {
                ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            }
            (Algorithm::ES384, true) => {
                ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, der, &random)
            }
            (Algorithm::EdDSA, true) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .ok()
                .map(|pair| Self::Ed25519(Arc::new(pair))),
            _ if padding(algorithm).is_some() => {
                let pair = match is_pkcs8 {
                    true => RsaKeyPair::from_pkcs8(der),
                    false => RsaKeyPair::from_der(der),
                };
                pair.ok().map(|pair| Self::Rsa(Arc::new(pair)))
            }
            _ => None,
        };
        pair.ok_or(OTHER)
    }

    /// Reads the old form of the keys of elliptic curves.
    fn from_sec1(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let key = ec_private_key(der)
            .ok_or(KeyError::new("its `EC PRIVATE KEY` block cannot be read"))?;
        let (oid, length, signing) = match algorithm {
            Algorithm::ES256 => (OID_P256, 32, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => (OID_P384, 48, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            _ => return Err(OTHER),
        };
        if key.curve.is_some_and(|curve| curve != oid) {
            return Err(OTHER);
        }
        let public = key.public.ok_or(KeyError::new(
            "it lacks the public key; `openssl pkcs8 -topk8 -nocrypt -in FILE` adds it",
        ))?;
        ec_pair(signing, length, key.private.to_vec(), public)
    }

    /// Reads the private members of a JWK. `algorithm` is that of the public ones.
    pub(super) fn from_jwk(algorithm: Algorithm, jwk: &Jwk) -> Result<Self, KeyError> {
        let point = || -> Result<Vec<u8>, KeyError> {
            let (x, y) = (bytes(jwk.x.as_deref())?, bytes(jwk.y.as_deref())?);
            Ok([&[4][..], &x, &y].concat())
        };
        let d = bytes(jwk.d.as_deref())?;
        match algorithm {
            Algorithm::ES256 => ec_pair(
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                32,
                d,
                &point()?,
            ),
            Algorithm::ES384 => ec_pair(
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                48,
                d,
                &point()?,
            ),
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(&d, &bytes(jwk.x.as_deref())?);
                let pair = pair.map_err(|_| NOT_A_PAIR)?;
                Ok(Self::Ed25519(Arc::new(pair)))
            }
            _ => rsa_pair(jwk, d),
        }
    }

    /// The public key, as a `Public` has it: a point, or an `RSAPublicKey` in DER.
    pub(super) fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The members of the public JWK that are of its type (RFC 7518, section 6; RFC 8037, section 2).
    pub(super) fn jwk_members(&self) -> Vec<(&'static str, String)> {
        let text = Base64UrlUnpadded::encode_string;
        match self {
            Self::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (public.n, public.e);
                vec![("kty", "RSA".to_owned()), ("n", text(&n)), ("e", text(&e))]
            }
            Self::Ecdsa(pair) => {
                // An uncompressed point: 4, and two coordinates of the same length.
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at((point.len() - 1) / 2);
                let curve = match x.len() {
                    32 => "P-256",
                    _ => "P-384",
                };
                vec![
                    ("kty", "EC".to_owned()),
                    ("crv", curve.to_owned()),
                    ("x", text(x)),
                    ("y", text(y)),
                ]
            }
            Self::Ed25519(pair) => vec![
                ("kty", "OKP".to_owned()),
                ("crv", "Ed25519".to_owned()),
                ("x", text(pair.public_key().as_ref())),
            ],
        }
    }

    /// Signs `text`; `None` when the system has no random numbers.
    pub(super) fn sign(&self, algorithm: Algorithm, text: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding(algorithm)?, &random, text, &mut signature)
                    .ok()?;
                Some(signature)
            }
            Self::Ecdsa(pair) => Some(pair.sign(&random, text).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.sign(text).as_ref().to_vec()),
        }
    }
}

fn ecdsa(
    algorithm: &'static signature::EcdsaSigningAlgorithm,
    der: &[u8],
    random: &SystemRandom,
) -> Option<Private> {
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der, random).ok()?;
    Some(Private::Ecdsa(Arc::new(pair)))
}

/// Makes a pair of a private number and a point, which have to belong together.
fn ec_pair(
    signing: &'static signature::EcdsaSigningAlgorithm,
    length: usize,
    private: Vec<u8>,
    public: &[u8],
) -> Result<Private, KeyError> {
    // Some programs leave out zeros in front of the number, others add one.
    let number = without_zeros(private);
    let zeros = length.checked_sub(number.len()).ok_or(OTHER)?;
    let private = [vec![0; zeros], number].concat();
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, &private, public, &random);
    let pair = pair.map_err(|_| NOT_A_PAIR)?;
    Ok(Private::Ecdsa(Arc::new(pair)))
}

fn rsa_pair(jwk: &Jwk, d: Vec<u8>) -> Result<Private, KeyError> {
    if jwk.oth.is_some() {
        return Err(KeyError::new(
            "an RSA key of more than two primes is not known",
        ));
    }
    let plain = |member: &Option<String>| bytes(member.as_deref()).map(without_zeros);
    let factor = |member: &Option<String>| {
        plain(member).map_err(|_| KeyError::new("it lacks one of `p`, `q`, `dp`, `dq` and `qi`"))
    };
    let components = KeyPairComponents {
        public_key: PublicKeyComponents {
            n: plain(&jwk.n)?,
            e: plain(&jwk.e)?,
        },
        d: without_zeros(d),
        p: factor(&jwk.p)?,
        q: factor(&jwk.q)?,
        dP: factor(&jwk.dp)?,
        dQ: factor(&jwk.dq)?,
        qInv: factor(&jwk.qi)?,
    };
    let pair = RsaKeyPair::from_components(&components).map_err(|_| NOT_A_PAIR)?;
    Ok(Private::Rsa(Arc::new(pair)))
}

const OTHER: KeyError = KeyError::new("it is not a private key for the algorithm");
const NOT_A_PAIR: KeyError =
    KeyError::new("its private part and its public part do not belong together");

fn padding(algorithm: Algorithm) -> Option<&'static dyn signature::RsaEncoding> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_SHA512,
        _ => return None,
    })
}
