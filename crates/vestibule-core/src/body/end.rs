//! How a body ends, and who hears of it.

use std::error::Error;
use std::fmt;

/// The end of a body, as a callback of [`Body::on_end`](super::Body::on_end) hears of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct End<'a> {
    /// How it ended.
    pub outcome: Outcome<'a>,
    /// How many bytes of data were read from the body.
    pub bytes: u64,
}

/// How a body ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Every byte was read.
    Complete,
    /// The body was dropped before its end: whoever read it went away.
    Aborted,
    /// The body ended in an error.
    Failed(&'a (dyn Error + Send + Sync + 'static)),
}

/// The body error that says: close the connection, and nothing is wrong with the app.
///
/// ```
/// use vestibule_core::{Abort, Body, BoxError};
///
/// let (mut sender, body) = Body::channel();
/// sender.abort(Abort);
/// # drop(body);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort;

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("aborted on purpose")
    }
}

impl Error for Abort {}

/// The body error of a body that is shorter or longer than the length that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LengthMismatch {
    /// The length that was given, in bytes.
    pub length: u64,
    /// The bytes that were there; when it is more than the length, there may be still more.
    pub bytes: u64,
}

impl fmt::Display for LengthMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, bytes } = self;
        let at_least = if bytes > length { "at least " } else { "" };
        write!(
            f,
            "the body has {at_least}{bytes} bytes, its length says {length}"
        )
    }
}

impl Error for LengthMismatch {}
