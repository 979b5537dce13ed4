//! `wsgi.file_wrapper`: a file that is sent by the server, not by Python.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use vestibule_core::{Body, FilePart};

/// The class in the environ: an iterable over the blocks of a file, which the server knows when it is
/// what the app returns.
#[pyclass(frozen, module = "vestibule_wsgi")]
pub(crate) struct FileWrapper {
    file: Py<PyAny>,
    block: i64,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, block=65536, /))]
    const fn new(filelike: Py<PyAny>, block: i64) -> Self {
        Self {
            file: filelike,
            block,
        }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let data = self.file.bind(py);
        let data = data.call_method1(intern!(py, "read"), (self.block,))?;
        match data.is_truthy()? {
            true => Ok(data),
            false => Err(PyStopIteration::new_err(())),
        }
    }

    /// It has `close` if the file has (PEP 3333, "Optional Platform-Specific File Handling"), and so for the
    /// methods by which libraries find a range of a file without reading all before it.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match name {
            "close" | "fileno" | "read" | "readable" | "seek" | "seekable" | "tell" => {
                self.file.bind(py).getattr(name)
            }
            _ => Err(pyo3::exceptions::PyAttributeError::new_err(name.to_owned())),
        }
    }
}

impl FileWrapper {
    /// The file from its current position on as a body, when it is a regular file that Python reads
    /// without changing a byte; otherwise it has to be read by Python.
    ///
    /// It is opened anew, by way of its descriptor: so its position is our own, and Python may close
    /// it. `most` is the response's `Content-Length`.
    pub(crate) fn body(&self, py: Python<'_>, most: Option<u64>) -> Option<Body> {
        let file = self.file.bind(py);
        if !is_plain(file).unwrap_or(false) {
            return None;
        }
        let start: u64 = file
            .call_method0(intern!(py, "tell"))
            .ok()?
            .extract()
            .ok()?;
        let number: i32 = file
            .call_method0(intern!(py, "fileno"))
            .ok()?
            .extract()
            .ok()?;
        let name: Option<PathBuf> = file.getattr("name").ok().and_then(|it| it.extract().ok());
        py.detach(|| {
            let opened = File::open(format!("/proc/self/fd/{number}")).ok()?;
            let whole = opened.metadata().ok().filter(|data| data.is_file())?.len();
            let length = whole.saturating_sub(start);
            let length = most.map_or(length, |most| most.min(length));
            let part = name.map(|name| FilePart::new(name, start, length));
            let body = Body::new(FileBody::new(opened, start, length).ok()?);
            Some(match part {
                Some(part) if length > 0 => body.with_file(part),
                _ => body,
            })
        })
    }
}

/// Whether it is one of Python's own binary files, and no other kind of file is below: a
/// `GzipFile` has a `fileno` as well, of a file with other bytes.
fn is_plain(file: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = file.py();
    let io = py.import(intern!(py, "io"))?;
    let is = |it: &Bound<'_, PyAny>, name: &str| -> PyResult<bool> {
        Ok(it.get_type().is(&io.getattr(name)?))
    };
    if is(file, "FileIO")? {
        return Ok(true);
    }
    let is_buffered = is(file, "BufferedReader")? || is(file, "BufferedRandom")?;
    Ok(is_buffered && is(&file.getattr("raw")?, "FileIO")?)
}

/// Reads a piece each time that it is asked for one, on a thread that may wait for a disk.
pub(crate) struct FileBody {
    file: Arc<File>,
    left: u64,
    reading: Option<Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>>,
}

impl FileBody {
    pub(crate) fn new(mut file: File, start: u64, length: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(start))?;
        Ok(Self {
            file: Arc::new(file),
            left: length,
            reading: None,
        })
    }

    fn read(&self) -> Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>> {
        let (file, size) = (self.file.clone(), self.left.min(PIECE));
        let read = move || {
            let mut piece = Vec::with_capacity(size as usize);
            (&*file).take(size).read_to_end(&mut piece)?;
            match piece.is_empty() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(Bytes::from(piece)),
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => Box::pin(async move {
                let done = runtime.spawn_blocking(read).await;
                done.unwrap_or_else(|error| Err(io::Error::other(error)))
            }),
            Err(_) => Box::pin(async move { read() }),
        }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            self.reading = Some(self.read());
        }
        let read = match &mut self.reading {
            Some(reading) => ready!(reading.as_mut().poll(cx)),
            None => return Poll::Ready(None),
        };
        self.reading = None;
        match read {
            Ok(piece) => {
                self.left -= piece.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => {
                self.left = 0;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// How much is read at a time, in bytes.
const PIECE: u64 = 128 * 1024;
