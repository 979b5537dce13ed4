//! Who the request is from, as whoever let it in found out.

use std::sync::Arc;

use crate::Response;

/// The name of the user that a request was let in as; an extension of the response, for the log.
///
/// A layer that lets users in attaches it on the way out, since the request has gone by then.
///
/// ```
/// use vestibule_core::{Response, User};
///
/// let mut response = Response::default();
/// User::new("ann").attach(&mut response);
/// assert_eq!(User::of(&response).unwrap().name(), "ann");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User(Arc<str>);

impl User {
    /// A user of this name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The user that a response tells of.
    #[must_use]
    pub fn of(response: &Response) -> Option<&Self> {
        response.extensions().get()
    }

    /// Makes a response tell of this user.
    pub fn attach(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }

    /// The name, as the user gave it: any text.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}
