//! Why there is no app.

use std::error::Error;
use std::fmt;

use pyo3::{PyErr, Python};

use crate::call::traceback;

/// Why a Python app could not be loaded, with what to do about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The virtual environment or the library of Python cannot be used; why.
    Interpreter(String),
    /// Python raised an exception.
    Python {
        /// What was being done.
        doing: String,
        /// The traceback, as Python prints it.
        traceback: String,
    },
    /// What was named is there, and cannot be called.
    NotCallable {
        /// What was named.
        target: String,
        /// The class of what is there.
        class: String,
    },
    /// The app, or what it imports, has replaced Python's threads.
    Threads,
    /// Variables for every environ that cannot be added: each with its fix.
    Environ(Vec<String>),
}

impl LoadError {
    pub(crate) fn failed(py: Python<'_>, doing: impl Into<String>, error: &PyErr) -> Self {
        Self::Python {
            doing: doing.into(),
            traceback: traceback(py, error),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interpreter(why) => write!(f, "cannot use this Python: {why}"),
            Self::Python { doing, traceback } => write!(f, "cannot {doing}:\n{traceback}"),
            Self::NotCallable { target, class } => write!(
                f,
                "`{target}` is no app: an object of class `{class}` cannot be called"
            ),
            Self::Threads => f.write_str(
                "the app replaces Python's threads, as gevent's or eventlet's `monkey.patch_all()` does, and \
                 the host needs them: remove the call, or leave threads out of it (gevent: \
                 `monkey.patch_all(thread=False)`). Each request has a thread of its own here, and slow \
                 clients hold none",
            ),
            Self::Environ(faults) => f.write_str(&faults.join("; ")),
        }
    }
}

impl Error for LoadError {}
