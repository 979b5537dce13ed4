//! The other side of FastCGI: an app whose requests a responder answers, such as PHP-FPM.

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

/// An app whose requests are answered by a FastCGI responder: PHP-FPM, or any other.
///
/// Each request is a connection of its own; both bodies stream. The request goes out as the variables of
/// [`Environ`]. A responder that cannot be reached, that breaks the protocol, or that ends before the
/// head of its response, is a 502, and one that says nothing for a minute a 504; when it breaks off later,
/// so does the body. What it writes to its STDERR goes to our log.
///
/// Fields that proxies set, such as `X-Forwarded-For` and `X-Real-IP`, are removed from the request: the
/// client may have written them. The list is `vestibule_fields::forwarding`. Behind a proxy, put it inside
/// of `ProxyHeaders` of `vestibule-security`, which checks these fields; then those that are believed
/// reach the responder. It always reads the client's address in `REMOTE_ADDR`, the scheme in `HTTPS` and
/// the host in `HTTP_HOST`.
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
    /// Asks the responder at `address`: `127.0.0.1:9000`, or `unix:/run/php/php-fpm.sock`.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            scripts: None,
            params: Vec::new(),
            timeout: Duration::from_secs(60),
        }
    }

    /// Has the responder run the scripts of a directory, as PHP-FPM does: `/a/b.php/c` is the file
    /// `a/b.php` with `/c` as `PATH_INFO`, and a path that ends in `/` is its `index.php`.
    ///
    /// Only a file of that extension that is there is asked for. What is none is a 404, a path that could
    /// be read in two ways a 400, and a body whose length nobody told a 411, since PHP reads no other.
    #[must_use]
    pub fn scripts(mut self, root: impl Into<PathBuf>, extension: impl Into<String>) -> Self {
        let root = root.into();
        self.scripts = Some(Scripts {
            // The responder has a working directory of its own.
            root: std::path::absolute(&root).unwrap_or(root),
            extension: extension.into(),
            fallback: None,
        });
        self
    }

    /// Has a script of the root, such as `index.php`, answer where there is no other, in place of a 404.
    /// It has an effect after [`scripts`](Self::scripts).
    #[must_use]
    pub fn fallback(mut self, name: impl Into<String>) -> Self {
        if let Some(scripts) = &mut self.scripts {
            scripts.fallback = Some(name.into());
        }
        self
    }

    /// Sends one more parameter with every request.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// How long the responder may say nothing: 60 s.
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
        // It ends when the response is dropped, and so does the connection: the responder sees that
        // nobody waits for it.
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

/// Why a responder has not answered.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResponderError {
    /// It cannot be reached.
    Connect(io::Error),
    /// It said nothing for too long.
    Silent,
    /// It ended before the head of its response, or in the middle of its body.
    Ended,
    /// It refused the request, by `FCGI_OVERLOADED` or another status of the protocol.
    Refused(u8),
    /// It ended with another exit status than 0.
    Failed(u32),
    /// The head of its response is none.
    Head(HeadError),
    /// It broke the protocol, or the connection broke.
    Broken(BoxError),
    /// The body of the request broke before the responder had it.
    Input(BodyError),
}

impl fmt::Display for ResponderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "the responder cannot be reached: {error}"),
            Self::Silent => f.write_str("the responder has said nothing for too long"),
            Self::Ended => f.write_str("the responder ended before its response did"),
            Self::Refused(status) => write!(f, "the responder refused, with status {status}"),
            Self::Failed(status) => write!(f, "the responder ended with status {status}"),
            Self::Head(error) => error.fmt(f),
            Self::Broken(error) => write!(f, "the responder broke off: {error}"),
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

/// A 502, or 504 for one that says nothing, or 400 when it is the request that broke.
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

/// Sends the request and reads the response, at the same time, until one side has had enough.
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
            // A responder that has read enough answers all the same.
            Ok(_) => std::future::pending().await,
        }
    };
    let done = tokio::select! {
        done = reading.run() => done,
        error = writes => Err(ResponderError::Input(error)),
    };
    match (done, reading.head.take()) {
        (Ok(()), _) => reading.sender.finish(),
        // The app may have been dropped, and then nobody wants to know.
        (Err(error), Some(head)) => drop(head.send(Err(error))),
        (Err(error), None) => reading.sender.abort(error),
    }
}

/// Writes the request: whether the responder has taken all of it.
///
/// # Errors
///
/// When the body of the request breaks.
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

/// The response on its way in.
struct Reading<R> {
    incoming: Incoming<R>,
    /// Who waits for the head, until it is there.
    head: Option<Answered>,
    sender: BodySender,
    limit: Duration,
}

impl<R: AsyncRead + Unpin> Reading<R> {
    /// Reads to the end of the response. What comes after it is nobody's.
    async fn run(&mut self) -> Result<(), ResponderError> {
        let mut start = BytesMut::new();
        let mut complaints = 0;
        loop {
            let record = self.record().await?;
            match (record.kind, record.id) {
                (fastcgi::STDOUT, ID) => self.output(&mut start, &record).await?,
                (fastcgi::STDERR, ID) => complaints = complain(&record, complaints),
                (fastcgi::END_REQUEST, ID) => return self.end(&record),
                // Answers to questions that we have not asked.
                (_, 0) => {}
                _ => {
                    let text = "the responder answers what was not asked";
                    return Err(ResponderError::Broken(Malformed::Protocol(text).into()));
                }
            }
        }
    }

    /// The next record; an error when the response is not wanted any more.
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
                        // Dropped by whoever asked: the body is dropped as well.
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
            let text = "the end of a request is too short";
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

/// Logs what a responder complains of, up to a limit; gives how many bytes it has been so far.
fn complain(record: &Record, before: usize) -> usize {
    let text = String::from_utf8_lossy(&record.content);
    let lines = text.lines().filter(|line| !line.is_empty());
    if before < MAX_COMPLAINTS {
        for line in lines {
            tracing::error!(target: "vestibule", "the responder says: {}", printable(line));
        }
    }
    before.saturating_add(record.content.len())
}

/// A script, and where the path names it.
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
        // PHP refuses to run without it when it was built as a CGI program.
        environ.set("REDIRECT_STATUS", "200");
    }
}

impl Scripts {
    /// The script of a request, if there is one.
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
        // Looking at a file may wait for a disk.
        let found = tokio::task::spawn_blocking(|| {
            let mut candidates = named.into_iter().chain(fallback);
            candidates.find(|script| script.file.is_file())
        });
        Ok(found.await.ok().flatten())
    }

    /// The script that a path names: the first segment with the extension, or the index of what ends in a
    /// slash.
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
        // A slash within a segment would be a separator to the file system.
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

/// `/a/b` of its segments; `/a/b/` when it is open.
fn path(segments: &[Vec<u8>], is_open: bool) -> Vec<u8> {
    let mut path: Vec<u8> = segments
        .iter()
        .flat_map(|segment| [b"/", &**segment].concat())
        .collect();
    path.extend_from_slice(if is_open { b"/" } else { b"" });
    path
}

/// The only request of its connection.
const ID: u16 = 1;

/// How much of what a responder complains of is logged for one request, in bytes.
const MAX_COMPLAINTS: usize = 64 * 1024;
