//! Clients that are other people's libraries, in Python, and what they are asked to talk to.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tracing_subscriber::fmt::format::FmtSpan;
use vestibule::CatchPanic;
use vestibule::compression::Compression;
use vestibule::http::StatusCode;
use vestibule::hyper::{Drained, Server, Shutdown};
use vestibule::logging::{AccessLog, Format, ServerTiming, SetRequestId, Sink, Trace};
use vestibule::prelude::*;
use vestibule::tower::from_layer;

/// How long a peer may take for its next line.
const PATIENCE: Duration = Duration::from_secs(60);

/// An app behind our server on a free port of loopback.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    stop: Cell<Option<oneshot::Sender<()>>>,
    shutdown: Arc<Mutex<Option<Shutdown>>>,
    serving: JoinHandle<Drained>,
}

impl Serving {
    /// Serves `app`.
    pub(crate) async fn start(app: impl App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = Arc::new(Mutex::new(None));
        let noted = shutdown.clone();
        let app = Stack::new()
            .around(move |request, next| {
                noted.lock().unwrap().get_or_insert_with(|| {
                    Shutdown::of(&request).expect("the server tells of its end")
                });
                async move { next.call(request).await }
            })
            .app(app);
        let server = Server::new(app).bind(listener).await.unwrap();
        let until = async { drop(stopped.await) };
        Self {
            address,
            stop: Cell::new(Some(stop)),
            shutdown,
            serving: tokio::spawn(server.run_until(until)),
        }
    }

    /// Begins the end.
    pub(crate) fn stop(&self) {
        drop(self.stop.take());
    }

    /// Waits until the server has begun to drain; it has had a request before.
    pub(crate) async fn draining(&self) {
        let shutdown = self.shutdown.lock().unwrap().clone().unwrap();
        shutdown.begun().await;
    }

    /// Waits for the end.
    pub(crate) async fn drained(self) -> Drained {
        tokio::time::timeout(PATIENCE, self.serving)
            .await
            .unwrap()
            .unwrap()
    }
}

/// The layers that a server may have around anything: log, spans, compression and limits, ours and tower-http's.
pub(crate) fn full_stack(log: Sink, format: &str) -> Stack {
    let format: Format = format.parse().unwrap();
    let limit = RequestBodyLimitLayer::new(4 << 20);
    let timeout =
        TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(60));
    Stack::new()
        .with(SetRequestId::new)
        .with(Trace::new)
        .with(move |app| AccessLog::new(app).to(log.clone()).format(format.clone()))
        .with(CatchPanic::new)
        .with(ServerTiming::new)
        .with(Compression::new)
        .with(from_layer(limit))
        .with(from_layer(timeout))
}

/// A program in Python that talks to the server and prints what it found. It is killed when a test fails.
pub(crate) struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: UnboundedReceiver<String>,
    packages: &'static str,
}

impl Peer {
    /// Starts a program of this folder. `packages` are those that it needs.
    pub(crate) fn python(name: &str, argument: &str, packages: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers");
        let mut child = Command::new("python3")
            .arg(folder.join(name))
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is a client of the tests: install Python 3");
        let (sender, lines) = unbounded_channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            packages,
        }
    }

    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
        let line = line.expect("the client prints nothing more");
        line.unwrap_or_else(|| panic!("the client has ended; it needs {}", self.packages))
    }

    /// Sends it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Waits for its end, which has to be a good one.
    pub(crate) async fn end(mut self) {
        self.stdin = None;
        let rest = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
        assert_eq!(rest.expect("the client goes on"), None);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The spans of this thread, a line for each that has ended.
pub(crate) struct Spans {
    text: Arc<Mutex<Vec<u8>>>,
    /// With a single subscriber, `tracing` asks that of the thread which meets a span first, and remembers the answer for
    /// all threads. Here this may be the thread of another test, which has none. With two it asks both.
    _second: tracing::Dispatch,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Spans {
    pub(crate) fn collect() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let written = text.clone();
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let subscriber = tracing_subscriber::fmt()
            .with_span_events(FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(move || Written(written.clone()))
            .finish();
        Self {
            text,
            _second: second,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
