//! The mistakes that newcomers make, and what the compiler tells them.
//!
//! The texts are part of the product. After a change, or with a new compiler, look at what
//! `TRYBUILD=overwrite cargo test -p vestibule-core --test main` has written, as a newcomer would.

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
