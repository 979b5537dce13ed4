//! The tables of `vestibule_tower::layers`: this file contains each line of code literally, and
//! runs it.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::header::{AUTHORIZATION, SERVER};
use http::{HeaderName, HeaderValue, StatusCode, Uri, request};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tower_http::metrics::in_flight_requests::InFlightRequestsCounter;
use tower_http::request_id::MakeRequestUuid;
use vestibule_core::{
    App, Body, BodyError, BoxApp, BoxError, IntoResponse, Request, Response, Stack,
};
use vestibule_tower::{from_layer, from_layer_shared, from_layer_with_body, from_service};

use crate::common::{get, hello};
use crate::tower_layers::Twice;

/// The source of the tables.
const TABLES: &str = include_str!("../src/layers.rs");

/// A line of code from a table, the app that it creates, and the status of its response.
type Row = (&'static str, BoxApp, u16);

/// Wraps [`hello`] in each middleware.
macro_rules! middleware {
    ($($status:literal $code:expr;)+) => {
        vec![$((stringify!($code), Stack::new().with($code).app(hello), $status)),+]
    };
}

macro_rules! apps {
    ($($status:literal $code:expr;)+) => {
        vec![$((stringify!($code), Stack::new().app($code), $status)),+]
    };
}

/// Returns the code of all rows of the tables, without white space.
fn written() -> Vec<String> {
    let tables = TABLES.split("# Other crates").next().unwrap();
    let rows = tables
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "));
    let code = rows.filter_map(|row| row.split(" | ").nth(1)?.strip_prefix('`'));
    let code = code.filter_map(|code| code.strip_suffix('`'));
    code.map(packed).collect()
}

fn packed(code: &str) -> String {
    let code: String = code.split_whitespace().collect();
    code.replace(",)", ")")
}

#[tokio::test]
async fn every_line_of_the_tables_is_compiled_and_works() {
    let rows: Vec<Row> = [tower(), tower_http(), services(), axum_layers()].concat();
    let here: Vec<String> = rows.iter().map(|(code, ..)| packed(code)).collect();
    assert_eq!(
        here,
        written(),
        "a line is only in the test, or only in the tables"
    );
    for (code, app, status) in rows {
        let response = app.call(get("/")).await;
        assert_eq!(response.status(), status, "{code}");
        let read = response.into_body().collect(1 << 20).await;
        assert!(read.is_ok(), "{code}: {read:?}");
    }
}

fn tower() -> Vec<Row> {
    let policy = Twice(2);
    let limit = Some(tower::limit::ConcurrencyLimitLayer::new(1));
    let outer = tower::timeout::TimeoutLayer::new(Duration::from_secs(30));
    let inner = tower::limit::ConcurrencyLimitLayer::new(1);
    middleware! {
        200 from_layer(tower::timeout::TimeoutLayer::new(Duration::from_secs(30)));
        200 from_layer(tower::limit::ConcurrencyLimitLayer::new(100));
        200 from_layer(tower::limit::GlobalConcurrencyLimitLayer::new(100));
        200 from_layer_shared(tower::limit::RateLimitLayer::new(100, Duration::from_secs(1)));
        200 from_layer(tower::buffer::BufferLayer::new(64));
        200 from_layer(tower::ServiceBuilder::new().load_shed().concurrency_limit(100));
        200 from_layer(tower::retry::RetryLayer::new(policy));
        200 from_layer(tower::filter::FilterLayer::new(check));
        200 from_layer(tower::filter::AsyncFilterLayer::new(check_later));
        200 from_layer(tower::util::MapRequestLayer::new(edit_request));
        200 from_layer(tower::util::MapResponseLayer::new(edit_response));
        200 from_layer(tower::util::AndThenLayer::new(edit_response_later));
        200 from_layer(tower::util::option_layer(limit));
        200 from_layer(tower::ServiceBuilder::new().layer(outer).layer(inner));
    }
}

#[allow(deprecated)] // the layer is deprecated because basic authentication is weak
fn tower_http() -> Vec<Row> {
    let state = 7_u8;
    let counter = InFlightRequestsCounter::new();
    let name = HeaderName::from_static("x-trace");
    let make_id = MakeRequestUuid;
    let value = HeaderValue::from_static("x");
    let mut rows = middleware! {
        200 from_layer(tower_http::add_extension::AddExtensionLayer::new(state));
        200 from_layer(tower_http::auth::AddAuthorizationLayer::bearer("secret"));
        200 from_layer(tower_http::auth::AsyncRequireAuthorizationLayer::new(authorize));
        401 from_layer(tower_http::validate_request::ValidateRequestHeaderLayer::basic("user", "secret"));
        401 from_layer(tower_http::validate_request::ValidateRequestHeaderLayer::bearer("secret"));
        200 from_layer(tower_http::validate_request::ValidateRequestHeaderLayer::accept("text/html"));
        200 from_layer(tower_http::catch_panic::CatchPanicLayer::new());
        200 from_layer(tower_http::compression::CompressionLayer::new());
        200 from_layer(tower_http::decompression::DecompressionLayer::new());
        200 from_layer(tower_http::decompression::RequestDecompressionLayer::new());
        200 from_layer(tower_http::cors::CorsLayer::permissive());
        200 from_layer(tower_http::csrf::CsrfLayer::new());
        200 from_layer(tower_http::limit::RequestBodyLimitLayer::new(1 << 20));
        200 from_layer(tower_http::map_request_body::MapRequestBodyLayer::new(new_body));
        200 from_layer(tower_http::map_response_body::MapResponseBodyLayer::new(new_body));
        200 from_layer(tower_http::metrics::InFlightRequestsLayer::new(counter));
        200 from_layer(tower_http::normalize_path::NormalizePathLayer::trim_trailing_slash());
        200 from_layer(tower_http::on_early_drop::OnEarlyDropLayer::builder().on_future_drop(on_drop));
        200 from_layer(tower_http::propagate_header::PropagateHeaderLayer::new(name));
        200 from_layer(tower_http::request_id::SetRequestIdLayer::x_request_id(make_id));
        200 from_layer(tower_http::request_id::PropagateRequestIdLayer::x_request_id());
        200 from_layer(tower_http::sensitive_headers::SetSensitiveHeadersLayer::new([AUTHORIZATION]));
    };
    let same = value.clone();
    rows.extend({
        let value = same;
        middleware! {
            200 from_layer(tower_http::set_header::SetRequestHeaderLayer::overriding(SERVER, value));
        }
    });
    rows.extend(middleware! {
        200 from_layer(tower_http::set_header::SetResponseHeaderLayer::if_not_present(SERVER, value));
        202 from_layer(tower_http::set_status::SetStatusLayer::new(StatusCode::ACCEPTED));
        200 from_layer(tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(30)));
        200 from_layer(tower_http::timeout::RequestBodyTimeoutLayer::new(Duration::from_secs(30)));
        200 from_layer(tower_http::timeout::RequestBodyDeadlineLayer::new(Duration::from_secs(30)));
        200 from_layer(tower_http::timeout::ResponseBodyTimeoutLayer::new(Duration::from_secs(30)));
        200 from_layer(tower_http::timeout::ResponseBodyDeadlineLayer::new(Duration::from_secs(30)));
        200 from_layer(tower_http::trace::TraceLayer::new_for_http());
        200 from_layer(tower_http::trace::TraceLayer::new_for_grpc());
    });
    rows
}

fn services() -> Vec<Row> {
    let uri = Uri::from_static("https://example.com/");
    apps! {
        404 from_service(tower_http::services::ServeDir::new("src"));
        200 from_service(tower_http::services::ServeFile::new("Cargo.toml"));
        308 from_service(tower_http::services::Redirect::<Body>::permanent(uri));
        404 from_service(axum::Router::new());
    }
}

fn axum_layers() -> Vec<Row> {
    let state = 7_u8;
    middleware! {
        200 from_layer_with_body(axum::middleware::from_fn(middleware), axum::body::Body::new);
        200 from_layer_with_body(axum::middleware::from_fn_with_state(state, middleware_with_state), axum::body::Body::new);
        200 from_layer_with_body(axum::middleware::from_extractor::<Extractor>(), axum::body::Body::new);
        200 from_layer_with_body(axum::middleware::map_request(edit), axum::body::Body::new);
        200 from_layer_with_body(axum::middleware::map_response(edit_answer), axum::body::Body::new);
        200 from_layer(axum::Extension(state));
        200 from_layer(axum::extract::DefaultBodyLimit::max(1 << 20));
    }
}

// The names that the tables expect from the reader.

fn check(request: Request) -> Result<Request, BoxError> {
    Ok(request)
}

async fn check_later(request: Request) -> Result<Request, BoxError> {
    Ok(request)
}

fn edit_request(request: Request) -> Request {
    request
}

fn edit_response(response: Response) -> Response {
    response
}

async fn edit_response_later(response: Response) -> Result<Response, std::convert::Infallible> {
    Ok(response)
}

async fn authorize(request: Request) -> Result<Request, Response> {
    if request.uri().path() == "/secret" {
        return Err(StatusCode::UNAUTHORIZED.into_response());
    }
    Ok(request)
}

fn new_body(body: Body) -> UnsyncBoxBody<bytes::Bytes, BodyError> {
    body.boxed_unsync()
}

fn on_drop(_: &Request) -> impl FnOnce() + Send + use<> {
    || ()
}

async fn middleware(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    next.run(request).await
}

async fn middleware_with_state(
    _: axum::extract::State<u8>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    next.run(request).await
}

async fn edit(request: axum::extract::Request) -> axum::extract::Request {
    request
}

async fn edit_answer(response: axum::response::Response) -> axum::response::Response {
    response
}

struct Extractor;

impl<S: Send + Sync> FromRequestParts<S> for Extractor {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut request::Parts, _: &S) -> Result<Self, StatusCode> {
        Ok(Self)
    }
}
