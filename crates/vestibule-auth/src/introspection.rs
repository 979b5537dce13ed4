//! Tokens that another server knows.
//!
//! Source: RFC 7662 (token introspection), section 2.1 (request), 2.2 (response) and 4 (caching); RFC 6749,
//! section 2.3.1 (credentials of the client).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderValue, Method, StatusCode, Uri};
use vestibule_core::{App, Body, BoxApp, BoxError, Request};
use vestibule_fields::www_authenticate::Challenge;

use crate::basic::strip_authorization;
use crate::bearer::{self, NAME};
use crate::cache::Cache;
use crate::jwt::{Claims, JwtError};
use crate::waiting::Waiting;
use crate::{Identity, Reason, Refusal, Scheme, Verdict};

/// Bearer tokens that are checked by the server that issued them, at its introspection endpoint. For
/// tokens that are not JSON Web Tokens, and for those that can be withdrawn at any time.
///
/// An answer is remembered for a minute at most, never longer than its `exp`, under a keyed hash of the
/// token: a withdrawn token can be good for that time. A token that is not active is 401 with
/// `invalid_token`, and is not remembered. When the server cannot be asked, or refuses our own
/// credentials, the answer is 503 with `Retry-After`. A question takes ten seconds at most, and no more
/// than 64 are open at once; the rest is 503.
///
/// The subject is `sub`, else `username`, else `client_id`; scopes are those of `scope`, groups those
/// of `groups`. `exp` and `nbf` are checked where they are given, with a minute's leeway; `iss` and `aud`
/// where they were set.
///
/// ```
/// use vestibule_auth::{Authenticate, Identity, Introspection};
/// use vestibule_core::{App, Request};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// // An HTTP client, in its place the endpoint itself.
/// let endpoint = |request: Request| async move {
///     let form = request.into_body().collect(1000).await.unwrap();
///     match form.starts_with(b"token=good&") {
///         true => r#"{"active":true,"sub":"alice","scope":"read write"}"#,
///         false => r#"{"active":false}"#,
///     }
/// };
/// let uri = "https://id.example/introspect".parse().unwrap();
/// let scheme = Introspection::new(uri, endpoint).credentials("shop", "client secret");
/// let app = |request: Request| async move { Identity::of(&request).unwrap().scopes().join("+") };
/// let app = Authenticate::new(app, scheme);
///
/// let ask = |value: &'static str| {
///     let mut request = Request::default();
///     request.headers_mut().insert("authorization", value.parse().unwrap());
///     app.call(request)
/// };
/// assert_eq!(ask("Bearer good").await.into_body().as_bytes().unwrap(), "read+write");
/// assert_eq!(ask("Bearer bad").await.status(), 401);
/// # }
/// ```
#[doc(alias("RFC 7662", "opaque token"))]
#[derive(Clone)]
pub struct Introspection {
    uri: Uri,
    client: BoxApp,
    credentials: Option<HeaderValue>,
    claims: Claims,
    cache: Arc<Cache>,
    asking: Arc<Waiting>,
}

impl Introspection {
    /// Asks the endpoint at `uri` by `client`: `Client::secure()` of `vestibule-client` is one, which speaks
    /// no clear text.
    pub fn new(uri: Uri, client: impl App) -> Self {
        Self {
            uri,
            client: client.boxed(),
            credentials: None,
            claims: Claims::of_introspection(),
            cache: Arc::new(Cache::new(REMEMBERED)),
            asking: Arc::new(Waiting::new(MAX_ASKING)),
        }
    }

    /// Sets the id and the secret by which this server is a client of the endpoint, which are sent by
    /// Basic. Defaults to none.
    #[must_use]
    pub fn credentials(mut self, id: &str, secret: &str) -> Self {
        // RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        let pair = format!("{}:{}", form(id), form(secret));
        let text = format!("Basic {}", Base64::encode_string(pair.as_bytes()));
        let mut value = HeaderValue::try_from(text).expect("Base64 is visible ASCII");
        value.set_sensitive(true);
        self.credentials = Some(value);
        self
    }

    /// Sets a token by which this server is a client of the endpoint, instead of an id and a secret.
    ///
    /// ```
    /// # use vestibule_auth::Introspection;
    /// let endpoint = |_: vestibule_core::Request| async { "" };
    /// let scheme = Introspection::new("https://id.example/introspect".parse().unwrap(), endpoint);
    /// assert!(scheme.clone().bearer("mF_9.B5f-4.1JqM").is_ok());
    /// assert!(scheme.bearer("from a file\n").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// When the token has characters that a header cannot hold, such as a newline.
    pub fn bearer(mut self, token: &str) -> Result<Self, InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        self.credentials = Some(value);
        Ok(self)
    }

    /// Sets how long an answer is remembered. Defaults to a minute; zero asks for each request.
    #[must_use]
    pub fn remember(mut self, life: Duration) -> Self {
        self.cache = Arc::new(Cache::new(life));
        self
    }

    /// Requires this `iss`, or one of several with more than one call. Defaults to any, since it is the
    /// endpoint that knows the token.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.claims.issuer(issuer.into());
        self
    }

    /// Requires this in `aud`, or one of several with more than one call. Defaults to any.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.claims.audience(audience.into());
        self
    }

    /// Takes the subject from this member, as [`Jwt::subject_claim`](crate::jwt::Jwt::subject_claim) does.
    #[must_use]
    pub fn subject_claim(mut self, path: impl Into<String>) -> Self {
        self.claims.subject(path.into());
        self
    }

    /// Takes scopes from this member, as [`Jwt::scope_claim`](crate::jwt::Jwt::scope_claim) does.
    #[must_use]
    pub fn scope_claim(mut self, path: impl Into<String>) -> Self {
        self.claims.scope(path.into());
        self
    }

    /// Takes groups from this member, as [`Jwt::group_claim`](crate::jwt::Jwt::group_claim) does.
    #[must_use]
    pub fn group_claim(mut self, path: impl Into<String>) -> Self {
        self.claims.group(path.into());
        self
    }

    /// Requires a value of a member, as [`Jwt::require_claim`](crate::jwt::Jwt::require_claim) does.
    #[must_use]
    pub fn require_claim(mut self, path: impl Into<String>, value: impl Into<String>) -> Self {
        self.claims.require(path.into(), value.into());
        self
    }

    async fn check(&self, token: &str) -> Result<Identity, Refusal> {
        let key = self.cache.key(token, "", b"");
        if let Some(identity) = self.cache.get(&key, Instant::now()) {
            return Ok(identity);
        }
        let Some(_asking) = self.asking.begin() else {
            let why = "too many questions about tokens are open";
            return Err(Refusal::new(NAME, Reason::Busy(RETRY_BUSY), why));
        };
        let asked = tokio::time::timeout(TIMEOUT, self.ask(token)).await;
        let answer = asked.unwrap_or_else(|_| Err("it took too long".into()));
        let text = answer.map_err(|error| {
            Refusal::new(NAME, Reason::Unavailable, "the token cannot be checked").because(error)
        })?;
        let denied = |why| Refusal::new(NAME, Reason::Denied, why);
        let now = unix_now();
        let (named, exp) = match self.claims.read(&text, now) {
            Ok(Some(read)) => read,
            Ok(None) => return Err(denied("the token is not active")),
            Err(error) => return Err(denied("the token is refused").because(error)),
        };
        let identity = Identity::new(named.subject, NAME)
            .with_scopes(named.scopes)
            .with_groups(named.groups);
        let life = exp.map_or(Duration::MAX, |exp| {
            Duration::from_secs(exp.saturating_sub(now))
        });
        self.cache
            .put_for(key, identity.clone(), Instant::now(), life);
        Ok(identity)
    }

    /// The endpoint's answer, which is JSON with an `active`.
    async fn ask(&self, token: &str) -> Result<String, BoxError> {
        let form = format!("token={}&token_type_hint=access_token", form(token));
        let mut request = Request::new(Body::from(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(credentials) = &self.credentials {
            headers.insert(AUTHORIZATION, credentials.clone());
        }
        let response = self.client.call(request).await;
        match response.status() {
            StatusCode::OK => {}
            // It refuses us, and says nothing of the token.
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(format!("the endpoint refuses our credentials with {status}").into());
            }
            status => return Err(format!("the endpoint answers {status}").into()),
        }
        let text = response.into_body().collect(MAX_BYTES).await?;
        let text = String::from_utf8(text.to_vec())?;
        let is_answer = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|answer| {
            answer
                .get("active")
                .is_some_and(serde_json::Value::is_boolean)
        });
        match is_answer {
            true => Ok(text),
            false => Err("the answer of the endpoint is not JSON with an `active`".into()),
        }
    }
}

impl Scheme for Introspection {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn identify(&self, request: &Request) -> Verdict {
        match bearer::token(request) {
            Ok(Some(token)) => match self.check(token).await {
                Ok(identity) => Verdict::Known(identity),
                Err(refusal) => Verdict::Refused(refusal),
            },
            Ok(None) => Verdict::Absent,
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    fn challenges(&self, refusal: Option<&Refusal>, to: &mut Vec<Challenge>) {
        to.push(bearer::challenge(None, refusal));
    }

    fn strip(&self, request: &mut Request) {
        strip_authorization(request, NAME);
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("uri", &self.uri)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// The names in an answer and its `exp`; `None` when the token is not active; or why one that is active
/// is refused all the same.
pub(crate) type Read = Result<Option<(crate::jwt::Named, Option<u64>)>, JwtError>;

/// `application/x-www-form-urlencoded`.
fn form(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

const REMEMBERED: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_BUSY: Duration = Duration::from_secs(1);
const MAX_ASKING: usize = 64;
const MAX_BYTES: u64 = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_keep_every_byte() {
        let cases = [
            ("abc-._*", "abc-._*"),
            ("a b&c=d%", "a+b%26c%3Dd%25"),
            ("+/~:", "%2B%2F%7E%3A"),
            ("\u{e9}", "%C3%A9"),
        ];
        for (text, encoded) in cases {
            assert_eq!(form(text), encoded);
        }
    }
}
