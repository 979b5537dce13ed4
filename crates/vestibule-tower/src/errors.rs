//! Converts errors of services to responses that carry their cause.

use std::error::Error;

use http::StatusCode;
use vestibule_core::{BoxError, CollectError, Failure, FailureKind, IntoResponse, Response};

/// A function that converts the error of a service to a response. Defaults to the table of
/// [`failure`].
///
/// The response should carry the error in a [`Failure`]. If the failure names no layer, the bridge
/// adds the name of the service.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use http::{HeaderValue, header::RETRY_AFTER};
/// use vestibule_core::{App, Failure, IntoResponse, Request, Response};
/// use vestibule_tower::{failure, from_service};
///
/// let busy = tower::service_fn(|_: Request| async {
///     Err::<Response, _>(tower::load_shed::error::Overloaded::new())
/// });
/// let app = from_service(busy).on_error(|error| {
///     let mut response = failure(error).into_response();
///     response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
///     response
/// });
/// let response = app.call(Request::default()).await;
/// assert_eq!(response.status(), 503);
/// assert_eq!(response.headers()["retry-after"], "2");
/// assert_eq!(Failure::of(&response).unwrap().to_string(), "service overloaded");
/// # }
/// ```
pub type OnError = fn(BoxError) -> Response;

/// Converts an error of a service to a failure. The first known error in its chain of sources
/// counts.
///
/// | error | kind | status |
/// |---|---|---|
/// | tower's and tokio's `Elapsed`; `std::io::ErrorKind::TimedOut` | `Timeout` | 504 |
/// | tower's `Overloaded` | `Overload` | 503 |
/// | [`CollectError::TooLarge`]; http-body-util's `LengthLimitError` | `Request` | 413 |
/// | [`CollectError::Body`] | `Request` | 400 |
/// | any other | `App` | 500 |
///
/// The errors of tower, tokio and http-body-util are recognized by their texts, so that this crate
/// depends on none of them.
///
/// ```
/// use vestibule_core::FailureKind;
/// use vestibule_tower::failure;
///
/// let cause = failure(tower::timeout::error::Elapsed::new());
/// assert_eq!(cause.failure_kind(), FailureKind::Timeout);
/// ```
#[must_use]
pub fn failure(error: impl Into<BoxError>) -> Failure {
    let error = error.into();
    let first: &(dyn Error + 'static) = &*error;
    let mut chain = std::iter::successors(Some(first), |&error| error.source());
    let known = chain.find_map(known);
    let failure = Failure::new(error);
    match known {
        Some((kind, status)) => failure.kind(kind).status(status),
        None => failure,
    }
}

/// Returns the kind and the status of one error, without its sources.
fn known(error: &(dyn Error + 'static)) -> Option<(FailureKind, StatusCode)> {
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return (error.kind() == std::io::ErrorKind::TimedOut).then_some(TIMEOUT);
    }
    if let Some(error) = error.downcast_ref::<CollectError>() {
        return Some(match error {
            CollectError::TooLarge { .. } => TOO_LARGE,
            CollectError::Body(_) => (FailureKind::Request, StatusCode::BAD_REQUEST),
        });
    }
    let text = error.to_string();
    let row = TEXTS.iter().find(|(known, _)| *known == text)?;
    Some(row.1)
}

/// The default [`OnError`] function.
pub(crate) fn table(error: BoxError) -> Response {
    failure(error).into_response()
}

/// Creates the response to an error of the service with the name `layer`.
pub(crate) fn respond(error: BoxError, on_error: OnError, layer: &'static str) -> Response {
    let mut response = on_error(error);
    let nameless = Failure::of(&response).filter(|failure| failure.failed_layer().is_none());
    if let Some(failure) = nameless.cloned() {
        failure.layer(layer).attach(&mut response);
    }
    response
}

/// Error texts, for types that this crate cannot name.
const TEXTS: &[(&str, (FailureKind, StatusCode))] = &[
    // tower::timeout::error::Elapsed
    ("request timed out", TIMEOUT),
    // tokio::time::error::Elapsed
    ("deadline has elapsed", TIMEOUT),
    // tower::load_shed::error::Overloaded
    ("service overloaded", OVERLOAD),
    // http_body_util::LengthLimitError
    ("length limit exceeded", TOO_LARGE),
];
const TIMEOUT: (FailureKind, StatusCode) = (FailureKind::Timeout, StatusCode::GATEWAY_TIMEOUT);
const OVERLOAD: (FailureKind, StatusCode) =
    (FailureKind::Overload, StatusCode::SERVICE_UNAVAILABLE);
const TOO_LARGE: (FailureKind, StatusCode) = (FailureKind::Request, StatusCode::PAYLOAD_TOO_LARGE);

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::io;

    use http_body_util::{BodyExt, Limited};
    use vestibule_core::{Body, BodyError};

    use super::*;

    #[derive(Debug)]
    struct Wrapped(BoxError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the page could not be made")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    /// Uses the real errors, so that a new version with other texts fails this test.
    #[tokio::test(start_paused = true)]
    async fn real_errors_have_their_statuses() {
        let never = std::future::pending::<()>();
        let elapsed = tokio::time::timeout(std::time::Duration::from_millis(1), never).await;
        let too_large = Limited::new(Body::from("four"), 3).collect().await;
        let cases: [(BoxError, _, u16); 11] = [
            (
                tower::timeout::error::Elapsed::new().into(),
                FailureKind::Timeout,
                504,
            ),
            (elapsed.unwrap_err().into(), FailureKind::Timeout, 504),
            (
                io::Error::from(io::ErrorKind::TimedOut).into(),
                FailureKind::Timeout,
                504,
            ),
            (
                tower::load_shed::error::Overloaded::new().into(),
                FailureKind::Overload,
                503,
            ),
            (too_large.unwrap_err(), FailureKind::Request, 413),
            (
                Body::from("four").collect(3).await.unwrap_err().into(),
                FailureKind::Request,
                413,
            ),
            (
                CollectError::Body("cut".into()).into(),
                FailureKind::Request,
                400,
            ),
            (
                BodyError::new(io::Error::from(io::ErrorKind::TimedOut)).into(),
                FailureKind::Timeout,
                504,
            ),
            (
                BodyError::new(CollectError::TooLarge { limit: 3 }).into(),
                FailureKind::Request,
                413,
            ),
            (
                io::Error::from(io::ErrorKind::NotFound).into(),
                FailureKind::App,
                500,
            ),
            (
                "request timed out after lunch".into(),
                FailureKind::App,
                500,
            ),
        ];
        for (error, kind, status) in cases {
            let text = error.to_string();
            let cause = failure(error);
            assert_eq!(cause.failure_kind(), kind, "{text}");
            assert_eq!(cause.into_response().status(), status, "{text}");
        }
    }

    #[test]
    fn a_known_error_among_the_sources_sets_the_status() {
        let inner = tower::timeout::error::Elapsed::new();
        let response = table(Wrapped(Wrapped(inner.into()).into()).into());
        assert_eq!(response.status(), 504);
        let cause = Failure::of(&response).unwrap().to_string();
        assert_eq!(cause, "the page could not be made: request timed out");
    }

    #[test]
    fn a_layer_that_is_already_named_is_kept() {
        let response = respond("x".into(), table, "Timeout");
        assert_eq!(
            Failure::of(&response).unwrap().failed_layer(),
            Some("Timeout")
        );
        let own: OnError = |error| Failure::new(error).layer("Mine").into_response();
        let response = respond("x".into(), own, "Timeout");
        assert_eq!(Failure::of(&response).unwrap().failed_layer(), Some("Mine"));
        let bare: OnError = |_| StatusCode::IM_A_TEAPOT.into_response();
        assert!(Failure::of(&respond("x".into(), bare, "Timeout")).is_none());
    }
}
