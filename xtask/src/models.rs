//! The models of `models/`: pieces of the crates that are synchronised by hand, run by loom in every order of
//! their threads. Its README has which they are.

use std::path::Path;
use std::process::Command;

use crate::run as step;

/// Builds and runs those of a piece, or all, after clippy; or makes the mistakes that they have to find.
pub(crate) fn run(which: &[&str]) -> Result<(), String> {
    if which.is_empty() {
        let mut clippy = cargo("clippy");
        clippy.args(["--", "-D", "warnings"]);
        step(clippy, "cargo clippy, in models/")?;
    }
    let mut models = cargo("run");
    models.arg("--").args(which);
    step(
        models,
        &format!("cargo run, in models/, {}", which.join(" ")),
    )
}

fn cargo(command: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([command, "--locked", "--manifest-path"])
        .arg(root.join("models/Cargo.toml"))
        .arg("--target-dir")
        .arg(root.join("target/models"));
    cargo
}
