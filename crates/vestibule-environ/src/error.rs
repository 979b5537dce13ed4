//! Why variables make no request.

use std::error::Error;
use std::fmt;

use http::StatusCode;
use vestibule_core::{Failure, FailureKind, IntoResponse, Response};

/// Why variables make no request. As a response it is a 400, or a 414 for a path that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvironError {
    /// `REQUEST_METHOD` is missing, or no method; or it is `CONNECT`, which no gateway can serve.
    Method,
    /// The path has a NUL, or cannot be a path for another reason.
    Path,
    /// Path and query are longer than 65,534 bytes.
    PathTooLong,
    /// `HTTP_HOST` breaks the grammar of `Host`, or there are two.
    Host,
    /// `CONTENT_LENGTH` is not a number.
    ContentLength,
    /// A header's value has a byte that no header may have.
    Header,
}

impl EnvironError {
    /// The status to answer with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::PathTooLong => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for EnvironError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "REQUEST_METHOD is missing, or is no method that a gateway can serve",
            Self::Path => "the path cannot be one",
            Self::PathTooLong => "the path is too long",
            Self::Host => "HTTP_HOST is not one host",
            Self::ContentLength => "CONTENT_LENGTH is not a number",
            Self::Header => "a header's value has a byte that no header may have",
        })
    }
}

impl Error for EnvironError {}

impl IntoResponse for EnvironError {
    fn into_response(self) -> Response {
        Failure::new(self)
            .kind(FailureKind::Request)
            .status(self.status())
            .into_response()
    }
}
