//! A sidecar is a copy of its file, so the permissions of the file apply to it.

use std::io;

use crate::coding::Coding;
use crate::source::{Source, Wait};

/// Returns whether `name` is the name of a sidecar, such as `a.txt.gz`, whose file exists and is
/// refused by the rule for links.
///
/// A sidecar without its file is an independent file. Costs one more open for such names, and
/// nothing for others.
///
/// # Errors
///
/// `PermissionDenied` when the file cannot be read, and other errors of opening it.
pub(crate) fn is_refused<S: Source>(source: &S, name: &[u8], wait: Wait) -> io::Result<bool> {
    let mut name = name;
    while let Some(file) = file_of(name) {
        match source.open(file, wait) {
            Err(error) if is_refused_link(&error) => return Ok(true),
            Err(error) if !crate::static_files::is_missing(&error) => return Err(error),
            // A sidecar of a sidecar is also a copy of the first file.
            _ => name = file,
        }
    }
    Ok(false)
}

/// Returns the name of the file whose sidecar `name` would be. The case of the suffix does not
/// matter, since some file systems ignore case.
pub(crate) fn file_of(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    let (file, suffix) = name.split_at(dot);
    let is_coding = |coding: Coding| suffix.eq_ignore_ascii_case(coding.suffix().as_bytes());
    let own = file.rsplit(|&byte| byte == b'/').next()?;
    let is_name = !matches!(own, b"" | b"." | b"..");
    (is_name && Coding::ALL.into_iter().any(is_coding)).then_some(file)
}

/// Returns whether an error means that a link exists which leads out of the root, or which must not
/// be followed.
fn is_refused_link(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(Errno::from_io_error(error), Some(Errno::XDEV | Errno::LOOP))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Entry, Stored};

    #[test]
    fn names() {
        let cases = [
            ("a.txt.gz", Some("a.txt")),
            ("a.txt.br", Some("a.txt")),
            ("a.txt.zst", Some("a.txt")),
            ("a.txt.GZ", Some("a.txt")),
            ("sub/a.gz", Some("sub/a")),
            ("a.gz.br", Some("a.gz")),
            ("a.tar.gz", Some("a.tar")),
            ("a.txt", None),
            ("gz", None),
            (".gz", None),
            ("sub/.gz", None),
            ("..gz", None),
            ("...gz", None),
            ("sub.gz/a", None),
            ("a.gzip", None),
            ("a.gz.", None),
            ("", None),
        ];
        for (name, expected) in cases {
            let found = file_of(name.as_bytes()).map(|name| str::from_utf8(name).unwrap());
            assert_eq!(found, expected, "{name}");
        }
    }

    #[derive(Clone)]
    struct Rights;

    impl Source for Rights {
        fn open(&self, name: &[u8], wait: Wait) -> io::Result<Entry> {
            match name {
                b"private" => Err(io::ErrorKind::PermissionDenied.into()),
                b"cold" if wait == Wait::Never => Err(io::ErrorKind::WouldBlock.into()),
                b"broken" => Err(io::Error::other("the disk")),
                b"folder" => Ok(Entry::Directory),
                b"gone" => Err(io::ErrorKind::NotFound.into()),
                _ => Ok(Entry::File(Stored::memory("x"))),
            }
        }
    }

    #[test]
    fn sidecars_of_files_that_are_refused() {
        use io::ErrorKind::{Other, PermissionDenied, WouldBlock};

        let cases = [
            ("private.gz", Wait::Never, Some(PermissionDenied)),
            ("private.br", Wait::Allowed, Some(PermissionDenied)),
            ("private.gz.br", Wait::Never, Some(PermissionDenied)),
            ("private", Wait::Never, None),
            ("private.txt", Wait::Never, None),
            ("cold.gz", Wait::Never, Some(WouldBlock)),
            ("cold.gz", Wait::Allowed, None),
            ("broken.zst", Wait::Allowed, Some(Other)),
            ("folder.gz", Wait::Never, None),
            ("gone.gz", Wait::Never, None),
            ("public.gz", Wait::Never, None),
        ];
        for (name, wait, expected) in cases {
            match (is_refused(&Rights, name.as_bytes(), wait), expected) {
                (Ok(is_refused), None) => assert!(!is_refused, "{name}"),
                (Err(error), Some(kind)) => assert_eq!(error.kind(), kind, "{name}"),
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
    }
}
