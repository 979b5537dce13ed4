//! What a request costs on our adapter: CPU time beside hand-written hyper and axum.
//!
//! `cargo bench --bench server` starts each server as a process of its own with one worker thread, lets
//! wrk ask it (a Debian package) over kept connections, and divides the CPU time that the server took, as
//! the kernel counts it, by the requests that were answered. The servers take turns, and the best turn
//! of each counts: what else the machine does can only add.

mod load;

use std::convert::Infallible;
use std::io::Write;
use std::process::ExitCode;

use load::Server;
use vestibule::prelude::*;

const CASES: [&str; 4] = ["hyper", "vestibule", "vestibule, six layers", "axum"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", case] => {
            serve(case);
            ExitCode::SUCCESS
        }
        // As when `cargo test` runs the benchmarks: the servers start and answer.
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            CASES.iter().for_each(|case| drop(Server::start(case)));
            println!(
                "{} servers answer; `cargo bench` measures them",
                CASES.len()
            );
            ExitCode::SUCCESS
        }
        _ => compare(),
    }
}

fn compare() -> ExitCode {
    let mut best = [f64::INFINITY; CASES.len()];
    for _ in 0..TURNS {
        for (case, best) in CASES.iter().zip(&mut best) {
            *best = best.min(Server::start(case).cpu_per_request(""));
        }
    }
    println!(
        "{:<24} {:>16} {:>10}",
        "a request on", "CPU, us", "to hyper"
    );
    for (case, cost) in CASES.iter().zip(best) {
        println!("{case:<24} {:>16.2} {:>10.3}", cost * 1e6, cost / best[0]);
    }
    let ratio = best[1] / best[0];
    let is_met = ratio <= BAR;
    let verdict = if is_met { "met" } else { "NOT MET" };
    println!("\nour adapter to hand-written hyper: {ratio:.3}, at most {BAR:.2}: {verdict}");
    if is_met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn serve(case: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let mut out = std::io::stdout();
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        writeln!(out, "http://{address}/").expect("somebody reads");
        match case {
            "hyper" => serve_hyper(listener).await,
            "axum" => {
                let router = axum::Router::new().route("/", axum::routing::get(|| async { HELLO }));
                axum::serve(listener, router).await.expect("axum serves");
            }
            "vestibule" => vestibule::serve(listener, hello).await.expect("we serve"),
            _ => {
                let stack = (0..6).fold(Stack::new(), |stack, _| {
                    stack.around(|request, next| async move { next.call(request).await })
                });
                vestibule::serve(listener, stack.app(hello))
                    .await
                    .expect("we serve");
            }
        }
    });
}

async fn hello(_: Request) -> &'static str {
    HELLO
}

/// As hyper's own guide writes it.
async fn serve_hyper(listener: tokio::net::TcpListener) {
    use http_body_util::Full;
    use hyper::server::conn::http1;
    use hyper_util::rt::{TokioIo, TokioTimer};

    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|_| async {
                let mut response =
                    http::Response::new(Full::new(bytes::Bytes::from_static(HELLO.as_bytes())));
                let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
                response
                    .headers_mut()
                    .insert(http::header::CONTENT_TYPE, text);
                Ok::<_, Infallible>(response)
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

const HELLO: &str = "Hello, world!";
const TURNS: usize = 5;
const BAR: f64 = 1.03;
