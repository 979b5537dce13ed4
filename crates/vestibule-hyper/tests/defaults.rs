//! The limits that a server has when nobody sets any, and those of the strict profile, by a clock that does not wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use vestibule_core::{Body, IntoResponse, Request, Response};
use vestibule_hyper::Server;

use crate::support::{Client, Running};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// What a table of limits says, in seconds, bytes and numbers.
struct Limits {
    first_byte: u64,
    head: u64,
    idle: u64,
    body: u64,
    /// Bytes a second of a body that is fast enough, and of one that is not.
    rates: [usize; 2],
    write: u64,
    head_bytes: usize,
    fields: usize,
    streams: u32,
    requests: Option<usize>,
}

const DEFAULT: Limits = Limits {
    first_byte: 10,
    head: 10,
    idle: 75,
    body: 30,
    rates: [600, 400],
    write: 30,
    head_bytes: 32 * 1024,
    fields: 100,
    streams: 100,
    requests: None,
};

const STRICT: Limits = Limits {
    first_byte: 5,
    head: 5,
    idle: 15,
    body: 10,
    rates: [1200, 800],
    write: 10,
    head_bytes: 16 * 1024,
    fields: 64,
    streams: 32,
    requests: Some(1000),
};

async fn app(request: Request, ended: Arc<Notify>) -> Response {
    match request.uri().path() {
        "/read" => match request.into_body().collect(1 << 20).await {
            Ok(body) => body.len().to_string().into_response(),
            Err(error) => error.into_response(),
        },
        "/endless" => {
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move { while sender.send(vec![0; 1 << 14]).await.is_ok() {} });
            Response::new(body.on_end(move |_| ended.notify_one()))
        }
        "/never" => std::future::pending().await,
        _ => "hello".into_response(),
    }
}

async fn start(is_strict: bool) -> (Running, Arc<Notify>) {
    let ended = Arc::new(Notify::new());
    let told = ended.clone();
    let server = Server::new(move |request: Request| app(request, told.clone()));
    let server = match is_strict {
        true => server.strict(),
        false => server,
    };
    (Running::with(server).await, ended)
}

/// Sends `text` and reads to the end: what came, and how long it took.
async fn held(server: &Running, text: &str) -> (String, Duration) {
    let begun = Instant::now();
    let mut client = server.connect().await;
    client.write(text).await;
    let mut read = Vec::new();
    let _ = client.0.read_to_end(&mut read).await;
    (String::from_utf8_lossy(&read).into_owned(), begun.elapsed())
}

/// The first line of an answer, however long it takes.
async fn line(client: &mut Client) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(client.0.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

/// A limit is not passed early, and not late: connections at work are looked at four times in it.
fn check(what: &str, took: Duration, limit: u64) {
    let (least, most) = (
        Duration::from_secs(limit),
        Duration::from_secs(limit + limit / 4 + 1),
    );
    assert!(
        (least..=most).contains(&took),
        "{what}: {took:?}, not {limit} s"
    );
}

async fn check_all(is_strict: bool, limits: Limits) {
    let (server, ended) = start(is_strict).await;

    for (text, limit) in [
        ("", limits.first_byte),
        ("PRI * HT", limits.first_byte),
        ("GET / HTTP/1.1\r\nHost: a\r\n", limits.head),
    ] {
        let (read, took) = held(&server, text).await;
        assert_eq!(read, "", "{text:?}");
        check(text, took, limit);
    }
    let (read, took) = held(&server, GET).await;
    assert!(read.ends_with("hello"), "{read}");
    check("idle", took, limits.idle);

    // Of what comes before the pause, so much is fast enough for a while.
    for (before, limit) in [(0, 10), (40_000, limits.body)] {
        let mut client = server.connect().await;
        let begun = Instant::now();
        let head = "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n";
        client.write(head.to_owned() + &"x".repeat(before)).await;
        let status = line(&mut client).await;
        assert_eq!(status, "HTTP/1.1 408 Request Timeout\r\n");
        check("body", begun.elapsed(), limit);
    }

    for (rate, status) in limits
        .rates
        .into_iter()
        .zip(["200 OK", "408 Request Timeout"])
    {
        let mut client = server.connect().await;
        let piece = vec![b'x'; rate / 5];
        let length = piece.len() * 75;
        client
            .write(format!(
                "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        for _ in 0..75 {
            sleep(Duration::from_millis(200)).await;
            client.write(&piece).await;
        }
        let line = line(&mut client).await;
        assert_eq!(
            line,
            format!("HTTP/1.1 {status}\r\n"),
            "{rate} bytes a second"
        );
    }

    let mut client = server.connect().await;
    let begun = Instant::now();
    client.write(GET.replace("/ ", "/endless ")).await;
    ended.notified().await;
    check("write", begun.elapsed(), limits.write);
    drop(client);

    let get =
        |field: String| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n");
    for (text, status) in [
        (
            get(format!("X: {}\r\n", "x".repeat(limits.head_bytes - 1024))),
            "200 ",
        ),
        (
            get(format!("X: {}\r\n", "x".repeat(limits.head_bytes))),
            "431 ",
        ),
        (get("X: y\r\n".repeat(limits.fields - 2)), "200 "),
        (get("X: y\r\n".repeat(limits.fields - 1)), "431 "),
    ] {
        let (read, _) = held(&server, &text).await;
        assert!(
            read.starts_with(&format!("HTTP/1.1 {status}")),
            "{text:.80} {read}"
        );
    }

    let asked = 1100;
    let (read, _) = held(&server, &GET.repeat(asked)).await;
    let answered = read.matches("HTTP/1.1 200 OK\r\n").count();
    assert_eq!(answered, limits.requests.unwrap_or(asked));

    let told = http2(&server, &[]).await.0;
    let said = |name: u16, value: u32| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    // RFC 9113, section 6.5.2, counts 32 bytes more for each field.
    let list_bytes = u32::try_from(limits.head_bytes + 32 * limits.fields).unwrap();
    for (name, value) in [(3, limits.streams), (6, list_bytes)] {
        let setting = said(name, value);
        let is_said = told.windows(6).any(|six| six == setting);
        assert!(is_said, "setting {name} is {value}: {told:?}");
    }
}

/// Begins HTTP/2, sends `frames`, and reads to the end without a word more: what came, and how long it took.
async fn http2(server: &Running, frames: &[u8]) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let begin = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        frames,
    ];
    stream.write_all(&begin.concat()).await.unwrap();
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    (read, begun.elapsed())
}

/// Without a limit a clock that does not wait would stand still.
async fn within_an_hour<F: Future>(future: F) -> F::Output {
    let hour = Duration::from_secs(3600);
    tokio::time::timeout(hour, future).await.expect("no limit")
}

#[tokio::test(start_paused = true)]
async fn limits_by_default() {
    within_an_hour(check_all(false, DEFAULT)).await;
}

#[tokio::test(start_paused = true)]
async fn limits_of_the_strict_profile() {
    within_an_hour(check_all(true, STRICT)).await;
}

/// A client of HTTP/2 that waits for an answer, and is gone without a word.
#[tokio::test(start_paused = true)]
async fn a_client_of_http2_that_gives_no_sign_of_life_is_closed() {
    let (server, _) = start(false).await;
    // HEADERS with END_STREAM and END_HEADERS, on stream 1: GET, http, the authority `a`, `/never`.
    let ask = b"\x00\x00\x0d\x01\x05\x00\x00\x00\x01\x82\x86\x01\x01a\x04\x06/never";
    let (_, took) = within_an_hour(http2(&server, ask)).await;
    check("60 s, and 20 s for the answer", took, 80);
}

/// Nobody who waits is made to wait for ever: what is open is cut a second before the drain's 30 s are over, and a
/// kept connection is let go of after one.
#[tokio::test(start_paused = true)]
async fn a_drain_by_default() {
    let (server, _) = start(false).await;
    let mut kept = server.connect().await;
    kept.write(GET).await;
    kept.until("hello").await;
    let mut waits = server.connect().await;
    waits.write(GET.replace("/ ", "/never ")).await;
    // The app has it.
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let ended = server.begin_stop();
    assert_eq!(kept.0.read(&mut [0]).await.unwrap(), 0);
    check("the window", begun.elapsed(), 1);
    assert_eq!(within_an_hour(ended).await.unwrap().aborted, 1);
    check("the drain", begun.elapsed(), 29);
}
