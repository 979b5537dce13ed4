//! Thousands of paths that try to leave the root, and random paths, compared with a simple
//! reference.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Component, Path};

use proptest::prelude::*;
use vestibule_core::{Address, App};
use vestibule_hyper::Server;
use vestibule_static::{StaticFiles, Symlinks};

use crate::support::{Folder, read, request};

/// Spellings of `..` in attacks.
const DOTS: [&str; 16] = [
    "..",
    "%2e%2e",
    "%2E%2E",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "..;",
    "...",
    "....",
    "..%00",
    ".%00.",
    "%u002e%u002e",
    "..%20",
    "%2e%2e%09",
];

/// Spellings of `/` in attacks.
const SLASHES: [&str; 14] = [
    "/",
    "//",
    "/./",
    "%2f",
    "%2F",
    "%252f",
    "%5c",
    "%5C",
    "%255c",
    "%c0%af",
    "%e0%80%af",
    "%u2215",
    "\\",
    "/\\",
];

const TARGETS: [&str; 5] = [
    "secret",
    "etc/passwd",
    "root2/secret",
    "secret%00.html",
    "secret%23",
];

const PREFIXES: [&str; 6] = ["/", "/sub/", "/sub/deep/", "/none/", "//", "/%2f"];

fn site() -> (Folder, std::path::PathBuf) {
    let folder = Folder::new();
    folder.file("secret", "SECRET");
    folder.file("etc/passwd", "SECRET");
    folder.file("root2/secret", "SECRET");
    folder.file("root/index.html", "home");
    folder.file("root/sub/deep/x", "deep");
    let root = folder.folder("root");
    (folder, root)
}

/// Returns every path that consists of these spellings.
fn corpus() -> Vec<String> {
    let mut paths = Vec::new();
    for prefix in PREFIXES {
        for dots in DOTS {
            for slash in SLASHES {
                for depth in 1..=4 {
                    let way = format!("{dots}{slash}").repeat(depth);
                    paths.extend(TARGETS.map(|target| format!("{prefix}{way}{target}")));
                }
            }
        }
    }
    paths
}

/// Returns the path with single slashes.
fn mended(path: &str) -> String {
    let mut mended = path.to_owned();
    while mended.contains("//") {
        mended = mended.replace("//", "/");
    }
    mended
}

/// Returns whether a response redirects to the same path with single slashes, without dots.
fn is_mended(path: &str, answer: &crate::support::Answer) -> bool {
    answer.status == 308
        && path.contains("//")
        && !path.contains("/.")
        && answer.header("location") == mended(path)
}

/// Each path with each method, in the process.
#[tokio::test]
async fn the_corpus_leaks_nothing() {
    let (_folder, root) = site();
    let apps = [
        StaticFiles::new(&root)
            .listing(true)
            .dotfiles(true)
            .clean_urls(true),
        StaticFiles::new(&root).symlinks(Symlinks::Follow),
    ];
    let is_uri = |path: &String| path.parse::<http::Uri>().is_ok();
    let paths: Vec<_> = corpus().into_iter().filter(is_uri).collect();
    for path in &paths {
        for method in ["GET", "HEAD"] {
            let line = format!("{method} {path}");
            for app in &apps {
                let answer = read(app.call(request(&line, &[])).await).await;
                let leaks = answer.body.windows(6).any(|bytes| bytes == b"SECRET");
                let is_refused = matches!(answer.status, 400 | 404) || is_mended(path, &answer);
                assert!(!leaks && is_refused, "{line}: {}", answer.status);
            }
        }
    }
    assert!(paths.len() >= 22_589, "{} paths", paths.len());
    println!("{} paths by GET and by HEAD: no leak, no 5xx", paths.len());
}

/// Each path with each method as bytes on a connection, also those that are not URIs.
#[tokio::test]
async fn the_corpus_leaks_nothing_over_sockets() {
    let (_folder, root) = site();
    let server = Server::new(StaticFiles::new(root)).bind("127.0.0.1:0");
    let server = server.await.unwrap();
    let Address::Tcp(address) = *server.address() else {
        panic!("{:?}", server.address());
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run_until(async move { drop(stopped.await) }));
    let asking = tokio::task::spawn_blocking(move || {
        let connect = || BufReader::new(TcpStream::connect(address).unwrap());
        let (mut connection, mut counts) = (connect(), BTreeMap::new());
        let both = |path: String| ["GET", "HEAD"].map(|method| (method, path.clone()));
        let asked: Vec<_> = corpus().into_iter().flat_map(both).collect();
        let mut left = &asked[..];
        while !left.is_empty() {
            let batch = &left[..left.len().min(BATCH)];
            let lines = batch
                .iter()
                .map(|(method, path)| format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
            let lines: String = lines.collect();
            connection.get_mut().write_all(lines.as_bytes()).unwrap();
            let mut answered = 0;
            for (method, path) in batch {
                let (head, body) = answer(&mut connection, *method == "HEAD");
                let status = head.get(9..12).unwrap_or_default().to_owned();
                assert!(!body.contains("SECRET"), "{method} {path}");
                let location = format!("\r\nlocation: {}\r\n", mended(&path.to_lowercase()));
                let is_refused = matches!(&*status, "400" | "404")
                    || (status == "308" && path.contains("//") && head.contains(&location));
                assert!(is_refused, "{method} {path}: {head}");
                *counts.entry(status).or_insert(0) += 1;
                answered += 1;
                // An invalid request ends its connection, so the requests after it are sent again.
                if head.contains("connection: close") {
                    connection = connect();
                    break;
                }
            }
            left = &left[answered..];
        }
        counts
    });
    let counts = asking.await.unwrap();
    let count: usize = counts.values().sum();
    assert!(count >= 2 * 22_589, "{count} requests");
    println!("{count} requests: {counts:?}");
    drop(stop);
    running.await.unwrap();
}

/// Number of requests in flight: their responses fit into the buffers of the kernel.
const BATCH: usize = 64;

/// Reads the next response of a connection: its head in lower case, and its body.
fn answer(connection: &mut BufReader<TcpStream>, is_head: bool) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(connection.read_line(&mut head).unwrap(), 0, "{head:?}");
    }
    head.make_ascii_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| {
        let (length, _) = rest.split_once("\r\n")?;
        length.parse().ok()
    });
    let mut body = vec![0; length.filter(|_| !is_head).unwrap_or(0)];
    connection.read_exact(&mut body).unwrap();
    (head, String::from_utf8_lossy(&body).into_owned())
}

/// Returns the file of a path: each segment decoded once, without special meaning, below the root.
fn reference(root: &Path, path: &str) -> Option<Vec<u8>> {
    let mut found = root.to_owned();
    for segment in path.strip_prefix('/')?.split('/') {
        let bytes = decode(segment)?;
        let text = String::from_utf8(bytes).ok()?;
        if text.is_empty()
            || text.starts_with('.')
            || text.contains(['/', '\\'])
            || text.chars().any(char::is_control)
        {
            return None;
        }
        found.push(text);
    }
    let real = found.canonicalize().ok()?;
    let is_below =
        real.starts_with(root) && !real.components().any(|part| part == Component::ParentDir);
    (is_below && real.is_file()).then(|| fs::read(real).unwrap())
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(
            u8::from_str_radix(digits, 16)
                .ok()
                .filter(|_| !digits.starts_with('+'))?,
        );
        rest = &rest[2..];
    }
    Some(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_path_is_the_file_that_it_names_or_nothing(
        path in "(/(a|b|sub|deep|x|in|out|%61|%62|s%75b|\\.|\\.\\.|%2e|%2E%2e|%2f|%5c|%25|\\.env|[a-x.%2]{0,3})){1,5}/?"
    ) {
        thread_local! {
            static SITE: (Folder, std::path::PathBuf, tokio::runtime::Runtime) = {
                let (folder, root) = site();
                for name in ["a", "b", "x", "sub/a", "sub/b", "sub/x", "sub/deep/a", "in/x", ".env", "a.b", "%2e", "%61"] {
                    folder.file(&format!("root/{name}"), format!("file {name}"));
                }
                std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
                std::os::unix::fs::symlink("../in", root.join("sub/in")).unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                (folder, root, runtime)
            };
        }
        if path.parse::<http::Uri>().is_ok() {
            SITE.with(|(_, root, runtime)| {
                let app = StaticFiles::new(root).index([""; 0]);
                let answer = runtime.block_on(async { read(app.call(request(&format!("GET {path}"), &[])).await).await });
                match reference(root, &path) {
                    Some(bytes) => assert_eq!((answer.status, &*answer.body), (200, &*bytes), "{path}"),
                    None => {
                        let is_refused = matches!(answer.status, 400 | 404) || is_mended(&path, &answer);
                        assert!(is_refused, "{path}: {}", answer.status);
                    }
                }
            });
        }
    }
}
