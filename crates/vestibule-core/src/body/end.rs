//! How a body ends, and who hears of it.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http_body::Frame;
use sync_wrapper::SyncWrapper;

use super::FilePart;
use crate::BoxError;

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

/// What few bodies have: callbacks, a length to hold, a file.
#[derive(Default)]
pub(super) struct Extra {
    callbacks: Vec<Callback>,
    /// Data bytes that were read so far.
    bytes: u64,
    /// The length to hold.
    length: Option<u64>,
    file: Option<FilePart>,
    /// Nothing more has to be read: a drop from now on is not an abort.
    is_complete: bool,
}

/// Callbacks are only `Send`; the wrapper makes them `Sync`, since they are called through `&mut`.
type Callback = SyncWrapper<Box<dyn FnOnce(&End<'_>) + Send>>;

impl Extra {
    pub(super) fn push(&mut self, f: impl FnOnce(&End<'_>) + Send + 'static) {
        self.callbacks.push(SyncWrapper::new(Box::new(f)));
    }

    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }

    pub(super) fn strip(&mut self) {
        self.is_complete = true;
        self.length = None;
        self.file = None;
    }

    pub(super) fn expect(&mut self, length: u64) {
        self.length = Some(length);
        self.is_complete = length == self.bytes;
    }

    /// How many bytes are to come by the length, if there is one.
    pub(super) fn owed(&self) -> Option<u64> {
        self.length.map(|length| length.saturating_sub(self.bytes))
    }

    pub(super) fn set_file(&mut self, part: FilePart) {
        self.file = Some(part);
    }

    pub(super) const fn file(&self) -> Option<&FilePart> {
        self.file.as_ref()
    }

    /// Takes note of what was read, and turns it into an error when it breaks the length.
    pub(super) fn saw(
        &mut self,
        polled: Option<Result<Frame<Bytes>, BoxError>>,
        is_last: bool,
    ) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.file = None;
        let polled = match polled {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.length {
                    Some(length) if self.bytes > length => Some(Err(self.mismatch(length))),
                    _ => Some(Ok(frame)),
                }
            }
            None => match self.length {
                Some(length) if self.bytes < length => Some(Err(self.mismatch(length))),
                _ => None,
            },
            error => error,
        };
        match &polled {
            Some(Ok(_)) => {
                self.is_complete = match self.length {
                    Some(length) => self.bytes == length,
                    None => is_last,
                }
            }
            Some(Err(error)) => self.end(Outcome::Failed(&**error)),
            None => self.end(Outcome::Complete),
        }
        polled
    }

    fn mismatch(&self, length: u64) -> BoxError {
        let bytes = self.bytes;
        LengthMismatch { length, bytes }.into()
    }

    fn end(&mut self, outcome: Outcome<'_>) {
        let bytes = self.bytes;
        for callback in std::mem::take(&mut self.callbacks) {
            callback.into_inner()(&End { outcome, bytes });
        }
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        match self.is_complete {
            true => self.end(Outcome::Complete),
            false => self.end(Outcome::Aborted),
        }
    }
}
