//! The server that `pip install` gives: a supervisor, and workers that host the app.
//!
//! Both are the same program, `python -m vestibule_wsgi`. The supervisor never imports the app: it
//! opens the sockets, starts a process for each worker, and starts another when one has ended or asks
//! to be replaced.

mod args;
mod buffer_chunked;
mod checks;
mod defaults;
mod failed_app;
mod hooks;
mod imported;
mod inside;
mod lifecycle;
mod line;
mod mounted;
mod orphans;
mod own_modules;
mod places;
mod process;
mod program;
mod reload;
mod service_manager;
mod signals;
mod stack;
mod supervisor;
mod welcome;
mod worker;

use std::ffi::OsString;

use pyo3::prelude::*;
use vestibule_cli::common::{complain, events_to_stderr};

use program::{Program, start_directory};

/// The extension module `vestibule_wsgi._host`.
#[pymodule(gil_used = false)]
mod _host {
    /// Runs the server; `arguments` are those of the command line, with the program's name first.
    /// Returns the status to exit with.
    #[pyfunction]
    fn main(py: pyo3::Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
        super::main(py, arguments)
    }

    use pyo3::pyfunction;

    #[pymodule_export]
    use super::inside::Inside;
}

fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let args = match args::Args::read(&arguments) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    events_to_stderr(&args.watching);
    let faults = checks::faults(&args);
    for fault in &faults {
        complain(args.watching.writes_json(), fault);
    }
    if !faults.is_empty() {
        return USAGE;
    }
    match serve(py, &args, &arguments) {
        Ok(status) => status,
        Err(error) => {
            complain(args.watching.writes_json(), &*error);
            1
        }
    }
}

fn serve(py: Python<'_>, args: &args::Args, arguments: &[OsString]) -> Result<u8, Mistake> {
    if args.is_worker() {
        change_directory(args)?;
        return worker::run(py, args);
    }
    // Each worker begins where this process did, and changes the directory itself: `--chdir` may be a
    // link that has been switched.
    let program = Program::of(py, arguments, start_directory()?)?;
    change_directory(args)?;
    supervisor::run(py, args, program)
}

/// Every path is meant from there.
fn change_directory(args: &args::Args) -> Result<(), Mistake> {
    let Some(directory) = &args.python.chdir else {
        return Ok(());
    };
    std::env::set_current_dir(directory).map_err(|error| {
        let directory = directory.display();
        format!("cannot change to the directory `{directory}`: {error}").into()
    })
}

/// The app could not be loaded, or the worker could not begin: it is of no use to try at once again.
const CANNOT_START: u8 = 3;

/// The options do not fit together, as clap has it for a wrong command line.
const USAGE: u8 = 2;

/// What ends the program, as a sentence.
type Mistake = Box<dyn std::error::Error + Send + Sync>;
