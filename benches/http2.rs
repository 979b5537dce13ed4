//! What HTTP/2 costs on our adapter, beside hyper written by hand: small answers, large ones and uploads,
//! on one connection and on many, one request at a time and a hundred.

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use vestibule::prelude::*;

use crate::load::{Asking, Server};

/// The path, the connections, the streams at a time on each, and the requests in all.
const CASES: [(&str, u32, u32, u32); 16] = [
    (SMALL, 1, 1, 15_000),
    (SMALL, 1, 10, 60_000),
    (SMALL, 1, 100, 60_000),
    (SMALL, 16, 1, 60_000),
    (SMALL, 16, 10, 60_000),
    (SMALL, 16, 100, 60_000),
    (LARGE, 1, 1, 800),
    (LARGE, 1, 10, 800),
    (LARGE, 1, 100, 800),
    (LARGE, 16, 1, 800),
    (LARGE, 16, 10, 800),
    (LARGE, 16, 100, 1_600),
    (UPLOAD, 1, 1, 60),
    (UPLOAD, 1, 10, 60),
    (UPLOAD, 16, 1, 80),
    (UPLOAD, 16, 10, 160),
];

/// The paths of the app.
pub(crate) const SMALL: &str = "";
pub(crate) const LARGE: &str = "large";
pub(crate) const UPLOAD: &str = "upload";

/// 1 MB that is in memory.
pub(crate) static MEGABYTE: [u8; 1 << 20] = [b'v'; 1 << 20];

/// Prints what a request costs both: ours in parts of hyper's, the worst of all cases.
pub(crate) fn compare() -> f64 {
    println!(
        "{:<8} {:>11} {:>8} {:>10} {:>10} {:>10} {:>11} {:>10}",
        "HTTP/2",
        "connections",
        "streams",
        "hyper, us",
        "ours, us",
        "to hyper",
        "requests/s",
        "to hyper"
    );
    let upload = Upload::new();
    let mut worst = 0.0_f64;
    for (path, connections, streams, requests) in CASES {
        let asking = Asking {
            path,
            connections,
            streams,
            requests,
            upload: (path == UPLOAD).then_some(&*upload.0),
        };
        let mut best = [(f64::INFINITY, 0.0_f64); 2];
        for _ in 0..TURNS {
            for (case, best) in ["hyper", "vestibule"].iter().zip(&mut best) {
                let server = Server::start(&format!("{case}, HTTP/2")).pin(0);
                let (cost, rate) = server.by_http2(&asking);
                *best = (best.0.min(cost), best.1.max(rate));
            }
        }
        let [(theirs, their_rate), (ours, rate)] = best;
        worst = worst.max(ours / theirs);
        let name = match path {
            LARGE => "1 MB",
            UPLOAD => "10 MB up",
            _ => "small",
        };
        println!(
            "{name:<8} {connections:>11} {streams:>8} {:>10.2} {:>10.2} {:>10.3} {rate:>11.0} {:>10.3}",
            theirs * 1e6,
            ours * 1e6,
            ours / theirs,
            rate / their_rate
        );
    }
    worst
}

/// Runs h2spec, a program of its own, beside hyper: whether we pass all but the one test that expects a server of
/// HTTP/2 alone; and by TLS, where the protocol is agreed on, that one as well.
pub(crate) fn conform(h2spec: &str) -> bool {
    let cases: &[(&str, &[&str], u32)] = &[
        ("hyper, HTTP/2", &[], 0),
        ("vestibule, HTTP/2", &[], 146),
        #[cfg(feature = "tls-self-signed")]
        ("vestibule, HTTPS", &["--tls", "--insecure"], 147),
    ];
    let mut are_met = true;
    for (case, options, bar) in cases {
        let server = Server::start(case);
        let (_, port) = server
            .url()
            .trim_end_matches('/')
            .rsplit_once(':')
            .expect("a port");
        // An app that reads the request to its end: one that does not may have answered before the test has
        // broken the protocol.
        let output = Command::new(h2spec)
            .args(["--strict", "--path", "/upload", "--port", port])
            .args(*options)
            .output()
            .expect("the program is h2spec");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.contains(" tests, "));
        let line = line.unwrap_or_else(|| panic!("h2spec says no result:\n{text}"));
        println!("{case:<20} {line}");
        let passed = line
            .split(", ")
            .find_map(|part| part.strip_suffix(" passed"));
        are_met &= passed.is_some_and(|it| it.parse().is_ok_and(|passed: u32| passed >= *bar));
    }
    are_met
}

/// The app of both servers.
pub(crate) async fn app(mut request: Request) -> Response {
    match request.uri().path().trim_start_matches('/') {
        LARGE => Bytes::from_static(&MEGABYTE).into_response(),
        UPLOAD => {
            let mut count = 0;
            while let Some(Ok(frame)) = request.body_mut().frame().await {
                count += frame.data_ref().map_or(0, Bytes::len);
            }
            format!("{count} bytes").into_response()
        }
        _ => crate::HELLO.into_response(),
    }
}

/// A file of 10 MB, for as long as it is needed.
struct Upload(PathBuf);

impl Upload {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("vestibule-upload-{}", std::process::id()));
        std::fs::write(&path, MEGABYTE.repeat(10)).expect("there is room for 10 MB");
        Self(path)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const TURNS: usize = 3;
