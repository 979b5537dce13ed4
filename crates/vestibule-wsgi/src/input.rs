//! `wsgi.input`: the request's body as a file of Python's.
//!
//! It ends where the body ends, and says `b""` from there on (`wsgi.input_terminated`). A body that
//! breaks off raises `OSError`, at every read from there on: it never looks like the end.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tokio::runtime::Handle;
use vestibule_core::Body;

use crate::progress::Progress;
use crate::wait::wait;

/// The object in the environ.
#[pyclass(frozen, module = "vestibule_wsgi")]
pub(crate) struct Input {
    /// Taken out by the thread that reads: it may have to wait, and another must not wait for it with
    /// the interpreter in its hands.
    source: Mutex<Option<Box<Source>>>,
}

struct Source {
    body: Body,
    /// What was received and not read yet.
    buffer: Bytes,
    state: State,
    progress: Arc<Progress>,
    /// The server's body may need its timers.
    runtime: Option<Handle>,
}

enum State {
    Open,
    Ended,
    Broken(String),
}

impl Input {
    pub(crate) fn new(body: Body, progress: Arc<Progress>, runtime: Option<Handle>) -> Self {
        Self {
            source: Mutex::new(Some(Box::new(Source {
                body,
                buffer: Bytes::new(),
                state: State::Open,
                progress,
                runtime,
            }))),
        }
    }

    /// Lets go of the body, so that the server can look after its rest.
    pub(crate) fn end(&self) {
        let mut slot = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = slot.as_mut() {
            source.body = Body::empty();
            source.state = State::Ended;
            source.buffer = Bytes::new();
        }
    }

    fn with<T>(&self, read: impl FnOnce(&mut Source) -> PyResult<T>) -> PyResult<T> {
        let lock = || self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = lock().take();
        let Some(mut source) = taken else {
            return Err(PyRuntimeError::new_err(
                "wsgi.input is being read by another thread",
            ));
        };
        let got = read(&mut source);
        *lock() = Some(source);
        got
    }
}

#[pymethods]
impl Input {
    /// At most `size` bytes, fewer only at the end; all that is left when `size` is negative or None.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(|source| source.read(py, limit(size)))
    }

    /// A line with its end, or at most `size` bytes of it.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(|source| source.line(py, limit(size)))
    }

    /// The lines that are left; with `hint`, no further ones once they have so many bytes.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let lines = PyList::empty(py);
        let enough = limit(hint.filter(|hint| *hint > 0));
        let mut bytes = 0;
        while bytes < enough {
            let line = self.with(|source| source.line(py, usize::MAX))?;
            let length = line.as_bytes().len();
            if length == 0 {
                break;
            }
            bytes += length;
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let line = self.with(|source| source.line(py, usize::MAX))?;
        match line.as_bytes() {
            b"" => Err(PyStopIteration::new_err(())),
            _ => Ok(line),
        }
    }
}

impl Source {
    fn read<'py>(&mut self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut pieces = Pieces::default();
        while pieces.length < size && self.fill(py)? {
            let count = self.buffer.len().min(size - pieces.length);
            pieces.push(self.buffer.split_to(count));
        }
        pieces.join(py)
    }

    fn line<'py>(&mut self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut pieces = Pieces::default();
        while pieces.length < size && self.fill(py)? {
            let window = &self.buffer[..self.buffer.len().min(size - pieces.length)];
            let end = window.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(window.len(), |end| end + 1);
            pieces.push(self.buffer.split_to(count));
            if end.is_some() {
                break;
            }
        }
        pieces.join(py)
    }

    /// Whether there is something in the buffer, which is filled if need be.
    fn fill(&mut self, py: Python<'_>) -> PyResult<bool> {
        while self.buffer.is_empty() {
            match &self.state {
                State::Open => {}
                State::Ended => return Ok(false),
                State::Broken(error) => return Err(PyOSError::new_err(error.clone())),
            }
            // A client that has not sent it yet is what is waited for.
            self.progress.waits();
            let (body, runtime) = (&mut self.body, &self.runtime);
            let frame = wait(py, async move {
                let mut next = std::pin::pin!(body.frame());
                std::future::poll_fn(|cx| {
                    let _runtime = runtime.as_ref().map(Handle::enter);
                    next.as_mut().poll(cx)
                })
                .await
            });
            self.progress.mark();
            match frame {
                // Trailers have no place in PEP 3333.
                Some(Ok(frame)) => self.buffer = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => self.state = State::Broken(error.to_string()),
                None => self.state = State::Ended,
            }
        }
        Ok(true)
    }
}

/// Parts of what is returned, copied once.
#[derive(Default)]
struct Pieces {
    list: Vec<Bytes>,
    length: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        self.list.push(piece);
    }

    fn join<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        if let [piece] = &self.list[..] {
            return Ok(PyBytes::new(py, piece));
        }
        PyBytes::new_with(py, self.length, |all| {
            let mut rest = all;
            for piece in &self.list {
                let (here, after) = rest.split_at_mut(piece.len());
                here.copy_from_slice(piece);
                rest = after;
            }
            Ok(())
        })
    }
}

/// Negative is no limit, as for Python's own files.
fn limit(size: Option<i64>) -> usize {
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or(usize::MAX)
}
