//! Whether this process is a copy that the app has made of the server's.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// How many forks lie between the first process and this one.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Counts forks from now on. To ask the kernel who one is costs a call each time.
pub(crate) fn count(py: Python<'_>) -> PyResult<()> {
    static COUNTED: PyOnceLock<()> = PyOnceLock::new();
    COUNTED
        .get_or_try_init(py, || {
            let options = PyDict::new(py);
            options.set_item("after_in_child", Bound::new(py, Forked)?)?;
            let os = py.import("os")?;
            os.call_method("register_at_fork", (), Some(&options))?;
            Ok(())
        })
        .copied()
}

/// The number of this process among those that came from each other by forks.
pub(crate) fn generation() -> u64 {
    FORKS.load(Relaxed)
}

/// What Python calls in a new process.
#[pyclass(frozen, module = "vestibule_wsgi")]
struct Forked;

#[pymethods]
impl Forked {
    fn __call__(&self) {
        FORKS.fetch_add(1, Relaxed);
    }
}
