//! How the supervisor starts a worker: the same Python, modules, directory and sockets as its own.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;

use pyo3::prelude::*;
use pyo3::types::PyList;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Resource, getrlimit};
use tokio::process::{Child, Command};
use vestibule_hyper::Sockets;

use super::own_modules;

/// This program, as a worker runs it.
pub(crate) struct Program {
    python: OsString,
    flags: Vec<OsString>,
    code: String,
    arguments: Vec<OsString>,
    directory: PathBuf,
}

impl Program {
    /// Must be called before the directory is changed; `directory` is where the supervisor began.
    pub(crate) fn of(py: Python<'_>, arguments: &[OsString], directory: PathBuf) -> PyResult<Self> {
        own_modules::import(py)?;
        let (before, after) = added_paths(py)?;
        let name: Vec<_> = arguments.iter().take(1).collect();
        let name = name
            .into_pyobject(py)?
            .repr()?
            .to_string_lossy()
            .into_owned();
        let flags = py
            .import("subprocess")?
            .getattr("_args_from_interpreter_flags");
        Ok(Self {
            python: py.import("sys")?.getattr("executable")?.extract()?,
            flags: flags
                .and_then(|it| it.call0()?.extract())
                .unwrap_or_default(),
            code: bootstrap(&before, &after, &name),
            arguments: arguments.iter().skip(1).cloned().collect(),
            directory,
        })
    }

    /// Starts the worker of a slot.
    pub(crate) fn start(
        &self,
        slot: usize,
        shows_errors: bool,
        sockets: &InheritedSockets,
        stdin: Stdio,
    ) -> io::Result<Child> {
        let mut command = Command::new(&self.python);
        command
            .args(&self.flags)
            .args(["-c", &self.code, "--as-worker", &slot.to_string()]);
        if shows_errors {
            command.arg("--shows-errors");
        }
        command
            .args(&self.arguments)
            .current_dir(&self.directory)
            .env("LISTEN_FDS", sockets.sockets.len().to_string())
            .env("LISTEN_FDS_FIRST_FD", sockets.first().to_string())
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDNAMES")
            .stdin(stdin)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let (python, directory) = (self.python.display(), self.directory.display());
                let text = format!("cannot start `{python}` in `{directory}`: {error}");
                io::Error::new(error.kind(), text)
            })
    }
}

/// The directory in which the program was started, by the name that the shell has for it.
///
/// The kernel resolves symbolic links, and a deploy that switches the link would never reach the
/// workers. `PWD` is believed when it is the same directory (POSIX, `pwd -L`).
pub(crate) fn start_directory() -> io::Result<PathBuf> {
    let directory = std::env::current_dir()?;
    let named = std::env::var_os("PWD").map(PathBuf::from);
    let is_same = |named: &PathBuf| {
        named.is_absolute() && named.canonicalize().ok() == directory.canonicalize().ok()
    };
    Ok(named.filter(is_same).unwrap_or(directory))
}

/// The entries of `sys.path` that a launcher has added, as Python writes lists: those before the
/// interpreter's own entries, and those behind. A zipapp such as one of shiv has its packages there.
///
/// The interpreter's own entries are left to the worker's interpreter, which may be another one after
/// a deploy.
fn added_paths(py: Python<'_>) -> PyResult<(String, String)> {
    let locals = pyo3::types::PyDict::new(py);
    py.run(OWN_PATHS, Some(&locals), None)?;
    let get = |name: &str| -> PyResult<Bound<'_, PyList>> {
        let found = locals.get_item(name)?;
        let found = found.unwrap_or_else(|| PyList::empty(py).into_any());
        Ok(found.cast_into::<PyList>()?)
    };
    let list = |name: &str| Ok::<_, PyErr>(get(name)?.repr()?.to_string_lossy().into_owned());
    Ok((list("before")?, list("after")?))
}

/// Finds the entries that are not the interpreter's own. The first entry is the directory of `-m` or
/// of the script, which is not a place for modules of the app.
const OWN_PATHS: &std::ffi::CStr = c"
import os, site, sys
main = sys.modules.get('__main__')
paths = [path for path in sys.path if isinstance(path, str)]
script = os.path.dirname(os.path.realpath(sys.argv[0])) if sys.argv else ''
first = paths[:1]
if first and os.path.isdir(first[0] or '.'):
    if getattr(main, '__spec__', None) is not None or os.path.realpath(first[0]) == script:
        paths = paths[1:]
own = [os.path.dirname(os.__file__)]
own += [os.path.join(path, 'lib-dynload') for path in own]
if not sys.flags.no_site:
    own += site.getsitepackages() + [site.getusersitepackages()]
own += os.environ.get('PYTHONPATH', '').split(os.pathsep) if not sys.flags.ignore_environment else []
archive = 'python%d%d.zip' % sys.version_info[:2]
is_own = [path in own or os.path.basename(path) == archive for path in paths]
at = is_own.index(True) if True in is_own else len(paths)
before = [path for path in paths[:at] if path]
after = [path for path, own in zip(paths[at:], is_own[at:]) if path and not own]
";

/// Returns the code that a worker's interpreter runs. `-m` would put the directory of the app on `sys.path` before the
/// host's own imports.
fn bootstrap(before: &str, after: &str, name: &str) -> String {
    format!(
        "import sys; sys.argv[:1] = {name}; own = [path for path in sys.path if path]; \
         sys.path[:] = {before} + own + [path for path in {after} if path not in own]; \
         from vestibule_wsgi.__main__ import main; main()"
    )
}

/// Copies of the listening sockets that workers inherit, with numbers in a row.
pub(crate) struct InheritedSockets {
    sockets: Vec<OwnedFd>,
}

impl InheritedSockets {
    pub(crate) fn of(sockets: &Sockets) -> io::Result<Self> {
        let limit = getrlimit(Resource::Nofile).current;
        let mut first = first_number(limit);
        'again: loop {
            let mut copies: Vec<OwnedFd> = Vec::new();
            for (at, socket) in sockets.descriptors().enumerate() {
                let wanted = first + i32::try_from(at).unwrap_or(0);
                let copy = fcntl_dupfd_cloexec(socket, wanted).map_err(|error| match error {
                    rustix::io::Errno::INVAL | rustix::io::Errno::MFILE => too_few(limit),
                    error => error.into(),
                })?;
                if copies.is_empty() {
                    first = copy.as_raw_fd();
                } else if copy.as_raw_fd() != wanted {
                    first = copy.as_raw_fd();
                    continue 'again;
                }
                copies.push(copy);
            }
            for copy in &copies {
                fcntl_setfd(copy, FdFlags::empty())?;
            }
            return Ok(Self { sockets: copies });
        }
    }

    fn first(&self) -> i32 {
        self.sockets.first().map_or(0, AsRawFd::as_raw_fd)
    }
}

/// The number of the first socket in a worker, or one near it: beyond what Python opens, and within
/// the limit on open files.
fn first_number(limit: Option<u64>) -> i32 {
    let half = limit.map_or(FIRST, |limit| i32::try_from(limit / 2).unwrap_or(FIRST));
    half.clamp(3, FIRST)
}

/// The error of a limit that leaves no room.
pub(crate) fn too_few(limit: Option<u64>) -> io::Error {
    let limit = limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    io::Error::other(format!(
        "the limit on open files is {limit}, which is too low: raise it, as in `ulimit -n 1024` or \
         systemd's LimitNOFILE="
    ))
}

const FIRST: i32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_fit_within_the_limit_on_open_files() {
        let cases = [
            (None, 100),
            (Some(1024), 100),
            (Some(64), 32),
            (Some(10), 5),
            (Some(0), 3),
        ];
        for (limit, first) in cases {
            assert_eq!(first_number(limit), first, "{limit:?}");
        }
    }
}
