//! `wsgi.input`: the request's body as a file of Python's.
//!
//! It ends where the body ends, and says `b""` from there on (`wsgi.input_terminated`). A body that
//! breaks off raises `OSError`, at every read from there on: it never looks like the end. After the call of
//! the app it is closed and raises `ValueError`, as Python's own files do.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body::Body as _;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tokio::runtime::Handle;
use vestibule_core::Body;

use crate::feed::{Cause, Feed, Taken};
use crate::progress::Progress;
use crate::wait::wait;

/// The object in the environ.
#[pyclass(frozen, module = "vestibule_wsgi")]
pub(crate) struct Input {
    /// Taken out by the thread that reads: it may have to wait, and another must not wait for it with
    /// the interpreter in its hands.
    source: Mutex<Option<Box<Source>>>,
    /// By which the body is let go of while another thread has the source.
    feed: Arc<Feed>,
    is_closed: AtomicBool,
}

struct Source {
    inlet: Inlet,
    /// What was taken from the feed and not read yet.
    buffer: Bytes,
    progress: Arc<Progress>,
    /// What the server runs on.
    runtime: Option<Handle>,
    /// Why the body has broken off.
    broke: Option<Cause>,
}

/// Where the bytes come from.
enum Inlet {
    /// Nobody has read yet.
    Unread(Body, Arc<Feed>),
    Feed {
        feed: Arc<Feed>,
        /// What fills it, when there is no runtime that does.
        filling: Option<Filling>,
    },
    Ended,
}

impl Input {
    pub(crate) fn new(body: Body, progress: Arc<Progress>, runtime: Option<Handle>) -> Self {
        let feed = Arc::new(Feed::default());
        let inlet = if body.is_end_stream() {
            Inlet::Ended
        } else {
            Inlet::Unread(body, feed.clone())
        };
        Self {
            feed,
            is_closed: AtomicBool::new(false),
            source: Mutex::new(Some(Box::new(Source {
                inlet,
                buffer: Bytes::new(),
                progress,
                runtime,
                broke: None,
            }))),
        }
    }

    /// The call has ended: lets go of the body, so that the server can look after its rest. A thread
    /// of the app's that reads on gets an exception.
    pub(crate) fn end(&self) {
        self.is_closed.store(true, SeqCst);
        self.feed.close();
        let mut slot = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = slot.as_mut() {
            source.inlet = Inlet::Ended;
            source.buffer = Bytes::new();
        }
    }

    /// Why the body has broken off, when the app was told so.
    pub(crate) fn broke(&self) -> Option<Cause> {
        let slot = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref()?.broke.clone()
    }

    fn with<T>(&self, read: impl FnOnce(&mut Source) -> PyResult<T>) -> PyResult<T> {
        if self.is_closed.load(SeqCst) {
            return Err(closed());
        }
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
        while pieces.length < size && self.fill(py, size - pieces.length)? {
            let count = self.buffer.len().min(size - pieces.length);
            pieces.push(self.buffer.split_to(count));
        }
        pieces.join(py)
    }

    fn line<'py>(&mut self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut pieces = Pieces::default();
        while pieces.length < size && self.fill(py, 1)? {
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

    /// Whether there is something in the buffer, which is filled if need be. `wanted`: how many bytes it
    /// is worth to wait for.
    fn fill(&mut self, py: Python<'_>, wanted: usize) -> PyResult<bool> {
        while self.buffer.is_empty() {
            let Some((feed, filling)) = self.inlet.open(self.runtime.as_ref()) else {
                return Ok(false);
            };
            match feed.take() {
                Taken::Piece(piece) => self.buffer = piece,
                Taken::Later => {
                    // A client that has not sent it yet is what is waited for.
                    self.progress.waits();
                    match filling {
                        None => py.detach(|| feed.wait(wanted)),
                        Some(filling) => wait(py, poll_fn(|cx| feed.poll(cx, filling, wanted))),
                    }
                    self.progress.mark();
                }
                Taken::End => return Ok(false),
                Taken::Closed => return Err(closed()),
                Taken::Broken(why) => {
                    let error = PyOSError::new_err(why.to_string());
                    self.broke = Some(why);
                    return Err(error);
                }
            }
        }
        Ok(true)
    }
}

impl Inlet {
    /// The feed; it begins to be filled.
    fn open(&mut self, runtime: Option<&Handle>) -> Option<(&Feed, Option<&mut Filling>)> {
        if let Self::Unread(body, feed) = self {
            let feed = feed.clone();
            let filling = feed.clone().fill(std::mem::take(body));
            let filling = match runtime {
                Some(runtime) => {
                    runtime.spawn(filling);
                    None
                }
                None => Some(Box::pin(filling) as Filling),
            };
            *self = Self::Feed { feed, filling };
        }
        match self {
            Self::Feed { feed, filling } => Some((feed, filling.as_mut())),
            Self::Unread(..) | Self::Ended => None,
        }
    }
}

fn closed() -> PyErr {
    PyValueError::new_err("wsgi.input is closed: the call of the app has ended")
}

type Filling = Pin<Box<dyn Future<Output = ()> + Send>>;

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
