//! A list of tower layers, over several lines, is passed to a stack without `from_layer`.

use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use vestibule_core::{CatchPanic, Stack};

fn main() {
    let _ = Stack::new()
        .with(CatchPanic::new)
        .with(ServiceBuilder::new().layer(CorsLayer::new()).layer(CatchPanicLayer::new()));
}
