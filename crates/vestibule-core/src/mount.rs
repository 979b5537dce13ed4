//! The mount prefix of an app in the URL space.

use std::sync::Arc;

use crate::{HasExtensions, Request};

/// The position of an app below a prefix; an extension of requests that [`Mounts`](crate::Mounts)
/// sets.
///
/// Mounts never change `request.uri()`: its path is always the prefix followed by the rest. The two
/// parts are WSGI's `SCRIPT_NAME` and `PATH_INFO`, but not decoded.
///
/// ```
/// use vestibule_core::Mount;
///
/// let mount = Mount::new("/app/users", 4);
/// assert_eq!((mount.prefix(), mount.rest()), ("/app", "/users"));
/// ```
#[doc(alias("SCRIPT_NAME", "PATH_INFO", "nest", "prefix"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    path: Arc<str>,
    at: usize,
}

impl Mount {
    /// Creates a mount whose prefix is the first `at` bytes of `path`.
    ///
    /// # Panics
    ///
    /// Panics unless `at` is the end of the path or the position of a `/`.
    pub fn new(path: impl Into<Arc<str>>, at: usize) -> Self {
        let path = path.into();
        let ends_well = path.len() == at || path.as_bytes().get(at) == Some(&b'/');
        assert!(ends_well, "a mount at byte {at} of {path:?} cuts a segment");
        Self { path, at }
    }

    /// Returns the mount of a request, or `None` when it is not below one.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// Returns the path of a request below its mount: the whole path when there is none.
    #[must_use]
    pub fn rest_of<B>(request: &http::Request<B>) -> &str {
        match Self::of(request) {
            Some(mount) => mount.rest(),
            None => request.uri().path(),
        }
    }

    /// Extends the mount of a request by the next `length` bytes of its path.
    pub(crate) fn descend(request: &mut Request, length: usize) {
        let mount = match Self::of(request) {
            Some(outer) => Self::new(outer.path.clone(), outer.at + length),
            None => Self::new(request.uri().path(), length),
        };
        request.extensions_mut().insert(mount);
    }

    /// Returns the part of the path before the app: empty, or `/` and more, without a slash at its
    /// end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.path[..self.at]
    }

    /// Returns the part of the path for the app: empty, or `/` and more.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.path[self.at..]
    }
}
