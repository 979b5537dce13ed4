//! The absolute paths of a root, so that absolute links can lead to files inside it.
//!
//! The kernel's `RESOLVE_BENEATH` refuses every link with an absolute target. A target below the
//! root is resolved below the open root instead, so nothing outside is opened. The root has several
//! paths: the path as configured, the path without links, and one path for each link that leads to
//! it (a deployment's `current`).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Returns the part of the absolute link `target` that is below the root at `path`; `None` when it
/// leads elsewhere.
///
/// `is_root` returns whether a path currently leads to the open root.
pub(crate) fn below_root(
    target: &[u8],
    path: &Path,
    is_root: impl Fn(&Path) -> bool,
) -> Option<Vec<u8>> {
    let names = names(path);
    let segments: Vec<&[u8]> = target
        .split(|&byte| byte == b'/')
        .filter(|segment| !matches!(*segment, b"" | b"."))
        .collect();
    // The target up to each segment, as written and with each `..` resolved.
    let (mut written, mut plain) = (PathBuf::from("/"), PathBuf::from("/"));
    let mut rest = None;
    for before in 0..=segments.len() {
        // When a link precedes a `..`, the resolved text can be another path. So ask the system.
        if names.contains(&plain) && is_root(&written) {
            rest = Some(&segments[before..]);
        }
        if let Some(segment) = segments.get(before) {
            written.push(OsStr::from_bytes(segment));
            if *segment == b".." {
                plain.pop();
            } else {
                plain.push(OsStr::from_bytes(segment));
            }
        }
    }
    Some(rest?.join(&b'/'))
}

/// Returns the absolute paths of the root at `path`, without `..`.
fn names(path: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    // A shell's working directory may contain links, which only its variable `PWD` shows.
    let shell = std::env::var_os("PWD").map(|folder| Path::new(&folder).join(path));
    for start in std::path::absolute(path).into_iter().chain(shell) {
        let mut link = start;
        for _ in 0..MAX_LINKS {
            names.push(without_dots(&link));
            let Ok(target) = fs::read_link(&link) else {
                break;
            };
            link = link.parent().unwrap_or(Path::new("/")).join(target);
        }
    }
    names.extend(fs::canonicalize(path));
    names
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

/// Maximum number of links to follow, as in the kernel.
const MAX_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let is_root = |path: &Path| !path.starts_with("/link");
        let cases = [
            ("/srv/site/a", Some("a")),
            ("/srv/site", Some("")),
            ("/srv/site/", Some("")),
            ("//srv/./site//sub/./a", Some("sub/a")),
            ("/srv/site/sub/../a", Some("a")),
            ("/srv/other/../site/a", Some("a")),
            ("/srv/site/../site/a", Some("a")),
            ("/srv/site/..", Some("..")),
            ("/srv/site/../a", Some("../a")),
            ("/srv/site/../../etc/passwd", Some("../../etc/passwd")),
            ("/srv/site-2/a", None),
            ("/srv/sit", None),
            ("/srv", None),
            ("/", None),
            ("/etc/passwd", None),
            ("/proc/self/cwd/a", None),
            // `is_root` returns false for this path.
            ("/link/../srv/site/a", None),
            ("/srv/site/out/../../site/a", Some("a")),
        ];
        for (target, expected) in cases {
            let found = below_root(target.as_bytes(), Path::new("/srv/site"), is_root);
            let found = found.map(|rest| String::from_utf8(rest).unwrap());
            assert_eq!(found.as_deref(), expected, "{target}");
        }
        let of_all = below_root(b"/etc/passwd", Path::new("/"), |_| true);
        assert_eq!(of_all.unwrap(), b"etc/passwd");
    }
}
