//! Who sent a request, as a scheme found out.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use vestibule_core::HasExtensions;

/// A subject, how it was known, and what is said of it; an extension of requests that
/// [`Authenticate`](crate::Authenticate) sets. Cheap to clone.
///
/// `Debug` prints no claims: they may be private.
///
/// ```
/// use vestibule_auth::Identity;
///
/// let identity = Identity::new("alice", "Basic").with_groups(["staff"]).with_scopes(["read", "write"]);
/// assert_eq!(identity.subject(), "alice");
/// assert!(identity.is_in("staff") && identity.has_scope("write"));
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    subject: Arc<str>,
    scheme: &'static str,
    groups: Vec<String>,
    scopes: Vec<String>,
    claims: Option<Arc<dyn Any + Send + Sync>>,
}

impl Identity {
    /// Someone called `subject`, known by `scheme`.
    pub fn new(subject: impl Into<Arc<str>>, scheme: &'static str) -> Self {
        Self(Arc::new(Inner {
            subject: subject.into(),
            scheme,
            groups: Vec::new(),
            scopes: Vec::new(),
            claims: None,
        }))
    }

    /// Returns the identity of a request, when a layer has established one.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// Adds groups.
    #[must_use]
    pub fn with_groups(mut self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let own = &mut Arc::make_mut(&mut self.0).groups;
        own.extend(groups.into_iter().map(Into::into));
        self
    }

    /// Adds scopes.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let own = &mut Arc::make_mut(&mut self.0).scopes;
        own.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Carries claims of any type.
    #[must_use]
    pub fn with_claims<T: Any + Send + Sync>(mut self, claims: T) -> Self {
        Arc::make_mut(&mut self.0).claims = Some(Arc::new(claims));
        self
    }

    /// The name: a user, a client, the `sub` of a token.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    pub(crate) fn shared_subject(&self) -> Arc<str> {
        self.0.subject.clone()
    }

    /// The scheme that knew it: `Basic`, `Bearer`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.0.scheme
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.0.groups
    }

    /// The scopes.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// Whether it is in the group `name`.
    #[must_use]
    pub fn is_in(&self, name: &str) -> bool {
        self.groups().iter().any(|own| own == name)
    }

    /// Whether it has the scope `name`.
    #[must_use]
    pub fn has_scope(&self, name: &str) -> bool {
        self.scopes().iter().any(|own| own == name)
    }

    /// The claims, when they are a `T`.
    #[must_use]
    pub fn claims<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.claims.as_deref()?.downcast_ref()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.subject())
            .field("scheme", &self.scheme())
            .field("groups", &self.groups())
            .field("scopes", &self.scopes())
            .finish_non_exhaustive()
    }
}
