//! An axum router is passed as an app without `from_service`.

use axum::Router;
use axum::routing::get;
use vestibule_core::Stack;

fn main() {
    let router = Router::new().route("/", get(async || "hello"));
    let _ = Stack::new().app(router);
}
