//! A rule: one sentence and its source.

use std::fmt;

/// One sentence of the contract. In the source code, the check that enforces it is beside it.
#[derive(Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rule {
    /// A short name, as in the `vestibule-lint` header: `content-length-is-true`.
    pub id: &'static str,
    /// The sentence.
    pub sentence: &'static str,
    /// The document and the section of the rule.
    pub source: &'static str,
}

impl Rule {
    /// All rules, in the order of `SPEC.md`.
    ///
    /// ```
    /// use vestibule_lint::Rule;
    ///
    /// assert!(Rule::all().count() >= 40);
    /// ```
    pub fn all() -> impl Iterator<Item = &'static Self> {
        crate::spec::chapters()
            .into_iter()
            .flat_map(|chapter| chapter.rules)
    }

    /// Returns the rule with this id.
    ///
    /// ```
    /// use vestibule_lint::Rule;
    ///
    /// let rule = Rule::find("allow-with-405").unwrap();
    /// assert_eq!(rule.sentence, "A 405 has an Allow field.");
    /// ```
    #[must_use]
    pub fn find(id: &str) -> Option<&'static Self> {
        Self::all().find(|rule| rule.id == id)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence)
    }
}

/// A rule with its check, for rules that need only one observation.
pub(crate) struct Checked<F: 'static> {
    pub(crate) rule: Rule,
    pub(crate) check: F,
}

/// A table of rules, each one sentence beside its check.
macro_rules! checked_rules {
    ($(#[$doc:meta])* $list:ident: $check:ty = [$(
        $id:literal, $source:literal, $sentence:literal => $body:expr;
    )+]) => {
        $(#[$doc])*
        pub(crate) static $list: &[crate::rule::Checked<$check>] = &[$(
            crate::rule::Checked {
                rule: crate::rule::Rule { id: $id, sentence: $sentence, source: $source },
                check: $body,
            },
        )+];
    };
}

/// Rules with names, for checks that need several observations. Each check is a function below.
macro_rules! named_rules {
    ($list:ident = [$(
        $name:ident = $id:literal, $source:literal, $sentence:literal;
    )+]) => {
        $(pub(crate) static $name: crate::rule::Rule = crate::rule::Rule {
            id: $id,
            sentence: $sentence,
            source: $source,
        };)+
        pub(crate) static $list: &[&crate::rule::Rule] = &[$(&$name),+];
    };
}

pub(crate) use {checked_rules, named_rules};
