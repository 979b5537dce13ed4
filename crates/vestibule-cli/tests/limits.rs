//! The program's flags for connections, seen at work.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Running, SITE, text, vestibule};

const GET: &str = "GET /style.css HTTP/1.1\r\nHost: a\r\n\r\n";

impl Running {
    fn connect(&self) -> TcpStream {
        let address = self.address.trim_start_matches("http://");
        let stream = TcpStream::connect(address.trim_end_matches('/')).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// What comes until the server closes.
fn rest(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

/// The status of one answer; nothing when the connection is closed without one.
fn ask(stream: &mut TcpStream) -> String {
    let _ = stream.write_all(GET.as_bytes());
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        head.extend(byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn max_requests_end_a_connection() {
    let site = Running::serve(&["--max-requests-per-connection", "3", SITE]);
    let mut stream = site.connect();
    stream.write_all(GET.repeat(5).as_bytes()).unwrap();
    let told = rest(stream);
    assert_eq!(told.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{told}");
    assert_eq!(told.matches("connection: close\r\n").count(), 1, "{told}");
    site.interrupt();
}

/// Asks with a cookie of so many bytes: the status. curl sends less than 64 KiB over HTTP/2.
fn status_with_cookie(site: &Running, version: &str, bytes: usize) -> String {
    let cookie = format!("cookie: a={}", "x".repeat(bytes));
    let answer = site.curl(&[version, "-H", &cookie], "style.css");
    answer.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn both_versions_take_heads_of_the_same_size() {
    let limits: [(&[&str], usize, usize); 3] = [
        (&[], 31_000, 40_000),
        (&["--max-header-bytes", "8192"], 7_000, 16_000),
        (&["--max-header-bytes", "49152"], 47_000, 60_000),
    ];
    for (arguments, fits, is_too_much) in limits {
        let site = Running::serve(&[arguments, &[SITE]].concat());
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            for (bytes, want) in [(1_000, "200"), (fits, "200"), (is_too_much, "431")] {
                let found = status_with_cookie(&site, version, bytes);
                assert_eq!(found, want, "{arguments:?} {version} {bytes}");
            }
        }
        site.interrupt();
    }
}

#[test]
fn max_header_bytes_are_a_431() {
    let site = Running::serve(&["--max-header-bytes", "2000", SITE]);
    for (length, status) in [
        (1500, "200 OK"),
        (2500, "431 Request Header Fields Too Large"),
    ] {
        let mut stream = site.connect();
        let value = "x".repeat(length);
        let request =
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-A: {value}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let told = rest(stream);
        assert!(
            told.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{told}"
        );
    }
    site.interrupt();
}

#[test]
fn max_per_address_is_a_share() {
    let site = Running::serve(&["--max-per-address", "2", SITE]);
    let mut held = [(); 2].map(|()| site.connect());
    for stream in &mut held {
        assert_eq!(ask(stream), "HTTP/1.1 200 OK\r\n");
    }
    for _ in 0..50 {
        assert_eq!(ask(&mut site.connect()), "");
    }
    drop(held);
    let begun = Instant::now();
    while ask(&mut site.connect()).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "the places stay taken");
    }
    let (_, said) = site.interrupt();
    let lines = said.matches("its address has its share").count();
    // One at once, and at most one a second.
    assert!(
        lines >= 1 && lines as u64 <= begun.elapsed().as_secs() + 5,
        "{said}"
    );
}

#[test]
fn drain_delay_is_a_time_in_which_all_are_served() {
    let site = Running::serve(&[
        "--ready",
        "--drain-delay",
        "60s",
        "--drain-timeout",
        "2m",
        SITE,
    ]);
    assert!(site.curl(&[], "-/ready").starts_with("HTTP/1.1 200 "));
    site.signal("-TERM");
    let begun = Instant::now();
    while !site.curl(&[], "-/ready").starts_with("HTTP/1.1 503 ") {
        assert!(begun.elapsed() < PATIENCE, "it stays ready");
    }
    assert!(site.curl(&[], "style.css").starts_with("HTTP/1.1 200 "));
    // The second signal ends it at once.
    site.interrupt();
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn header_names_are_written_for_old_clients() {
    for (options, want) in [
        (&[][..], "content-type: "),
        (&["--title-case-headers"], "Content-Type: "),
    ] {
        let site = Running::serve(&[options, &[SITE]].concat());
        let answer = site.curl(&["--http1.1"], "style.css");
        assert!(answer.contains(want), "{answer}");
        // The parser's answers too, with the status that is right.
        let mut stream = site.connect();
        stream.write_all(b"GET / HTTP/2.0\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 505 "), "{said}");
        let length = want
            .replace("ype", "ength")
            .replace("t-t", "t-l")
            .replace("t-T", "t-L");
        assert!(said.contains(&format!("{length}0")), "{said}");
        site.interrupt();
    }
}

#[test]
fn an_old_connection_ends_with_its_response() {
    let site = Running::serve(&["--max-connection-age", "0s", SITE]);
    let answer = site.curl(&["--http1.1"], "style.css");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    let answer = site.curl(&["--http2-prior-knowledge"], "style.css");
    assert!(answer.starts_with("HTTP/2 200"), "{answer}");
    site.interrupt();
}

/// Unknown methods and overlong targets, over both versions and in the log.
#[test]
fn methods_and_targets_that_cannot_be_served() {
    let long = "x".repeat(9000);
    let site = Running::serve(&["--log-format", "%r %>s", SITE]);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (method, path, want) in [
            ("FROB", "style.css", "501"),
            ("get", "style.css", "501"),
            ("PROPFIND", "style.css", "405"),
            ("DELETE", "none", "405"),
            ("GET", &*long, "414"),
        ] {
            let answer = site.curl(&[version, "-X", method], path);
            let status = answer.split(' ').nth(1).unwrap();
            assert_eq!(status, want, "{version} {method}: {answer}");
            let has_allow = answer.to_ascii_lowercase().contains("\r\nallow: ");
            assert_eq!(has_allow, want == "405", "{version} {method}: {answer}");
        }
    }
    let (log, _) = site.interrupt();
    for (begin, status) in [
        ("FROB /style.css HTTP/", "501"),
        ("get /style.css HTTP/", "501"),
        ("PROPFIND /style.css HTTP/", "405"),
        ("GET /xxx", "414"),
    ] {
        let is_right = |line: &&str| line.starts_with(begin) && line.ends_with(status);
        assert_eq!(log.lines().filter(is_right).count(), 2, "{begin}: {log}");
    }
}

#[test]
fn drain_timeout_is_an_end() {
    let site = Running::serve(&["--drain-timeout", "1s", SITE]);
    let mut half = site.connect();
    half.write_all(GET.trim_end().as_bytes()).unwrap();
    assert!(site.curl(&[], "style.css").starts_with("HTTP/1.1 200 "));
    let begun = Instant::now();
    site.interrupt();
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn header_and_idle_timeouts_close() {
    let site = Running::serve(&["--header-timeout", "300ms", "--idle-timeout", "400ms", SITE]);
    for begin in ["", "GET / HT"] {
        let mut stream = site.connect();
        stream.write_all(begin.as_bytes()).unwrap();
        assert_eq!(rest(stream), "", "{begin}");
    }
    let mut stream = site.connect();
    stream.write_all(GET.as_bytes()).unwrap();
    assert!(rest(stream).starts_with("HTTP/1.1 200 "));
    site.interrupt();
}

#[test]
fn a_wrong_value_says_what_is_right() {
    let cases = [
        (
            "--max-requests-per-connection",
            "x",
            "a whole number above zero",
        ),
        ("--max-connections", "0", "a whole number above zero"),
        ("--max-connections", "-1", "a whole number above zero"),
        ("--max-per-address", "1.5", "a whole number above zero"),
        (
            "--max-header-bytes",
            "32k",
            "a number of bytes, 1024 at least",
        ),
        ("--workers", "", "a whole number above zero"),
        ("--body-timeout", "1h", "a time, as in 500ms, 10s or 2m"),
        ("--drain-delay", "soon", "a time, as in 500ms, 10s or 2m"),
    ];
    for (flag, value, right) in cases {
        let output = vestibule(&["serve", SITE, &format!("{flag}={value}")])
            .output()
            .unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {said}");
        assert!(said.contains(right) && said.contains(flag), "{said}");
    }
}

/// The result of a request.
enum Answer {
    /// The connection goes on.
    Kept,
    /// It came with `Connection: close`.
    Last,
    NotWritten,
    Lost,
}

/// Asks, and reads the whole answer.
fn ask_whole(stream: &mut TcpStream) -> Answer {
    if stream.write_all(GET.as_bytes()).is_err() {
        return Answer::NotWritten;
    }
    let mut all = Vec::new();
    let mut room = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&all).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            if length == Some(body.len()) && head.starts_with("http/1.1 200") {
                return match head.contains("connection: close") {
                    true => Answer::Last,
                    false => Answer::Kept,
                };
            }
        }
        match stream.read(&mut room) {
            Ok(read @ 1..) => all.extend(&room[..read]),
            _ => return Answer::Lost,
        }
    }
}

/// How often each case of [`no_request_that_was_sent_is_lost_at_the_end`] runs: once, or as often as `VESTIBULE_ENDS` says, as
/// `just ends` does.
fn ends() -> usize {
    match std::env::var("VESTIBULE_ENDS") {
        Ok(count) => count.parse().expect("VESTIBULE_ENDS is a number"),
        Err(_) => 1,
    }
}

/// How many clients, each of which asks again and again, connected and sent their request without an answer, while the
/// server was told to end.
fn unanswered_at_the_end(arguments: &[&str], place: &str) -> (usize, usize) {
    let mut site = Running::serve_at(
        &["--listen", place],
        &[arguments, &[SITE, "--no-log"]].concat(),
    );
    let address = site
        .address
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    // Half of the clients open a connection for each request, the others keep theirs.
    let ask_until_refused = &|most: usize| {
        let (mut answered, mut unanswered) = (0, 0);
        // A connect that is refused, or that begins too late, is no loss.
        while let Ok(mut stream) = TcpStream::connect(&address) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            for _ in 0..most {
                match ask_whole(&mut stream) {
                    Answer::Kept => answered += 1,
                    Answer::Last => {
                        answered += 1;
                        break;
                    }
                    Answer::NotWritten => break,
                    Answer::Lost => {
                        unanswered += 1;
                        break;
                    }
                }
            }
        }
        (answered, unanswered)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..30)
            .map(|index| {
                scope.spawn(move || ask_until_refused(if index % 2 == 0 { 1 } else { 10 }))
            })
            .collect();
        // Until all are at work.
        for _ in 0..300 {
            ask(&mut TcpStream::connect(&address).unwrap());
        }
        site.signal("-TERM");
        assert!(site.child.wait().unwrap().success());
        let counts = clients.into_iter().map(|client| client.join().unwrap());
        counts.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    })
}

#[test]
fn no_request_that_was_sent_is_lost_at_the_end() {
    let cases: [(&[&str], &str); 4] = [
        (&[], "127.0.0.1:0"),
        (&["--workers", "2"], "127.0.0.1:0"),
        (&["--workers", "2"], "[::1]:0"),
        (&["--workers", "2"], "0.0.0.0:0"),
    ];
    for (arguments, place) in cases {
        let mut total = (0, 0);
        for _ in 0..ends() {
            let (answered, unanswered) = unanswered_at_the_end(arguments, place);
            assert!(answered > 100, "{arguments:?}: only {answered}");
            total = (total.0 + answered, total.1 + unanswered);
        }
        println!(
            "{arguments:?} at {place}: {} answered, {} lost",
            total.0, total.1
        );
        assert_eq!(total.1, 0, "{arguments:?} {place}");
    }
}
