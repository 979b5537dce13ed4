//! The single interpretation of request paths.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::{Failure, FailureKind, IntoResponse, Mount, Response, UnknownPrefix};

/// The path of a request, decoded once and split into segments.
///
/// Mounts, guards and static files all use this view, so a guard and the files behind it always
/// agree on the meaning of a path. An ambiguous path has no view: a path with `.` or `..` segments
/// (encoded or not), an empty segment (`//`), NUL, or a broken escape. An encoded slash (`%2F`)
/// stays inside its segment.
///
/// A view borrows the path and copies nothing.
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
    /// Checked by `parse`; all methods rely on it.
    raw: &'a str,
}

impl<'a> PathView<'a> {
    /// Returns the view of a request's path. Below a mount it covers the path after the prefix of
    /// the mount.
    ///
    /// # Errors
    ///
    /// Returns [`PathError`] when the path is ambiguous; as a response it is a 400.
    pub fn of<B>(request: &'a http::Request<B>) -> Result<Self, PathError> {
        Self::parse(Mount::rest_of(request))
    }

    /// Returns the view of a request's whole path, also below a mount. Guards use it, since their
    /// rules are about the paths that clients request.
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
    /// Returns [`PathError`] as [`PathView::of`], and [`PathError::UnknownPrefix`] when a foreign
    /// router may have removed a part of the path ([`UnknownPrefix`]).
    pub fn whole_of<B>(request: &'a http::Request<B>) -> Result<Self, PathError> {
        match UnknownPrefix::of(request) {
            Some(_) => Err(PathError::UnknownPrefix),
            None => Self::parse(request.uri().path()),
        }
    }

    /// Parses a raw path: empty, or `/` and more.
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

    /// Returns the path as the client sent it.
    #[must_use]
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Returns the decoded segments, as bytes, since a file name may contain any byte. The path `/`
    /// has none.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a> {
        raw_segments(self.raw).map(decode)
    }

    /// Returns whether the path ends in `/`.
    #[must_use]
    pub fn has_trailing_slash(&self) -> bool {
        self.raw.ends_with('/')
    }

    /// Returns whether the path has no segments: `/`, or an empty path below a mount.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.raw.len() <= 1
    }

    /// Returns whether the path is `prefix` or below it, compared by segments. `prefix` is decoded
    /// text; a slash at its start or end is ignored.
    #[must_use]
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.split_at(prefix).is_some()
    }

    /// Splits the raw path into the part that matches `prefix` and the rest, which is empty or
    /// begins with `/`.
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

/// The reason why a path has no [`PathView`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathError {
    /// The path does not begin with `/`, as in `OPTIONS *`.
    NotAbsolute,
    /// The path contains `//`.
    EmptySegment,
    /// The path has a segment `.` or `..`, encoded or not.
    DotSegment,
    /// A `%` is not followed by two hexadecimal digits.
    BrokenEscape,
    /// The path contains a NUL.
    Nul,
    /// A foreign router may have removed a prefix of the path, and the bridge cannot find it out.
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
    /// Returns `400 Bad Request`, or `500 Internal Server Error` for [`PathError::UnknownPrefix`],
    /// which is a mistake in the set-up of the server.
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
    // Only these bytes can make a segment invalid.
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

/// Decodes percent-encoding. A `%` that does not begin an escape is copied.
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
    fn ambiguous_paths_have_no_view() {
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
    fn paths_are_split_into_decoded_segments() {
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
        fn split_at_returns_both_parts_of_the_path(path in "(/[a-c%2Ff.]{0,4}){0,5}", prefix in "(/[a-c]{0,2}){0,3}") {
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
