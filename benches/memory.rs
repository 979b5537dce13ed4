//! What connections take of a server's memory while nothing happens on them, beside hand-written hyper
//! and axum.
//!
//! `cargo bench --bench memory` starts each server as a process of its own with one worker thread, opens
//! 10,000 connections with one request each, and looks how much more of its memory is resident (proc(5),
//! `VmRSS`): at once, and after three seconds of rest. Then 2,000 clients ask for a file of 64 MiB and
//! read nothing, on our `StaticFiles` and on tower-http's `ServeDir` in axum. All of it needs 20,000
//! open files a process. `-- back` looks what is left of such a crowd half a minute after it has gone:
//! in our server, or in the program that is named behind, as `$PWD/target/release/vestibule`.
//!
//! `-- coded` has 2,000 clients ask for texts in each coding and read nothing: of the program `vestibule`, of an app
//! that streams, of nginx and of tower-http. Beside what is resident at most it says how much is left a minute after
//! they have gone. A text behind it selects the rows that contain it, and a second one names the program: `-- coded
//! "serve, 2 MB" $PWD/target/release/vestibule`.

mod coded;
mod hand_written;
mod load;
mod peer;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use load::{Asked, Server, ask};
use tower_http::services::ServeDir;
use vestibule::files::StaticFiles;
use vestibule::prelude::*;

const IDLE: [&str; 3] = ["hyper", "axum", "vestibule"];
const READERS: [&str; 2] = ["axum, file", "vestibule, file"];

fn main() -> ExitCode {
    match load::asked() {
        Asked::Serve(case) => {
            serve(&case);
            ExitCode::SUCCESS
        }
        Asked::Try => {
            for case in IDLE {
                assert!(ask(&mut Server::start(case).connect(), "/").contains(" 200 "));
            }
            println!("{} servers answer; `cargo bench` measures them", IDLE.len());
            ExitCode::SUCCESS
        }
        Asked::Measure(parts) => match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["back", "--bench"] => {
                let folder = Folder::new();
                back(folder.serve(READERS[1]));
                ExitCode::SUCCESS
            }
            ["back", program, "--bench"] => {
                let folder = Folder::new();
                back(folder.serve_by(program));
                ExitCode::SUCCESS
            }
            ["coded", "--bench"] => coded::measure("", None),
            ["coded", rows, "--bench"] => coded::measure(rows, None),
            ["coded", rows, program, "--bench"] => coded::measure(rows, Some(program)),
            _ => measure(),
        },
    }
}

/// A crowd that reads nothing, and what it leaves behind.
fn back(server: Server) {
    ask(&mut server.connect(), "/");
    let start = server.memory();
    let held: Vec<_> = (0..SLOW).map(|_| begin(&server)).collect();
    sleep(FULL);
    let most = server.memory();
    drop(held);
    sleep(Duration::from_secs(30));
    let left = server.memory();
    println!(
        "{SLOW} readers: {:.1} MB before, {:.1} with them, {:.1} half a minute later: {:.2} of the start",
        start / 1e6,
        most / 1e6,
        left / 1e6,
        left / start
    );
}

fn measure() -> ExitCode {
    println!(
        "{:<24} {:>14} {:>14}",
        "an idle connection of", "KiB at once", "KiB after 3 s"
    );
    let mut idle = 0.0;
    for case in IDLE {
        let server = Server::start(case);
        ask(&mut server.connect(), "/");
        let before = server.memory();
        let started = Instant::now();
        let held: Vec<_> = (0..CONNECTIONS)
            .map(|number| open(&server, started, number))
            .collect();
        let share = |memory: f64| (memory - before) / held.len() as f64 / 1024.0;
        let at_once = share(server.memory());
        sleep(Duration::from_secs(3));
        idle = share(server.memory());
        println!("{case:<24} {at_once:>14.2} {idle:>14.2}");
    }
    println!(
        "\n{:<24} {:>14} {:>14}",
        format!("{SLOW} readers of"),
        "MB in all",
        "KiB a reader"
    );
    let folder = Folder::new();
    let mut slow = 0.0;
    for case in READERS {
        let server = folder.serve(case);
        let before = server.memory();
        let held: Vec<_> = (0..SLOW).map(|_| begin(&server)).collect();
        sleep(FULL);
        slow = server.memory();
        let share = (slow - before) / held.len() as f64 / 1024.0;
        println!("{case:<24} {:>14.1} {share:>14.1}", slow / 1e6);
    }
    println!();
    let bars = [
        ("KiB of our idle connection", idle, 12.0),
        ("MB of our slow readers", slow / 1e6, 128.0),
    ];
    for (what, value, bar) in bars {
        let verdict = if value <= bar { "met" } else { "NOT MET" };
        println!("{what}: {value:.2}, at most {bar:.0}: {verdict}");
    }
    match bars.iter().all(|(_, value, bar)| value <= bar) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// A large file; it goes with the benchmark.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("vestibule-memory-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder in the temporary one");
        let file = std::fs::File::create(folder.join("large")).expect("a new file");
        file.set_len(64 * 1024 * 1024).expect("a file of zeros");
        Self(folder)
    }

    /// This program once more, as one of its servers.
    fn serve(&self, case: &str) -> Server {
        let program = std::env::current_exe().expect("a program has a path");
        Server::spawn(
            Command::new(program)
                .args(["--serve", case])
                .env(FOLDER, &self.0),
        )
    }

    /// The program `vestibule`.
    fn serve_by(&self, program: &str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        let process = Command::new(program)
            .arg("serve")
            .arg(&self.0)
            .args(["--no-log", "--listen", &address.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        while TcpStream::connect(address).is_err() {
            sleep(Duration::from_millis(10));
        }
        Server::of(process, format!("http://{address}/"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A connection that has had one answer; so many are opened in a second at most.
fn open(server: &Server, started: Instant, number: u32) -> TcpStream {
    let due = started + Duration::from_secs(1) * number / RATE;
    sleep(due.saturating_duration_since(Instant::now()));
    let mut connection = server.connect();
    assert!(ask(&mut connection, "/").contains(" 200 "));
    connection
}

/// A connection that has asked for the file.
fn begin(server: &Server) -> TcpStream {
    let mut connection = server.connect();
    connection
        .write_all(b"GET /large HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        .expect("the server reads");
    connection
}

fn serve(case: &str) {
    load::run(1, async {
        let listener = load::listen().await;
        let folder = std::env::var_os(FOLDER).unwrap_or_default();
        match case {
            "hyper" => hand_written::serve(listener, HELLO).await,
            "axum" => {
                let router = axum::Router::new().route("/", axum::routing::get(|| async { HELLO }));
                axum::serve(listener, router).await.expect("axum serves");
            }
            "axum, file" => {
                let router = axum::Router::new().fallback_service(ServeDir::new(folder));
                axum::serve(listener, router).await.expect("axum serves");
            }
            "vestibule" => vestibule::serve(listener, |_: Request| async { HELLO })
                .await
                .expect("we serve"),
            _ => {
                let files = StaticFiles::new(folder);
                vestibule::serve(listener, files).await.expect("we serve");
            }
        }
    });
}

const HELLO: &str = "Hello, world!";

/// The variable that says where the file is.
const FOLDER: &str = "VESTIBULE_MEMORY_FOLDER";
const CONNECTIONS: u32 = 10_000;
const RATE: u32 = 1_000;
const SLOW: u32 = 2_000;

/// Until every socket is full, and nothing moves any more.
const FULL: Duration = Duration::from_secs(5);
