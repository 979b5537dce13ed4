//! Lets requests in by who sends them.
//!
//! Source: RFC 9110 section 11 (the framework), 11.6.1 (`WWW-Authenticate`), 15.5.2 (401), 15.5.4 (403).
//!
//! ```
//! use vestibule_auth::{Authenticate, Basic, Htpasswd, Identity};
//! use vestibule_core::{App, Request};
//!
//! async fn who(request: Request) -> String {
//!     Identity::of(&request).unwrap().subject().to_owned()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let users = Htpasswd::new().with_user("Aladdin", "open sesame");
//! let app = Authenticate::new(who, Basic::new(users));
//! assert_eq!(app.call(Request::default()).await.status(), 401);
//!
//! let mut request = Request::default();
//! let credential = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".parse().unwrap();
//! request.headers_mut().insert("authorization", credential);
//! assert_eq!(app.call(request).await.into_body().as_bytes().unwrap(), "Aladdin");
//! # }
//! ```

use std::sync::Arc;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use vestibule_core::{
    App, Body, Failure, FailureKind, IntoResponse, Outline, RemoteUser, Request, Response, Role,
};
use vestibule_fields::www_authenticate::Challenge;

use crate::failed_logins::FailedLogins;
use crate::{Identity, Refusal, Scheme, Verdict};

/// Asks a scheme who sends each request, and refuses with 401 those that it does not know.
///
/// Sets the extensions [`Identity`] and [`RemoteUser`] on requests, [`RemoteUser`] on responses, and
/// takes the credential off the request, unless it is told to keep it. A refusal has a challenge of
/// every scheme in `WWW-Authenticate`, and its cause in a [`Failure`]; without any challenge it is 403.
/// Failed too often is 429, too much to check is 503, both with `Retry-After` in seconds.
///
/// A cache that stands inside does not see the credential: it has to look at [`RemoteUser`].
///
/// # Failed logins
///
/// Each refused credential of a client with an address is an event of the target `vestibule_auth` at
/// `WARN`: `refused a login`, with `peer`, `reason` (`denied`, `locked`, `forbidden`, `malformed`),
/// `scheme` and `user`, which is the name that was tried, escaped. A request without a credential is
/// not one. The first 20 are written, and then one in a second; `left_out` counts the others. A filter
/// for fail2ban:
///
/// ```text
/// [Definition]
/// failregex = vestibule_auth: refused a login peer=<HOST> reason="(denied|locked|forbidden)"
/// ```
#[doc(alias("authentication", "login", "auth"))]
#[derive(Clone, Debug)]
pub struct Authenticate<A, S> {
    app: A,
    scheme: S,
    is_optional: bool,
    keeps_credential: bool,
    challenges: Challenges,
    failed: Arc<FailedLogins>,
}

impl<A: App, S: Scheme> Authenticate<A, S> {
    /// Wraps `app`; every request has to have an identity by `scheme`.
    pub fn new(app: A, scheme: S) -> Self {
        let mut challenges = Vec::new();
        scheme.challenges(None, &mut challenges);
        Self {
            app,
            scheme,
            is_optional: false,
            keeps_credential: false,
            challenges: Challenges(challenges.into()),
            failed: Arc::default(),
        }
    }

    /// Lets requests without a credential pass, without an identity: a [`Require`](crate::Require)
    /// further in says where one is needed. A wrong credential is still refused.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }

    /// Leaves the credential on the request, for an app that wants to see it itself.
    #[must_use]
    pub fn keep_credential(mut self) -> Self {
        self.keeps_credential = true;
        self
    }

    /// What goes in: an identity or nobody, and how to become somebody.
    fn admit(&self, request: &mut Request, identity: Option<Identity>) -> Option<RemoteUser> {
        if !self.keeps_credential {
            self.scheme.strip(request);
        }
        let extensions = request.extensions_mut();
        if self.is_optional {
            extensions.insert(self.challenges.clone());
        }
        let identity = identity?;
        let user = RemoteUser::new(identity.shared_subject(), identity.scheme());
        extensions.insert(user.clone());
        extensions.insert(identity);
        Some(user)
    }

    fn refuse(&self, method: &Method, refusal: Option<Refusal>) -> Response {
        let mut challenges = Vec::new();
        self.scheme.challenges(refusal.as_ref(), &mut challenges);
        match refusal {
            Some(refusal) => refused(method, &challenges, refusal),
            None => anonymous(method, &challenges),
        }
    }
}

impl<A: App, S: Scheme> App for Authenticate<A, S> {
    async fn call(&self, mut request: Request) -> Response {
        let identity = match self.scheme.identify(&request).await {
            Verdict::Known(identity) => Some(identity),
            Verdict::Absent if self.is_optional => None,
            Verdict::Absent => return self.refuse(request.method(), None),
            Verdict::Refused(refusal) => {
                self.failed.report(&request, &refusal);
                return self.refuse(request.method(), Some(refusal));
            }
        };
        let user = self.admit(&mut request, identity);
        let mut response = self.app.call(request).await;
        if let Some(user) = user {
            response.extensions_mut().insert(user);
        }
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline.role(Role::AUTH).role(Role::IDENTITY);
        for challenge in &*self.challenges.0 {
            outline.option("scheme", challenge.scheme());
        }
        if self.challenges.0.is_empty() {
            outline.option("scheme", self.scheme.name());
        }
        if self.is_optional {
            outline.option("optional", true);
        }
        outline.wraps(&self.app);
    }
}

/// How a client may say who it is, for guards further in.
#[derive(Clone, Debug)]
pub(crate) struct Challenges(pub(crate) Arc<[Challenge]>);

/// The answer to a credential that is not good.
pub(crate) fn refused(method: &Method, challenges: &[Challenge], refusal: Refusal) -> Response {
    let reason = refusal.reason();
    let status = reason.status(!challenges.is_empty());
    let failure = Failure::new(refusal)
        .kind(reason.kind())
        .layer("Authenticate");
    let challenges = match status {
        StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => challenges,
        _ => &[],
    };
    let mut response = answer(method, challenges, failure.status(status));
    if let Some(wait) = reason.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(RETRY_AFTER, seconds.max(1).into());
    }
    response
}

/// The answer to no credential at all.
pub(crate) fn anonymous(method: &Method, challenges: &[Challenge]) -> Response {
    let status = match challenges.is_empty() {
        true => StatusCode::FORBIDDEN,
        false => StatusCode::UNAUTHORIZED,
    };
    let failure = Failure::new("the request has no credential")
        .kind(FailureKind::Request)
        .layer("Authenticate");
    answer(method, challenges, failure.status(status))
}

/// A failure with its challenges, and without a body for HEAD.
pub(crate) fn answer(method: &Method, challenges: &[Challenge], failure: Failure) -> Response {
    let mut response = failure.into_response();
    for challenge in challenges {
        let value: HeaderValue = challenge.to_header_value();
        response.headers_mut().append(WWW_AUTHENTICATE, value);
    }
    match *method {
        Method::HEAD => response.map(Body::without_bytes),
        _ => response,
    }
}
