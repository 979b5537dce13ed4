//! The crate as its users see it.

mod apache;
mod basic;
mod bearer;
mod guards;
mod passwords;
mod secrets;
mod support;
