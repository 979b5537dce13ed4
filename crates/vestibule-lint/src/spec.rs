//! The specification: the sentences of all rules, in chapters.

use std::fmt::Write;

use crate::rule::Rule;

/// Rules that belong together.
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
            about: "What calls an app, a server or a middleware, gives it a request of which these are true.",
            rules: request::REQUEST_RULES
                .iter()
                .map(|checked| &checked.rule)
                .collect(),
        },
        Chapter {
            title: "Responses",
            about: "An app gives a response of which these are true.",
            rules: response::RESPONSE_RULES
                .iter()
                .map(|checked| &checked.rule)
                .collect(),
        },
        Chapter {
            title: "Bodies",
            about: "These are true of the bodies of both, while they are read.",
            rules: body::BODY_RULES.to_vec(),
        },
        Chapter {
            title: "Middleware",
            about: "These are true of what stands between a server and an app.",
            rules: [exchange::MIDDLEWARE_RULES, flow::FLOW_RULES].concat(),
        },
        Chapter {
            title: "Calls",
            about: "These are true of each call.",
            rules: [lint::CALL_RULES, torture::TORTURE_RULES].concat(),
        },
    ]
}

/// The specification as Markdown: what `SPEC.md` holds.
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

Made from `vestibule-lint`, where each sentence stands beside the check that enforces it:
`cargo run -p vestibule-lint --example spec > crates/vestibule-lint/SPEC.md`.
";

/// Rules that need no check, since nothing that breaks them can be written down.
const BY_TYPES: &str = "
## Kept by the types

These need no check: what breaks them does not compile, or cannot be made.

- A method is a token; a field name is a token in lower case; a value has no CR, LF or NUL. *http*
- The path of a URI begins with a slash, or is `*`; it has no fragment. *http*
- A status is between 100 and 999. *http*
- A response is one value: there is no second head, and none after the body began. *App*
- A body is read once, by one reader, and is `None` for ever after its end or an error; what is inside is not polled again. *Body*
- A body that says that it is at its end has no more frames. *Body*
- Each callback of `on_end` is called exactly once, also when the body is dropped. *Body*
- A panic inside of a body is the body's error. *Body*
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_is_not_stale() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SPEC.md");
        let on_disk = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            on_disk == spec(),
            "SPEC.md is stale: cargo run -p vestibule-lint --example spec > crates/vestibule-lint/SPEC.md"
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
