//! Clients that stay and clients that leave, over real connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use vestibule_core::{Address, App, Body, IntoResponse, Request, Response};
use vestibule_hyper::Server;
use vestibule_logging::{AccessLog, Format, Lines, Sink};

async fn site(request: Request) -> Response {
    match request.uri().path() {
        "/never" => std::future::pending().await,
        "/half" => {
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move {
                let _ = sender.send("half").await;
                // Until the reader is gone.
                sender.closed().await;
            });
            body.into_response()
        }
        "/fails" => {
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move {
                let _ = sender.send("half").await;
                sender.abort("the disk is gone");
            });
            body.into_response()
        }
        _ => "whole".into_response(),
    }
}

/// A line that the log has by now, of this path.
async fn line(lines: &Lines, path: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut text = String::new();
    loop {
        text += &lines.take();
        if let Some(line) = text.lines().find(|line| line.contains(path)) {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "no line of {path}: {text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks, reads until it has seen `until` or the end, and leaves.
fn ask(address: SocketAddr, path: &str, until: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    if until.is_empty() {
        // There is nothing to see: it leaves when the request has surely come.
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let _ = stream.read(&mut [0; 16]);
        return;
    }
    let mut seen = String::new();
    let mut room = [0; 1024];
    while !seen.contains(until) {
        match stream.read(&mut room).unwrap() {
            0 => return,
            read => seen.push_str(&String::from_utf8_lossy(&room[..read])),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_head_in_mid_body_and_at_the_end() {
    let (lines, sink) = Sink::memory();
    let format = Format::apache("%U %>s %B %X").unwrap();
    let app = AccessLog::new(site).to(sink.clone()).format(format).boxed();
    let causes = AccessLog::new(site)
        .to(sink)
        .format(Format::logfmt())
        .boxed();
    let bound = Server::new(app).bind("127.0.0.1:0").await.unwrap();
    let told = Server::new(causes).bind("127.0.0.1:0").await.unwrap();
    let ip = |address: &Address| match address {
        Address::Tcp(address) => *address,
        _ => unreachable!(),
    };
    let (address, other) = (ip(bound.address()), ip(told.address()));
    let server = tokio::spawn(bound.run_until(std::future::pending()));
    let other_server = tokio::spawn(told.run_until(std::future::pending()));
    for (path, until, want) in [
        ("/never", "", "/never 499 0 X"),
        ("/half", "half", "/half 499 4 X"),
        ("/whole", "whole", "/whole 200 5 +"),
        ("/fails", "no such text", "/fails 200 4 X"),
    ] {
        tokio::task::spawn_blocking(move || ask(address, path, until))
            .await
            .unwrap();
        assert_eq!(line(&lines, path).await, want);
    }
    tokio::task::spawn_blocking(move || ask(other, "/fails", "no such text"))
        .await
        .unwrap();
    let failed = line(&lines, "/fails").await;
    assert!(
        failed.contains(r#"exception.message="the disk is gone""#),
        "{failed}"
    );
    assert!(failed.contains("error.type=body_failed"), "{failed}");
    server.abort();
    other_server.abort();
}
