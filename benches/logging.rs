//! Measures a line of the access log beside tower-http's trace to a file, and a timed layer.
//!
//! `cargo bench --bench logging` prints the tables and fails when a bar is not met. Instructions are counted
//! by valgrind's callgrind, those of the thread that writes included.

mod count;

use std::fs::File;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;
use vestibule::logging::{AccessLog, LogFile, Sink};
use vestibule::prelude::*;
use vestibule::tower::from_layer;
use vestibule::{Address, Peer};

async fn hello(_: Request) -> &'static str {
    "hello"
}

fn request() -> Request {
    let mut request = Request::default();
    *request.uri_mut() = http::Uri::from_static("/articles/7?page=2");
    let address = Address::from(std::net::SocketAddr::from(([192, 0, 2, 1], 4711)));
    request
        .extensions_mut()
        .insert(Peer::new(address.clone(), address));
    let headers = request.headers_mut();
    headers.insert("host", HeaderValue::from_static("example.org"));
    headers.insert(
        "user-agent",
        HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
    );
    headers.insert(
        "referer",
        HeaderValue::from_static("https://example.org/articles"),
    );
    request
}

/// Runs a future that is never pending.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

/// A request whose response is read to its end.
fn call(app: &impl App) {
    let response = now(app.call(request()));
    let bytes = now(response.into_body().collect(100));
    drop(std::hint::black_box(bytes));
}

fn log_file(name: &str) -> std::path::PathBuf {
    // The same in the programs that count, so that the first removes what they leave.
    std::env::temp_dir().join(format!("vestibule-bench-{name}"))
}

/// An app whose log goes to a file.
fn logged() -> (impl App, Sink) {
    let path = log_file("access.log");
    let file = LogFile::open(&path).expect("the directory for temporary files can be written");
    let sink = Sink::file(file);
    (AccessLog::new(hello.boxed()).to(sink.clone()), sink)
}

/// tower-http's trace at level info, printed by `tracing-subscriber` to a file.
fn traced() -> impl App {
    let path = log_file("trace.log");
    let file = File::create(path).expect("the directory for temporary files can be written");
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .init();
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    Stack::new().with(from_layer(trace)).app(hello)
}

/// A layer that does nothing.
struct Through {
    app: BoxApp,
}

impl App for Through {
    async fn call(&self, request: Request) -> Response {
        self.app.call(request).await
    }
}

fn through(layers: usize, is_timed: bool) -> BoxApp {
    let stack = (0..layers).fold(Stack::new(), |stack, _| stack.with(|app| Through { app }));
    let stack = if is_timed { stack.timed() } else { stack };
    stack.app(hello)
}

/// One case: its name, and what it does once it has been set up.
type Case = (&'static str, fn() -> Box<dyn Fn()>);

const CASES: &[Case] = &[
    ("no log", || {
        let app = hello.boxed();
        Box::new(move || call(&app))
    }),
    ("access log, combined, to a file", || {
        let (app, _) = logged();
        Box::new(move || call(&app))
    }),
    ("bridge, no trace", || {
        let app = Stack::new()
            .with(from_layer(tower_layer::Identity::new()))
            .app(hello);
        Box::new(move || call(&app))
    }),
    ("tower-http trace, to a file", || {
        let app = traced();
        Box::new(move || call(&app))
    }),
    ("12 layers", || {
        let app = through(12, false);
        Box::new(move || call(&app))
    }),
    ("12 layers, timed", || {
        let app = through(12, true);
        Box::new(move || call(&app))
    }),
];

/// CPU time of this process so far, in all its threads.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0)
        .sum()
}

/// Microseconds of CPU that a request takes: the least of five runs.
fn microseconds(app: &impl App) -> f64 {
    let runs = (0..5).map(|_| {
        let start = cpu();
        (0..200_000).for_each(|_| call(app));
        (cpu() - start) / 200_000.0 * 1e6
    });
    runs.fold(f64::MAX, f64::min)
}

/// Nanoseconds of CPU that a call takes: the least of five runs, each long beside the 4 ms in which the system
/// counts.
fn nanoseconds(call: impl Fn()) -> f64 {
    let runs = (0..5).map(|_| {
        let start = thread_cpu();
        (0..200_000).for_each(|_| call());
        (thread_cpu() - start) / 200_000.0
    });
    runs.fold(f64::MAX, f64::min)
}

/// Nanoseconds of CPU that this thread has had.
fn thread_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let first = stat.split(' ').next().expect("three numbers");
    first.parse().expect("a number")
}

/// Asks 100,000 times a second for ten seconds, and holds lines and drops against that.
fn flood() -> bool {
    let path = log_file("access.log");
    let _ = std::fs::remove_file(&path);
    let (app, sink) = logged();
    let start = Instant::now();
    for batch in 1..=1_000 {
        (0..1_000).for_each(|_| call(&app));
        let due = Duration::from_millis(10 * batch);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    let took = start.elapsed();
    sink.flush(Duration::from_secs(10));
    let text = std::fs::read(&path).expect("the log is there");
    let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let _ = std::fs::remove_file(&path);
    println!(
        "\n1,000,000 requests in {:.1} s: {lines} lines, {} dropped",
        took.as_secs_f64(),
        sink.dropped()
    );
    lines + sink.dropped() == 1_000_000
}

fn main() -> std::process::ExitCode {
    count::run(CASES, |counts| {
        let of = |name| counts.of(name).instructions;
        let ours = of("access log, combined, to a file") - of("no log");
        let theirs = of("tower-http trace, to a file") - of("bridge, no trace");
        println!("\na line: {ours:.0} instructions ours, {theirs:.0} tower-http's trace");
        let timed = (of("12 layers, timed") - of("12 layers")) / 13.0;
        println!("a timed layer: {timed:.0} instructions more");
        let micros = microseconds(&logged().0) - microseconds(&hello.boxed());
        let [timed_app, plain_app] = [true, false].map(|is_timed| through(12, is_timed));
        let ask = |app: &BoxApp| drop(std::hint::black_box(now(app.call(Request::default()))));
        let nanos = (nanoseconds(|| ask(&timed_app)) - nanoseconds(|| ask(&plain_app))) / 13.0;
        let clock = nanoseconds(|| {
            (0..10).for_each(|_| {
                std::hint::black_box(Instant::now().elapsed());
            });
        }) / 20.0;
        println!("a look at the clock: {clock:.0} ns; two of them are in a timed layer");
        let is_exact = flood();
        for name in ["access.log", "trace.log"] {
            let _ = std::fs::remove_file(log_file(name));
        }
        vec![
            count::at_most("access log: us of CPU a request", micros, 1.5),
            count::at_most("access log to tower-http's trace", ours / theirs, 1.0),
            count::at_most("timed: ns a layer", nanos, 100.0),
            count::at_most(
                "lines and drops that do not add up",
                f64::from(u8::from(!is_exact)),
                0.0,
            ),
        ]
    })
}
