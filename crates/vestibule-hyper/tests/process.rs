//! A server in a process of its own: its signals, its descriptors, its memory and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use vestibule_core::{Body, Request};
use vestibule_hyper::Server;

pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The process that the tests here start; what it is to be stands in the environment.
#[tokio::test]
#[ignore = "is started by the tests of this file"]
async fn server() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let millis = |name: &str, otherwise| Duration::from_millis(number(name).unwrap_or(otherwise));
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let mut server = Server::new(app)
        .lame_duck(millis("LAME_DUCK", 1000))
        .drain_timeout(millis("DRAIN", 30_000))
        .drain_delay(millis("DRAIN_DELAY", 0))
        .write_timeout(millis("WRITE_TIMEOUT", 30_000))
        .workers(number("WORKERS").unwrap_or(0) as usize);
    if std::env::var_os("UNLIMITED").is_some() {
        server = server.max_connections(None);
    }
    #[cfg(feature = "handover")]
    if std::env::var_os("HANDOVER").is_some() {
        server = server.handover();
    }
    let place = std::env::var("PLACE").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let bound = server.bind(place).await.unwrap();
    // Past the harness, which keeps what `println!` says.
    writeln!(std::io::stdout(), "at {}", bound.address()).unwrap();
    bound.run().await.unwrap();
}

async fn app(request: Request) -> Result<Body, StatusCode> {
    match request.uri().path() {
        "/" => Ok(Body::from("hello")),
        "/pid" => Ok(Body::from(std::process::id().to_string())),
        "/ready" => match vestibule_hyper::ready(request).await.0 {
            StatusCode::OK => Ok(Body::from("ready")),
            status => Err(status),
        },
        "/read" => {
            let body = request.into_body().collect(1 << 20).await;
            body.map(Body::from).map_err(|_| StatusCode::BAD_REQUEST)
        }
        "/file" => Ok(file()),
        "/hold" => {
            let _held = request;
            std::future::pending().await
        }
        "/short" => Ok(Body::from("hello").with_length(9)),
        "/fails" => {
            let (mut sender, body) = Body::channel();
            sender.abort("the disk is gone");
            Ok(body)
        }
        "/events" => {
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move {
                while sender.send("data: tick\n\n").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            Ok(body)
        }
        _ => Err(StatusCode::NOT_FOUND),
    }
}

/// 64 MiB in pieces of 32 KiB, made when they are asked for.
fn file() -> Body {
    let (mut sender, body) = Body::channel();
    tokio::spawn(async move {
        for _ in 0..2048 {
            if sender.send(vec![b'x'; 32 * 1024]).await.is_err() {
                return;
            }
        }
        sender.finish();
    });
    body
}

/// A process that serves, until it is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Process {
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        Self::with_shell("", environment)
    }

    /// How many descriptors it has open.
    fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.id());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// Waits until it has no more open than so many.
    async fn comes_back_to(&self, most: usize) {
        let begun = Instant::now();
        while self.descriptors() > most {
            let open = self.descriptors();
            assert!(begun.elapsed() < PATIENCE, "{open}, not {most}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts it from a shell that does something before.
    pub(crate) fn with_shell(before: &str, environment: &[(&str, &str)]) -> Self {
        let script = format!("{before}\nexec \"$0\" \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .args(["process::server", "--exact", "--ignored"])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some((_, address)) = line.trim_end().split_once("at ")
                && let Ok(address) = address.parse()
            {
                break address;
            }
        };
        // What else it says is nobody's business, and must not block it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self {
            child,
            address,
            stderr,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    pub(crate) fn signal(&self, name: &str) {
        kill(name, self.id());
    }

    /// Waits until it has said something.
    pub(crate) fn until_said(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(
                self.stderr.read_line(&mut line).unwrap() > 0,
                "it has ended"
            );
        }
    }

    /// How it ended, and what it said that was not heard yet.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }

    /// Its resident memory in KiB: now, and the most that it ever was.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.split_whitespace().next());
            value.unwrap().parse().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// The CPU time that it took.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // After the name, which may have spaces: the 12th and 13th, in hundredths of a second.
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn kill(name: &str, process: u32) {
    let command = format!("kill -{name} {process}");
    let status = Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(status.success(), "{command}");
}

/// A connection whose reads do not last for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One request on a connection: the body, and whether the server closes after it.
pub(crate) fn ask(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<(String, bool)> {
    stream.write_all(request)?;
    answer(stream)
}

fn answer(stream: &mut TcpStream) -> std::io::Result<(String, bool)> {
    let mut read = Vec::new();
    let mut some = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
                rest.split("\r\n").next().unwrap().parse().unwrap()
            });
            if body.len() >= length {
                let status = head.split(' ').nth(1).unwrap_or_default();
                let closes = head.contains("connection: close");
                return Ok((format!("{status} {body}"), closes));
            }
        }
        let count = stream.read(&mut some)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&some[..count]);
    }
}

/// As long as a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// F11. Half of the clients ask all the time; the other half send their request when the drain has begun.
#[test]
fn faults_145_a_drain_under_load_loses_nothing() {
    for workers in ["0", "2"] {
        // A window that is long enough for a machine that does much else.
        let mut server = Process::start(&[("WORKERS", workers), ("LAME_DUCK", "10000")]);
        let (answered, unanswered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut idle: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for stream in &mut idle {
            assert_eq!(ask(stream, GET).unwrap(), ("200 hello".to_owned(), false));
        }
        std::thread::scope(|scope| {
            for _ in 0..20 {
                let mut stream = server.connect();
                let (answered, unanswered) = (&answered, &unanswered);
                scope.spawn(move || {
                    loop {
                        match ask(&mut stream, GET) {
                            Ok((_, closes)) => {
                                answered.fetch_add(1, Ordering::SeqCst);
                                if closes {
                                    return;
                                }
                            }
                            Err(_) => {
                                unanswered.fetch_add(1, Ordering::SeqCst);
                                return;
                            }
                        }
                    }
                });
            }
            while answered.load(Ordering::SeqCst) < 200 && unanswered.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            server.signal("TERM");
            server.until_said("draining");
            for stream in &mut idle {
                assert_eq!(ask(stream, GET).unwrap().0, "200 hello");
            }
            // These are what the window waits for, unless they were told already.
            idle.clear();
        });
        assert_eq!(unanswered.load(Ordering::SeqCst), 0, "{workers} workers");
        let (status, said) = server.wait();
        assert!(status.success(), "{said}");
        assert!(!said.contains("cut"), "{said}");
    }
}

/// F12. What does not end by itself is cut, counted, and logged.
#[test]
fn faults_145_a_drain_ends_whatever_is_open() {
    let server = Process::start(&[("DRAIN", "500"), ("LAME_DUCK", "100")]);
    let mut half = server.connect();
    half.write_all(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        .unwrap();
    let mut slow = server.connect();
    slow.write_all(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut events = server.connect();
    events
        .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    for stream in [&mut slow, &mut events] {
        stream.read_exact(&mut [0; 100]).unwrap();
    }
    // The other two are taken; so is the half, which was there before.
    assert!(ask(&mut server.connect(), GET).is_ok());
    let begun = Instant::now();
    server.signal("TERM");
    let (status, said) = server.wait();
    assert!(status.success(), "{said}");
    assert!(
        said.contains("cut at the end of the drain aborted=3"),
        "{said}"
    );
    assert!(begun.elapsed() >= Duration::from_millis(450));
    assert!(begun.elapsed() < PATIENCE);
    // The client sees that its body is not whole.
    let mut rest = Vec::new();
    let ended = events.read_to_end(&mut rest);
    assert!(ended.is_err() || !rest.ends_with(b"0\r\n\r\n"));
}

#[test]
fn faults_145_a_second_signal_ends_at_once() {
    let mut server = Process::start(&[]);
    let mut events = server.connect();
    events
        .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    events.read_exact(&mut [0; 100]).unwrap();
    server.signal("TERM");
    server.until_said("draining");
    let begun = Instant::now();
    server.signal("INT");
    assert!(server.wait().0.success());
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_load_balancer_hears_of_the_drain_before_it_begins() {
    let server = Process::start(&[("DRAIN_DELAY", "60000")]);
    let ready = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(ask(&mut server.connect(), ready).unwrap().0, "200 ready");
    server.signal("TERM");
    // New connections are still taken.
    let begun = Instant::now();
    while !ask(&mut server.connect(), ready)
        .unwrap()
        .0
        .starts_with("503 ")
    {
        assert!(begun.elapsed() < PATIENCE, "it never drains");
    }
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    server.signal("TERM");
    assert!(server.wait().0.success());
}

/// F14. No descriptor is left: the loop waits without work, and goes on when there are some.
#[test]
fn faults_66_and_67_without_descriptors() {
    let server = Process::with_shell("ulimit -n 64", &[("UNLIMITED", "1")]);
    let crowd: Vec<_> = (0..200).map(|_| server.connect()).collect();
    let (begun, before) = (Instant::now(), server.cpu());
    std::thread::sleep(Duration::from_secs(2));
    let (took, used) = (begun.elapsed(), server.cpu() - before);
    // A busy loop would take all of it.
    assert!(used < took / 5, "{used:?} in {took:?}");
    drop(crowd);
    let begun = Instant::now();
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let served = begun.elapsed() + took;
    server.signal("TERM");
    let (status, said) = server.wait();
    assert!(status.success());
    let lines = said.matches("cannot accept connections").count();
    assert!(lines >= 1, "{said}");
    assert!(lines as u64 <= served.as_secs() + 3, "{said}");
}

/// Three of four calls of accept4(2) fail, each time in another way: a library in front of the C library's
/// sees to that. Everybody is served all the same.
#[test]
fn faults_67_errors_of_accept_cost_no_connection() {
    let place = std::env::temp_dir().join(format!("vestibule-accept-{}", std::process::id()));
    let (source, library) = (place.with_extension("c"), place.with_extension("so"));
    std::fs::write(&source, FAILING_ACCEPT).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("cc builds the library: install the Debian package `gcc`");
    assert!(built.success());
    let begun = Instant::now();
    let server = Process::start(&[("LD_PRELOAD", library.to_str().unwrap())]);
    for _ in 0..60 {
        assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    }
    server.signal("TERM");
    let (status, said) = server.wait();
    assert!(status.success());
    let lines = said.matches("cannot accept connections").count();
    assert!(lines >= 1, "the library is there: {said}");
    assert!(lines as u64 <= begun.elapsed().as_secs() + 2, "{said}");
    let _ = std::fs::remove_file(source);
    let _ = std::fs::remove_file(library);
}

const FAILING_ACCEPT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

static const int errors[] = {
    ECONNABORTED, EPROTO, EMFILE, ENETDOWN, ENFILE, EINTR, ENOBUFS, EPERM, ENOMEM, EHOSTUNREACH, EOPNOTSUPP,
};

int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags) {
    static unsigned calls;
    unsigned call = __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
    if (call % 4 != 3) {
        errno = errors[(call - call / 4) % (sizeof errors / sizeof *errors)];
        return -1;
    }
    int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    return real(socket, address, length, flags);
}
"#;

/// 4,000 clients that connect, ask, and reset: nothing of them stays.
#[tokio::test]
async fn faults_69_connections_that_are_reset_at_once() {
    let server = Process::start(&[]);
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    let before = server.descriptors();
    for n in 0..4000 {
        let stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        stream.set_zero_linger().unwrap();
        let _ = stream.try_write(&GET[..n % GET.len()]);
    }
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    server.comes_back_to(before + 1).await;
    server.signal("TERM");
    let (status, said) = server.wait();
    assert!(status.success() && !said.contains("cut"), "{said}");
}

/// What no response can carry is said in the log: an app's mistake as an error, what failed below it as a warning.
#[test]
fn faults_42_and_113_are_logged() {
    let server = Process::start(&[]);
    for path in ["/short", "/fails"] {
        let mut stream = server.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    server.signal("TERM");
    let (_, said) = server.wait();
    for (level, uri, why) in [
        ("ERROR", "/short", "the body has 5 bytes, its length says 9"),
        ("WARN", "/fails", "the disk is gone"),
    ] {
        let is_it = |line: &&str| {
            [level, uri, "the response is cut: "]
                .iter()
                .all(|part| line.contains(part))
        };
        let lines: Vec<_> = said.lines().filter(is_it).collect();
        assert!(matches!(lines[..], [line] if line.contains(why)), "{said}");
    }
}

/// Of all the bad requests nothing is left behind: no descriptor, and no task that the end would wait for.
#[tokio::test]
async fn faults_1_to_36_leave_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Process::start(&[]);
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    let before = server.descriptors();
    let mut open = Vec::new();
    for case in crate::requests::all() {
        let stream = tokio::net::TcpStream::connect(server.address).await;
        let mut stream = stream.unwrap();
        // Half of them wait for what comes; the others have gone by then.
        let _ = stream.write_all(case.request.as_bytes()).await;
        if open.len() % 2 == 0 {
            stream.shutdown().await.unwrap();
            let read = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|it| it > 0) {} };
            tokio::time::timeout(PATIENCE, read).await.expect(case.name);
        }
        open.push(stream);
    }
    assert!(open.len() > 100, "{}", open.len());
    drop(open);
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    server.comes_back_to(before + 1).await;
    server.signal("TERM");
    let (status, said) = server.wait();
    assert!(status.success() && !said.contains("cut"), "{said}");
    assert!(!said.contains("panic"), "{said}");
}

/// By default the server takes no more connections than it has descriptors for, so that it never gets there.
#[test]
fn connections_are_bounded_by_descriptors() {
    let server = Process::with_shell("ulimit -n 64", &[]);
    let mut crowd: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for stream in &mut crowd {
        stream.write_all(GET).unwrap();
    }
    // Each is served when another one is gone.
    for mut stream in crowd {
        assert_eq!(answer(&mut stream).unwrap().0, "200 hello");
    }
    server.signal("TERM");
    let (_, said) = server.wait();
    assert!(!said.contains("cannot accept"), "{said}");
}
