//! The file behind a body.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A part of a file, whose bytes are those of a body.
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
    /// The part of the file at `path` that begins at `start` and is `length` bytes long.
    pub fn new(path: impl Into<Arc<Path>>, start: u64, length: u64) -> Self {
        Self {
            path: path.into(),
            file: None,
            start,
            length,
        }
    }

    /// Adds the open file, which stays the right one when its name is given to another.
    #[must_use]
    pub fn with_file(mut self, file: Arc<File>) -> Self {
        self.file = Some(file);
        self
    }

    /// The path by which the file was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, where there is one.
    #[must_use]
    pub const fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    /// The first byte, counted from 0.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes.
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
