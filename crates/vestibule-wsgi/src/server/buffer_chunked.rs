//! Bodies without a length, received before the app is called: `--buffer-chunked`.
//!
//! PEP 3333 knows `CONTENT_LENGTH` only, and some frameworks take a body without it for an empty one.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use vestibule::http::StatusCode;
use vestibule::http::header::{CONTENT_LENGTH, HeaderValue};
use vestibule::{App, Body, Failure, FailureKind, IntoResponse, Outline, Request, Response};

use crate::file_wrapper::FileBody;

/// Receives a request body without a length and gives it one; answers 413 to a larger body.
///
/// Up to [`MEMORY`] bytes stay in memory, more go to a file without a name in the directory for
/// temporary files (`TMPDIR`).
#[derive(Debug)]
pub(crate) struct BufferChunked<A> {
    app: A,
    max_bytes: u64,
}

impl<A: App> BufferChunked<A> {
    pub(crate) const fn new(app: A, max_bytes: u64) -> Self {
        Self { app, max_bytes }
    }
}

impl<A: App> App for BufferChunked<A> {
    async fn call(&self, mut request: Request) -> Response {
        let has_length = request.headers().contains_key(CONTENT_LENGTH);
        if has_length || request.body().is_end_stream() {
            return self.app.call(request).await;
        }
        let body = std::mem::take(request.body_mut());
        let (body, length) = match receive(body, self.max_bytes).await {
            Ok(received) => received,
            Err(response) => return response,
        };
        *request.body_mut() = body;
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
        self.app.call(request).await
    }

    fn describe(&self, outline: &mut Outline) {
        outline
            .option("max_size", format_args!("{} MiB", self.max_bytes >> 20))
            .wraps(&self.app);
    }
}

/// The whole body and its length, or the response of the error.
async fn receive(mut body: Body, max_bytes: u64) -> Result<(Body, u64), Response> {
    let (mut memory, mut file, mut length) = (BytesMut::new(), None, 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let failure = Failure::new(error).kind(FailureKind::Request);
            failure.layer("BufferChunked").into_response()
        })?;
        // Trailers have no place in PEP 3333.
        let data = frame.into_data().unwrap_or_default();
        length = length.saturating_add(data.len() as u64);
        if length > max_bytes {
            let text = "the request body is larger than --buffer-chunked allows";
            let failure = Failure::new(text).kind(FailureKind::Request);
            let failure = failure.status(StatusCode::PAYLOAD_TOO_LARGE);
            return Err(failure.layer("BufferChunked").into_response());
        }
        memory.extend_from_slice(&data);
        if memory.len() > MEMORY {
            let data = std::mem::take(&mut memory).freeze();
            file = Some(append(file, data).await.map_err(failed)?);
        }
    }
    let body = match file {
        None => Body::from(memory.freeze()),
        Some(file) => {
            let file = append(Some(file), memory.freeze()).await.map_err(failed)?;
            Body::new(FileBody::new(file, 0, length).map_err(failed)?)
        }
    };
    Ok((body, length))
}

/// A disk is full, or there is no directory for temporary files.
fn failed(error: io::Error) -> Response {
    let failure = Failure::new(error).layer("BufferChunked");
    failure.into_response()
}

/// Writes on a thread that may wait for a disk.
async fn append(file: Option<File>, data: Bytes) -> io::Result<File> {
    let write = move || {
        let mut file = match file {
            Some(file) => file,
            None => nameless()?,
        };
        file.seek(io::SeekFrom::End(0))?;
        file.write_all(&data)?;
        Ok(file)
    };
    let done = tokio::task::spawn_blocking(write).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A file that is gone when it is closed.
fn nameless() -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    loop {
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!(".vestibule-body-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        match options.open(&path) {
            // Another program has a file of this name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => {
                let file = opened?;
                std::fs::remove_file(path)?;
                return Ok(file);
            }
        }
    }
}

/// How many bytes of a body stay in memory.
const MEMORY: usize = 1024 * 1024;
