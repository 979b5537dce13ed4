//! Test dependencies other than Rust: one list of Debian packages, and one of Python packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

/// Debian packages, each with its reason.
const DEBIAN: &[(&str, &str)] = &[
    ("apache2-bin", "Apache, in front of the gateways"),
    (
        "apache2-utils",
        "Apache's htpasswd writes and checks password files",
    ),
    (
        "aria2",
        "downloads one file on eight connections, and resumes",
    ),
    ("brotli", "decodes the output of the brotli encoder"),
    ("bsdutils", "script, a terminal that asks for a password"),
    (
        "ca-certificates",
        "the root certificates that the HTTPS client trusts",
    ),
    (
        "chromium",
        "a browser that decodes each coding, and draws the inspector's page",
    ),
    ("curl", "an independent client of the server"),
    (
        "fail2ban",
        "fail2ban-regex finds failed logins in the access log",
    ),
    ("g++", "libFuzzer, for the fuzz targets, is in C++"),
    ("gcc", "a library that lets accept fail, in a test"),
    ("goaccess", "reads the access log as an analyser does"),
    (
        "libapache2-mod-wsgi-py3",
        "the environ of mod_wsgi, compared with ours",
    ),
    (
        "libapache2-mod-xsendfile",
        "Apache sends the files that X-Sendfile names",
    ),
    ("logrotate", "rotates the access log while it is written"),
    ("make", "builds the allocator of the program, which is in C"),
    (
        "nghttp2-client",
        "h2load sends HTTP/2 requests to the server",
    ),
    (
        "nginx-light",
        "in front of the gateways, and the peer of the benchmarks",
    ),
    (
        "openssl",
        "makes certificates and a password file for tests",
    ),
    ("php-fpm", "an independent FastCGI responder"),
    ("prometheus", "promtool checks the metrics"),
    (
        "python3-dev",
        "libpython, for the Python host inside a Rust program",
    ),
    ("python3-venv", "an environment for the Python host's tests"),
    (
        "slowhttptest",
        "2,000 slow clients, in a benchmark and in a small test",
    ),
    (
        "spawn-fcgi",
        "starts a test program with a listening socket",
    ),
    ("valgrind", "counts instructions, for the benchmarks"),
    ("wget", "resumes downloads, also of a log that grows"),
    ("wrk", "generates load for the benchmarks"),
    ("zstd", "decodes the output of the zstd encoder"),
    ("zsync", "patches an old file with ranges of a new one"),
];

/// Python packages, each with its reason.
const PYTHON: &[(&str, &str)] = &[
    ("brotli", "decodes brotli, for httpx and alone"),
    ("grpcio", "Google's C core calls gRPC methods"),
    ("h2", "speaks HTTP/2 for httpx"),
    ("httpx", "an independent client that decodes each coding"),
    ("jsonschema", "validates the lines of the JSON log"),
    ("prometheus_client", "reads OpenMetrics as its authors do"),
    ("python-socketio", "polls, and changes to a WebSocket"),
    ("requests", "polls for python-socketio"),
    ("websocket-client", "the WebSockets of python-socketio"),
    ("websockets", "a WebSocket client that is not ours"),
    ("zstandard", "decodes zstd, for httpx and alone"),
];

/// Python packages for the tests of the Python host, in a separate virtual environment, each with
/// its reason.
const WSGI: &[(&str, &str)] = &[
    (
        "a2wsgi",
        "an ASGI app as a WSGI app, which works on after its last byte",
    ),
    ("bottle", "an app that needs the length of an upload"),
    ("django", "an app to host"),
    ("fastapi", "background tasks, below a2wsgi"),
    ("flask", "an app to host"),
    ("gevent", "replaces Python's threads"),
    ("maturin", "builds the wheel"),
    ("pytest", "runs the tests of the wheel"),
];

/// Creates or completes the virtual environment for the tests of the Python host. Returns its
/// directory.
pub(crate) fn environment() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/wsgi-venv");
    let python = place.join("bin/python");
    if !python.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&place);
        run(
            make,
            "python3 -m venv (Python 3.10 or newer, with its venv module)",
        )?;
    }
    let program = python.to_string_lossy();
    let missing = missing(WSGI, &program, &["-m", "pip", "show", "--quiet"], |_| true);
    if !missing.is_empty() {
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet"]);
        install.args(&missing);
        run(install, &format!("pip install {}", missing.join(" ")))?;
    }
    Ok(place)
}

/// Installs the missing packages. Does not prompt, and needs no network when all are installed.
pub(crate) fn install() -> Result<(), String> {
    install_debian()?;
    install_python()
}

fn install_debian() -> Result<(), String> {
    let missing = missing(
        DEBIAN,
        "dpkg-query",
        &["--show", "--showformat=${db:Status-Status}"],
        |text| text == "installed",
    );
    if missing.is_empty() {
        return Ok(());
    }
    let mut update = as_root("apt-get");
    update.args(["update", "--quiet"]);
    run(update, "apt-get update")?;
    let mut install = as_root("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]);
    install.args(&missing);
    run(install, &format!("apt-get install {}", missing.join(" ")))
}

fn install_python() -> Result<(), String> {
    let missing = missing(PYTHON, "python3", &["-m", "pip", "show", "--quiet"], |_| {
        true
    });
    if missing.is_empty() {
        return Ok(());
    }
    let mut install = Command::new("python3");
    install.args(["-m", "pip", "install", "--quiet"]);
    install.args(&missing);
    run(install, &format!("pip install {}", missing.join(" ")))
}

/// Returns the packages for which the query fails, or prints something that `is_there` does not
/// accept.
fn missing(
    packages: &[(&'static str, &str)],
    program: &str,
    question: &[&str],
    is_there: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let has = |name: &str| {
        let answer = Command::new(program).args(question).arg(name).output();
        answer.is_ok_and(|answer| {
            answer.status.success() && is_there(&String::from_utf8_lossy(&answer.stdout))
        })
    };
    packages
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !has(name))
        .collect()
}

/// `apt-get` needs root: uses `sudo`, except for root, as in a container.
fn as_root(program: &str) -> Command {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    match is_root {
        true => Command::new(program),
        false => {
            let mut sudo = Command::new("sudo");
            sudo.arg(program);
            sudo
        }
    }
}
