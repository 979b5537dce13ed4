//! A FastCGI client: an app that sends its requests to a responder such as PHP-FPM.

use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use http::{Method, StatusCode, header};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use vestibule_core::{
    App, Body, BodyError, BodySender, BoxError, Failure, FailureKind, IntoResponse, Mount, Outline,
    PathError, PathView, Peer, Request, Response,
};
use vestibule_environ::{Environ, Head, HeadError};
use vestibule_fields::forwarding;

use crate::exchange::{Incoming, Malformed, printable};
use crate::fastcgi::{self, Record, next, push_pair, push_record, push_records};

/// An app that sends its requests to a FastCGI responder: PHP-FPM or another one.
///
/// Each request uses its own connection; both bodies stream. The request is sent as the variables
/// of [`Environ`]. The response is a 502 if the responder cannot be reached, violates the protocol,
/// or ends before the head of its response. It is a 504 if the responder sends nothing for the
/// [`timeout`](Self::timeout). If the responder fails later, the body ends with an error. Its
/// STDERR is logged.
///
/// Request fields of proxies, such as `X-Forwarded-For` and `X-Real-IP`, are removed: the client
/// may have written them. The list is in `vestibule_fields::forwarding`. Behind a proxy, use this
/// app inside `ProxyHeaders` of `vestibule-security`, which checks these fields; trusted fields
/// then reach the responder. The responder always gets the client's address in `REMOTE_ADDR`, the
/// scheme in `HTTPS` and the host in `HTTP_HOST`.
///
/// ```no_run
/// use vestibule_core::Stack;
/// use vestibule_gateway::FastCgi;
///
/// let blog = FastCgi::new("unix:/run/php/php-fpm.sock").scripts("/srv/blog", "php");
/// let app = Stack::new().app(blog);
/// ```
#[doc(alias("php", "php-fpm"))]
#[derive(Clone, Debug)]
pub struct FastCgi {
    address: String,
    scripts: Option<Scripts>,
    params: Vec<(String, String)>,
    timeout: Duration,
}

#[derive(Clone, Debug)]
struct Scripts {
    root: PathBuf,
    extension: String,
    fallback: Option<String>,
}

impl FastCgi {
    /// Connects to the responder at `address`: `127.0.0.1:9000`, or `unix:/run/php/php-fpm.sock`.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            scripts: None,
            params: Vec::new(),
            timeout: Duration::from_secs(60),
        }
    }

    /// Runs the scripts of a directory, as PHP-FPM does: `/a/b.php/c` is the file `a/b.php` with
    /// `/c` as `PATH_INFO`, and a path that ends in `/` is its `index.php`.
    ///
    /// Sends a request only for an existing file with that extension. Other paths are a 404, an
    /// ambiguous path is a 400, and a body without a length is a 411, since PHP requires one.
    #[must_use]
    pub fn scripts(mut self, root: impl Into<PathBuf>, extension: impl Into<String>) -> Self {
        let root = root.into();
        self.scripts = Some(Scripts {
            // The responder has its own working directory.
            root: std::path::absolute(&root).unwrap_or(root),
            extension: extension.into(),
            fallback: None,
        });
        self
    }

    /// Sets a script of the root, such as `index.php`, for paths without their own script, instead
    /// of a 404. Call it after [`scripts`](Self::scripts); otherwise it has no effect.
    #[must_use]
    pub fn fallback(mut self, name: impl Into<String>) -> Self {
        if let Some(scripts) = &mut self.scripts {
            scripts.fallback = Some(name.into());
        }
        self
    }

    /// Adds a parameter to every request.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Sets the maximum time without output of the responder. Defaults to 60 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }
}

impl App for FastCgi {
    async fn call(&self, mut request: Request) -> Response {
        let is_checked = Peer::of(&request).is_some_and(Peer::is_proxied);
        if !is_checked {
            forwarding::clear(request.headers_mut());
        }
        let script = match &self.scripts {
            None => None,
            Some(scripts) => match scripts.find(&request).await {
                Ok(Some(script)) => Some(script),
                Ok(None) => return StatusCode::NOT_FOUND.into_response(),
                Err(error) => return error.into_response(),
            },
        };
        let method = request.method().clone();
        let mut environ = Environ::from(request);
        let body = environ.take_input();
        if let (None, Some(length)) = (environ.get("CONTENT_LENGTH"), body.size_hint().exact()) {
            environ.set("CONTENT_LENGTH", length.to_string());
        }
        if let Some(script) = script {
            if environ.get("CONTENT_LENGTH").is_none() {
                return StatusCode::LENGTH_REQUIRED.into_response();
            }
            script.describe(&mut environ);
        }
        for (name, value) in &self.params {
            environ.set(name, value.as_bytes());
        }
        self.ask(&method, environ, body).await
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("at", &self.address);
    }
}

impl FastCgi {
    async fn ask(&self, method: &Method, environ: Environ, body: Body) -> Response {
        let connected = tokio::time::timeout(self.timeout, connect(&self.address)).await;
        let io = match connected {
            Ok(Ok(io)) => io,
            Ok(Err(error)) => return refusal(ResponderError::Connect(error)),
            Err(_) => return refusal(ResponderError::Silent),
        };
        let (sender, output) = Body::channel();
        let (head, answered) = oneshot::channel();
        // The task ends when the response is dropped, and closes the connection: the responder sees
        // that the client is gone.
        tokio::spawn(converse(io, environ, body, head, sender, self.timeout));
        let head = match answered.await {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => return refusal(error),
            Err(_) => return refusal(ResponderError::Ended),
        };
        respond(method, head, output)
    }
}

fn respond(method: &Method, head: Head, output: Body) -> Response {
    let has_no_bytes = *method == Method::HEAD
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    let told = head.headers.get(header::CONTENT_LENGTH);
    let told = told.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = match (has_no_bytes, told) {
        (true, _) => output.without_bytes(),
        (false, Some(length)) => output.with_length(length),
        (false, None) => output,
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// The reason why a responder did not respond.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResponderError {
    /// It cannot be reached.
    Connect(io::Error),
    /// It sent nothing for too long.
    Silent,
    /// It ended before the head of its response, or in the middle of the body.
    Ended,
    /// It refused the request, with `FCGI_OVERLOADED` or another protocol status.
    Refused(u8),
    /// Its exit status was not 0.
    Failed(u32),
    /// The head of its response is invalid.
    Head(HeadError),
    /// It violated the protocol, or the connection failed.
    Broken(BoxError),
    /// The body of the request failed before the responder had received it.
    Input(BodyError),
}

impl fmt::Display for ResponderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "the responder cannot be reached: {error}"),
            Self::Silent => f.write_str("the responder sent nothing for too long"),
            Self::Ended => f.write_str("the responder ended before its response did"),
            Self::Refused(status) => write!(f, "the responder refused, with status {status}"),
            Self::Failed(status) => write!(f, "the responder ended with status {status}"),
            Self::Head(error) => error.fmt(f),
            Self::Broken(error) => write!(f, "the connection to the responder failed: {error}"),
            Self::Input(error) => error.fmt(f),
        }
    }
}

impl Error for ResponderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Head(error) => Some(error),
            Self::Broken(error) => Some(&**error),
            Self::Input(error) => Some(error.get_ref()),
            _ => None,
        }
    }
}

/// Returns a 502; a 504 for a timeout; a 400 when the request failed.
fn refusal(error: ResponderError) -> Response {
    let (kind, status) = match error {
        ResponderError::Silent => (FailureKind::Upstream, StatusCode::GATEWAY_TIMEOUT),
        ResponderError::Input(_) => (FailureKind::Request, StatusCode::BAD_REQUEST),
        _ => (FailureKind::Upstream, StatusCode::BAD_GATEWAY),
    };
    Failure::new(error)
        .kind(kind)
        .status(status)
        .into_response()
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

async fn connect(address: &str) -> io::Result<Box<dyn Io>> {
    Ok(match address.strip_prefix("unix:") {
        Some(path) => Box::new(UnixStream::connect(path).await?),
        None => {
            let stream = TcpStream::connect(address).await?;
            let _ = stream.set_nodelay(true);
            Box::new(stream)
        }
    })
}

type Answered = oneshot::Sender<Result<Head, ResponderError>>;

/// Sends the request and reads the response at the same time, until one side ends.
async fn converse(
    io: impl Io,
    environ: Environ,
    body: Body,
    head: Answered,
    sender: BodySender,
    limit: Duration,
) {
    let (read, write) = tokio::io::split(io);
    let mut reading = Reading {
        incoming: Incoming::new(read),
        head: Some(head),
        sender,
        limit,
    };
    let writes = async {
        match send(write, environ, body).await {
            Err(error) => error,
            // A responder can respond before it has read the whole body.
            Ok(_) => std::future::pending().await,
        }
    };
    let done = tokio::select! {
        done = reading.run() => done,
        error = writes => Err(ResponderError::Input(error)),
    };
    match (done, reading.head.take()) {
        (Ok(()), _) => reading.sender.finish(),
        // The app may have been dropped; the error is then discarded.
        (Err(error), Some(head)) => drop(head.send(Err(error))),
        (Err(error), None) => reading.sender.abort(error),
    }
}

/// Writes the request. Returns whether the responder has received all of it.
///
/// # Errors
///
/// Fails when the body of the request fails.
async fn send(
    mut io: impl AsyncWrite + Unpin,
    environ: Environ,
    mut body: Body,
) -> Result<bool, BodyError> {
    let mut buffer = Vec::new();
    let begin = [0, fastcgi::RESPONDER as u8, 0, 0, 0, 0, 0, 0];
    push_record(&mut buffer, fastcgi::BEGIN_REQUEST, ID, &begin);
    let mut params = Vec::new();
    for (name, value) in environ.iter() {
        push_pair(&mut params, name, value);
    }
    push_records(&mut buffer, fastcgi::PARAMS, ID, &params);
    push_record(&mut buffer, fastcgi::PARAMS, ID, &[]);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            push_records(&mut buffer, fastcgi::STDIN, ID, &data);
            if io.write_all(&buffer).await.is_err() {
                return Ok(false);
            }
            buffer.clear();
        }
    }
    push_record(&mut buffer, fastcgi::STDIN, ID, &[]);
    Ok(io.write_all(&buffer).await.is_ok() && io.flush().await.is_ok())
}

/// The state of a response that is being read.
struct Reading<R> {
    incoming: Incoming<R>,
    /// The receiver of the head, until the head is complete.
    head: Option<Answered>,
    sender: BodySender,
    limit: Duration,
}

impl<R: AsyncRead + Unpin> Reading<R> {
    /// Reads to the end of the response. Later bytes are discarded.
    async fn run(&mut self) -> Result<(), ResponderError> {
        let mut start = BytesMut::new();
        let mut complaints = 0;
        loop {
            let record = self.record().await?;
            match (record.kind, record.id) {
                (fastcgi::STDOUT, ID) => self.output(&mut start, &record).await?,
                (fastcgi::STDERR, ID) => complaints = complain(&record, complaints),
                (fastcgi::END_REQUEST, ID) => return self.end(&record),
                // Management records; this client sends no queries.
                (_, 0) => {}
                _ => {
                    let text = "the responder sent a record for another request";
                    return Err(ResponderError::Broken(Malformed::Protocol(text).into()));
                }
            }
        }
    }

    /// Returns the next record; an error when the receiver of the response is gone.
    async fn record(&mut self) -> Result<Record, ResponderError> {
        let record = tokio::time::timeout(self.limit, next(&mut self.incoming));
        let record = match &mut self.head {
            Some(head) => tokio::select! {
                record = record => record,
                () = head.closed() => return Err(ResponderError::Ended),
            },
            None => tokio::select! {
                record = record => record,
                () = self.sender.closed() => return Err(ResponderError::Ended),
            },
        };
        match record {
            Err(_) => Err(ResponderError::Silent),
            Ok(Err(error)) => Err(ResponderError::Broken(error)),
            Ok(Ok(None)) => Err(ResponderError::Ended),
            Ok(Ok(Some(record))) => Ok(record),
        }
    }

    async fn output(
        &mut self,
        start: &mut BytesMut,
        record: &Record,
    ) -> Result<(), ResponderError> {
        let data = match self.head.take() {
            None => record.content.clone(),
            Some(waiting) => {
                start.extend_from_slice(&record.content);
                match Head::parse(start) {
                    Err(error) => {
                        self.head = Some(waiting);
                        return Err(ResponderError::Head(error));
                    }
                    Ok(None) => {
                        self.head = Some(waiting);
                        return Ok(());
                    }
                    Ok(Some((head, length))) => {
                        // The receiver may be gone: the body is then dropped as well.
                        let _ = waiting.send(Ok(head));
                        start.split_off(length).freeze()
                    }
                }
            }
        };
        match data.is_empty() {
            true => Ok(()),
            false => self
                .sender
                .send(data)
                .await
                .map_err(|_| ResponderError::Ended),
        }
    }

    fn end(&self, record: &Record) -> Result<(), ResponderError> {
        let [a, b, c, d, status, ..] = *record.content else {
            let text = "the end record of the request is too short";
            return Err(ResponderError::Broken(Malformed::Protocol(text).into()));
        };
        match (u32::from_be_bytes([a, b, c, d]), status) {
            (0, 0) if self.head.is_none() => Ok(()),
            (0, 0) => Err(ResponderError::Ended),
            (status, 0) => Err(ResponderError::Failed(status)),
            (_, status) => Err(ResponderError::Refused(status)),
        }
    }
}

/// Logs the errors of a responder up to a limit. Returns the number of bytes so far.
fn complain(record: &Record, before: usize) -> usize {
    let text = String::from_utf8_lossy(&record.content);
    let lines = text.lines().filter(|line| !line.is_empty());
    if before < MAX_COMPLAINTS {
        for line in lines {
            tracing::error!(target: "vestibule", "error of the responder: {}", printable(line));
        }
    }
    before.saturating_add(record.content.len())
}

/// A script, and its location in the path.
#[derive(Debug, PartialEq, Eq)]
struct Script {
    root: PathBuf,
    file: PathBuf,
    /// `SCRIPT_NAME` and `PATH_INFO`, decoded.
    name: Vec<u8>,
    info: Vec<u8>,
}

impl Script {
    fn describe(&self, environ: &mut Environ) {
        environ.set("DOCUMENT_ROOT", self.root.as_os_str().as_bytes());
        environ.set("SCRIPT_FILENAME", self.file.as_os_str().as_bytes());
        environ.set("SCRIPT_NAME", &*self.name);
        environ.set("PATH_INFO", &*self.info);
        // PHP requires it when it was built as a CGI program.
        environ.set("REDIRECT_STATUS", "200");
    }
}

impl Scripts {
    /// Returns the script of a request, if there is one.
    async fn find(&self, request: &Request) -> Result<Option<Script>, PathError> {
        let view = PathView::of(request)?;
        let prefix = PathView::parse(Mount::of(request).map_or("", Mount::prefix))?;
        let prefix: Vec<_> = prefix.segments().map(Cow::into_owned).collect();
        let rest: Vec<_> = view.segments().map(Cow::into_owned).collect();
        let is_open = view.has_trailing_slash() || view.is_root();
        let named = self.named(&prefix, &rest, is_open);
        let fallback = self.fallback.as_ref().map(|name| Script {
            root: self.root.clone(),
            file: self.root.join(name),
            name: [&*path(&prefix, false), b"/", name.as_bytes()].concat(),
            info: path(&rest, is_open),
        });
        // A look-up of a file may wait for the disk.
        let found = tokio::task::spawn_blocking(|| {
            let mut candidates = named.into_iter().chain(fallback);
            candidates.find(|script| script.file.is_file())
        });
        Ok(found.await.ok().flatten())
    }

    /// Returns the script in a path: the first segment with the extension, or the index of a path
    /// that ends in a slash.
    fn named(&self, prefix: &[Vec<u8>], rest: &[Vec<u8>], is_open: bool) -> Option<Script> {
        let extension = self.extension.as_bytes();
        let dotted = [b".", extension].concat();
        let mut script = rest.to_vec();
        let mut info = Vec::new();
        match rest.iter().position(|segment| segment.ends_with(&dotted)) {
            Some(at) => {
                info = path(&script.split_off(at.saturating_add(1)), is_open);
            }
            None if is_open => script.push([b"index.", extension].concat()),
            None => return None,
        }
        // The file system would read a slash within a segment as a separator.
        if script.iter().any(|segment| segment.contains(&b'/')) {
            return None;
        }
        let file = script.iter().map(|segment| OsStr::from_bytes(segment));
        Some(Script {
            root: self.root.clone(),
            file: self.root.join(file.collect::<PathBuf>()),
            name: [path(prefix, false), path(&script, false)].concat(),
            info,
        })
    }
}

/// Joins segments to `/a/b`, or to `/a/b/` when `is_open`.
fn path(segments: &[Vec<u8>], is_open: bool) -> Vec<u8> {
    let mut path: Vec<u8> = segments
        .iter()
        .flat_map(|segment| [b"/", &**segment].concat())
        .collect();
    path.extend_from_slice(if is_open { b"/" } else { b"" });
    path
}

/// The id of the only request of a connection.
const ID: u16 = 1;

/// Maximum number of bytes of error output to log for one request.
const MAX_COMPLAINTS: usize = 64 * 1024;
