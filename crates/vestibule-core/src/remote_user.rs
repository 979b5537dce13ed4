//! The user of a request, as a layer identified it.

use std::sync::Arc;

use crate::HasExtensions;

/// The authenticated user: CGI's `REMOTE_USER` and `AUTH_TYPE`.
///
/// It is an extension of requests, for gateways that pass it to a program. It is also an extension
/// of responses, for an access log outside the layer that identified the user. Trust it only if you
/// trust all layers outside of the reader.
///
/// ```
/// use vestibule_core::{RemoteUser, Request};
///
/// let mut request = Request::default();
/// assert!(RemoteUser::of(&request).is_none());
///
/// request.extensions_mut().insert(RemoteUser::new("alice", "Basic"));
/// let user = RemoteUser::of(&request).unwrap();
/// assert_eq!((user.name(), user.auth_type()), ("alice", "Basic"));
/// ```
#[doc(alias("REMOTE_USER", "user name"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUser {
    name: Arc<str>,
    auth_type: &'static str,
}

impl RemoteUser {
    /// Creates a user with this name and authentication scheme, such as `Basic` or `Bearer`.
    pub fn new(name: impl Into<Arc<str>>, auth_type: &'static str) -> Self {
        Self {
            name: name.into(),
            auth_type,
        }
    }

    /// Returns the user of a request or response, if a layer has set one.
    ///
    /// `source` is a message of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// Returns the name. It may contain any character: escape it before you write it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the authentication scheme.
    #[must_use]
    pub const fn auth_type(&self) -> &'static str {
        self.auth_type
    }
}
