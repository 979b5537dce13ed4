//! Sends the requests of `vestibule-hyper`'s tests to other servers, and judges them by the same rules.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use vestibule::hyper::Server;

use crate::process::{Process, ask, free};
use crate::{hand_written, load, peer};

#[path = "../crates/vestibule-hyper/tests/echo.rs"]
mod echo;
#[path = "../crates/vestibule-hyper/tests/requests.rs"]
mod requests;

use echo::{answers, echo};
use requests::{Case, FRAMES, SMUGGLED, VALID, WAITS};

/// Each server has an app that says what it saw of a request; nginx passes them on to ours.
pub(crate) fn compare(folder: &Path) {
    let cases: Vec<Case> = [requests::all(), requests::many_and_large()]
        .into_iter()
        .flatten()
        .collect();
    println!("\n{} cases of HTTP/1\n", cases.len());
    println!(
        "{:<10} {:>6} {:>5} {:>6} {:>24}",
        "server", "wrong", "5xx", "hangs", "answered otherwise, cut"
    );
    let ours = echo_of(folder, "vestibule");
    let behind = format!(
        "location / {{ proxy_pass http://{};
             proxy_set_header Host $host; proxy_set_header Connection \"\"; }}",
        ours.address
    );
    let servers = [
        ("nginx", Process::nginx_with(folder, "", "off", &behind)),
        ("ours", ours),
        ("hyper", echo_of(folder, "hyper")),
        ("axum", Process::axum(folder, &peer::build("axum"))),
        ("actix", Process::actix(folder, &peer::build("actix-web"))),
        ("gunicorn", gunicorn(folder)),
        ("granian", granian(folder)),
    ];
    let mut wrongs = String::new();
    for (name, server) in &servers {
        let (mut wrong, mut failed, mut hung) = (0, 0, 0);
        for case in &cases {
            let got = send(server.address, &[&format!("{}{SMUGGLED}", case.request)]);
            if !case.is_right(&got) {
                wrong += 1;
                failed += usize::from(got.iter().any(|answer| is_failure(answer)));
                hung += usize::from(got.iter().any(|answer| answer == WAITS));
                let got: Vec<String> = got.iter().map(|it| start(it)).collect();
                wrongs += &format!("{name}: {}: {got:?}\n", case.name);
            }
            ask(server.address).expect("it answers still");
        }
        let (mut cuts, mut otherwise) = (0, 0);
        for request in VALID {
            let whole = send(server.address, &[request]);
            if whole.iter().any(|answer| !answer.starts_with("200")) {
                wrongs += &format!("{name}: {request:?}: {whole:?}\n");
            }
            let mut check = |pieces: &[&str]| {
                cuts += 1;
                let got = send(server.address, pieces);
                if got != whole {
                    otherwise += 1;
                    wrongs += &format!("{name}: {pieces:?}: {got:?}\n");
                }
            };
            for at in 1..request.len() {
                check(&[&request[..at], &request[at..]]);
            }
            let bytes: Vec<_> = (0..request.len()).map(|at| &request[at..=at]).collect();
            check(&bytes);
        }
        let cut = format!("{otherwise} of {cuts}");
        println!("{name:<10} {wrong:>6} {failed:>5} {hung:>6} {cut:>24}");
    }
    println!("\n{wrongs}");
}

/// Writes pieces that arrive apart to a connection, and reads its answers meanwhile until it ends. Those that say that there
/// will be another are left out.
fn send(address: SocketAddr, pieces: &[&str]) -> Vec<String> {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket can");
    let (mut reader, mut writer) = (&stream, &stream);
    let mut read = Vec::new();
    let mut waits = false;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (number, piece) in pieces.iter().enumerate() {
                if number > 0 {
                    // The server has its turn.
                    std::thread::sleep(Duration::from_millis(1));
                }
                // A server may close before it has read everything.
                let _ = writer.write_all(piece.as_bytes());
            }
        });
        let end = Instant::now() + PATIENCE;
        let mut some = [0; 4096];
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let _ = stream.set_read_timeout(Some(rest.max(Duration::from_millis(1))));
            match reader.read(&mut some) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    waits = true;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(count) => read.extend_from_slice(&some[..count]),
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    });
    let (mut got, _) = answers(&String::from_utf8_lossy(&read));
    got.retain(|answer| answer != "100");
    // The length of a frame's payload has three bytes, and that of the first is small.
    if let Some(frames) = got.iter_mut().find(|answer| answer.starts_with("\0\0")) {
        *frames = FRAMES.to_owned();
    }
    if waits {
        got.push(WAITS.to_owned());
    }
    got
}

fn is_failure(answer: &str) -> bool {
    answer.starts_with('5') && !answer.starts_with("501") && !answer.starts_with("505")
}

fn start(answer: &str) -> String {
    answer.chars().take(60).collect()
}

/// This program once more.
fn echo_of(folder: &Path, server: &str) -> Process {
    let program = std::env::current_exe().expect("a program has a path");
    let errors = folder.join(format!("{server}.err"));
    Process::of(Command::new(program).args(["--echo", server]), errors)
}

pub(crate) fn gunicorn(folder: &Path) -> Process {
    let [address] = free();
    let mut command = python("gunicorn");
    command.args(["echo:app", "--worker-class", "gthread", "--threads", "2"]);
    command.args(["--bind", &address.to_string()]);
    Process::at(address, &mut command, folder.join("gunicorn.err"))
}

pub(crate) fn granian(folder: &Path) -> Process {
    let [address] = free();
    let mut command = python("granian");
    command.args(["--interface", "wsgi", "echo:app", "--host", "127.0.0.1"]);
    command.args(["--port", &address.port().to_string()]);
    Process::at(address, &mut command, folder.join("granian.err"))
}

/// A Python server, from the environment that `just wsgi-bench` makes.
fn python(name: &str) -> Command {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let bin: PathBuf = root.join("target/wsgi-bench/bin");
    let program = bin.join(name);
    assert!(
        program.exists(),
        "`python3 -m venv target/wsgi-bench && target/wsgi-bench/bin/pip install gunicorn granian`"
    );
    let mut command = Command::new(program);
    command.current_dir(root.join("benches/wsgi"));
    command
}

/// Serves the app of the tests, by our adapter or by hyper alone.
pub(crate) fn serve(server: &str) {
    load::run(1, async {
        let listener = load::listen().await;
        match server {
            "hyper" => hand_written::serve_app(listener, echo).await,
            _ => {
                let server = Server::new(echo).bind(listener).await;
                server.expect("it listens").run().await.expect("we serve");
            }
        }
    });
}

/// A server without an end of its response after this time hangs.
const PATIENCE: Duration = Duration::from_secs(10);
