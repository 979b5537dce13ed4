//! Measures the cost of authentication for each request: `cargo bench --bench auth`.
//!
//! callgrind counts the instructions. It has no SHA instructions, so it counts a hash in plain code.
//! The times beside them are CPU time, with SHA instructions.

mod count;

use std::hint::black_box;
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::HeaderValue;
use vestibule::auth::jwt::{Algorithm, Jwt, Key};
use vestibule::auth::{Authenticate, Basic, Bearer, Htpasswd, Identity, PasswordHash, Tokens};
use vestibule::prelude::*;

use count::at_most;

#[derive(serde::Deserialize)]
struct Claims {
    #[expect(dead_code, reason = "it is read, and nobody asks for it")]
    plan: String,
}

async fn app(_: Request) -> Response {
    Response::default()
}

/// A round: one request with this credential, through `app`, in the end let in.
fn asks(app: impl App, credential: &'static str) -> Box<dyn Fn()> {
    let ask = move || {
        let mut request = Request::default();
        let value = HeaderValue::from_static(credential);
        request
            .headers_mut()
            .insert(http::header::AUTHORIZATION, value);
        let mut call = pin!(app.call(request));
        let mut cx = Context::from_waker(Waker::noop());
        match call.as_mut().poll(&mut cx) {
            Poll::Ready(response) => assert_eq!(black_box(response).status(), 200),
            Poll::Pending => panic!("nothing to wait for"),
        }
    };
    ask(); // the check that is remembered
    Box::new(ask)
}

const BASIC: &str = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
const BEARER: &str = "Bearer mF_9.B5f-4.1JqM";
const JWT: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OSwiaXNzIjoiaHR0cHM6Ly9pZC5leGFtcGxlIiwiYXVkIjoic2hvcCIsInNjb3BlIjoicmVhZCB3cml0ZSIsInBsYW4iOiJnb2xkIn0.g5VaoTZVGhXguM6e0x7nZfjv0ZmrVVcLKb78YDs412Q";

fn basic() -> Box<dyn Fn()> {
    let stored = PasswordHash::parse(STORED).expect("a hash of ours");
    let users = Htpasswd::new().with_hash("alice", stored);
    let remember = Duration::from_secs(3600);
    asks(
        Authenticate::new(app, Basic::new(users).remember(remember)),
        BASIC,
    )
}

fn bearer() -> Box<dyn Fn()> {
    let tokens = Tokens::new().with("mF_9.B5f-4.1JqM", Identity::new("ci", "Bearer"));
    asks(Authenticate::new(app, Bearer::new(tokens)), BEARER)
}

fn jwt() -> Box<dyn Fn()> {
    let key = Key::hmac(Algorithm::HS256, [7; 32]).expect("a key of 32 bytes");
    let scheme = Jwt::<Claims>::new(key)
        .issuer("https://id.example")
        .audience("shop");
    asks(Authenticate::new(app, scheme), JWT)
}

const CASES: &[count::Case] = &[
    ("no auth", || asks(app, BASIC)),
    ("Basic, remembered", basic),
    ("Bearer, a token of a list", bearer),
    ("Bearer, a JWT with HS256", jwt),
];

/// Nanoseconds of CPU time a round, of each case. They take turns, and the best turn counts: other work on
/// the machine only ever adds.
fn times() -> Vec<f64> {
    let rounds: Vec<_> = CASES.iter().map(|(_, set_up)| set_up()).collect();
    let mut best = vec![f64::INFINITY; rounds.len()];
    for _ in 0..TURNS {
        for (round, best) in rounds.iter().zip(&mut best) {
            let start = thread_time();
            (0..ROUNDS).for_each(|_| round());
            let took = thread_time() - start;
            *best = best.min(took.as_nanos() as f64 / f64::from(ROUNDS));
        }
    }
    best
}

/// The CPU time that this thread took so far.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn main() -> ExitCode {
    count::run(CASES, |_| {
        println!();
        let times = times();
        for ((name, _), time) in CASES.iter().zip(&times) {
            println!("{name:<32} {time:>14.0} ns");
        }
        let more = |at: usize| (times[at] - times[0]) / 1000.0;
        vec![
            at_most("Basic, remembered, more than no auth, us", more(1), 3.0),
            at_most("a JWT with HS256, more than no auth, us", more(3), 3.0),
        ]
    })
}

const ROUNDS: u32 = 500;
const TURNS: u32 = 1000;
/// "correct horse", by apr1: it is checked once.
const STORED: &str = "$apr1$abcdefgh$sIQmFnT1CuEXAsyjuXjUX/";
