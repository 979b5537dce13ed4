//! The program in `companions/`: layers of other crates in Vestibule stacks.

use std::path::Path;
use std::process::Command;

use crate::run as step;

/// Runs clippy on it, then builds and runs it.
pub(crate) fn run() -> Result<(), String> {
    let mut clippy = cargo("clippy");
    clippy.args(["--", "-D", "warnings"]);
    step(clippy, "cargo clippy, in companions/")?;
    step(cargo("run"), "cargo run, in companions/")
}

fn cargo(command: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([command, "--locked", "--manifest-path"])
        .arg(root.join("companions/Cargo.toml"))
        .arg("--target-dir")
        .arg(root.join("target/companions"));
    cargo
}
