//! The lines that a user sees first.

use pyo3::prelude::*;
use vestibule_cli::common::Ink;

use super::args::Args;
use crate::pool::is_free_threaded;

/// The app, its addresses, the interpreter, and the number of processes and threads.
pub(crate) fn welcome(args: &Args, addresses: &[String], outline: &str) -> String {
    let (bold, dim, plain) = Ink::of_stderr().codes();
    let target = &args.target;
    let at = addresses.join("\n     at ");
    let python = Python::attach(|py| {
        let version = Python::version_str()
            .split_whitespace()
            .next()
            .unwrap_or_default();
        let prefix = |name: &str| Ok::<_, PyErr>(py.import("sys")?.getattr(name)?.to_string());
        let kind = match is_free_threaded(py) {
            true => ", free-threaded,",
            false => "",
        };
        match (prefix("prefix"), prefix("base_prefix")) {
            (Ok(venv), Ok(base)) if venv != base => format!("Python {version}{kind} in {venv}"),
            (_, base) => format!("Python {version}{kind} of {}", base.unwrap_or_default()),
        }
    });
    let threads = crate::WsgiOptions::new().thread_count();
    let threads = args.workers.threads.map_or(threads, usize::from);
    let threads = match threads {
        1 => "1 thread".to_owned(),
        count => format!("{count} threads"),
    };
    let processes = match args.processes() {
        0 => format!("this process, with {threads}"),
        1 => format!("1 process, with {threads}"),
        count => format!("{count} processes, with {threads} each"),
    };
    format!(
        "{bold}Serving {target}\n     at {at}{plain}\n   with {python}\n     by {processes}\n\n{dim}{outline}{plain}\n"
    )
}
