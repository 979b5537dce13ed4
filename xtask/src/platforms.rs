//! Checks that the crates compile for systems on which no test runs: `cargo check` for each target.
//!
//! Crates that build C code need a compiler for the target, so the runners in `ci.yml` check these.

use std::process::Command;

use crate::run;

/// The arguments of one `cargo check`: the target, the options, and a description.
const CHECKS: &[(&str, &str, &str)] = &[
    (
        WINDOWS,
        FACADE,
        "the facade with its defaults, and the bridge to axum",
    ),
    (
        WINDOWS,
        PROGRAM,
        "the program and the client, without what is built from C",
    ),
    (
        MACOS,
        FACADE,
        "the facade with its defaults, and the bridge to axum",
    ),
    (
        MACOS,
        PROGRAM,
        "the program and the client, without what is built from C",
    ),
    (
        WASM,
        "-p vestibule-compression -p vestibule-core -p vestibule-environ -p vestibule-fields -p vestibule-inspect \
         -p vestibule-lint -p vestibule-logging -p vestibule-security -p vestibule-static -p vestibule-test \
         -p vestibule-tower",
        "the crates without sockets",
    ),
    (
        WASM,
        "-p vestibule-auth --features wasm-js",
        "with JavaScript's random numbers",
    ),
];

const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MACOS: &str = "aarch64-apple-darwin";
const WASM: &str = "wasm32-unknown-unknown";
const FACADE: &str = "-p vestibule -p vestibule-tower";
const PROGRAM: &str = "-p vestibule-cli -p vestibule-client --no-default-features";

/// Installs the targets for the current toolchain, and checks each.
///
/// Returns a message when rustup is missing, because then nothing was checked.
pub(crate) fn check() -> Result<Option<String>, String> {
    if Command::new("rustup").arg("--version").output().is_err() {
        return Ok(Some(
            "whether Windows, macOS and wasm32 compile was not tried: rustup is not installed. \
             Install it (https://rustup.rs), then run `cargo xtask platforms`"
                .to_owned(),
        ));
    }
    let mut install = Command::new("rustup");
    install.args(["target", "add", WINDOWS, MACOS, WASM]);
    run(
        install,
        &format!("rustup target add {WINDOWS} {MACOS} {WASM}"),
    )?;
    for (target, arguments, what) in CHECKS {
        let line = format!("check --locked --target {target} {arguments}");
        let mut command = Command::new(env!("CARGO"));
        command.args(line.split_whitespace());
        command.arg("--quiet");
        // A separate folder: other flags would rebuild everything that the tests use.
        command.env("CARGO_TARGET_DIR", FOLDER);
        command.env("RUSTFLAGS", "-D warnings");
        run(command, &format!("cargo {line} ({what})"))?;
    }
    Ok(None)
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/platforms");
