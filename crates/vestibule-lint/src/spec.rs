//! The specification: the sentences of all rules, in chapters.

use std::fmt::Write;

use crate::rule::Rule;

/// A group of rules.
pub(crate) struct Chapter {
    title: &'static str,
    about: &'static str,
    pub(crate) rules: Vec<&'static Rule>,
}

pub(crate) fn chapters() -> [Chapter; 5] {
    use crate::{body, exchange, flow, lint, request, response, torture};
    [
        Chapter {
            title: "Requests",
            about: "The caller of an app, a server or a middleware, passes requests with these properties.",
            rules: request::REQUEST_RULES
                .iter()
                .map(|checked| &checked.rule)
                .collect(),
        },
        Chapter {
            title: "Responses",
            about: "An app returns responses with these properties.",
            rules: response::RESPONSE_RULES
                .iter()
                .map(|checked| &checked.rule)
                .collect(),
        },
        Chapter {
            title: "Bodies",
            about: "Request and response bodies have these properties while they are read.",
            rules: body::BODY_RULES.to_vec(),
        },
        Chapter {
            title: "Middleware",
            about: "A middleware between a server and an app has these properties.",
            rules: [exchange::MIDDLEWARE_RULES, flow::FLOW_RULES].concat(),
        },
        Chapter {
            title: "Calls",
            about: "Every call has these properties.",
            rules: [lint::CALL_RULES, torture::TORTURE_RULES].concat(),
        },
    ]
}

/// Returns the specification as Markdown, which is the content of `SPEC.md`.
///
/// ```
/// let spec = vestibule_lint::spec();
/// assert!(spec.contains("A 405 has an Allow field."));
/// ```
#[must_use]
pub fn spec() -> String {
    let mut spec = PREFACE.to_owned();
    for chapter in chapters() {
        let _ = write!(spec, "\n## {}\n\n{}\n\n", chapter.title, chapter.about);
        for Rule {
            id,
            sentence,
            source,
        } in chapter.rules
        {
            let _ = writeln!(spec, "- {sentence} *{source}* `{id}`");
        }
    }
    spec.push_str(BY_TYPES);
    spec
}

const PREFACE: &str = "\
# The contract, in sentences

Generated from `vestibule-lint`, where each sentence is beside the check that enforces it:
`cargo run -p vestibule-lint --example spec > crates/vestibule-lint/SPEC.md`.
";

/// Rules that need no check, since violations cannot be written.
const BY_TYPES: &str = "
## Guaranteed by the types

These rules need no check: a violation does not compile, or its value cannot be constructed.

- A method is a token; a field name is a token in lower case; a value has no CR, LF or NUL. *http*
- The path of a URI begins with a slash, or is `*`; it has no fragment. *http*
- A status is between 100 and 999. *http*
- A response is one value: it has no second head, and no head after the start of the body. *App*
- A body is read once, by one reader. After its end or an error it always returns `None`, and the inner body is not polled again. *Body*
- A body that reports its end has no more frames. *Body*
- Each callback of `on_end` is called exactly once, also if the body is dropped. *Body*
- A panic inside a body is the error of the body. *Body*
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_md_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SPEC.md");
        let on_disk = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            on_disk == spec(),
            "SPEC.md is outdated: run cargo run -p vestibule-lint --example spec > crates/vestibule-lint/SPEC.md"
        );
    }

    #[test]
    fn ids_are_unique_and_sentences_are_sentences() {
        let mut ids: Vec<_> = Rule::all().map(|rule| rule.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for rule in Rule::all() {
            assert!(rule.sentence.ends_with('.'), "{}", rule.id);
            assert!(!rule.source.is_empty(), "{}", rule.id);
            assert!(
                !rule
                    .id
                    .contains(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-')
            );
        }
    }
}
