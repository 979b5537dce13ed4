//! Redirects and rewrites of paths.

use http::{HeaderValue, StatusCode, Uri};

use crate::header_rules::{RuleFault, RuleFaults};
use crate::path_pattern::{Captures, PathPattern};

/// Rules for redirects and rewrites, in the syntax of the file `_redirects` of Netlify and
/// Cloudflare Pages.
///
/// Each line has a path, a target and optionally a status. The first line that matches the path
/// applies. An existing file takes precedence over the rules, unless the status ends in `!`.
/// Queries are passed on.
///
/// | status | effect |
/// |---|---|
/// | 301, 302, 303, 307, 308 | redirects to the target: a path of the site, or a URL; 302 when no status is given |
/// | 200 | sends the file that the target names |
/// | 404 | sends the file that the target names, with this status |
///
/// The path may have a `*` and placeholders such as `:id`. In the target, `:splat` and `:id` are
/// replaced by the text that they matched. Redirects are sent with `Cache-Control: no-cache`. A
/// line that starts with `#` is a comment. Proxying, conditions by country or language, and rules
/// by query are not supported.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
/// use vestibule_static::{Memory, RedirectRules, StaticFiles};
///
/// let rules = RedirectRules::parse("/blog/:year/* /posts/:year/:splat 301").unwrap();
/// let app = StaticFiles::from_source(Memory::new()).redirect_rules(rules);
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/blog/2026/hello?page=2".parse().unwrap();
/// let response = app.call(request).await;
/// assert_eq!(response.status(), 301);
/// assert_eq!(response.headers()["location"], "/posts/2026/hello?page=2");
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedirectRules {
    pub(crate) rules: Vec<RedirectRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectRule {
    pub(crate) pattern: PathPattern,
    pub(crate) target: String,
    pub(crate) status: StatusCode,
    /// Whether the rule takes precedence over files.
    pub(crate) is_forced: bool,
}

/// The effect of a rule on a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Redirect(StatusCode, HeaderValue),
    /// The status, the name of the file to send, and whether it was written with a slash at its
    /// end.
    Send(StatusCode, Vec<u8>, bool),
}

impl RedirectRules {
    /// Parses rules.
    ///
    /// # Errors
    ///
    /// Returns all faults, each with its line and its fix.
    ///
    /// ```
    /// use vestibule_static::RedirectRules;
    ///
    /// let faults = RedirectRules::parse("/a /b 418\n/c\n").unwrap_err();
    /// assert_eq!(faults.iter().map(|fault| fault.line()).collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn parse(text: &str) -> Result<Self, RuleFaults> {
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            match RedirectRule::parse(content) {
                Ok(rule) => rules.push(rule),
                Err(problem) => faults.push(RuleFault {
                    line: number,
                    problem,
                }),
            }
        }
        match faults.is_empty() {
            true => Ok(Self { rules }),
            false => Err(RuleFaults(faults)),
        }
    }
}

impl RedirectRule {
    fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line
            .split_whitespace()
            .take_while(|word| !word.starts_with('#'))
            .collect();
        let (from, target, status) = match *words {
            [from, target] => (from, target, "302"),
            [from, target, status] => (from, target, status),
            [_] | [] => return Err(format!("`{line}` has no target: write `/old /new`")),
            _ => {
                let text =
                    "has more than a path, a target and a status: conditions are not supported";
                return Err(format!("`{line}` {text}"));
            }
        };
        let pattern = PathPattern::parse(from)?;
        let (digits, is_forced) = match status.strip_suffix('!') {
            Some(digits) => (digits, true),
            None => (status, false),
        };
        let status = match digits {
            "200" | "301" | "302" | "303" | "307" | "308" | "404" => digits.parse().ok(),
            _ => None,
        };
        let status: StatusCode = status.ok_or_else(|| {
            format!(
                "`{digits}` is not a status of a rule: write 301, 302, 303, 307, 308, 200 or 404"
            )
        })?;
        let rule = Self {
            pattern,
            target: target.to_owned(),
            status,
            is_forced,
        };
        rule.check_target()?;
        Ok(rule)
    }

    fn check_target(&self) -> Result<(), String> {
        let target = &self.target;
        let host = ["http://", "https://"]
            .iter()
            .find_map(|scheme| target.strip_prefix(scheme));
        match host {
            Some(_) if !self.status.is_redirection() => Err(format!(
                "`{target}` is another server, and proxying is not supported: write a status of a redirect"
            )),
            Some(rest) => {
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                // Text from the client must not become part of the host.
                let port = host.rsplit(':').next().filter(|_| host.contains(':'));
                let is_fixed = port.is_none_or(|port| port.bytes().all(|it| it.is_ascii_digit()));
                match !host.is_empty() && is_fixed && target.is_ascii() {
                    true => Ok(()),
                    false => Err(format!(
                        "`{target}` has no fixed host: write the host, then `/:splat`"
                    )),
                }
            }
            None if !target.starts_with('/')
                || target.starts_with("//")
                || target.starts_with("/\\") =>
            {
                Err(format!(
                    "`{target}` is not a path of the site: begin it with one `/`"
                ))
            }
            None if !target.is_ascii() || target.parse::<Uri>().is_err() => Err(format!(
                "`{target}` has characters that a URL cannot have: escape them with `%`"
            )),
            None if self.is_forced
                && self.status.is_redirection()
                && self.pattern.matches(&target.as_bytes()[1..]) =>
            {
                Err(format!(
                    "`{target}` leads to itself: remove the `!` or name another target"
                ))
            }
            None => Ok(()),
        }
    }

    /// Returns the effect of the rules on `path`, which has no leading slash. `prefix` is that of
    /// the mount, `None` when it is unknown.
    pub(crate) fn effect(
        &self,
        path: &[u8],
        prefix: Option<&str>,
        query: Option<&str>,
    ) -> Option<Effect> {
        let captures = self.pattern.captures(path)?;
        let target = filled(&self.target, &captures);
        if !self.status.is_redirection() {
            let path = target.split(['?', '#']).next().unwrap_or_default();
            let view = vestibule_core::PathView::parse(path).ok()?;
            let name = crate::name::Name::of(&view, true).ok()?;
            let has_slash = view.has_trailing_slash();
            return Some(Effect::Send(
                self.status,
                name.as_bytes().to_vec(),
                has_slash,
            ));
        }
        let is_local = target.starts_with('/');
        // A capture must not turn the path into another host.
        if is_local && (target.starts_with("//") || target.starts_with("/\\")) {
            return None;
        }
        let mut location = match (is_local, prefix) {
            (true, Some(prefix)) => format!("{prefix}{target}"),
            (true, None) => return None,
            (false, _) => target,
        };
        if let Some(query) = query.filter(|_| !location.contains('?')) {
            let at = location.find('#').unwrap_or(location.len());
            location.insert_str(at, &format!("?{query}"));
        }
        let location = HeaderValue::try_from(location).ok()?;
        Some(Effect::Redirect(self.status, location))
    }
}

/// Returns the target with its placeholders replaced by the escaped captures.
fn filled(target: &str, captures: &Captures<'_>) -> String {
    let mut out = String::with_capacity(target.len());
    let mut rest = target;
    while let Some(at) = rest.find(':') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let is_of_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
        let length = after.find(|it| !is_of_name(it)).unwrap_or(after.len());
        let value = captures.iter().find(|(name, _)| *name == &after[..length]);
        out.push_str(before);
        match value {
            Some((_, value)) => value.iter().for_each(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(*byte)),
                b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(*byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }),
            None => out.push_str(&rest[at..at + 1 + length]),
        }
        rest = &after[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects() {
        let cases = [
            ("/old /new", "old", "302 /new"),
            ("/old /new 301", "old", "301 /new"),
            ("/old /new 308 # why", "old", "308 /new"),
            ("/old /new", "older", ""),
            ("/old /new?x", "old", "302 /new?x"),
            ("/blog/* /posts/:splat", "blog/a/b", "302 /posts/a/b?q"),
            ("/blog/* /posts/:splat", "blog/", "302 /posts/?q"),
            ("/u/:id/* /user?id=:id", "u/7/x", "302 /user?id=7"),
            ("/u/:id /v/:id#:id", "u/7", "302 /v/7?q#7"),
            (
                "/go/* https://example.org:8080/:splat 307",
                "go/a b",
                "307 https://example.org:8080/a%20b?q",
            ),
            (
                "/go/* https://example.org/?to=:splat",
                "go/a&b",
                "302 https://example.org/?to=a%26b",
            ),
            ("/u/:id /v/:other", "u/7", "302 /v/:other?q"),
            ("/* /:splat 301", "/example.org", ""),
            ("/* /:splat 301", "\\example.org", "301 /%5Cexample.org?q"),
            ("/* /:splat 301", "a\r\nb", "301 /a%0D%0Ab?q"),
            ("/* /index.html 200", "a/b", "200 index.html"),
            ("/x/* /y/:splat 200", "x/../secret", ""),
            ("/de/* /de/404.html 404", "de/x", "404 de/404.html"),
        ];
        for (line, path, want) in cases {
            let rule = RedirectRule::parse(line).unwrap();
            let found = match rule.effect(path.as_bytes(), Some(""), Some("q")) {
                None => String::new(),
                Some(Effect::Redirect(status, location)) => {
                    format!("{} {}", status.as_u16(), location.to_str().unwrap())
                }
                Some(Effect::Send(status, name, _)) => {
                    format!("{} {}", status.as_u16(), String::from_utf8_lossy(&name))
                }
            };
            let want = match want {
                "302 /new" | "301 /new" | "308 /new" => format!("{want}?q"),
                want => want.to_owned(),
            };
            assert_eq!(found, want, "{line} {path}");
        }
        let rule = RedirectRule::parse("/old /new").unwrap();
        let below = rule.effect(b"old", Some("/app"), None);
        assert_eq!(
            below,
            Some(Effect::Redirect(
                StatusCode::FOUND,
                HeaderValue::from_static("/app/new")
            ))
        );
        assert_eq!(rule.effect(b"old", None, None), None);
    }

    #[test]
    fn every_fault_has_a_fix() {
        let cases = [
            ("/a", "write `/old /new`"),
            ("a /b", "write `/a`"),
            ("/a b", "begin it with one `/`"),
            ("/a //b", "begin it with one `/`"),
            ("/a /b 418", "write 301"),
            ("/a /b 3o1", "write 301"),
            ("/a /b 302 Country=de", "conditions are not supported"),
            ("/a id=:id /b 301", "conditions are not supported"),
            (
                "/api/* https://example.org/:splat 200",
                "proxying is not supported",
            ),
            ("/* https://:splat", "no fixed host"),
            ("/* https://example.org:splat", "no fixed host"),
            ("/*/* /b", "two `*`"),
            ("/* /b 301!", "leads to itself"),
            ("/a /\u{e9}", "escape them"),
        ];
        for (line, want) in cases {
            let error = RedirectRule::parse(line).unwrap_err();
            assert!(error.contains(want), "{line}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_path_never_leads_to_another_host(path in "([/\\\\:@a-z.%]|\\PC){0,20}") {
            for line in ["/* /:splat", "/*/x /:splat", "/:a/* /:a/:splat", "/* /y:splat"] {
                let rule = RedirectRule::parse(line).unwrap();
                if let Some(Effect::Redirect(_, location)) = rule.effect(path.as_bytes(), Some(""), None) {
                    let location = location.to_str().unwrap();
                    assert!(location.starts_with('/') && !location.starts_with("//") && !location.contains('\\'), "{location}");
                }
            }
        }
    }
}
