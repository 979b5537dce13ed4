//! `cargo xtask test` installs the test dependencies, and runs every check of the project.
//!
//! The steps are one list from top to bottom. The first failure ends the run, and its message says
//! how to run that step alone.

mod companions;
mod docs_rs;
mod fuzz;
mod models;
mod msrv;
mod package;
mod packages;
mod platforms;
mod prose;
mod readme;
mod start;
mod tree;
mod weekly;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] => test(),
        ["install"] => packages::install(),
        ["fuzz"] => fuzz::all("60"),
        ["fuzz", target] => fuzz::one(target, "60"),
        ["fuzz", target, seconds] => fuzz::one(target, seconds),
        ["models", ref which @ ..] => models::run(which),
        ["docs-rs"] => docs_rs::check(),
        ["msrv"] => msrv::compile().and_then(done_or_error),
        ["package"] => package::check(),
        ["package", "test"] => package::test(),
        ["readme"] => readme::write(),
        ["readme", "--check"] => readme::check(),
        ["prose"] => prose::check(),
        ["platforms"] => platforms::check().and_then(done_or_error),
        ["start"] => start::check(),
        ["companions"] => companions::run(),
        ["portable"] => portable(),
        ["weekly"] => weekly::weekly(),
        ["tree"] => tree::check(),
        ["wsgi"] => packages::install().and_then(|()| wsgi()),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "\
usage: cargo xtask test                    install what the tests need, then run every check
       cargo xtask install                 only install
       cargo xtask docs-rs                 the docs as docs.rs makes them, by a nightly compiler
       cargo xtask msrv                    check the workspace with the oldest compiler that it promises
       cargo xtask package                 check the packages for crates.io, and the oldest dependencies they allow
       cargo xtask package test            run the tests that are in the packages
       cargo xtask readme [--check]        write the README of each crate from its docs, or compare them
       cargo xtask tree                    how many crates a user builds, and none in two versions
       cargo xtask prose                   phrases that are hard to read, in comments and documents
       cargo xtask wsgi                    only the host of Python apps
       cargo xtask platforms               whether Windows, macOS and wasm32 compile (by rustup)
       cargo xtask start                   the pages for newcomers, built and run unchanged
       cargo xtask companions              layers of other crates, such as tower-sessions and axum-login, in our stacks
       cargo xtask portable                the tests that pass on every system, for Windows and macOS
       cargo xtask weekly                  what takes long: sets of features, unpacked packages, long fuzzing, benchmarks
       cargo xtask fuzz                    the fuzz targets of parsers, each for a minute
       cargo xtask fuzz TARGET [SECONDS]   one of `fuzz/fuzz_targets`, for a minute or so many seconds
       cargo xtask models [PIECE]          what is synchronised by hand, in every order of its threads
       cargo xtask models mistakes         whether the models find the mistakes that are noted beside them";

/// All crates except the host of Python apps, whose features need Python.
const HOUSE: &str = "--workspace --exclude vestibule-wsgi";

fn test() -> Result<(), String> {
    let start = Instant::now();
    packages::install()?;
    msrv::check()?;
    readme::check()?;
    prose::check()?;
    tree::check()?;
    cargo("fmt --all --check", &[])?;
    // With the default features, as most users build it, and with every feature, which the tests
    // use.
    for features in ["", " --all-features"] {
        cargo(
            &format!("clippy {HOUSE} --all-targets --locked{features} -- -D warnings"),
            &[],
        )?;
    }
    // Runs tests, the examples in the docs, and builds the programs in `examples/`; some tests run
    // those.
    let every = format!("{HOUSE} --all-features --locked --no-fail-fast");
    cargo(&format!("test {every}"), &[])?;
    // The bridge without axum's extensions must report that, and guards must refuse.
    cargo(
        "test --package vestibule-tower --no-default-features --lib --locked",
        &[],
    )?;
    // Runs the benchmarks with one iteration each. The unit tests run again with them, which takes
    // seconds.
    cargo(&format!("test --benches {every}"), &[])?;
    cargo(
        &format!("doc {HOUSE} --all-features --no-deps --locked"),
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    start::check()?;
    wsgi()?;
    models::run(&[])?;
    fuzz::all("60")?;
    package::check()?;
    let not_run = [msrv::compile()?, platforms::check()?, deny()?];
    println!(
        "xtask: all checks have passed, in {} s",
        start.elapsed().as_secs()
    );
    for message in not_run.into_iter().flatten() {
        println!("xtask: WARNING: {message}");
    }
    Ok(())
}

/// Runs the tests that pass on every system: those beside the code. The others start programs of
/// Linux.
fn portable() -> Result<(), String> {
    cargo(
        &format!("test {HOUSE} --exclude xtask --lib --bins --locked --no-fail-fast"),
        &[],
    )
}

/// Returns an error for a step that was requested by name but did not run.
fn done_or_error(not_run: Option<String>) -> Result<(), String> {
    not_run.map_or(Ok(()), Err)
}

/// Tests the host of Python apps, which the other steps do not build. It is tested inside a Rust
/// program, and as the wheel for Python users, in a separate virtual environment.
fn wsgi() -> Result<(), String> {
    cargo(
        "clippy --package vestibule-wsgi --all-features --all-targets --locked -- -D warnings",
        &[],
    )?;
    cargo(
        "test --package vestibule-wsgi --all-features --locked --no-fail-fast",
        &[],
    )?;
    cargo(
        "doc --package vestibule-wsgi --all-features --no-deps --locked",
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    // The tests behind nginx print its configuration.
    cargo("build --package vestibule-cli --locked", &[])?;
    let environment = packages::environment()?;
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/vestibule-wsgi");
    let mut build = Command::new(environment.join("bin/maturin"));
    build.args(["develop", "--quiet", "--locked"]);
    build.current_dir(&crate_folder);
    build.env("VIRTUAL_ENV", &environment);
    run(build, "maturin develop, in crates/vestibule-wsgi")?;
    let mut test = Command::new(environment.join("bin/python"));
    test.args(["-m", "pytest", "--quiet", "tests/python"]);
    test.current_dir(&crate_folder);
    run(test, "pytest tests/python, in crates/vestibule-wsgi")
}

/// Checks licences, advisories and duplicates, if cargo-deny is installed. Its build takes minutes,
/// so only `just deny` installs it. Otherwise returns a message.
fn deny() -> Result<Option<String>, String> {
    let is_there = Command::new("cargo-deny")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_there {
        let why = "cargo-deny is not installed; `just deny` installs and runs it";
        return Ok(Some(why.to_owned()));
    }
    cargo("deny check", &[]).map(|()| None)
}

/// Returns the folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// Returns the names of the crates in `crates`, in order. Each is the name of its folder.
fn crates() -> Result<Vec<String>, String> {
    let folder = root().join("crates");
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn cargo(arguments: &str, environment: &[(&str, &str)]) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments.split(' '));
    command.envs(environment.iter().copied());
    run(command, &format!("cargo {arguments}"))
}

/// Runs one step, and names it when it fails.
fn run(mut command: Command, line: &str) -> Result<(), String> {
    println!("xtask: {line}");
    let start = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("`{line}` could not be started: {error}"))?;
    match status.success() {
        true => {
            println!("xtask: {line}: {} s", start.elapsed().as_secs());
            Ok(())
        }
        false => Err(format!("`{line}` failed; run it alone to see why")),
    }
}
