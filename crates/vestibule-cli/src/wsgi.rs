//! `vestibule wsgi`: hands over to the Python of the virtual environment, which runs the host.

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::args::Wsgi;

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
    let has_host = Command::new(&python)
        .args(["-c", "import vestibule_wsgi"])
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("cannot start `{shown}`: {error}; {advice}"))?;
    if !has_host.success() {
        let text = format!(
            "`{shown}` has no package vestibule-wsgi; `{shown} -m pip install vestibule-wsgi` installs it"
        );
        return Err(text.into());
    }
    let error = Command::new(&python)
        .args(["-m", "vestibule_wsgi"])
        .args(&wsgi.rest)
        .exec();
    Err(format!("cannot start `{shown}`: {error}").into())
}
