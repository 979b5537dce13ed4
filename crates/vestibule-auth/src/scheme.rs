//! What a way to authenticate is: from a request to an identity, nothing, or a refusal.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use vestibule_core::{BoxError, FailureKind, Request};
use vestibule_fields::www_authenticate::Challenge;

use crate::Identity;

/// A way to find out who sends a request.
///
/// ```
/// use vestibule_auth::{Authenticate, Identity, Reason, Refusal, Scheme, Verdict};
/// use vestibule_core::{App, Request};
/// use vestibule_fields::www_authenticate::Challenge;
///
/// /// Whoever says "friend".
/// struct Password;
///
/// impl Scheme for Password {
///     fn name(&self) -> &'static str { "Friend" }
///
///     async fn identify(&self, request: &Request) -> Verdict {
///         match request.headers().get("x-say").map(|value| value.as_bytes()) {
///             None => Verdict::Absent,
///             Some(b"friend") => Verdict::Known(Identity::new("friend", "Friend")),
///             Some(_) => Verdict::Refused(Refusal::new("Friend", Reason::Denied, "a foe")),
///         }
///     }
///
///     fn challenges(&self, _: Option<&Refusal>, to: &mut Vec<Challenge>) {
///         to.push(Challenge::new("Friend"));
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let app = Authenticate::new(|_: Request| async { "Moria" }, Password);
/// let response = app.call(Request::default()).await;
/// assert_eq!(response.status(), 401);
/// assert_eq!(response.headers()["www-authenticate"], "Friend");
/// # }
/// ```
pub trait Scheme: Send + Sync + 'static {
    /// The name, as in `AUTH_TYPE` and in logs.
    fn name(&self) -> &'static str;

    /// Says who sends the request.
    fn identify(&self, request: &Request) -> impl Future<Output = Verdict> + Send;

    /// Adds how a client may say who it is; `refusal` is why it was not believed, if it tried. A
    /// scheme that has no challenge adds none: then the answer is 403.
    fn challenges(&self, refusal: Option<&Refusal>, to: &mut Vec<Challenge>);

    /// Takes the credential that this scheme reads off the request, so that the app never sees it.
    fn strip(&self, request: &mut Request) {
        let _ = request;
    }

    /// This scheme first, and `other` when it finds nothing.
    fn or<S: Scheme>(self, other: S) -> Or<Self, S>
    where
        Self: Sized,
    {
        Or(self, other)
    }
}

impl<S: Scheme> Scheme for Arc<S> {
    fn name(&self) -> &'static str {
        S::name(self)
    }

    fn identify(&self, request: &Request) -> impl Future<Output = Verdict> + Send {
        S::identify(self, request)
    }

    fn challenges(&self, refusal: Option<&Refusal>, to: &mut Vec<Challenge>) {
        S::challenges(self, refusal, to);
    }

    fn strip(&self, request: &mut Request) {
        S::strip(self, request);
    }
}

/// Two schemes in order; the first that finds a credential decides, whatever the second would say.
/// Made by [`Scheme::or`].
#[derive(Clone, Debug)]
pub struct Or<S, T>(S, T);

impl<S: Scheme, T: Scheme> Scheme for Or<S, T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn identify(&self, request: &Request) -> Verdict {
        match self.0.identify(request).await {
            Verdict::Absent => self.1.identify(request).await,
            verdict => verdict,
        }
    }

    fn challenges(&self, refusal: Option<&Refusal>, to: &mut Vec<Challenge>) {
        self.0.challenges(refusal, to);
        self.1.challenges(refusal, to);
    }

    fn strip(&self, request: &mut Request) {
        self.0.strip(request);
        self.1.strip(request);
    }
}

/// What a scheme found.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is this one.
    Known(Identity),
    /// The request has no credential of this scheme.
    Absent,
    /// It has one, and it is not good.
    Refused(Refusal),
}

/// Why a credential was not good: for the log. The client is told the status, and what the
/// challenge of the scheme says.
///
/// Neither text nor `Debug` ever holds the credential.
#[derive(Clone, Debug)]
pub struct Refusal {
    scheme: &'static str,
    reason: Reason,
    why: Cow<'static, str>,
    user: Option<Arc<str>>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Refusal {
    /// A refusal by `scheme`. `why` is for the log and holds no secret.
    pub fn new(scheme: &'static str, reason: Reason, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            scheme,
            reason,
            why: why.into(),
            user: None,
            source: None,
        }
    }

    /// Names the user in whose name the credential was sent, who need not exist. It is in the event that
    /// [`Authenticate`](crate::Authenticate) writes.
    ///
    /// ```
    /// use vestibule_auth::{Reason, Refusal};
    ///
    /// let refusal = Refusal::new("Basic", Reason::Denied, "the password is wrong").of_user("alice");
    /// assert_eq!(refusal.user(), Some("alice"));
    /// assert_eq!(refusal.to_string(), "Basic: the password is wrong");
    /// ```
    #[must_use]
    pub fn of_user(mut self, name: impl Into<Arc<str>>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// The user in whose name the credential was sent, where the scheme has one. Any text: a log has to
    /// escape it.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Says which error was behind it; its text goes to the log as well.
    #[must_use]
    pub fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The scheme that refused.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The kind of refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.scheme, self.why)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

/// Kinds of refusals, and their statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The credential cannot be read: 401.
    Malformed,
    /// The credential cannot be read, and the scheme's RFC has another status for that: 400.
    Invalid,
    /// It can, and is wrong, unknown or expired: 401.
    Denied,
    /// Who it is is plain, and is not let in, whatever the credential: 403.
    Forbidden,
    /// There were too many failures: 429 with `Retry-After`.
    Locked(Duration),
    /// There is too much to check: 503 with `Retry-After`.
    Busy(Duration),
    /// The source that would know cannot be asked: 503 with `Retry-After`.
    Unavailable,
}

impl Reason {
    /// The status of an answer; `has_challenge` is whether there is a `WWW-Authenticate`, without
    /// which there is no 401 (RFC 9110 section 15.5.2).
    pub(crate) const fn status(self, has_challenge: bool) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Malformed | Self::Denied if has_challenge => StatusCode::UNAUTHORIZED,
            Self::Malformed | Self::Denied | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Locked(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy(_) | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) const fn kind(self) -> FailureKind {
        match self {
            Self::Busy(_) => FailureKind::Overload,
            Self::Unavailable => FailureKind::Upstream,
            _ => FailureKind::Request,
        }
    }

    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Locked(wait) | Self::Busy(wait) => Some(wait),
            Self::Unavailable => Some(RETRY_UNAVAILABLE),
            _ => None,
        }
    }
}

/// As long as a key set waits between two fetches; another source may be back sooner.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(30);
