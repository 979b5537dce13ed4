//! Generates the README of a crate from its crate docs, the `//!` lines of `src/lib.rs`.
//!
//! docs.rs shows the docs; crates.io and GitHub show the README. Only rustdoc supports hidden lines
//! and intra-doc links, and a relative link of a README is broken on docs.rs. So the README
//! contains none of these.

use std::fs;
use std::path::PathBuf;

use crate::{crates, root};

/// READMEs that are written by hand, with the reason. Only their links and code blocks are checked.
const HAND_WRITTEN: &[(&str, &str)] = &[
    (
        "README.md",
        "the front page of the repository and of the facade",
    ),
    (
        "crates/vestibule-cli/README.md",
        "the manual of a program; its library has docs for other programs of this workspace",
    ),
];

/// The line below the title of each generated README.
const NOTE: &str = "<!-- Generated from src/lib.rs by `cargo xtask readme`. Change the docs there, not this file. -->";

/// Writes the README of each crate.
pub(crate) fn write() -> Result<(), String> {
    for (path, text) in generated()? {
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("xtask: wrote {}", path.display());
    }
    check_hand_written()
}

/// Fails when a README differs from the output of [`write()`], or has a link that breaks.
pub(crate) fn check() -> Result<(), String> {
    println!("xtask: cargo xtask readme --check");
    let mut old = Vec::new();
    for (path, text) in generated()? {
        if !fs::read_to_string(&path).is_ok_and(|found| found == text) {
            old.push(path.display().to_string());
        }
    }
    if old.is_empty() {
        return check_hand_written();
    }
    Err(format!(
        "differs from the docs in src/lib.rs: {}; `cargo xtask readme` writes them",
        old.join(", ")
    ))
}

fn check_hand_written() -> Result<(), String> {
    let mut faults = Vec::new();
    for (name, _) in HAND_WRITTEN {
        let path = root().join(name);
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        faults.extend(
            hand_written_faults(&text)
                .into_iter()
                .map(|fault| format!("{name}: {fault}")),
        );
    }
    one_error(faults)
}

/// Returns the README of each crate with a generated one, with its path.
fn generated() -> Result<Vec<(PathBuf, String)>, String> {
    let mut all = Vec::new();
    let mut faults = Vec::new();
    for name in crates()? {
        let readme = format!("crates/{name}/README.md");
        let is_by_hand = HAND_WRITTEN.iter().any(|(path, _)| *path == readme);
        // The README of the facade is the front page.
        if is_by_hand || name == "vestibule" {
            continue;
        }
        let source = root().join(format!("crates/{name}/src/lib.rs"));
        let text = fs::read_to_string(&source)
            .map_err(|error| format!("{}: {error}", source.display()))?;
        match render(&name, &crate_docs(&text)) {
            Ok(text) => all.push((root().join(readme), text)),
            Err(found) => faults.extend(
                found
                    .into_iter()
                    .map(|fault| format!("crates/{name}/src/lib.rs: {fault}")),
            ),
        }
    }
    one_error(faults).map(|()| all)
}

fn one_error(faults: Vec<String>) -> Result<(), String> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\nxtask: "))
    }
}

/// Returns the leading `//!` lines of a source file, without their marks.
fn crate_docs(source: &str) -> String {
    let mut docs = String::new();
    for line in source.lines() {
        let Some(text) = line.strip_prefix("//!") else {
            break;
        };
        docs.push_str(text.strip_prefix(' ').unwrap_or(text));
        docs.push('\n');
    }
    docs
}

/// Generates the README of the crate `name` from its docs, or lists the faults of the docs.
fn render(name: &str, docs: &str) -> Result<String, Vec<String>> {
    if docs.trim().is_empty() {
        return Err(vec![
            "has no `//!` docs at its top to generate the README from".to_owned(),
        ]);
    }
    let definitions = definitions(docs);
    let mut faults = Vec::new();
    let mut text = format!(
        "# {name}\n\n{NOTE}\n\n[docs.rs](https://docs.rs/{name}) | [crates.io](https://crates.io/crates/{name})\n\n"
    );
    for block in blocks(docs) {
        match block {
            Block::Prose(prose) => {
                text.push_str(&headings_down(&links(&prose, &definitions, &mut faults)));
            }
            Block::Code { open, lines, close } => {
                let (indent, marks, info) = fence_parts(open);
                let is_rust = is_rust(info);
                let language = if is_rust { "rust" } else { info };
                text.push_str(&format!("{indent}{marks}{language}\n"));
                let lines = if is_rust { visible(&lines) } else { lines };
                for line in lines {
                    text.push_str(line);
                    text.push('\n');
                }
                text.push_str(close);
                text.push('\n');
            }
        }
    }
    let text = format!("{}\n", text.trim_end());
    if faults.is_empty() {
        Ok(text)
    } else {
        Err(faults)
    }
}

/// Lists links and lines that crates.io and GitHub show differently from docs.rs.
fn hand_written_faults(text: &str) -> Vec<String> {
    let definitions = definitions(text);
    let mut faults = Vec::new();
    for block in blocks(text) {
        match block {
            Block::Prose(prose) => {
                let without = links(&prose, &definitions, &mut faults);
                if let Some((line, _)) = prose
                    .lines()
                    .zip(without.lines())
                    .find(|(before, after)| before != after)
                {
                    faults.push(format!("only rustdoc resolves the link in `{line}`"));
                }
            }
            Block::Code { open, lines, .. } if is_rust(fence_parts(open).2) => {
                let hidden = lines.iter().find(|line| is_hidden(line));
                faults.extend(hidden.map(|line| format!("only rustdoc hides the line `{line}`")));
            }
            Block::Code { .. } => {}
        }
    }
    faults
}

/// A part of a Markdown text.
enum Block<'a> {
    Prose(String),
    /// A fenced code block, with its first and last line.
    Code {
        open: &'a str,
        lines: Vec<&'a str>,
        close: &'a str,
    },
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut prose = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let marks = fence_parts(line).1;
        if marks.is_empty() {
            prose.push_str(line);
            prose.push('\n');
            continue;
        }
        blocks.push(Block::Prose(std::mem::take(&mut prose)));
        let mut code = Vec::new();
        let mut close = marks;
        for line in lines.by_ref() {
            let (_, closing, info) = fence_parts(line);
            if closing.starts_with(marks) && info.is_empty() {
                close = line;
                break;
            }
            code.push(line);
        }
        blocks.push(Block::Code {
            open: line,
            lines: code,
            close,
        });
    }
    blocks.push(Block::Prose(prose));
    blocks
}

/// Returns the indent, the marks and the info string of a fence. The marks are empty for any other
/// line.
fn fence_parts(line: &str) -> (&str, &str, &str) {
    let rest = line.trim_start();
    let indent = &line[..line.len() - rest.len()];
    let mark = if rest.starts_with('~') { '~' } else { '`' };
    let info = rest.trim_start_matches(mark);
    let marks = &rest[..rest.len() - info.len()];
    if marks.len() < 3 || info.contains('`') {
        return (indent, "", "");
    }
    (indent, marks, info.trim())
}

/// Returns whether rustdoc treats a code block as Rust: its info string is empty, or has only these
/// words.
fn is_rust(info: &str) -> bool {
    let is_attribute = |word: &str| {
        word.starts_with("edition")
            || word.starts_with("ignore-")
            || matches!(
                word,
                "rust"
                    | "no_run"
                    | "ignore"
                    | "compile_fail"
                    | "should_panic"
                    | "test_harness"
                    | "standalone_crate"
            )
    };
    info.split([',', ' ', '\t'])
        .filter(|word| !word.is_empty())
        .all(is_attribute)
}

fn is_hidden(line: &str) -> bool {
    let line = line.trim();
    line == "#" || line.starts_with("# ")
}

/// Returns the lines of a Rust example that rustdoc shows, without blank lines at either end.
fn visible<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut shown: Vec<&str> = Vec::new();
    for line in lines.iter().filter(|line| !is_hidden(line)) {
        // Blank lines before and after hidden lines become one.
        if !line.trim().is_empty() || shown.last().is_some_and(|last| !last.trim().is_empty()) {
            // `##` is an escaped `#`, which would hide the line.
            shown.push(match line.strip_prefix("##") {
                Some(_) => &line[1..],
                None => line,
            });
        }
    }
    while shown.last().is_some_and(|last| last.trim().is_empty()) {
        shown.pop();
    }
    shown
}

/// Moves each heading one level down, since the crate's name is the title.
fn headings_down(prose: &str) -> String {
    let mut text = String::new();
    for line in prose.lines() {
        let level = line.len() - line.trim_start_matches('#').len();
        if (1..6).contains(&level) && line[level..].starts_with(' ') {
            text.push('#');
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Finds link definitions, `[label]: target`.
fn definitions(text: &str) -> Vec<(&str, &str)> {
    text.lines().filter_map(definition).collect()
}

fn definition(line: &str) -> Option<(&str, &str)> {
    let (label, target) = line.trim().strip_prefix('[')?.split_once("]: ")?;
    Some((label, target.trim()))
}

/// The target of a link.
#[derive(Debug, PartialEq)]
enum Target {
    /// A URL, or a heading of the same text.
    Anywhere,
    /// A crate of this workspace, by its page on docs.rs.
    Crate(String),
    /// A Rust path, which only rustdoc resolves.
    Item,
    /// A file beside the text.
    Relative,
}

fn target(link: &str) -> Target {
    let is_address = ["https://", "http://", "mailto:", "#"]
        .iter()
        .any(|start| link.starts_with(start));
    let is_path = link
        .chars()
        .all(|c| c.is_alphanumeric() || "_:@!()<>&*,#-`'".contains(c));
    if is_address {
        Target::Anywhere
    } else if is_path && link.starts_with("vestibule_") && !link.contains(':') {
        Target::Crate(format!("https://docs.rs/{}", link.replace('_', "-")))
    } else if is_path {
        Target::Item
    } else {
        Target::Relative
    }
}

/// Replaces links that only rustdoc resolves by their text, and reports relative links.
fn links(prose: &str, definitions: &[(&str, &str)], faults: &mut Vec<String>) -> String {
    let mut text = String::new();
    let mut rest = prose;
    while let Some(at) = rest.find(['\\', '`', '[']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_first_of_line = text.is_empty() || text.ends_with('\n');
        let line_length = rest.find('\n').unwrap_or(rest.len());
        if let Some((_, link)) = definition(&rest[..line_length]).filter(|_| is_first_of_line) {
            match target(link) {
                Target::Anywhere => text.push_str(&rest[..line_length]),
                Target::Crate(address) => {
                    text.push_str(&rest[..line_length].replace(link, &address))
                }
                Target::Item => {}
                Target::Relative => faults.push(relative(link)),
            }
            rest = &rest[line_length..];
        } else if rest.starts_with('[') {
            let Some(link) = Link::parse(rest) else {
                text.push('[');
                rest = &rest[1..];
                continue;
            };
            let inner = links(link.text, definitions, faults);
            text.push_str(&link.replaced(&inner, definitions, faults));
            rest = &rest[link.length..];
        } else {
            let length = opaque(rest);
            text.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    text.push_str(rest);
    text
}

fn relative(link: &str) -> String {
    format!(
        "the relative link `{link}` is broken on docs.rs or crates.io; write its address, \
         https://github.com/vestibule-rs/vestibule/blob/main/... or https://docs.rs/..."
    )
}

/// Returns the length of an escape or a code span in bytes, in which there are no links.
fn opaque(text: &str) -> usize {
    if let Some(escaped) = text.strip_prefix('\\') {
        return 1 + escaped.chars().next().map_or(0, char::len_utf8);
    }
    let marks = text.len() - text.trim_start_matches('`').len();
    let mut from = marks;
    while let Some(at) = text[from..].find('`') {
        let start = from + at;
        let run = text[start..].len() - text[start..].trim_start_matches('`').len();
        if run == marks {
            return start + run;
        }
        from = start + run;
    }
    marks
}

/// `[text](target)`, `[text][label]` or `[label]`.
struct Link<'a> {
    text: &'a str,
    /// The target or the label after the text, with its brackets.
    tail: &'a str,
    length: usize,
}

impl<'a> Link<'a> {
    /// Parses the link at the start of `prose`.
    fn parse(prose: &'a str) -> Option<Self> {
        let end = closing(prose, '[', ']')?;
        let after = &prose[end + 1..];
        let tail = match after.chars().next() {
            Some('(') => &after[..closing(after, '(', ')')? + 1],
            Some('[') => &after[..closing(after, '[', ']')? + 1],
            _ => "",
        };
        Some(Self {
            text: &prose[1..end],
            tail,
            length: end + 1 + tail.len(),
        })
    }

    fn replaced(
        &self,
        inner: &str,
        definitions: &[(&str, &str)],
        faults: &mut Vec<String>,
    ) -> String {
        let whole = format!("[{inner}]{}", self.tail);
        let inside = self
            .tail
            .get(1..self.tail.len().saturating_sub(1))
            .unwrap_or("");
        let link = if self.tail.starts_with('(') {
            inside.split_whitespace().next().unwrap_or("")
        } else {
            let label = if inside.is_empty() { self.text } else { inside };
            match definitions.iter().find(|(name, _)| *name == label) {
                Some((_, link)) => *link,
                // Brackets around words are not a link, unless they contain a Rust path.
                None if matches!(target(label), Target::Item | Target::Crate(_)) => label,
                None => return whole,
            }
        };
        match target(link) {
            Target::Anywhere => whole,
            Target::Crate(address) if self.tail.starts_with('(') => format!("[{inner}]({address})"),
            Target::Crate(_) | Target::Item => plain(inner),
            Target::Relative => {
                faults.push(relative(link));
                whole
            }
        }
    }
}

/// Returns the text of an intra-doc link, without the prefix that tells rustdoc the kind of the
/// item.
fn plain(text: &str) -> String {
    match text.split_once('@') {
        Some((kind, name)) if kind.starts_with('`') => format!("`{name}"),
        Some((_, name)) => name.to_owned(),
        None => text.to_owned(),
    }
}

/// Returns the index of the bracket that closes the one at the start of `text`.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c == '`' || c == '\\' {
            at += opaque(&text[at..]);
            continue;
        }
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
        at += c.len_utf8();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the part of a README that comes from the docs.
    fn body(docs: &str) -> String {
        let readme = render("vestibule-x", docs).unwrap();
        let (_, body) = readme.split_once("crates/vestibule-x)\n\n").unwrap();
        body.to_owned()
    }

    #[test]
    fn the_title_and_the_links_are_the_crate_s_own() {
        let readme = render("vestibule-x", "Serves.\n").unwrap();
        assert!(
            readme.starts_with("# vestibule-x\n\n<!-- Generated"),
            "{readme}"
        );
        assert!(readme.contains("(https://docs.rs/vestibule-x)"), "{readme}");
        assert!(
            readme.contains("(https://crates.io/crates/vestibule-x)"),
            "{readme}"
        );
    }

    #[test]
    fn docs_end_where_the_code_begins() {
        let source = "//! One.\n//!\n//!  Two.\n\n//! Not this.\nmod a;\n";
        assert_eq!(crate_docs(source), "One.\n\n Two.\n");
        assert_eq!(crate_docs("mod a;\n//! Late.\n"), "");
        assert!(render("x", "").is_err());
    }

    #[test]
    fn rustdoc_syntax_is_removed() {
        for (docs, readme) in [
            // Links.
            ("[`App`] runs", "`App` runs\n"),
            ("[`App`], [`Body::on_end`].", "`App`, `Body::on_end`.\n"),
            ("[`Jwt`](jwt::Jwt) is", "`Jwt` is\n"),
            ("[`allow`](Lint::allow)ed", "`allow`ed\n"),
            ("[an app](App)", "an app\n"),
            ("[App]", "App\n"),
            ("[`trait@App`] and [struct@Body]", "`App` and Body\n"),
            ("[`serve()`] and [`vec!`]", "`serve()` and `vec!`\n"),
            ("[the\ncontract](crate::App)", "the\ncontract\n"),
            ("[text][`App`]\n\n[`App`]: crate::App", "text\n"),
            ("[text][app]\n\n[app]: crate::App", "text\n"),
            ("[app]\n\n[app]: crate::App", "app\n"),
            ("[text][crate::App]", "text\n"),
            (
                "[core](vestibule_core)",
                "[core](https://docs.rs/vestibule-core)\n",
            ),
            ("[`vestibule_core::App`]", "`vestibule_core::App`\n"),
            ("[`x`](vestibule_core::App#details)", "`x`\n"),
            // Unchanged text.
            (
                "[ring](https://docs.rs/ring)",
                "[ring](https://docs.rs/ring)\n",
            ),
            (
                "[a](https://b.c/d_(e) \"title\").",
                "[a](https://b.c/d_(e) \"title\").\n",
            ),
            ("[below](#limits)", "[below](#limits)\n"),
            ("[a][b]\n\n[b]: https://c.d", "[a][b]\n\n[b]: https://c.d\n"),
            ("[b]\n\n[b]: https://c.d", "[b]\n\n[b]: https://c.d\n"),
            (
                "[![a](https://b/c.svg)](https://d)",
                "[![a](https://b/c.svg)](https://d)\n",
            ),
            ("`[DIR]` and ``[`x`]``", "`[DIR]` and ``[`x`]``\n"),
            ("\\[App] and [not a link]", "\\[App] and [not a link]\n"),
            (
                "an open [ bracket, an open ` mark",
                "an open [ bracket, an open ` mark\n",
            ),
            // Headings.
            ("# Limits\n\ntext", "## Limits\n\ntext\n"),
            ("### Deep\n#hashtag", "#### Deep\n#hashtag\n"),
            // Examples.
            ("```\nlet a = 1;\n```", "```rust\nlet a = 1;\n```\n"),
            ("```rust,no_run\na();\n```", "```rust\na();\n```\n"),
            (
                "```no_run\n# fn main() {\na();\n# }\n```",
                "```rust\na();\n```\n",
            ),
            (
                "```rust\n#[derive(A)]\nb\n#\n```",
                "```rust\n#[derive(A)]\nb\n```\n",
            ),
            ("```rust\na\n\n# h\n\nb\n```", "```rust\na\n\nb\n```\n"),
            ("```rust\n## a\n```", "```rust\n# a\n```\n"),
            (
                "```console\n# a comment\n$ a [`b`]\n```",
                "```console\n# a comment\n$ a [`b`]\n```\n",
            ),
            (
                "```toml\n[dependencies]\n```\n[`A`]",
                "```toml\n[dependencies]\n```\n`A`\n",
            ),
            ("````rust\n```\n````", "````rust\n```\n````\n"),
            (
                "- item\n\n  ```rust\n  # h\n  a\n  ```",
                "- item\n\n  ```rust\n  a\n  ```\n",
            ),
        ] {
            assert_eq!(body(docs), readme, "{docs}");
        }
    }

    #[test]
    fn relative_links_are_faults() {
        for docs in [
            "[SPEC.md](SPEC.md)",
            "[`x`](../vestibule-wsgi)",
            "[x](./a)",
            "![picture](docs/a.svg)",
            "[a][b]\n\n[b]: ../c",
        ] {
            assert!(render("x", docs).is_err(), "{docs}");
            assert!(!hand_written_faults(docs).is_empty(), "{docs}");
        }
    }

    #[test]
    fn a_handwritten_readme_is_checked_as_well() {
        for text in [
            "[`App`]",
            "[app](vestibule_core::App)",
            "```rust\n# hidden\nshown\n```",
            "```rust,no_run\n# fn main() {}\n```",
        ] {
            assert_eq!(hand_written_faults(text).len(), 1, "{text}");
        }
        for text in [
            "# Title\n\n[a](https://b)",
            "```rust,no_run\nserve();\n```",
            "```sh\n# a comment\n```",
        ] {
            assert_eq!(hand_written_faults(text), Vec::<String>::new(), "{text}");
        }
    }
}
