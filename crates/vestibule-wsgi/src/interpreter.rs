//! The interpreter inside of a Rust program, and the virtual environment that it is to use.
//!
//! Python finds its standard library by what lies on `PATH`, and knows nothing of `VIRTUAL_ENV`. Both
//! can go wrong in silence, with the modules of one Python under the library of another, so both are
//! checked here, and refused with a sentence.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::app::WsgiOptions;
use crate::error::LoadError;

#[derive(Clone, Debug, Default)]
pub(crate) struct Interpreter {
    venv: Option<PathBuf>,
    path: Vec<PathBuf>,
}

impl WsgiOptions {
    /// The virtual environment whose packages the app finds: that of `VIRTUAL_ENV`, or none. It has to
    /// be made by the Python that the program is linked to.
    pub fn venv(mut self, directory: impl Into<PathBuf>) -> Self {
        self.interpreter.venv = Some(directory.into());
        self
    }

    /// Looks for modules in this directory, too, before all others: it is `sys.path`.
    pub fn path(mut self, directory: impl Into<PathBuf>) -> Self {
        self.interpreter.path.push(directory.into());
        self
    }
}

impl Interpreter {
    /// Starts it, once in a process.
    pub(crate) fn start(&self) -> Result<(), LoadError> {
        let venv = self.directory();
        // What can be known before is said before.
        if let Some(venv) = &venv {
            Venv::read(venv)?;
        }
        Python::initialize();
        Ok(())
    }

    /// Checks the standard library, and makes the packages of the virtual environment and the modules
    /// of the working directory known.
    pub(crate) fn prepare(&self, py: Python<'_>) -> Result<(), LoadError> {
        check_library(py)?;
        crate::pool::prepare(py)
            .map_err(|error| LoadError::failed(py, "prepare the interpreter", &error))?;
        let done = || -> PyResult<Result<(), LoadError>> {
            let sys = py.import("sys")?;
            if let Some(directory) = self.directory() {
                let venv = match Venv::read(&directory) {
                    Ok(venv) => venv,
                    Err(error) => return Ok(Err(error)),
                };
                let base: PathBuf = sys.getattr("base_prefix")?.extract()?;
                let version = py.version_info();
                if let Err(error) = venv.check((version.major, version.minor), &base) {
                    return Ok(Err(error));
                }
                let prefix: PathBuf = sys.getattr("prefix")?.extract()?;
                if !is_same(&prefix, &directory) {
                    venv.enter(py, &sys, (version.major, version.minor))?;
                }
            }
            let path = sys.getattr("path")?.cast_into::<PyList>()?;
            let here = std::env::current_dir()?;
            for directory in [&here].into_iter().chain(&self.path) {
                if !path.contains(directory.as_os_str())? {
                    path.insert(0, directory.as_os_str())?;
                }
            }
            Ok(Ok(()))
        };
        done().unwrap_or_else(|error| Err(LoadError::failed(py, "prepare the interpreter", &error)))
    }

    fn directory(&self) -> Option<PathBuf> {
        let told = || std::env::var_os("VIRTUAL_ENV").filter(|it| !it.is_empty());
        self.venv.clone().or_else(|| told().map(PathBuf::from))
    }
}

/// Modules that are part of the library in some builds and files beside it in others: a standard
/// library of another build has the wrong ones.
fn check_library(py: Python<'_>) -> Result<(), LoadError> {
    for module in ["math", "_socket", "_struct"] {
        if let Err(error) = py.import(module) {
            let place = py
                .import("sys")
                .and_then(|sys| sys.getattr("base_prefix"))
                .map_or_else(|_| "?".to_owned(), |it| it.to_string());
            return Err(LoadError::Interpreter(format!(
                "libpython {} took the standard library in `{place}`, which is of another build ({error}); \
                 put the directory of its own `python3` first on PATH",
                py.version_info().minor
            )));
        }
    }
    Ok(())
}

/// What `pyvenv.cfg` says (PEP 405).
#[derive(Debug)]
struct Venv {
    directory: PathBuf,
    home: PathBuf,
    version: String,
    includes_system: bool,
}

impl Venv {
    fn read(directory: &Path) -> Result<Self, LoadError> {
        let file = directory.join("pyvenv.cfg");
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let file = file.display();
            LoadError::Interpreter(format!(
                "there is no virtual environment: `{file}`: {error}"
            ))
        })?;
        Ok(Self::parse(directory, &text))
    }

    fn parse(directory: &Path, text: &str) -> Self {
        let value = |names: &[&str]| {
            text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                let is_it = names.contains(&name.trim());
                is_it.then(|| value.trim().to_owned())
            })
        };
        Self {
            directory: directory.to_owned(),
            home: value(&["home"]).unwrap_or_default().into(),
            version: value(&["version", "version_info"]).unwrap_or_default(),
            includes_system: value(&["include-system-site-packages"])
                .is_some_and(|it| it.eq_ignore_ascii_case("true")),
        }
    }

    /// Whether it was made by the Python that runs.
    fn check(&self, version: (u8, u8), base: &Path) -> Result<(), LoadError> {
        let directory = self.directory.display();
        let mut parts = self.version.split('.').map(str::parse::<u8>);
        let own = (parts.next(), parts.next());
        if own != (Some(Ok(version.0)), Some(Ok(version.1))) {
            return Err(LoadError::Interpreter(format!(
                "the virtual environment `{directory}` is of Python {}, and this program is linked to {}.{}",
                self.version, version.0, version.1
            )));
        }
        let home = self.home.parent().unwrap_or(&self.home);
        if !is_same(home, base) {
            return Err(LoadError::Interpreter(format!(
                "the virtual environment `{directory}` was made by the Python in `{}`, and this program \
                 uses the one in `{}`",
                home.display(),
                base.display()
            )));
        }
        Ok(())
    }

    /// As the environment's own `python` would begin: its packages in place of the system's.
    fn enter(&self, py: Python<'_>, sys: &Bound<'_, PyModule>, version: (u8, u8)) -> PyResult<()> {
        let path = sys.getattr("path")?.cast_into::<PyList>()?;
        if !self.includes_system {
            let kept = PyList::empty(py);
            for entry in path.iter() {
                let text = entry.str()?.to_string_lossy().into_owned();
                if !text.ends_with("-packages") {
                    kept.append(entry)?;
                }
            }
            path.set_slice(0, path.len(), kept.as_any())?;
        }
        let packages = format!("lib/python{}.{}/site-packages", version.0, version.1);
        let packages = self.directory.join(packages);
        py.import("site")?
            .call_method1("addsitedir", (packages.as_os_str(),))?;
        for name in ["prefix", "exec_prefix"] {
            sys.setattr(name, self.directory.as_os_str())?;
        }
        Ok(())
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_of_other_pythons_are_refused() {
        let text = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n";
        let venv = Venv::parse(Path::new("/venv"), text);
        let why = |version, base: &str| match venv.check(version, Path::new(base)) {
            Ok(()) => "fits".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(why((3, 11), "/usr"), "fits");
        assert!(why((3, 12), "/usr").contains("is of Python 3.11.2"));
        assert!(why((3, 11), "/opt/python").contains("made by the Python in `/usr`"));
        let odd = Venv::parse(Path::new("/venv"), "home = /usr/bin\nversion = x\n");
        assert!(odd.check((3, 11), Path::new("/usr")).is_err());
    }
}
