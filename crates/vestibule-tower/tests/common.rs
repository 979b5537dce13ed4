//! Requests, apps and layers that the tests share.

use http::{HeaderMap, HeaderValue};
use vestibule_core::{App, Body, BoxApp, MapResponse, Request, Response, map_response};

pub(crate) async fn hello(_: Request) -> &'static str {
    "hello"
}

/// Returns the body of the request as the response body, with its trailers.
pub(crate) async fn echo(request: Request) -> Body {
    request.into_body()
}

pub(crate) fn get(path: &str) -> Request {
    http::Request::get(path).body(Body::empty()).unwrap()
}

pub(crate) async fn text(response: Response) -> String {
    let bytes = response.into_body().collect(100_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Creates a middleware of ours that sets `x-mark: 1` on every response.
pub(crate) fn mark() -> impl Fn(BoxApp) -> MapResponse<BoxApp, fn(Response) -> Response> + Clone {
    map_response(marked as fn(Response) -> Response)
}

pub(crate) fn marked(mut response: Response) -> Response {
    let one = HeaderValue::from_static("1");
    response.headers_mut().insert("x-mark", one);
    response
}

/// Sends a body in chunks through an app around [`echo`]. Each chunk must come out before the next
/// one is sent, and the trailers at the end.
pub(crate) async fn streams(app: &impl App) {
    let (mut sender, body) = Body::channel();
    let request = http::Request::post("/")
        .header("accept", "*/*")
        .body(body)
        .unwrap();
    let response = app.call(request).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    for piece in ["one", "two", "three"] {
        sender.send(piece).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("11"));
    sender.finish_with(trailers.clone());
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap(), trailers);
    assert!(body.frame().await.is_none());
}
