//! A tower layer is passed to a stack without `from_layer`.

use tower_http::cors::CorsLayer;
use vestibule_core::Stack;

fn main() {
    let _ = Stack::new().with(CorsLayer::permissive());
}
