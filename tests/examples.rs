//! Checks claims in the README and in the examples.

/// Counts the code lines of `text`: lines that are neither blank nor a comment.
fn code_lines(text: &str) -> usize {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    text.lines().filter(is_code).count()
}

/// Returns the part of `text` from `from` up to and including `to`.
fn part<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from:?}"));
    let length = text[start..]
        .find(to)
        .unwrap_or_else(|| panic!("no {to:?}"));
    &text[start..start + length + to.len()]
}

#[test]
fn a_middleware_is_short() {
    let example = include_str!("../examples/custom_middleware.rs");
    let as_a_type = part(example, "#[derive", "from_static(\"server-timing\");");
    assert!(code_lines(as_a_type) <= 35, "{}", code_lines(as_a_type));
    let as_a_closure = part(example, ".around(", "\n        })");
    assert!(
        code_lines(as_a_closure) <= 6,
        "{}",
        code_lines(as_a_closure)
    );
}
