//! JSON Web Tokens as bearer tokens.
//!
//! Source: RFC 7519 (claims), RFC 7515 (signatures), RFC 8725 (what went wrong before), RFC 9068 (access tokens).

mod jwks;
mod key;
#[cfg(feature = "jwt-ring")]
mod public;
mod token;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use vestibule_core::Request;
use vestibule_fields::www_authenticate::Challenge;

pub use jwks::Jwks;
pub use key::{Algorithm, Key, KeyError, Keys};
pub use token::JwtError;
use token::{Audience, Registered, Text, Token};

use crate::basic::strip_authorization;
use crate::bearer::{self, NAME};
use crate::{Identity, Reason, Refusal, Scheme, Verdict};

/// Signed tokens in `Authorization: Bearer`, with claims of type `T`.
///
/// `exp` has to be there; `exp`, `nbf` and `iat` are whole seconds, checked with a minute's leeway. An
/// `iss` or `aud` counts only when it was told: a token for someone else is refused. The identity's
/// subject is `sub`, its scopes are the words of `scope`, its groups `groups`, its claims a `T`.
///
/// A token is read strictly: three parts, no padding, no member twice, no `crit`, at most 16 KiB.
/// Its `alg` has to be that of a key; keys that it brings along are not looked at.
///
/// ```
/// use serde::Deserialize;
/// use vestibule_auth::jwt::{Algorithm, Jwt, Key};
/// use vestibule_auth::{Authenticate, Identity};
/// use vestibule_core::{App, Request};
///
/// #[derive(Deserialize)]
/// struct Claims { plan: String }
///
/// async fn plan(request: Request) -> String {
///     Identity::of(&request).unwrap().claims::<Claims>().unwrap().plan.clone()
/// }
///
/// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
/// let scheme = Jwt::<Claims>::new(key).issuer("https://id.example").audience("shop");
/// let app = Authenticate::new(plan, scheme);
/// # let _ = app;
/// ```
#[doc(alias("json web token", "jws", "bearer"))]
pub struct Jwt<T> {
    keys: Source,
    issuer: Expected,
    audience: Expected,
    leeway: Duration,
    now: fn() -> u64,
    claims: PhantomData<fn() -> T>,
}

#[derive(Clone, Debug)]
enum Source {
    Keys(Keys),
    Jwks(Jwks),
}

/// What a claim may be.
#[derive(Clone, Debug)]
enum Expected {
    Absent,
    OneOf(Vec<String>),
    Anything,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Jwt<T> {
    /// Tokens that one of these keys has signed.
    #[must_use]
    pub fn new(keys: impl Into<Keys>) -> Self {
        Self::of(Source::Keys(keys.into()))
    }

    /// Tokens that a key of this set has signed, which is fetched when it is needed.
    #[must_use]
    pub fn with_jwks(jwks: Jwks) -> Self {
        Self::of(Source::Jwks(jwks))
    }

    fn of(keys: Source) -> Self {
        Self {
            keys,
            issuer: Expected::Absent,
            audience: Expected::Absent,
            leeway: LEEWAY,
            now: unix_now,
            claims: PhantomData,
        }
    }

    /// Requires this `iss`, or one of several with more than one call.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer.add(issuer.into());
        self
    }

    /// Requires this in `aud`, or one of several with more than one call.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.add(audience.into());
        self
    }

    /// Takes any `iss`: only for keys of which nobody else has tokens.
    #[must_use]
    pub fn any_issuer(mut self) -> Self {
        self.issuer = Expected::Anything;
        self
    }

    /// Takes any `aud`: a token that was made for another service is good here as well.
    #[must_use]
    pub fn any_audience(mut self) -> Self {
        self.audience = Expected::Anything;
        self
    }

    /// By how much clocks may differ.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Tells the time in seconds since 1970, in place of the system's clock.
    #[must_use]
    pub fn clock(mut self, now: fn() -> u64) -> Self {
        self.now = now;
        self
    }

    /// The identity that a token gives.
    ///
    /// # Errors
    ///
    /// [`JwtError`] for whatever is wrong with it.
    pub async fn check(&self, token: &str) -> Result<Identity, JwtError> {
        let token = Token::parse(token)?;
        let header = token.header()?;
        match &self.keys {
            Source::Keys(keys) => keys.check(&token, &header)?,
            Source::Jwks(jwks) => {
                let keys = jwks.keys(header.key_id.as_deref()).await;
                keys.check(&token, &header)?;
            }
        }
        check_kind(header.kind.as_deref())?;
        let payload = std::str::from_utf8(token.payload()).map_err(|_| JwtError::Claims)?;
        let claims: Registered<'_> = serde_json::from_str(payload).map_err(|_| JwtError::Claims)?;
        check_time(&claims, (self.now)(), self.leeway.as_secs())?;
        let issuer = claims.iss.as_ref().map(std::slice::from_ref);
        if !self.issuer.allows(issuer) {
            return Err(JwtError::Issuer);
        }
        if !self
            .audience
            .allows(claims.aud.as_ref().map(Audience::as_slice))
        {
            return Err(JwtError::Audience);
        }
        let own: T = serde_json::from_str(payload).map_err(|_| JwtError::Claims)?;
        let subject = claims.sub.filter(|it| !it.0.is_empty());
        let subject = subject.ok_or(JwtError::Subject)?.0;
        let scope = claims.scope.map_or(Cow::Borrowed(""), |it| it.0);
        Ok(Identity::new(&*subject, NAME)
            .with_scopes(scope.split_ascii_whitespace())
            .with_groups(claims.groups.unwrap_or_default())
            .with_claims(own))
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Scheme for Jwt<T> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn identify(&self, request: &Request) -> Verdict {
        let token = match bearer::token(request) {
            Ok(Some(token)) => token,
            Ok(None) => return Verdict::Absent,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        match self.check(token).await {
            Ok(identity) => Verdict::Known(identity),
            Err(error) => {
                let refusal = Refusal::new(NAME, Reason::Denied, "the token is refused");
                Verdict::Refused(refusal.because(error))
            }
        }
    }

    fn challenges(&self, refusal: Option<&Refusal>, to: &mut Vec<Challenge>) {
        to.push(bearer::challenge(None, refusal));
    }

    fn strip(&self, request: &mut Request) {
        strip_authorization(request, NAME);
    }
}

impl<T> Clone for Jwt<T> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            leeway: self.leeway,
            now: self.now,
            claims: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Jwt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("keys", &self.keys)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

impl Expected {
    fn add(&mut self, value: String) {
        match self {
            Self::OneOf(all) => all.push(value),
            _ => *self = Self::OneOf(vec![value]),
        }
    }

    fn allows(&self, claimed: Option<&[Text<'_>]>) -> bool {
        match (self, claimed) {
            (Self::Anything, _) | (Self::Absent, None) => true,
            (Self::Absent, Some(_)) | (Self::OneOf(_), None) => false,
            (Self::OneOf(all), Some(claimed)) => claimed
                .iter()
                .any(|it| all.iter().any(|own| **own == *it.0)),
        }
    }
}

/// A token of another type is for something else: an identity, a logout (RFC 8725 section 3.11).
fn check_kind(kind: Option<&str>) -> Result<(), JwtError> {
    let is = |name| kind.is_none_or(|kind| kind.eq_ignore_ascii_case(name));
    match ["JWT", "at+jwt", "application/jwt", "application/at+jwt"]
        .into_iter()
        .any(is)
    {
        true => Ok(()),
        false => Err(JwtError::Kind),
    }
}

fn check_time(claims: &Registered<'_>, now: u64, leeway: u64) -> Result<(), JwtError> {
    let expires = claims.exp.ok_or(JwtError::NoExpiry)?;
    if now >= expires.saturating_add(leeway) {
        return Err(JwtError::Expired);
    }
    let latest = now.saturating_add(leeway);
    match [claims.nbf, claims.iat]
        .into_iter()
        .flatten()
        .all(|it| it <= latest)
    {
        true => Ok(()),
        false => Err(JwtError::NotYet),
    }
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

const LEEWAY: Duration = Duration::from_secs(60);
