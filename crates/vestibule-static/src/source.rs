//! Stores of files.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderValue};
use vestibule_core::Outline;
use vestibule_fields::date::HttpDate;
use vestibule_fields::etag::ETag;

use crate::conditions::names_tag;
use crate::file_body::read_whole;
use crate::open_file::OpenFile;

/// A store of files by name.
///
/// A name is relative, in bytes, with `/` between its segments; the root's name is empty. Names are
/// checked before they reach the source: no segment is empty, `.` or `..`, contains `/`, `\` or
/// control bytes, or is longer than 255 bytes.
///
/// [`Directory`](crate::Directory) is the source for a folder on disk, [`Memory`](crate::Memory)
/// the one for bytes in memory.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::io;
/// use vestibule_core::{App, Request};
/// use vestibule_static::{Entry, Source, StaticFiles, Stored, Wait};
///
/// /// Every number is a file.
/// #[derive(Clone)]
/// struct Numbers;
///
/// impl Source for Numbers {
///     fn open(&self, name: &[u8], _: Wait) -> io::Result<Entry> {
///         match name.iter().all(u8::is_ascii_digit) {
///             true => Ok(Entry::File(Stored::memory(name.to_vec()).tag("v1"))),
///             false => Err(io::ErrorKind::NotFound.into()),
///         }
///     }
/// }
///
/// let app = StaticFiles::from_source(Numbers);
/// let mut request = Request::default();
/// *request.uri_mut() = "/42".parse().unwrap();
/// assert_eq!(app.call(request).await.into_body().collect(9).await.unwrap(), "42");
/// # }
/// ```
pub trait Source: Clone + Send + Sync + 'static {
    /// Opens the file or directory called `name`.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotADirectory` and similar kinds become a 404, `PermissionDenied` a 403, other
    /// kinds a 500.
    ///
    /// `WouldBlock` means that the call would wait for the disk. It is repeated with
    /// [`Wait::Allowed`] on a thread that may wait. A source in memory can ignore `wait`.
    fn open(&self, name: &[u8], wait: Wait) -> io::Result<Entry>;

    /// Returns the entries of the directory called `name`, in any order. Called on a thread that
    /// may wait.
    ///
    /// # Errors
    ///
    /// The same as for [`open`](Self::open).
    fn list(&self, name: &[u8]) -> io::Result<Vec<Listed>> {
        let _ = name;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Describes the location of the files in the outline.
    fn describe(&self, outline: &mut Outline) {
        let _ = outline;
    }
}

/// Whether a call to a [`Source`] may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The calling thread also serves other requests: return at once, or fail with `WouldBlock`.
    Never,
    /// The calling thread serves only this request.
    Allowed,
}

/// The item that a name refers to.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A file.
    File(Stored),
    /// A directory.
    Directory,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name of the entry in its directory, in bytes.
    pub name: Vec<u8>,
    /// Whether it is a directory, or a link to one.
    pub is_directory: bool,
    /// Whether it is a symbolic link.
    pub is_link: bool,
    /// The length in bytes; 0 for directories.
    pub length: u64,
    /// The modification time, if known.
    pub modified: Option<HttpDate>,
}

/// A file: its bytes and its validators.
#[derive(Clone)]
pub struct Stored {
    pub(crate) content: Content,
    pub(crate) length: u64,
    pub(crate) modified: Option<HttpDate>,
    /// The strong entity tag, as in the header.
    pub(crate) tag: Option<HeaderValue>,
    /// Prepared header values.
    pub(crate) made: Option<Arc<Made>>,
}

/// Values that are computed once for a file that is sent often.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) modified: Option<HeaderValue>,
    pub(crate) length: HeaderValue,
    /// All bytes of a file on disk.
    pub(crate) bytes: Option<Bytes>,
}

#[derive(Clone)]
pub(crate) enum Content {
    Memory(Bytes),
    File(OpenFile),
}

impl Stored {
    /// Creates a file from bytes in memory, without validators.
    ///
    /// ```
    /// use vestibule_static::Stored;
    ///
    /// assert_eq!(Stored::memory("hello").length(), 5);
    /// ```
    pub fn memory(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            length: bytes.len() as u64,
            content: Content::Memory(bytes),
            modified: None,
            tag: None,
            made: None,
        }
    }

    /// Creates a file from an open regular file and the path that it was opened from. Its entity
    /// tag is a hash of its size and its modification time.
    ///
    /// The modification time cannot distinguish versions when it is before 1986 (a constant of
    /// archives) or in the current moment. The hash then also covers the inode and its change time.
    ///
    /// # Errors
    ///
    /// Fails when the metadata cannot be read, and with `NotFound` when it is not a regular file.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::path::Path;
    /// use vestibule_static::Stored;
    ///
    /// let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    /// assert!(Stored::file(File::open(path)?, path)?.length() > 100);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn file(file: File, path: impl Into<Arc<Path>>) -> io::Result<Self> {
        match OpenFile::new(file, path.into(), Arc::default())? {
            Some(file) => Ok(Self::open(file)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(crate) fn open(file: OpenFile) -> Self {
        let (modified, tag) = file.validators();
        Self {
            length: file.length(),
            content: Content::File(file),
            modified,
            tag,
            made: None,
        }
    }

    /// Returns the path that it was opened from, if it is on disk.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.content {
            Content::Memory(_) => None,
            Content::File(file) => Some(file.path()),
        }
    }

    /// Sets the modification time.
    #[must_use]
    pub fn modified(mut self, date: HttpDate) -> Self {
        self.modified = Some(date);
        self.made = None;
        self
    }

    /// Sets the strong entity tag, without its quotes: visible ASCII other than `"`. An invalid tag
    /// removes the tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = ETag::strong(tag).ok().map(|tag| tag.to_header_value());
        self
    }

    /// Computes the header values now, so that later responses reuse them. `bytes` are all bytes of
    /// a file on disk.
    #[cfg(target_os = "linux")]
    pub(crate) fn make(&mut self, bytes: Option<Bytes>) {
        self.made = Some(Arc::new(Made {
            modified: self.modified.map(HttpDate::to_header_value),
            length: self.length.into(),
            bytes,
        }));
    }

    /// Changes the tag for a content coding: two codings of one file must not share a tag.
    pub(crate) fn tag_coding(&mut self, token: &str) {
        self.tag = with_coding(self.tag.take(), Some(token));
    }

    /// Uses the tag that the file had when it was new, if a condition of the request names that
    /// tag. The client can then continue with it; see [`OpenFile::validators`].
    pub(crate) fn take_tag_of_request(
        &mut self,
        headers: &HeaderMap,
        coding: Option<&str>,
        now: HttpDate,
    ) {
        let has_condition = [IF_NONE_MATCH, IF_RANGE, IF_MATCH]
            .into_iter()
            .any(|name| headers.contains_key(name));
        let (true, Content::File(file)) = (has_condition, &self.content) else {
            return;
        };
        let [later, new] = file.tags().map(|tag| with_coding(tag, coding));
        let is_named =
            |tag: &HeaderValue| ETag::parse(tag).is_some_and(|tag| names_tag(headers, &tag, now));
        // A source may have set another tag.
        if self.tag == later
            && !later.as_ref().is_some_and(is_named)
            && new.as_ref().is_some_and(is_named)
        {
            self.tag = new;
        }
    }

    /// Returns the first bytes, at most `size`.
    pub(crate) fn head(&self, size: usize, wait: Wait) -> io::Result<Bytes> {
        let size = usize::try_from(self.length).map_or(size, |length| length.min(size));
        match (&self.content, self.kept_bytes()) {
            (Content::Memory(bytes), _) | (_, Some(bytes)) => Ok(bytes.slice(..size)),
            (Content::File(file), None) => read_whole(file, 0, size, wait),
        }
    }

    /// Reads the first bytes into `buffer` with at most one system call; the result may be shorter.
    /// Does not check whether the file has changed, since the bytes only show the kind of file.
    pub(crate) fn read_start<'b>(
        &'b self,
        buffer: &'b mut [u8],
        wait: Wait,
    ) -> io::Result<&'b [u8]> {
        let count = match (&self.content, self.kept_bytes()) {
            (Content::Memory(bytes), _) | (_, Some(bytes)) => {
                return Ok(&bytes[..bytes.len().min(buffer.len())]);
            }
            (Content::File(_), None) if self.length == 0 => 0,
            (Content::File(file), None) => match wait {
                Wait::Never => file.read_now(buffer, 0)?,
                Wait::Allowed => file.read(buffer, 0)?,
            },
        };
        Ok(&buffer[..count])
    }

    /// Returns all bytes of a file on disk, if they are cached.
    fn kept_bytes(&self) -> Option<&Bytes> {
        self.made.as_ref().and_then(|made| made.bytes.as_ref())
    }

    /// Reads at most `size` bytes from an offset, and waits for the disk.
    pub(crate) fn part(&self, start: u64, size: usize) -> io::Result<Bytes> {
        match &self.content {
            Content::Memory(bytes) => {
                let start = usize::try_from(start).map_or(bytes.len(), |it| it.min(bytes.len()));
                Ok(bytes.slice(start..start.saturating_add(size).min(bytes.len())))
            }
            Content::File(file) => read_whole(file, start, size, Wait::Allowed),
        }
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

/// Returns the tag of a file in a content coding.
fn with_coding(tag: Option<HeaderValue>, coding: Option<&str>) -> Option<HeaderValue> {
    let Some(token) = coding else {
        return tag;
    };
    let tag = tag.as_ref().and_then(ETag::parse)?;
    let tag = [b"\"", tag.opaque(), b"-", token.as_bytes(), b"\""].concat();
    HeaderValue::try_from(tag).ok()
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = match &self.content {
            Content::Memory(_) => "memory".to_owned(),
            Content::File(file) => file.path().display().to_string(),
        };
        f.debug_struct("Stored")
            .field("content", &content)
            .field("length", &self.length)
            .field("modified", &self.modified)
            .field("tag", &self.tag)
            .finish()
    }
}
