//! Fields that are made to cost: how many instructions a request with 64 KiB of one takes, beside one with 32 KiB.
//!
//! `cargo bench --bench fields` asks `StaticFiles` for a small file, with ranges, conditions and codings as nobody but an
//! attacker sends them. What takes time in proportion has a ratio of 2; one that takes the square of it, 4. The
//! instructions are counted by valgrind's callgrind.

#[allow(dead_code)] // one of its counts is all that is needed here
mod count;

use std::hint::black_box;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use vestibule::files::{Memory, StaticFiles, Stored};
use vestibule::http::{HeaderName, HeaderValue};
use vestibule::{App, Body, Request};

/// A field, what stands before the piece that is repeated, and the piece.
const CASES: [(&str, &str, &str); 22] = [
    ("range", "bytes=", "0-0,"),
    ("range", "bytes=", "0-,"),
    ("range", "bytes=", "-1,"),
    ("range", "bytes=", ","),
    ("range", "bytes=", " ,\t"),
    ("range", "bytes=", "9"),
    ("range", "bytes=", "5-2,"),
    ("range", "", "bytes="),
    ("if-none-match", "", "\"a\","),
    ("if-none-match", "", "\""),
    ("if-none-match", "", "W/"),
    ("if-none-match", "", "a\"b,"),
    ("if-none-match", "", ","),
    ("if-match", "", "W/\"a\", "),
    ("if-match", "\"", "a"),
    ("if-modified-since", "", "Sun, 06 Nov 1994 "),
    ("if-unmodified-since", "", " "),
    ("if-range", "", "\"\\"),
    ("accept-encoding", "", "*,"),
    ("accept-encoding", "", "gzip;q=0.001,"),
    ("accept-encoding", "", ";;;,,,q="),
    ("accept-encoding", "", "br;q=\"\\\""),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--rounds", rounds, name] => {
            let round = set_up(name);
            (0..rounds.parse::<u32>().expect("a number")).for_each(|_| round());
            ExitCode::SUCCESS
        }
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            (0..CASES.len()).for_each(|case| set_up(&format!("{case} {}", 64 << 10))());
            println!("{} cases run once; `cargo bench` counts them", CASES.len());
            ExitCode::SUCCESS
        }
        _ => compare(),
    }
}

fn compare() -> ExitCode {
    println!(
        "{:<36} {:>14} {:>8} {:>10}",
        "64 KiB of", "instructions", "of 32", "ms"
    );
    let mut are_met = true;
    for (case, (field, _, piece)) in CASES.iter().enumerate() {
        let counted = |size: usize| {
            let name = format!("{case} {size}");
            count::instructions(&name, MANY) - count::instructions(&name, FEW)
        };
        let (large, small) = (counted(64 << 10), counted(32 << 10));
        let round = set_up(&format!("{case} {}", 64 << 10));
        let took = (0..20).map(|_| time(&round)).min().unwrap_or_default();
        let (ratio, milliseconds) = (large / small, took.as_secs_f64() * 1e3);
        let is_met = ratio <= MAX_RATIO && milliseconds <= MAX_MILLISECONDS;
        are_met &= is_met;
        println!(
            "{:<36} {:>14.0} {ratio:>8.2} {milliseconds:>10.3}{}",
            format!("{field}: {piece:?}"),
            large / f64::from(MANY - FEW),
            if is_met { "" } else { " NOT MET" }
        );
    }
    println!("each at most {MAX_RATIO} times as many instructions, and {MAX_MILLISECONDS} ms");
    match are_met {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// A request of the case and the size that `name` says.
fn set_up(name: &str) -> impl Fn() + use<> {
    let (case, size) = name.split_once(' ').expect("a case and a size");
    let case: usize = case.parse().expect("a number");
    let size: usize = size.parse().expect("a number");
    let (field, before, piece) = CASES[case];
    let mut value = before.as_bytes().to_vec();
    value.extend(piece.bytes().cycle().take(size - before.len()));
    let value = HeaderValue::from_bytes(&value).expect("visible ASCII, spaces and tabs");
    let field = HeaderName::from_static(field);
    let file = |text: &str| Stored::memory(text.repeat(100)).tag("v1");
    let files = Memory::new()
        .with("a.js", file("let a;"))
        .with("a.js.br", file("(br)"))
        .with("a.js.gz", file("(gz)"));
    let app = StaticFiles::from_source(files).precompressed(true);
    move || {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = vestibule::http::Uri::from_static("/a.js");
        request.headers_mut().insert(field.clone(), value.clone());
        if field == "if-range" {
            let range = HeaderValue::from_static("bytes=0-1");
            request.headers_mut().insert("range", range);
        }
        let mut call = std::pin::pin!(app.call(request));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => drop(black_box(response)),
            Poll::Pending => unreachable!("nothing waits for a file in memory"),
        }
    }
}

fn time(round: &impl Fn()) -> Duration {
    let start = Instant::now();
    round();
    start.elapsed()
}

const FEW: u32 = 2;
const MANY: u32 = 12;

const MAX_RATIO: f64 = 2.3;
const MAX_MILLISECONDS: f64 = 2.0;
