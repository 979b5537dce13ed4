//! Rules for response headers, by path and by file name.

use std::error::Error;
use std::fmt;

use http::header::{
    ACCEPT_RANGES, AGE, ALLOW, ALT_SVC, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, ETAG, EXPIRES,
    LAST_MODIFIED, LOCATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use vestibule_core::Response;

use crate::glob::Glob;
use crate::path_pattern::PathPattern;

/// Rules for response headers, in the syntax of the file `_headers` of Netlify and Cloudflare
/// Pages.
///
/// A line with a path starts a block. The indented lines below it are the headers of the responses
/// whose paths match.
///
/// | in a path | matches |
/// |---|---|
/// | `*` | any characters, also `/`; once in a path |
/// | `:name` | the characters of one segment |
///
/// All matching blocks apply. Values of the same header are joined with a comma. `! Name` removes a
/// header that earlier blocks set. A line that starts with `#` is a comment.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
/// use vestibule_static::{HeaderRules, Memory, StaticFiles, Stored};
///
/// let rules = HeaderRules::parse("
/// /*
///   X-Frame-Options: DENY
/// /assets/*
///   Cache-Control: public, max-age=600
/// ").unwrap();
/// let files = Memory::new().with("assets/a.css", Stored::memory("a {}"));
/// let app = StaticFiles::from_source(files).header_rules(rules);
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/assets/a.css".parse().unwrap();
/// let response = app.call(request).await;
/// assert_eq!(response.headers()["x-frame-options"], "DENY");
/// assert_eq!(response.headers()["cache-control"], "public, max-age=600");
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    pub(crate) rules: Vec<Rule>,
}

/// One change of a header and the responses that it applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) pattern: Pattern,
    pub(crate) change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Matches the name of the file that is sent, or the path.
    Name(Glob),
    /// Matches the path.
    Path(PathPattern),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Replaces the value of earlier rules.
    Set(HeaderName, HeaderValue),
    /// Appends to the value of earlier rules, after a comma.
    Join(HeaderName, HeaderValue),
    /// Removes the value of earlier rules.
    Remove(HeaderName),
}

impl HeaderRules {
    /// Parses rules.
    ///
    /// # Errors
    ///
    /// Returns all faults, each with its line and its fix.
    ///
    /// ```
    /// use vestibule_static::HeaderRules;
    ///
    /// let faults = HeaderRules::parse("/*\n  Content-Length: 5\nX-Frame-Options: DENY").unwrap_err();
    /// assert_eq!(faults.iter().map(|fault| fault.line()).collect::<Vec<_>>(), [2, 3]);
    /// ```
    pub fn parse(text: &str) -> Result<Self, RuleFaults> {
        let mut rules = Vec::new();
        let mut faults = Vec::new();
        // `Some(None)` below an invalid path: its headers are still checked.
        let mut pattern: Option<Option<PathPattern>> = None;
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let is_path = content.starts_with('/') || content.starts_with("http");
            let problem = if !line.starts_with([' ', '\t']) && (is_path || !content.contains(':')) {
                match PathPattern::parse(content) {
                    Ok(path) => {
                        pattern = Some(Some(path));
                        continue;
                    }
                    Err(problem) => {
                        pattern = Some(None);
                        problem
                    }
                }
            } else {
                match (change(content), &pattern) {
                    (Err(problem), _) => problem,
                    (Ok(_), None) => {
                        format!("`{content}` has no path: write a path such as `/*` above it")
                    }
                    (Ok(_), Some(None)) => continue,
                    (Ok(_), Some(Some(_))) if !line.starts_with([' ', '\t']) => {
                        format!("`{content}` is not indented: put two spaces before it")
                    }
                    (Ok(change), Some(Some(path))) => {
                        let pattern = Pattern::Path(path.clone());
                        rules.push(Rule { pattern, change });
                        continue;
                    }
                }
            };
            faults.push(RuleFault {
                line: number,
                problem,
            });
        }
        match faults.is_empty() {
            true => Ok(Self { rules }),
            false => Err(RuleFaults(faults)),
        }
    }
}

/// Parses `Name: value` or `! Name`.
fn change(text: &str) -> Result<Change, String> {
    let of = |name: &str| {
        let name = name.trim();
        match name.parse::<HeaderName>() {
            Err(_) => Err(format!(
                "`{name}` is not a header name: write `Name: value`"
            )),
            Ok(name) if !is_free(&name) => Err(format!(
                "`{name}` depends on the file and on the request: remove the line"
            )),
            Ok(name) => Ok(name),
        }
    };
    if let Some(name) = text.strip_prefix('!') {
        return of(name).map(Change::Remove);
    }
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is not a header: write `Name: value`"))?;
    let name = of(name)?;
    let value = HeaderValue::from_str(value.trim())
        .ok()
        .filter(|value| value.as_bytes().is_ascii())
        .ok_or_else(|| {
            format!("the value of `{name}` has characters other than visible ASCII: escape them")
        })?;
    if name == CONTENT_TYPE && !value.to_str().is_ok_and(|it| it.contains('/')) {
        return Err("the value of `content-type` is not a media type such as `text/plain`".into());
    }
    Ok(Change::Join(name, value))
}

/// Returns whether a rule file may set that header.
fn is_free(name: &HeaderName) -> bool {
    is_for_rules(name) || [CACHE_CONTROL, CONTENT_TYPE, VARY].contains(name)
}

/// Returns whether [`StaticFiles::header`](crate::StaticFiles::header) may set that header.
pub(crate) fn is_for_rules(name: &HeaderName) -> bool {
    let others = ["keep-alive", "proxy-connection"];
    !OURS.contains(name) && !others.contains(&name.as_str())
}

/// Headers that depend on the file, the request or the connection, so that rules cannot set them.
const OURS: [HeaderName; 19] = [
    ACCEPT_RANGES,
    AGE,
    ALLOW,
    ALT_SVC,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    DATE,
    ETAG,
    LAST_MODIFIED,
    LOCATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VARY,
];

/// Applies rules to a response.
///
/// `path` is the path of the request without its leading slash. It is `None` when the path is
/// ambiguous; only rules for all paths then apply. `name` is the name of the file that is sent.
pub(crate) fn apply(
    rules: &[Rule],
    response: &mut Response,
    path: Option<&[u8]>,
    name: Option<&[u8]>,
) {
    let mut found: Vec<(&HeaderName, HeaderValue, bool)> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.pattern.is_for(path, name)) {
        let header = match &rule.change {
            Change::Set(header, _) | Change::Join(header, _) | Change::Remove(header) => header,
        };
        let before = found.iter_mut().find(|(other, ..)| *other == header);
        match (&rule.change, before) {
            (Change::Remove(_), _) => found.retain(|(other, ..)| *other != header),
            (Change::Join(_, value), Some((_, joined, true))) if *header != SET_COOKIE => {
                let both = [joined.as_bytes(), value.as_bytes()].join(&b", "[..]);
                if let Ok(both) = HeaderValue::from_bytes(&both) {
                    *joined = both;
                }
            }
            (Change::Set(_, value), Some((_, before, is_joined))) => {
                (*before, *is_joined) = (value.clone(), false);
            }
            (Change::Join(_, value), _) => found.push((header, value.clone(), true)),
            (Change::Set(_, value), None) => found.push((header, value.clone(), false)),
        }
    }
    let status = response.status();
    let is_file = name.is_some();
    for (header, value, _) in found {
        set(response.headers_mut(), status, is_file, header, value);
    }
}

fn set(
    headers: &mut HeaderMap,
    status: StatusCode,
    is_file: bool,
    header: &HeaderName,
    value: HeaderValue,
) {
    let is_success = matches!(
        status,
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
    );
    // Listings and archives set their own type and cache lifetime.
    let is_given = !is_file && headers.contains_key(header);
    if is_of_content(header) && (!is_success || is_given) {
        return;
    }
    if *header == VARY || *header == SET_COOKIE {
        headers.append(header.clone(), value);
    } else if *header == CONTENT_TYPE {
        // The type of a multipart response has its boundary; a 304 has no type.
        let is_whole = headers
            .get(CONTENT_TYPE)
            .is_some_and(|it| !it.as_bytes().starts_with(b"multipart/byteranges"));
        if is_file && is_whole {
            headers.insert(CONTENT_TYPE, value);
        }
    } else if *header != CONTENT_SECURITY_POLICY || !headers.contains_key(CONTENT_SECURITY_POLICY) {
        // Built-in pages need their own policy.
        headers.insert(header.clone(), value);
    }
}

/// Returns whether a header describes the content, so that it is wrong on an error or a redirect.
fn is_of_content(header: &HeaderName) -> bool {
    let name = header.as_str();
    let is_policy = name.starts_with("content-security-policy");
    *header == EXPIRES
        || (name.starts_with("content-") && !is_policy)
        // `Cache-Control` for one class of caches (RFC 9213).
        || name.ends_with("cache-control")
        || matches!(name, "digest" | "repr-digest" | "sourcemap" | "surrogate-control")
}

impl Pattern {
    fn is_for(&self, path: Option<&[u8]>, name: Option<&[u8]>) -> bool {
        match (self, path) {
            (Self::Name(glob), Some(path)) => {
                glob.matches(path) || name.is_some_and(|name| glob.matches(name))
            }
            (Self::Name(glob), None) => {
                matches!(&*glob.to_string(), "*" | "**" | "/**")
            }
            (Self::Path(pattern), Some(path)) => pattern.matches(path),
            (Self::Path(pattern), None) => pattern.is_for_all(),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(glob) => glob.fmt(f),
            Self::Path(path) => f.write_str(path.as_str()),
        }
    }
}

/// A fault in one line of a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    pub(crate) line: usize,
    pub(crate) problem: String,
}

impl RuleFault {
    /// Returns the line number, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// All faults of a rule file, in the order of their lines.
///
/// ```
/// use vestibule_static::HeaderRules;
///
/// let faults = HeaderRules::parse("/*\n  ETag: \"a\"\n").unwrap_err();
/// assert_eq!(
///     faults.to_string(),
///     "line 2: `etag` depends on the file and on the request: remove the line"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFaults(pub(crate) Vec<RuleFault>);

impl RuleFaults {
    /// Iterates over the faults.
    pub fn iter(&self) -> impl Iterator<Item = &RuleFault> {
        self.0.iter()
    }
}

impl fmt::Display for RuleFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{fault}")?;
        }
        Ok(())
    }
}

impl Error for RuleFaults {}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(rules: &[Rule], status: u16, path: Option<&str>, name: Option<&str>) -> String {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let (path, name) = (path.map(str::as_bytes), name.map(str::as_bytes));
        apply(rules, &mut response, path, name);
        let mut lines: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines.join("; ")
    }

    #[test]
    fn blocks_that_match_apply_in_order() {
        let text = "\u{feff}# a comment\n/*\n  X-A: 1\n  Cache-Control: no-cache\n\n/assets/*\n\tX-A: 2\n  ! Cache-Control\n  \
                    Cache-Control: max-age=9\n  Content-Type: text/x\n  Vary: Origin\n/users/:id\n  X-User: 1\r\n";
        let rules = HeaderRules::parse(text).unwrap().rules;
        let cases = [
            (
                200,
                Some("a"),
                "cache-control: no-cache; content-type: text/html; x-a: 1",
            ),
            (404, Some("a"), "content-type: text/html; x-a: 1"),
            (400, None, "content-type: text/html; x-a: 1"),
            (
                200,
                Some("assets/b"),
                "cache-control: max-age=9; content-type: text/x; vary: Origin; x-a: 1, 2",
            ),
            (
                308,
                Some("assets/b"),
                "content-type: text/html; vary: Origin; x-a: 1, 2",
            ),
            (
                404,
                Some("users/7"),
                "content-type: text/html; x-a: 1; x-user: 1",
            ),
        ];
        for (status, path, want) in cases {
            let found = applied(&rules, status, path, Some("index.html"));
            assert_eq!(found, want, "{status} {path:?}");
        }
    }

    #[test]
    fn every_fault_has_its_line_and_a_fix() {
        let text = "X-A: 1\n/*\n  X-A\n  Content-Length: 5\nX-B: 2\n  bad name: 1\nhttps://a.example/b\n  X-C: 3\n  Location: /\n\
                    nopath\n  X-D: \u{e9}\n  Content-Type: nothing\n/*/*\n";
        let faults = HeaderRules::parse(text).unwrap_err();
        let want = [
            (1, "write a path such as `/*` above it"),
            (3, "write `Name: value`"),
            (4, "remove the line"),
            (5, "put two spaces before it"),
            (6, "write `Name: value`"),
            (7, "write `/b`"),
            (9, "remove the line"),
            (10, "write `/nopath`"),
            (11, "visible ASCII"),
            (12, "media type"),
            (13, "two `*`"),
        ];
        let found: Vec<_> = faults.iter().map(|it| (it.line, &it.problem)).collect();
        assert_eq!(found.len(), want.len(), "{found:#?}");
        for ((line, problem), (want_line, text)) in found.into_iter().zip(want) {
            assert_eq!(line, want_line, "{problem}");
            assert!(problem.contains(text), "{line}: {problem}");
        }
    }

    #[test]
    fn headers_that_describe_content_are_only_on_content() {
        let cases = [
            ("expires", true),
            ("cache-control", true),
            ("cdn-cache-control", true),
            ("content-language", true),
            ("content-disposition", true),
            ("content-security-policy", false),
            ("content-security-policy-report-only", false),
            ("access-control-allow-origin", false),
            ("strict-transport-security", false),
            ("x-robots-tag", false),
            ("link", false),
        ];
        for (name, want) in cases {
            assert_eq!(is_of_content(&name.parse().unwrap()), want, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_an_answer(text in "([/*:! a-zX\\n-]|\\PC){0,60}") {
            let _ = HeaderRules::parse(&text);
        }
    }
}
