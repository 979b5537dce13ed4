#![doc = include_str!("../README.md")]

mod api_key;
mod authenticate;
mod basic;
mod bearer;
mod cache;
mod client_certificate;
mod forward_auth;
mod hash;
mod hashing;
mod htpasswd;
mod identity;
mod ip_rules;
#[cfg(feature = "jwt")]
pub mod jwt;
mod lockout;
mod require;
mod scheme;
mod secret;
mod signed_url;
mod waiting;

pub use api_key::ApiKey;
pub use authenticate::Authenticate;
pub use basic::Basic;
pub use bearer::Bearer;
pub use client_certificate::ClientCertificate;
pub use forward_auth::ForwardAuth;
pub use hash::{HashError, HashKind, PasswordHash};
pub use htpasswd::{Change, Htpasswd, set_password, set_password_as, weakness};
pub use identity::Identity;
pub use ip_rules::IpRules;
pub use lockout::Lockout;
pub use require::{Denied, Require};
pub use scheme::{Or, Reason, Refusal, Scheme, Verdict};
pub use secret::Tokens;
pub use signed_url::SignedUrl;
