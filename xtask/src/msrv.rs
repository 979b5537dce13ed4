//! Every manifest takes its `rust-version`, edition and licence from the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// Fails when a crate says its own, or none: clippy's `incompatible_msrv` goes by this field.
pub(crate) fn check() -> Result<(), String> {
    println!("xtask: every manifest takes its MSRV from the workspace");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut manifests = vec![root.join("xtask/Cargo.toml")];
    manifests.extend(crates(&root.join("crates"))?);
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

fn crates(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    entries
        .map(|entry| entry.map(|entry| entry.path().join("Cargo.toml")))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: {error}", folder.display()))
}

/// The first of the inherited fields that a manifest does not inherit.
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
    fn a_field_of_its_own_is_found() {
        let whole = "version.workspace = true\nrust-version.workspace = true\nedition.workspace = true\nlicense.workspace = true\n";
        assert_eq!(missing_field(whole), None);
        let own = whole.replace("rust-version.workspace = true", "rust-version = \"1.90\"");
        assert_eq!(missing_field(&own), Some("rust-version"));
    }
}
