//! Apps that return responses of axum and bodies of other crates.

use axum::response::{Html, IntoResponse as _, Redirect};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};
use vestibule_core::{App, BoxError, Request};

use crate::common::{get, text};

#[tokio::test]
async fn a_response_of_axum_is_a_response() {
    let page = async |_: Request| Html("<p>hello").into_response();
    let response = App::call(&page, get("/")).await;
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    assert_eq!(text(response).await, "<p>hello");

    let moved = async |_: Request| (StatusCode::SEE_OTHER, Redirect::to("/b").into_response());
    let response = App::call(&moved, get("/")).await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()["location"], "/b");
}

#[tokio::test]
async fn a_body_of_another_crate_streams_with_its_trailers() {
    async fn trailers(
        _: Request,
    ) -> Result<
        http::Response<impl http_body::Body<Data = &'static [u8], Error = BoxError> + Send>,
        StatusCode,
    > {
        let mut fields = HeaderMap::new();
        fields.insert("x-sum", HeaderValue::from_static("7"));
        let body = Full::new(&b"hello"[..]).map_err(BoxError::from);
        Ok(http::Response::new(
            body.with_trailers(async { Some(Ok(fields)) }),
        ))
    }
    let body = App::call(&trailers, get("/")).await.into_body();
    let whole = BodyExt::collect(body).await.unwrap();
    assert_eq!(whole.trailers().unwrap()["x-sum"], "7");
    assert_eq!(whole.to_bytes(), "hello");
}
