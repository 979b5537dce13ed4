//! The program's own events: no client can make many of them, and they are text or JSON.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::http2_frame::{PREFACE, frame};
use crate::{Running, SITE, text, vestibule};

/// How many frames of each kind a client sends.
const FRAMES: usize = 100_000;

/// How many connections it opens for them, when the server closes one after the other.
const CONNECTIONS: usize = 20;

/// A request on stream 1 that has an answer soon: `GET /` by RFC 7541's static table, without a host.
fn request() -> Vec<u8> {
    frame(1, 0x5, 1, &[0x82, 0x86, 0x84, 0x41, 1, b'a'])
}

/// A kind of flood: what a connection begins with, behind a request on stream 1, and the frames by their number.
struct Flood {
    name: &'static str,
    begin: Vec<u8>,
    next: Box<dyn Fn(u32) -> Vec<u8>>,
}

/// Frames that no client has a reason to send, and some that a client may send, one kind after the other.
fn floods() -> Vec<Flood> {
    let same = vec![
        ("PING with ACK", frame(6, 1, 0, b"unasked!")),
        ("PING", frame(6, 0, 0, b"unasked!")),
        ("SETTINGS with ACK", frame(4, 1, 0, &[])),
        ("SETTINGS", frame(4, 0, 0, &[])),
        (
            "SETTINGS that are unknown",
            frame(4, 0, 0, &[0xff, 0xff, 0, 0, 0, 1]),
        ),
        (
            "WINDOW_UPDATE of a closed stream",
            frame(8, 0, 1, &[0, 0, 0, 1]),
        ),
        (
            "WINDOW_UPDATE of an idle stream",
            frame(8, 0, 9, &[0, 0, 0, 1]),
        ),
        ("WINDOW_UPDATE of nothing", frame(8, 0, 1, &[0; 4])),
        (
            "WINDOW_UPDATE of the connection",
            frame(8, 0, 0, &[0, 0, 0, 1]),
        ),
        (
            "RST_STREAM of a closed stream",
            frame(3, 0, 1, &[0, 0, 0, 8]),
        ),
        (
            "RST_STREAM of an idle stream",
            frame(3, 0, 9, &[0, 0, 0, 8]),
        ),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 0, 16])),
        ("PRIORITY of itself", frame(2, 0, 1, &[0, 0, 0, 1, 16])),
        ("an unknown frame", frame(0xfa, 0xff, 1, b"x")),
        ("an unknown frame of the connection", frame(0xfb, 0, 0, &[])),
        ("DATA of a closed stream", frame(0, 0, 1, &[])),
        ("HEADERS of a closed stream", request()),
        ("HEADERS that cannot be read", frame(1, 0x5, 3, &[0xff; 8])),
        ("CONTINUATION", frame(9, 4, 1, &[])),
        ("PUSH_PROMISE", frame(5, 4, 1, &[0, 0, 0, 2])),
        ("GOAWAY", frame(7, 0, 0, &[0; 8])),
        ("PRIORITY_UPDATE", frame(0x10, 0, 0, b"\0\0\0\x01u=7")),
    ];
    let same = same.into_iter().map(|(name, frame)| Flood {
        name,
        begin: Vec::new(),
        next: Box::new(move |_| frame.clone()),
    });
    let get = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
    let post = [0x83, 0x86, 0x84, 0x41, 1, b'a'];
    type Next = Box<dyn Fn(u32) -> Vec<u8>>;
    let others: [(&str, Vec<u8>, Next); 6] = [
        (
            "requests that are reset at once",
            Vec::new(),
            Box::new(move |index| {
                let stream = 3 + 2 * index;
                let reset = frame(3, 0, stream, &[0, 0, 0, 8]);
                [frame(1, 0x5, stream, &get), reset].concat()
            }),
        ),
        (
            "requests whose answers are never read",
            Vec::new(),
            Box::new(move |index| frame(1, 0x5, 3 + 2 * index, &get)),
        ),
        (
            "empty DATA of an open stream",
            frame(1, 0x4, 3, &post),
            Box::new(|_| frame(0, 0, 3, &[])),
        ),
        (
            "DATA of padding alone",
            frame(1, 0x4, 3, &post),
            Box::new(|_| frame(0, 0x8, 3, &[7, 0, 0, 0, 0, 0, 0, 0])),
        ),
        (
            "CONTINUATION without an end",
            frame(1, 0x1, 3, &get),
            Box::new(|_| frame(9, 0, 3, &[0, 1, b'a', 1, b'b'])),
        ),
        (
            "empty CONTINUATION without an end",
            frame(1, 0x1, 3, &get),
            Box::new(|_| frame(9, 0, 3, &[])),
        ),
    ];
    let others = others
        .into_iter()
        .map(|(name, begin, next)| Flood { name, begin, next });
    same.chain(others).collect()
}

/// Sends the frames, on new connections when one is closed; how many were sent.
fn send(address: &str, flood: &Flood) -> usize {
    let mut sent = 0;
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut reader = stream.try_clone().unwrap();
        // What the server says has to be read, or it waits.
        let reader = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let begin = [PREFACE, &frame(4, 0, 0, &[]), &request(), &flood.begin].concat();
        let _ = stream.write_all(&begin);
        let mut number = 0;
        while sent < FRAMES {
            let frames = (number..number + 500).flat_map(|number| (flood.next)(number));
            if stream.write_all(&frames.collect::<Vec<_>>()).is_err() {
                break;
            }
            number += 500;
            sent += 500;
        }
        let _ = stream.shutdown(Shutdown::Write);
        let _ = reader.join();
        if sent >= FRAMES {
            break;
        }
    }
    sent
}

/// The most memory that the process has had, in MiB; nothing where the system does not tell.
fn peak_memory(site: &Running) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", site.child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
}

/// What the program writes to standard error as JSON is JSON, from the first line to the last.
#[test]
fn events_are_json_when_it_is_asked_for() {
    let place = ["serve", SITE, "--listen", "127.0.0.1:0", "--events", "json"];
    let mut program = vestibule(&place);
    let mut child = program
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let first = lines.next().unwrap();
    let begin = "{\"timestamp\":\"20";
    let listening =
        "Z\",\"level\":\"INFO\",\"fields\":{\"message\":\"listening\",\"address\":\"127.0.0.1:";
    assert!(
        first.starts_with(begin) && first.contains(listening),
        "{first}"
    );
    assert!(first.ends_with("\"},\"target\":\"vestibule\"}"), "{first}");
    let sent = Command::new("kill").arg(child.id().to_string()).status();
    assert!(sent.unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(lines.all(|line| line.starts_with(begin) && line.ends_with('}')));

    let failed = vestibule(&["serve", "no/such/place", "--events", "json"])
        .output()
        .unwrap();
    let said = text(&failed);
    assert!(
        said.contains("\"level\":\"ERROR\",\"fields\":{\"message\":\"cannot serve"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn events_are_those_that_are_asked_for() {
    // options, RUST_LOG, and whether the program says that it listens
    let cases: [(&[&str], &str, bool); 7] = [
        (&[], "", true),
        (&["--log-level", "warn"], "", false),
        (&["--log-level", "warn,vestibule=info"], "", true),
        (&["--log-level", "info"], "off", true),
        (&[], "off", false),
        (&[], "error", false),
        (&[], "no level", true),
    ];
    for (options, environment, listens) in cases {
        let arguments = [&["serve", SITE, "--listen", "127.0.0.1:0"], options].concat();
        let mut program = vestibule(&arguments);
        let site = Running::start(program.env("RUST_LOG", environment));
        // It listens when it answers, and has said so by then.
        site.curl(&[], "");
        let (_, said) = site.interrupt();
        assert_eq!(
            said.contains("listening"),
            listens,
            "{options:?} {environment:?}: {said}"
        );
        let is_warned = said.contains("RUST_LOG is not used: \"no level\" is not off");
        assert_eq!(is_warned, environment == "no level", "{said}");
    }
    let wrong = vestibule(&["serve", SITE, "--log-level", "wrn"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong).contains("\"wrn\" is not off, error, warn"),
        "{}",
        text(&wrong)
    );
}

/// A proxy on this machine tells of a client: the log has both, and the client has the proxy's word only.
#[test]
fn the_log_has_the_client_and_the_connection() {
    let options = [
        "--trust-proxy",
        "127.0.0.1",
        "--log-format",
        "%a %h %{c}a %p %>s",
    ];
    let places = ["--listen", "[::]:0"];
    let site = Running::serve_at(&places, &[&options[..], &[SITE]].concat());
    let (_, port) = site.address.trim_end_matches('/').rsplit_once(':').unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    for header in [
        "x-forwarded-for: 198.51.100.9",
        "x-forwarded-for: ::ffff:198.51.100.9",
        "x-other: 1",
    ] {
        crate::curl(&["-H", header], &url).unwrap();
    }
    let port = port.to_owned();
    let (log, _) = site.interrupt();
    let line = |client: &str| format!("{client} {client} 127.0.0.1 {port} 200\n");
    let want = [
        line("198.51.100.9"),
        line("198.51.100.9"),
        line("127.0.0.1"),
    ]
    .concat();
    assert_eq!(log, want);
}

/// Each client sends as many frames as it can: the log has one line a second for all of them.
#[test]
fn a_client_of_http2_cannot_write_the_log() {
    let site = Running::serve(&["--no-log", SITE]);
    let address = site
        .address
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let begun = Instant::now();
    let mut total = 0;
    site.curl(&["--http2-prior-knowledge"], "");
    let memory = peak_memory(&site);
    for flood in floods() {
        let sent = send(&address, &flood);
        assert!(sent > 0, "{}", flood.name);
        total += sent;
        // The answers to what a connection may ask are bounded, and so is what is kept of the others.
        if let (Some(before), Some(now)) = (memory, peak_memory(&site)) {
            assert!(now < before + 32, "{}: {before} MiB, {now} MiB", flood.name);
        }
    }
    assert!(total > 10 * FRAMES, "{total}");
    // The server is still there.
    assert!(
        site.curl(&["--http2-prior-knowledge"], "")
            .starts_with("HTTP/2 200")
    );
    let seconds = begun.elapsed().as_secs() + 1;
    let (_, said) = site.interrupt();
    let is_event = |line: &&str| {
        [" WARN ", " INFO ", " ERROR "]
            .iter()
            .any(|level| line.contains(level))
    };
    let is_usual = |line: &&str| line.contains("listening") || line.contains("draining");
    let lines: Vec<_> = said
        .lines()
        .filter(is_event)
        .filter(|line| !is_usual(line))
        .collect();
    // Each kind of event has a limit of its own: the libraries', breaches of the protocol, and requests.
    for part in ["h2::", "refused a client", "refused a request"] {
        let count = lines.iter().filter(|line| line.contains(part)).count() as u64;
        assert!(count <= seconds, "{count} lines in {seconds} s:\n{said}");
    }
    assert!(lines.len() as u64 <= 3 * seconds, "in {seconds} s:\n{said}");
    assert!(
        said.contains("recv PING ack that we never sent"),
        "one line tells: {said}"
    );
}

/// A listener of its own has the metrics, and nothing of the site; the site has nothing of the metrics.
#[test]
fn metrics_have_a_listener_of_their_own() {
    let options = [
        "--metrics-listen",
        "127.0.0.1:0",
        "--metrics-labels",
        "exact",
        "--max-header-bytes",
        "2000",
    ];
    let mut site = Running::serve(&[&options[..], &[SITE]].concat());
    let mut said = String::new();
    while !said.contains("metrics are at /metrics") {
        said.clear();
        assert!(site.stderr.read_line(&mut said).unwrap() > 0);
    }
    let (_, address) = said.trim_end().rsplit_once("address=").unwrap();
    let address = format!("http://{address}/");
    site.curl(&[], "style.css");
    site.curl(&[], "no/such/file");
    let mut stream = TcpStream::connect(
        site.address
            .trim_start_matches("http://")
            .trim_end_matches('/'),
    )
    .unwrap();
    stream
        .write_all(b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    let page = || {
        crate::curl(
            &["-H", "host: metrics.example"],
            &format!("{address}metrics"),
        )
        .unwrap()
    };
    let deadline = Instant::now() + std::time::Duration::from_secs(10);
    let refused = "http_server_requests_total{method=\"_OTHER\",status=\"400\",route=\"\",outcome=\"complete\"} 1\n";
    while !page().contains(refused) {
        assert!(Instant::now() < deadline, "{}", page());
    }
    let page = page();
    for line in [
        "http_server_requests_total{method=\"GET\",status=\"200\",route=\"\",outcome=\"complete\"} 1\n",
        "http_server_requests_total{method=\"GET\",status=\"404\",route=\"\",outcome=\"complete\"} 1\n",
        "vestibule_connections_ended_early_total{reason=\"protocol\"} 1\n",
        "vestibule_connections_ended_early_total{reason=\"tls\"} 0\n",
        "# TYPE vestibule_open_connections gauge\n",
    ] {
        assert!(page.contains(line), "{line}{page}");
    }
    let status = |url: String| crate::curl(&[], &url).unwrap()[..12].to_owned();
    assert_eq!(status(format!("{address}style.css")), "HTTP/1.1 404");
    assert_eq!(status(format!("{}metrics", site.address)), "HTTP/1.1 404");
    assert_eq!(status(format!("{}-/metrics", site.address)), "HTTP/1.1 404");
    let (log, _) = site.interrupt();
    assert!(log.contains("\"GET /a b HTTP/1.1\" 400 "), "{log}");
    assert!(!log.contains("GET /metrics HTTP/1.1\" 200"), "{log}");
}

/// Without a log there are no lines of refused requests either.
#[test]
fn no_log_is_no_line() {
    let site = Running::serve(&["--no-log", SITE]);
    let address = site
        .address
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    for request in [
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    assert_eq!(site.interrupt().0, "");
}
