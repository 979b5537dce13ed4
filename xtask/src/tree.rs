//! Checks the dependencies of the facade: their number, and that each has only one version.

use std::collections::BTreeSet;
use std::process::Command;

use crate::root;

/// Maximum number of crates with the default features, including the facade.
const MAX_CRATES: usize = 50;

/// Counts the crates of the default tree, and finds crates with two versions in the tree with all
/// features.
pub(crate) fn check() -> Result<(), String> {
    println!("xtask: cargo xtask tree");
    let normal = "tree --edges normal --prefix none --locked";
    let count = crates(&cargo(&format!("{normal} --package vestibule"))?).len();
    println!("xtask: the facade with its default features is {count} crates, itself included");
    if count >= MAX_CRATES {
        return Err(format!(
            "the facade's default tree has {count} crates, and fewer than {MAX_CRATES} are promised: \
             `cargo {normal} --package vestibule` lists them"
        ));
    }
    let arguments = format!(
        "{normal} --package vestibule --package vestibule-cli --all-features --duplicates --depth 0"
    );
    let listed = cargo(&arguments)?;
    let twice = crates(&listed);
    if !twice.is_empty() {
        let twice: Vec<&str> = twice.into_iter().collect();
        return Err(format!(
            "crates of which users would build two versions: {}; `cargo {arguments}` lists them, \
             and `cargo tree --all-features --invert NAME@VERSION` says what wants each",
            twice.join(", ")
        ));
    }
    Ok(())
}

/// Returns the distinct crates in the output of `cargo tree --prefix none`.
fn crates(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .map(|line| line.trim_end_matches(" (*)").trim())
        .filter(|line| !line.is_empty())
        .collect()
}

fn cargo(arguments: &str) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments.split(' ')).current_dir(root());
    let output = command
        .output()
        .map_err(|error| format!("`cargo {arguments}` could not be started: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`cargo {arguments}` failed: {why}"));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("`cargo {arguments}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_is_listed_again_counts_once() {
        let tree = "a v1.0.0 (/src)\nb v1.0.0\nc v1.0.0 (*)\nc v1.0.0\n\nb v2.0.0\n";
        let all: Vec<&str> = crates(tree).into_iter().collect();
        assert_eq!(all, ["a v1.0.0 (/src)", "b v1.0.0", "b v2.0.0", "c v1.0.0"]);
        assert!(crates("").is_empty());
    }
}
