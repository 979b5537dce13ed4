//! An axum router is given as an app as it is.

use axum::Router;
use axum::routing::get;
use vestibule_core::Stack;

fn main() {
    let router = Router::new().route("/", get(async || "hello"));
    let _ = Stack::new().app(router);
}
