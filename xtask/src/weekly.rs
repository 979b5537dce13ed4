//! What takes too long for each change, and runs once a week: sets of features, long fuzzing, benchmarks.
//!
//! Every step runs, also after one has failed: a week is too long to wait for the second fault.

use std::process::Command;

use crate::{cargo, companions, docs_rs, fuzz, models, package, packages, run};

/// Runs every step; returns the names of those that failed.
pub(crate) fn weekly() -> Result<(), String> {
    packages::install()?;
    let mut faults = Vec::new();
    let mut note = |done: Result<(), String>| faults.extend(done.err());
    // Without dev-dependencies the lock file is another one, which cargo-hack puts back; so not `--locked`.
    // Two features at a time: all sets of the facade's would be more than 100,000.
    note(tool("cargo-hack").and_then(|()| {
        cargo(
            "hack check --workspace --exclude vestibule-wsgi --feature-powerset --depth 2 --no-dev-deps",
            &[],
        )
    }));
    note(tool("cargo-deny").and_then(|()| cargo("deny check", &[])));
    note(package::test());
    // They bring many crates of their own.
    note(companions::run());
    note(docs_rs::check());
    note(models::run(&["mistakes"]));
    note(fuzz::all(FUZZ_SECONDS));
    // Its codecs take a minute to build.
    note(fuzz::one("decompression", FUZZ_SECONDS));
    // They fail when a figure of ours is worse than its peer's, where that was promised.
    note(cargo(
        "bench --package vestibule --all-features --locked",
        &[],
    ));
    // The server ends under load, 200 times with and without workers.
    note(cargo(
        "test --package vestibule-cli --all-features --locked --test main -- --nocapture --exact \
         limits::no_request_that_was_sent_is_lost_at_the_end",
        &[("VESTIBULE_ENDS", "200")],
    ));
    note(h2spec());
    if faults.is_empty() {
        println!("xtask: every weekly step has passed");
        return Ok(());
    }
    Err(format!(
        "of the weekly steps failed:\n{}",
        faults.join("\n")
    ))
}

/// HTTP/2 by h2spec, which is in no registry.
fn h2spec() -> Result<(), String> {
    let Ok(output) = Command::new("sh")
        .args(["-c", "command -v h2spec"])
        .output()
    else {
        return Err("`sh` could not be started to find h2spec".to_owned());
    };
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if path.is_empty() {
        return Err(
            "h2spec was not run: put it on PATH (https://github.com/summerwind/h2spec/releases)"
                .to_owned(),
        );
    }
    cargo(
        &format!(
            "bench -p vestibule --features tls-self-signed --bench server --locked -- h2spec {path}"
        ),
        &[],
    )
}

/// Installs a program of cargo's, if it is not there.
fn tool(name: &str) -> Result<(), String> {
    let is_there = Command::new(name)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if is_there {
        return Ok(());
    }
    let mut install = Command::new(env!("CARGO"));
    install.args(["install", "--locked", name]);
    run(install, &format!("cargo install --locked {name}"))
}

/// Half an hour.
const FUZZ_SECONDS: &str = "1800";
