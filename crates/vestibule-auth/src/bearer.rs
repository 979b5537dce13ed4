//! The `Bearer` scheme: a token that is its own proof.
//!
//! Source: RFC 6750; section 2.1 (the field), 3 (the challenge), 3.1 (error codes).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use vestibule_core::{BoxError, Request};
use vestibule_fields::authorization::Authorization;
use vestibule_fields::www_authenticate::Challenge;

use crate::basic::strip_authorization;
use crate::{Identity, Reason, Refusal, Scheme, Tokens, Verdict};

/// Opaque tokens in `Authorization: Bearer`: those of a list, or those that a callback knows.
///
/// Tokens in the query or in a form (RFC 6750 section 2.2 and 2.3) are not read: they end in logs.
/// A wrong token is 401 with `error="invalid_token"`; a field that is no token is
/// `error="invalid_request"`; without a token the challenge has no error, as the RFC says.
///
/// ```
/// use vestibule_auth::{Authenticate, Bearer, Identity, Tokens};
/// use vestibule_core::{App, Request};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let tokens = Tokens::new().with("mF_9.B5f-4.1JqM", Identity::new("ci", "Bearer"));
/// let app = Authenticate::new(|_: Request| async { "in" }, Bearer::new(tokens).realm("example"));
///
/// let ask = |value: &'static str| {
///     let mut request = Request::default();
///     request.headers_mut().insert("authorization", value.parse().unwrap());
///     app.call(request)
/// };
/// assert_eq!(ask("Bearer mF_9.B5f-4.1JqM").await.status(), 200);
/// let refused = ask("Bearer expired").await;
/// assert_eq!(refused.headers()["www-authenticate"], r#"Bearer realm="example", error="invalid_token""#);
/// # }
/// ```
#[doc(alias("bearer token", "opaque token", "RFC 6750"))]
#[derive(Clone, Debug)]
pub struct Bearer {
    realm: Option<Arc<str>>,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Tokens(Arc<Tokens>),
    Callback(Arc<Callback>),
}

type Callback = dyn Fn(String) -> Answer + Send + Sync;
type Answer = Pin<Box<dyn Future<Output = Result<Option<Identity>, BoxError>> + Send>>;

impl Bearer {
    /// The tokens of a list.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        Self::of(Source::Tokens(Arc::new(tokens)))
    }

    /// Whatever tokens `check` knows: it gets the token, and says `None` to refuse. An error is 503.
    /// It compares by a hash of the token, so that its time tells nothing.
    #[must_use]
    pub fn with<F, Fut>(check: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Identity>, BoxError>> + Send + 'static,
    {
        let check = move |token| Box::pin(check(token)) as Answer;
        Self::of(Source::Callback(Arc::new(check)))
    }

    fn of(source: Source) -> Self {
        Self {
            realm: None,
            source,
        }
    }

    /// What is behind it, for the challenge.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<Arc<str>>) -> Self {
        self.realm = Some(realm.into());
        self
    }
}

impl Scheme for Bearer {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn identify(&self, request: &Request) -> Verdict {
        let token = match token(request) {
            Ok(Some(token)) => token,
            Ok(None) => return Verdict::Absent,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let found = match &self.source {
            Source::Tokens(tokens) => Ok(tokens.find(token.as_bytes())),
            Source::Callback(check) => check(token.to_owned()).await,
        };
        match found {
            Ok(Some(identity)) => Verdict::Known(identity),
            Ok(None) => Verdict::Refused(Refusal::new(NAME, Reason::Denied, "the token is wrong")),
            Err(error) => {
                let refusal = Refusal::new(NAME, Reason::Unavailable, "the tokens cannot be asked");
                Verdict::Refused(refusal.because(error))
            }
        }
    }

    fn challenges(&self, refusal: Option<&Refusal>, to: &mut Vec<Challenge>) {
        to.push(challenge(self.realm.as_deref(), refusal));
    }

    fn strip(&self, request: &mut Request) {
        strip_authorization(request, NAME);
    }
}

/// The token of a request; `Ok(None)` when its credentials are of another scheme, or there are none.
pub(crate) fn token(request: &Request) -> Result<Option<&str>, Refusal> {
    let malformed = |why| Refusal::new(NAME, Reason::Invalid, why);
    let credentials = Authorization::from_headers(request.headers())
        .map_err(|_| malformed("the field is repeated, or has no scheme"))?;
    match credentials {
        Some(credentials) if credentials.is(NAME) => {
            let token = credentials
                .token68()
                .ok_or_else(|| malformed("it is no token"))?;
            match token.len() {
                0..=MAX_TOKEN => Ok(Some(token)),
                _ => Err(Refusal::new(NAME, Reason::Denied, "the token is too long")),
            }
        }
        _ => Ok(None),
    }
}

/// A challenge with the error code of a refusal of this scheme.
pub(crate) fn challenge(realm: Option<&str>, refusal: Option<&Refusal>) -> Challenge {
    let mut challenge = Challenge::new(NAME);
    if let Some(realm) = realm {
        challenge = challenge.parameter("realm", realm.to_owned());
    }
    match refusal
        .filter(|it| it.scheme() == NAME)
        .map(Refusal::reason)
    {
        Some(Reason::Invalid) => challenge.parameter("error", "invalid_request"),
        Some(Reason::Denied) => challenge.parameter("error", "invalid_token"),
        _ => challenge,
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens(_) => "tokens",
            Self::Callback(_) => "a callback",
        })
    }
}

pub(crate) const NAME: &str = "Bearer";
/// Bytes of a token; JSON Web Tokens with many claims stay below.
const MAX_TOKEN: usize = 16 << 10;
