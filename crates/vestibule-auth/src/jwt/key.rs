//! Keys, each with the one algorithm that it is for.
//!
//! Source: RFC 7517 (JWK), RFC 7518 section 3 (algorithms) and 6 (key types), RFC 8037 (Ed25519).

use std::error::Error;
use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::{Sha256, Sha384, Sha512};

use super::token::{Header, JwtError, Token};
use crate::secret::is_same;

/// The algorithms of signatures. `none` is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names of RFC 7518 section 3.1 and RFC 8037 say it all
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// By its name, exactly.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::HS256,
            "HS384" => Self::HS384,
            "HS512" => Self::HS512,
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "EdDSA" | "Ed25519" => Self::EdDSA,
            _ => return None,
        })
    }
}

/// A key and its algorithm: a token that names another is not checked with it, so a public key is
/// never taken for a secret. `Debug` prints no key.
///
/// ```
/// use vestibule_auth::jwt::{Algorithm, Key};
///
/// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap().with_id("2026-07");
/// assert_eq!(key.algorithm(), Algorithm::HS256);
/// assert!(Key::hmac(Algorithm::HS256, "too short").is_err());
/// ```
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Sha256(Box<Hmac<Sha256>>),
    Sha384(Box<Hmac<Sha384>>),
    Sha512(Box<Hmac<Sha512>>),
    #[cfg(feature = "jwt-ring")]
    Public(super::public::Public),
}

impl Key {
    /// A secret that is shared with who signs.
    ///
    /// # Errors
    ///
    /// When the algorithm is not one of HMAC, when the secret is shorter than its hash (RFC 7518
    /// section 3.2), and when it is a public key in PEM, which everyone knows.
    pub fn hmac(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError("a key in PEM is no secret"));
        }
        let min = match algorithm {
            Algorithm::HS256 => 32,
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            _ => return Err(KeyError("a secret is for HS256, HS384 and HS512")),
        };
        if secret.len() < min {
            return Err(KeyError("the secret is shorter than the hash"));
        }
        const ANY: &str = "HMAC takes keys of any length";
        let material = match algorithm {
            Algorithm::HS384 => {
                Material::Sha384(Box::new(Hmac::new_from_slice(secret).expect(ANY)))
            }
            Algorithm::HS512 => {
                Material::Sha512(Box::new(Hmac::new_from_slice(secret).expect(ANY)))
            }
            _ => Material::Sha256(Box::new(Hmac::new_from_slice(secret).expect(ANY))),
        };
        Ok(Self {
            id: None,
            algorithm,
            material,
        })
    }

    /// A JSON Web Key.
    ///
    /// Without `alg` an RSA key is for RS256, others for what their curve is for; a secret has to say it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not for checking signatures (`use`, `key_ops`), or of a kind that is
    /// not known: of public keys without the feature `jwt-ring`, and of P-521 and secp256k1 always.
    pub fn from_jwk(json: &str) -> Result<Self, KeyError> {
        let jwk: Jwk = serde_json::from_str(json).map_err(|_| KeyError("it is no JWK"))?;
        Self::from_read(jwk)
    }

    fn from_read(jwk: Jwk) -> Result<Self, KeyError> {
        if jwk.r#use.as_deref().is_some_and(|it| it != "sig") {
            return Err(KeyError("its `use` is not `sig`"));
        }
        let verifies = |all: &Vec<String>| all.iter().any(|it| it == "verify");
        if jwk.key_ops.as_ref().is_some_and(|it| !verifies(it)) {
            return Err(KeyError("its `key_ops` have no `verify`"));
        }
        let named = match &jwk.alg {
            Some(name) => Some(Algorithm::parse(name).ok_or(KeyError("its `alg` is not known"))?),
            None => None,
        };
        let id = jwk.kid.clone();
        let key = match (&*jwk.kty, named) {
            ("oct", Some(algorithm)) => Self::hmac(algorithm, bytes(jwk.k.as_deref())?)?,
            ("oct", None) => return Err(KeyError("a secret needs an `alg`")),
            #[cfg(feature = "jwt-ring")]
            _ => {
                let (algorithm, public) = super::public::Public::from_jwk(&jwk, named)?;
                Self {
                    id: None,
                    algorithm,
                    material: Material::Public(public),
                }
            }
            #[cfg(not(feature = "jwt-ring"))]
            _ => return Err(KeyError("public keys need the feature `jwt-ring`")),
        };
        Ok(Self { id, ..key })
    }

    /// A public key in PEM (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not one for `algorithm`.
    #[cfg(feature = "jwt-ring")]
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        Ok(Self {
            id: None,
            algorithm,
            material: Material::Public(super::public::Public::from_pem(algorithm, pem)?),
        })
    }

    /// Names the key, for tokens with a `kid`.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The name.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        fn check<M: Mac + Clone>(mac: &M, text: &[u8], signature: &[u8]) -> bool {
            let mut mac = mac.clone();
            mac.update(text);
            is_same(&mac.finalize().into_bytes(), signature)
        }
        match &self.material {
            Material::Sha256(mac) => check(&**mac, text, signature),
            Material::Sha384(mac) => check(&**mac, text, signature),
            Material::Sha512(mac) => check(&**mac, text, signature),
            #[cfg(feature = "jwt-ring")]
            Material::Public(key) => key.has_signed(text, signature),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Keys, of which a token chooses by its `kid` and its `alg`.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// No keys.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a key.
    #[must_use]
    pub fn with(mut self, key: Key) -> Self {
        self.0.push(key);
        self
    }

    /// A JWK set (RFC 7517 section 5). Keys that cannot be used are left out, as it says.
    ///
    /// # Errors
    ///
    /// When it is no JWK set, or has more than 64 keys.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| KeyError("it is no JWK set"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeyError("it has more than 64 keys"));
        }
        let read = |value| Key::from_read(serde_json::from_value::<Jwk>(value).ok()?).ok();
        Ok(Self(set.keys.into_iter().filter_map(read).collect()))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has_id(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id() == Some(id))
    }

    /// Checks the signature of a compact JWS (RFC 7515) and gives its payload; no claim is looked at.
    ///
    /// # Errors
    ///
    /// [`JwtError`] for whatever is wrong with it.
    pub fn verify(&self, token: &str) -> Result<Vec<u8>, JwtError> {
        let token = Token::parse(token)?;
        self.check(&token, &token.header()?)?;
        Ok(token.into_payload())
    }

    /// Keys of the token's own id, or that have none.
    pub(super) fn check(&self, token: &Token<'_>, header: &Header<'_>) -> Result<(), JwtError> {
        let mut meant = self.0.iter().filter(|key| {
            let is_named = match (&header.key_id, &key.id) {
                (Some(wanted), Some(id)) => **wanted == **id,
                _ => true,
            };
            is_named && key.algorithm == header.algorithm
        });
        let mut is_any = false;
        let has_signed = meant.any(|key| {
            is_any = true;
            key.has_signed(token.signed.as_bytes(), token.signature())
        });
        match (has_signed, is_any) {
            (true, _) => Ok(()),
            (false, true) => Err(JwtError::Signature),
            (false, false) => Err(JwtError::NoKey),
        }
    }
}

impl From<Key> for Keys {
    fn from(key: Key) -> Self {
        Self(vec![key])
    }
}

/// The members of a JWK that are read; a private part is never looked at.
#[derive(Deserialize)]
pub(super) struct Jwk {
    pub(super) kty: String,
    alg: Option<String>,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    k: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) crv: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) x: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) y: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) n: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) e: Option<String>,
}

pub(super) fn bytes(member: Option<&str>) -> Result<Vec<u8>, KeyError> {
    let text = member.ok_or(KeyError("it lacks a member"))?;
    Base64UrlUnpadded::decode_vec(text).map_err(|_| KeyError("a member is no base64url"))
}

/// Why a key cannot be used. It holds nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError(pub(super) &'static str);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key cannot be used: {}", self.0)
    }
}

impl Error for KeyError {}

const MAX_KEYS: usize = 64;
