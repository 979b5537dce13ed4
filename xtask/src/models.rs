//! The models of `models/`: pieces of the crates that are synchronised by hand, run by loom in every order of
//! their threads. Its README has which they are.

use std::path::Path;
use std::process::Command;

use crate::run as step;

/// Builds and runs those of a piece, or all; or makes the mistakes that they have to find.
pub(crate) fn run(which: &[&str]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["run", "--locked", "--manifest-path"])
        .arg(root.join("models/Cargo.toml"))
        .arg("--target-dir")
        .arg(root.join("target/models"))
        .arg("--")
        .args(which);
    step(
        cargo,
        &format!("cargo run, in models/, {}", which.join(" ")),
    )
}
