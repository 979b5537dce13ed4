//! Measures `StaticFiles`, live and indexed, beside nginx and tower-http's `ServeDir`.
//!
//! `cargo bench --bench files` starts each server as one process with one worker on one core, and lets wrk ask it from
//! another over 32 kept connections: for one file of each size, and for 10,000 small ones in turn. The servers take
//! turns, and the best turn of each counts, for requests a second and for CPU time a request. Where the machine has
//! other work, the second is the one to look at. `cargo bench --bench files -- 1k many` tries these alone; each size takes
//! a minute and a quarter.
//!
//! `cargo bench --bench files -- cold` holds the time in which a small file comes against the same while 64 clients read
//! large files slowly, which the page cache does not have.
//!
//! `cargo bench --bench files -- race` swaps links within the root for links out of it, as fast as it can for a minute, and
//! asks for what they lead to.
//!
//! nginx and wrk are Debian packages.

mod load;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use load::{Asked, Server};
use vestibule::files::StaticFiles;

/// nginx with its defaults, which checks each file for each request as `live` does, and nginx that keeps
/// files open and does not check them for a minute (`open_file_cache`), as `indexed` does.
const CASES: [&str; 6] = ["nginx", "live", "indexed", "ServeDir", CACHED, SOCKETS];

const CACHED: &str = "nginx, cached";

/// `live`, with a worker for each core.
const ALL_CORES: &str = "live, all cores";

/// Nothing but a read and a write for each request, of an answer made beforehand, by a thread for each connection: how much
/// there is to be had of wrk from a server that copies its bytes.
const SOCKETS: &str = "sockets";

/// Each path, and the bytes of what is there.
const SIZES: [(&str, u64); 6] = [
    ("1k", 1 << 10),
    ("10k", 10 << 10),
    ("100k", 100 << 10),
    ("1m", 1 << 20),
    ("100m", 100 << 20),
    (MANY, 1 << 10),
];

/// Not a file but a folder of 10,000, which are asked for in turn.
const MANY: &str = "many";

/// The targets: the case, its requests a second as a ratio to nginx, and the paths.
const BARS: [(usize, f64, &[&str]); 3] = [
    (1, 1.1, &["1k", "10k", "100k", MANY]),
    (1, 1.0, &["1m", "100m"]),
    (2, 1.4, &["1k", "10k"]),
];

/// The result of a turn.
#[derive(Clone, Copy)]
struct Figure {
    requests_per_second: f64,
    cpu_per_request: f64,
}

fn main() -> ExitCode {
    match load::asked() {
        Asked::Serve(case) => serve(&case),
        Asked::Try => {
            make_files(&["1k"]);
            ["live", "indexed", "ServeDir", SOCKETS]
                .iter()
                .for_each(|case| drop(Server::start(case)));
            println!("4 servers answer; `cargo bench` measures them");
        }
        Asked::Measure(parts) if parts.iter().any(|part| part == "cold") => cold(),
        Asked::Measure(parts) if parts.iter().any(|part| part == "race") => race(),
        Asked::Measure(parts) => {
            let is_asked = |path: &str| parts.iter().any(|part| part == path);
            let is_any = SIZES.iter().any(|(path, _)| is_asked(path));
            let sizes = SIZES
                .into_iter()
                .filter(|(path, _)| !is_any || is_asked(path));
            return compare(&sizes.collect::<Vec<_>>());
        }
    }
    ExitCode::SUCCESS
}

fn compare(sizes: &[(&str, u64)]) -> ExitCode {
    make_files(&sizes.iter().map(|(path, _)| *path).collect::<Vec<_>>());
    println!(
        "{:<6} {:<13} {:>12} {:>9} {:>12} {:>9}",
        "file", "server", "requests/s", "of nginx", "CPU, us", "of nginx"
    );
    let mut are_met = true;
    for &(path, size) in sizes {
        let mut best = [Figure {
            requests_per_second: 0.0,
            cpu_per_request: f64::INFINITY,
        }; CASES.len()];
        for _ in 0..TURNS {
            for (case, best) in CASES.iter().zip(&mut best) {
                if (*case, path) == (SOCKETS, MANY) {
                    continue;
                }
                let server = match *case {
                    "nginx" => nginx(""),
                    CACHED => nginx("open_file_cache max=20000; open_file_cache_valid 60s;"),
                    case => Server::start(case),
                };
                let figure = ask(&server.pin(0), path, size);
                best.requests_per_second = best.requests_per_second.max(figure.requests_per_second);
                best.cpu_per_request = best.cpu_per_request.min(figure.cpu_per_request);
            }
        }
        for (case, figure) in CASES.iter().zip(&best) {
            if figure.requests_per_second == 0.0 {
                continue;
            }
            print!(
                "{path:<6} {case:<13} {:>12.0} {:>8.2}x",
                figure.requests_per_second,
                figure.requests_per_second / best[0].requests_per_second,
            );
            match *case {
                // The time of a thread is gone with its connection.
                SOCKETS => println!(),
                _ => println!(
                    " {:>12.2} {:>8.2}x",
                    figure.cpu_per_request * 1e6,
                    figure.cpu_per_request / best[0].cpu_per_request,
                ),
            }
        }
        let ratio = |a: usize, b: usize| best[a].requests_per_second / best[b].requests_per_second;
        for (case, bar, _) in BARS.iter().filter(|(_, _, paths)| paths.contains(&path)) {
            let what = format!("{path}: {} of nginx's requests a second", CASES[*case]);
            are_met &= judge(&what, ratio(*case, 0), *bar);
        }
        if path == "1k" {
            are_met &= judge("1k: live of ServeDir's requests a second", ratio(1, 3), 4.0);
        }
    }
    match are_met {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn judge(what: &str, ratio: f64, bar: f64) -> bool {
    let verdict = if ratio >= bar { "met" } else { "NOT MET" };
    println!("       {what}: {ratio:.2}, at least {bar:.2}: {verdict}");
    ratio >= bar
}

/// Lets wrk ask for a second, and then for as long as counts.
fn ask(server: &Server, path: &str, size: u64) -> Figure {
    load(server, path, size, 1);
    let (before, start) = (server.cpu(), Instant::now());
    let requests = load(server, path, size, SECONDS);
    Figure {
        requests_per_second: requests / start.elapsed().as_secs_f64(),
        cpu_per_request: (server.cpu() - before) / requests,
    }
}

/// How many requests wrk got answered. Of large files it has many in part when it ends: their bytes count.
fn load(server: &Server, path: &str, size: u64, seconds: u64) -> f64 {
    let mut wrk = Command::new("taskset");
    wrk.args([
        "--cpu-list",
        "1",
        "wrk",
        "--threads",
        "1",
        "--connections",
        "32",
    ]);
    wrk.args(["--timeout", "60", "--duration", &seconds.to_string()]);
    if path == MANY {
        wrk.arg("--script").arg(folder().join("many.lua"));
    }
    let output = wrk
        .arg(format!("{}{path}", server.url()))
        .output()
        .expect("wrk asks the server: install the Debian package `wrk`");
    let text = String::from_utf8_lossy(&output.stdout);
    let is_well = !text.contains("Non-2xx") && !text.contains("Socket errors");
    let counts = text.lines().find_map(|line| {
        let (requests, rest) = line.trim().split_once(" requests in ")?;
        let (_, read) = rest.split_once(", ")?;
        let read = read.strip_suffix("B read")?;
        Some((requests.parse::<f64>().ok()?, amount(read)?))
    });
    match counts {
        Some((_, bytes)) if is_well && size > 10 << 20 => bytes / size as f64,
        Some((requests, _)) if is_well => requests,
        _ => panic!("wrk was not answered well:\n{text}"),
    }
}

/// `9.64M` in bytes, as wrk writes it.
fn amount(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * (1_u64 << unit) as f64)
}

/// The time in which a small file comes, alone and beside slow readers of files that are not in memory: of a server with one
/// worker, and of one that has a worker for each core, as it is if nothing is said.
fn cold() {
    make_files(&["1k"]);
    let large: Vec<_> = (0..COLD_READERS).map(make_cold_file).collect();
    for case in ["live", ALL_CORES] {
        let server = Server::start(case);
        let address = server
            .url()
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned();
        // Readers take time of the processor, wherever their bytes come from: what the disk adds is seen beside that, and
        // what the server does beside those that read the same files without it.
        let mut best = [(f64::INFINITY, f64::INFINITY); 4];
        for _ in 0..TURNS {
            large.iter().for_each(|path| drop(fs::read(path)));
            let (alone, warm) = (
                probe(&address),
                beside_readers(&address, &large, read_slowly),
            );
            large.iter().for_each(|path| forget(path));
            let cold = beside_readers(&address, &large, read_slowly);
            large.iter().for_each(|path| forget(path));
            let without = beside_readers(&address, &large, |_, path, is_over| {
                sip(File::open(path).expect("it was made"), is_over);
            });
            for (best, turn) in best.iter_mut().zip([alone, warm, cold, without]) {
                *best = (best.0.min(turn.0), best.1.min(turn.1));
            }
        }
        let what = [
            "alone",
            "beside readers of memory",
            "beside readers of the disk",
            "beside readers of the disk without the server",
        ];
        for (what, (p50, p99)) in what.iter().zip(best) {
            let times = p99 / best[0].1;
            println!(
                "{case}: a small file {what}: p50 {p50:.2} ms, p99 {p99:.2} ms, {times:.1} of that alone"
            );
        }
    }
    large.iter().for_each(|path| drop(fs::remove_file(path)));
}

/// As [`probe`], while others read large files, each by `read`.
fn beside_readers(
    address: &str,
    files: &[PathBuf],
    read: impl Fn(&str, &Path, &AtomicBool) + Sync,
) -> (f64, f64) {
    let (is_over, read) = (&AtomicBool::new(false), &read);
    thread::scope(|scope| {
        for file in files {
            scope.spawn(move || read(address, file, is_over));
        }
        let beside = probe(address);
        is_over.store(true, Ordering::Relaxed);
        beside
    })
}

/// p50 and p99 of the time in which the small file comes, in milliseconds.
fn probe(address: &str) -> (f64, f64) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a socket takes options");
    let mut times = Vec::new();
    let start = Instant::now();
    let mut buffer = [0; 4096];
    while start.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        stream
            .write_all(b"GET /1k HTTP/1.1\r\nhost: a\r\n\r\n")
            .expect("the server reads");
        let mut got = 0;
        while got < 1024 {
            got += stream.read(&mut buffer).expect("the server answers");
        }
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(1));
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Reads a large file slowly, of the server.
fn read_slowly(address: &str, file: &Path, is_over: &AtomicBool) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.expect("it was made with a name");
    let request = format!("GET /{name} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    sip(stream, is_over);
}

/// Takes about 3 MB a second.
fn sip(mut from: impl Read, is_over: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while !is_over.load(Ordering::Relaxed) {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn make_cold_file(index: usize) -> PathBuf {
    let path = folder().join("files").join(format!("cold-{index}"));
    let mut file = File::create(&path).expect("the folder for temporary files is writable");
    let block = vec![index as u8; 1 << 20];
    for _ in 0..COLD_MEGABYTES {
        file.write_all(&block).expect("the disk has room");
    }
    file.sync_all().expect("the disk takes it");
    path
}

/// Makes the page cache forget a file.
fn forget(path: &Path) {
    use rustix::fs::{Advice, fadvise};
    let file = File::open(path).expect("it was made");
    fadvise(&file, 0, None, Advice::DontNeed).expect("the system takes advice");
}

/// Asks for what links lead to while they are swapped for such as lead out.
fn race() {
    let root = folder().join("files").join("race");
    let _ = fs::remove_dir_all(&root);
    let is_writable = "the folder for temporary files is writable";
    fs::create_dir_all(root.join("sub")).expect(is_writable);
    for (path, text) in [
        ("a", "inside"),
        ("sub/secret", "inside"),
        ("real", "inside"),
        ("../../secret", SECRET),
    ] {
        fs::write(root.join(path), text).expect(is_writable);
    }
    // A link to a file, one to a folder, and a file; each with the link that takes its place.
    for (path, target) in [
        ("swap", "a"),
        ("swap.other", "../../secret"),
        ("swapped", "sub"),
        ("swapped.other", "../.."),
        ("real.other", "../../secret"),
    ] {
        std::os::unix::fs::symlink(target, root.join(path)).expect(is_writable);
    }
    let server = Server::start("live");
    let is_over = AtomicBool::new(false);
    let begun = Instant::now();
    let mut answers = [0_u64; 3];
    let swaps = thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                for name in ["swap", "swapped", "real"] {
                    exchange(&root.join(name));
                    swaps += 1;
                }
            }
            swaps
        });
        let mut connection = server.connect();
        while begun.elapsed() < RACE {
            for path in ["/race/swap", "/race/swapped/secret", "/race/real"] {
                let answer = load::ask(&mut connection, path);
                let which = match answer.contains(SECRET) {
                    true => 2,
                    false => usize::from(!answer.starts_with("HTTP/1.1 200 ")),
                };
                answers[which] += 1;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        swapping.join().expect("swapping does not fail")
    });
    let [sent, refused, leaked] = answers;
    println!(
        "{RACE:?}, {swaps} swaps ({:.0} a second): {sent} sent, {refused} refused, {leaked} leaked",
        swaps as f64 / begun.elapsed().as_secs_f64()
    );
    assert_eq!(leaked, 0);
}

/// Swaps `path` for what is beside it.
fn exchange(path: &Path) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let other = path.with_extension("other");
    renameat_with(CWD, path, CWD, &other, RenameFlags::EXCHANGE).expect("both are there");
}

/// nginx as one process, with the options that its guide to serving files names, and `more` of them.
fn nginx(more: &str) -> Server {
    let folder = folder();
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
         events {{ worker_connections 256; }}
         http {{
           include /etc/nginx/mime.types; access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
           etag on; {more}
           server {{ listen 127.0.0.1:{port}; root {}; }}
         }}",
        folder.join("files").display()
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config).expect("the folder for temporary files is writable");
    let process = Command::new("nginx")
        .arg("-p")
        .arg(&folder)
        .arg("-c")
        .arg(&path)
        .stdout(Stdio::null())
        .spawn()
        .expect("nginx is the peer: install the Debian package `nginx-light`");
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nginx does not listen");
        thread::yield_now();
    }
    Server::of(process, format!("http://127.0.0.1:{port}/"))
}

fn serve(case: &str) {
    if case == SOCKETS {
        return serve_sockets();
    }
    let threads = if case == ALL_CORES { load::cores() } else { 1 };
    load::run(threads, async {
        let listener = load::listen().await;
        let files = folder().join("files");
        match case {
            "live" | ALL_CORES => vestibule::serve(listener, StaticFiles::new(files))
                .await
                .expect("we serve"),
            "indexed" => {
                let files = StaticFiles::new(files)
                    .indexed(64 << 20)
                    .expect("the files are there");
                vestibule::serve(listener, files).await.expect("we serve");
            }
            _ => {
                let router = axum::Router::new()
                    .fallback_service(tower_http::services::ServeDir::new(files));
                axum::serve(listener, router).await.expect("axum serves");
            }
        }
    });
}

fn serve_sockets() {
    let answer = |(path, _)| {
        let content = fs::read(folder().join("files").join(path)).ok()?;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n",
            content.len()
        );
        Some((
            format!("GET /{path} "),
            [head.as_bytes(), &*content].concat(),
        ))
    };
    let answers: Vec<_> = SIZES.into_iter().filter_map(answer).collect();
    let answers = &answers;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    writeln!(std::io::stdout(), "http://{address}/").expect("somebody reads");
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client connects");
            scope.spawn(move || {
                stream.set_nodelay(true).expect("a socket takes options");
                let mut request = [0; 4096];
                // wrk sends each request whole and one at a time.
                while let Ok(1..) = stream.read(&mut request) {
                    let is_it = |(start, _): &&(String, _)| request.starts_with(start.as_bytes());
                    let Some((_, answer)) = answers.iter().find(is_it) else {
                        break;
                    };
                    if stream.write_all(answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("files-bench")
}

/// Makes what is not there yet.
fn make_files(paths: &[&str]) {
    let files = folder().join("files");
    let is_writable = "the folder for temporary files is writable";
    fs::create_dir_all(&files).expect(is_writable);
    for (path, size) in SIZES.into_iter().filter(|(path, _)| paths.contains(path)) {
        let text: Vec<u8> = (0..size).map(|index| b'a' + (index % 26) as u8).collect();
        if path != MANY {
            if fs::metadata(files.join(path)).is_ok_and(|file| file.len() == size) {
                continue;
            }
            fs::write(files.join(path), text).expect(is_writable);
            continue;
        }
        for number in 0..10_000 {
            let folder = files.join(MANY).join((number / 100).to_string());
            fs::create_dir_all(&folder).expect(is_writable);
            fs::write(folder.join((number % 100).to_string()), &text).expect(is_writable);
        }
        let script = "local n = 0\nfunction request()\n  n = (n + 7919) % 10000\n  \
                      return wrk.format(nil, \"/many/\" .. math.floor(n / 100) .. \"/\" .. n % 100)\nend\n";
        fs::write(self::folder().join("many.lua"), script).expect(is_writable);
    }
}

const RACE: Duration = Duration::from_secs(60);

const SECRET: &str = "outside";

const TURNS: usize = 3;

/// How long a turn takes, in seconds.
const SECONDS: u64 = 2;

const COLD_READERS: usize = 64;

const COLD_MEGABYTES: usize = 24;
