//! The docs as on docs.rs: built by a nightly compiler, with a note beside each item that needs a
//! feature.

use std::process::Command;

use crate::{msrv, root, run};

/// Builds the docs of all crates with every feature, and fails on a warning.
pub(crate) fn check() -> Result<(), String> {
    if !msrv::install("nightly")? {
        return Err(
            "the docs of docs.rs need a nightly compiler, and rustup is not installed: https://rustup.rs"
                .to_owned(),
        );
    }
    let arguments = "doc --workspace --exclude xtask --all-features --no-deps --locked";
    let mut doc = Command::new("rustup");
    doc.args(["run", "nightly", "cargo"]);
    doc.args(arguments.split(' '));
    doc.env("RUSTDOCFLAGS", "--cfg docsrs -D warnings");
    doc.env("CARGO_TARGET_DIR", root().join("target/docs-rs"));
    doc.current_dir(root());
    run(doc, &format!("cargo +nightly {arguments}"))
}
