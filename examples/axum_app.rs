//! axum and Vestibule around each other.
//!
//! One half puts a stack of ours around an axum `Router`, which becomes an app for any of our
//! servers and gateways. The other puts middleware of ours inside a router, by axum's own `.layer`.
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

/// An app of ours, which axum routes to below.
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

/// Our stack around a router: what the router does not catch, the stack does.
fn around() -> BoxApp {
    let router = Router::new()
        .route("/hello/{name}", get(hello))
        .route("/shaky", get(shaky));
    Stack::new()
        .map_response(no_sniff)
        .with(CatchPanic::new)
        .app(from_service(router))
}

/// A router with our middleware on its routes, and an app of ours among them.
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
    println!("Our stack around axum's router:\n\n{}", app.outline());
    for path in ["/hello/axum", "/shaky"] {
        show(path, app.call(get_request(path)).await).await;
    }

    println!("Our stack inside axum's router:\n");
    let router = inside();
    for path in ["/hello/vestibule", "/shaky", "/about"] {
        // As any tower service, a router is called with a request of any body.
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
