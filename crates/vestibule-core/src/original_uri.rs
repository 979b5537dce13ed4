//! The URI that the client sent, after a rewrite or below a removed prefix.

use http::Uri;

use crate::HasExtensions;

/// The URI of a request before it was changed; an extension that the first change stores.
///
/// Vestibule's mounts do not change `request.uri()`. A bridge to a foreign router may remove the
/// prefix of a mount, and a rewrite may replace the URI. Both store the first URI here.
///
/// ```
/// use vestibule_core::{OriginalUri, Request};
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/users".parse().unwrap();
/// assert_eq!(OriginalUri::uri_of(&request), "/users");
///
/// request.extensions_mut().insert(OriginalUri("/api/users".parse().unwrap()));
/// assert_eq!(OriginalUri::uri_of(&request), "/api/users");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalUri(pub Uri);

impl OriginalUri {
    /// Returns the first URI of a request, or `None` if no layer changed it.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// Returns the first URI of a request: the stored one, or else the URI of the request.
    #[must_use]
    pub fn uri_of<B>(request: &http::Request<B>) -> &Uri {
        Self::of(request).map_or(request.uri(), |original| &original.0)
    }
}

/// Marks a request whose path may lack an unknown prefix, because of a foreign router.
///
/// It is an extension of requests. A bridge stores it if it cannot get the whole path from the
/// router. [`PathView::whole_of`](crate::PathView::whole_of) refuses such a request, so a guard
/// refuses it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPrefix;

impl UnknownPrefix {
    /// Returns the mark of a request whose path may lack a prefix.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }
}
