//! Signatures of webhooks: an HMAC over the body, by a secret that both sides have.
//!
//! Source: RFC 2104 (HMAC); the documentation of GitHub ("Validating webhook deliveries"), Stripe ("Verify
//! webhook signatures manually"), Slack ("Verifying requests from Slack") and Standard Webhooks 1.0.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::Sha256;
use vestibule_core::{
    App, Body, Failure, FailureKind, IntoResponse, Outline, Request, Response, Role,
};

use crate::secret::is_same;

/// Lets webhooks in whose signature is right; the app gets the body as it came.
///
/// A request with a missing or wrong signature, or with a timestamp that is too old or too new, is 403
/// and never reaches the app. A body above [`max_bytes`](Self::max_bytes) is 413. The whole body is held
/// in memory, since nothing of it can be believed before its end; the signature's fields are checked
/// before the body is read.
///
/// The signature is over the bytes that were sent, so it goes outside of `Decompression`. A signature
/// stays good within the tolerance: an app that must not act twice remembers the id of each delivery.
///
/// ```
/// use vestibule_auth::{Webhook, WebhookSignature};
/// use vestibule_core::{App, Body, Request};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let app = |request: Request| async move { request.into_body().collect(1000).await };
/// let signature = WebhookSignature::github(["It's a Secret to Everybody"]).unwrap();
/// let app = Webhook::new(app, signature);
///
/// let delivery = |body: &'static str| {
///     let mut request = Request::new(Body::from(body));
///     let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
///     request.headers_mut().insert("x-hub-signature-256", signature.parse().unwrap());
///     request
/// };
/// let response = app.call(delivery("Hello, World!")).await;
/// assert_eq!(response.into_body().as_bytes().unwrap(), "Hello, World!");
/// assert_eq!(app.call(delivery("Hello, World?")).await.status(), 403);
/// # }
/// ```
#[doc(alias(
    "X-Hub-Signature-256",
    "Stripe-Signature",
    "X-Slack-Signature",
    "webhook-signature"
))]
#[derive(Clone, Debug)]
pub struct Webhook<A> {
    app: A,
    signature: WebhookSignature,
    max_bytes: u64,
    tolerance: Duration,
    now: fn() -> u64,
}

impl<A: App> Webhook<A> {
    /// Wraps `app`; each request needs a signature of this kind.
    pub fn new(app: A, signature: WebhookSignature) -> Self {
        Self {
            app,
            signature,
            max_bytes: MAX_BYTES,
            tolerance: TOLERANCE,
            now: unix_now,
        }
    }

    /// Sets the maximum size of a body in bytes. Defaults to 1 MiB; GitHub sends up to 25 MB.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets how far the timestamp of a delivery may be from our clock, before or after. Defaults to five
    /// minutes. GitHub sends no timestamp.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the clock, in seconds since 1970. Defaults to the system's.
    #[must_use]
    pub fn clock(mut self, now: fn() -> u64) -> Self {
        self.now = now;
        self
    }
}

impl<A: App> App for Webhook<A> {
    async fn call(&self, request: Request) -> Response {
        // Before: the fields, which cost nothing to refuse.
        let (parts, body) = request.into_parts();
        let now = (self.now)();
        let claim = match self.signature.claim(&parts.headers, now, self.tolerance) {
            Ok(claim) => claim,
            Err(error) => return refuse(&parts.method, error),
        };
        let bytes = match body.collect(self.max_bytes).await {
            Ok(bytes) => bytes,
            Err(error) => return without_bytes(&parts.method, error.into_response()),
        };
        if !self.signature.has_signed(&claim, &bytes) {
            return refuse(&parts.method, WebhookError::Signature);
        }
        let request = Request::from_parts(parts, Body::from(bytes));
        self.app.call(request).await
    }

    fn describe(&self, outline: &mut Outline) {
        outline
            .role(Role::AUTH)
            .option("signature", self.signature.kind.name())
            .option("max_bytes", self.max_bytes)
            .wraps(&self.app);
    }
}

/// A way to sign webhooks, and its secrets. With several secrets any of them is good, so that one can be
/// replaced while deliveries go on. `Debug` prints no secret.
#[derive(Clone)]
pub struct WebhookSignature {
    kind: Kind,
    secrets: Arc<[Hmac<Sha256>]>,
}

#[derive(Clone, Debug)]
enum Kind {
    GitHub,
    Stripe,
    Slack,
    Standard,
    Header(HeaderName),
}

impl WebhookSignature {
    /// GitHub's, and of those who do the same: `X-Hub-Signature-256: sha256=HEX` over the body.
    ///
    /// ```
    /// use vestibule_auth::WebhookSignature;
    ///
    /// assert!(WebhookSignature::github(["new secret", "old secret"]).is_ok());
    /// let error = WebhookSignature::github([""]).unwrap_err();
    /// assert_eq!(error.to_string(), "secret 1 is empty");
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no secret, or one is empty.
    pub fn github<S: AsRef<str>>(
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, WebhookSecretError> {
        Self::of(Kind::GitHub, secrets, as_it_is)
    }

    /// Stripe's: `Stripe-Signature: t=TIME,v1=HEX`, over the time, a dot and the body. The secret is
    /// `whsec_...`, as the dashboard shows it.
    ///
    /// ```
    /// # use vestibule_auth::WebhookSignature;
    /// assert!(WebhookSignature::stripe(["whsec_test_secret"]).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no secret, or one is empty.
    pub fn stripe<S: AsRef<str>>(
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, WebhookSecretError> {
        Self::of(Kind::Stripe, secrets, as_it_is)
    }

    /// Slack's: `X-Slack-Signature: v0=HEX` over `v0:TIME:BODY`, the time in `X-Slack-Request-Timestamp`.
    ///
    /// ```
    /// # use vestibule_auth::WebhookSignature;
    /// assert!(WebhookSignature::slack(["8f742231b10e8888abcd99yyyzzz85a5"]).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no secret, or one is empty.
    pub fn slack<S: AsRef<str>>(
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, WebhookSecretError> {
        Self::of(Kind::Slack, secrets, as_it_is)
    }

    /// Standard Webhooks: `webhook-signature: v1,BASE64` over `ID.TIME.BODY`, with `webhook-id` and
    /// `webhook-timestamp`; or the same with `svix-` instead of `webhook-`. A secret is Base64, with or
    /// without `whsec_` before it.
    ///
    /// ```
    /// # use vestibule_auth::WebhookSignature;
    /// assert!(WebhookSignature::standard(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).is_ok());
    /// let error = WebhookSignature::standard(["whsec_?", ""]).unwrap_err();
    /// assert_eq!(error.to_string(), "secret 1 is not Base64; secret 2 is empty");
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no secret, or one is empty, not Base64, or shorter than 24 bytes.
    pub fn standard<S: AsRef<str>>(
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, WebhookSecretError> {
        Self::of(Kind::Standard, secrets, |secret| {
            let text = secret.strip_prefix("whsec_").unwrap_or(secret);
            let bytes = Base64::decode_vec(text).map_err(|_| "is not Base64")?;
            match bytes.len() {
                0..24 => Err("is shorter than 24 bytes"),
                _ => Ok(bytes),
            }
        })
    }

    /// An HMAC-SHA-256 over the body in a header of any name, in hexadecimal digits or Base64, with or
    /// without `sha256=` before it: `X-Gitea-Signature`, `X-Shopify-Hmac-Sha256`, `Linear-Signature`.
    ///
    /// ```
    /// use http::HeaderName;
    /// # use vestibule_auth::WebhookSignature;
    /// let name = HeaderName::from_static("x-gitea-signature");
    /// assert!(WebhookSignature::in_header(name, ["a secret"]).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no secret, or one is empty.
    pub fn in_header<S: AsRef<str>>(
        name: HeaderName,
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, WebhookSecretError> {
        Self::of(Kind::Header(name), secrets, as_it_is)
    }

    fn of<S: AsRef<str>>(
        kind: Kind,
        secrets: impl IntoIterator<Item = S>,
        bytes: impl Fn(&str) -> Result<Vec<u8>, &'static str>,
    ) -> Result<Self, WebhookSecretError> {
        let mut keys = Vec::new();
        let mut faults = Vec::new();
        for (at, secret) in secrets.into_iter().enumerate() {
            let bytes = match secret.as_ref() {
                "" => Err("is empty"),
                secret if secret.trim() != secret => {
                    Err("begins or ends with a space or a newline")
                }
                secret => bytes(secret),
            };
            match bytes {
                Ok(bytes) => keys.push(Hmac::new_from_slice(&bytes).expect(ANY_LENGTH)),
                Err(fault) => faults.push((at + 1, fault)),
            }
        }
        if keys.is_empty() && faults.is_empty() {
            faults.push((0, "there is no secret"));
        }
        match faults.is_empty() {
            true => Ok(Self {
                kind,
                secrets: keys.into(),
            }),
            false => Err(WebhookSecretError(faults)),
        }
    }

    /// Reads what the fields claim, and checks all that needs no body.
    fn claim(
        &self,
        headers: &HeaderMap,
        now: u64,
        tolerance: Duration,
    ) -> Result<Claim, WebhookError> {
        let claim = match &self.kind {
            Kind::GitHub => {
                let text = only(headers, "x-hub-signature-256")?;
                let digits = text
                    .strip_prefix("sha256=")
                    .ok_or(WebhookError::Malformed)?;
                Claim::of(String::new(), hex(digits))
            }
            Kind::Header(name) => {
                let text = only(headers, name.as_str())?;
                let text = text.strip_prefix("sha256=").unwrap_or(text);
                Claim::of(String::new(), hex(text).or_else(|| base64(text)))
            }
            Kind::Stripe => stripe(only(headers, "stripe-signature")?, now, tolerance)?,
            Kind::Slack => {
                let time = only(headers, "x-slack-request-timestamp")?;
                check_time(time, now, tolerance)?;
                let text = only(headers, "x-slack-signature")?;
                let digits = text.strip_prefix("v0=").ok_or(WebhookError::Malformed)?;
                Claim::of(format!("v0:{time}:"), hex(digits))
            }
            Kind::Standard => {
                let is_svix = !headers.contains_key("webhook-id");
                let (id, time, signature) = match is_svix {
                    true => ("svix-id", "svix-timestamp", "svix-signature"),
                    false => ("webhook-id", "webhook-timestamp", "webhook-signature"),
                };
                let (id, time) = (only(headers, id)?, only(headers, time)?);
                check_time(time, now, tolerance)?;
                let entries = only(headers, signature)?.split(' ');
                // Other versions, as `v1a` of public keys, are passed over.
                let ours = entries.filter_map(|entry| base64(entry.strip_prefix("v1,")?));
                Claim::of(format!("{id}.{time}."), ours)
            }
        };
        match claim.signatures.is_empty() {
            true => Err(WebhookError::Malformed),
            false => Ok(claim),
        }
    }

    /// Whether one of the secrets made one of the signatures. All are compared, in constant time each.
    fn has_signed(&self, claim: &Claim, body: &[u8]) -> bool {
        let mut is_signed = false;
        for secret in &*self.secrets {
            let mut mac = secret.clone();
            mac.update(claim.before.as_bytes());
            mac.update(body);
            let own = mac.finalize().into_bytes();
            for signature in &claim.signatures {
                is_signed |= is_same(&own, signature);
            }
        }
        is_signed
    }
}

impl fmt::Debug for WebhookSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSignature")
            .field("kind", &self.kind)
            .field("secrets", &self.secrets.len())
            .finish()
    }
}

impl Kind {
    fn name(&self) -> &str {
        match self {
            Self::GitHub => "GitHub",
            Self::Stripe => "Stripe",
            Self::Slack => "Slack",
            Self::Standard => "Standard Webhooks",
            Self::Header(name) => name.as_str(),
        }
    }
}

/// The signature fields of a request: the text that is signed before the body, and the signatures. One of
/// them has to be right.
struct Claim {
    before: String,
    signatures: Vec<[u8; 32]>,
}

impl Claim {
    fn of(before: String, signatures: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let signatures = signatures.into_iter().take(MAX_SIGNATURES).collect();
        Self { before, signatures }
    }
}

/// `t=TIME,v1=HEX,v1=HEX,v0=HEX`: one time, and signatures of which those of other schemes do not count.
fn stripe(text: &str, now: u64, tolerance: Duration) -> Result<Claim, WebhookError> {
    let pairs = || {
        text.split(',')
            .filter_map(|pair| pair.trim().split_once('='))
    };
    let mut times = pairs().filter(|(name, _)| *name == "t");
    let (Some((_, time)), None) = (times.next(), times.next()) else {
        return Err(WebhookError::Malformed);
    };
    check_time(time, now, tolerance)?;
    let ours = pairs().filter_map(|(name, digits)| hex(digits).filter(|_| name == "v1"));
    Ok(Claim::of(format!("{time}."), ours))
}

/// The value of a field that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, WebhookError> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next().ok_or(WebhookError::Missing)?;
    match (lines.next(), HeaderValue::to_str(line)) {
        (None, Ok(text)) => Ok(text),
        _ => Err(WebhookError::Malformed),
    }
}

fn check_time(text: &str, now: u64, tolerance: Duration) -> Result<(), WebhookError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let time: u64 = match text.parse() {
        Ok(time) if is_number => time,
        _ => return Err(WebhookError::Malformed),
    };
    match now.abs_diff(time) <= tolerance.as_secs() {
        true => Ok(()),
        false => Err(WebhookError::Time),
    }
}

fn hex(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

fn base64(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let read = Base64::decode(text, &mut bytes).ok()?.len();
    (read == 32).then_some(bytes)
}

fn as_it_is(secret: &str) -> Result<Vec<u8>, &'static str> {
    Ok(secret.as_bytes().to_vec())
}

fn refuse(method: &Method, error: WebhookError) -> Response {
    let failure = Failure::new(error)
        .kind(FailureKind::Request)
        .layer("Webhook")
        .status(StatusCode::FORBIDDEN);
    without_bytes(method, failure.into_response())
}

fn without_bytes(method: &Method, response: Response) -> Response {
    match *method {
        Method::HEAD => response.map(Body::without_bytes),
        _ => response,
    }
}

/// Why a delivery is refused: the cause in the [`Failure`] of the 403, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookError {
    /// A field of the signature is missing.
    Missing,
    /// A field is repeated, or has another form.
    Malformed,
    /// The timestamp is further from our clock than the tolerance.
    Time,
    /// No secret has made the signature of this body.
    Signature,
}

impl fmt::Display for WebhookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the webhook has no signature",
            Self::Malformed => "the signature of the webhook cannot be read",
            Self::Time => "the timestamp of the webhook is too far from our clock",
            Self::Signature => "the signature of the webhook is wrong",
        })
    }
}

impl Error for WebhookError {}

/// All faults of a list of secrets, each with the position of its secret. It does not hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSecretError(Vec<(usize, &'static str)>);

impl fmt::Display for WebhookSecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (number, fault)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            match number {
                0 => f.write_str(fault)?,
                number => write!(f, "secret {number} {fault}")?,
            }
        }
        Ok(())
    }
}

impl Error for WebhookSecretError {}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

const ANY_LENGTH: &str = "HMAC takes keys of any length";
const MAX_BYTES: u64 = 1 << 20;
const TOLERANCE: Duration = Duration::from_secs(300);
/// Signatures that are compared; senders make one for each of their secrets.
const MAX_SIGNATURES: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> [WebhookSignature; 5] {
        let name = HeaderName::from_static("x-hub-signature-256");
        let standard = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        [
            WebhookSignature::github(["a"]).unwrap(),
            WebhookSignature::stripe(["a"]).unwrap(),
            WebhookSignature::slack(["a"]).unwrap(),
            WebhookSignature::standard([standard]).unwrap(),
            WebhookSignature::in_header(name, ["a"]).unwrap(),
        ]
    }

    proptest! {
        /// Whatever is in the fields, it is a claim or an error, and no claim is right by chance.
        #[test]
        fn any_fields(
            time in "[0-9]{0,22}|[ -~]{0,12}",
            signature in "(sha256=|v0=|v1,|t=1,v1=)?([0-9a-f]{64}|[A-Za-z0-9+/]{43}=|[ -~]{0,80})",
        ) {
            let mut headers = HeaderMap::new();
            let fields = [
                ("x-hub-signature-256", &signature),
                ("stripe-signature", &signature),
                ("x-slack-signature", &signature),
                ("x-slack-request-timestamp", &time),
                ("webhook-signature", &signature),
                ("webhook-timestamp", &time),
                ("webhook-id", &time),
            ];
            for (name, value) in fields {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
            for kind in kinds() {
                if let Ok(claim) = kind.claim(&headers, 1, Duration::MAX) {
                    prop_assert!(claim.signatures.len() <= MAX_SIGNATURES);
                    prop_assert!(!kind.has_signed(&claim, b"body"));
                }
            }
        }
    }
}
