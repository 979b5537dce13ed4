//! What a file costs: CPU time of `StaticFiles`, live and indexed, beside nginx and tower-http's `ServeDir`.
//!
//! `cargo bench --bench files` starts each server as one process with one worker, lets wrk ask it for
//! files of several sizes over kept connections, and divides the CPU time that it took by the requests
//! that were answered. nginx and wrk are Debian packages. The servers take turns, and the best turn of
//! each counts.

mod load;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use load::Server;
use vestibule::files::StaticFiles;

const CASES: [&str; 4] = ["nginx", "live", "indexed", "ServeDir"];

const SIZES: [(&str, usize); 4] = [
    ("1k", 1 << 10),
    ("10k", 10 << 10),
    ("100k", 100 << 10),
    ("1m", 1 << 20),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", case] => serve(case),
        // As when `cargo test` runs the benchmarks: our servers start and answer.
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            make_files();
            CASES[1..].iter().for_each(|case| drop(Server::start(case)));
            println!(
                "{} servers answer; `cargo bench` measures them",
                CASES.len() - 1
            );
        }
        _ => compare(),
    }
    ExitCode::SUCCESS
}

fn compare() {
    make_files();
    println!(
        "{:<8} {:>14} {:>14} {:>14} {:>14}",
        "CPU, us", CASES[0], CASES[1], CASES[2], CASES[3]
    );
    for (path, _) in SIZES {
        let mut best = [f64::INFINITY; CASES.len()];
        for _ in 0..TURNS {
            for (case, best) in CASES.iter().zip(&mut best) {
                let server = match *case {
                    "nginx" => nginx(),
                    case => Server::start(case),
                };
                *best = best.min(server.cpu_per_request(path));
            }
        }
        print!("{path:<8}");
        best.iter()
            .for_each(|cost| print!(" {:>7.2} {:>5.2}x", cost * 1e6, cost / best[0]));
        println!();
    }
}

/// nginx as one process, with the options that its guide to serving files names.
fn nginx() -> Server {
    let folder = folder();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
         events {{ worker_connections 256; }}
         http {{
           include /etc/nginx/mime.types; access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
           open_file_cache max=1000; open_file_cache_valid 60s; etag on;
           server {{ listen 127.0.0.1:{port}; root {}; }}
         }}",
        folder.join("files").display()
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).expect("the folder for temporary files is writable");
    let process = Command::new("nginx")
        .arg("-p")
        .arg(&folder)
        .arg("-c")
        .arg(&path)
        .stdout(Stdio::null())
        .spawn()
        .expect("nginx is the peer: install the Debian package `nginx-light`");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            std::time::Instant::now() < deadline,
            "nginx does not listen"
        );
        std::thread::yield_now();
    }
    Server::of(process, format!("http://127.0.0.1:{port}/"))
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
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let files = folder().join("files");
        // Says where it is; whoever started it reads one line.
        writeln!(std::io::stdout(), "http://{address}/").expect("somebody reads");
        match case {
            "live" => vestibule::serve(listener, StaticFiles::new(files))
                .await
                .expect("we serve"),
            "indexed" => {
                let files = StaticFiles::new(files)
                    .indexed(64 << 20)
                    .expect("the files are there");
                vestibule::serve(listener, files).await.expect("we serve");
            }
            _ => {
                let router = axum::Router::new()
                    .fallback_service(tower_http::services::ServeDir::new(files));
                axum::serve(listener, router).await.expect("axum serves");
            }
        }
    });
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("files-bench")
}

fn make_files() {
    let files = folder().join("files");
    std::fs::create_dir_all(&files).expect("the folder for temporary files is writable");
    for (name, size) in SIZES {
        let text: Vec<u8> = (0..size).map(|index| b'a' + (index % 26) as u8).collect();
        std::fs::write(files.join(name), text).expect("the folder for temporary files is writable");
    }
}

const TURNS: usize = 3;
