//! A set of keys that lives elsewhere.
//!
//! Source: RFC 7517 section 5; RFC 9111 section 5.2.2.1 (`max-age`).

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{StatusCode, Uri};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use vestibule_core::{App, BoxApp, BoxError, Request};
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
    uri: Uri,
    client: BoxApp,
    known: RwLock<Known>,
    fetching: Arc<Mutex<()>>,
}

struct Known {
    keys: Arc<Keys>,
    stale_at: Instant,
    tried: Option<Instant>,
}

impl Jwks {
    /// The set at `uri`, fetched by `client`.
    #[must_use]
    pub fn url(uri: Uri, client: impl App) -> Self {
        let now = Instant::now();
        Self(Arc::new(Inner {
            uri,
            client: client.boxed(),
            known: RwLock::new(Known {
                keys: Arc::default(),
                stale_at: now,
                tried: None,
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

    /// The keys as they are known, after a fetch where one is due.
    pub(super) async fn keys(&self, key_id: Option<&str>) -> Arc<Keys> {
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
            tracing::error!(uri = %self.0.uri, "the keys could not be fetched: {error}");
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
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
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
            }
            Err(error) => {
                tracing::error!(uri = %self.uri, "the keys could not be fetched, the old ones still count: {error}");
            }
        }
    }

    async fn ask(&self) -> Result<(Keys, Duration), BoxError> {
        let mut request = Request::default();
        *request.uri_mut() = self.uri.clone();
        let response = self.client.call(request).await;
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

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jwks").field(&self.0.uri).finish()
    }
}

const LIFE: Duration = Duration::from_secs(300);
const MIN_LIFE: Duration = Duration::from_secs(60);
const MAX_LIFE: Duration = Duration::from_secs(86_400);
const MAX_STALE: Duration = Duration::from_secs(86_400);
const BETWEEN: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BYTES: u64 = 1 << 20;
