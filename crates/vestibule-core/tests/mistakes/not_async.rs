//! The function is not async.

use vestibule_core::{Request, Stack};

fn hello(_: Request) -> &'static str {
    "hello"
}

fn main() {
    Stack::new().app(hello);
}
