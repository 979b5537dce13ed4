//! Links that are good for a while, for whoever has them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use http::{Method, Uri};
use vestibule_core::{Request, UnknownPrefix};
use vestibule_fields::www_authenticate::Challenge;

use crate::api_key::without_parameter;
use crate::secret::{Keyed, is_same};
use crate::{Identity, Reason, Refusal, Scheme, Verdict};

/// Links with an HMAC-SHA-256 of method, path, query and expiry in their query.
///
/// The parameters are `expires` (seconds since 1970), `prefix` where a link is for all below it, and
/// `signature`, which is the last. Everything before it is signed as it stands, byte for byte: a link
/// that is written in another way is another link. GET is good for HEAD. A prefix ends at a segment.
/// There is no challenge: a link that is not good is 403.
///
/// ```
/// use std::time::Duration;
/// use vestibule_auth::{Authenticate, SignedUrl};
/// use vestibule_core::{App, Request};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let links = SignedUrl::new([7; 32]);
/// let link = links.sign("/video.mp4?size=big", Duration::from_secs(3600));
/// assert!(link.starts_with("/video.mp4?size=big&expires="));
///
/// let app = Authenticate::new(|_: Request| async { "in" }, links);
/// let mut request = Request::default();
/// *request.uri_mut() = link.parse().unwrap();
/// assert_eq!(app.call(request).await.status(), 200);
/// assert_eq!(app.call(Request::default()).await.status(), 403);
/// # }
/// ```
#[doc(alias("presigned url", "signed link", "hmac"))]
#[derive(Clone)]
pub struct SignedUrl {
    keys: Arc<[Keyed]>,
    now: fn() -> u64,
}

impl SignedUrl {
    /// Signs and checks with `key`.
    ///
    /// # Panics
    ///
    /// A key has 32 bytes or more.
    #[must_use]
    pub fn new(key: impl AsRef<[u8]>) -> Self {
        Self {
            keys: [signing_key(key.as_ref())].into(),
            now: unix_now,
        }
    }

    /// Accepts links that were signed with an older key as well.
    ///
    /// # Panics
    ///
    /// As [`SignedUrl::new`].
    #[must_use]
    pub fn or_key(mut self, key: impl AsRef<[u8]>) -> Self {
        let older = signing_key(key.as_ref());
        self.keys = self.keys.iter().cloned().chain([older]).collect();
        self
    }

    /// Tells the time in seconds since 1970, in place of the system's clock.
    #[must_use]
    pub fn clock(mut self, now: fn() -> u64) -> Self {
        self.now = now;
        self
    }

    /// A link to `target`, a path and perhaps a query, that is good for GET for so long.
    #[must_use]
    pub fn sign(&self, target: &str, life: Duration) -> String {
        self.sign_for(&Method::GET, target, life)
    }

    /// As [`SignedUrl::sign`], for another method.
    #[must_use]
    pub fn sign_for(&self, method: &Method, target: &str, life: Duration) -> String {
        let sign = if target.contains('?') { '&' } else { '?' };
        let expires = (self.now)().saturating_add(life.as_secs());
        let text = format!("{target}{sign}expires={expires}");
        let signature = self.keys[0].digest(&[WHOLE, name(method), text.as_bytes()]);
        format!(
            "{text}&signature={}",
            Base64UrlUnpadded::encode_string(&signature)
        )
    }

    /// A query that makes every path at or below `prefix` a good link for so long, when it is added
    /// to it: `expires=..&prefix=..&signature=..`. `prefix` is a raw path.
    #[must_use]
    pub fn sign_prefix(&self, method: &Method, prefix: &str, life: Duration) -> String {
        let expires = (self.now)().saturating_add(life.as_secs());
        let encoded = Base64UrlUnpadded::encode_string(prefix.as_bytes());
        let text = format!("expires={expires}&prefix={encoded}");
        let signature = self.keys[0].digest(&[PREFIX, name(method), text.as_bytes()]);
        format!(
            "{text}&signature={}",
            Base64UrlUnpadded::encode_string(&signature)
        )
    }

    fn check(&self, method: &Method, uri: &Uri) -> Result<(), &'static str> {
        let query = uri.query().unwrap_or_default();
        let (text, signature) = query.rsplit_once("&signature=").ok_or("it is cut")?;
        let mut given = [0; 32];
        let is_whole = Base64UrlUnpadded::decode(signature, &mut given)
            .is_ok_and(|signature| signature.len() == 32);
        if !is_whole {
            return Err("the signature cannot be read");
        }
        let (kind, text, expires) = match text.rsplit_once("&prefix=") {
            // What stands last tells the kind: `sign` ends with the expiry, `sign_prefix` with the prefix.
            Some((before, prefix)) if !prefix.contains('&') => {
                check_prefix(prefix, uri.path())?;
                (PREFIX, Cow::Borrowed(text), before)
            }
            _ => {
                let target = format!("{}?{text}", uri.path());
                let last = text.rsplit('&').next().unwrap_or_default();
                (WHOLE, Cow::Owned(target), last)
            }
        };
        let is_signed = self.keys.iter().any(|key| {
            let right = key.digest(&[kind, name(method), text.as_bytes()]);
            is_same(&right, &given)
        });
        if !is_signed {
            return Err("the signature is wrong");
        }
        let expires = expires.strip_prefix("expires=").map(str::parse::<u64>);
        match expires {
            Some(Ok(expires)) if (self.now)() < expires => Ok(()),
            Some(Ok(_)) => Err("it has expired"),
            _ => Err("it does not say when it expires"),
        }
    }
}

impl Scheme for SignedUrl {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn identify(&self, request: &Request) -> Verdict {
        let query = request.uri().query().unwrap_or_default();
        if !query.split('&').any(|pair| pair.starts_with("signature=")) {
            return Verdict::Absent;
        }
        // The signature is of the whole path.
        if UnknownPrefix::of(request).is_some() {
            let why = "a router may have removed a prefix of the path";
            return Verdict::Refused(Refusal::new(NAME, Reason::Forbidden, why));
        }
        match self.check(request.method(), request.uri()) {
            Ok(()) => Verdict::Known(Identity::new("link", NAME)),
            Err(why) => Verdict::Refused(Refusal::new(NAME, Reason::Forbidden, why)),
        }
    }

    fn challenges(&self, _: Option<&Refusal>, _: &mut Vec<Challenge>) {}

    fn strip(&self, request: &mut Request) {
        *request.uri_mut() = without_parameter(request.uri(), "signature");
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedUrl")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// `path` is at or below the prefix, and can be read in one way only: else `..` would leave it.
fn check_prefix(encoded: &str, path: &str) -> Result<(), &'static str> {
    let prefix = Base64UrlUnpadded::decode_vec(encoded).map_err(|_| "the prefix cannot be read")?;
    let rest = path.as_bytes().strip_prefix(&*prefix);
    let ends_well = |rest: &[u8]| rest.is_empty() || rest[0] == b'/' || prefix.ends_with(b"/");
    let has_slash = |segment: Cow<'_, [u8]>| segment.iter().any(|it| matches!(it, b'/' | b'\\'));
    let is_plain =
        vestibule_core::PathView::parse(path).is_ok_and(|view| !view.segments().any(has_slash));
    match rest.is_some_and(ends_well) && is_plain {
        true => Ok(()),
        false => Err("it is for other paths"),
    }
}

fn signing_key(key: &[u8]) -> Keyed {
    assert!(
        key.len() >= 32,
        "a key for signed URLs has 32 bytes or more"
    );
    Keyed::new(key)
}

fn name(method: &Method) -> &[u8] {
    match *method {
        Method::HEAD => b"GET",
        _ => method.as_str().as_bytes(),
    }
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(u64::MAX, |now| now.as_secs())
}

const NAME: &str = "SignedUrl";
/// What a signature is of is part of it, so that none is good for another kind.
const WHOLE: &[u8] = b"vestibule signed url";
const PREFIX: &[u8] = b"vestibule signed prefix";

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn links() -> SignedUrl {
        SignedUrl::new([7; 32]).clock(|| 1000)
    }

    fn check(links: &SignedUrl, method: &Method, target: &str) -> Result<(), &'static str> {
        links.check(method, &target.parse().unwrap())
    }

    #[test]
    fn every_changed_byte_is_another_link() {
        let links = links();
        for target in [
            "/a",
            "/a?b=c",
            "/%61?x&y=1",
            "/a?prefix=x",
            "/a?expires=1&prefix=x",
            "/a?expires=1&signature=x",
        ] {
            let link = links.sign(target, HOUR);
            assert_eq!(check(&links, &Method::GET, &link), Ok(()), "{link}");
            assert_eq!(check(&links, &Method::HEAD, &link), Ok(()));
            assert!(check(&links, &Method::POST, &link).is_err());
            for at in 1..link.len() {
                for other in ["x", "0", "/", "&", "A"] {
                    let mut changed = link.clone();
                    changed.replace_range(at..=at, other);
                    if changed != link {
                        assert!(check(&links, &Method::GET, &changed).is_err(), "{changed}");
                    }
                }
            }
            assert!(check(&links, &Method::GET, &format!("{link}&a=b")).is_err());
            assert!(check(&links, &Method::GET, &link.replace('?', "?a=b&")).is_err());
        }
    }

    #[test]
    fn expiry_and_keys() {
        let link = links().sign("/a", HOUR);
        let at = |now: fn() -> u64| check(&links().clock(now), &Method::GET, &link);
        assert_eq!(at(|| 4599), Ok(()));
        assert_eq!(at(|| 4600), Err("it has expired"));
        let other = SignedUrl::new([8; 32]).clock(|| 1000);
        assert_eq!(
            check(&other, &Method::GET, &link),
            Err("the signature is wrong")
        );
        assert_eq!(check(&other.or_key([7; 32]), &Method::GET, &link), Ok(()));
        let forever = links().sign("/a", Duration::MAX);
        assert_eq!(check(&links(), &Method::GET, &forever), Ok(()));
    }

    #[test]
    fn prefixes_end_at_segments() {
        let links = links();
        let query = links.sign_prefix(&Method::GET, "/video", HOUR);
        let cases = [
            ("/video", true),
            ("/video/", true),
            ("/video/a/b.ts", true),
            ("/videos", false),
            ("/other", false),
            ("/video/../other", false),
            ("/video/%2e%2e/other", false),
            ("/video/..%2Fother", false),
            ("/video//x", false),
        ];
        for (path, is_good) in cases {
            let found = check(&links, &Method::GET, &format!("{path}?{query}"));
            assert_eq!(found.is_ok(), is_good, "{path}");
        }
        assert!(check(&links, &Method::GET, &format!("/video?x=1&{query}")).is_err());
        let whole = links.sign("/a", HOUR);
        let moved = whole.replace("/a?", "/video/x?");
        assert!(check(&links, &Method::GET, &moved).is_err());
    }

    #[test]
    #[should_panic(expected = "32 bytes")]
    fn a_short_key_is_none() {
        let _ = SignedUrl::new("short");
    }
}
