//! The name of a file: the segments of a path, each safe to pass to a file system.

use std::borrow::Cow;

use vestibule_core::PathView;

/// A relative name in bytes: segments with `/` between them. No segment is empty, `.` or `..`. The
/// root's name is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a>(Cow<'a, [u8]>);

/// The reason why a path is not the name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoName {
    /// A part begins with a dot, also after an escaped slash or backslash.
    Dot,
    /// No file can have this name: a segment has a slash, a backslash or a control byte, or is too
    /// long. It can still be a route of an app.
    NotAFile,
}

impl<'a> Name<'a> {
    /// Returns the file name in the path of `view`.
    ///
    /// Refuses segments with `/`, `\` or control bytes, and segments above 255 bytes. Refuses dot
    /// files unless `dotfiles` is set. The first segment may always be `.well-known` (RFC 8615).
    pub(crate) fn of(view: &PathView<'a>, dotfiles: bool) -> Result<Self, NoName> {
        let is_allowed = |(index, segment): (usize, &[u8])| {
            Self::allows(segment, dotfiles) || (index == 0 && segment == WELL_KNOWN)
        };
        if !view
            .segments()
            .enumerate()
            .all(|(index, segment)| is_allowed((index, &segment)))
        {
            let has_dot = view.segments().enumerate().any(|(index, segment)| {
                let mut parts = segment.split(|byte| matches!(byte, b'/' | b'\\'));
                let is_dotted = |part: &[u8]| match part {
                    b"." | b".." => true,
                    _ => !dotfiles && part.first() == Some(&b'.'),
                };
                !(index == 0 && *segment == *WELL_KNOWN) && parts.any(is_dotted)
            });
            return Err(if has_dot {
                NoName::Dot
            } else {
                NoName::NotAFile
            });
        }
        let raw = view.raw();
        let name = if raw.contains('%') {
            let segments: Vec<_> = view.segments().collect();
            Cow::Owned(segments.join(&b'/'))
        } else {
            let raw = raw.strip_prefix('/').unwrap_or(raw);
            Cow::Borrowed(raw.strip_suffix('/').unwrap_or(raw).as_bytes())
        };
        match name.len() <= MAX_NAME {
            true => Ok(Self(name)),
            false => Err(NoName::NotAFile),
        }
    }

    /// Returns whether a file called `segment` can be requested.
    pub(crate) fn allows(segment: &[u8], dotfiles: bool) -> bool {
        is_sound(segment)
            && (cfg!(not(windows)) || is_sound_on_windows(segment))
            && (dotfiles || segment.first() != Some(&b'.'))
    }

    /// Returns the bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns a copy that borrows nothing.
    pub(crate) fn into_owned(self) -> Name<'static> {
        Name(Cow::Owned(self.0.into_owned()))
    }
}

/// Returns whether the name is safe on every system.
fn is_sound(segment: &[u8]) -> bool {
    segment.len() <= MAX_SEGMENT
        && !segment
            .iter()
            .any(|byte| matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f))
}

/// Returns whether Windows reads the name as written: not a device, an alternate stream or a short
/// name of another file, and without characters that Windows removes.
///
/// Source: Microsoft, "Naming Files, Paths, and Namespaces".
fn is_sound_on_windows(segment: &[u8]) -> bool {
    let reserved = |byte: &u8| matches!(byte, b'<' | b'>' | b':' | b'"' | b'|' | b'?' | b'*');
    if segment.iter().any(reserved) || matches!(segment.last(), Some(b'.' | b' ')) {
        return false;
    }
    let Ok(text) = std::str::from_utf8(segment) else {
        return false;
    };
    let stem = text.split('.').next().unwrap_or(text);
    if is_short_name(stem) {
        return false;
    }
    let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
    let is_numbered = |prefix| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            matches!(rest.chars().next(), Some('0'..='9' | '¹' | '²' | '³'))
                && rest.chars().count() == 1
        })
    };
    !matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        && !is_numbered("COM")
        && !is_numbered("LPT")
}

/// Returns whether the part before the extension is the short name of another file: Windows finds
/// `.env` also as `ENV~1`, which no rule for the long name matches.
///
/// Source: MS-FSCC, section 2.1.5.2.1, "8.3 Filename": at most eight characters that end in `~` and
/// digits.
fn is_short_name(stem: &str) -> bool {
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    let is_numbered = stem
        .rsplit_once('~')
        .is_some_and(|(_, digits)| is_number(digits));
    is_numbered && stem.chars().count() <= 8
}

/// The maximum length of a segment on common file systems, in bytes.
const MAX_SEGMENT: usize = 255;

/// The maximum length of a name in bytes. `PATH_MAX` of the kernel is 4096 with its NUL.
const MAX_NAME: usize = 4095;

/// RFC 8615.
pub(crate) const WELL_KNOWN: &[u8] = b".well-known";

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str, dotfiles: bool) -> Option<String> {
        let name = Name::of(&PathView::parse(path).ok()?, dotfiles).ok()?;
        Some(String::from_utf8_lossy(name.as_bytes()).into_owned())
    }

    #[test]
    fn names() {
        let long = format!("/{}", "a".repeat(255));
        let cases = [
            ("/", Some("")),
            ("", Some("")),
            ("/a", Some("a")),
            ("/a/", Some("a")),
            ("/a/b.txt", Some("a/b.txt")),
            ("/%61/b%20c", Some("a/b c")),
            ("/%252e%252e/x", Some("%2e%2e/x")),
            ("/..;/x", None),
            ("/...", None),
            ("/a%2Fb", None),
            ("/a%5Cb", None),
            ("/a\\b", None),
            ("/%5c..%5cx", None),
            ("/a%0Ab", None),
            ("/a%7F", None),
            ("/a%00", None),
            ("/.env", None),
            ("/.git/config", None),
            ("/a/.well-known/x", None),
            ("/.well-known/x", Some(".well-known/x")),
            ("/.well-known", Some(".well-known")),
            ("/.well-known/.x", None),
            ("/.well-knownx", None),
            ("/%2Ewell-known/x", Some(".well-known/x")),
            (&long, Some(&long[1..])),
            ("/..", None),
        ];
        for (path, want) in cases {
            assert_eq!(name(path, false).as_deref(), want, "{path}");
        }
        assert_eq!(name(&format!("{long}a"), false), None);
        assert_eq!(name(&"/abcdefg".repeat(600), false), None);
        assert_eq!(name("/.env", true).as_deref(), Some(".env"));
        assert_eq!(name("/..", true), None);
    }

    #[test]
    fn dot_names_differ_from_invalid_names() {
        let long = format!("/verify/{}", "a".repeat(289));
        let deep = "/abcdefg".repeat(600);
        let cases = [
            ("/.env", false, NoName::Dot),
            ("/a/.git/config", false, NoName::Dot),
            ("/...", false, NoName::Dot),
            ("/a/.well-known/x", false, NoName::Dot),
            ("/.git/a%2Fb", false, NoName::Dot),
            ("/a%2F.env", false, NoName::Dot),
            ("/a%5C.env", false, NoName::Dot),
            ("/..%2F..%2Fetc%2Fpasswd", false, NoName::Dot),
            ("/a%2F..%2F..%2Fetc", true, NoName::Dot),
            ("/a%2F.env", true, NoName::NotAFile),
            ("/repo/owner%2Fname", false, NoName::NotAFile),
            ("/search/a%5Cb", false, NoName::NotAFile),
            ("/search/a%0Ab", false, NoName::NotAFile),
            (&long, false, NoName::NotAFile),
            (&deep, false, NoName::NotAFile),
        ];
        for (path, dotfiles, want) in cases {
            let view = PathView::parse(path).unwrap();
            assert_eq!(Name::of(&view, dotfiles), Err(want), "{path}");
        }
    }

    #[test]
    fn names_on_windows() {
        let refused = [
            "con",
            "CON.txt",
            "nul",
            "NUL .txt",
            "aux.tar.gz",
            "com1",
            "COM¹.log",
            "lpt9.x",
            "c:",
            "a:b",
            "a.txt::$DATA",
            "a.",
            "a ",
            "a?",
            "a*",
            "<a>",
            "a|b",
            "\"",
            "ENV~1",
            "git~1",
            "HTACCE~1",
            "INDEX~12.HTM",
            "~1",
        ];
        for segment in refused {
            assert!(!is_sound_on_windows(segment.as_bytes()), "{segment}");
        }
        for segment in [
            "console",
            "com",
            "com10",
            "a.con",
            "null",
            "lpt",
            "a b",
            "ä",
            "~",
            "a~",
            "a~b",
            "~tilde",
            "backup-of-index~1.html",
            "x.y~1",
        ] {
            assert!(is_sound_on_windows(segment.as_bytes()), "{segment}");
        }
        assert!(!is_sound_on_windows(b"\xff"));
    }
}
