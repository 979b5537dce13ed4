//! The cause of an error response, for whoever logs it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use crate::{BodyError, BoxError, HasExtensions, IntoResponse, Response};

/// Why a response is what it is: an error, the layer that met it, and whose fault it was.
///
/// An app does not fail: it answers, and the cause travels in the response's extensions. So what is
/// set on the way out (CORS, request ids) is on error responses too, and the log knows the cause.
/// The client is told the status and nothing else.
///
/// Any error turns into a failure with `?`:
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

/// Whose fault a failure was, and so which status it has when none is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The request cannot be answered as it is: `400 Bad Request`.
    Request,
    /// The app failed: `500 Internal Server Error`.
    App,
    /// The app panicked: `500 Internal Server Error`.
    Panic,
    /// The answer took too long: `504 Gateway Timeout`.
    Timeout,
    /// There is too much to do: `503 Service Unavailable`.
    Overload,
    /// A server that was asked for the answer failed: `502 Bad Gateway`.
    Upstream,
}

impl FailureKind {
    /// The status of a failure of this kind when it sets none.
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
    /// A failure of the app because of `error`. Of a [`BodyError`] it is the inner error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self {
            error: Arc::from(BodyError::from(error.into()).into_inner()),
            kind: FailureKind::App,
            layer: None,
            status: None,
        }
    }

    /// Says whose fault it was.
    #[must_use]
    pub const fn kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// Names the layer that met the error.
    #[must_use]
    pub const fn layer(mut self, name: &'static str) -> Self {
        self.layer = Some(name);
        self
    }

    /// Sets the status of the response, in place of the kind's own.
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

    /// Makes an existing response carry this failure.
    pub fn attach(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }

    /// The error itself; its `source()` chain is the whole story.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Whose fault it was.
    #[must_use]
    pub const fn failure_kind(&self) -> FailureKind {
        self.kind
    }

    /// The layer that met the error, where it is known.
    #[must_use]
    pub const fn failed_layer(&self) -> Option<&'static str> {
        self.layer
    }
}

impl IntoResponse for Failure {
    /// The status and its reason phrase as plain text; the cause stays in the extensions.
    fn into_response(self) -> Response {
        let status = self.status.unwrap_or(self.kind.status());
        let mut response = status_page(status);
        self.attach(&mut response);
        response
    }
}

/// `404 Not Found` and so on, as a line of text.
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
            // Many errors repeat their source in their own text.
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
    fn the_client_learns_nothing_and_the_log_all() {
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
    fn a_status_of_its_own_wins() {
        let failure = Failure::new("gone").status(StatusCode::GONE);
        assert_eq!(failure.into_response().status(), 410);
    }
}
