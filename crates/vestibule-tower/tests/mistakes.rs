//! Common mistakes of users of tower and axum, and the compile errors that they see.
//!
//! The error texts are part of the product: each names its fix in the first six lines. After a
//! change, or with a new compiler, run
//! `TRYBUILD=overwrite cargo test -p vestibule-tower --test main mistakes` and read the new texts.

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
