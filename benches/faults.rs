//! How a server comes through what goes wrong: an end with clients that do not let go, and apps that
//! panic. Beside axum, as its users get it.
//!
//! `cargo bench --bench faults` starts each server as a process of its own and takes some two minutes,
//! most of them waiting for servers to end.

mod load;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use load::{Asked, Server, ask};
use vestibule::prelude::*;

const OURS: &str = "vestibule";
const AXUM: &str = "axum";

fn main() -> ExitCode {
    match load::asked() {
        Asked::Serve(case) => serve(&case),
        Asked::Try => {
            for case in [OURS, AXUM] {
                assert!(ask(&mut Server::start(case).connect(), "/").contains(" 200 "));
            }
            println!("the servers answer; `cargo bench` measures them");
        }
        Asked::Measure(_) => {
            end();
            panics();
        }
    }
    ExitCode::SUCCESS
}

/// SIGTERM with half a request, a client that does not read, and an event stream.
fn end() {
    println!(
        "{:<24} {:>12} {:>12}",
        "SIGTERM to", "ended after", "status"
    );
    for case in [OURS, AXUM] {
        let mut server = Server::start(case);
        let mut held = [(); 3].map(|()| server.connect());
        let requests = [
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf",
            "GET /endless HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /events HTTP/1.1\r\nhost: a\r\n\r\n",
        ];
        for (connection, request) in held.iter_mut().zip(requests) {
            connection.write_all(request.as_bytes()).expect("it reads");
        }
        let mut first = [0; 1];
        for connection in &mut held[1..] {
            connection.read_exact(&mut first).expect("an answer begins");
        }
        let begun = Instant::now();
        server.terminate();
        let status = server.wait(Duration::from_secs(45));
        let (after, status) = match status {
            Some(status) => (
                format!("{:.1} s", begun.elapsed().as_secs_f64()),
                status
                    .code()
                    .map_or("killed".into(), |code| code.to_string()),
            ),
            None => ("not in 45 s".into(), String::new()),
        };
        println!("{case:<24} {after:>12} {status:>12}");
    }
}

/// Panics in the app, in the body and when the body is dropped, with four clients beside them.
fn panics() {
    println!(
        "\n{:<24} {:>8} {:>8} {:>12} {:>14} {:>10}",
        "30,000 panics in", "500", "cut", "others asked", "others failed", "MB more"
    );
    for case in [OURS, AXUM] {
        let server = Server::start(case);
        let (stop, asked, failed) = (
            AtomicBool::new(false),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let mut answered = 0;
        let mut cut = 0;
        // Memory that the first requests take is not a leak.
        for path in PANICS.iter().cycle().take(300) {
            try_ask(&server, path);
        }
        let before = server.memory();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut kept = server.connect();
                    while !stop.load(Ordering::Relaxed) {
                        asked.fetch_add(1, Ordering::Relaxed);
                        if !ask(&mut kept, "/").contains(" 200 ") {
                            failed.fetch_add(1, Ordering::Relaxed);
                            kept = server.connect();
                        }
                    }
                });
            }
            for path in PANICS.iter().cycle().take(30_000) {
                match try_ask(&server, path).contains(" 500 ") {
                    true => answered += 1,
                    false => cut += 1,
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        let more = (server.memory() - before) / 1e6;
        let (asked, failed) = (asked.into_inner(), failed.into_inner());
        println!("{case:<24} {answered:>8} {cut:>8} {asked:>12} {failed:>14} {more:>10.1}");
    }
}

/// Whatever comes for one request on a connection of its own.
fn try_ask(server: &Server, path: &str) -> String {
    let mut connection = server.connect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let _ = connection.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn serve(case: &str) {
    // Thirty thousand lines of panics would hide the result.
    std::panic::set_hook(Box::new(|_| ()));
    load::run(1, async {
        let listener = load::listen().await;
        match case {
            AXUM => {
                let router = axum::Router::new()
                    .route("/", axum::routing::get(|| async { "hello" }))
                    .route(
                        "/",
                        axum::routing::post(|_: axum::body::Bytes| async { "hello" }),
                    )
                    .fallback(|request: axum::extract::Request| async move {
                        match odd(request.uri().path()) {
                            Some(body) => axum::body::Body::new(body),
                            None => panic!("on purpose"),
                        }
                    });
                let signal = tokio::signal::unix::SignalKind::terminate();
                let mut signal = tokio::signal::unix::signal(signal).expect("a signal");
                axum::serve(listener, router)
                    .with_graceful_shutdown(async move {
                        signal.recv().await;
                    })
                    .await
                    .expect("axum serves");
            }
            _ => vestibule::serve(listener, app).await.expect("we serve"),
        }
    });
}

async fn app(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path == "/" {
        return match request.into_body().collect(1024).await {
            Ok(_) => "hello".into_response(),
            Err(error) => error.into_response(),
        };
    }
    match odd(&path) {
        Some(body) => Body::new(body).into_response(),
        None => panic!("on purpose"),
    }
}

const PANICS: [&str; 3] = ["/panic", "/body", "/drop"];

/// The bodies of the paths that have one; `/panic` has none.
fn odd(path: &str) -> Option<Odd> {
    let kind = match path {
        "/endless" => Kind::Endless,
        "/events" => Kind::Events { has_begun: false },
        "/body" => Kind::Panics,
        "/drop" => Kind::PanicsAtDrop,
        _ => return None,
    };
    Some(Odd(kind))
}

struct Odd(Kind);

enum Kind {
    Endless,
    Events { has_begun: bool },
    Panics,
    PanicsAtDrop,
}

impl http_body::Body for Odd {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Infallible>>> {
        let piece = match &mut self.0 {
            Kind::Endless => bytes::Bytes::from_static(&[0; 16 * 1024]),
            Kind::Events { has_begun } if *has_begun => return Poll::Pending,
            Kind::Events { has_begun } => {
                *has_begun = true;
                bytes::Bytes::from_static(b"data: hello\n\n")
            }
            Kind::Panics => panic!("on purpose"),
            Kind::PanicsAtDrop => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        if matches!(self.0, Kind::PanicsAtDrop) && !thread::panicking() {
            panic!("on purpose");
        }
    }
}
