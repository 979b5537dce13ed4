//! Conversion of values to responses.

use std::borrow::Cow;
use std::convert::Infallible;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use crate::{Body, BoxError, Failure, Response};

/// Converts a value to a response.
///
/// | value | response |
/// |---|---|
/// | `&'static str`, `String`, `Box<str>`, `Cow<str>` | 200, `text/plain; charset=utf-8` |
/// | `Bytes`, `BytesMut`, `Vec<u8>`, `Box<[u8]>`, `Cow<[u8]>`, `&'static [u8]`, `&'static [u8; N]` | 200, `application/octet-stream` |
/// | [`Body`] | 200, without `Content-Type` |
/// | `http::Response<B>` with any `http_body::Body` | unchanged; a [`Body`] is not boxed again |
/// | `http::response::Parts` | the head, without a body |
/// | `StatusCode`, `()` | that status, or 200, without a body |
/// | `HeaderMap`, `[(name, value); N]` | 200 with these headers, without a body |
/// | `(StatusCode, T)` | `T` with that status |
/// | `([(name, value); N], T)`, `(HeaderMap, T)` | `T` with these headers set |
/// | `(StatusCode, headers, T)` | both |
/// | `Result<T, E>` | the response of the value or of the error |
/// | [`Failure`](crate::Failure) | its status, its cause in the extensions |
/// | `http::Error` | 500, a [`Failure`](crate::Failure); so the `Result` of a response builder can be returned |
///
/// ```
/// use vestibule_core::IntoResponse;
/// use http::StatusCode;
///
/// let response = (StatusCode::CREATED, [("location", "/7")], "made").into_response();
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.headers()["location"], "/7");
/// ```
///
/// A response of another framework is converted too, with a body of any type:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
///
/// async fn foreign(_: Request) -> Result<http::Response<String>, http::Error> {
///     http::Response::builder().header("content-type", "text/css").body("a {}".to_owned())
/// }
///
/// let response = foreign.call(Request::default()).await;
/// assert_eq!(response.headers()["content-type"], "text/css");
/// assert_eq!(response.into_body().collect(100).await.unwrap(), "a {}");
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a response",
    label = "this is what the app returns",
    note = "return text, bytes, a `Body`, a `StatusCode`, a `Response`, a tuple like `(StatusCode, text)`, or a `Result` of these",
    note = "for JSON: `([(\"content-type\", \"application/json\")], serde_json::to_vec(&value)?)`",
    note = "for a value of axum, such as `Html` or `Json`: `axum::response::IntoResponse::into_response(value)`"
)]
pub trait IntoResponse {
    /// Converts the value.
    fn into_response(self) -> Response;
}

impl<B> IntoResponse for http::Response<B>
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    /// Converts the body by [`Body::new`], which returns a [`Body`] unchanged.
    fn into_response(self) -> Response {
        self.map(Body::new)
    }
}

impl IntoResponse for Parts {
    fn into_response(self) -> Response {
        Response::from_parts(self, Body::empty())
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

impl IntoResponse for HeaderMap {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

impl<K, V, const N: usize> IntoResponse for [(K, V); N]
where
    ([(K, V); N], ()): IntoResponse,
{
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

impl IntoResponse for http::Error {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
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
    ($content_type:literal: $($t:ty => $into_body:expr),+ $(,)?) => {$(
        impl IntoResponse for $t {
            fn into_response(self) -> Response {
                let mut response = Response::new($into_body(self));
                let content_type = HeaderValue::from_static($content_type);
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
        }
    )+};
}

typed! {
    "text/plain; charset=utf-8":
    &'static str => Body::from,
    String => Body::from,
    Box<str> => |text: Self| Body::from(String::from(text)),
    Cow<'static, str> => Body::from,
}

typed! {
    "application/octet-stream":
    Bytes => Body::from,
    BytesMut => |bytes: Self| Body::from(bytes.freeze()),
    Vec<u8> => Body::from,
    Box<[u8]> => Body::from,
    Cow<'static, [u8]> => |bytes: Self| match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    },
    &'static [u8] => Body::from,
}

impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Response {
        self[..].into_response()
    }
}

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
            // The iterator yields each name once, with its first value, and `None` for the other
            // values.
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
    /// Sets each header. An invalid header becomes a 500 with its cause.
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
        if Failure::of(&response).is_some() {
            response
        } else {
            (self.0, response).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

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
    fn common_values_become_responses() {
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
    fn values_that_axum_accepts_become_responses() {
        let plain = "200 text/plain; charset=utf-8 a";
        let bytes = "200 application/octet-stream a";
        assert_eq!(text(Box::<str>::from("a")), plain);
        assert_eq!(text(Cow::Borrowed("a")), plain);
        assert_eq!(text(BytesMut::from("a")), bytes);
        assert_eq!(text(Box::<[u8]>::from(*b"a")), bytes);
        assert_eq!(text(Cow::Borrowed(&b"a"[..])), bytes);
        assert_eq!(text(Cow::<[u8]>::Owned(vec![b'a'])), bytes);
        assert_eq!(text(b"a"), bytes);
        let css = [("content-type", "text/css")];
        assert_eq!(text(css), "200 text/css ");
        assert_eq!(text((StatusCode::CREATED, css)), "201 text/css ");
        let css = css.into_response().into_parts().0;
        assert_eq!(text(css.headers.clone()), "200 text/css ");
        assert_eq!(
            text((StatusCode::CREATED, css.headers.clone())),
            "201 text/css "
        );
        assert_eq!(text(css), "200 text/css ");
        let built = http::Response::builder().status(201).body(Body::from("a"));
        assert_eq!(text(built), "201 - a");
        let built = http::Response::builder().status(1).body(Body::empty());
        let response = built.into_response();
        assert_eq!(response.status(), 500);
        assert!(Failure::of(&response).is_some());
    }

    /// A body with data, trailers and an error of its own.
    struct Foreign {
        data: Option<&'static [u8]>,
    }

    impl http_body::Body for Foreign {
        type Data = &'static [u8];
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            Poll::Ready(self.data.take().map(|data| Ok(Frame::data(data))))
        }
    }

    #[tokio::test]
    async fn responses_of_any_body() {
        let own = Response::new(Body::from("a"));
        let data = own.body().as_bytes().unwrap().as_ptr();
        let response = own.into_response();
        // The body was not boxed: the bytes have the same address.
        assert_eq!(response.body().as_bytes().unwrap().as_ptr(), data);

        let mut response = http::Response::new(Foreign { data: Some(b"abc") });
        *response.status_mut() = StatusCode::ACCEPTED;
        response.extensions_mut().insert(7_u8);
        let response = (StatusCode::CREATED, [("x-a", "1")], response).into_response();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["x-a"], "1");
        assert_eq!(response.extensions().get(), Some(&7_u8));
        assert_eq!(response.into_body().collect(9).await.unwrap(), "abc");

        let response = http::Response::new(String::from("abc")).into_response();
        assert_eq!(response.into_body().collect(9).await.unwrap(), "abc");
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
