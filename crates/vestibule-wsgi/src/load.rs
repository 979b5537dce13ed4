//! `module:callable`, found as gunicorn's users expect.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyModule;

use crate::error::LoadError;

/// Imports the module and finds the app in it. What follows the colon is looked up or called in the
/// module: a name, `package.app`, `create_app()`, `create_app("production")`.
pub(crate) fn load(py: Python<'_>, target: &str) -> Result<Py<PyAny>, LoadError> {
    let (module, name) = match target.split_once(':') {
        Some((module, name)) => (module, Some(name.trim()).filter(|name| !name.is_empty())),
        None => (target, None),
    };
    let module = py
        .import(module)
        .map_err(|error| LoadError::failed(py, format!("import `{module}`"), &error))?;
    let app = match name {
        Some(name) => find(py, &module, name),
        None => default(&module),
    };
    let app = app.map_err(|error| LoadError::failed(py, format!("find `{target}`"), &error))?;
    match app.is_callable() {
        true => Ok(app.unbind()),
        false => Err(LoadError::NotCallable {
            target: target.to_owned(),
            class: app.get_type().to_string(),
        }),
    }
}

fn find<'py>(
    py: Python<'py>,
    module: &Bound<'py, PyModule>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    if name.chars().all(|it| it.is_alphanumeric() || it == '_') {
        return module.getattr(name);
    }
    // It is the deployer's own expression, as in `create_app(debug=False)`.
    let code = std::ffi::CString::new(name)?;
    py.eval(&code, Some(&module.dict()), None)
}

fn default<'py>(module: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> {
    for name in ["application", "app"] {
        if let Some(app) = module.getattr_opt(name)? {
            return Ok(app);
        }
    }
    Err(PyAttributeError::new_err(
        "it has neither `application` nor `app`; name the app, as in `module:callable`",
    ))
}
