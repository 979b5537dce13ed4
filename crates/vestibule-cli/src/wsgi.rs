//! `vestibule wsgi`: hands over to the Python of the virtual environment, which runs the host.

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::args::Wsgi;

/// Imports the host, and ends with [`MISSING`] when there is none.
const IMPORT: &str = "\
import sys
try:
    import vestibule_wsgi
except ModuleNotFoundError as error:
    if error.name != 'vestibule_wsgi':
        raise
    sys.exit(41)";

/// The exit status for a missing package; 1 is an exception.
const MISSING: i32 = 41;

/// The help without the package, which has the options.
const HELP: &str = "\
Serve a Python app: Flask, Django, or any other WSGI app

Usage: vestibule wsgi [OPTIONS] <MODULE:CALLABLE>

The host of Python apps, and its options, are the Python package vestibule-wsgi, which PYTHON does
not have. `PYTHON -m pip install vestibule-wsgi` installs it.";

/// Becomes Python; returns only when that cannot be.
pub(crate) fn run(wsgi: &Wsgi) -> Result<(), Box<dyn Error>> {
    let (python, advice) = match std::env::var_os("VIRTUAL_ENV").filter(|it| !it.is_empty()) {
        Some(venv) => (
            PathBuf::from(venv).join("bin/python"),
            "VIRTUAL_ENV says that it is there",
        ),
        None => (PathBuf::from("python3"), "install Python 3.10 or newer"),
    };
    let shown = python.display();
    let import = Command::new(&python)
        .args(["-c", IMPORT])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start `{shown}`: {error}; {advice}"))?;
    let asks_for_help = wsgi
        .rest
        .iter()
        .any(|word| word == "--help" || word == "-h");
    match import.status.code() {
        Some(0) => {}
        Some(MISSING) if asks_for_help => {
            println!("{}", HELP.replace("PYTHON", &shown.to_string()));
            return Ok(());
        }
        Some(MISSING) => {
            let text = format!(
                "`{shown}` has no package vestibule-wsgi; `{shown} -m pip install vestibule-wsgi` installs it"
            );
            return Err(text.into());
        }
        _ => {
            let said = String::from_utf8_lossy(&import.stderr);
            let reason = said.trim_end().lines().last().unwrap_or("it says nothing");
            let text = format!("`{shown}` cannot import its package vestibule-wsgi: {reason}");
            return Err(text.into());
        }
    }
    let error = Command::new(&python)
        .args(["-m", "vestibule_wsgi"])
        .args(&wsgi.rest)
        .exec();
    Err(format!("cannot start `{shown}`: {error}").into())
}
