//! The models of `models/`: manually synchronised parts of the crates, run by loom in every order
//! of their threads. Its README lists them.

use std::path::Path;
use std::process::Command;

use crate::run as step;

/// Runs clippy on the models, then builds and runs those of one part, or all. Or applies the
/// mistakes that they must detect.
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
