//! Patterns of names.

use std::fmt;

/// A pattern that names match.
///
/// | in the pattern | matches |
/// |---|---|
/// | `*` | any characters but `/`, also none |
/// | `**` | any characters; `**/` any folders, also none |
/// | `?` | one character other than `/` |
/// | `{a,b}` | `a` or `b` |
/// | others | themselves; case counts |
///
/// A pattern without `/` is held against the last segment of a name, one with `/` against all of it; a `/` at its start
/// means the root. Names are bytes, and so is what `?` matches. The cost is linear in the name.
///
/// ```
/// use vestibule_static::Glob;
///
/// assert!(Glob::new("*.{js,css}").matches("assets/app.js"));
/// assert!(Glob::new("/assets/**").matches("assets/fonts/a.woff2"));
/// assert!(!Glob::new("/*.html").matches("blog/index.html"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    pattern: String,
    /// One of them has to match.
    forms: Vec<Vec<Token>>,
    /// Whether the last segment is looked at, not the whole name.
    is_file_name: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Segment,
    /// `**`
    All,
    /// `**/`: nothing, or anything that ends in a slash.
    Folders,
}

impl Glob {
    /// Reads a pattern. Every text is one: braces without their other half stand for themselves.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let is_file_name = !pattern.contains('/');
        let rooted = pattern.strip_prefix('/').unwrap_or(pattern);
        let forms = expand(rooted.as_bytes());
        Self {
            pattern: pattern.to_owned(),
            forms: forms.iter().map(|form| tokens(form)).collect(),
            is_file_name,
        }
    }

    /// Whether `name`, without a slash at its start, matches.
    #[must_use]
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        let name = match name.iter().rposition(|&byte| byte == b'/') {
            Some(slash) if self.is_file_name => &name[slash + 1..],
            _ => name,
        };
        self.forms.iter().any(|form| is_match(form, name))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.pattern)
    }
}

/// The pattern with each of its alternatives.
fn expand(pattern: &[u8]) -> Vec<Vec<u8>> {
    let braces = pattern
        .iter()
        .position(|&byte| byte == b'{')
        .and_then(|open| {
            let close = pattern[open..].iter().position(|&byte| byte == b'}')? + open;
            Some((open, close))
        });
    let Some((open, close)) = braces else {
        return vec![pattern.to_vec()];
    };
    let tails = expand(&pattern[close + 1..]);
    let alternatives = pattern[open + 1..close].split(|&byte| byte == b',');
    alternatives
        .flat_map(|middle| tails.iter().map(move |tail| (middle, tail)))
        .map(|(middle, tail)| [&pattern[..open], middle, tail].concat())
        .take(MAX_FORMS)
        .collect()
}

fn tokens(mut form: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(form.len());
    while let Some(&byte) = form.first() {
        let (token, length) = match form {
            [b'*', b'*', b'/', ..] => (Token::Folders, 3),
            [b'*', b'*', ..] => (Token::All, 2),
            [b'*', ..] => (Token::Segment, 1),
            [b'?', ..] => (Token::One, 1),
            _ => (Token::Byte(byte), 1),
        };
        tokens.push(token);
        form = &form[length..];
    }
    tokens
}

/// Holds all ways to match at once: `here[at]` says that the tokens before `at` can match the bytes so far.
fn is_match(tokens: &[Token], name: &[u8]) -> bool {
    let mut here = vec![false; tokens.len() + 1];
    here[0] = true;
    skip(tokens, &mut here);
    for &byte in name {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| here[*at]) {
            match token {
                Token::Byte(own) => next[at + 1] |= *own == byte,
                Token::One => next[at + 1] |= byte != b'/',
                Token::Segment => next[at] |= byte != b'/',
                Token::All => next[at] = true,
                Token::Folders => {
                    next[at] = true;
                    next[at + 1] |= byte == b'/';
                }
            }
        }
        skip_from(tokens, &mut next, &here);
        here = next;
    }
    here[tokens.len()]
}

/// Steps over what may match nothing, at the start of a name.
fn skip(tokens: &[Token], here: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if here[at] && matches!(token, Token::Segment | Token::All | Token::Folders) {
            here[at + 1] = true;
        }
    }
}

/// Steps over what may match nothing, or has just matched something. `**/` that is in the middle of a folder's name may not
/// be left before its slash.
fn skip_from(tokens: &[Token], next: &mut [bool], before: &[bool]) {
    for (at, token) in tokens.iter().enumerate() {
        let is_new = next[at];
        let may_skip = match token {
            Token::Segment | Token::All => true,
            Token::Folders => at > 0 && !(before[at]) && is_new,
            Token::Byte(_) | Token::One => false,
        };
        if is_new && may_skip {
            next[at + 1] = true;
        }
    }
}

/// Enough for lists that people write.
const MAX_FORMS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches() {
        let cases = [
            ("*.js", "app.js", true),
            ("*.js", "a/b/app.js", true),
            ("*.js", "app.jsx", false),
            ("*.js", "app.js/x", false),
            ("/*.js", "app.js", true),
            ("/*.js", "a/app.js", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/*", "a/", true),
            ("a/**", "a/b/c", true),
            ("a/**", "ab/c", false),
            ("**", "a/b", true),
            ("**/*.css", "x.css", true),
            ("**/*.css", "a/b/x.css", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "a/bz", false),
            ("a/**/z", "abz", false),
            ("/**/z", "z", true),
            ("/**/z", "a/z", true),
            ("/**/z", "az", false),
            ("?.txt", "a.txt", true),
            ("?.txt", ".txt", false),
            ("a?b/", "a/b/", false),
            ("*.{js,css}", "x.css", true),
            ("*.{js,css}", "x.html", false),
            ("{a,b}{1,2}", "b1", true),
            ("{a,b}{1,2}", "b3", false),
            ("a{b", "a{b", true),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("", "", true),
            ("", "a", false),
            ("index.html", "blog/index.html", true),
            ("A", "a", false),
        ];
        for (pattern, name, want) in cases {
            assert_eq!(Glob::new(pattern).matches(name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn hostile_patterns_are_linear() {
        let glob = Glob::new(&"*a".repeat(200));
        assert!(!glob.matches("a".repeat(4000) + "b"));
        assert_eq!(Glob::new(&"{a,b}".repeat(20)).forms.len(), MAX_FORMS);
    }
}
