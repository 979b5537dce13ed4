//! Reads a whole body into memory, up to a limit.

use std::error::Error;
use std::fmt;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;

use super::{Body, BodyError};
use crate::{Failure, FailureKind, IntoResponse, Response};

/// The reason why a body could not be read into memory.
#[derive(Debug)]
pub enum CollectError {
    /// The body is larger than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body ended with an error.
    Body(BodyError),
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
            Self::Body(error) => write!(f, "the body broke off: {error}"),
        }
    }
}

impl Error for CollectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Body(error) => Some(error.get_ref()),
        }
    }
}

impl IntoResponse for CollectError {
    /// Returns `413 Content Too Large` or `400 Bad Request` (RFC 9110, sections 15.5.14 and
    /// 15.5.1).
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) => StatusCode::BAD_REQUEST,
        };
        Failure::new(self)
            .kind(FailureKind::Request)
            .status(status)
            .into_response()
    }
}

pub(super) async fn collect(mut body: Body, limit: u64) -> Result<Bytes, CollectError> {
    let too_large = || CollectError::TooLarge { limit };
    let hint = body.size_hint();
    if hint.lower() > limit {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(CollectError::Body)?.into_data() else {
            continue;
        };
        total += data.len() as u64;
        if total > limit {
            return Err(too_large());
        }
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    if rest.is_empty() {
        Ok(first)
    } else {
        Ok(rest.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stops_at_the_limit() {
        let cases = [
            ("", 0, true),
            ("abc", 3, true),
            ("abcd", 3, false),
            ("a", 0, false),
        ];
        for (text, limit, fits) in cases {
            assert_eq!(
                Body::from(text).collect(limit).await.is_ok(),
                fits,
                "{text}"
            );
            let (mut sender, body) = Body::channel();
            sender.send(text).await.unwrap();
            sender.finish();
            assert_eq!(body.collect(limit).await.is_ok(), fits, "{text}, streamed");
        }
    }

    #[test]
    fn an_error_becomes_a_response() {
        let large = CollectError::TooLarge { limit: 1 }.into_response();
        assert_eq!(large.status(), 413);
        assert_eq!(
            Failure::of(&large).unwrap().to_string(),
            "the body is larger than 1 bytes"
        );
        assert_eq!(CollectError::Body("x".into()).into_response().status(), 400);
    }
}
