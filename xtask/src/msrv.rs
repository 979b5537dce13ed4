//! The minimum supported Rust version: a field of the root manifest, and the compiler that checks
//! it.

use std::fs;
use std::process::Command;

use crate::{crates, root, run};

/// Checks the workspace with the oldest supported compiler, which rustup installs.
///
/// Returns a message when rustup is missing, because then nothing was checked.
pub(crate) fn compile() -> Result<Option<String>, String> {
    let manifest = root().join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .map_err(|error| format!("{}: {error}", manifest.display()))?;
    let version = rust_version(&text)
        .ok_or_else(|| format!("{} has no `rust-version`", manifest.display()))?;
    if !install(version)? {
        return Ok(Some(format!(
            "Rust {version}, the MSRV, was not tried: rustup is not installed. \
             Install it (https://rustup.rs), then run `cargo xtask msrv`"
        )));
    }
    let mut check = Command::new("rustup");
    check.args(["run", version, "cargo", "check"]);
    check.args(["--workspace", "--all-features", "--locked"]);
    // With one directory, the two compilers would rebuild everything each time.
    check.arg("--target-dir").arg(root().join("target/msrv"));
    check.current_dir(root());
    run(
        check,
        &format!("cargo +{version} check --workspace --all-features --locked"),
    )?;
    Ok(None)
}

/// Installs a toolchain, if it is missing. Returns `false` when rustup is missing.
pub(crate) fn install(version: &str) -> Result<bool, String> {
    let Ok(toolchains) = Command::new("rustup").args(["toolchain", "list"]).output() else {
        return Ok(false);
    };
    if !has_toolchain(&String::from_utf8_lossy(&toolchains.stdout), version) {
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", version, "--profile", "minimal"]);
        run(install, &format!("rustup toolchain install {version}"))?;
    }
    Ok(true)
}

/// Returns the version in the root manifest.
fn rust_version(manifest: &str) -> Option<&str> {
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))?;
    Some(line.trim().trim_matches('"'))
}

/// Returns whether `rustup toolchain list` contains `version`, as in `1.88-x86_64-...`.
fn has_toolchain(list: &str, version: &str) -> bool {
    list.lines().any(|line| {
        line.strip_prefix(version)
            .is_some_and(|rest| rest.starts_with('-'))
    })
}

/// Fails when a manifest does not take its MSRV, edition, licence and version from the workspace.
pub(crate) fn check() -> Result<(), String> {
    println!("xtask: every manifest takes its MSRV from the workspace");
    let mut manifests = vec![root().join("xtask/Cargo.toml")];
    manifests.extend(
        crates()?
            .iter()
            .map(|name| root().join(format!("crates/{name}/Cargo.toml"))),
    );
    for manifest in manifests {
        let text = fs::read_to_string(&manifest)
            .map_err(|error| format!("{}: {error}", manifest.display()))?;
        if let Some(field) = missing_field(&text) {
            return Err(format!(
                "{} lacks `{field}.workspace = true`",
                manifest.display()
            ));
        }
    }
    Ok(())
}

/// Returns the first field that a manifest should inherit and does not.
fn missing_field(manifest: &str) -> Option<&'static str> {
    ["rust-version", "edition", "license", "version"]
        .into_iter()
        .find(|field| {
            !manifest
                .lines()
                .any(|line| line == format!("{field}.workspace = true"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_manifest() {
        let manifest = "[workspace.package]\nedition = \"2024\"\nrust-version = \"1.88\"\n";
        assert_eq!(rust_version(manifest), Some("1.88"));
        assert_eq!(rust_version("rust-version.workspace = true\n"), None);
    }

    #[test]
    fn a_toolchain_is_found_by_its_version() {
        let list = "stable-x86_64-unknown-linux-gnu (active)\n1.88-x86_64-unknown-linux-gnu\n";
        assert!(has_toolchain(list, "1.88"));
        assert!(!has_toolchain(list, "1.8"));
        assert!(!has_toolchain(list, "1.89"));
        assert!(!has_toolchain("", "1.88"));
    }

    #[test]
    fn a_field_of_its_own_is_found() {
        let whole = "version.workspace = true\nrust-version.workspace = true\nedition.workspace = true\nlicense.workspace = true\n";
        assert_eq!(missing_field(whole), None);
        let own = whole.replace("rust-version.workspace = true", "rust-version = \"1.90\"");
        assert_eq!(missing_field(&own), Some("rust-version"));
    }
}
