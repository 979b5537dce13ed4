//! One way to read a path.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::{Failure, FailureKind, IntoResponse, Mount, Response, UnknownPrefix};

/// The path of a request, decoded once, in segments.
///
/// Mounts, guards and static files all look at this view, so that a guard and the file behind it
/// can never disagree about what a path means. A path that could be read in two ways has no view:
/// one with `.` or `..` segments (however they are spelt), an empty segment (`//`), NUL, or a
/// broken escape. A slash that came as `%2F` stays inside its segment.
///
/// Making a view copies nothing.
///
/// ```
/// use vestibule_core::PathView;
///
/// let view = PathView::parse("/adm%69n/a%2Fb/").unwrap();
/// let segments: Vec<_> = view.segments().collect();
/// assert_eq!(segments, [&b"admin"[..], b"a/b"]);
/// assert!(view.has_trailing_slash());
/// assert!(view.starts_with("/admin"));
/// assert!(!view.starts_with("/adm"));
///
/// assert!(PathView::parse("/a/%2e%2e/b").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathView<'a> {
    /// Known to be sound: every function below may take that for granted.
    raw: &'a str,
}

impl<'a> PathView<'a> {
    /// The view of a request's path; below a mount, of the path after the mount's prefix.
    ///
    /// # Errors
    ///
    /// [`PathError`] when the path could be read in two ways; as a response it is a 400.
    pub fn of<B>(request: &'a http::Request<B>) -> Result<Self, PathError> {
        Self::parse(Mount::rest_of(request))
    }

    /// Returns the view of a request's whole path, also below a mount: for guards, whose rules are about
    /// the paths that clients ask for.
    ///
    /// ```
    /// use vestibule_core::{Mount, PathView, Request};
    ///
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/api/admin".parse().unwrap();
    /// request.extensions_mut().insert(Mount::new("/api/admin", 4));
    /// assert_eq!(PathView::of(&request).unwrap().raw(), "/admin");
    /// assert_eq!(PathView::whole_of(&request).unwrap().raw(), "/api/admin");
    /// ```
    ///
    /// # Errors
    ///
    /// [`PathError`] as [`PathView::of`]; [`PathError::UnknownPrefix`] when a foreign router may have
    /// removed a part of the path ([`UnknownPrefix`]).
    pub fn whole_of<B>(request: &'a http::Request<B>) -> Result<Self, PathError> {
        match UnknownPrefix::of(request) {
            Some(_) => Err(PathError::UnknownPrefix),
            None => Self::parse(request.uri().path()),
        }
    }

    /// The view of a raw path: empty, or `/` and what follows.
    ///
    /// # Errors
    ///
    /// See [`PathView::of`].
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        if raw.is_empty() {
            return Ok(Self { raw });
        }
        let Some(inner) = raw.strip_prefix('/') else {
            return Err(PathError::NotAbsolute);
        };
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() && raw.len() > 1 {
            return Err(PathError::EmptySegment);
        }
        if !inner.is_empty() {
            inner.split('/').try_for_each(check_segment)?;
        }
        Ok(Self { raw })
    }

    /// The path as it came.
    #[must_use]
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// The decoded segments: bytes, since a file's name may be any. None for `/`.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a> {
        raw_segments(self.raw).map(decode)
    }

    /// Whether the path ends in `/`.
    #[must_use]
    pub fn has_trailing_slash(&self) -> bool {
        self.raw.ends_with('/')
    }

    /// Whether the path has no segments: `/`, or nothing at all below a mount.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.raw.len() <= 1
    }

    /// Whether the path is `prefix` or below it, segment by segment. `prefix` is decoded text;
    /// slashes at its ends mean nothing.
    #[must_use]
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.split_at(prefix).is_some()
    }

    /// The raw path in two: what spells `prefix`, and the rest, which is empty or begins with `/`.
    ///
    /// ```
    /// use vestibule_core::PathView;
    ///
    /// let view = PathView::parse("/%61pi/users").unwrap();
    /// assert_eq!(view.split_at("/api"), Some(("/%61pi", "/users")));
    /// ```
    #[must_use]
    pub fn split_at(&self, prefix: &str) -> Option<(&'a str, &'a str)> {
        let mut at = 0;
        let mut own = raw_segments(self.raw);
        for wanted in prefix.split('/').filter(|segment| !segment.is_empty()) {
            let segment = own.next()?;
            if decode(segment) != wanted.as_bytes() {
                return None;
            }
            at += 1 + segment.len();
        }
        Some(self.raw.split_at(at))
    }
}

/// Why a path has no [`PathView`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with `/`, as in `OPTIONS *`.
    NotAbsolute,
    /// It has `//`.
    EmptySegment,
    /// It has a segment `.` or `..`, perhaps in escapes.
    DotSegment,
    /// A `%` is not followed by two hexadecimal digits.
    BrokenEscape,
    /// It has a NUL.
    Nul,
    /// A router that we cannot ask may have removed a prefix of it.
    UnknownPrefix,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::EmptySegment => "the path has an empty segment (`//`)",
            Self::DotSegment => "the path has a segment `.` or `..`",
            Self::BrokenEscape => "the path has a `%` without two hexadecimal digits",
            Self::Nul => "the path has a NUL",
            Self::UnknownPrefix => {
                "a router may have removed a prefix of the path, so a guard cannot read all of it; \
                 turn on the feature `axum` of `vestibule-tower` or `vestibule`, which is for axum \
                 0.8, and rewrite no path between a router and a `nest` with captures"
            }
        })
    }
}

impl Error for PathError {}

impl IntoResponse for PathError {
    /// `400 Bad Request`; `500 Internal Server Error` for [`PathError::UnknownPrefix`], which is a
    /// mistake in the set-up of the server.
    fn into_response(self) -> Response {
        let kind = match self {
            Self::UnknownPrefix => FailureKind::App,
            _ => FailureKind::Request,
        };
        Failure::new(self).kind(kind).into_response()
    }
}

fn check_segment(segment: &str) -> Result<(), PathError> {
    if segment.is_empty() {
        return Err(PathError::EmptySegment);
    }
    // Only these bytes can make a segment unsound.
    if !segment.bytes().any(|byte| matches!(byte, b'%' | b'.' | 0)) {
        return Ok(());
    }
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' if escaped(rest.next(), rest.next()).is_none() => {
                return Err(PathError::BrokenEscape);
            }
            0 => return Err(PathError::Nul),
            _ => {}
        }
    }
    let decoded = decode(segment);
    if decoded.contains(&0) {
        return Err(PathError::Nul);
    }
    match &*decoded {
        b"." | b".." => Err(PathError::DotSegment),
        _ => Ok(()),
    }
}

fn raw_segments(raw: &str) -> impl Iterator<Item = &str> {
    let inner = raw.strip_prefix('/').unwrap_or(raw);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    inner.split('/').filter(|segment| !segment.is_empty())
}

/// Percent-decoding; what is no escape stays as it is.
fn decode(segment: &str) -> Cow<'_, [u8]> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment.as_bytes());
    }
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = match byte {
            b'%' => escaped(bytes.get(at + 1).copied(), bytes.get(at + 2).copied()),
            _ => None,
        };
        decoded.push(escape.unwrap_or(byte));
        at += if escape.is_some() { 3 } else { 1 };
    }
    Cow::Owned(decoded)
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_view() {
        use PathError::*;
        let cases = [
            ("*", NotAbsolute),
            ("a/b", NotAbsolute),
            ("//", EmptySegment),
            ("//a", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/.", DotSegment),
            ("/..", DotSegment),
            ("/a/../b", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/.%2e", DotSegment),
            ("/%", BrokenEscape),
            ("/a%2", BrokenEscape),
            ("/%zz", BrokenEscape),
            ("/%u002e", BrokenEscape),
            ("/%+1", BrokenEscape),
            ("/%00", Nul),
            ("/a%00.txt", Nul),
            ("/a\0", Nul),
        ];
        for (path, error) in cases {
            assert_eq!(PathView::parse(path), Err(error), "{path}");
        }
    }

    #[test]
    fn what_has_one() {
        let cases: [(&str, &[&[u8]]); 11] = [
            ("", &[]),
            ("/", &[]),
            ("/a", &[b"a"]),
            ("/a/", &[b"a"]),
            ("/a/b.c", &[b"a", b"b.c"]),
            ("/...", &[b"..."]),
            ("/a%2Fb", &[b"a/b"]),
            ("/%252e%252e", &[b"%2e%2e"]),
            ("/%ff", &[b"\xff"]),
            ("/a;x=1", &[b"a;x=1"]),
            ("/..;/a", &[b"..;", b"a"]),
        ];
        for (path, segments) in cases {
            let view = PathView::parse(path).unwrap();
            assert_eq!(view.segments().collect::<Vec<_>>(), segments, "{path}");
        }
    }

    #[test]
    fn prefixes_end_at_segments() {
        let cases = [
            ("/css/a", "/css", Some(("/css", "/a"))),
            ("/css", "/css", Some(("/css", ""))),
            ("/css/", "/css/", Some(("/css", "/"))),
            ("/cssx", "/css", None),
            ("/css-backup.sql", "/css", None),
            ("/CSS", "/css", None),
            ("/a/b/c", "/a/b", Some(("/a/b", "/c"))),
            ("/a", "/a/b", None),
            ("/x", "/", Some(("", "/x"))),
            ("/x", "", Some(("", "/x"))),
            ("/a%2Fb", "/a/b", None),
        ];
        for (path, prefix, split) in cases {
            let view = PathView::parse(path).unwrap();
            assert_eq!(view.split_at(prefix), split, "{path} under {prefix}");
        }
    }

    proptest::proptest! {
        #[test]
        fn both_halves_are_the_path(path in "(/[a-c%2Ff.]{0,4}){0,5}", prefix in "(/[a-c]{0,2}){0,3}") {
            if let Ok(view) = PathView::parse(&path) {
                if let Some((head, tail)) = view.split_at(&prefix) {
                    assert_eq!(format!("{head}{tail}"), path);
                    assert!(tail.is_empty() || tail.starts_with('/'));
                }
                assert!(view.segments().all(|s| !s.is_empty() && &*s != b".." && &*s != b"."));
            }
        }
    }
}
