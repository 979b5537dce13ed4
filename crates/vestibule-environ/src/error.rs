//! The error for variables that are not a valid request.

use std::error::Error;
use std::fmt;

use http::StatusCode;
use vestibule_core::{Failure, FailureKind, IntoResponse, Response};

/// The reason why variables are not a valid request. As a response it is a 400, or a 414 for a path
/// that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvironError {
    /// `REQUEST_METHOD` is missing or invalid, or it is `CONNECT`, which gateways cannot serve.
    Method,
    /// The path contains a NUL, or is invalid for another reason.
    Path,
    /// Path and query are longer than 65,534 bytes.
    PathTooLong,
    /// `HTTP_HOST` is not a valid `Host`, or occurs twice.
    Host,
    /// `CONTENT_LENGTH` is not a number.
    ContentLength,
    /// The value of a header contains an invalid byte.
    Header,
}

impl EnvironError {
    /// Returns the status of the response.
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
            Self::Method => {
                "REQUEST_METHOD is missing, or is not a method that a gateway can serve"
            }
            Self::Path => "the path is invalid",
            Self::PathTooLong => "the path is too long",
            Self::Host => "HTTP_HOST is not a single valid host",
            Self::ContentLength => "CONTENT_LENGTH is not a number",
            Self::Header => "the value of a header contains an invalid byte",
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
