//! The end of a body, as callbacks see it.

use std::error::Error;
use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::BoxError;

/// The argument of a [`Body::on_end`](super::Body::on_end) callback.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct End<'a> {
    /// The outcome.
    pub outcome: Outcome<'a>,
    /// Number of data bytes that were read from the body.
    pub bytes: u64,
    /// The trailers, if they were read.
    pub trailers: Option<&'a HeaderMap>,
}

/// The outcome of a body.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Every byte was read.
    Complete,
    /// The body was dropped before its end: the reader stopped reading.
    Aborted,
    /// The body ended with an error.
    Failed(&'a (dyn Error + Send + Sync + 'static)),
}

/// A body error that makes the server close the connection. It does not mean that the app is
/// faulty.
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

/// The error of a response body that was not sent, because the server sent another response.
///
/// An access log runs inside the server. Without this error, it would count a client that closed
/// the connection. A server passes it to [`Body::abandon`](super::Body::abandon).
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
    /// Creates the error of a response that was replaced by a response with `status` because of
    /// `cause`.
    pub fn new(status: StatusCode, cause: impl Into<BoxError>) -> Self {
        let cause = cause.into();
        Self { status, cause }
    }

    /// Returns the status that the client received.
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

/// The error of a body that is shorter or longer than its declared length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LengthMismatch {
    /// The declared length, in bytes.
    pub length: u64,
    /// Number of bytes read. If it is larger than `length`, the body may have more.
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
