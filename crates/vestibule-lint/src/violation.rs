//! A broken rule, and the side that broke it.

use std::fmt;

use crate::Rule;

/// A broken rule, with the side that broke it and the observation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: &'static Rule,
    /// The side that broke it.
    pub side: Side,
    /// The observation, such as a header or a number of bytes.
    pub detail: String,
}

impl Violation {
    pub(crate) const fn new(rule: &'static Rule, side: Side, detail: String) -> Self {
        Self { rule, side, detail }
    }
}

impl fmt::Display for Violation {
    /// Writes `app: A 405 has an Allow field. (405 without allow) [allow-with-405]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, side, detail } = self;
        write!(f, "{side}: {} ({detail}) [{}]", rule.sentence, rule.id)
    }
}

/// The side that broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The caller: the server, or the code outside of the [`Lint`](crate::Lint).
    Server,
    /// The middleware between the two halves of [`Lint::both`](crate::Lint::both).
    Middleware,
    /// The callee: the inner app, with everything that it wraps.
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
