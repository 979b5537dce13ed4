//! Checks the packages for crates.io: their files, and whether they build without this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{root, run};

/// Files that each package must contain, with the reason.
const NEEDED: &[(&str, &str)] = &[
    ("CHANGELOG.md", "users read there what an update changes"),
    (
        "LICENSE-APACHE",
        "the licence requires a copy in each distribution",
    ),
    (
        "LICENSE-MIT",
        "the licence requires a copy in each distribution",
    ),
    ("README.md", "the page on crates.io"),
];

/// Maximum size of a package, unpacked, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Builds the packages, checks their contents, and checks the libraries with the oldest dependency
/// versions that the manifests allow.
pub(crate) fn check() -> Result<(), String> {
    let unpacked = unpack()?;
    let lock = unpacked.join("Cargo.lock");
    if lock.exists() {
        fs::remove_file(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    }
    let mut resolve = Command::new(env!("CARGO"));
    resolve.args(["update", "--quiet", "-Zdirect-minimal-versions"]);
    // Enables the unstable option for cargo only. With the variable, build scripts of dependencies
    // would enable features of a nightly compiler.
    resolve.env("RUSTC_BOOTSTRAP", "1");
    resolve.current_dir(&unpacked);
    run(
        resolve,
        "cargo update -Zdirect-minimal-versions, of the packages",
    )?;
    cargo_in(&unpacked, "check --workspace --all-features --locked")
}

/// Builds the packages, and runs their tests.
pub(crate) fn test() -> Result<(), String> {
    let unpacked = unpack()?;
    let lock = root().join("Cargo.lock");
    fs::copy(&lock, unpacked.join("Cargo.lock"))
        .map_err(|error| format!("{}: {error}", lock.display()))?;
    // The tests of the Python host need its virtual environment; `cargo xtask wsgi` runs them. The
    // expected compile errors of core and the bridge contain paths of this repository.
    cargo_in(
        &unpacked,
        "test --workspace --exclude vestibule-wsgi --all-features --no-fail-fast \
         -- --exact --skip mistakes --skip mistakes::mistakes",
    )
}

/// Builds the packages and unpacks them as members of one workspace. Returns its folder.
fn unpack() -> Result<PathBuf, String> {
    let target = root().join("target/packages");
    if target.exists() {
        fs::remove_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    }
    let arguments = "package --workspace --exclude xtask --no-verify --allow-dirty --locked";
    let mut package = Command::new(env!("CARGO"));
    package.args(arguments.split(' ')).arg("--quiet");
    package.arg("--target-dir").arg(&target);
    run(package, &format!("cargo {arguments}"))?;

    let unpacked = target.join("unpacked");
    fs::create_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
    let mut faults = Vec::new();
    let names = crate::crates()?;
    for name in &names {
        let folder = format!("{name}-{VERSION}");
        let mut tar = Command::new("tar");
        // `m`: cargo sets one old date on all files in a package, and would not build them again.
        tar.arg("-xzmf")
            .arg(target.join(format!("package/{folder}.crate")));
        tar.arg("-C").arg(&unpacked);
        if !tar.status().is_ok_and(|status| status.success()) {
            return Err(format!("`tar -xzmf {folder}.crate` failed"));
        }
        faults.extend(faults_in(&unpacked.join(&folder))?);
    }
    if !faults.is_empty() {
        return Err(faults.join("\nxtask: "));
    }
    let manifest = root().join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .map_err(|error| format!("{}: {error}", manifest.display()))?;
    let file = unpacked.join("Cargo.toml");
    fs::write(&file, workspace(&names, profiles(&text)))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(unpacked)
}

/// All crates have the version of the workspace, as does this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the missing files and excess bytes of the package in `folder`.
fn faults_in(folder: &Path) -> Result<Vec<String>, String> {
    let name = folder.display();
    let mut faults = Vec::new();
    for (file, why) in NEEDED {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        // A link that was not followed is one short line.
        if text.lines().count() < 3 {
            faults.push(format!("{name} lacks {file}: {why}"));
        }
    }
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    if !manifest.contains("[package.metadata.docs.rs]") {
        faults.push(format!(
            "{name}/Cargo.toml has no [package.metadata.docs.rs] with the features that docs.rs shows"
        ));
    }
    let bytes = size(folder).map_err(|error| format!("{name}: {error}"))?;
    if bytes > MAX_BYTES {
        faults.push(format!(
            "{name} has {bytes} bytes, more than {MAX_BYTES}; `exclude` test data in its manifest"
        ));
    }
    Ok(faults)
}

fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

/// Returns the manifest of a workspace in which each package finds the others in folders, instead
/// of on crates.io.
fn workspace(names: &[String], profiles: &str) -> String {
    let members: Vec<String> = names
        .iter()
        .map(|name| format!("    \"{name}-{VERSION}\",\n"))
        .collect();
    let patches: Vec<String> = names
        .iter()
        .map(|name| format!("{name} = {{ path = \"{name}-{VERSION}\" }}\n"))
        .collect();
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\n{}]\n\n[patch.crates-io]\n{}\n{profiles}",
        members.concat(),
        patches.concat()
    )
}

/// Returns the profiles at the end of the root manifest. With equal profiles, dependencies are not
/// built again.
fn profiles(manifest: &str) -> &str {
    manifest
        .find("\n[profile.")
        .map_or("", |start| &manifest[start..])
}

fn cargo_in(folder: &Path, arguments: &str) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments.split(' '));
    command.env("CARGO_TARGET_DIR", root().join("target"));
    command.current_dir(folder);
    run(
        command,
        &format!("cargo {arguments}, in {}", folder.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_find_each_other() {
        let text = workspace(&["a".to_owned(), "b".to_owned()], "\n[profile.test]\n");
        assert!(text.contains(&format!("    \"b-{VERSION}\",\n]")), "{text}");
        assert!(
            text.contains(&format!("\na = {{ path = \"a-{VERSION}\" }}\n")),
            "{text}"
        );
        assert!(text.ends_with("\n[profile.test]\n"), "{text}");
    }

    #[test]
    fn profiles_are_the_end_of_the_manifest() {
        assert_eq!(
            profiles("[a]\n\n[profile.b]\nc\n\n[profile.d]\n"),
            "\n[profile.b]\nc\n\n[profile.d]\n"
        );
        assert_eq!(profiles("[a]\n"), "");
    }

    #[test]
    fn a_package_without_its_texts_has_faults() {
        let folder = std::env::temp_dir().join(format!("xtask-package-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("LICENSE-MIT"), "../../LICENSE-MIT").unwrap();
        fs::write(folder.join("LICENSE-APACHE"), "1\n2\n3\n").unwrap();
        fs::write(folder.join("README.md"), "1\n2\n3\n").unwrap();
        fs::write(folder.join("CHANGELOG.md"), "1\n2\n3\n").unwrap();
        let faults = faults_in(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("lacks LICENSE-MIT"), "{faults:?}");
        assert!(faults[1].contains("docs.rs"), "{faults:?}");
    }
}
