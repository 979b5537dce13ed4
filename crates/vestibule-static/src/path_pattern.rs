//! Path patterns of the site files `_headers` and `_redirects`.

use std::borrow::Cow;

/// A pattern for whole paths: `/blog/*`, `/users/:id`.
///
/// `*` matches any characters, also `/`. A placeholder such as `:id` matches the characters of one
/// segment. A segment has at most one of them, and a pattern at most one `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    text: String,
    segments: Vec<Segment>,
    /// The index of the segment that has the `*`.
    splat: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// A placeholder or a `*` with its name, and the text before and after it.
    Hole {
        before: String,
        name: String,
        after: String,
    },
}

/// The names of the placeholders and the `*` of a pattern, with the text that each matched.
pub(crate) type Captures<'a> = Vec<(&'a str, Cow<'a, [u8]>)>;

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// Returns the reason and the fix when `text` is not a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") || text.starts_with("//") {
            let path = text
                .split_once("//")
                .and_then(|(_, rest)| rest.split_once('/'));
            let path = path.map_or("", |(_, path)| path);
            return Err(format!(
                "rules for a host are not supported: write `/{path}`"
            ));
        }
        let Some(inner) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is not a path: write `/{text}`"));
        };
        let segments = inner
            .split('/')
            .map(segment)
            .collect::<Result<Vec<_>, _>>()?;
        let is_splat =
            |segment: &&Segment| matches!(segment, Segment::Hole { name, .. } if name == SPLAT);
        if segments.iter().filter(is_splat).count() > 1 {
            return Err(format!("`{text}` has two `*`: a pattern has one at most"));
        }
        Ok(Self {
            text: text.to_owned(),
            splat: segments.iter().position(|segment| is_splat(&segment)),
            segments,
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the pattern matches every path.
    pub(crate) fn is_for_all(&self) -> bool {
        self.text == "/*"
    }

    /// Returns the captures when `path`, without its leading slash, matches.
    pub(crate) fn captures<'a>(&'a self, path: &'a [u8]) -> Option<Captures<'a>> {
        let parts: Vec<_> = path.split(|&byte| byte == b'/').collect();
        let mut captures = Vec::new();
        let Some(splat) = self.splat else {
            let is_same = parts.len() == self.segments.len();
            let mut pairs = self.segments.iter().zip(parts);
            return (is_same && pairs.all(|(it, part)| it.takes(part, &mut captures)))
                .then_some(captures);
        };
        // Segments before the `*` match from the start, segments after it from the end.
        let tail = self.segments.len() - splat - 1;
        if parts.len() < splat + 1 + tail {
            return None;
        }
        let end = parts.len() - tail;
        let head = self.segments[..splat].iter().zip(&parts[..splat]);
        let tail = self.segments[splat + 1..].iter().zip(&parts[end..]);
        let middle = parts[splat..end].join(&b'/');
        let fits = head
            .chain(tail)
            .all(|(it, part)| it.takes(part, &mut captures));
        let Segment::Hole { before, after, .. } = &self.segments[splat] else {
            return None;
        };
        let hole = middle
            .strip_prefix(before.as_bytes())
            .and_then(|rest| rest.strip_suffix(after.as_bytes()))?;
        captures.push((SPLAT, Cow::Owned(hole.to_vec())));
        fits.then_some(captures)
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        self.captures(path).is_some()
    }
}

impl Segment {
    fn takes<'a>(&'a self, part: &'a [u8], captures: &mut Captures<'a>) -> bool {
        match self {
            Self::Literal(text) => text.as_bytes() == part,
            Self::Hole {
                before,
                name,
                after,
            } => {
                let hole = part
                    .strip_prefix(before.as_bytes())
                    .and_then(|rest| rest.strip_suffix(after.as_bytes()))
                    .filter(|hole| !hole.is_empty());
                captures.extend(hole.map(|hole| (&**name, Cow::Borrowed(hole))));
                hole.is_some()
            }
        }
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    let star = text.find('*');
    let colon = text
        .match_indices(':')
        .map(|(at, _)| at)
        // `/a:b` is a name with a colon.
        .filter(|at| !text[..*at].ends_with(|it: char| it.is_ascii_alphanumeric()))
        .find(|at| text[at + 1..].starts_with(|it: char| it.is_ascii_alphabetic()));
    let (at, name, end) = match (star, colon) {
        (None, None) => return Ok(Segment::Literal(text.to_owned())),
        (Some(star), None) => (star, SPLAT, star + 1),
        (None, Some(colon)) => {
            let rest = &text[colon + 1..];
            let is_of_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
            let length = rest.find(|it| !is_of_name(it)).unwrap_or(rest.len());
            (colon, &rest[..length], colon + 1 + length)
        }
        (Some(_), Some(_)) => {
            return Err(format!(
                "`{text}` has a `*` and a placeholder: put a `/` between them"
            ));
        }
    };
    let (before, after) = (&text[..at], &text[end..]);
    if after.contains('*') || segment(after) != Ok(Segment::Literal(after.to_owned())) {
        return Err(format!(
            "`{text}` has two placeholders or `*`: a segment has one at most"
        ));
    }
    Ok(Segment::Hole {
        before: before.to_owned(),
        name: name.to_owned(),
        after: after.to_owned(),
    })
}

/// The name of the capture of `*`.
const SPLAT: &str = "splat";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("/*", "", Some("splat=")),
            ("/*", "a/b", Some("splat=a/b")),
            ("/a", "a", Some("")),
            ("/a", "a/", None),
            ("/a", "a/b", None),
            ("/a", "A", None),
            ("/a/*", "a/", Some("splat=")),
            ("/a/*", "a/b/c", Some("splat=b/c")),
            ("/a/*", "a", None),
            ("/a/*", "ab", None),
            ("/*.js", "x/y.js", Some("splat=x/y")),
            ("/*.js", "x/y.css", None),
            ("/a/*/z", "a/b/c/z", Some("splat=b/c")),
            ("/a/*/z", "a/z", None),
            ("/a-*", "a-b/c", Some("splat=b/c")),
            ("/u/:id", "u/7", Some("id=7")),
            ("/u/:id", "u/", None),
            ("/u/:id", "u/7/8", None),
            ("/u/:id.html", "u/7.html", Some("id=7")),
            ("/:y/:m/*", "2026/11/a/b", Some("y=2026 m=11 splat=a/b")),
            ("/a:b", "a:b", Some("")),
            ("/@:user", "@ada", Some("user=ada")),
            ("/a:1", "a:1", Some("")),
            ("/{a,b}?", "{a,b}?", Some("")),
        ];
        for (pattern, path, want) in cases {
            let pattern = PathPattern::parse(pattern).unwrap();
            let found = pattern.captures(path.as_bytes()).map(|captures| {
                let shown = captures
                    .iter()
                    .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
                shown.collect::<Vec<_>>().join(" ")
            });
            assert_eq!(found.as_deref(), want, "{pattern:?} {path}");
        }
    }

    #[test]
    fn invalid_patterns() {
        let cases = [
            ("https://example.org/a", "write `/a`"),
            ("//example.org/a", "write `/a`"),
            ("a/*", "write `/a/*`"),
            ("/*/*", "two `*`"),
            ("/a*b*", "one at most"),
            ("/:a:b", "one at most"),
            ("/:a*", "put a `/` between them"),
        ];
        for (pattern, want) in cases {
            let error = PathPattern::parse(pattern).unwrap_err();
            assert!(error.contains(want), "{pattern}: {error}");
        }
    }
}
