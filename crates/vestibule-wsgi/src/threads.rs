//! Whether Python's threads are still threads.

use pyo3::prelude::*;

/// Whether a library has replaced Python's threads by its own, as `monkey.patch_all()` of gevent and
/// eventlet do. Those run only while the thread that made them runs their loop, and nothing here does.
pub(crate) fn are_replaced(py: Python<'_>) -> PyResult<bool> {
    let built_in = py.import("builtins")?.getattr("len")?.get_type();
    let module = py.import("_thread")?;
    for (module, name) in [
        (&module, "start_new_thread"),
        (&py.import("threading")?, "_start_new_thread"),
    ] {
        // Python 3.13 has another name in `threading`.
        if let Some(starts) = module.getattr_opt(name)?
            && !starts.get_type().is(&built_in)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
