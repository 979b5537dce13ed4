//! Files that are built into the program.

use std::fmt;
use std::io;

use bytes::Bytes;
use vestibule_core::Outline;

use crate::source::{Entry, Listed, Source, Stored, Wait};

/// Files that were built into the program, with entity tags and sidecars.
///
/// `Embed` (feature `embed`) generates the value from a build script; it can also be written by
/// hand. It does no work at start and copies nothing: responses borrow the bytes of the program.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
/// use vestibule_static::{Embedded, EmbeddedFile, StaticFiles};
///
/// static SITE: Embedded = Embedded::new(&[EmbeddedFile {
///     name: "index.html",
///     bytes: b"<p>hello",
///     tag: "v1",
/// }]);
///
/// let response = StaticFiles::from_source(SITE).call(Request::default()).await;
/// assert_eq!(response.headers()["etag"], "\"v1\"");
/// assert_eq!(response.into_body().collect(99).await.unwrap(), "<p>hello");
/// # }
/// ```
#[doc(alias("include_dir", "rust-embed"))]
#[derive(Clone, Copy)]
pub struct Embedded {
    files: &'static [EmbeddedFile],
}

/// A file that was built into the program.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "generated code makes it")]
pub struct EmbeddedFile {
    /// The name below the root.
    pub name: &'static str,
    /// The content.
    pub bytes: &'static [u8],
    /// The strong entity tag without its quotes: a hash of the content.
    pub tag: &'static str,
}

impl Embedded {
    /// Takes `files` sorted by name, byte by byte.
    ///
    /// # Panics
    ///
    /// Panics when the files are not sorted, or when a name occurs twice. In a `static` this is a
    /// compile error.
    #[must_use]
    pub const fn new(files: &'static [EmbeddedFile]) -> Self {
        let mut index = 1;
        while index < files.len() {
            assert!(
                is_before(
                    files[index - 1].name.as_bytes(),
                    files[index].name.as_bytes()
                ),
                "embedded files must be sorted by name, without duplicates"
            );
            index += 1;
        }
        Self { files }
    }

    /// Iterates over the files below the directory `name`: the rest of each name, and the file.
    fn below(self, name: &[u8]) -> impl Iterator<Item = (&'static [u8], &'static EmbeddedFile)> {
        let prefix = match name {
            b"" => Vec::new(),
            _ => [name, b"/"].concat(),
        };
        let start = self
            .files
            .partition_point(|file| file.name.as_bytes() < &*prefix);
        self.files[start..]
            .iter()
            .map_while(move |file| Some((file.name.as_bytes().strip_prefix(&*prefix)?, file)))
    }
}

impl Source for Embedded {
    fn open(&self, name: &[u8], _: Wait) -> io::Result<Entry> {
        let found = self
            .files
            .binary_search_by(|file| file.name.as_bytes().cmp(name));
        match found {
            Ok(index) => {
                let file = &self.files[index];
                let stored = Stored::memory(Bytes::from_static(file.bytes));
                Ok(Entry::File(stored.tag(file.tag)))
            }
            Err(_) if name.is_empty() || self.below(name).next().is_some() => Ok(Entry::Directory),
            Err(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, name: &[u8]) -> io::Result<Vec<Listed>> {
        let mut found: Vec<Listed> = Vec::new();
        for (name, file) in self.below(name) {
            let slash = name.iter().position(|&byte| byte == b'/');
            let own = &name[..slash.unwrap_or(name.len())];
            // The files of a directory are not always adjacent: `a-b` is between `a` and `a/c`.
            if slash.is_some()
                && found
                    .iter()
                    .rev()
                    .any(|other| other.is_directory && other.name == own)
            {
                continue;
            }
            found.push(Listed {
                name: own.to_vec(),
                is_directory: slash.is_some(),
                is_link: false,
                length: if slash.is_some() {
                    0
                } else {
                    file.bytes.len() as u64
                },
                modified: None,
            });
        }
        Ok(found)
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("files in the program", self.files.len());
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files).finish()
    }
}

impl fmt::Debug for EmbeddedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedFile")
            .field("name", &self.name)
            .field("length", &self.bytes.len())
            .field("tag", &self.tag)
            .finish()
    }
}

/// Returns whether `a` sorts before `b`.
const fn is_before(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() {
        if a[index] != b[index] {
            return a[index] < b[index];
        }
        index += 1;
    }
    a.len() < b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn file(name: &'static str) -> EmbeddedFile {
        EmbeddedFile {
            name,
            bytes: b"x",
            tag: "x",
        }
    }

    static FILES: Embedded = Embedded::new(&[file("a-b"), file("a/c"), file("a/d/e"), file("b")]);

    #[test]
    fn names() {
        let open = |name: &str| FILES.open(name.as_bytes(), Wait::Never);
        for name in ["a-b", "a/c", "a/d/e", "b"] {
            assert!(matches!(open(name), Ok(Entry::File(_))), "{name}");
        }
        for name in ["", "a", "a/d"] {
            assert!(matches!(open(name), Ok(Entry::Directory)), "{name}");
        }
        for name in ["c", "a/", "a/d/", "a/d/e/f", "a-"] {
            assert!(open(name).is_err(), "{name}");
        }
        let list = |name: &str| -> Vec<_> {
            let listed = FILES.list(name.as_bytes()).unwrap();
            listed
                .into_iter()
                .map(|entry| String::from_utf8(entry.name).unwrap())
                .collect()
        };
        assert_eq!(list(""), ["a-b", "a", "b"]);
        assert_eq!(list("a"), ["c", "d"]);
    }

    #[test]
    #[should_panic(expected = "must be sorted by name")]
    fn order() {
        let _ = Embedded::new(&[const { file("b") }, const { file("a") }]);
    }
}
