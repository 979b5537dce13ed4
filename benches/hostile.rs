//! Measures the effect of slow and numerous clients on an honest one, beside nginx.
//!
//! `cargo bench --bench hostile` starts our server and nginx, each with one worker, lets slowhttptest (a
//! Debian package) open 2,000 connections in each of its four modes, and asks both meanwhile as an honest
//! client does. Then it opens one connection of each of eight slow kinds and waits until the server
//! lets go of it; it leaves the server no descriptor; it floods it with frames of HTTP/2; it restarts it
//! under load; it sends it requests that two servers could read differently; it asks it for large files
//! by HTTP/2 without a window for them; and it ends it under load. Beside the last four and the floods
//! are axum and actix-web where they can be, which it builds in `benches/peers`, and gunicorn and granian,
//! from the environment that `just wsgi-bench` makes. It takes thirteen minutes; `-- slowhttptest`,
//! `-- kept`, `-- descriptors`, `-- floods`, `-- restarts`, `-- framing`, `-- windows` and `-- drain` are
//! its parts.
//!
//! Without `--bench`, as when `cargo test` runs it: 50 connections, for seconds, and our server alone.

mod drain;
mod floods;
mod framing;
mod hand_written;
mod load;
mod peer;
mod process;

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitCode, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use floods::FLOODS;
use process::{Process, ask, root, signal};
use vestibule::files::StaticFiles;
use vestibule::hyper::Server;
use vestibule::prelude::*;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", folder, limit] => serve(Path::new(folder), limit),
        ["--echo", server] => framing::serve(server),
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            let folder = Folder::new();
            let server = Process::ours(&folder.0, "limited", "");
            for mode in MODES {
                let honest = attack(&server, mode, 50, "3");
                assert_eq!(honest.failures, 0, "{}", mode.0);
                assert!(honest.answers > 0, "{}", mode.0);
            }
            println!("an honest client beside 50 slow ones is served; `cargo bench` measures it");
        }
        _ => {
            let folder = Folder::new();
            let parts: [Part; 8] = [
                ("slowhttptest", slowhttptest),
                ("kept", kept),
                ("descriptors", descriptors),
                ("floods", floods),
                ("restarts", restarts),
                ("framing", framing::compare),
                ("windows", windows),
                ("drain", drain::compare),
            ];
            let is_named = |part: &str| arguments.iter().any(|argument| argument == part);
            let are_all = !parts.iter().any(|(name, _)| is_named(name));
            for (_, part) in parts.iter().filter(|(name, _)| are_all || is_named(name)) {
                part(&folder.0);
            }
        }
    }
    ExitCode::SUCCESS
}

/// A part of the benchmark, by its name.
type Part = (&'static str, fn(&Path));

/// slowhttptest's modes: what each is, its options, and the path that it asks for.
type Mode = (&'static str, &'static str, &'static str);

const MODES: [Mode; 4] = [
    ("slow heads (-H)", "-H -i 10 -x 24", ""),
    ("slow bodies (-B)", "-B -i 10 -s 8192 -x 10", "read"),
    ("ranges (-R)", "-R -a 1 -b 3000", "file"),
    (
        "slow readers (-X)",
        "-X -w 512 -y 1024 -n 5 -z 32 -k 3",
        "file",
    ),
];

fn slowhttptest(folder: &Path) {
    println!("2,000 connections each, and an honest client beside them\n");
    println!(
        "{:<20} {:<8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11}",
        "mode", "server", "asked", "failed", "p50, ms", "p99, ms", "max, ms", "memory, MB"
    );
    for mode in MODES {
        for (name, server) in [
            ("ours", Process::ours(folder, "limited", "")),
            ("nginx", Process::nginx(folder, "")),
        ] {
            let honest = attack(&server, mode, 2000, "15");
            println!(
                "{:<20} {name:<8} {:>9} {:>9} {:>9.1} {:>9.1} {:>9.1} {:>11.1}",
                mode.0,
                honest.answers + honest.failures,
                honest.failures,
                honest.at(0.50),
                honest.at(0.99),
                honest.at(1.0),
                server.memory("VmHWM:") as f64 / 1024.0
            );
        }
    }
}

/// How an honest client was served.
#[derive(Default)]
struct Honest {
    answers: usize,
    failures: usize,
    /// Sorted.
    times: Vec<Duration>,
}

impl Honest {
    /// Asks every 5 ms by a new connection, until it is over.
    fn beside(server: &Process, mut is_over: impl FnMut() -> bool) -> Self {
        let mut honest = Self::default();
        while !is_over() {
            let begun = Instant::now();
            match ask(server.address) {
                Ok(()) => {
                    honest.answers += 1;
                    honest.times.push(begun.elapsed());
                }
                Err(_) => honest.failures += 1,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        honest.times.sort();
        honest
    }

    /// In milliseconds.
    fn at(&self, quantile: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let at = (last as f64 * quantile).round() as usize;
        self.times
            .get(at)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// Runs slowhttptest for some seconds, and asks every 5 ms by a new connection meanwhile.
fn attack(server: &Process, (_, options, path): Mode, connections: usize, seconds: &str) -> Honest {
    let mut attacker = Command::new("slowhttptest")
        .args(options.split(' '))
        .args([
            "-c",
            &connections.to_string(),
            "-r",
            "1000",
            "-l",
            seconds,
            "-p",
            "3",
        ])
        .args(["-u", &format!("http://{}/{path}", server.address)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is the attacker: install the Debian package `slowhttptest`");
    Honest::beside(server, || {
        attacker.try_wait().expect("it is ours").is_some()
    })
}

/// Ways to keep a connection: what is sent at first, and then every second.
const SLOW: [(&str, &str, &str, f64); 8] = [
    ("no byte", "", "", 11.0),
    ("one byte", "G", "", 11.0),
    ("half a head", "GET / HTTP/1.1\r\nHost: a\r\n", "", 11.0),
    (
        "a head, a byte a second",
        "GET / HTTP/1.1\r\nX: ",
        "y",
        11.0,
    ),
    (
        "half a body",
        "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nab",
        "",
        31.0,
    ),
    (
        "a body, a byte a second",
        "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nab",
        "c",
        60.0,
    ),
    (
        "reads nothing",
        "GET /file HTTP/1.1\r\nHost: a\r\n\r\n",
        "",
        31.0,
    ),
    (
        "idle after an answer",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "",
        76.0,
    ),
];

/// Opens a connection of each slow kind at both servers, and waits until they are let go of.
fn kept(folder: &Path) {
    println!("\nseconds until the server lets go of a connection\n");
    println!(
        "{:<26} {:>8} {:>8} {:>8}",
        "a client that sends", "ours", "bar", "nginx"
    );
    let servers = [
        Process::ours(folder, "limited", ""),
        Process::nginx(folder, ""),
    ];
    let mut held: Vec<_> = SLOW
        .iter()
        .flat_map(|(_, first, then, _)| {
            servers
                .each_ref()
                .map(|server| Held::new(server.address, first, then))
        })
        .collect();
    let begun = Instant::now();
    let mut second = 0;
    while begun.elapsed() < LONGEST && held.iter().any(|it| it.time.is_none()) {
        // One look for all: the table is long after an attack.
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
        held.iter_mut().for_each(|it| it.look(&table));
        if begun.elapsed().as_secs() > second {
            second += 1;
            held.iter_mut().for_each(Held::trickle);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    for ((name, _, _, bar), both) in SLOW.iter().zip(held.chunks(2)) {
        let (ours, nginx) = (both[0].time, both[1].time);
        let is_met = ours.is_some_and(|time| time.as_secs_f64() <= *bar);
        let verdict = if is_met { "" } else { "NOT MET" };
        println!(
            "{name:<26} {:>8} {bar:>8} {:>8} {verdict}",
            shown(ours),
            shown(nginx)
        );
    }
}

/// A connection that the server keeps, or kept for some time.
struct Held {
    stream: TcpStream,
    then: &'static str,
    /// As the kernel's table has the server's end.
    ends: String,
    begun: Instant,
    time: Option<Duration>,
}

impl Held {
    fn new(address: SocketAddr, first: &str, then: &'static str) -> Self {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let begun = Instant::now();
        stream.set_nonblocking(true).expect("a socket can");
        let _ = stream.write_all(first.as_bytes());
        let port = stream.local_addr().expect("it is connected").port();
        Self {
            stream,
            then,
            ends: format!("0100007F:{:04X} 0100007F:{port:04X} ", address.port()),
            begun,
            time: None,
        }
    }

    fn look(&mut self, table: &str) {
        let state = table.split_once(&self.ends).map(|(_, rest)| &rest[..2]);
        // 01 is ESTABLISHED, and 08 CLOSE_WAIT.
        if self.time.is_none() && !matches!(state, Some("01" | "08")) {
            self.time = Some(self.begun.elapsed());
        }
    }

    fn trickle(&mut self) {
        let _ = self.stream.write_all(self.then.as_bytes());
    }
}

/// 64 descriptors, and 200 connections for three seconds.
fn descriptors(folder: &Path) {
    println!("\n64 descriptors, 200 connections for three seconds\n");
    println!(
        "{:<8} {:>16} {:>8} {:>16}",
        "server", "CPU of a core, %", "lines", "recovers in, ms"
    );
    for name in ["ours", "nginx"] {
        let server = match name {
            "ours" => Process::ours(folder, "unlimited", "ulimit -n 64"),
            _ => Process::nginx(folder, "ulimit -n 64"),
        };
        let crowd: Vec<_> = (0..200)
            .map(|_| TcpStream::connect(server.address).expect("the kernel has room"))
            .collect();
        let (begun, before) = (Instant::now(), server.cpu());
        std::thread::sleep(Duration::from_secs(3));
        let used = (server.cpu() - before) / begun.elapsed().as_secs_f64();
        drop(crowd);
        let begun = Instant::now();
        while ask(server.address).is_err() {}
        let recovered = begun.elapsed();
        let lines = server.said();
        println!(
            "{name:<8} {:>16.1} {lines:>8} {:>16.0}",
            used * 100.0,
            recovered.as_secs_f64() * 1e3
        );
    }
}

/// Two seconds of each flood, and an honest client beside it.
fn floods(folder: &Path) {
    println!("\ntwo seconds of frames of HTTP/2, and an honest client beside them\n");
    println!(
        "{:<42} {:<6} {:>7} {:>7} {:>8} {:>8} {:>9} {:>7} {:>10} {:>7}",
        "flood",
        "server",
        "asked",
        "failed",
        "p99, ms",
        "max, ms",
        "more, KiB",
        "ended",
        "first, ms",
        "MB"
    );
    let axum = peer::build("axum");
    for flood in FLOODS {
        for name in ["ours", "axum", "nginx"] {
            let server = match name {
                "ours" => Process::ours(folder, "limited", ""),
                "axum" => Process::axum(folder, &axum),
                _ => Process::nginx(folder, ""),
            };
            // The memory of the first connections is not part of the flood.
            for _ in 0..20 {
                ask(server.address).expect("it answers");
            }
            let before = server.memory("VmRSS:");
            let address = server.http2;
            let attacker = std::thread::spawn(move || flood.run(address, Duration::from_secs(2)));
            let honest = Honest::beside(&server, || attacker.is_finished());
            let flooded = attacker.join().expect("it does not panic");
            println!(
                "{:<42} {name:<6} {:>7} {:>7} {:>8.1} {:>8.1} {:>9} {:>7} {:>10} {:>7.1}",
                flood.name,
                honest.answers + honest.failures,
                honest.failures,
                honest.at(0.99),
                honest.at(1.0),
                server.memory("VmHWM:").saturating_sub(before),
                flooded.ended,
                flooded.first.map_or("-".to_owned(), |it| format!(
                    "{:.1}",
                    it.as_secs_f64() * 1e3
                )),
                flooded.megabytes,
            );
        }
    }
}

/// A hundred files of 64 MiB at once by HTTP/2, without a window for any of them.
fn windows(folder: &Path) {
    println!("\n100 streams of 64 MiB without a window\n");
    println!("{:<8} {:>9} {:>12}", "server", "most, MB", "ends after, s");
    let (axum, actix) = (peer::build("axum"), peer::build("actix-web"));
    let servers = [
        ("ours", Process::ours(folder, "limited", "")),
        ("axum", Process::axum(folder, &axum)),
        ("actix", Process::actix(folder, &actix)),
        ("nginx", Process::nginx(folder, "")),
    ];
    // All at the same time, since most of it is waiting.
    let ends = servers.each_ref().map(|(_, server)| {
        let address = server.http2;
        std::thread::spawn(move || floods::without_window(address, "/file", 100, LONGEST))
    });
    for ((name, server), end) in servers.iter().zip(ends) {
        let end = end.join().expect("it does not panic").expect("it listens");
        println!(
            "{name:<8} {:>9.1} {:>12}",
            server.memory("VmHWM:") as f64 / 1024.0,
            shown(end)
        );
        ask(server.address).expect("it answers still");
    }
}

/// In seconds, of at most [`LONGEST`].
fn shown(time: Option<Duration>) -> String {
    match time {
        Some(time) => format!("{:.1}", time.as_secs_f64()),
        None => format!("over {}", LONGEST.as_secs()),
    }
}

/// Twenty restarts, one a second, at 1,000 requests a second: half by new connections, half by kept
/// ones. Ours hands its sockets over at SIGUSR2, nginx loads its configuration again at SIGHUP.
fn restarts(folder: &Path) {
    println!("\n20 restarts at 1,000 requests a second\n");
    println!(
        "{:<8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "server", "asked", "refused", "reset", "p50, ms", "p99, ms", "max, ms"
    );
    for name in ["ours", "nginx"] {
        let server = match name {
            "ours" => Process::ours(folder, "handover", ""),
            _ => Process::nginx_with(folder, "", "on", &root(folder)),
        };
        let begun = Instant::now();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let address = server.address;
                std::thread::spawn(move || Steady::ask(address, number, begun))
            })
            .collect();
        let mut current = server.child.id();
        for number in 1..=20 {
            std::thread::sleep((begun + Duration::from_secs(number)) - Instant::now());
            match name {
                "ours" => {
                    signal("USR2", current);
                    let before = current;
                    while current == before {
                        current = who(server.address).expect("one of both answers");
                    }
                }
                _ => signal("HUP", current),
            }
        }
        let mut all = Steady::default();
        for client in clients {
            let one = client.join().expect("it does not panic");
            all.refused += one.refused;
            all.reset += one.reset;
            all.honest.answers += one.honest.answers;
            all.honest.times.extend(one.honest.times);
        }
        if name == "ours" {
            signal("TERM", current);
        }
        all.honest.times.sort();
        println!(
            "{name:<8} {:>9} {:>9} {:>9} {:>9.1} {:>9.1} {:>9.1}",
            all.honest.answers + all.refused + all.reset,
            all.refused,
            all.reset,
            all.honest.at(0.5),
            all.honest.at(0.99),
            all.honest.at(1.0)
        );
    }
}

/// Which process answers.
fn who(address: SocketAddr) -> std::io::Result<u32> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let id = text.rsplit('\n').next().and_then(|id| id.parse().ok());
    id.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// A client that asks when it is time to, however long the last answer took.
#[derive(Default)]
struct Steady {
    honest: Honest,
    refused: usize,
    reset: usize,
}

impl Steady {
    /// Asks its share of 1,000 requests a second, for a while longer than twenty restarts take.
    fn ask(address: SocketAddr, number: u32, begun: Instant) -> Self {
        let is_kept = number.is_multiple_of(2);
        let interval = Duration::from_millis(u64::from(CLIENTS));
        let mut steady = Self::default();
        let mut kept = None;
        let mut due = begun + Duration::from_millis(u64::from(number));
        while due < begun + Duration::from_secs(22) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            match kept.take().map_or_else(|| TcpStream::connect(address), Ok) {
                Err(_) => steady.refused += 1,
                Ok(mut stream) => match ask_once(&mut stream) {
                    Ok(closes) => {
                        steady.honest.answers += 1;
                        // From when it was to be asked.
                        steady.honest.times.push(due.elapsed());
                        kept = Some(stream).filter(|_| is_kept && !closes);
                    }
                    Err(_) => steady.reset += 1,
                },
            }
            due += interval;
        }
        steady
    }
}

/// One request on a connection that may be used again: whether the server closes it.
fn ask_once(stream: &mut TcpStream) -> std::io::Result<bool> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut text = Vec::new();
    let mut some = [0; 1024];
    while !text.ends_with(b"\r\n\r\nhello") {
        match stream.read(&mut some)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => text.extend(&some[..count]),
        }
    }
    let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
    Ok(text.contains("\r\nconnection: close\r\n"))
}

/// A page, and two files of 64 MiB; it goes with the benchmark.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("vestibule-hostile-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("files")).expect("there is room for temporary files");
        std::fs::write(folder.join("files/index.html"), "hello").expect("so there is");
        for name in ["file", "endless"] {
            let file = File::create(folder.join("files").join(name)).expect("and here");
            file.set_len(64 << 20).expect("a file has a length");
        }
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A body that costs nothing to make, and has no end.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let piece = Bytes::from_static(&[0; 16 * 1024]);
        Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}

fn serve(files: &Path, limit: &str) {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let app = Mounts::new()
        .at("/read", |request: Request| async move {
            request.into_body().collect(1 << 20).await.map(|_| ())
        })
        .at("/endless", |_: Request| async { Body::new(Endless) })
        .at("/pid", |_: Request| async {
            std::process::id().to_string()
        })
        .or(StaticFiles::new(files));
    load::run(1, async {
        let mut server = Server::new(app);
        if limit == "unlimited" {
            server = server.max_connections(None);
        }
        if limit == "handover" {
            server = server.handover();
        }
        let server = server.bind("127.0.0.1:0").await.expect("a free port");
        // After a restart the pipe has no reader.
        let _ = writeln!(std::io::stdout(), "{}", server.address());
        server.run().await.expect("it serves");
    });
}

/// The number of clients, and the milliseconds between two requests of each.
const CLIENTS: u32 = 16;

/// When no more is waited for.
const LONGEST: Duration = Duration::from_secs(90);
