//! Uses ten layers of tower-http in a Vestibule stack, which names and prints them.
//!
//! ```text
//! cargo run --example tower_layers
//! ```

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, SERVER};
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::normalize_path::NormalizePathLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use vestibule::tower::from_layer;
use vestibule::{App, Request, Stack};

async fn hello(request: Request) -> String {
    let path = request.uri().path();
    format!("Hello from {path}, at a length that is worth compressing.\n")
}

fn stack() -> Stack {
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT);
    Stack::new()
        .with(from_layer(SetSensitiveRequestHeadersLayer::new([
            AUTHORIZATION,
        ])))
        .with(from_layer(SetRequestIdLayer::x_request_id(MakeRequestUuid)))
        .with(from_layer(PropagateRequestIdLayer::x_request_id()))
        .with(from_layer(SetResponseHeaderLayer::if_not_present(
            SERVER,
            HeaderValue::from_static("Vestibule"),
        )))
        .with(from_layer(CorsLayer::permissive()))
        .with(from_layer(CompressionLayer::new()))
        .with(from_layer(timeout))
        .with(from_layer(RequestBodyLimitLayer::new(64 * 1024)))
        .with(from_layer(NormalizePathLayer::trim_trailing_slash()))
        .with(from_layer(CatchPanicLayer::new()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let app = stack().app(hello);
    println!("{}", app.outline());

    let mut request = Request::default();
    *request.uri_mut() = Uri::from_static("/greeting/");
    let response = app.call(request).await;
    println!("{} {:#?}", response.status(), response.headers());
    let body = response.into_body().collect(1024).await.unwrap_or_default();
    println!("{}", String::from_utf8_lossy(&body));

    let mut request = Request::default();
    let headers = request.headers_mut();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(REQUEST_ID, HeaderValue::from_static("my-own"));
    let response = app.call(request).await;
    println!("{} {:#?}", response.status(), response.headers());
}

const LIMIT: Duration = Duration::from_secs(30);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
