//! The mistakes that users of tower and axum make, and what the compiler tells them.
//!
//! The texts are part of the product: each names its remedy in the first six lines. After a change, or
//! with a new compiler, look at what `TRYBUILD=overwrite cargo test -p vestibule-tower --test main
//! mistakes` has written, as a newcomer would.

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
