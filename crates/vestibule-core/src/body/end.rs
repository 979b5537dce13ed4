//! How a body ends, and who hears of it.

use std::error::Error;
use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::BoxError;

/// The end of a body, as a callback of [`Body::on_end`](super::Body::on_end) hears of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct End<'a> {
    /// How it ended.
    pub outcome: Outcome<'a>,
    /// How many bytes of data were read from the body.
    pub bytes: u64,
    /// The trailers, when they were read.
    pub trailers: Option<&'a HeaderMap>,
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

/// The body error of a response that could not be sent: its server sent another one.
///
/// An access log is inside the server, so it would otherwise count a client that went away. A server
/// passes this to [`Body::abandon`](super::Body::abandon).
///
/// ```
/// use vestibule_core::http::StatusCode;
/// use vestibule_core::{Body, Outcome, Replaced};
/// use std::sync::mpsc;
///
/// let (tell, told) = mpsc::channel();
/// let body = Body::from("four").on_end(move |end| {
///     let Outcome::Failed(error) = end.outcome else { panic!("{:?}", end.outcome) };
///     let replaced = error.downcast_ref::<Replaced>().unwrap();
///     tell.send((replaced.status().as_u16(), replaced.to_string())).unwrap();
/// });
/// body.abandon(Replaced::new(StatusCode::INTERNAL_SERVER_ERROR, "103 is not a final answer"));
/// assert_eq!(told.recv().unwrap(), (500, "103 is not a final answer".to_owned()));
/// ```
#[derive(Debug)]
pub struct Replaced {
    status: StatusCode,
    cause: BoxError,
}

impl Replaced {
    /// Creates the error of a response that was replaced by one with `status`, because of `cause`.
    pub fn new(status: StatusCode, cause: impl Into<BoxError>) -> Self {
        let cause = cause.into();
        Self { status, cause }
    }

    /// Returns the status that the client got.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for Replaced {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

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
