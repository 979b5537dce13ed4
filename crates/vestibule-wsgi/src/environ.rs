//! A request's variables as the `dict` of PEP 3333.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use vestibule_environ::Environ;

use crate::file_wrapper::FileWrapper;

/// What is the same in the environ of every request, and the names that came before. Each thread has
/// its own.
pub(crate) struct Base {
    dict: Py<PyDict>,
    names: HashMap<Box<[u8]>, Py<PyString>, BuildHasherDefault<Fnv>>,
}

/// FNV-1a, which is quick for short names. Names that collide on purpose are no more than
/// [`MAX_NAMES`].
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Base {
    pub(crate) fn new(
        py: Python<'_>,
        is_multithread: bool,
        is_multiprocess: bool,
        extra: &[(String, Vec<u8>)],
    ) -> PyResult<Self> {
        let dict = PyDict::new(py);
        for (name, value) in extra {
            dict.set_item(name, latin1(py, value))?;
        }
        dict.set_item("wsgi.version", (1, 0))?;
        dict.set_item("wsgi.multithread", is_multithread)?;
        dict.set_item("wsgi.multiprocess", is_multiprocess)?;
        dict.set_item("wsgi.run_once", false)?;
        dict.set_item("wsgi.input_terminated", true)?;
        dict.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
        Ok(Self {
            dict: dict.unbind(),
            names: HashMap::default(),
        })
    }

    /// A new dict for one request. Variables without a value are left out, except for the path and the
    /// query, and `REMOTE_ADDR`: frameworks read it without asking whether it is there, and RFC 3875,
    /// section 4.1.8, wants it. It is empty for the client of a unix socket.
    pub(crate) fn dict<'py>(
        &mut self,
        py: Python<'py>,
        environ: &Environ,
    ) -> PyResult<Bound<'py, PyDict>> {
        let dict = self.dict.bind(py).copy()?;
        for (name, value) in environ.iter() {
            let may_be_empty = matches!(
                name,
                b"SCRIPT_NAME" | b"PATH_INFO" | b"QUERY_STRING" | b"REMOTE_ADDR"
            ) || name.starts_with(b"HTTP_");
            if !value.is_empty() || may_be_empty {
                dict.set_item(self.name(py, name), latin1(py, value))?;
            }
        }
        Ok(dict)
    }

    fn name<'py>(&mut self, py: Python<'py>, name: &[u8]) -> Bound<'py, PyString> {
        if let Some(known) = self.names.get(name) {
            return known.bind(py).clone();
        }
        let new = latin1(py, name);
        // Clients choose names of headers: no more are kept than a request may have.
        if self.names.len() < MAX_NAMES {
            self.names.insert(name.into(), new.clone().unbind());
        }
        new
    }
}

/// Each byte is the character of that number.
fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    if bytes.is_empty() {
        return intern!(py, "").clone();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => {
            let text: String = bytes.iter().copied().map(char::from).collect();
            PyString::new(py, &text)
        }
    }
}

const MAX_NAMES: usize = 256;
