//! `wsgi.errors`: text for the log.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{intern, types::PyBytes};

use crate::call::About;

/// The object in the environ. Each write that ends a line goes to standard error as it is, or becomes an
/// event of level info with the request's id: the level of the text is known to the app alone.
#[pyclass(frozen, module = "vestibule_wsgi")]
pub(crate) struct Errors {
    about: Arc<About>,
    /// The line that has no end yet.
    line: Mutex<String>,
    to_stderr: bool,
}

impl Errors {
    pub(crate) const fn new(about: Arc<About>, to_stderr: bool) -> Self {
        Self {
            about,
            to_stderr,
            line: Mutex::new(String::new()),
        }
    }

    fn take(&self, text: &str, ends: bool) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.push_str(text);
        let is_whole = ends || text.ends_with('\n') || line.len() > MAX_LINE;
        if is_whole && !line.is_empty() {
            let mut whole = std::mem::take(&mut *line);
            drop(line);
            if self.to_stderr {
                if !whole.ends_with('\n') {
                    whole.push('\n');
                }
                write(&whole);
            } else {
                self.about.said(whole.trim_end_matches('\n'));
            }
        }
    }

    /// What was written without an end of line.
    pub(crate) fn end(&self) {
        self.take("", true);
    }
}

/// Writes to standard error. A failure cannot be reported anywhere.
fn write(text: &str) {
    #[cfg(feature = "wheel")]
    let _ = vestibule::logging::WholeLines::stderr().write_all(text.as_bytes());
    #[cfg(not(feature = "wheel"))]
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[pymethods]
impl Errors {
    #[pyo3(signature = (text, /))]
    fn write(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        match text.to_str() {
            Ok(text) => self.take(text, false),
            // It has a lone surrogate, which no encoding knows.
            Err(_) => {
                let py = text.py();
                let ways = (intern!(py, "utf-8"), intern!(py, "backslashreplace"));
                let bytes = text.call_method1(intern!(py, "encode"), ways)?;
                let bytes = bytes.cast_into::<PyBytes>()?;
                self.take(&String::from_utf8_lossy(bytes.as_bytes()), false);
            }
        }
        text.len()
    }

    #[pyo3(signature = (lines, /))]
    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            self.write(line?.cast::<PyString>()?)?;
        }
        Ok(())
    }

    fn flush(&self) {
        self.end();
    }
}

/// The longest line that is kept whole, in bytes.
const MAX_LINE: usize = 64 * 1024;
