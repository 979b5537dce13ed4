//! Measures whether slow password hashes delay requests without one: `cargo bench --bench auth_load`.
//!
//! A server in its own process has an open page and a page behind argon2. One connection requests the
//! open page repeatedly. In every second phase 200 others request the page behind argon2 at once, each
//! with a password that must be hashed, and repeat when all have their responses. Phases of rest and of
//! load take turns, so that other work of the machine is part of both.

mod load;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use load::{Asked, Server};
use vestibule::auth::{Authenticate, Basic, Htpasswd, PasswordHash, Require};
use vestibule::prelude::*;

fn main() -> ExitCode {
    match load::asked() {
        Asked::Serve(_) => {
            serve();
            ExitCode::SUCCESS
        }
        Asked::Try => {
            let server = Server::start("argon2");
            assert_eq!(Connection::to(&server).ask("/", ""), 200);
            println!("the server answers; `cargo bench` measures it");
            ExitCode::SUCCESS
        }
        Asked::Measure(_) => measure(),
    }
}

fn serve() {
    load::run(load::cores(), async {
        let listener = load::listen().await;
        let stored = PasswordHash::parse(&PasswordHash::argon2(b"right")).expect("a hash of ours");
        let users = (0..AT_ONCE).fold(Htpasswd::new(), |users, n| {
            users.with_hash(name(n), stored.clone())
        });
        let scheme = Basic::new(users).lockout(None);
        let stack = Stack::new()
            .with(move |app| Authenticate::new(app, scheme.clone()).optional())
            .with(|app| Require::new(app).under("/in"));
        let app = stack.app(|_: Request| async { "hello" });
        vestibule::serve(listener, app).await.expect("we serve");
    });
}

fn name(n: usize) -> String {
    format!("user{n:03}")
}

/// Times of the open page, at rest and at work.
fn measure() -> ExitCode {
    let server = Server::start("argon2");
    let mut open = Connection::to(&server);
    let mut crowd: Vec<_> = (0..AT_ONCE).map(|_| Connection::to(&server)).collect();
    let mut answers = [0, 0];
    let (mut rest, mut work) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let deadline = Instant::now() + PHASE;
        open.probe(&mut rest, || Instant::now() < deadline);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let deadline = Instant::now() + PHASE;
                while Instant::now() < deadline {
                    for (n, connection) in crowd.iter_mut().enumerate() {
                        let credential = format!("{}:wrong", name(n));
                        let credential = Base64::encode_string(credential.as_bytes());
                        connection.send("/in", &format!("Authorization: Basic {credential}\r\n"));
                    }
                    for connection in &mut crowd {
                        match connection.status() {
                            401 => answers[0] += 1,
                            503 => answers[1] += 1,
                            status => panic!("an answer is {status}"),
                        }
                    }
                }
                is_over.store(true, Ordering::Relaxed);
            });
            open.probe(&mut work, || !is_over.load(Ordering::Relaxed));
        });
    }
    println!(
        "{} requests with passwords: {} hashed and refused, {} told to come back",
        answers[0] + answers[1],
        answers[0],
        answers[1]
    );
    println!(
        "{:<24} {:>8} {:>8} {:>8} {:>8}",
        "the open page, us", "asked", "p50", "p99", "most"
    );
    let mut p99 = [0.0; 2];
    for ((name, times), p99) in [("at rest", &mut rest), ("beside argon2", &mut work)]
        .into_iter()
        .zip(&mut p99)
    {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
        println!(
            "{name:<24} {:>8} {:>8.0} {:>8.0} {:>8.0}",
            times.len(),
            at(50),
            at(99),
            at(100)
        );
        *p99 = at(99);
    }
    let ratio = p99[1] / p99[0];
    let verdict = if ratio <= BAR { "met" } else { "NOT MET" };
    println!("\np99 beside argon2 to at rest: {ratio:.2}, at most {BAR:.1}: {verdict}");
    if ratio <= BAR {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A kept connection, read and written by hand.
struct Connection(TcpStream);

impl Connection {
    fn to(server: &Server) -> Self {
        let address = server
            .url()
            .trim_start_matches("http://")
            .trim_end_matches('/');
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket of TCP");
        Self(stream)
    }

    fn send(&mut self, path: &str, fields: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        self.0
            .write_all(request.as_bytes())
            .expect("the server reads");
    }

    /// The status of the next answer, which is short and comes whole.
    fn status(&mut self) -> u16 {
        let mut answer = Vec::new();
        let mut room = [0; 4096];
        loop {
            let count = self.0.read(&mut room).expect("the server answers");
            assert!(count > 0, "the server closed");
            answer.extend_from_slice(&room[..count]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |it| it.parse().expect("a length is a number"));
            if body.len() >= length {
                return head[9..12].parse().expect("a status has three digits");
            }
        }
    }

    fn ask(&mut self, path: &str, fields: &str) -> u16 {
        self.send(path, fields);
        self.status()
    }

    /// Asks for the open page while `goes_on`.
    fn probe(&mut self, times: &mut Vec<Duration>, goes_on: impl Fn() -> bool) {
        while goes_on() {
            let start = Instant::now();
            assert_eq!(self.ask("/", ""), 200);
            times.push(start.elapsed());
            std::thread::sleep(PAUSE);
        }
    }
}

const AT_ONCE: usize = 200;
const TURNS: usize = 6;
const PHASE: Duration = Duration::from_secs(2);
/// Between two questions: a connection that never pauses would keep the processor awake for the others.
const PAUSE: Duration = Duration::from_micros(500);
const BAR: f64 = 2.0;
