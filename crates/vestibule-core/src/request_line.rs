//! The first line of a request that could not be parsed.

use std::sync::Arc;

use crate::HasExtensions;

/// The request line as the client sent it; an extension of requests that the adapter's parser
/// refused.
///
/// Such a request reaches no app. An adapter may pass it with this extension to an access log. The
/// log then writes this line, since the method and the target are not known.
///
/// ```
/// use vestibule_core::{Request, RequestLine};
///
/// let mut request = Request::default();
/// assert!(RequestLine::of(&request).is_none());
///
/// request.extensions_mut().insert(RequestLine::new(b"GET /a b HTTP/1.1"));
/// assert_eq!(RequestLine::of(&request).unwrap().as_bytes(), b"GET /a b HTTP/1.1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine(Arc<[u8]>);

impl RequestLine {
    /// Creates the extension from the bytes of a line, without its end.
    #[must_use]
    pub fn new(line: &[u8]) -> Self {
        Self(line.into())
    }

    /// Returns the line of a request that could not be parsed.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// Returns the line. It may hold any byte: code that writes it escapes it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
