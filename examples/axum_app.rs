//! Combines axum and Vestibule in both directions.
//!
//! One half wraps an axum `Router` in a Vestibule stack; the result is an app for every Vestibule
//! server and gateway. The other half adds Vestibule middleware to a router, with axum's own
//! `.layer`.
//!
//! ```text
//! cargo run --example axum_app
//! ```

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use http::HeaderValue;
use tower::ServiceExt;
use vestibule::tower::{from_service, layer, service};
use vestibule::{App, BoxApp, CatchPanic, Request, Response, Stack};

async fn hello(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

async fn shaky() -> &'static str {
    panic!("no more paper")
}

/// Reports the requested path: a Vestibule app, to which axum routes requests.
async fn about(request: Request) -> String {
    format!("You asked for {}.\n", request.uri().path())
}

fn no_sniff(mut response: Response) -> Response {
    let value = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert("x-content-type-options", value);
    response
}

/// Wraps a router in a stack, which catches the panics that the router does not catch.
fn around() -> BoxApp {
    let router = Router::new()
        .route("/hello/{name}", get(hello))
        .route("/shaky", get(shaky));
    Stack::new()
        .map_response(no_sniff)
        .with(CatchPanic::new)
        .app(from_service(router))
}

/// Creates a router with Vestibule middleware on its routes, and a Vestibule app as one route.
fn inside() -> Router {
    let stack = Stack::new().map_response(no_sniff).with(CatchPanic::new);
    Router::new()
        .route("/hello/{name}", get(hello))
        .route("/shaky", get(shaky))
        .route_service("/about", service(about))
        .layer(layer(move |app| stack.app(app)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let app = around();
    println!(
        "A Vestibule stack around axum's router:\n\n{}",
        app.outline()
    );
    for path in ["/hello/axum", "/shaky"] {
        show(path, app.call(get_request(path)).await).await;
    }

    println!("A Vestibule stack inside axum's router:\n");
    let router = inside();
    for path in ["/hello/vestibule", "/shaky", "/about"] {
        // Like any tower service, a router accepts requests of any body type.
        let Ok(response) = router.clone().oneshot(get_request(path)).await;
        show(path, response.map(vestibule::Body::new)).await;
    }
}

fn get_request(path: &'static str) -> Request {
    let mut request = Request::default();
    *request.uri_mut() = http::Uri::from_static(path);
    request
}

async fn show(path: &str, response: Response) {
    let (head, body) = response.into_parts();
    let body = body.collect(1024).await.unwrap_or_default();
    println!("GET {path}: {}\n{:?}", head.status, head.headers);
    println!("{}", String::from_utf8_lossy(&body));
}
