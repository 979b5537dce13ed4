//! `vestibule serve FILE`: one file, and nothing else of its directory.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use vestibule::Outline;
use vestibule::files::{Directory, Entry, Source, Symlinks, Wait};

/// A directory in which one file, and its compressed copies, can be opened. Every other name is not found.
///
/// The file is opened by its name at each request: a file that is replaced, or a link that gets another target, is served
/// as it is then. The user named the path, so that a link is followed wherever it leads.
#[derive(Clone, Debug)]
pub(crate) struct OneFile {
    directory: Directory,
    name: String,
    /// Whether compressed copies can be opened too.
    with_copies: bool,
}

impl OneFile {
    /// Names the file at `path`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be opened, or the name is not UTF-8, which no URL could ask for.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| {
            let text = "its name is not UTF-8: rename it, or make a link to it";
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let directory: PathBuf = path.parent().unwrap_or(Path::new("/")).into();
        Ok(Self {
            directory: Directory::open(directory)?.symlinks(Symlinks::Follow),
            name: name.to_owned(),
            with_copies: false,
        })
    }

    /// Sets whether `name.br`, `name.zst` and `name.gz` can be opened. Defaults to `false`.
    pub(crate) fn with_copies(self, enabled: bool) -> Self {
        Self {
            with_copies: enabled,
            ..self
        }
    }

    /// The name of the file in its directory.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Source for OneFile {
    fn open(&self, name: &[u8], wait: Wait) -> io::Result<Entry> {
        if name.is_empty() {
            return Ok(Entry::Directory);
        }
        let is_served = match name.strip_prefix(self.name.as_bytes()) {
            Some(b"") => true,
            Some(ending) => self.with_copies && COPIES.contains(&ending),
            None => false,
        };
        match is_served.then(|| self.directory.open(name, wait)) {
            Some(Ok(Entry::File(stored))) => Ok(Entry::File(stored)),
            Some(Err(error)) => Err(error),
            // A directory that replaced the file would make everything below it reachable.
            Some(Ok(Entry::Directory)) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("file", self.directory.path().join(&self.name).display());
    }
}

/// The endings of compressed copies.
const COPIES: [&[u8]; 3] = [b".br", b".zst", b".gz"];
