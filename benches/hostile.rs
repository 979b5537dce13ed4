//! What slow and many clients do to an honest one, and how long they are kept: beside nginx.
//!
//! `cargo bench --bench hostile` starts our server and nginx, each with one worker, lets slowhttptest (a
//! Debian package) open 2,000 connections in each of its four modes, and asks both meanwhile as an honest
//! client does. Then it opens one connection of each of eight slow kinds and waits until the server
//! lets go of it; it leaves the server no descriptor; it floods it with frames of HTTP/2, beside
//! `axum::serve` as well, which it builds in `benches/peers/axum`; and it restarts it under load. It takes
//! eight minutes; `-- slowhttptest`, `-- kept`, `-- descriptors`, `-- floods` and `-- restarts` are its
//! parts.
//!
//! Without `--bench`, as when `cargo test` runs it: 50 connections, for seconds, and our server alone.

mod floods;
mod peer;

use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, ExitCode, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use floods::FLOODS;
use vestibule::files::StaticFiles;
use vestibule::hyper::Server;
use vestibule::prelude::*;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", folder, limit] => {
            serve(Path::new(folder), limit);
            return ExitCode::SUCCESS;
        }
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
            let parts: [Part; 5] = [
                ("slowhttptest", slowhttptest),
                ("kept", kept),
                ("descriptors", descriptors),
                ("floods", floods),
                ("restarts", restarts),
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

/// One request by a connection of its own.
fn ask(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.starts_with("HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(std::io::ErrorKind::InvalidData.into()),
    }
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
        61.0,
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
    let shown = |time: Option<Duration>| match time {
        Some(time) => format!("{:.1}", time.as_secs_f64()),
        None => format!("over {}", LONGEST.as_secs()),
    };
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
            // What the first connections cost is no flood's fault.
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
            _ => Process::nginx_with(folder, "", "on"),
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

fn signal(name: &str, process: u32) {
    let command = format!("kill -{name} {process}");
    let sent = Command::new("sh").args(["-c", &command]).status();
    assert!(sent.is_ok_and(|status| status.success()), "{command}");
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
        let is_kept = number % 2 == 0;
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

/// A server in a process of its own.
struct Process {
    child: Child,
    address: SocketAddr,
    /// Where it speaks HTTP/2.
    http2: SocketAddr,
    /// Where its standard error goes.
    errors: PathBuf,
}

impl Process {
    /// Starts this program once more, from a shell that does something before.
    fn ours(folder: &Path, limit: &str, before: &str) -> Self {
        let program = std::env::current_exe().expect("a program has a path");
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{before}\nexec \"$0\" \"$@\"")])
            .arg(program)
            .arg("--serve")
            .arg(folder.join("files"))
            .arg(limit);
        Self::of(&mut command, folder.join("ours.err"))
    }

    fn axum(folder: &Path, program: &Path) -> Self {
        Self::of(&mut Command::new(program), folder.join("axum.err"))
    }

    /// One that says where it is.
    fn of(command: &mut Command, errors: PathBuf) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("the folder is ours"))
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it was asked for"))
            .read_line(&mut line)
            .expect("it says where it is");
        let address = line.trim_end().parse().expect("an address");
        Self {
            child,
            address,
            http2: address,
            errors,
        }
    }

    fn nginx(folder: &Path, before: &str) -> Self {
        Self::nginx_with(folder, before, "off")
    }

    /// `master`: a process that starts the one that serves, and can start another.
    fn nginx_with(folder: &Path, before: &str, master: &str) -> Self {
        // It takes HTTP/2 in the clear at a place of its own.
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [address, http2] = listeners
            .each_ref()
            .map(|listener| listener.local_addr().expect("it is bound"));
        drop(listeners);
        let errors = folder.join("nginx.err");
        let config = format!(
            "daemon off; master_process {master}; pid nginx.pid; error_log stderr crit;
             events {{ worker_connections 4096; }}
             http {{ access_log off; sendfile on;
               root {};
               server {{ listen {address}; }}
               server {{ listen {http2} http2; }} }}",
            folder.join("files").display()
        );
        std::fs::write(folder.join("nginx.conf"), config).expect("the folder is ours");
        let child = Command::new("sh")
            .args(["-c", &format!("{before}\nexec \"$0\" \"$@\""), "nginx"])
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stderr(File::create(&errors).expect("the folder is ours"))
            .spawn()
            .expect("there is a shell");
        let begun = Instant::now();
        while ask(address).is_err() {
            let is_late = begun.elapsed() > Duration::from_secs(10);
            assert!(
                !is_late,
                "nginx is the peer: install the Debian package `nginx-light`"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            address,
            http2,
            errors,
        }
    }

    /// In KiB: `VmRSS:` is now, `VmHWM:` the most that it ever was.
    fn memory(&self, which: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(which));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|it| it.parse().ok())
            .expect("Linux says it")
    }

    /// Seconds of CPU time.
    fn cpu(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("it runs");
        // After the name, which may have spaces: the 12th and 13th, in hundredths of a second.
        let fields: Vec<_> = stat
            .rsplit(") ")
            .next()
            .expect("a name")
            .split(' ')
            .collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / 100.0
    }

    /// How many lines of errors it has written.
    fn said(&self) -> usize {
        let text = std::fs::read_to_string(&self.errors).expect("the folder is ours");
        text.lines().filter(|line| line.contains("accept")).count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A master ends its workers when it is asked to, and not when it is killed.
        signal("TERM", self.child.id());
        let begun = Instant::now();
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            if begun.elapsed() > Duration::from_secs(2) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let app = Mounts::new()
        .at("/read", |request: Request| async move {
            request.into_body().collect(1 << 20).await.map(|_| ())
        })
        .at("/endless", |_: Request| async { Body::new(Endless) })
        .at("/pid", |_: Request| async {
            std::process::id().to_string()
        })
        .or(StaticFiles::new(files));
    runtime.block_on(async {
        let mut server = Server::new(app);
        if limit == "unlimited" {
            server = server.max_connections(None);
        }
        if limit == "handover" {
            server = server.handover();
        }
        let server = server.bind("127.0.0.1:0").await.expect("a free port");
        // After a restart nobody reads it any more.
        let _ = writeln!(std::io::stdout(), "{}", server.address());
        server.run().await.expect("it serves");
    });
}

/// How many clients there are: each asks once in so many milliseconds.
const CLIENTS: u32 = 16;

/// When no more is waited for.
const LONGEST: Duration = Duration::from_secs(90);
