//! Names that a file system finds although the request spells them in another case.
//!
//! A guard in front of `/private` compares bytes. On Windows and macOS the file system would also
//! find `/PRIVATE`. So a name that differs from the file's own name only by case is not found, as
//! on Linux.

#[cfg(target_vendor = "apple")]
use std::os::fd::AsFd;

/// Returns whether `asked` and `real` differ only by case.
///
/// Names that differ in another way are accepted: a link, a hard link, or another Unicode normal
/// form of the same text.
pub(crate) fn differs_by_case(asked: &str, real: &str) -> bool {
    asked != real && fold(asked) == fold(real)
}

/// Upper case first: only there do `ﬁ` and `FI`, or `ſ` and `s`, become equal.
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// Returns whether the open file has exactly the name `segment` in its folder, as far as the system
/// reports it.
#[cfg(target_vendor = "apple")]
pub(crate) fn is_called(fd: impl AsFd, segment: &[u8]) -> bool {
    let Ok(path) = rustix::fs::getpath(fd) else {
        return true;
    };
    let path = path.to_string_lossy();
    let real = path.rsplit('/').next().unwrap_or_default();
    !differs_by_case(&String::from_utf8_lossy(segment), real)
}

/// Returns whether `real`, the canonical path of a file, has each name of `asked` in the same
/// spelling.
#[cfg(not(unix))]
pub(crate) fn is_called(asked: &str, real: &std::path::Path) -> bool {
    let real = real.iter().rev().map(|name| name.to_string_lossy());
    let asked = asked.rsplit('/').filter(|segment| !segment.is_empty());
    // A followed link puts other names there, which differ by more than case.
    asked
        .zip(real)
        .all(|(asked, real)| !differs_by_case(asked, &real))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_alone() {
        let same_but_for_case = [
            ("private", "PRIVATE"),
            ("Private", "private"),
            ("private.HTML", "private.html"),
            ("ÄRGER", "ärger"),
            ("\u{212a}ey", "key"),
            ("\u{17f}ecret", "secret"),
            ("\u{fb01}le", "FILE"),
            ("stra\u{df}e", "STRASSE"),
        ];
        for (asked, real) in same_but_for_case {
            assert!(differs_by_case(asked, real), "{asked} {real}");
            assert!(differs_by_case(real, asked), "{real} {asked}");
        }
        let others = [
            ("private", "private"),
            ("private", "private2"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("link", "target"),
            ("", ""),
        ];
        for (asked, real) in others {
            assert!(!differs_by_case(asked, real), "{asked} {real}");
        }
    }

    /// Runs on each system, and checks something only where the file system ignores case.
    #[test]
    fn a_name_in_another_case_is_not_found() {
        use crate::{Directory, Source, Symlinks, Wait};

        let name = format!("vestibule-static-case-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir_all(root.join("private/Sub")).unwrap();
        std::fs::write(root.join("private/Sub/x.txt"), "x").unwrap();
        for symlinks in [Symlinks::Deny, Symlinks::Beneath, Symlinks::Follow] {
            let source = Directory::open(&root).unwrap().symlinks(symlinks);
            let is_found = |name: &str| source.open(name.as_bytes(), Wait::Allowed).is_ok();
            assert!(is_found("private") && is_found("private/Sub/x.txt"));
            for other in [
                "PRIVATE",
                "Private/Sub/x.txt",
                "private/sub/x.txt",
                "private/Sub/X.txt",
                "private/Sub/x.TXT",
            ] {
                assert!(!is_found(other), "{other}, {symlinks}");
            }
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
