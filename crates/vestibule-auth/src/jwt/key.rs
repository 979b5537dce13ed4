//! Keys, each with the one algorithm that it is for.
//!
//! Source: RFC 7517 (JWK), RFC 7518 section 3 (algorithms) and 6 (key types), RFC 8037 (Ed25519).

use std::error::Error;
use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Sha256, Sha384, Sha512};

use super::token::{Header, JwtError, MAX_TOKEN, Token};
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

    /// The name in a header.
    const fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// A key and its algorithm: a token that names another is not checked with it, so a public key is
/// never taken for a secret. `Debug` prints no key.
///
/// A secret and a private key can also [`sign`](Self::sign) tokens.
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
    /// Whether the key is for its algorithm alone. A JWK without `alg` is for all that fit its kind.
    is_named: bool,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Sha256(Box<Hmac<Sha256>>),
    Sha384(Box<Hmac<Sha384>>),
    Sha512(Box<Hmac<Sha512>>),
    #[cfg(feature = "jwt-ring")]
    Public(super::public::Public),
    #[cfg(feature = "jwt-ring")]
    Private(super::private::Private, super::public::Public),
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
        // Wherever it is: text around the block is part of many files.
        if secret.windows(11).any(|text| text == b"-----BEGIN ") {
            return Err(KeyError::new(
                "a key in PEM is not a secret; `Key::from_pem` reads it",
            ));
        }
        let min = match algorithm {
            Algorithm::HS256 => 32,
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            _ => return Err(KeyError::new("a secret is for HS256, HS384 and HS512")),
        };
        if secret.len() < min {
            return Err(KeyError::new("the secret is shorter than the hash"));
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
            is_named: true,
            material,
        })
    }

    /// A JSON Web Key.
    ///
    /// Without `alg` an RSA key is for RS256, or for the [`algorithms`](super::Jwt::algorithms) that are
    /// accepted; other public keys are for the algorithm of their curve, and a secret needs an `alg`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not for checking signatures (`use`, `key_ops`), or of a kind that is
    /// not known: of public keys without the feature `jwt-ring`, and of P-521 and secp256k1 always.
    pub fn from_jwk(json: &str) -> Result<Self, KeyError> {
        let jwk: Jwk = serde_json::from_str(json).map_err(|_| KeyError::new("it is no JWK"))?;
        Self::from_read(jwk)
    }

    fn from_read(jwk: Jwk) -> Result<Self, KeyError> {
        jwk.check_use()?;
        if !jwk.allows("verify") {
            return Err(KeyError::new(match jwk.allows("sign") {
                true => {
                    "its `key_ops` have no `verify`; `Key::from_private_jwk` reads keys that sign"
                }
                false => "its `key_ops` have no `verify`",
            }));
        }
        Self::from_public_members(&jwk)
    }

    /// Reads a private JSON Web Key (RFC 7517), which has the member `d`, or a secret (`oct`). It signs tokens and
    /// checks them.
    ///
    /// A private RSA key needs `p`, `q`, `dp`, `dq` and `qi` as well. Without `alg` it signs with RS256.
    ///
    /// ```
    /// use vestibule_auth::jwt::Key;
    ///
    /// let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    ///     "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"1"}"#; // RFC 8037, appendix A.1
    /// let key = Key::from_private_jwk(jwk).unwrap();
    /// assert_eq!(key.id(), Some("1"));
    /// assert!(key.sign(&serde_json::json!({ "sub": "alice", "exp": 2_000_000_000 })).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// When it cannot be read, has no private part, is not for signatures (`use`, `key_ops`), is of a kind that is not
    /// known, or its private part does not belong to its public part.
    #[cfg(feature = "jwt-ring")]
    pub fn from_private_jwk(json: &str) -> Result<Self, KeyError> {
        let jwk: Jwk = serde_json::from_str(json).map_err(|_| KeyError::new("it is no JWK"))?;
        jwk.check_use()?;
        if !jwk.allows("sign") {
            return Err(KeyError::new("its `key_ops` have no `sign`"));
        }
        if jwk.d.is_none() && jwk.kty != "oct" {
            return Err(KeyError::new("it is a public key, which signs nothing"));
        }
        let key = Self::from_public_members(&jwk)?;
        let Material::Public(public) = key.material else {
            return Ok(key);
        };
        let private = super::private::Private::from_jwk(key.algorithm, &jwk)?;
        Ok(Self {
            material: Material::Private(private, public),
            ..key
        })
    }

    fn from_public_members(jwk: &Jwk) -> Result<Self, KeyError> {
        let named = match &jwk.alg {
            Some(name) => {
                Some(Algorithm::parse(name).ok_or(KeyError::new("its `alg` is not known"))?)
            }
            None => None,
        };
        let id = jwk.kid.clone();
        let key = match (&*jwk.kty, named) {
            ("oct", Some(algorithm)) => Self::hmac(algorithm, bytes(jwk.k.as_deref())?)?,
            ("oct", None) => return Err(KeyError::new("a secret needs an `alg`")),
            #[cfg(feature = "jwt-ring")]
            _ => {
                let (algorithm, public) = super::public::Public::from_jwk(jwk, named)?;
                Self {
                    id: None,
                    algorithm,
                    is_named: named.is_some(),
                    material: Material::Public(public),
                }
            }
            #[cfg(not(feature = "jwt-ring"))]
            _ => return Err(KeyError::new("public keys need the feature `jwt-ring`")),
        };
        Ok(Self { id, ..key })
    }

    /// Reads a public key in PEM (`-----BEGIN PUBLIC KEY-----`, or `RSA PUBLIC KEY`). Lines around the block
    /// are comments (RFC 7468, section 2).
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Key};
    ///
    /// let pem = "# prod key\n-----BEGIN PUBLIC KEY-----\n\
    ///     MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    /// assert!(Key::from_pem(Algorithm::EdDSA, pem).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not for `algorithm`, or there is more than one key.
    #[cfg(feature = "jwt-ring")]
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        Ok(Self {
            id: None,
            algorithm,
            is_named: true,
            material: Material::Public(super::public::Public::from_pem(algorithm, pem)?),
        })
    }

    /// Reads a private key in PEM: PKCS#8 (`-----BEGIN PRIVATE KEY-----`), PKCS#1 for RSA
    /// (`RSA PRIVATE KEY`), or SEC 1 for elliptic curves (`EC PRIVATE KEY`). It signs tokens and checks them.
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Key};
    ///
    /// let pem = "-----BEGIN PRIVATE KEY-----\n\
    ///     MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    /// let key = Key::from_private_pem(Algorithm::EdDSA, pem).unwrap();
    /// let token = key.sign(&serde_json::json!({ "sub": "alice", "exp": 2_000_000_000 })).unwrap();
    /// assert_eq!(token.split('.').count(), 3);
    /// ```
    ///
    /// # Errors
    ///
    /// When it cannot be read, is encrypted, is not for `algorithm`, or there is more than one key.
    #[cfg(feature = "jwt-ring")]
    pub fn from_private_pem(algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        let private = super::private::Private::from_pem(algorithm, pem)?;
        let public = super::public::Public::from_bytes(algorithm, private.public_bytes())?;
        Ok(Self {
            id: None,
            algorithm,
            is_named: true,
            material: Material::Private(private, public),
        })
    }

    /// Signs a token with these claims, which serialize to a JSON object with an `exp` in whole seconds.
    /// The header has `alg`, `typ` (`JWT`), and `kid` when the key has an [`id`](Self::id).
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use vestibule_auth::jwt::{Algorithm, Jwt, Key};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Claims { sub: String, iss: String, exp: u64 }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap().with_id("2026-07");
    /// let claims = Claims { sub: "alice".into(), iss: "https://id.example".into(), exp: 4_000_000_000 };
    /// let token = key.sign(&claims).unwrap();
    ///
    /// let scheme = Jwt::<Claims>::new(key).issuer("https://id.example");
    /// assert_eq!(scheme.check(&token).await.unwrap().subject(), "alice");
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SignError`] when the key is a public one, and when [`Jwt`](super::Jwt) would refuse the token:
    /// without an `exp`, and longer than 16 KiB.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, SignError> {
        self.sign_as("JWT", claims)
    }

    /// Signs a token of this type (`typ`): `at+jwt` is an access token (RFC 9068), which the reader can tell
    /// from an ID token.
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Key};
    ///
    /// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    /// let token = key.sign_as("at+jwt", &serde_json::json!({ "exp": 4_000_000_000_u64 })).unwrap();
    /// assert!(token.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9."));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`sign`](Self::sign).
    pub fn sign_as(&self, kind: &str, claims: &impl Serialize) -> Result<String, SignError> {
        let claims = serde_json::to_value(claims).map_err(|_| SignError::Claims)?;
        let exp = claims.as_object().ok_or(SignError::Claims)?.get("exp");
        if !exp.is_some_and(serde_json::Value::is_u64) {
            return Err(SignError::NoExpiry);
        }
        let mut header = serde_json::json!({ "alg": self.algorithm.name(), "typ": kind });
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        let text = |json: &serde_json::Value| {
            Base64UrlUnpadded::encode_string(json.to_string().as_bytes())
        };
        let mut token = format!("{}.{}", text(&header), text(&claims));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&Base64UrlUnpadded::encode_string(&signature));
        match token.len() {
            0..=MAX_TOKEN => Ok(token),
            _ => Err(SignError::TooLong),
        }
    }

    fn signature(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        fn sign<M: Mac + Clone>(mac: &M, text: &[u8]) -> Vec<u8> {
            let mut mac = mac.clone();
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
        match &self.material {
            Material::Sha256(mac) => Ok(sign(&**mac, text)),
            Material::Sha384(mac) => Ok(sign(&**mac, text)),
            Material::Sha512(mac) => Ok(sign(&**mac, text)),
            #[cfg(feature = "jwt-ring")]
            Material::Public(_) => Err(SignError::PublicKey),
            #[cfg(feature = "jwt-ring")]
            Material::Private(key, _) => key.sign(self.algorithm, text).ok_or(SignError::Random),
        }
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

    /// Whether a token of this algorithm is checked with the key. `accepted` is for keys that name none.
    fn is_for(&self, algorithm: Algorithm, accepted: Option<&[Algorithm]>) -> bool {
        match accepted {
            _ if self.is_named => self.algorithm == algorithm,
            None => self.algorithm == algorithm,
            // The caller has looked whether it is accepted; the kind of key bounds it.
            Some(_) => match &self.material {
                #[cfg(feature = "jwt-ring")]
                Material::Public(key) | Material::Private(_, key) => {
                    key.is_for(algorithm, self.algorithm)
                }
                _ => self.algorithm == algorithm,
            },
        }
    }

    fn has_signed(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
        fn check<M: Mac + Clone>(mac: &M, text: &[u8], signature: &[u8]) -> bool {
            let mut mac = mac.clone();
            mac.update(text);
            is_same(&mac.finalize().into_bytes(), signature)
        }
        match &self.material {
            // Each secret has one hash, and is asked for its own algorithm alone.
            Material::Sha256(mac) => algorithm == self.algorithm && check(&**mac, text, signature),
            Material::Sha384(mac) => algorithm == self.algorithm && check(&**mac, text, signature),
            Material::Sha512(mac) => algorithm == self.algorithm && check(&**mac, text, signature),
            #[cfg(feature = "jwt-ring")]
            Material::Public(key) | Material::Private(_, key) => {
                key.has_signed(algorithm, text, signature)
            }
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
        let set: Set =
            serde_json::from_slice(json).map_err(|_| KeyError::new("it is no JWK set"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeyError::new("it has more than 64 keys"));
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
        self.check(&token, &token.header()?, None)?;
        Ok(token.into_payload())
    }

    /// Checks the signature by the keys of the token's own id, or that have none. `accepted` are the
    /// algorithms that were set; without them a key is for its own one.
    pub(super) fn check(
        &self,
        token: &Token<'_>,
        header: &Header<'_>,
        accepted: Option<&[Algorithm]>,
    ) -> Result<(), JwtError> {
        let algorithm = header.algorithm;
        if accepted.is_some_and(|all| !all.contains(&algorithm)) {
            return Err(JwtError::Algorithm);
        }
        let mut meant = self.0.iter().filter(|key| {
            let is_named = match (&header.key_id, &key.id) {
                (Some(wanted), Some(id)) => **wanted == **id,
                _ => true,
            };
            is_named && key.is_for(algorithm, accepted)
        });
        let mut is_any = false;
        let has_signed = meant.any(|key| {
            is_any = true;
            key.has_signed(algorithm, token.signed.as_bytes(), token.signature())
        });
        match (has_signed, is_any) {
            (true, _) => Ok(()),
            (false, true) => Err(JwtError::Signature),
            (false, false) => Err(JwtError::NoKey),
        }
    }
}

#[cfg(feature = "jwt-ring")]
impl Keys {
    /// Returns the public halves of the private keys as a JWK set, to be served where clients look for
    /// it. Secrets are left out.
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Key, Keys};
    ///
    /// let pem = "-----BEGIN PRIVATE KEY-----\n\
    ///     MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    /// let key = Key::from_private_pem(Algorithm::EdDSA, pem).unwrap().with_id("1");
    /// let token = key.sign(&serde_json::json!({ "exp": 1 })).unwrap();
    ///
    /// let set = Keys::from(key).public_jwks();
    /// assert!(!set.contains("\"d\""));
    /// assert!(Keys::from_jwks(set.as_bytes()).unwrap().verify(&token).is_ok());
    /// ```
    #[must_use]
    pub fn public_jwks(&self) -> String {
        let public = |key: &Key| {
            let Material::Private(private, _) = &key.material else {
                return None;
            };
            let mut jwk = serde_json::json!({ "use": "sig", "alg": key.algorithm.name() });
            if let Some(id) = &key.id {
                jwk["kid"] = id.as_str().into();
            }
            for (name, value) in private.jwk_members() {
                jwk[name] = value.into();
            }
            Some(jwk)
        };
        let keys: Vec<serde_json::Value> = self.0.iter().filter_map(public).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }
}

impl From<Key> for Keys {
    fn from(key: Key) -> Self {
        Self(vec![key])
    }
}

/// The members of a JWK that are read. The private ones are for [`Key::from_private_jwk`] alone.
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
    #[cfg(feature = "jwt-ring")]
    pub(super) d: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) p: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) q: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) dp: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) dq: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) qi: Option<String>,
    #[cfg(feature = "jwt-ring")]
    pub(super) oth: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    fn check_use(&self) -> Result<(), KeyError> {
        match self.r#use.as_deref() {
            None | Some("sig") => Ok(()),
            Some(_) => Err(KeyError::new("its `use` is not `sig`")),
        }
    }

    /// Whether `key_ops` have this operation, or are absent (RFC 7517, section 4.3).
    fn allows(&self, operation: &str) -> bool {
        let has = |all: &Vec<String>| all.iter().any(|it| it == operation);
        self.key_ops.as_ref().is_none_or(has)
    }
}

pub(super) fn bytes(member: Option<&str>) -> Result<Vec<u8>, KeyError> {
    let text = member.ok_or(KeyError::new("it lacks a member"))?;
    Base64UrlUnpadded::decode_vec(text).map_err(|_| KeyError::new("a member is no base64url"))
}

/// Why a key cannot be used. It holds nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError {
    pub(super) why: &'static str,
    /// The line of a PEM file, from 1.
    line: Option<usize>,
}

impl KeyError {
    pub(super) const fn new(why: &'static str) -> Self {
        Self { why, line: None }
    }

    /// A fault in a line of a PEM file.
    #[cfg(feature = "jwt-ring")]
    pub(super) const fn at(line: Option<usize>, why: &'static str) -> Self {
        Self { why, line }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key cannot be used: ")?;
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(self.why)
    }
}

impl Error for KeyError {}

/// Why a token cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// The key is a public key.
    PublicKey,
    /// The claims do not serialize to a JSON object.
    Claims,
    /// The claims have no `exp` in whole seconds.
    NoExpiry,
    /// The token would be longer than 16 KiB.
    TooLong,
    /// The system has no random numbers.
    Random,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicKey => {
                "a public key signs nothing; `Key::from_private_pem` and `Key::from_private_jwk` read keys that do"
            }
            Self::Claims => "the claims are not a JSON object",
            Self::NoExpiry => "the claims have no `exp` in whole seconds",
            Self::TooLong => "the token would be longer than 16 KiB",
            Self::Random => "the system has no random numbers",
        })
    }
}

impl Error for SignError {}

const MAX_KEYS: usize = 64;
