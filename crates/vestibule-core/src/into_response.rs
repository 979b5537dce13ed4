//! What an app may return.

use std::borrow::Cow;
use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::{Body, Failure, Response};

/// What can become a response.
///
/// | value | response |
/// |---|---|
/// | `&'static str`, `String`, `Cow<str>` | 200, `text/plain; charset=utf-8` |
/// | `Bytes`, `Vec<u8>`, `&'static [u8]` | 200, `application/octet-stream` |
/// | [`Body`] | 200, no type |
/// | `StatusCode`, `()` | that status, or 200, and no body |
/// | `(StatusCode, T)` | `T` with that status |
/// | `([(name, value); N], T)`, `(HeaderMap, T)` | `T` with these headers set |
/// | `(StatusCode, headers, T)` | both |
/// | `Result<T, E>` | either |
/// | [`Failure`](crate::Failure) | its status, its cause in the extensions |
///
/// ```
/// use vestibule_core::IntoResponse;
/// use http::StatusCode;
///
/// let response = (StatusCode::CREATED, [("location", "/7")], "made").into_response();
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.headers()["location"], "/7");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a response",
    label = "this is what the app returns",
    note = "return text, bytes, a `Body`, a `StatusCode`, a `Response`, a tuple like `(StatusCode, text)`, or a `Result` of these",
    note = "for JSON: `([(\"content-type\", \"application/json\")], serde_json::to_vec(&value)?)`"
)]
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::default()
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self;
        response
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

macro_rules! typed {
    ($content_type:literal: $($t:ty),+) => {$(
        impl IntoResponse for $t {
            fn into_response(self) -> Response {
                let mut response = Response::new(Body::from(self));
                let content_type = HeaderValue::from_static($content_type);
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
        }
    )+};
}

typed!("text/plain; charset=utf-8": &'static str, String, Cow<'static, str>);
typed!("application/octet-stream": Bytes, Vec<u8>, &'static [u8]);

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

impl<T: IntoResponse> IntoResponse for (HeaderMap, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        let mut last = None;
        for (name, value) in self.0 {
            // A map says each name once, with the first of its values.
            match (name, &last) {
                (Some(name), _) => {
                    response.headers_mut().insert(name.clone(), value);
                    last = Some(name);
                }
                (None, Some(name)) => {
                    response.headers_mut().append(name.clone(), value);
                }
                (None, None) => {}
            }
        }
        response
    }
}

impl<K, V, T, const N: usize> IntoResponse for ([(K, V); N], T)
where
    K: TryInto<HeaderName, Error: Into<http::Error>>,
    V: TryInto<HeaderValue, Error: Into<http::Error>>,
    T: IntoResponse,
{
    /// Sets each header. One that cannot be sent is a 500 with its cause.
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        for (name, value) in self.0 {
            match (name.try_into(), value.try_into()) {
                (Ok(name), Ok(value)) => drop(response.headers_mut().insert(name, value)),
                (Err(error), _) => return Failure::from(error.into()).into_response(),
                (_, Err(error)) => return Failure::from(error.into()).into_response(),
            }
        }
        response
    }
}

impl<H, T> IntoResponse for (StatusCode, H, T)
where
    (H, T): IntoResponse,
{
    fn into_response(self) -> Response {
        let response = (self.1, self.2).into_response();
        match Failure::of(&response).is_some() {
            true => response,
            false => (self.0, response).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: impl IntoResponse) -> String {
        let response = response.into_response();
        let kind = response.headers().get("content-type");
        let kind = kind.map_or("-", |kind| kind.to_str().unwrap());
        let body = response.body().as_bytes().unwrap();
        let body = std::str::from_utf8(body).unwrap();
        format!("{} {kind} {body}", response.status().as_u16())
    }

    #[test]
    fn what_people_return() {
        let plain = "text/plain; charset=utf-8";
        let bytes = "application/octet-stream";
        assert_eq!(text("a"), format!("200 {plain} a"));
        assert_eq!(text(String::from("a")), format!("200 {plain} a"));
        assert_eq!(text(vec![b'a']), format!("200 {bytes} a"));
        assert_eq!(text(Bytes::from("a")), format!("200 {bytes} a"));
        assert_eq!(text(Body::from("a")), "200 - a");
        assert_eq!(text(()), "200 - ");
        assert_eq!(text(StatusCode::NO_CONTENT), "204 - ");
        assert_eq!(text((StatusCode::CREATED, "a")), format!("201 {plain} a"));
        assert_eq!(
            text(([("content-type", "text/css")], "a")),
            "200 text/css a"
        );
        assert_eq!(text(Ok::<_, StatusCode>("a")), format!("200 {plain} a"));
        assert_eq!(text(Err::<(), _>(StatusCode::GONE)), "410 - ");
    }

    #[test]
    fn repeated_headers_of_a_map_are_kept() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        let response = (headers, "x").into_response();
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(response.headers()["content-type"], "text/html");
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_a_failure() {
        let response = (StatusCode::OK, [("x-a", "a\r\nb")], "x").into_response();
        assert_eq!(response.status(), 500);
        assert!(Failure::of(&response).is_some());
    }
}
