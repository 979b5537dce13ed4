//! Measures a request on our adapter, beside hand-written hyper, axum and actix-web.
//!
//! `cargo bench --bench server` starts each server as a process of its own with one worker thread, lets
//! wrk ask it (a Debian package) over kept connections, and divides the CPU time that the server took, as
//! the kernel counts it, by the requests that were answered. The servers take turns, and the best turn
//! of each counts: what else the machine does can only add. Callgrind counts the instructions of the same
//! servers outside the kernel, which nothing else can add to.
//!
//! Then actix-web, which it builds in `benches/peers/actix-web`, and our workers answer as many requests
//! as they can, with as many threads as there are cores. `cargo bench --bench server -- http2` is HTTP/2
//! alone, by h2load (of Debian's `nghttp2-client`), beside hyper; `-- h2spec PROGRAM` is whether it is right, by
//! that program.

mod hand_written;
mod http2;
mod load;
mod peer;

use std::process::{Command, ExitCode};

use load::{Asked, Server};
use vestibule::prelude::*;

const CASES: [&str; 4] = ["hyper", "vestibule", "vestibule, six layers", "axum"];

/// Servers with a thread for each core.
const CROWDS: [&str; 3] = ["actix-web", "our workers", "our multi-thread"];

fn main() -> ExitCode {
    match load::asked() {
        Asked::Serve(case) => {
            serve(&case);
            ExitCode::SUCCESS
        }
        Asked::Try => {
            CASES.iter().for_each(|case| drop(Server::start(case)));
            println!(
                "{} servers answer; `cargo bench` measures them",
                CASES.len()
            );
            ExitCode::SUCCESS
        }
        Asked::Measure(what) => match what.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["h2spec", program, ..] => verdict(http2::conform(program)),
            ["http2", ..] => {
                let worst = http2::compare();
                println!();
                let is_met = |ratio| ratio <= HTTP2_BAR;
                let what = "our HTTP/2 to hyper's, CPU, at most";
                verdict(judge(what, worst, is_met, HTTP2_BAR))
            }
            _ => compare(),
        },
    }
}

fn verdict(is_met: bool) -> ExitCode {
    match is_met {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn compare() -> ExitCode {
    let mut best = [f64::INFINITY; CASES.len()];
    for _ in 0..TURNS {
        for (case, best) in CASES.iter().zip(&mut best) {
            *best = best.min(Server::start(case).pin(0).cpu_per_request(""));
        }
    }
    println!(
        "{:<24} {:>10} {:>10} {:>14} {:>10}",
        "a request on", "CPU, us", "to hyper", "instructions", "to hyper"
    );
    let counts = CASES.map(Server::instructions_per_request);
    for (case, (cost, count)) in CASES.iter().zip(best.into_iter().zip(counts)) {
        println!(
            "{case:<24} {:>10.2} {:>10.3} {count:>14.0} {:>10.3}",
            cost * 1e6,
            cost / best[0],
            count / counts[0]
        );
    }
    let threads = load::cores();
    let actix = peer::build("actix-web");
    let mut most = [(0.0_f64, f64::INFINITY); CROWDS.len()];
    for _ in 0..TURNS {
        for (case, most) in CROWDS.iter().zip(&mut most) {
            let server = match *case {
                "actix-web" => Server::spawn(Command::new(&actix).arg(threads.to_string())),
                case => Server::start(case),
            };
            let (rate, cost) = server.throughput();
            *most = (most.0.max(rate), most.1.min(cost));
        }
    }
    println!(
        "\n{:<24} {:>10} {:>10} {:>14} {:>10}",
        format!("{threads} threads of"),
        "requests/s",
        "to actix",
        "CPU, us",
        "to actix"
    );
    for (case, (rate, cost)) in CROWDS.iter().zip(most) {
        println!(
            "{case:<24} {rate:>10.0} {:>10.3} {:>14.2} {:>10.3}",
            rate / most[0].0,
            cost * 1e6,
            cost / most[0].1
        );
    }
    println!();
    let is_cheap = judge(
        "our adapter to hand-written hyper, CPU, at most",
        best[1] / best[0],
        |ratio| ratio <= BAR,
        BAR,
    );
    let is_fast = judge(
        "our workers to actix-web, requests a second, at least",
        most[1].0 / most[0].0,
        |ratio| ratio >= 1.0,
        1.0,
    );
    verdict(is_cheap && is_fast)
}

fn judge(what: &str, ratio: f64, is_met: impl Fn(f64) -> bool, bar: f64) -> bool {
    let verdict = if is_met(ratio) { "met" } else { "NOT MET" };
    println!("{what} {bar:.2}: {ratio:.3}: {verdict}");
    is_met(ratio)
}

fn serve(case: &str) {
    let is_crowd = case == "our multi-thread";
    load::run(if is_crowd { load::cores() } else { 1 }, async {
        let listener = load::listen().await;
        match case {
            "hyper" => hand_written::serve(listener, HELLO).await,
            "hyper, HTTP/2" => {
                hand_written::serve_both(listener, HELLO, &http2::MEGABYTE).await;
            }
            "vestibule, HTTP/2" => {
                vestibule::serve(listener, http2::app)
                    .await
                    .expect("we serve");
            }
            "axum" => {
                let router = axum::Router::new().route("/", axum::routing::get(|| async { HELLO }));
                axum::serve(listener, router).await.expect("axum serves");
            }
            "vestibule" | "our multi-thread" => {
                vestibule::serve(listener, hello).await.expect("we serve");
            }
            "our workers" => {
                let server = vestibule::hyper::Server::new(hello).workers(load::cores());
                let bound = server.bind(listener).await.expect("it listens already");
                bound.run().await.expect("we serve");
            }
            #[cfg(feature = "tls-self-signed")]
            "vestibule, HTTPS" => {
                use vestibule::hyper::{Bind, Server, Tls};

                let tls = Tls::self_signed(["127.0.0.1"]).expect("an address can be certified");
                let server = Server::new(http2::app).bind(Bind::from(listener).tls(tls));
                let bound = server.await.expect("it listens already");
                bound.run().await.expect("we serve");
            }
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

const HELLO: &str = "Hello, world!";
const TURNS: usize = 8;
const BAR: f64 = 1.03;
const HTTP2_BAR: f64 = 1.05;
