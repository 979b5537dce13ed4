//! Common mistakes of newcomers, and the compile errors that they see.
//!
//! The error texts are part of the product. After a change, or with a new compiler, run
//! `TRYBUILD=overwrite cargo test -p vestibule-core --test main` and read the new texts.

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
