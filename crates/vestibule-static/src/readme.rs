//! The README of a folder, as HTML below its listing.
//!
//! Source: CommonMark 0.31.2, limited to the syntax that READMEs use. HTML is never passed through.

use std::fmt::Write;

use crate::listing::escape;
use crate::source::{Listed, Stored, Wait};

/// Returns the entry to show: the first of [`NAMES`], in any case.
pub(crate) fn of(entries: &[Listed]) -> Option<&Listed> {
    NAMES.iter().find_map(|name| {
        entries.iter().find(|entry| {
            let is_small = entry.length > 0 && entry.length <= MAX_SIZE;
            !entry.is_directory && is_small && entry.name.eq_ignore_ascii_case(name.as_bytes())
        })
    })
}

/// Returns the content as HTML; `None` when it is too large, is not UTF-8 or cannot be read.
pub(crate) fn html(name: &[u8], stored: &Stored) -> Option<String> {
    if stored.length() > MAX_SIZE {
        return None;
    }
    let bytes = stored
        .head(usize::try_from(MAX_SIZE).ok()?, Wait::Allowed)
        .ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let text = text.trim_start_matches('\u{feff}');
    if text.contains('\0') {
        return None;
    }
    let is_markdown = name
        .to_ascii_lowercase()
        .windows(3)
        .any(|it| it == b".md" || it == b".ma");
    Some(match is_markdown {
        true => markdown(text),
        false => format!("<pre>{}</pre>\n", escape_lines(text)),
    })
}

/// Converts Markdown to HTML.
pub(crate) fn markdown(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::with_capacity(text.len() * 5 / 4);
    blocks(&lines, 0, &mut out);
    out
}

/// Converts blocks of lines; `depth` counts the quotes and lists around them.
fn blocks(lines: &[&str], depth: usize, out: &mut String) {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let text = line.trim_start();
        let end = if text.is_empty() {
            at + 1
        } else if let Some(fence) = fence(text) {
            code_block(lines, at, fence, out)
        } else if let Some((level, heading)) = heading(text) {
            // The first heading of the page is the name of the folder.
            let level = (level + 1).min(6);
            let _ = writeln!(out, "<h{level}>{}</h{level}>", inline(heading, 0));
            at + 1
        } else if is_rule(text) {
            out.push_str("<hr>\n");
            at + 1
        } else if text.starts_with('>') && depth < MAX_DEPTH {
            let end = run(lines, at, |line| line.trim_start().starts_with('>'));
            let inner: Vec<_> = lines[at..end]
                .iter()
                .map(|line| {
                    let line = line.trim_start().strip_prefix('>').unwrap_or(line);
                    line.strip_prefix(' ').unwrap_or(line)
                })
                .collect();
            out.push_str("<blockquote>\n");
            blocks(&inner, depth + 1, out);
            out.push_str("</blockquote>\n");
            end
        } else if item(line).is_some() && depth < MAX_DEPTH {
            list(lines, at, depth, out)
        } else if line.starts_with("    ") || line.starts_with('\t') {
            let is_code = |line: &str| line.starts_with("    ") || line.starts_with('\t');
            let end = run(lines, at, is_code);
            out.push_str("<pre><code>");
            for line in &lines[at..end] {
                let line = line.strip_prefix('\t').or(line.strip_prefix("    "));
                let _ = writeln!(out, "{}", escape(line.unwrap_or_default()));
            }
            out.push_str("</code></pre>\n");
            end
        } else if text.starts_with('|') && lines.get(at + 1).is_some_and(|it| is_table_rule(it)) {
            table(lines, at, out)
        } else {
            paragraph(lines, at, out)
        };
        at = end.max(at + 1);
    }
}

/// Returns the first line from `at` for which `holds` is false.
fn run(lines: &[&str], at: usize, holds: impl Fn(&str) -> bool) -> usize {
    let count = lines[at..].iter().take_while(|line| holds(line)).count();
    at + count
}

fn paragraph(lines: &[&str], at: usize, out: &mut String) -> usize {
    let is_inside = |line: &str| {
        let text = line.trim_start();
        !(text.is_empty()
            || fence(text).is_some()
            || heading(text).is_some()
            || text.starts_with('>')
            || item(line).is_some())
    };
    let end = run(lines, at, is_inside).max(at + 1);
    // A line of `=` or `-` below a text makes it a heading.
    let underline = lines[at..end].iter().skip(1).position(|line| {
        let line = line.trim();
        line.len() > 1 && (line.bytes().all(|it| it == b'=') || line.bytes().all(|it| it == b'-'))
    });
    let (text_end, level) = match underline {
        Some(below) if lines[at + 1 + below].trim().starts_with('=') => (at + 1 + below, 2),
        Some(below) => (at + 1 + below, 3),
        None => (end, 0),
    };
    let text: Vec<_> = lines[at..text_end].iter().map(|line| line.trim()).collect();
    let text = inline(&text.join("\n"), 0);
    if level > 0 {
        let _ = writeln!(out, "<h{level}>{text}</h{level}>");
        return text_end + 1;
    }
    let _ = writeln!(out, "<p>{text}</p>");
    end
}

/// Returns the marks that open a code block.
fn fence(text: &str) -> Option<&str> {
    let length = |mark: char| text.len() - text.trim_start_matches(mark).len();
    let count = length('`').max(length('~'));
    (count >= 3 && !text[count..].contains('`')).then(|| &text[..count])
}

fn code_block(lines: &[&str], at: usize, fence: &str, out: &mut String) -> usize {
    let is_end = |line: &str| {
        let line = line.trim();
        line.starts_with(fence) && line.trim_start_matches(&fence[..1]).is_empty()
    };
    let indent = lines[at].len() - lines[at].trim_start().len();
    let end = run(lines, at + 1, |line| !is_end(line));
    out.push_str("<pre><code>");
    for line in &lines[at + 1..end] {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        let _ = writeln!(out, "{}", escape(&line[spaces.min(indent)..]));
    }
    out.push_str("</code></pre>\n");
    end + 1
}

fn heading(text: &str) -> Option<(usize, &str)> {
    let level = text.len() - text.trim_start_matches('#').len();
    let rest = &text[level..];
    let is_one = (1..=6).contains(&level) && (rest.is_empty() || rest.starts_with([' ', '\t']));
    is_one.then(|| (level, rest.trim().trim_end_matches('#').trim_end()))
}

fn is_rule(text: &str) -> bool {
    let marks: String = text.chars().filter(|it| !it.is_whitespace()).collect();
    let is_of = |mark: char| marks.chars().all(|it| it == mark);
    marks.len() >= 3 && (is_of('-') || is_of('*') || is_of('_'))
}

/// Returns the indent, the text offset and the number of a list item.
fn item(line: &str) -> Option<(usize, usize, Option<u32>)> {
    let text = line.trim_start_matches(' ');
    let indent = line.len() - text.len();
    let digits = text.len()
        - text
            .trim_start_matches(|it: char| it.is_ascii_digit())
            .len();
    let (mark, number) = match digits {
        0 if text.starts_with(['-', '*', '+']) => (1, None),
        1..=9 if text[digits..].starts_with(['.', ')']) => {
            (digits + 1, text[..digits].parse().ok())
        }
        _ => return None,
    };
    let rest = &text[mark..];
    let spaces = rest.len() - rest.trim_start_matches(' ').len();
    let is_one = (rest.is_empty() || spaces > 0) && !is_rule(text);
    is_one.then_some((indent, indent + mark + spaces.clamp(1, 4), number))
}

fn list(lines: &[&str], at: usize, depth: usize, out: &mut String) -> usize {
    let Some((indent, _, number)) = item(lines[at]) else {
        return at;
    };
    let tag = if number.is_some() { "ol" } else { "ul" };
    match number {
        Some(start) if start != 1 => drop(writeln!(out, "<ol start=\"{start}\">")),
        _ => drop(writeln!(out, "<{tag}>")),
    }
    let mut at = at;
    while let Some((of_this, text_at, other)) = lines.get(at).and_then(|line| item(line)) {
        if of_this < indent || other.is_some() != number.is_some() {
            break;
        }
        // Indented lines belong to the item, and so do lines that continue its paragraph.
        let mut end = at + 1;
        while let Some(line) = lines.get(end) {
            let spaces = line.len() - line.trim_start().len();
            let is_blank = line.trim().is_empty();
            let goes_on = lines
                .get(end + 1)
                .is_some_and(|next| next.len() - next.trim_start().len() > of_this);
            let is_inside = match is_blank {
                true => goes_on,
                false => {
                    spaces > of_this
                        || (item(line).is_none()
                            && !lines[end - 1].trim().is_empty()
                            && heading(line).is_none()
                            && fence(line).is_none()
                            && !line.starts_with('>'))
                }
            };
            if !is_inside {
                break;
            }
            end += 1;
        }
        let first = lines[at].get(text_at..).unwrap_or_default();
        let rest = lines[at + 1..end].iter().map(|line| {
            let spaces = line.len() - line.trim_start_matches(' ').len();
            &line[spaces.min(text_at)..]
        });
        let inner: Vec<_> = std::iter::once(first).chain(rest).collect();
        out.push_str("<li>");
        let is_plain = inner
            .iter()
            .skip(1)
            .all(|line| item(line).is_none() && fence(line).is_none())
            && !inner.iter().any(|line| line.trim().is_empty());
        match is_plain {
            true => out.push_str(&inline(&inner.join("\n"), 0)),
            false => blocks(&inner, depth + 1, out),
        }
        out.push_str("</li>\n");
        at = end;
        if lines.get(at).is_some_and(|line| line.trim().is_empty())
            && lines.get(at + 1).is_some_and(|line| item(line).is_some())
        {
            at += 1;
        }
    }
    let _ = writeln!(out, "</{tag}>");
    at
}

fn is_table_rule(line: &str) -> bool {
    let line = line.trim();
    line.contains('-') && line.contains('|') && line.bytes().all(|it| b"|-: ".contains(&it))
}

fn table(lines: &[&str], at: usize, out: &mut String) -> usize {
    let end = run(lines, at, |line| line.trim_start().starts_with('|'));
    let row = |line: &str, tag: &str, out: &mut String| {
        out.push_str("<tr>");
        let line = line.trim();
        let line = line.strip_prefix('|').unwrap_or(line);
        let line = line.strip_suffix('|').unwrap_or(line);
        for cell in line.replace("\\|", "\u{1}").split('|') {
            let cell = cell.replace('\u{1}', "|");
            let _ = write!(out, "<{tag}>{}</{tag}>", inline(cell.trim(), 0));
        }
        out.push_str("</tr>\n");
    };
    out.push_str("<table class=\"text\">\n");
    row(lines[at], "th", out);
    for line in lines.get(at + 2..end).unwrap_or_default() {
        row(line, "td", out);
    }
    out.push_str("</table>\n");
    end
}

/// Converts text with code, links and emphasis; `depth` counts the elements around it.
fn inline(text: &str, depth: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    // An unmatched mark is searched for once, so that the cost stays linear.
    let mut hopeless: Vec<&str> = Vec::new();
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '\\' if rest[1..].starts_with(|it: char| it.is_ascii_punctuation()) => {
                out.push_str(&escape(&rest[1..2]));
                Some(2)
            }
            '`' => code_span(rest, &mut out, &mut hopeless),
            '!' if rest[1..].starts_with('[') => link(&rest[1..], depth, &mut out).map(|it| it + 1),
            '[' => link(rest, depth, &mut out),
            '<' => autolink(rest, &mut out),
            '*' | '_' | '~' => {
                let before = text[..text.len() - rest.len()].chars().next_back();
                emphasis(rest, before, depth, &mut out, &mut hopeless)
            }
            _ => None,
        };
        let taken = taken.unwrap_or_else(|| {
            out.push_str(&escape_lines(&rest[..c.len_utf8()]));
            c.len_utf8()
        });
        rest = &rest[taken..];
    }
    out
}

fn code_span<'t>(rest: &'t str, out: &mut String, hopeless: &mut Vec<&'t str>) -> Option<usize> {
    let count = rest.len() - rest.trim_start_matches('`').len();
    let mark = &rest[..count];
    if hopeless.contains(&mark) {
        out.push_str(mark);
        return Some(count);
    }
    let mut from = count;
    while let Some(at) = rest[from..].find(mark) {
        let start = from + at;
        let run = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        if run == count {
            let code = rest[count..start].replace('\n', " ");
            let _ = write!(out, "<code>{}</code>", escape(code.trim()));
            return Some(start + count);
        }
        from = start + run;
    }
    hopeless.push(mark);
    out.push_str(mark);
    Some(count)
}

/// Converts `[text](target "title")`; the text of an image is that in its brackets.
fn link(rest: &str, depth: usize, out: &mut String) -> Option<usize> {
    if depth >= MAX_DEPTH {
        return None;
    }
    let window = &rest[..floor(rest, MAX_LINK)];
    if !window.contains("](") {
        return None;
    }
    let mut open = 0_usize;
    let close = window.char_indices().find_map(|(at, c)| {
        match c {
            '[' => open += 1,
            ']' => open = open.saturating_sub(1),
            _ => {}
        }
        (open == 0).then_some(at)
    })?;
    let text = &window[1..close];
    let after = window[close + 1..].strip_prefix('(')?;
    let mut open = 1_usize;
    let end = after.char_indices().find_map(|(at, c)| {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })?;
    let inside = after[..end].trim();
    let (target, title) = inside
        .split_once(char::is_whitespace)
        .unwrap_or((inside, ""));
    if !title.is_empty() && !title.trim_start().starts_with(['"', '\'', '(']) {
        return None;
    }
    let target = target.trim_start_matches('<').trim_end_matches('>');
    let text = inline(text, depth + 1);
    match is_safe(target) && !text.contains("<a ") {
        true => drop(write!(
            out,
            "<a rel=\"nofollow noopener\" href=\"{}\">{text}</a>",
            escape(target)
        )),
        // A badge is an image in a link: its text is already a link.
        false => out.push_str(&text),
    }
    Some(close + 2 + end + 1)
}

/// Converts `<https://example.org>`.
fn autolink(rest: &str, out: &mut String) -> Option<usize> {
    let window = &rest[..floor(rest, MAX_LINK)];
    let end = window.find('>')?;
    let target = &window[1..end];
    let is_one =
        (target.starts_with("https://") || target.starts_with("http://")) && is_safe(target);
    is_one.then(|| {
        let target = escape(target);
        let _ = write!(
            out,
            "<a rel=\"nofollow noopener\" href=\"{target}\">{target}</a>"
        );
        end + 1
    })
}

fn emphasis<'t>(
    rest: &'t str,
    before: Option<char>,
    depth: usize,
    out: &mut String,
    hopeless: &mut Vec<&'t str>,
) -> Option<usize> {
    let marks = [
        ("**", "strong"),
        ("__", "strong"),
        ("~~", "s"),
        ("*", "em"),
        ("_", "em"),
    ];
    let (mark, tag) = *marks.iter().find(|(mark, _)| rest.starts_with(mark))?;
    let inner = &rest[mark.len()..];
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let cannot_open = inner.starts_with(char::is_whitespace)
        || inner.is_empty()
        || (mark.starts_with('_') && is_word(before));
    if cannot_open || depth >= MAX_DEPTH || hopeless.contains(&mark) {
        out.push_str(mark);
        return Some(mark.len());
    }
    let mut from = 0;
    while let Some(found) = inner[from..].find(mark) {
        let at = from + found;
        let after = inner[at + mark.len()..].chars().next();
        let text = &inner[..at];
        let is_inside = text.is_empty()
            || text.ends_with(|it: char| it.is_whitespace() || it == '\\')
            || (mark.starts_with('_') && is_word(after));
        // A single mark beside another one is half of a double mark.
        let is_half = mark.len() == 1 && after == mark.chars().next();
        let is_end = !is_inside && !is_half;
        if is_end {
            let _ = write!(out, "<{tag}>{}</{tag}>", inline(&inner[..at], depth + 1));
            return Some(mark.len() + at + mark.len());
        }
        from = at + mark.len();
        if mark.len() == 1 && inner[from..].starts_with(mark) {
            from += 1;
        }
    }
    hopeless.push(mark);
    out.push_str(mark);
    Some(mark.len())
}

/// Returns whether a link leads to a web page or a mail address: `http`, `https`, `mailto`, or a
/// reference without a scheme.
fn is_safe(target: &str) -> bool {
    let is_clean = !target.is_empty()
        && !target
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\');
    let lower = target.to_ascii_lowercase();
    let has_scheme = target
        .split(['/', '?', '#'])
        .next()
        .is_some_and(|it| it.contains(':'));
    let is_known = ["http://", "https://", "mailto:"]
        .iter()
        .any(|it| lower.starts_with(it));
    is_clean && (is_known || !has_scheme)
}

/// Escapes text but keeps its lines and tabs.
fn escape_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for (index, part) in line.trim_end_matches('\r').split('\t').enumerate() {
            if index > 0 {
                out.push('\t');
            }
            out.push_str(&escape(part));
        }
    }
    out
}

/// Returns the largest index up to `most` that is a character boundary.
fn floor(text: &str, most: usize) -> usize {
    let mut at = text.len().min(most);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

const NAMES: [&str; 4] = ["README.md", "README.markdown", "README.txt", "README"];

/// Maximum size of a README in bytes.
const MAX_SIZE: u64 = 256 * 1024;

/// Maximum nesting depth of quotes, lists and emphasis.
const MAX_DEPTH: usize = 8;

/// Maximum length of a link with its text in bytes, so that an unmatched `[` costs little.
const MAX_LINK: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_of_readmes() {
        let cases = [
            (
                "# Title #\n\ntext\nmore",
                "<h2>Title</h2>\n<p>text\nmore</p>\n",
            ),
            ("Title\n=====\nSub\n---\n", "<h2>Title</h2>\n<h3>Sub</h3>\n"),
            ("#nothing", "<p>#nothing</p>\n"),
            ("a\n\n---\n\nb", "<p>a</p>\n<hr>\n<p>b</p>\n"),
            (
                "```rust\nlet a = 1 < 2;\n\n*b*\n```\nafter",
                "<pre><code>let a = 1 &lt; 2;\n\n*b*\n</code></pre>\n<p>after</p>\n",
            ),
            ("~~~\nnever ends", "<pre><code>never ends\n</code></pre>\n"),
            ("    a\n    b", "<pre><code>a\nb\n</code></pre>\n"),
            (
                "- one\n- two\n  goes on\n\nend",
                "<ul>\n<li>one</li>\n<li>two\ngoes on</li>\n</ul>\n<p>end</p>\n",
            ),
            (
                "* a\n  * b\n* c",
                "<ul>\n<li><p>a</p>\n<ul>\n<li>b</li>\n</ul>\n</li>\n<li>c</li>\n</ul>\n",
            ),
            (
                "3. a\n4. b",
                "<ol start=\"3\">\n<li>a</li>\n<li>b</li>\n</ol>\n",
            ),
            ("> a\n> b", "<blockquote>\n<p>a\nb</p>\n</blockquote>\n"),
            (
                "**bold** *it* _it_ `a<b` ~~no~~",
                "<p><strong>bold</strong> <em>it</em> <em>it</em> <code>a&lt;b</code> <s>no</s></p>\n",
            ),
            (
                "snake_case_name 2*3*4",
                "<p>snake_case_name 2<em>3</em>4</p>\n",
            ),
            (
                "[a *b*](docs/x.md \"title\")",
                "<p><a rel=\"nofollow noopener\" href=\"docs/x.md\">a <em>b</em></a></p>\n",
            ),
            (
                "<https://example.org/?a&b>",
                "<p><a rel=\"nofollow noopener\" href=\"https://example.org/?a&amp;b\">https://example.org/?a&amp;b</a></p>\n",
            ),
            (
                "![logo](logo.png)",
                "<p><a rel=\"nofollow noopener\" href=\"logo.png\">logo</a></p>\n",
            ),
            (
                "| a | b |\n|---|---|\n| 1 | `2` |",
                "<table class=\"text\">\n<tr><th>a</th><th>b</th></tr>\n<tr><td>1</td><td><code>2</code></td></tr>\n</table>\n",
            ),
            ("\\*a\\*", "<p>*a*</p>\n"),
            ("a\r\nb", "<p>a\nb</p>\n"),
        ];
        for (text, want) in cases {
            assert_eq!(markdown(text), want, "{text}");
        }
    }

    #[test]
    fn scripts_are_never_passed_through() {
        let cases = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[a](javascript:alert(1))",
            "[a](JaVaScRiPt:alert(1))",
            "[a](java\tscript:alert(1))",
            "[a](data:text/html,<script>alert(1)</script>)",
            "[a](vbscript:x)",
            "[a](\"onmouseover=alert(1))",
            "[a](x\"onmouseover=\"alert(1))",
            "[<script>](x)",
            "![<b>](javascript:x)",
            "<javascript:alert(1)>",
            "<https://a.example/\"onmouseover=\"alert(1)>",
            "`<script>`",
            "```\n<script>\n```",
            "# <script>",
            "> <script>",
            "- <script>",
            "| <script> |\n|---|\n| <script> |",
            "\\<script>",
            "**<script>**",
            "a\u{202e}b",
        ];
        for text in cases {
            let html = markdown(text);
            let lower = html.to_ascii_lowercase();
            for bad in [
                "<script",
                "<img",
                "<b>",
                "\"onmouseover",
                "href=\"j",
                "href=\"d",
                "href=\"v",
                "\u{202e}",
            ] {
                assert!(!lower.contains(bad), "{text}: {html}");
            }
        }
    }

    #[test]
    fn hostile_texts_cost_little() {
        let size = 100_000;
        for part in [
            "[", "![", "*", "**", "_a", "`", "> ", "- ", "<", "[](", "*a **b ", "`` ` ", "  - a\n",
            "|", "\\",
        ] {
            let start = std::time::Instant::now();
            let html = markdown(&part.repeat(size / part.len()));
            assert!(html.len() < 64 * size);
            assert!(start.elapsed().as_secs() < 20, "{part}");
        }
    }

    proptest::proptest! {
        #[test]
        fn tags_are_ours_alone(text in "([\\\\*_`~<>\\[\\]()!#|\\n -]|[a-z0-9.:/\"]|\\PC){0,80}") {
            let html = markdown(&text);
            let ours = ["a", "p", "ul", "ol", "li", "em", "strong", "s", "code", "pre", "hr", "blockquote", "table", "tr", "td", "th",
                "h2", "h3", "h4", "h5", "h6"];
            for tag in html.split('<').skip(1) {
                let name = tag.trim_start_matches('/').split(['>', ' ']).next().unwrap_or_default();
                assert!(ours.contains(&name), "{text:?}: {html:?}");
            }
        }
    }
}
