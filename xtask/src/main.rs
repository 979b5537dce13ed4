//! See `main`.
fn main() {}
