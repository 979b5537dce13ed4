//! JSON Web Tokens as bearer tokens.
//!
//! Source: RFC 7519 (claims), RFC 7515 (signatures), RFC 8725 (what went wrong before), RFC 9068 (access tokens).

mod claims;
mod jwks;
mod key;
#[cfg(feature = "jwt-ring")]
mod pem;
#[cfg(feature = "jwt-ring")]
mod private;
#[cfg(feature = "jwt-ring")]
mod public;
#[cfg(feature = "jwt-ring")]
mod sec1;
mod token;

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use serde::de::DeserializeOwned;
use vestibule_core::{App, Request};
use vestibule_fields::www_authenticate::Challenge;

use claims::ClaimNames;
pub(crate) use claims::Named;
pub use jwks::{IssuerError, Jwks};
pub use key::{Algorithm, Key, KeyError, Keys, SignError};
pub use token::JwtError;
use token::{Audience, Registered, Text, Token};

use crate::api_key::{Found, in_cookie, in_header, strip_cookie};
use crate::basic::strip_authorization;
use crate::bearer::{self, NAME};
use crate::{Identity, Reason, Refusal, Scheme, Verdict};

/// Signed tokens in `Authorization: Bearer`, with claims of type `T`.
///
/// `exp` has to be there; `exp`, `nbf` and `iat` are whole seconds, checked with a minute's leeway. An
/// `iss` or `aud` counts only when it was told: a token for someone else is refused. The identity's
/// subject is `sub`, its scopes are those of `scope`, its groups `groups`, its claims a `T`. Identity
/// providers have other names for them:
///
/// | provider | keys | subject | scopes | groups |
/// |---|---|---|---|---|
/// | Keycloak | `with_issuer("https://HOST/realms/REALM")` | `sub`, else `azp` (lightweight tokens) | `scope` | `realm_access.roles`, `resource_access.CLIENT.roles` |
/// | Auth0 | `with_issuer("https://TENANT.auth0.com/")`, with the slash | `sub` | `scope`, `permissions` | a claim that you name |
/// | Entra ID | `with_issuer("https://login.microsoftonline.com/TENANT/v2.0")` | `sub`, `oid` | `scp` | `roles`, `groups` |
/// | Cognito | `with_issuer("https://cognito-idp.REGION.amazonaws.com/POOL")` | `sub` | `scope` | `cognito:groups` |
/// | Okta | `with_issuer("https://HOST/oauth2/default")` | `sub`, `cid` | `scp` | `groups` |
/// | Google | `with_issuer("https://accounts.google.com")` | `sub` | none | none |
/// | GitHub Actions | `with_issuer("https://token.actions.githubusercontent.com")` | `sub` | none | `repository` |
/// | Kubernetes | `with_issuer` of the cluster | `sub` | none | `kubernetes.io.namespace` |
/// | Cloudflare Access | `Jwks::url("https://TEAM.cloudflareaccess.com/cdn-cgi/access/certs")`, `header("cf-access-jwt-assertion")` | `email`, else `common_name` | none | none |
/// | Google IAP | `Jwks::url("https://www.gstatic.com/iap/verify/public_key-jwk")`, `header("x-goog-iap-jwt-assertion")` | `email` | none | none |
/// | IdentityServer | `with_issuer("https://HOST")` | `sub`, else `client_id` | `scope`, an array | `role` |
///
/// A scope or group claim may be a string or an array; another shape is the same as no claim.
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
    algorithms: Option<Vec<Algorithm>>,
    issuer: Expected,
    audience: Expected,
    names: ClaimNames,
    place: Place,
    leeway: Duration,
    now: fn() -> u64,
    claims: PhantomData<fn() -> T>,
}

/// Where a request has its token.
#[derive(Clone, Debug)]
enum Place {
    Authorization,
    Header(HeaderName),
    Cookie(&'static str),
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

    /// Tokens of this issuer: its keys are found by its metadata, with [`Jwks::issuer`], and `iss` has to
    /// be the same, character by character.
    ///
    /// ```
    /// # fn example() -> Result<(), vestibule_core::BoxError> {
    /// use vestibule_auth::jwt::Jwt;
    /// use vestibule_client::Client;
    ///
    /// let scheme = Jwt::<serde::de::IgnoredAny>::with_issuer(
    ///     "https://id.example/realms/shop",
    ///     Client::secure()?,
    /// )?
    /// .audience("shop");
    /// # let _ = scheme; Ok(())
    /// # }
    /// # example().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// When `issuer` is not a URL of `https` or `http` without query and fragment.
    pub fn with_issuer(issuer: impl Into<String>, client: impl App) -> Result<Self, IssuerError> {
        let issuer = issuer.into();
        let jwks = Jwks::issuer(&*issuer, client)?;
        Ok(Self::with_jwks(jwks).issuer(issuer))
    }

    fn of(keys: Source) -> Self {
        Self {
            keys,
            algorithms: None,
            issuer: Expected::Absent,
            audience: Expected::Absent,
            names: ClaimNames::default(),
            place: Place::Authorization,
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

    /// Accepts tokens of these algorithms alone. A key that names its algorithm (`alg`) is for this one; a
    /// key of a JWK set that names none is for all of these that fit its kind. Defaults to the algorithm
    /// of each key, where an RSA key without a name is for RS256.
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Jwt, Key, JwtError};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    /// let token = key.sign(&serde_json::json!({ "sub": "a", "exp": 4_000_000_000_u64 })).unwrap();
    /// let scheme = Jwt::<serde::de::IgnoredAny>::new(key).algorithms([Algorithm::RS256, Algorithm::ES256]);
    /// assert_eq!(scheme.check(&token).await.unwrap_err(), JwtError::Algorithm);
    /// # }
    /// ```
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Takes the subject from this claim: a name, or a path as `act.sub`. With more than one call the
    /// first that the token has. Defaults to `sub`, which RFC 7519 makes optional.
    ///
    /// Choose a claim that its users cannot change: `email` and `preferred_username` often can be.
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Jwt, Key};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    /// let claims = serde_json::json!({
    ///     "azp": "robot", "exp": 4_000_000_000_u64, "scp": ["read", "write"],
    ///     "realm_access": { "roles": ["staff"] },
    /// });
    /// let token = key.sign(&claims).unwrap();
    /// let scheme = Jwt::<serde::de::IgnoredAny>::new(key)
    ///     .subject_claim("sub")
    ///     .subject_claim("azp")
    ///     .scope_claim("scp")
    ///     .group_claim("realm_access.roles");
    /// let identity = scheme.check(&token).await.unwrap();
    /// assert_eq!(identity.subject(), "robot");
    /// assert!(identity.has_scope("write") && identity.is_in("staff"));
    /// # }
    /// ```
    #[must_use]
    pub fn subject_claim(mut self, path: impl Into<String>) -> Self {
        self.names.subject.push(path.into());
        self
    }

    /// Takes scopes from this claim: a string with spaces, or an array. With more than one call from all
    /// of them. Defaults to `scope`. A name with dots is looked for as it is before it is a path.
    #[must_use]
    pub fn scope_claim(mut self, path: impl Into<String>) -> Self {
        self.names.scopes.push(path.into());
        self
    }

    /// Takes groups from this claim: a string, which is one group, or an array. With more than one call
    /// from all of them. Defaults to `groups`. A name with dots is looked for as it is before it is a path.
    #[must_use]
    pub fn group_claim(mut self, path: impl Into<String>) -> Self {
        self.names.groups.push(path.into());
        self
    }

    /// Requires that a claim is, or has among others, this value. With more than one call for a claim one
    /// of the values is enough.
    ///
    /// Some providers have no `aud` in access tokens: for Cognito, require `client_id` and `token_use`.
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Jwt, JwtError, Key};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    /// let claims = serde_json::json!({ "sub": "a", "token_use": "id", "exp": 4_000_000_000_u64 });
    /// let token = key.sign(&claims).unwrap();
    /// let scheme = Jwt::<serde::de::IgnoredAny>::new(key).require_claim("token_use", "access");
    /// assert_eq!(scheme.check(&token).await.unwrap_err(), JwtError::Claim);
    /// # }
    /// ```
    #[must_use]
    pub fn require_claim(mut self, path: impl Into<String>, value: impl Into<String>) -> Self {
        self.names.required.push((path.into(), value.into()));
        self
    }

    /// Reads the token from this header, with or without `Bearer` before it, instead of `Authorization`:
    /// `Cf-Access-Jwt-Assertion` of Cloudflare Access, `x-goog-iap-jwt-assertion` of Google IAP.
    ///
    /// There is no challenge for such a header, so a request without a token is 403.
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Jwt, Key};
    /// use vestibule_auth::Authenticate;
    /// use vestibule_core::{App, Request};
    /// use http::HeaderName;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    /// let token = key.sign(&serde_json::json!({ "sub": "a", "exp": 4_000_000_000_u64 })).unwrap();
    /// let name = HeaderName::from_static("cf-access-jwt-assertion");
    /// let scheme = Jwt::<serde::de::IgnoredAny>::new(key).header(name.clone());
    /// let app = Authenticate::new(|_: Request| async { "in" }, scheme);
    ///
    /// let mut request = Request::default();
    /// request.headers_mut().insert(name, token.parse().unwrap());
    /// assert_eq!(app.call(request).await.status(), 200);
    /// assert_eq!(app.call(Request::default()).await.status(), 403);
    /// # }
    /// ```
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.place = Place::Header(name);
        self
    }

    /// Reads the token from this cookie instead of `Authorization`. Browsers send cookies with requests of
    /// other sites too, so an app that changes something needs a guard against forged requests.
    ///
    /// ```
    /// use vestibule_auth::jwt::{Algorithm, Jwt, Key};
    /// use vestibule_auth::Authenticate;
    /// use vestibule_core::{App, Request};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    /// let token = key.sign(&serde_json::json!({ "sub": "a", "exp": 4_000_000_000_u64 })).unwrap();
    /// let app = Authenticate::new(
    ///     |request: Request| async move { request.headers()["cookie"].to_str().unwrap().to_owned() },
    ///     Jwt::<serde::de::IgnoredAny>::new(key).cookie("CF_Authorization"),
    /// );
    ///
    /// let mut request = Request::default();
    /// let cookies = format!("theme=dark; CF_Authorization={token}");
    /// request.headers_mut().insert("cookie", cookies.parse().unwrap());
    /// // The token is taken off the request, as every credential.
    /// assert_eq!(app.call(request).await.into_body().as_bytes().unwrap(), "theme=dark");
    /// # }
    /// ```
    #[must_use]
    pub fn cookie(mut self, name: &'static str) -> Self {
        self.place = Place::Cookie(name);
        self
    }

    /// The token of a request; `Ok(None)` when there is none.
    fn token<'a>(&self, request: &'a Request) -> Result<Option<&'a str>, Refusal> {
        let found = match &self.place {
            Place::Authorization => return bearer::token(request),
            Place::Header(name) => in_header(request.headers(), name),
            Place::Cookie(name) => in_cookie(request.headers(), name),
        };
        let malformed = |why| Refusal::new(NAME, Reason::Malformed, why);
        match found {
            Found::Nothing | Found::Key(b"") => Ok(None),
            Found::Several => Err(malformed("the token is repeated")),
            Found::Key(token) => {
                let token = std::str::from_utf8(token).map_err(|_| malformed("it is no token"))?;
                Ok(Some(without_scheme(token)))
            }
        }
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
        let accepted = self.algorithms.as_deref();
        match &self.keys {
            Source::Keys(keys) => keys.check(&token, &header, accepted)?,
            Source::Jwks(jwks) => {
                let keys = jwks.keys(header.key_id.as_deref()).await;
                let keys = keys.ok_or(JwtError::Unavailable)?;
                keys.check(&token, &header, accepted)?;
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
        let named = self.names.read(payload, claims)?;
        Ok(Identity::new(named.subject, NAME)
            .with_scopes(named.scopes)
            .with_groups(named.groups)
            .with_claims(own))
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Scheme for Jwt<T> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn identify(&self, request: &Request) -> Verdict {
        let token = match self.token(request) {
            Ok(Some(token)) => token,
            Ok(None) => return Verdict::Absent,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        match self.check(token).await {
            Ok(identity) => Verdict::Known(identity),
            Err(JwtError::Unavailable) => {
                let refusal =
                    Refusal::new(NAME, Reason::Unavailable, "the token cannot be checked");
                Verdict::Refused(refusal.because(JwtError::Unavailable))
            }
            Err(error) => {
                let refusal = Refusal::new(NAME, Reason::Denied, "the token is refused");
                Verdict::Refused(refusal.because(error))
            }
        }
    }

    fn challenges(&self, refusal: Option<&Refusal>, to: &mut Vec<Challenge>) {
        if matches!(self.place, Place::Authorization) {
            to.push(bearer::challenge(None, refusal));
        }
    }

    fn strip(&self, request: &mut Request) {
        match &self.place {
            Place::Authorization => strip_authorization(request, NAME),
            Place::Header(name) => drop(request.headers_mut().remove(name)),
            Place::Cookie(name) => strip_cookie(request, name),
        }
    }
}

impl<T> Clone for Jwt<T> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            algorithms: self.algorithms.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            names: self.names.clone(),
            place: self.place.clone(),
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
            .field("algorithms", &self.algorithms)
            .field("names", &self.names)
            .field("place", &self.place)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

/// The claims in the answer of an introspection endpoint (RFC 7662, section 2.2).
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    names: ClaimNames,
    issuer: Expected,
    audience: Expected,
}

impl Claims {
    pub(crate) fn of_introspection() -> Self {
        Self {
            names: ClaimNames::default(),
            issuer: Expected::Anything,
            audience: Expected::Anything,
        }
    }

    pub(crate) fn issuer(&mut self, issuer: String) {
        self.issuer.add(issuer);
    }

    pub(crate) fn audience(&mut self, audience: String) {
        self.audience.add(audience);
    }

    pub(crate) fn subject(&mut self, path: String) {
        self.names.subject.push(path);
    }

    pub(crate) fn scope(&mut self, path: String) {
        self.names.scopes.push(path);
    }

    pub(crate) fn group(&mut self, path: String) {
        self.names.groups.push(path);
    }

    pub(crate) fn require(&mut self, path: String, value: String) {
        self.names.required.push((path, value));
    }

    /// Reads an answer: its names and its `exp`, or `None` when the token is not active.
    pub(crate) fn read(&self, text: &str, now: u64) -> crate::introspection::Read {
        let broken = |_| JwtError::Claims;
        let answer: serde_json::Value = serde_json::from_str(text).map_err(broken)?;
        if answer.get("active") != Some(&serde_json::Value::Bool(true)) {
            return Ok(None);
        }
        let claims: Registered<'_> = serde_json::from_str(text).map_err(broken)?;
        let exp = claims.exp;
        // It is optional here, since the endpoint has looked.
        let leeway = LEEWAY.as_secs();
        if exp.is_some_and(|exp| now >= exp.saturating_add(leeway)) {
            return Err(JwtError::Expired);
        }
        if claims
            .nbf
            .is_some_and(|nbf| nbf > now.saturating_add(leeway))
        {
            return Err(JwtError::NotYet);
        }
        let issuer = claims.iss.as_ref().map(std::slice::from_ref);
        if !self.issuer.allows(issuer) {
            return Err(JwtError::Issuer);
        }
        let audience = claims.aud.as_ref().map(Audience::as_slice);
        if !self.audience.allows(audience) {
            return Err(JwtError::Audience);
        }
        let mut names = self.names.clone();
        if names.subject.is_empty() {
            names.subject = ["sub", "username", "client_id"].map(str::to_owned).to_vec();
        }
        Ok(Some((names.read(text, claims)?, exp)))
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

/// A token without the name of its scheme, which some gateways copy to other headers with it.
fn without_scheme(text: &str) -> &str {
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(NAME) => token.trim_start(),
        _ => text,
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
