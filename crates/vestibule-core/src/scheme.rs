//! The URL scheme of a request: `http` or `https`.

use std::fmt;

use http::Uri;

use crate::HasExtensions;

/// The scheme of the URL that the client requested; an extension that adapters set, and middleware
/// that trusts a proxy.
///
/// ```
/// use vestibule_core::{Request, Scheme};
///
/// let mut request = Request::default();
/// assert_eq!(Scheme::of(&request), Scheme::Http);
/// request.extensions_mut().insert(Scheme::Https);
/// assert_eq!(Scheme::of(&request).as_str(), "https");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`, without encryption.
    #[default]
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// Returns the scheme of a request: the stored one, or that of the request URI, or `http`.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions, which have no URI.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Self {
        let stored = source.extensions().get().copied();
        stored.unwrap_or_else(|| match source.uri().and_then(Uri::scheme_str) {
            Some("https") => Self::Https,
            _ => Self::Http,
        })
    }

    /// Returns `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the default port of the scheme.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
