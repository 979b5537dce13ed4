//! The server that `pip install` gives: a supervisor, and workers that host the app.
//!
//! Both are the same program, `python -m vestibule_wsgi`. The supervisor never imports the app: it
//! opens the sockets, starts a process for each worker, and starts another when one has ended or asks
//! to be replaced.

mod args;
mod buffer_chunked;
mod inside;
mod line;
mod mounted;
mod places;
mod reload;
mod stack;
mod supervisor;
mod worker;

use pyo3::prelude::*;
use vestibule_cli::common::{complain, events_to_stderr};

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

fn main(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
    let args = match args::Args::read(&arguments) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    events_to_stderr(&args.watching);
    let run = || match args.is_worker() {
        true => worker::run(py, &args),
        false => supervisor::run(py, &args, &arguments),
    };
    match change_directory(&args).and_then(|()| run()) {
        Ok(status) => status,
        Err(error) => {
            complain(args.watching.writes_json(), &*error);
            1
        }
    }
}

/// Every path is meant from there. A worker begins where its supervisor is.
fn change_directory(args: &args::Args) -> Result<(), Mistake> {
    let Some(directory) = &args.python.chdir else {
        return Ok(());
    };
    if args.workers.as_worker.is_some() {
        return Ok(());
    }
    std::env::set_current_dir(directory).map_err(|error| {
        let directory = directory.display();
        format!("cannot change to the directory `{directory}`: {error}").into()
    })
}

/// The app could not be loaded, or the worker could not begin: it is of no use to try at once again.
const CANNOT_START: u8 = 3;

/// What ends the program, as a sentence.
type Mistake = Box<dyn std::error::Error + Send + Sync>;
