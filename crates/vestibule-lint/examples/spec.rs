//! Prints the specification: `cargo run -p vestibule-lint --example spec > crates/vestibule-lint/SPEC.md`.

fn main() {
    print!("{}", vestibule_lint::spec());
}
