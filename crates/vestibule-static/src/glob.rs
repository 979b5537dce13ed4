//! Name patterns.

use std::error::Error;
use std::fmt;

use vestibule_fields::file_type::{FileType, extension};

use crate::coding::Coding;

/// A pattern for file names.
///
/// | in the pattern | matches |
/// |---|---|
/// | `*` | any characters except `/`, also none |
/// | `**` | any characters; `**/` matches any number of folders, also none |
/// | `?` | one character other than `/` |
/// | `{a,b}` | `a` or `b` |
/// | other characters | themselves; case matters |
///
/// A pattern without `/` is matched against the last segment of a name, a pattern with `/` against
/// the whole name. A `/` at its start means the root. Names are bytes, and `?` matches one byte.
/// The cost is linear in the length of the name.
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
    /// An extension that also matches, in any case.
    extension: Option<String>,
    /// The alternatives; one of them must match.
    forms: Vec<Vec<Token>>,
    /// Whether only the last segment of a name is matched.
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
    /// Parses a pattern that is a constant of the program. Use [`try_new`](Self::try_new) for
    /// patterns from users.
    ///
    /// # Panics
    ///
    /// Panics when the pattern can never match a name.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        match Self::try_new(pattern) {
            Ok(glob) => glob,
            Err(error) => panic!("{error}"),
        }
    }

    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// Fails when the pattern can never match a name, so that its rule would have no effect. The
    /// error says how to fix it. `[` and `]` are refused as well: they are not wildcards here; `?`
    /// matches them in a name.
    ///
    /// ```
    /// use vestibule_static::Glob;
    ///
    /// let error = Glob::try_new("*.[jt]s").unwrap_err();
    /// assert!(error.to_string().contains("'*.{j,t}s'"));
    /// assert!(Glob::try_new("docs/").is_err());
    /// assert!(Glob::try_new("docs/**").is_ok());
    /// ```
    pub fn try_new(pattern: &str) -> Result<Self, GlobError> {
        let error = |fault| GlobError {
            pattern: pattern.to_owned(),
            fault,
        };
        check_characters(pattern).map_err(error)?;
        let is_file_name = !pattern.contains('/');
        let rooted = pattern.strip_prefix('/').unwrap_or(pattern);
        let forms = expand(rooted.as_bytes()).ok_or_else(|| error(Fault::TooManyForms))?;
        for form in &forms {
            check_form(form).map_err(error)?;
        }
        Ok(Self {
            pattern: pattern.to_owned(),
            extension: None,
            forms: forms.iter().map(|form| tokens(form)).collect(),
            is_file_name,
        })
    }

    /// Parses a pattern that may also be an extension: a word without `.`, `/` and wildcards, or a
    /// word after one dot. It matches the names with this extension, in any case, and the name that
    /// is the word itself.
    ///
    /// # Errors
    ///
    /// Fails as [`try_new`](Self::try_new) does, and when the pattern is a word with a dot inside,
    /// such as `tar.gz`, which is not an extension.
    ///
    /// ```
    /// use vestibule_static::Glob;
    ///
    /// let glob = Glob::try_new_or_extension("ts").unwrap();
    /// assert!(glob.matches("a/clip.TS") && glob.matches("ts") && !glob.matches("clips"));
    ///
    /// let error = Glob::try_new_or_extension("tar.gz").unwrap_err();
    /// assert!(error.to_string().contains("'*.tar.gz'"));
    /// ```
    pub fn try_new_or_extension(pattern: &str) -> Result<Self, GlobError> {
        let mut glob = Self::try_new(pattern)?;
        if pattern.contains(['*', '?', '{', '/']) {
            return Ok(glob);
        }
        let word = pattern.strip_prefix('.').unwrap_or(pattern);
        let fault = match word {
            _ if word.contains([',', ' ']) => Some(Fault::List),
            _ if word.is_empty() || word.contains('.') => Some(Fault::DotInExtension),
            _ => None,
        };
        if let Some(fault) = fault {
            let pattern = pattern.to_owned();
            return Err(GlobError { pattern, fault });
        }
        glob.extension = Some(word.to_owned());
        Ok(glob)
    }

    /// Parses a pattern, or an extension, of files that are stored in a content coding
    /// ([`StaticFiles::stored_encoded`](crate::StaticFiles::stored_encoded)).
    ///
    /// # Errors
    ///
    /// Fails as [`try_new_or_extension`](Self::try_new_or_extension) does, and when the pattern
    /// matches only archives.
    ///
    /// ```
    /// use vestibule_static::Glob;
    ///
    /// assert!(Glob::try_stored_encoded("*.gz").is_ok());
    /// assert!(Glob::try_stored_encoded("*.tar.gz").is_err());
    /// ```
    pub fn try_stored_encoded(pattern: &str) -> Result<Self, GlobError> {
        let glob = Self::try_new_or_extension(pattern)?;
        let is_archive = |form: &Vec<Token>| {
            // Every matching name ends in the bytes after the last wildcard.
            let end = form.iter().rev().map_while(|token| match token {
                Token::Byte(byte) => Some(*byte),
                _ => None,
            });
            let mut name: Vec<_> = end.collect();
            name.push(b'x');
            name.reverse();
            if let Some(word) = &glob.extension {
                name = [b"x.", word.as_bytes()].concat();
            }
            let inner = Coding::of_name(&name).map_or(&*name, |(_, inner)| inner);
            let known = FileType::of_name(inner);
            known.is_some_and(|known| !known.may_be_stored_encoded() && known.coding().is_none())
        };
        match glob.forms.iter().all(is_archive) {
            true => Err(GlobError {
                pattern: pattern.to_owned(),
                fault: Fault::Archive,
            }),
            false => Ok(glob),
        }
    }

    /// Returns whether `name`, without a leading slash, matches.
    #[must_use]
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        if let Some(word) = &self.extension
            && extension(name).is_some_and(|own| own.eq_ignore_ascii_case(word.as_bytes()))
        {
            return true;
        }
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

/// The error for a pattern that would have no effect. Its text says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobError {
    pattern: String,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Empty,
    Bracket,
    Brace,
    NestedBraces,
    Backslash,
    Control,
    TooManyForms,
    Root,
    SlashAtEnd,
    EmptySegment,
    DotSegment,
    List,
    DotInExtension,
    Archive,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, fault } = self;
        write!(f, "the pattern '{}' ", pattern.escape_debug())?;
        match fault {
            Fault::Empty => f.write_str("is empty: write '*' for all files"),
            Fault::Bracket => {
                let braces = without_classes(pattern);
                let braces = braces.as_deref().unwrap_or("{a,b}");
                write!(
                    f,
                    "has brackets, which are not wildcards here: write '{braces}' for alternatives, or '?' for a bracket in a name"
                )
            }
            Fault::Brace => f.write_str(
                "has an unmatched brace: close it as in '{a,b}', or write '?' for a brace in a name",
            ),
            Fault::NestedBraces => {
                f.write_str("has nested braces: write all alternatives in one pair, as in '{a,b,c}'")
            }
            Fault::Backslash => {
                f.write_str("has a backslash, which no name has: separate folders with '/', and write '?' for a wildcard in a name")
            }
            Fault::Control => f.write_str("has a control character, which no name has: remove it"),
            Fault::TooManyForms => write!(
                f,
                "has more than {MAX_FORMS} alternatives: write several rules"
            ),
            Fault::Root => f.write_str(
                "is a folder, and rules are for files: write '/index.html' for its page, or '/**' for all files",
            ),
            Fault::SlashAtEnd => write!(
                f,
                "ends in a slash, and rules are for files: write '{}/**' for all files below the folder",
                pattern.trim_end_matches(['*', '/'])
            ),
            Fault::EmptySegment => {
                f.write_str("has two slashes in a row, which no name has: write one")
            }
            Fault::DotSegment => f.write_str(
                "has a segment '.' or '..', which no name has: begin with '/' for the root",
            ),
            Fault::List => f.write_str(
                "is a list: write alternatives in braces, as in '*.{js,css}', or one rule for each pattern",
            ),
            Fault::DotInExtension => write!(
                f,
                "is not an extension, since it has a dot: write '*.{0}' for the names that end so, or '**/{1}' for files of this name",
                pattern.trim_start_matches('.'),
                pattern
            ),
            Fault::Archive => f.write_str(
                "matches archives only, which are sent as they are stored: write a pattern of other files, such as '*.js.gz'",
            ),
        }
    }
}

impl Error for GlobError {}

/// Returns the pattern with `{j,t}` instead of `[jt]`, if all its classes are plain letters and
/// figures.
fn without_classes(pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('[') {
        let (class, after) = after.split_once(']')?;
        if class.is_empty() || !class.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let letters: Vec<_> = class.chars().map(String::from).collect();
        text += before;
        text += &match &letters[..] {
            [letter] => letter.clone(),
            _ => format!("{{{}}}", letters.join(",")),
        };
        rest = after;
    }
    text += rest;
    (!text.contains(']')).then_some(text)
}

/// Finds characters that no name has, and incomplete syntax.
fn check_characters(pattern: &str) -> Result<(), Fault> {
    if pattern.is_empty() {
        return Err(Fault::Empty);
    }
    let mut is_in_braces = false;
    for (at, byte) in pattern.bytes().enumerate() {
        match (byte, is_in_braces) {
            // A name may have a comma, but `*.js,*.css` is meant as a list.
            (b',', false)
                if [",*.", ",/", ", "]
                    .iter()
                    .any(|next| pattern[at..].starts_with(next)) =>
            {
                return Err(Fault::List);
            }
            (b'[' | b']', _) => return Err(Fault::Bracket),
            (b'\\', _) => return Err(Fault::Backslash),
            (0..=0x1f | 0x7f, _) => return Err(Fault::Control),
            (b'{', true) => return Err(Fault::NestedBraces),
            (b'}', false) => return Err(Fault::Brace),
            (b'{', false) => is_in_braces = true,
            (b'}', true) => is_in_braces = false,
            _ => {}
        }
    }
    match is_in_braces {
        true => Err(Fault::Brace),
        false => Ok(()),
    }
}

/// Finds segments that no file name has.
fn check_form(form: &[u8]) -> Result<(), Fault> {
    match form {
        [] => return Err(Fault::Root),
        [.., b'/'] => return Err(Fault::SlashAtEnd),
        _ => {}
    }
    for segment in form.split(|&byte| byte == b'/') {
        match segment {
            [] => return Err(Fault::EmptySegment),
            b"." | b".." => return Err(Fault::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the pattern once for each of its alternatives; `None` when there are more than
/// [`MAX_FORMS`].
fn expand(pattern: &[u8]) -> Option<Vec<Vec<u8>>> {
    let braces = pattern
        .iter()
        .position(|&byte| byte == b'{')
        .and_then(|open| {
            let close = pattern[open..].iter().position(|&byte| byte == b'}')? + open;
            Some((open, close))
        });
    let Some((open, close)) = braces else {
        return Some(vec![pattern.to_vec()]);
    };
    let tails = expand(&pattern[close + 1..])?;
    let alternatives = pattern[open + 1..close].split(|&byte| byte == b',');
    let forms: Vec<_> = alternatives
        .flat_map(|middle| tails.iter().map(move |tail| (middle, tail)))
        .map(|(middle, tail)| [&pattern[..open], middle, tail].concat())
        .take(MAX_FORMS + 1)
        .collect();
    (forms.len() <= MAX_FORMS).then_some(forms)
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

/// Tracks all ways to match at once: `here[at]` means that the tokens before `at` can match the
/// bytes so far.
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

/// Skips tokens that may match nothing, at the start of a name.
fn skip(tokens: &[Token], here: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if here[at] && matches!(token, Token::Segment | Token::All | Token::Folders) {
            here[at + 1] = true;
        }
    }
}

/// Skips tokens that may match nothing, or have just matched. `**/` cannot be skipped in the middle
/// of a folder's name, before its slash.
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

/// Maximum number of alternatives of a pattern.
const MAX_FORMS: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            ("a?b", "a/b", false),
            ("*.{js,css}", "x.css", true),
            ("*.{js,css}", "x.html", false),
            ("{a,b}{1,2}", "b1", true),
            ("{a,b}{1,2}", "b3", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("*,v", "page.html,v", true),
            ("*:2,*", "1.host:2,S", true),
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
        assert_eq!(Glob::new(&"{a,b}".repeat(8)).forms.len(), MAX_FORMS);
    }

    #[test]
    fn a_pattern_without_effect_is_an_error_with_its_fix() {
        let cases = [
            ("", "write '*'"),
            ("*.[jt]s", "write '*.{j,t}s'"),
            ("[a].[jt]s", "write 'a.{j,t}s'"),
            ("*.[a-z]", "write '{a,b}'"),
            ("[!a].js", "write '{a,b}'"),
            ("[slug].html", "'?' for a bracket"),
            ("a]", "'?' for a bracket"),
            ("[a", "'?' for a bracket"),
            ("*.{js,css", "close it"),
            ("a}", "close it"),
            ("{a,{b,c}}", "'{a,b,c}'"),
            ("*.js,*.css", "'*.{js,css}'"),
            ("/a.js,/b.js", "'*.{js,css}'"),
            ("*.js, *.css", "'*.{js,css}'"),
            ("docs\\*.js", "separate folders with '/'"),
            ("a\n", "control character"),
            ("/", "'/index.html'"),
            ("docs/", "'docs/**'"),
            ("/docs/", "'/docs/**'"),
            ("a/**/", "'a/**' for all files below"),
            ("{a/,b}", "ends in a slash"),
            ("//a.js", "write one"),
            ("a//b", "write one"),
            ("https://example.org/a.js", "write one"),
            ("./a.js", "begin with '/'"),
            ("../a.js", "begin with '/'"),
            ("a/../b", "begin with '/'"),
            ("..", "begin with '/'"),
        ];
        for (pattern, fix) in cases {
            let text = Glob::try_new(pattern).unwrap_err().to_string();
            assert!(text.contains(fix), "{pattern}: {text}");
        }
        let many = Glob::try_new(&"{a,b}".repeat(9)).unwrap_err();
        assert!(many.to_string().contains("more than 256"));
    }

    #[test]
    fn extensions() {
        let cases = [
            ("ts", "clip.ts", true),
            ("TS", "a/clip.ts", true),
            (".ts", "clip.TS", true),
            ("ts", "ts", true),
            ("ts", "clip.mts", false),
            ("ts", "ts.js", false),
            ("LICENSE", "a/LICENSE", true),
            ("LICENSE", "license", false),
            (".htaccess", ".htaccess", true),
            ("*.tar.gz", "a.tar.gz", true),
            ("*.tar.gz", "a.gz", false),
            ("/api/**", "api/a/b", true),
            ("/README.md", "README.md", true),
        ];
        for (pattern, name, want) in cases {
            let glob = Glob::try_new_or_extension(pattern).unwrap();
            assert_eq!(glob.matches(name), want, "{pattern} {name}");
        }
        let faults = [
            ("tar.gz", "'*.tar.gz'"),
            (".tar.gz", "'*.tar.gz'"),
            ("README.md", "'**/README.md'"),
            ("js,css", "'*.{js,css}'"),
            ("js css", "'*.{js,css}'"),
            (".js,.css", "'*.{js,css}'"),
            ("", "write '*'"),
            (".", "'.' or '..'"),
            ("*.[jt]s", "'*.{j,t}s'"),
        ];
        for (pattern, fix) in faults {
            let text = Glob::try_new_or_extension(pattern).unwrap_err().to_string();
            assert!(text.contains(fix), "{pattern}: {text}");
        }
    }

    #[test]
    fn archives_are_never_sent_in_a_coding() {
        for pattern in [
            "*.tar.gz",
            "/a/*.tgz",
            "tgz",
            "*.{tar.gz,tar.zst}",
            "*.iso.br",
            "*.zip",
        ] {
            let text = Glob::try_stored_encoded(pattern).unwrap_err().to_string();
            assert!(text.contains("archives only"), "{pattern}: {text}");
        }
        for pattern in [
            "*.gz",
            "gz",
            "**",
            "/Build/*",
            "*.{tar.gz,js.gz}",
            "*.data.br",
            "*.pbf",
            "a?",
        ] {
            assert!(Glob::try_stored_encoded(pattern).is_ok(), "{pattern}");
        }
    }

    /// Returns a name that the tokens match.
    fn witness(form: &[Token]) -> Vec<u8> {
        let bytes = form.iter().map(|token| match token {
            Token::Byte(byte) => vec![*byte],
            Token::One | Token::Segment | Token::All => b"x".to_vec(),
            Token::Folders => b"x/".to_vec(),
        });
        bytes.collect::<Vec<_>>().concat()
    }

    proptest! {
        #[test]
        fn any_pattern_is_read_or_refused(pattern: String) {
            let _ = Glob::try_new_or_extension(&pattern);
            let _ = Glob::try_stored_encoded(&pattern).map_err(|error| error.to_string());
        }

        #[test]
        fn a_pattern_that_is_read_matches_a_name_that_a_file_may_have(pattern in "/?([ab.*?{},/]|\\*\\*/){1,9}") {
            if let Ok(glob) = Glob::try_new(&pattern) {
                for form in &glob.forms {
                    let name = witness(form);
                    prop_assert!(is_match(form, &name), "{pattern} {name:?}");
                    let segments = name.split(|&byte| byte == b'/');
                    for segment in segments {
                        prop_assert!(!matches!(segment, b"" | b"." | b".."), "{pattern} {name:?}");
                    }
                }
            }
        }
    }
}
