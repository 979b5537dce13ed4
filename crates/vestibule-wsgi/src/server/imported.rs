//! The files from which the app was imported, for `--reload`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Remembers which files were reported.
#[derive(Default)]
pub(crate) struct ImportedFiles {
    known: HashSet<PathBuf>,
}

impl ImportedFiles {
    /// The files of modules that were imported since the last call, without Python's own library.
    pub(crate) fn find_new(&mut self) -> Vec<PathBuf> {
        let files = Python::attach(|py| files(py).unwrap_or_default());
        let is_new = |path: &PathBuf| self.known.insert(path.clone());
        files.into_iter().filter(is_new).collect()
    }
}

fn files(py: Python<'_>) -> PyResult<Vec<PathBuf>> {
    let library: PathBuf = py.import("os")?.getattr("__file__")?.extract()?;
    let library = library.parent().map(Path::to_path_buf).unwrap_or_default();
    let packages = library.join("site-packages");
    let modules = py.import("sys")?.getattr("modules")?;
    let modules = modules.cast::<PyDict>()?.values();
    // A module may be any object, so each may fail by itself.
    let file = |module: Bound<'_, PyAny>| module.getattr("__file__").ok()?.extract().ok();
    let is_of_project = |path: &PathBuf| {
        let is_of_library = path.starts_with(&library) && !path.starts_with(&packages);
        path.extension().is_some_and(|it| it == "py") && !is_of_library
    };
    let files = modules.iter().filter_map(file);
    let absolute = files.filter_map(|path: PathBuf| std::path::absolute(path).ok());
    Ok(absolute.filter(is_of_project).collect())
}
