//! Who sent a request, as far as a layer found out.

use std::sync::Arc;

use crate::HasExtensions;

/// The user that a layer let in: CGI's `REMOTE_USER` and `AUTH_TYPE`.
///
/// An extension of requests, for gateways that hand it to a program, and of responses, for an access
/// log, which stands outside of the layer that knows. It is no proof to anyone who does not trust the
/// layers outside of it.
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
    /// A user called `name`, known by the scheme `auth_type`: `Basic`, `Bearer`.
    pub fn new(name: impl Into<Arc<str>>, auth_type: &'static str) -> Self {
        Self {
            name: name.into(),
            auth_type,
        }
    }

    /// Returns the user of a request or response, when a layer has set one.
    ///
    /// `source` is a message of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// The name. It may hold any character: whoever writes it escapes it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scheme.
    #[must_use]
    pub const fn auth_type(&self) -> &'static str {
        self.auth_type
    }
}
