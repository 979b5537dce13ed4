//! The crate as its users see it.
#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

mod apache;
mod attacks;
mod basic;
mod battery;
mod bearer;
mod guards;
mod introspection;
mod jwt;
mod others;
mod passwords;
mod private_keys;
mod providers;
mod secrets;
mod support;
mod webhooks;
