//! Runs the fuzz targets of `fuzz/`: libFuzzer, with the compiler's own coverage counters, on
//! stable.
//!
//! cargo-fuzz would set the same flags. But it takes minutes to build, and requires a nightly
//! compiler for a memory sanitizer, which code without `unsafe` does not need.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::run;

/// Parsers of external bytes, and the server itself, without the codecs. All run at the same time,
/// for one minute.
const IN_CI: &[&str] = &[
    "auth_credentials",
    "auth_htpasswd",
    "auth_jwt",
    "auth_signed_url",
    "cgi_head",
    "environ",
    "fastcgi",
    "forwarded",
    "http",
    "scgi",
    "uwsgi",
];

/// Runs the targets of CI for `seconds`.
pub(crate) fn all(seconds: &str) -> Result<(), String> {
    build(&["--no-default-features"])?;
    fuzz(IN_CI, seconds)
}

/// Runs one target for `seconds`.
pub(crate) fn one(target: &str, seconds: &str) -> Result<(), String> {
    match target {
        "decompression" => build(&["--bin", target])?,
        _ => build(&["--no-default-features", "--bin", target])?,
    }
    fuzz(&[target], seconds)
}

/// Builds all targets, so that a change of an API breaks none unnoticed.
fn build(which: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--release", "--locked", "--target", &host()?])
        .args(which)
        .arg("--manifest-path")
        .arg(root().join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(room())
        .env("RUSTFLAGS", COVERAGE.join(" "));
    run(
        cargo,
        &format!("cargo build, in fuzz/, {}", which.join(" ")),
    )
}

fn fuzz(targets: &[&str], seconds: &str) -> Result<(), String> {
    println!("xtask: fuzzing {} for {seconds} s", targets.join(", "));
    // Starts all before it waits for the first.
    let runs: Vec<_> = targets
        .iter()
        .map(|target| start(target, seconds))
        .collect();
    let mut failed = Vec::new();
    for (target, started) in targets.iter().zip(runs) {
        let (mut child, log) = started.map_err(|error| format!("{target}: {error}"))?;
        let is_well = child.wait().is_ok_and(|status| status.success());
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        match is_well {
            true => println!("xtask: {target}: {}", lines.last().unwrap_or(&"")),
            false => {
                // The panic, the input in base64, and the path of its file.
                let tail = lines[lines.len().saturating_sub(40)..].join("\n");
                println!(
                    "{tail}\nxtask: {target}: to run it on that file: {} FILE",
                    program(target)?.display()
                );
                failed.push(*target);
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("fuzzing found something in {}", failed.join(", "))),
    }
}

/// Starts a run. Returns it with the path of its log. Seeds are read-only; new inputs are kept for
/// the next run.
fn start(target: &str, seconds: &str) -> Result<(Child, PathBuf), String> {
    let say = |error: std::io::Error| error.to_string();
    let corpus = room().join("corpus").join(target);
    fs::create_dir_all(&corpus).map_err(say)?;
    let log = room().join(format!("{target}.log"));
    let output = File::create(&log).map_err(say)?;
    let mut command = Command::new(program(target)?);
    command
        .arg(corpus)
        .args(Some(root().join("fuzz/seeds").join(target)).filter(|it| it.exists()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{target}-", room().display()))
        // Inputs are short: an input that takes ten seconds or this much memory is a fault.
        .args(["-timeout=10", "-rss_limit_mb=512", "-malloc_limit_mb=64"])
        .stdout(output.try_clone().map_err(say)?)
        .stderr(output);
    Ok((command.spawn().map_err(say)?, log))
}

fn program(target: &str) -> Result<PathBuf, String> {
    Ok(room().join(host()?).join("release").join(target))
}

/// Returns the target of this compiler. Naming it keeps the flags away from build scripts.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output();
    let text = output
        .map_err(|error| format!("`rustc -vV`: {error}"))?
        .stdout;
    let text = String::from_utf8_lossy(&text);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or("`rustc -vV` does not name a host".to_owned())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the folder for builds, corpora and findings.
fn room() -> PathBuf {
    root().join("target/fuzz")
}

/// The instrumentation that libFuzzer needs: edge counters, the table of their locations, and the
/// operands of comparisons.
const COVERAGE: &[&str] = &[
    "--cfg fuzzing",
    "-Ccodegen-units=1",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
