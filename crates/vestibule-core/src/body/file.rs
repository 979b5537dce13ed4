//! The file behind a body.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A part of a file that has the same bytes as a body.
///
/// ```
/// use vestibule_core::{Body, FilePart};
/// use std::path::Path;
///
/// let body = Body::from("...").with_file(FilePart::new(Path::new("/srv/a.txt"), 0, 3));
/// assert_eq!(body.as_file().unwrap().length(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct FilePart {
    path: Arc<Path>,
    file: Option<Arc<File>>,
    start: u64,
    length: u64,
}

impl FilePart {
    /// Describes the part of the file at `path` that begins at `start` and is `length` bytes long.
    pub fn new(path: impl Into<Arc<Path>>, start: u64, length: u64) -> Self {
        Self {
            path: path.into(),
            file: None,
            start,
            length,
        }
    }

    /// Adds the open file. It stays correct if another file takes the path.
    #[must_use]
    pub fn with_file(mut self, file: Arc<File>) -> Self {
        self.file = Some(file);
        self
    }

    /// Returns the path at which the file was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the open file, if it was set.
    #[must_use]
    pub const fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    /// Returns the offset of the first byte.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

impl PartialEq for FilePart {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.start, self.length) == (&other.path, other.start, other.length)
    }
}
