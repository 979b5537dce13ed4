//! The function does not take the request.

use vestibule_core::{Request, Stack};

async fn hello() -> &'static str {
    "hello"
}

fn main() {
    let _: Option<Request> = None;
    Stack::new().app(hello);
}
