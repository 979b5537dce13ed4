//! The cause of an error response, for the log.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use crate::{BodyError, BoxError, HasExtensions, IntoResponse, Response};

/// Describes the cause of an error response: the error, the layer that reported it, and the kind.
///
/// An app does not fail. It returns an error response with the cause in the extensions. So outer
/// layers still add their headers (CORS, request ids) to error responses, and the access log has
/// the cause. The client sees only the status.
///
/// The `?` operator turns any error into a failure:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Failure, Request};
///
/// async fn answer(_: Request) -> Result<String, Failure> {
///     let n: u32 = "forty-two".parse()?;
///     Ok(n.to_string())
/// }
///
/// let response = answer.call(Request::default()).await;
/// assert_eq!(response.status(), 500);
/// assert_eq!(Failure::of(&response).unwrap().to_string(), "invalid digit found in string");
/// # }
/// ```
#[derive(Clone)]
pub struct Failure {
    error: Arc<dyn Error + Send + Sync>,
    kind: FailureKind,
    layer: Option<&'static str>,
    status: Option<StatusCode>,
}

/// The kind of a failure. It selects the default status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The request is invalid: `400 Bad Request`.
    Request,
    /// The app failed: `500 Internal Server Error`.
    App,
    /// The app panicked: `500 Internal Server Error`.
    Panic,
    /// The app did not respond in time: `504 Gateway Timeout`.
    Timeout,
    /// The server has too much work: `503 Service Unavailable`.
    Overload,
    /// An upstream server failed: `502 Bad Gateway`.
    Upstream,
}

impl FailureKind {
    /// Returns the default status of a failure of this kind.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Request => StatusCode::BAD_REQUEST,
            Self::App | Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Overload => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream => StatusCode::BAD_GATEWAY,
        }
    }
}

impl Failure {
    /// Creates a failure of kind [`FailureKind::App`] because of `error`. A [`BodyError`] is
    /// replaced by its inner error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self {
            error: Arc::from(BodyError::from(error.into()).into_inner()),
            kind: FailureKind::App,
            layer: None,
            status: None,
        }
    }

    /// Sets the kind. Defaults to [`FailureKind::App`].
    #[must_use]
    pub const fn kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the name of the layer that reported the error.
    #[must_use]
    pub const fn layer(mut self, name: &'static str) -> Self {
        self.layer = Some(name);
        self
    }

    /// Sets the status of the response. Defaults to the status of the kind.
    #[must_use]
    pub const fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Returns the failure that a response carries.
    ///
    /// `source` is a response of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// Stores this failure in the extensions of an existing response.
    pub fn attach(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }

    /// Returns the error. Its `source()` chain leads to the first cause.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Returns the kind.
    #[must_use]
    pub const fn failure_kind(&self) -> FailureKind {
        self.kind
    }

    /// Returns the name of the layer that reported the error, if it is known.
    #[must_use]
    pub const fn failed_layer(&self) -> Option<&'static str> {
        self.layer
    }
}

impl IntoResponse for Failure {
    /// Returns the status and its reason phrase as plain text. The cause stays in the extensions.
    fn into_response(self) -> Response {
        let status = self.status.unwrap_or(self.kind.status());
        let mut response = status_page(status);
        self.attach(&mut response);
        response
    }
}

/// Returns a response with one line of text, such as `404 Not Found`.
pub(crate) fn status_page(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or("Error");
    (status, format!("{} {reason}\n", status.as_u16())).into_response()
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause: Option<&dyn Error> = Some(&*self.error);
        let mut last = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors repeat their source in their own text, so skip a text that was just
            // written.
            if !last.contains(&text) {
                let colon = if last.is_empty() { "" } else { ": " };
                write!(f, "{colon}{text}")?;
                last = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("error", &self.error)
            .field("kind", &self.kind)
            .field("layer", &self.layer)
            .field("status", &self.status)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bad page number")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_cause_is_in_the_extensions_and_not_in_the_body() {
        let cause = Outer("x".parse::<u8>().unwrap_err());
        let failure = Failure::from(cause)
            .kind(FailureKind::Request)
            .layer("Pages");
        let response = failure.into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.body().as_bytes().unwrap(), "400 Bad Request\n");
        let failure = Failure::of(&response).unwrap();
        assert_eq!(
            failure.to_string(),
            "bad page number: invalid digit found in string"
        );
        assert_eq!(failure.failed_layer(), Some("Pages"));
        assert_eq!(failure.failure_kind(), FailureKind::Request);
    }

    #[test]
    fn an_explicit_status_overrides_that_of_the_kind() {
        let failure = Failure::new("gone").status(StatusCode::GONE);
        assert_eq!(failure.into_response().status(), 410);
    }
}
