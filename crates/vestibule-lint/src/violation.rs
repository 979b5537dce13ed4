//! A broken rule, and who broke it.

use std::fmt;

use crate::Rule;

/// A rule that was broken, by whom, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: &'static Rule,
    /// Who broke it.
    pub side: Side,
    /// What was seen: a header, a count of bytes.
    pub detail: String,
}

impl Violation {
    pub(crate) const fn new(rule: &'static Rule, side: Side, detail: String) -> Self {
        Self { rule, side, detail }
    }
}

impl fmt::Display for Violation {
    /// `app: A 405 has an Allow field. (405 without allow) [allow-with-405]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, side, detail } = self;
        write!(f, "{side}: {} ({detail}) [{}]", rule.sentence, rule.id)
    }
}

/// Who broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// What calls: the server, or what stands outside of the [`Lint`](crate::Lint).
    Server,
    /// The middleware between the two halves of [`Lint::both`](crate::Lint::both).
    Middleware,
    /// What is called: the app inside, with all that it wraps.
    App,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Middleware => "middleware",
            Self::App => "app",
        })
    }
}
