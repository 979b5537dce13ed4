//! A set of keys that lives elsewhere.
//!
//! Source: RFC 7517 section 5; RFC 9111 section 5.2.2.1 (`max-age`); OpenID Connect Discovery 1.0 section 4
//! and RFC 8414 section 3 (discovery from the issuer).

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{StatusCode, Uri};
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use vestibule_core::{App, BoxApp, BoxError, Request, Response};
use vestibule_fields::cache_control::CacheControl;

use super::key::Keys;

/// A JWK set at a URL, or in a file, fetched when a token needs it.
///
/// It is fresh as long as its `Cache-Control` says, between a minute and a day, five minutes when it
/// says nothing. A token with an unknown `kid` asks for it anew, at most once in 30 seconds whoever
/// asks. One fetch runs at a time, for at most ten seconds, and goes on when its client leaves;
/// while it runs, and when it fails, the old keys count, for a day more: who keeps us from the source
/// shall not keep a key alive that was withdrawn. It needs a tokio runtime with time.
///
/// When there are no keys, and when the last fetch failed and a token has a `kid` that is not known,
/// nothing can be said of the token: the answer is 503 with `Retry-After`, and not `invalid_token`, for
/// which clients throw their tokens away (RFC 6750, section 3.1).
///
/// What fetches is an [`App`]: it gets a `GET` for the URL and answers with the set. `Client::secure()`
/// of `vestibule-client` is one, which follows no redirection and speaks no clear text: whoever can
/// change the keys on their way lets in whom he likes.
///
/// ```
/// # fn example() -> Result<(), vestibule_core::BoxError> {
/// use vestibule_auth::jwt::Jwks;
/// use vestibule_client::Client;
///
/// let uri = "https://id.example/.well-known/jwks.json".parse()?;
/// let keys = Jwks::url(uri, Client::secure()?);
/// # let _ = keys; Ok(())
/// # }
/// ```
#[doc(alias("jwk", "json web key", "oidc", "openid connect"))]
#[derive(Clone)]
pub struct Jwks(Arc<Inner>);

struct Inner {
    source: Source,
    client: BoxApp,
    known: RwLock<Known>,
    fetching: Arc<Mutex<()>>,
}

/// Where the set is.
enum Source {
    At(Uri),
    OfIssuer(Issuer),
}

struct Issuer {
    name: String,
    /// The URLs of its metadata, which are tried in order.
    metadata: Vec<Uri>,
}

struct Known {
    keys: Arc<Keys>,
    stale_at: Instant,
    tried: Option<Instant>,
    /// Whether the last fetch failed.
    has_failed: bool,
}

impl Jwks {
    /// The set at `uri`, fetched by `client`.
    #[must_use]
    pub fn url(uri: Uri, client: impl App) -> Self {
        Self::of(Source::At(uri), client)
    }

    /// The set of an OpenID Connect or OAuth 2.0 issuer, found by its metadata: at
    /// `/.well-known/openid-configuration` below the issuer, or else where RFC 8414 says
    /// (`/.well-known/oauth-authorization-server` before the issuer's path).
    ///
    /// The metadata has to name this issuer, character by character, or it is not used: a final slash
    /// counts. [`Jwt::with_issuer`](super::Jwt::with_issuer) compares `iss` in the same way.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_auth::jwt::{Algorithm, Jwks, Jwt, Key};
    /// use vestibule_core::Request;
    ///
    /// // A client, in its place an identity provider.
    /// let provider = |request: Request| async move {
    ///     match request.uri().path() {
    ///         "/.well-known/openid-configuration" => {
    ///             r#"{"issuer":"https://id.example","jwks_uri":"https://id.example/keys"}"#
    ///         }
    ///         _ => r#"{"keys":[{"kty":"oct","alg":"HS256","k":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"}]}"#,
    ///     }
    /// };
    /// let keys = Jwks::issuer("https://id.example", provider).unwrap();
    ///
    /// let scheme = Jwt::<serde::de::IgnoredAny>::with_jwks(keys);
    /// let key = Key::hmac(Algorithm::HS256, [7; 32]).unwrap();
    /// let token = key.sign(&serde_json::json!({ "sub": "alice", "exp": 4_000_000_000_u64 })).unwrap();
    /// assert_eq!(scheme.check(&token).await.unwrap().subject(), "alice");
    ///
    /// assert!(Jwks::issuer("id.example", |_: Request| async { "" }).is_err());
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When `issuer` is not a URL of `https` or `http` without query and fragment.
    pub fn issuer(issuer: impl Into<String>, client: impl App) -> Result<Self, IssuerError> {
        let issuer = Issuer::new(issuer.into())?;
        Ok(Self::of(Source::OfIssuer(issuer), client))
    }

    fn of(source: Source, client: impl App) -> Self {
        let now = Instant::now();
        Self(Arc::new(Inner {
            source,
            client: client.boxed(),
            known: RwLock::new(Known {
                keys: Arc::default(),
                stale_at: now,
                tried: None,
                has_failed: false,
            }),
            fetching: Arc::default(),
        }))
    }

    /// The set in a file, read again each minute, and for keys that it had not.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path: Arc<PathBuf> = Arc::new(path.into());
        let client = move |_: Request| {
            let path = path.clone();
            async move {
                // On the blocking pool: disks hang.
                let read = move || std::fs::read(&*path);
                let text = tokio::task::spawn_blocking(read).await??;
                Ok::<_, vestibule_core::Failure>(([("cache-control", "max-age=60")], text))
            }
        };
        Self::url(Uri::from_static("/"), client)
    }

    /// The keys as they are known, after a fetch where one is due; `None` when nothing can be said of a
    /// token with this `kid`.
    pub(super) async fn keys(&self, key_id: Option<&str>) -> Option<Arc<Keys>> {
        let keys = self.current(key_id).await;
        let is_known = key_id.is_none_or(|id| keys.has_id(id));
        let has_failed = || self.0.known().has_failed;
        (!keys.is_empty() && (is_known || !has_failed())).then_some(keys)
    }

    async fn current(&self, key_id: Option<&str>) -> Arc<Keys> {
        let (keys, due) = self.0.look(key_id);
        if matches!(due, Due::No) {
            return keys;
        }
        match (self.0.fetching.clone().try_lock_owned(), due) {
            (Ok(turn), Due::Now) => self.refresh(turn, key_id).await,
            // Who finds a fetch under way goes on with the old keys, if one of them may do.
            (Err(_), _) if !keys.is_empty() && key_id.is_none_or(|id| keys.has_id(id)) => keys,
            (Err(_), _) => {
                let turn = self.0.fetching.clone().lock_owned().await;
                match self.0.look(key_id) {
                    (_, Due::Now) => self.refresh(turn, key_id).await,
                    (keys, _) => keys,
                }
            }
            (Ok(_), _) => keys,
        }
    }

    async fn refresh(&self, turn: OwnedMutexGuard<()>, key_id: Option<&str>) -> Arc<Keys> {
        self.0.write().tried = Some(Instant::now());
        let inner = self.0.clone();
        // A task of its own: a client that leaves does not stop what others wait for.
        let fetch = tokio::spawn(async move {
            inner.fetch().await;
            drop(turn);
        });
        if let Err(error) = fetch.await {
            self.0.write().has_failed = true;
            tracing::error!(source = %self.0.source, "the keys could not be fetched: {error}");
        }
        self.0.look(key_id).0
    }
}

#[derive(Clone, Copy)]
enum Due {
    No,
    Now,
    /// It would be, were the last one longer ago.
    Later,
}

impl Inner {
    /// What is known, and whether it should be fetched now for a token with this `kid`.
    fn look(&self, key_id: Option<&str>) -> (Arc<Keys>, Due) {
        let known = self.known();
        let now = Instant::now();
        let is_wanted = now >= known.stale_at || key_id.is_some_and(|id| !known.keys.has_id(id));
        let is_allowed = known.tried.is_none_or(|tried| now >= tried + BETWEEN);
        let due = match (is_wanted, is_allowed) {
            (false, _) => Due::No,
            (true, true) => Due::Now,
            (true, false) => Due::Later,
        };
        let keys = match now < known.stale_at + MAX_STALE {
            true => known.keys.clone(),
            false => Arc::default(),
        };
        (keys, due)
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) {
        let asked = tokio::time::timeout(TIMEOUT, self.ask()).await;
        match asked.unwrap_or_else(|_| Err("it took too long".into())) {
            Ok((keys, life)) => {
                let mut known = self.write();
                known.keys = Arc::new(keys);
                known.stale_at = Instant::now() + life;
                known.has_failed = false;
            }
            Err(error) => {
                self.write().has_failed = true;
                let (keys, _) = self.look(None);
                let meanwhile = match keys.is_empty() {
                    true => "there are none, so tokens get a 503",
                    false => "the old ones still count",
                };
                tracing::error!(source = %self.source, "the keys could not be fetched, {meanwhile}: {error}");
            }
        }
    }

    async fn ask(&self) -> Result<(Keys, Duration), BoxError> {
        let uri = match &self.source {
            Source::At(uri) => uri.clone(),
            Source::OfIssuer(issuer) => issuer.discover(&self.client).await?,
        };
        let response = get(&self.client, uri).await;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status()).into());
        }
        let told = CacheControl::from_headers(response.headers());
        let life = told.max_age.unwrap_or(LIFE);
        let text = response.into_body().collect(MAX_BYTES).await?;
        let keys = Keys::from_jwks(&text)?;
        if keys.is_empty() {
            return Err("it has no key that can be used".into());
        }
        Ok((keys, life.clamp(MIN_LIFE, MAX_LIFE)))
    }
}

async fn get(client: &BoxApp, uri: Uri) -> Response {
    let mut request = Request::default();
    *request.uri_mut() = uri;
    client.call(request).await
}

impl Issuer {
    fn new(name: String) -> Result<Self, IssuerError> {
        let uri: Uri = name.parse().map_err(|_| IssuerError::Url)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(IssuerError::Url);
        };
        if !matches!(scheme, "https" | "http") {
            return Err(IssuerError::Scheme);
        }
        if uri.query().is_some() || name.contains(['?', '#', '@']) {
            return Err(IssuerError::Parts);
        }
        // OpenID Connect Discovery, section 4.1: a final slash is removed before the path is appended.
        let path = uri.path().strip_suffix('/').unwrap_or(uri.path());
        let places = [
            format!("{scheme}://{authority}{path}/.well-known/openid-configuration"),
            format!("{scheme}://{authority}/.well-known/oauth-authorization-server{path}"),
        ];
        let metadata = places.iter().map(|place| place.parse());
        let metadata: Result<Vec<Uri>, _> = metadata.collect();
        Ok(Self {
            name,
            metadata: metadata.map_err(|_| IssuerError::Url)?,
        })
    }

    /// Where the key set is, by the metadata of the issuer.
    async fn discover(&self, client: &BoxApp) -> Result<Uri, BoxError> {
        let mut why: BoxError = "there is no metadata".into();
        for uri in &self.metadata {
            let response = get(client, uri.clone()).await;
            if response.status() == StatusCode::OK {
                let text = response.into_body().collect(MAX_BYTES).await?;
                return self.key_set(&text);
            }
            why = format!("the answer of {uri} is {}", response.status()).into();
        }
        Err(why)
    }

    fn key_set(&self, metadata: &[u8]) -> Result<Uri, BoxError> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        let metadata: Metadata = serde_json::from_slice(metadata)
            .map_err(|error| format!("the metadata of the issuer cannot be read: {error}"))?;
        if metadata.issuer != self.name {
            return Err(
                "the metadata is of another issuer; the names have to be the same, \
                        also in a final slash"
                    .into(),
            );
        }
        let uri: Uri = metadata.jwks_uri.parse()?;
        let is_secure = uri.scheme_str() == Some("https");
        if !is_secure && (uri.scheme().is_none() || self.name.starts_with("https:")) {
            return Err("`jwks_uri` is not a URL of https, as the issuer is".into());
        }
        Ok(uri)
    }
}

/// Why a name is not that of an issuer (RFC 8414, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerError {
    /// It is not an absolute URL.
    Url,
    /// Its scheme is neither `https` nor `http`.
    Scheme,
    /// It has a query, a fragment or user information.
    Parts,
}

impl fmt::Display for IssuerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "the issuer is not an absolute URL, as `https://id.example`",
            Self::Scheme => "the issuer is not a URL of https or http",
            Self::Parts => "an issuer has no query, no fragment and no user information",
        })
    }
}

impl Error for IssuerError {}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(uri) => uri.fmt(f),
            Self::OfIssuer(issuer) => issuer.name.fmt(f),
        }
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jwks")
            .field(&format_args!("{}", self.0.source))
            .finish()
    }
}

const LIFE: Duration = Duration::from_secs(300);
const MIN_LIFE: Duration = Duration::from_secs(60);
const MAX_LIFE: Duration = Duration::from_secs(86_400);
const MAX_STALE: Duration = Duration::from_secs(86_400);
const BETWEEN: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BYTES: u64 = 1 << 20;
