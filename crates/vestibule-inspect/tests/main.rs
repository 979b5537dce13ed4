//! The page in a real browser, under load.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use vestibule_core::{Address, App, BoxApp, IntoResponse, Mounts, Request, Response, Stack};
use vestibule_hyper::Server;
use vestibule_inspect::Inspect;
use vestibule_logging::{Metrics, Registry, ServerTiming, SetRequestId};

/// Refuses requests for `/secret` after a delay.
struct Guard {
    app: BoxApp,
}

impl App for Guard {
    async fn call(&self, request: Request) -> Response {
        tokio::time::sleep(Duration::from_micros(300)).await;
        match request.uri().path() {
            "/secret" => StatusCode::FORBIDDEN.into_response(),
            _ => self.app.call(request).await,
        }
    }
}

async fn site(request: Request) -> String {
    let millis = match request.uri().path() {
        "/slow" => 120,
        _ => 1,
    };
    tokio::time::sleep(Duration::from_millis(millis)).await;
    "hello".repeat(10)
}

/// Requests a path on a keep-alive connection and returns the body.
fn get(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    let mut room = [0; 1 << 16];
    loop {
        let read = stream.read(&mut room).unwrap();
        assert!(
            read > 0,
            "the server closed: {}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend_from_slice(&room[..read]);
        let text = String::from_utf8_lossy(&seen);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
            rest.lines()
                .next()
                .unwrap()
                .trim()
                .parse::<usize>()
                .unwrap()
        });
        if body.len() >= length {
            return body.to_owned();
        }
    }
}

/// Returns the first number after `name` in a text.
fn number(text: &str, name: &str) -> u64 {
    let (_, rest) = text
        .split_once(name)
        .unwrap_or_else(|| panic!("no {name} in {text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn chromium(arguments: &[&str], url: &str) -> String {
    let profile = std::env::temp_dir().join(format!("vestibule-chromium-{}", std::process::id()));
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .args(["--window-size=1100,1000", "--virtual-time-budget=4000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(url)
        .output()
        .expect("a browser draws the page: install the Debian package `chromium`");
    let _ = std::fs::remove_dir_all(profile);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_page_in_a_browser_under_load_agrees_with_the_metrics() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let registry = Registry::new();
    let counted = registry.clone();
    let stack = Stack::new()
        .with(move |app| Metrics::new(app).to(counted.clone()).at("/-/metrics"))
        .with(|app| SetRequestId::new(app).trust_everyone())
        .with(ServerTiming::new)
        .with(|app| Guard { app })
        .timed();
    stack
        .timings()
        .unwrap()
        .slow_after(Duration::from_millis(100));
    // The page is mounted beside the stack, so that the stack does not count requests for the page.
    let app = Mounts::new()
        .at("/-/stack", Inspect::new(&stack))
        .at("/", stack.app(site));
    let bound = runtime
        .block_on(Server::new(app).bind("127.0.0.1:0"))
        .unwrap();
    let address: SocketAddr = match bound.address() {
        Address::Tcp(address) => *address,
        _ => unreachable!(),
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = runtime.spawn(bound.run_until(async { drop(stopped.await) }));

    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..6)
        .map(|client| {
            let done = done.clone();
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut count = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let path = match (client, count % 10) {
                        (0, _) => "/slow",
                        (_, 3) => "/secret",
                        _ => "/page",
                    };
                    get(&mut stream, path);
                    count += 1;
                }
                count
            })
        })
        .collect();

    let url = format!("http://{address}/-/stack");
    let page = chromium(&["--dump-dom"], &url);
    let picture = concat!(env!("CARGO_TARGET_TMPDIR"), "/stack.png");
    let dark = concat!(env!("CARGO_TARGET_TMPDIR"), "/stack-dark.png");
    chromium(&[&format!("--screenshot={picture}")], &url);
    chromium(
        &[
            &format!("--screenshot={dark}"),
            "--blink-settings=preferredColorScheme=0",
        ],
        &url,
    );
    done.store(true, Ordering::Relaxed);
    let asked: u64 = load.into_iter().map(|client| client.join().unwrap()).sum();

    for text in [
        "Metrics",
        "SetRequestId",
        "ServerTiming",
        "Guard",
        "site",
        "trusts: everyone",
        "requests/s",
        ">live<",
        "/slow",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(std::fs::metadata(picture).unwrap().len() > 10_000);
    let mut stream = TcpStream::connect(address).unwrap();
    let json = get(&mut stream, "/-/stack/json");
    let metrics = registry.prometheus();
    let of = |status: &str| {
        let name = format!("_seconds_count{{method=\"GET\",status=\"{status}\",route=\"\"}} ");
        number(&metrics, &name)
    };
    let by_metrics = of("2xx") + of("4xx");
    let by_page = number(&json, "\"count\":");
    println!("{asked} asked, {by_page} by the page, {by_metrics} by the metrics");
    assert_eq!(by_page, asked);
    assert!(
        by_page.abs_diff(by_metrics) * 20 <= by_metrics,
        "{by_page} {by_metrics}"
    );
    let guard = json.split_once("\"Guard\"").unwrap().1;
    assert_eq!(number(guard, "\"early\":"), of("4xx"));
    let seconds = metrics
        .lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_sum"));
    let seconds: f64 = seconds
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum();
    let nanos: u64 = json
        .split("\"total\":")
        .skip(1)
        .take(5)
        .map(|rest| number(&format!("={rest}"), "="))
        .sum();
    println!(
        "{seconds:.3} s by the metrics, {:.3} s by the page",
        nanos as f64 / 1e9
    );
    assert!((seconds - nanos as f64 / 1e9).abs() / seconds < 0.05);
    stop.send(()).unwrap();
    drop(stream);
    runtime.block_on(server).unwrap();
}
