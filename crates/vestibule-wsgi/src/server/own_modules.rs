//! Modules that the host itself imports. They must not be found in the project, whose modules may have
//! the same names.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::pool;

/// Imports them without the working directory, which `-m` has put on `sys.path`. The directory of the
/// app comes to it later.
pub(crate) fn import(py: Python<'_>) -> PyResult<()> {
    let path = py.import("sys")?.getattr("path")?.cast_into::<PyList>()?;
    let all = path.get_slice(0, path.len());
    let others = PyList::empty(py);
    for entry in path.iter() {
        let directory = entry.extract::<PathBuf>();
        if !directory.is_ok_and(|it| it.as_os_str().is_empty() || is_here(&it)) {
            others.append(entry)?;
        }
    }
    path.set_slice(0, path.len(), others.as_any())?;
    let import = || {
        NAMES
            .iter()
            .try_for_each(|name| py.import(*name).map(drop))?;
        pool::prepare(py)
    };
    let imported = import();
    path.set_slice(0, path.len(), all.as_any())?;
    imported
}

/// Whether `directory` is the working directory of this process, by whatever name.
fn is_here(directory: &Path) -> bool {
    let here = std::env::current_dir().and_then(|it| it.canonicalize());
    here.ok() == directory.canonicalize().ok()
}

const NAMES: &[&str] = &[
    "atexit",
    "io",
    "os",
    "signal",
    "site",
    "subprocess",
    "threading",
    "traceback",
];
