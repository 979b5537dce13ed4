//! Measures the cost of compression beside nginx's gzip and tower-http's layer, all at level 6.
//!
//! `cargo bench --bench compression` counts instructions and allocations in process (callgrind), looks for
//! the longest poll, and then starts each server as a process of its own with one thread, lets wrk ask it,
//! and divides the CPU time that the server took by the requests that were answered. The servers take
//! turns, and the mean of the turns counts. `valgrind`, `wrk` and `nginx-light` are Debian packages.
//!
//! tower-http's layer is measured twice. One program has one flate2, so in this one it has zlib-rs, as ours; that
//! compares the layers. By itself it has miniz_oxide: so it is built in `peers/tower-http`, a program of its own on
//! an axum router, which is what its users have.

mod count;
mod load;
mod peer;

use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::{Command, ExitCode, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use vestibule::compression::{Coding, Compression};
use vestibule::prelude::*;
use vestibule::tower::from_layer;

use load::Server;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let ["--serve", who, page] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        serve(app(who, page));
        return ExitCode::SUCCESS;
    }
    count::run(CASES, |counts| {
        let json = |who| counts.of(&format!("{who}, 10 KB of JSON")).instructions;
        let mut bars = vec![count::at_most(
            "instructions for JSON, to tower-http's with the same zlib",
            json("vestibule") / json("tower-http"),
            0.85,
        )];
        let allocations = |who| counts.of(&format!("{who}, 10 KB of JSON")).allocations;
        bars.push(count::at_most(
            "allocations for JSON, beside the app's",
            allocations("vestibule") - allocations("no layer"),
            3.0,
        ));
        bars.push(count::at_most(
            "allocations a frame of an event stream",
            allocations_per_frame(),
            1.0,
        ));
        for (what, is_whole) in [("whole", true), ("in one frame", false)] {
            let longest = longest_poll(is_whole).as_secs_f64() * 1e3;
            bars.push(count::at_most(
                format!("longest poll at 1 MB, {what}: ms"),
                longest,
                2.0,
            ));
        }
        bars.extend(servers());
        bars
    })
}

const CASES: &[count::Case] = &[
    ("no layer, 10 KB of JSON", || case("none", "json")),
    ("vestibule, 10 KB of JSON", || case("vestibule", "json")),
    ("tower-http, 10 KB of JSON", || case("tower-http", "json")),
];

fn case(who: &'static str, page: &'static str) -> Box<dyn Fn()> {
    let app = app(who, page);
    Box::new(move || {
        let response = now(app.call(get()));
        drop(std::hint::black_box(now(response
            .into_body()
            .collect(1 << 20))));
    })
}

/// Runs a future that waits for nothing; it may give others their turn.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context()) {
            return output;
        }
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn get() -> Request {
    let mut request = Request::default();
    let gzip = HeaderValue::from_static("gzip");
    request.headers_mut().insert(ACCEPT_ENCODING, gzip);
    request
}

/// An app that responds with a page, compressed by one of the measured layers.
fn app(who: &str, page: &str) -> BoxApp {
    let (kind, text) = content(page);
    let text = Bytes::from(text);
    let app = move |_: Request| {
        let text = text.clone();
        async move {
            let mut response = Response::new(Body::from(text));
            let kind = HeaderValue::from_static(kind);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
    };
    match who {
        "vestibule" => Compression::new(app).level(Coding::Gzip, 6).boxed(),
        "tower-http" => {
            let layer = CompressionLayer::new().quality(CompressionLevel::Precise(6));
            from_layer(layer)(app.boxed()).boxed()
        }
        _ => app.boxed(),
    }
}

/// The type of a page and what it says.
fn content(page: &str) -> (&'static str, String) {
    match page {
        "json" => ("application/json", json(10 << 10)),
        _ => ("text/html", html(100 << 10)),
    }
}

/// Records as an API gives them.
fn json(bytes: usize) -> String {
    let mut text = String::from("[");
    for n in 0_u64.. {
        let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text += &format!(
            "{{\"id\":\"{id:016x}\",\"name\":\"Guest {n}\",\"room\":{},\"email\":\"guest{n}@example.org\",\
             \"arrived\":\"2026-0{}-1{}T0{}:3{}:00Z\",\"is_member\":{},\"score\":{}.{}}},",
            id % 400,
            id % 9 + 1,
            id % 7,
            id % 8,
            id % 6,
            id % 3 == 0,
            id % 97,
            id % 89
        );
        if text.len() >= bytes {
            break;
        }
    }
    text.truncate(bytes - 1);
    text + "]"
}

/// A page like those of real sites: repeated markup around prose of two thousand words, some of them
/// frequent.
fn html(bytes: usize) -> String {
    let mut text = String::from("<!doctype html><html><head><title>Rooms</title></head><body>");
    let mut state = 1_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    while text.len() < bytes {
        text += "<div class=\"room\"><h2>";
        for n in 0..60 {
            let rank = random(2_000).min(random(2_000)).min(random(2_000));
            let mut spelling = rank.wrapping_mul(0x9e37_79b9) | 1;
            for _ in 0..1 + (rank + 1).ilog2().div_ceil(3) {
                let syllable = SYLLABLES[(spelling >> 27) as usize];
                text += syllable;
                spelling = spelling.wrapping_mul(0x2c1b_3c6d);
            }
            text += if n == 4 {
                "</h2><p class=\"text\">"
            } else {
                " "
            };
        }
        text += &format!(
            "<a href=\"/rooms/{}\">more</a></p></div>\n",
            random(1 << 20)
        );
    }
    text.truncate(bytes);
    text
}

const SYLLABLES: [&str; 32] = [
    "a", "ter", "in", "o", "ves", "ti", "bu", "le", "re", "que", "st", "an", "the", "ing", "er",
    "con", "de", "ment", "al", "pro", "is", "ion", "en", "com", "ly", "un", "ri", "per", "ver",
    "tion", "ble", "house",
];

/// Allocations for each frame of an event stream that is flushed at each, once it runs.
fn allocations_per_frame() -> f64 {
    const FRAMES: usize = 1_000;
    let event = Bytes::from(json(500));
    let frames = std::iter::repeat_n(event, 2 * FRAMES);
    let app = move |_: Request| {
        let body = Body::new(Frames(frames.clone().collect()));
        async move { ([("content-type", "text/event-stream")], Response::new(body)) }
    };
    let mut body = now(Compression::new(app).call(get())).into_body();
    (0..FRAMES / 2).for_each(|_| drop(now(body.frame())));
    let count = allocation_counter::measure(|| {
        (0..FRAMES).for_each(|_| drop(now(body.frame())));
    });
    count.count_total as f64 / FRAMES as f64
}

/// A body that has all its frames.
struct Frames(std::collections::VecDeque<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(
            self.0
                .pop_front()
                .map(|data| Ok(http_body::Frame::data(data))),
        )
    }
}

/// The longest poll of `call` and of the body, in CPU time, for 1 MB of HTML; of several runs the best, since what
/// else the machine does can only add.
fn longest_poll(is_whole: bool) -> Duration {
    let text = Bytes::from(html(1 << 20));
    let app = move |_: Request| {
        let body = match is_whole {
            true => Body::from(text.clone()),
            false => Body::new(Frames([text.clone()].into())),
        };
        async move { ([("content-type", "text/html")], Response::new(body)) }
    };
    let app = Compression::new(app);
    let run = || {
        let mut longest = Duration::ZERO;
        let mut timed = |started: Duration| longest = longest.max(thread_time() - started);
        let mut call = pin!(app.call(get()));
        let mut body = loop {
            let started = thread_time();
            let polled = call.as_mut().poll(&mut context());
            timed(started);
            if let Poll::Ready(response) = polled {
                break response.into_body();
            }
        };
        loop {
            let started = thread_time();
            let polled = http_body::Body::poll_frame(Pin::new(&mut body), &mut context());
            timed(started);
            if let Poll::Ready(None) = polled {
                return longest;
            }
        }
    };
    (0..30).map(|_| run()).min().unwrap_or_default()
}

/// The CPU time that this thread took so far.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// CPU time a request of each server, for each page and load.
///
/// A turn is all servers one after the other, each a process of its own, so that what else the machine does
/// falls on all of them. The mean of the turns counts, not the best: in about half of its starts glibc gives
/// the memory of tower-http's encoders back after each request, with some 48 page faults each, and its users
/// have both.
fn servers() -> Vec<count::Bar> {
    let mut bars = Vec::new();
    let peer = peer::build("tower-http");
    println!(
        "\n{:<52} {:>8} {:>8} {:>8} {:>8}",
        "CPU time a request, us", "mean", "best", "worst", "bytes"
    );
    for (page, loads) in [("json", &[16, 64][..]), ("html", &[16][..])] {
        let place = Place::with(page);
        let mut mean = [0.0; WHO.len()];
        for &connections in loads {
            let turns: Vec<[(f64, usize); WHO.len()]> = (0..TURNS)
                .map(|_| {
                    WHO.map(|who| {
                        let running = match who {
                            "nginx" => nginx(&place),
                            "tower-http as it comes" => {
                                Server::spawn(Command::new(&peer).arg(place.file()).arg(place.kind))
                            }
                            "tower-http with our zlib" => start("tower-http", page),
                            who => start(who, page),
                        };
                        let bytes = size(&running);
                        let cost = running.cpu_per_request_of("", connections, &[GZIP]);
                        (cost * 1e6, bytes)
                    })
                })
                .collect();
            for (index, who) in WHO.into_iter().enumerate() {
                let (_, bytes) = turns[0][index];
                let costs = || turns.iter().map(|turn| turn[index].0);
                let cost = costs().sum::<f64>() / TURNS as f64;
                let best = costs().fold(f64::INFINITY, f64::min);
                let worst = costs().fold(0.0, f64::max);
                mean[index] += cost / loads.len() as f64;
                let what = format!("{who}, {page}, {connections} connections");
                println!("{what:<52} {cost:>8.1} {best:>8.1} {worst:>8.1} {bytes:>8}");
            }
        }
        let [_, own, tower, layer, nginx] = mean;
        let to = |whose: &str, theirs: f64, bar| {
            count::at_most(format!("{page}: CPU time to {whose}"), own / theirs, bar)
        };
        bars.push(to("nginx's", nginx, 0.95));
        bars.push(to("tower-http's as it comes", tower, 0.4));
        let same = own / layer;
        println!("{page}: CPU time to tower-http's with our zlib: {same:.2}");
    }
    bars
}

const WHO: [&str; 5] = [
    "none",
    "vestibule",
    "tower-http as it comes",
    "tower-http with our zlib",
    "nginx",
];

/// Starts this program once more, with one of its apps.
fn start(who: &str, page: &str) -> Server {
    let program = std::env::current_exe().expect("a program has a path");
    Server::spawn(Command::new(program).args(["--serve", who, page]))
}

/// A directory with a page, for the servers of files.
struct Place {
    directory: PathBuf,
    page: &'static str,
    kind: &'static str,
}

impl Place {
    fn with(page: &'static str) -> Self {
        let (kind, text) = content(page);
        let name = format!("vestibule-bench-{}-{page}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(directory.join("root")).expect("a directory for the page");
        let place = Self {
            directory,
            page,
            kind,
        };
        std::fs::write(place.file(), text).expect("a page");
        place
    }

    fn file(&self) -> PathBuf {
        self.directory.join(format!("root/page.{}", self.page))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// nginx as one process, with its access log off.
fn nginx(place: &Place) -> Server {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let conf = place.directory.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {0}/pid; error_log {0}/error.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; keepalive_requests 100000000; open_file_cache max=10;\n\
         gzip on; gzip_comp_level 6; gzip_types application/json;\n\
         types {{ application/json json; text/html html; }}\n\
         server {{ listen {address}; root {0}/root; }} }}\n",
        place.directory.display(),
    );
    std::fs::write(&conf, text).expect("a configuration");
    let process = Command::new("nginx")
        .arg("-c")
        .arg(&conf)
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx is the peer: install the Debian package `nginx-light`");
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nginx does not listen");
        std::thread::yield_now();
    }
    Server::of(process, format!("http://{address}/page.{}", place.page))
}

/// Bytes of the body as it comes over the wire.
fn size(server: &Server) -> usize {
    let output = Command::new("curl")
        .args(["-sS", "--raw", "-H", GZIP, "-o", "/dev/null"])
        .args(["-w", "%{size_download}", server.url()])
        .output()
        .expect("curl asks once: install the Debian package `curl`");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("a size is a number")
}

fn serve(app: BoxApp) {
    load::run(1, async {
        let listener = load::listen().await;
        vestibule::serve(listener, app).await.expect("we serve");
    });
}

const TURNS: usize = 8;

const GZIP: &str = "accept-encoding: gzip";
