//! One way to read a value that a layer or an adapter stored in a message.

use http::{Extensions, Uri, request, response};

/// A message, its head, or its extensions: the argument of every `X::of(source)`.
///
/// It is implemented for `http::Extensions`, for `http::Request<B>` and `http::Response<B>` with
/// any body, and for the `Parts` of both. So an app, an axum handler, and a tower service with
/// another body type read a value in the same way.
///
/// The trait is sealed: no other type can implement it.
///
/// ```
/// use http::{Request, request::Parts};
/// use vestibule_core::{HasExtensions, Scheme};
///
/// let request = Request::get("https://example.org/").body("a foreign body").unwrap();
/// assert_eq!(Scheme::of(&request), Scheme::Https);
///
/// let (parts, _) = request.into_parts();
/// assert_eq!(Scheme::of(&parts), Scheme::Https);
///
/// // Extensions alone know only what a layer or an adapter stored.
/// assert_eq!(Scheme::of(&parts.extensions), Scheme::Http);
/// ```
pub trait HasExtensions: sealed::Sealed {
    /// Returns the extensions of the message.
    fn extensions(&self) -> &Extensions;

    /// Returns the URI of a request, or `None` for a response and for bare extensions.
    fn uri(&self) -> Option<&Uri> {
        None
    }
}

impl HasExtensions for Extensions {
    fn extensions(&self) -> &Extensions {
        self
    }
}

impl<B> HasExtensions for http::Request<B> {
    fn extensions(&self) -> &Extensions {
        self.extensions()
    }

    fn uri(&self) -> Option<&Uri> {
        Some(self.uri())
    }
}

impl<B> HasExtensions for http::Response<B> {
    fn extensions(&self) -> &Extensions {
        self.extensions()
    }
}

impl HasExtensions for request::Parts {
    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn uri(&self) -> Option<&Uri> {
        Some(&self.uri)
    }
}

impl HasExtensions for response::Parts {
    fn extensions(&self) -> &Extensions {
        &self.extensions
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for http::Extensions {}
    impl<B> Sealed for http::Request<B> {}
    impl<B> Sealed for http::Response<B> {}
    impl Sealed for http::request::Parts {}
    impl Sealed for http::response::Parts {}
}
