//! Counts the requests that a server leaves unanswered when it ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::framing::{granian, gunicorn};
use crate::peer;
use crate::process::{Process, root, signal};

/// Asks each server to end, several times, while twenty clients ask all the time; twenty others, whose connections are
/// idle, have a request on its way.
pub(crate) fn compare(folder: &Path) {
    println!(
        "\n{TURNS} times SIGTERM (SIGQUIT for nginx, which ends gently by it) with 40 clients\n"
    );
    println!(
        "{:<10} {:>10} {:>12} {:>12} {:>12} {:>16}",
        "server", "answered", "begun, lost", "unanswered", "of idle ones", "ends after, s"
    );
    let (axum, actix) = (peer::build("axum"), peer::build("actix-web"));
    for name in ["ours", "nginx", "axum", "actix", "gunicorn", "granian"] {
        let (mut all, mut longest) = (Tally::default(), Some(Duration::ZERO));
        for _ in 0..TURNS {
            let mut server = match name {
                "ours" => Process::ours(folder, "limited", ""),
                "nginx" => Process::nginx_with(folder, "", "on", &root(folder)),
                "axum" => Process::axum(folder, &axum),
                "actix" => Process::actix(folder, &actix),
                "gunicorn" => gunicorn(folder),
                _ => granian(folder),
            };
            let end = if name == "nginx" { "QUIT" } else { "TERM" };
            all.add(Tally::of(server.address, || signal(end, server.child.id())));
            let ended = server.wait(LIMIT);
            longest = longest.zip(ended).map(|(one, other)| one.max(other));
        }
        let ends = longest.map_or("not in 45".to_owned(), |it| {
            format!("{:.1}", it.as_secs_f64())
        });
        println!(
            "{name:<10} {:>10} {:>12} {:>12} {:>12} {ends:>16}",
            all.answered, all.lost, all.unanswered, all.unanswered_idle
        );
    }
}

/// The fate of requests.
#[derive(Default)]
struct Tally {
    answered: usize,
    /// Their answer had begun.
    lost: usize,
    /// Of clients that ask all the time.
    unanswered: usize,
    /// Of clients that had been idle.
    unanswered_idle: usize,
}

impl Tally {
    fn of(address: SocketAddr, end: impl FnOnce()) -> Self {
        let answered = AtomicUsize::new(0);
        let mut idle: Vec<_> = (0..HALF)
            .map(|_| TcpStream::connect(address).expect("it listens"))
            .collect();
        for stream in &mut idle {
            assert!(matches!(ask(stream), Told::Whole { closes: false }));
        }
        let mut tally = Self::default();
        std::thread::scope(|scope| {
            let busy: Vec<_> = (0..HALF)
                .map(|_| {
                    let mut stream = TcpStream::connect(address).expect("it listens");
                    let answered = &answered;
                    scope.spawn(move || {
                        loop {
                            match ask(&mut stream) {
                                Told::Whole { closes } => {
                                    answered.fetch_add(1, Ordering::Relaxed);
                                    if closes {
                                        return Told::Whole { closes };
                                    }
                                }
                                told => return told,
                            }
                        }
                    })
                })
                .collect();
            while answered.load(Ordering::Relaxed) < 1000 {
                std::thread::yield_now();
            }
            end();
            // They were sent before the client could know.
            std::thread::sleep(ON_THE_WAY);
            for stream in &mut idle {
                match ask(stream) {
                    Told::Whole { .. } => tally.answered += 1,
                    Told::Part => tally.lost += 1,
                    Told::Nothing => tally.unanswered_idle += 1,
                }
            }
            for client in busy {
                match client.join().expect("it does not panic") {
                    Told::Whole { .. } => {}
                    Told::Part => tally.lost += 1,
                    Told::Nothing => tally.unanswered += 1,
                }
            }
        });
        tally.answered += answered.into_inner();
        tally
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.lost += other.lost;
        self.unanswered += other.unanswered;
        self.unanswered_idle += other.unanswered_idle;
    }
}

/// The response that a client received.
enum Told {
    Whole { closes: bool },
    Part,
    Nothing,
}

fn ask(stream: &mut TcpStream) -> Told {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(LIMIT));
    if stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .is_err()
    {
        return Told::Nothing;
    }
    let mut read = Vec::new();
    let mut some = [0; 1024];
    loop {
        match stream.read(&mut some) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) if read.is_empty() => return Told::Nothing,
            Ok(0) | Err(_) => return Told::Part,
            Ok(count) => read.extend_from_slice(&some[..count]),
        }
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split_once("content-length: ").map(|(_, rest)| rest);
        let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            let closes = head.contains("connection: close");
            return Told::Whole { closes };
        }
    }
}

const TURNS: usize = 5;

/// How many clients are of each kind.
const HALF: usize = 20;

/// How long a request takes from a client that is far away.
const ON_THE_WAY: Duration = Duration::from_millis(50);

const LIMIT: Duration = Duration::from_secs(45);
