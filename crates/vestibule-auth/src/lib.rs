//! Middleware that finds out who is asking, and guards what not everyone may see.
//!
//! ```rust
//! use vestibule_auth::{Authenticate, Basic, Bearer, Htpasswd, Identity, Require, Scheme, Tokens};
//! use vestibule_core::{App, Request, Stack};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! async fn hello(request: Request) -> String {
//!     match Identity::of(&request) {
//!         Some(identity) => format!("hello, {}", identity.subject()),
//!         None => "hello, stranger".to_owned(),
//!     }
//! }
//!
//! let app = Stack::new()
//!     .with(|app| {
//!         let users = Htpasswd::new() // or Htpasswd::open("/etc/site/users")?
//!             .with_user("alice", "open sesame")
//!             .with_group("staff", ["alice"]);
//!         let tokens = Tokens::new().with("mF_9.B5f-4.1JqM", Identity::new("ci", "Bearer"));
//!         Authenticate::new(app, Basic::new(users).or(Bearer::new(tokens))).optional()
//!     })
//!     .with(|app| Require::new(app).under("/staff").group("staff"))
//!     .app(hello);
//!
//! let mut request = Request::default();
//! *request.uri_mut() = "/staff/rota".parse().unwrap();
//! let refused = app.call(request).await;
//! assert_eq!(refused.status(), 401);
//! assert_eq!(refused.headers().get_all("www-authenticate").iter().count(), 2);
//! # }
//! ```
//!
//! | middleware | effect |
//! |---|---|
//! | [`Authenticate`] | asks a scheme who sends a request; 401 with every challenge when it does not know |
//! | [`Require`] | guards paths and methods by group, scope, claim or any predicate; 401 or 403 |
//! | [`IpRules`] | lets networks in or keeps them out, by the address of the connection |
//! | [`ForwardAuth`] | another server decides; its headers go to the app |
//! | [`Webhook`] | checks the signature of a webhook: GitHub, Stripe, Slack, Standard Webhooks; 403 |
//!
//! | scheme | credential |
//! |---|---|
//! | [`Basic`] | a name and a password, of an [`Htpasswd`] file, of code or of a callback |
//! | [`Bearer`] | an opaque token, of [`Tokens`] or of a callback |
//! | [`ApiKey`] | a key in a header, a cookie, or the query |
//! | [`Jwt`](jwt::Jwt) (feature `jwt`, on by default) | a signed token, with claims of your own type |
//! | [`Introspection`] (feature `jwt`, on by default) | a token that its issuer is asked about (RFC 7662) |
//! | [`SignedUrl`] | a link with an expiry |
//! | [`ClientCertificate`] | a TLS client certificate that the adapter has checked |
//! | your own | a type with [`Scheme`]; `a.or(b)` tries them in order |
//!
//! A scheme says who it is, that there is no credential, or that it is refused and why. The why is
//! for the log, in a [`Failure`](vestibule_core::Failure); the client learns the status and the
//! challenge. No log line, error or `Debug` of this crate holds a credential. The app inside sees
//! an [`Identity`] and, as gateways and logs do, a [`RemoteUser`](vestibule_core::RemoteUser).
//!
//! # Passwords
//!
//! Files are those of Apache and nginx: bcrypt, SHA-crypt (`$5$`, `$6$`), apr1, `{SHA}` (with a
//! warning) and argon2, which [`set_password`] writes, or bcrypt with [`set_password_as`] for a
//! file that Apache or nginx reads as well. DES crypt and plain text are refused. A changed file
//! counts within a second.
//!
//! A slow hash is slow for who asks, not for the others: checks run on the blocking pool, half as
//! many at once as there are processors, in turn for each user; of more than 64 that wait the rest
//! are 503 with `Retry-After`. A success is remembered for a minute under a keyed hash. Ten
//! failures of a user or fifty of an address in five minutes are 429: anyone can lock a user out
//! for that time by failing in his name, which is the price of a limit on guesses. Behind a proxy
//! all have one address: tell [`Basic::address`] where the client's is.
//!
//! An unknown user is checked against the stored password of another, the same one each time, so
//! the work tells nothing, even in a file of mixed kinds. Where that is measured with a million
//! requests, and what was seen:
//! [`benches/README.md`](https://github.com/vestibule-rs/vestibule/blob/main/benches/README.md).
//!
//! # Keys
//!
//! The feature `jwt` reads HS256, HS384 and HS512; `jwt-ring` adds RS256 to PS512, ES256, ES384 and
//! EdDSA by [ring](https://docs.rs/ring), which needs a C compiler. A key has one algorithm, or, as a
//! JWK without `alg`, the accepted ones of its kind, so none is taken for another; ES512 is not
//! supported. [`Jwks`](jwt::Jwks) fetches a set from a URL or from the metadata of an issuer, through
//! any app that is an HTTP client, as `Client::secure()` of `vestibule-client` is, or from a file. It
//! is fetched once for all who wait, again when it is stale, and at most twice a minute for keys that
//! it has not; when that fails the old keys count for a day, and without any the answer is 503.
//! [`Key::sign`](jwt::Key::sign) issues tokens. The table of [`Jwt`](jwt::Jwt) has the options for
//! Keycloak, Auth0, Entra ID, Cognito, Okta and others.
//!
//! # Limits
//!
//! - A client certificate is known by its fingerprint, not by the names in it.
//! - Digest (RFC 7616) is left out: its passwords are stored so that a reader of the file can log
//!   in.
//! - What a redirection of a server that is asked says is told to the client, and never followed.
//! - Names and passwords are compared as they are sent, without Unicode normalization.
//! - The credential is taken off the request, so a cache further in has to look at `RemoteUser`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod api_key;
mod authenticate;
mod basic;
mod bearer;
mod cache;
mod client_certificate;
mod failed_logins;
mod forward_auth;
mod hash;
mod hashing;
mod htpasswd;
mod identity;
#[cfg(feature = "jwt")]
mod introspection;
mod ip_rules;
#[cfg(feature = "jwt")]
pub mod jwt;
mod lockout;
mod require;
mod scheme;
mod secret;
mod signed_url;
mod waiting;
mod webhook;

pub use api_key::ApiKey;
pub use authenticate::Authenticate;
pub use basic::Basic;
pub use bearer::Bearer;
pub use client_certificate::ClientCertificate;
pub use forward_auth::ForwardAuth;
pub use hash::{HashError, HashKind, PasswordHash};
pub use htpasswd::{Change, Htpasswd, set_password, set_password_as, weakness};
pub use identity::Identity;
#[cfg(feature = "jwt")]
pub use introspection::Introspection;
pub use ip_rules::IpRules;
pub use lockout::Lockout;
pub use require::{Denied, Require};
pub use scheme::{Or, Reason, Refusal, Scheme, Verdict};
pub use secret::Tokens;
pub use signed_url::SignedUrl;
pub use webhook::{Webhook, WebhookError, WebhookSecretError, WebhookSignature};
