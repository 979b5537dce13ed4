//! Counts phrases that make the project's English hard to read: in Rust comments and in Markdown.
//!
//! Readers are engineers all over the world, and most read English as a second language. A phrase
//! of [`PHRASES`] is usually the sign of a sentence that has to be read twice. Code does not count:
//! neither fenced blocks, nor text in backticks or in double quotes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::root;

/// The most phrases that one folder may have in a thousand lines of prose.
const MAX_PER_THOUSAND: f64 = 3.0;

/// Folders that are not rewritten yet. They are counted and do not fail the check; remove a folder
/// from this list when it has been rewritten.
const NOT_YET: &[&str] = &[
    "crates/vestibule-auth",
    "crates/vestibule-cli",
    "crates/vestibule-hyper",
    "crates/vestibule-logging",
    "crates/vestibule-socket",
    "crates/vestibule-wsgi",
];

/// A phrase to avoid: lower-case words in their order, and the words that make it right English
/// when one of them comes next.
type Phrase = (&'static str, &'static [&'static str]);

const PHRASES: &[Phrase] = &[
    ("whoever", &[]),
    ("whom", &[]),
    ("whomever", &[]),
    ("those who", &[]),
    ("who ask", &[]),
    ("who asks", &[]),
    ("who read", &[]),
    ("who reads", &[]),
    ("who write", &[]),
    ("who writes", &[]),
    ("who come", &[]),
    ("who comes", &[]),
    ("who take", &[]),
    ("who takes", &[]),
    ("who has", &[]),
    ("stand", &["alone", "for"]),
    ("stands", &["alone", "for"]),
    ("nobody", &[]),
    ("somebody", &[]),
    ("so many", &["as"]),
    ("so long", &["as"]),
    ("so much", &["as"]),
    ("so few", &["as"]),
    ("is told", &[]),
    ("are told", &[]),
    ("was told", &[]),
    ("be told", &[]),
    ("hear", &[]),
    ("hears", &[]),
    ("anew", &[]),
    ("in place of", &[]),
    ("that there is", &[]),
    ("that there are", &[]),
    ("not said", &[]),
    ("it is said", &[]),
    ("of which", &[]),
];

/// The phrases and the lines of prose of one folder.
#[derive(Default)]
struct Count {
    /// Each as `path:line: [phrase] text`.
    found: Vec<String>,
    lines: usize,
}

impl Count {
    fn per_thousand(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        let (found, lines) = (self.found.len() as f64, self.lines.max(1) as f64);
        1000.0 * found / lines
    }
}

/// Fails when a folder that has been rewritten has more phrases than [`MAX_PER_THOUSAND`].
pub(crate) fn check() -> Result<(), String> {
    println!("xtask: cargo xtask prose");
    let mut failed = false;
    for (folder, count) in &counts()? {
        let waits = NOT_YET.contains(&folder.as_str());
        let too_many = count.per_thousand() > MAX_PER_THOUSAND;
        match (too_many, waits) {
            (true, true) => println!(
                "xtask: {folder}: {:.1} phrases in a thousand lines, to be rewritten",
                count.per_thousand()
            ),
            (true, false) => {
                failed = true;
                eprintln!("{}", count.found.join("\n"));
            }
            (false, true) => {
                return Err(format!(
                    "{folder} is rewritten: remove it from NOT_YET in xtask/src/prose.rs"
                ));
            }
            (false, false) => {}
        }
    }
    if failed {
        return Err(format!(
            "the lines above use phrases that are hard to read (more than {MAX_PER_THOUSAND} in a \
             thousand lines of their folder): rewrite them as CONTRIBUTING.md says"
        ));
    }
    Ok(())
}

/// The counts of each crate, and of each other folder of the workspace. Files beside `Cargo.toml`
/// are the folder `.`.
fn counts() -> Result<BTreeMap<String, Count>, String> {
    let output = Command::new("git")
        .args(["ls-files", "*.rs", "*.md"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("`git ls-files` could not be started: {error}"))?;
    let listed = String::from_utf8_lossy(&output.stdout);
    if listed.is_empty() {
        return Err("`git ls-files` lists no file: the check needs a clone".to_owned());
    }
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for path in listed.lines() {
        // A file that was removed and is not committed yet is listed.
        let Ok(text) = fs::read_to_string(root().join(path)) else {
            continue;
        };
        let count = counts.entry(folder(path)).or_default();
        for (number, line) in prose(&text, path.ends_with(".rs")) {
            count.lines += 1;
            let found = phrases(&line).into_iter();
            count
                .found
                .extend(found.map(|phrase| format!("{path}:{number}: [{phrase}] {line}")));
        }
    }
    Ok(counts)
}

/// `crates/NAME` for a file of a crate, else the first folder of its path.
fn folder(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["crates", name, _, ..] => format!("crates/{name}"),
        [first, _, ..] => first.to_owned(),
        _ => ".".to_owned(),
    }
}

/// The lines of a text that are prose, with their numbers and without code: of Rust the comments.
fn prose(text: &str, is_rust: bool) -> Vec<(usize, String)> {
    let mut in_fence = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = if is_rust { comment(line) } else { line };
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        let line = without_quotes(line);
        if !in_fence && line.contains(char::is_alphabetic) {
            lines.push((number, line.trim().to_owned()));
        }
    }
    lines
}

/// The comment of a line of Rust, without its slashes; empty without one.
fn comment(line: &str) -> &str {
    let trimmed = line.trim_start();
    let start = if trimmed.starts_with("//") {
        Some(line.len() - trimmed.len())
    } else {
        line.find(" // ").map(|at| at + 1)
    };
    start.map_or("", |at| {
        line[at..].trim_start_matches('/').trim_start_matches('!')
    })
}

/// Removes text in backticks, and text in double quotes. A mark without its pair is kept.
fn without_quotes(line: &str) -> String {
    let mut kept = line.to_owned();
    for mark in ['`', '"'] {
        let mut from = 0;
        while let Some(open) = kept[from..].find(mark).map(|at| at + from) {
            let Some(close) = kept[open + 1..].find(mark).map(|at| at + open + 1) else {
                break;
            };
            // A word instead of the text keeps the words on both sides apart.
            kept.replace_range(open..=close, " _ ");
            from = open + 3;
        }
    }
    kept
}

/// The phrases to avoid that a line has, each as often as it has it.
fn phrases(line: &str) -> Vec<&'static str> {
    let lower = line.to_lowercase();
    let mut found = Vec::new();
    // A phrase does not go on behind a comma.
    for clause in lower.split([',', ';', ':', '.', '(', ')']) {
        let is_word = |it: char| it.is_alphanumeric() || "'-_".contains(it);
        let words = clause.split(|it| !is_word(it));
        let words: Vec<&str> = words.filter(|it| !it.is_empty()).collect();
        for (phrase, allowed) in PHRASES {
            let parts: Vec<&str> = phrase.split(' ').collect();
            for (at, window) in words.windows(parts.len()).enumerate() {
                let next = words.get(at + parts.len());
                if window == parts && next.is_none_or(|next| !allowed.contains(next)) {
                    found.push(*phrase);
                }
            }
        }
    }
    if starts_with_what(line) {
        found.push("What ...");
    }
    found
}

/// Whether a sentence of the line starts with "What", as in "What is read is kept".
fn starts_with_what(line: &str) -> bool {
    line.match_indices("What ").any(|(at, _)| {
        let before = line[..at].trim_end();
        let is_start = before.is_empty() || before.ends_with(['.', ':', ';']);
        is_start && line[at + 5..].starts_with(|it: char| it.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_and_right_english_is_not() {
        for (line, want) in [
            ("Whoever asks is answered.", &["whoever"][..]),
            ("The cache keeps requested files.", &[]),
            ("It stands alone, and stands for a byte.", &[]),
            ("It stands here.", &["stands"]),
            ("So many bytes, so many as there are.", &["so many"]),
            ("What is kept is small.", &["What ..."]),
            ("It says what is kept. What follows is not.", &["What ..."]),
            ("What's new", &[]),
            ("The port of `Host`, which is not omitted.", &[]),
            ("Nobody hears of it.", &["nobody", "hears"]),
            ("Bodies in place of files.", &["in place of"]),
        ] {
            let mut found = phrases(line);
            found.sort_unstable();
            let mut want = want.to_vec();
            want.sort_unstable();
            assert_eq!(found, want, "{line}");
        }
    }

    #[test]
    fn only_prose_counts() {
        let markdown = "first\n```text\nfirst\n```\nsee `first` and \"first\"\n\n";
        let lines = prose(markdown, false);
        assert_eq!(
            lines,
            [(1, "first".to_owned()), (5, "see  _  and  _".to_owned())]
        );
        let rust = "let first = 1; // first\n/// second\nlet url = \"http://first\";\n//! `a`\n";
        let lines = prose(rust, true);
        assert_eq!(lines, [(1, "first".to_owned()), (2, "second".to_owned())]);
    }

    #[test]
    fn a_file_belongs_to_its_crate() {
        assert_eq!(
            folder("crates/vestibule-core/src/lib.rs"),
            "crates/vestibule-core"
        );
        assert_eq!(folder("benches/wsgi/app.md"), "benches");
        assert_eq!(folder("README.md"), ".");
    }
}
