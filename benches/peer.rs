//! Peers that are programs of their own, in `benches/peers`: no part of our workspace, each with its own lock file, so that
//! they have the dependencies that their users get.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds a peer, and says where its program is.
pub(crate) fn build(name: &str) -> PathBuf {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let target = root.join("target/peers");
    let program = target.join(format!("release/vestibule-peer-{name}"));
    if !program.exists() {
        eprintln!("building benches/peers/{name}: minutes, the first time");
    }
    let built = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--release", "--locked", "--quiet"])
        .current_dir(root.join("benches/peers").join(name))
        .arg("--target-dir")
        .arg(&target)
        .status();
    assert!(built.expect("cargo runs").success(), "{name} is built");
    program
}
