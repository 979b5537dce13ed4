//! A tower layer is given to a stack as it is.

use tower_http::cors::CorsLayer;
use vestibule_core::Stack;

fn main() {
    let _ = Stack::new().with(CorsLayer::permissive());
}
