//! Why TLS cannot be set up.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use vestibule_core::BoxError;

/// Why TLS cannot be set up; it turns into an [`io::Error`].
#[derive(Debug)]
pub struct TlsError {
    what: String,
    error: BoxError,
}

impl TlsError {
    pub(super) fn new(what: impl Into<String>, error: impl Into<BoxError>) -> Self {
        Self {
            what: what.into(),
            error: error.into(),
        }
    }

    pub(super) fn file(path: &Path, error: impl Into<BoxError>) -> Self {
        Self::new(format!("`{}`", path.display()), error)
    }

    /// A fault in a line of a file.
    pub(super) fn line(path: &Path, line: usize, why: impl fmt::Display) -> Self {
        Self::file(path, format!("line {line}: {why}"))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}", self.what, self.error)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
