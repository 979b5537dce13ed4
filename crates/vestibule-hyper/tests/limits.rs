//! Limits in time and number, and what an honest client may still do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use vestibule_core::{Body, Request};
use vestibule_hyper::{RequestBodyError, Server, Shutdown};

use crate::support::{Client, Running, answers, echo, eventually, port_closes, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &str = "GET / at a";
const BRIEF: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn faults_60_a_body_that_stalls_is_408() {
    let server = Server::new(echo).body_timeout(BRIEF).idle_timeout(LONG);
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let cases = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ];
    for request in cases {
        let mut client = server.connect().await;
        client.write(request).await;
        let (got, closes) = answers(&client.rest().await);
        assert!(
            closes && got.len() == 1 && got[0].starts_with("400"),
            "{got:?}"
        );
    }
    // `echo` makes its own answer from the error. One that hands the error on is a 408.
    let server = Server::new(|request: Request| async move {
        request.into_body().collect(100).await.map(|_| ())
    });
    let server = Running::with(server.body_timeout(BRIEF)).await;
    let mut client = server.connect().await;
    client.write(cases[1]).await;
    let (got, closes) = answers(&client.rest().await);
    assert_eq!(
        (got, closes),
        (vec!["408 408 Request Timeout".to_owned()], true)
    );
}

/// It takes as long as an app waits before a rate counts: ten seconds, by a clock that does not wait.
#[tokio::test(start_paused = true)]
async fn faults_61_a_trickled_body_is_408() {
    let server = Server::new(|request: Request| async move {
        request.into_body().collect(1 << 20).await.map(|_| ())
    });
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let mut client = server.connect().await;
    client
        .write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n")
        .await;
    let started = Instant::now();
    let (mut reader, mut writer) = client.0.split();
    let trickle = async {
        while writer.write_all(b"x").await.is_ok() {
            sleep(BRIEF * 2).await;
        }
        std::future::pending::<()>().await;
    };
    let mut rest = String::new();
    tokio::select! {
        () = trickle => {}
        _ = tokio::time::timeout(Duration::from_secs(30), reader.read_to_string(&mut rest)) => {}
    }
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest}");
    assert!(started.elapsed() >= Duration::from_secs(9));
}

#[tokio::test]
async fn the_error_of_a_stalled_body_has_a_name() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::new(move |request: Request| {
        let told = told.clone();
        async move {
            let error = request.into_body().frame().await.unwrap().unwrap_err();
            told.send(matches!(
                error.downcast_ref(),
                Some(RequestBodyError::Stalled)
            ))
            .unwrap();
        }
    });
    let server = Running::with(server.body_timeout(BRIEF)).await;
    let mut client = server.connect().await;
    client
        .write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert!(soon(heard.recv()).await.unwrap());
}

#[tokio::test]
async fn an_app_may_take_its_time() {
    let server = Server::new(|request: Request| async move {
        sleep(BRIEF * 3).await;
        let body = request.into_body().collect(100).await;
        sleep(BRIEF * 3).await;
        body.map(|body| String::from_utf8_lossy(&body).into_owned())
    });
    let server = server
        .body_timeout(BRIEF)
        .idle_timeout(BRIEF)
        .header_timeout(BRIEF)
        .write_timeout(BRIEF);
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let text = server
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde")
        .await;
    assert_eq!(answers(&text).0, ["200 abcde"]);
}

#[tokio::test]
async fn faults_59_a_trickled_head_is_closed() {
    let server = Server::new(echo)
        .header_timeout(BRIEF * 2)
        .idle_timeout(LONG);
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    // On a new connection, and on a kept one.
    for first in ["", GET] {
        let mut client = server.connect().await;
        if !first.is_empty() {
            client.write(first).await;
            client.until(ANSWER).await;
        }
        let started = Instant::now();
        let (mut reader, mut writer) = client.0.split();
        let trickle = async {
            for byte in GET.bytes().cycle().filter(|byte| *byte != b'\n') {
                if writer.write_all(&[byte]).await.is_err() {
                    break;
                }
                sleep(BRIEF / 5).await;
            }
            std::future::pending::<()>().await;
        };
        let mut rest = Vec::new();
        tokio::select! {
            () = trickle => {}
            _ = soon(reader.read_to_end(&mut rest)) => {}
        }
        assert!(rest.is_empty());
        assert!(started.elapsed() >= BRIEF && started.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn faults_63_idle_has_a_limit_of_its_own() {
    let server = Server::new(echo)
        .header_timeout(BRIEF)
        .idle_timeout(BRIEF * 8);
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let mut client = server.connect().await;
    for _ in 0..2 {
        client.write(GET).await;
        client.until(ANSWER).await;
        sleep(BRIEF * 3).await;
    }
    let started = Instant::now();
    assert_eq!(client.rest_and_reset().await, (String::new(), false));
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// A connection that nothing comes on gives its buffers back after a second. Nobody is to notice.
#[tokio::test]
async fn a_connection_rests_and_wakes() {
    let (half, rest) = GET.split_at(9);
    let server = Server::new(echo).idle_timeout(LONG);
    let server = Running::with(server.header_timeout(BRIEF * 30).lame_duck(BRIEF)).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = server.connect().await;
        client.write(GET).await;
        client.until(ANSWER).await;
        clients.push(client);
    }
    let [whole, halves, ahead, stuck, closed, drained] = &mut clients[..] else {
        unreachable!("there are six")
    };
    // What comes with a request is read with it; then nothing comes for long.
    for client in [&mut *ahead, &mut *stuck] {
        client.write([GET, half].concat()).await;
        client.until(ANSWER).await;
    }
    sleep(BRIEF * 15).await;
    for _ in 0..2 {
        whole.write(GET).await;
        whole.until(ANSWER).await;
    }
    for piece in [half, rest] {
        halves.write(piece).await;
        sleep(BRIEF).await;
    }
    halves.until(ANSWER).await;
    ahead.write(rest).await;
    ahead.until(ANSWER).await;
    // The half of a head has no more time than any other.
    assert_eq!(stuck.rest().await, "");
    closed.0.shutdown().await.unwrap();
    assert_eq!(closed.rest().await, "");
    let ended = server.begin_stop();
    assert_eq!(drained.rest_and_reset().await, (String::new(), false));
    drop(clients);
    assert_eq!(soon(ended).await.unwrap().aborted, 0);
}

/// An app whose body has no end, and whose end is counted.
fn endless() -> (impl vestibule_core::App, Arc<AtomicUsize>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let app = move |_: Request| {
        let count = count.clone();
        async move {
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move { while sender.send(vec![0; 1 << 14]).await.is_ok() {} });
            body.on_end(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            })
        }
    };
    (app, ended)
}

#[tokio::test]
async fn faults_62_a_client_that_does_not_read_is_reset() {
    let (app, ended) = endless();
    let server = Server::new(app).write_timeout(BRIEF * 3);
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let mut client = server.connect().await;
    client.write(GET).await;
    eventually("the body is dropped", || ended.load(Ordering::SeqCst) == 1).await;
    let (_, is_reset) = client.rest_and_reset().await;
    assert!(is_reset);
    // One that reads slowly, but reads, is served for longer than that.
    let mut client = server.connect().await;
    client.write(GET).await;
    for _ in 0..8 {
        let mut some = vec![0; 1 << 20];
        soon(client.0.read_exact(&mut some)).await.unwrap();
        sleep(BRIEF).await;
    }
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

async fn connect_http2(
    server: &Running,
) -> (
    hyper::client::conn::http2::SendRequest<Empty<Bytes>>,
    tokio::task::JoinHandle<hyper::Result<()>>,
) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1000);
    let (send, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    (send, tokio::spawn(connection))
}

fn get_http2() -> http::Request<Empty<Bytes>> {
    http::Request::builder()
        .uri("http://a/")
        .body(Empty::new())
        .unwrap()
}

#[tokio::test]
async fn faults_51_windows_that_stay_shut_end_the_connection() {
    let (app, ended) = endless();
    let server = Server::new(app).write_timeout(BRIEF * 3);
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let (mut client, connection) = connect_http2(&server).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(soon(client.send_request(get_http2())).await.unwrap());
    }
    soon(connection).await.unwrap().unwrap_err();
    eventually("the bodies are dropped", || {
        ended.load(Ordering::SeqCst) == 5
    })
    .await;
    // One stream that is read keeps the connection.
    let (mut client, connection) = connect_http2(&server).await;
    let mut response = soon(client.send_request(get_http2())).await.unwrap();
    for _ in 0..8 {
        assert!(soon(response.body_mut().frame()).await.unwrap().is_ok());
        sleep(BRIEF).await;
    }
    assert!(!connection.is_finished());
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let server = Server::new(echo)
        .idle_timeout(BRIEF * 3)
        .header_timeout(LONG);
    let server = Running::with(server).await;
    let (mut client, connection) = connect_http2(&server).await;
    let response = soon(client.send_request(get_http2())).await.unwrap();
    response.into_body().collect().await.unwrap();
    soon(connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_of_a_connection_are_counted() {
    let brief = Server::new(echo).max_requests(3);
    let server = Running::with(brief).await;
    let (got, closes) = answers(&server.send(GET.repeat(5)).await);
    assert_eq!((got.len(), closes), (3, true));

    let (mut client, connection) = connect_http2(&server).await;
    for _ in 0..3 {
        let response = soon(client.send_request(get_http2())).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    soon(connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn faults_145_a_request_that_was_on_its_way_is_answered() {
    let server = Running::with(Server::new(echo).lame_duck(LONG)).await;
    let address = server.address;
    let mut kept = server.connect().await;
    kept.write(GET).await;
    kept.until(ANSWER).await;
    let mut fresh = server.connect().await;
    let ended = server.begin_stop();
    port_closes(address).await;
    for client in [&mut kept, &mut fresh] {
        client.write(GET).await;
        let (got, closes) = answers(&client.rest().await);
        assert_eq!((got, closes), (vec![format!("200 {ANSWER}")], true));
    }
    assert_eq!(soon(ended).await.unwrap().aborted, 0);
}

#[tokio::test]
async fn a_kept_connection_ends_with_the_window() {
    let server = Running::with(Server::new(echo).lame_duck(BRIEF)).await;
    let mut kept = server.connect().await;
    kept.write(GET).await;
    kept.until(ANSWER).await;
    let ended = server.begin_stop();
    assert_eq!(kept.rest_and_reset().await, (String::new(), false));
    drop(kept);
    assert_eq!(soon(ended).await.unwrap().aborted, 0);
}

#[tokio::test]
async fn long_answers_hear_of_the_end() {
    let server = Server::new(|request: Request| async move {
        let shutdown = Shutdown::of(&request).unwrap();
        assert!(!shutdown.has_begun());
        let (mut sender, body) = Body::channel();
        tokio::spawn(async move {
            sender.send("hello ").await.unwrap();
            shutdown.begun().await;
            assert!(shutdown.has_begun());
            sender.send("bye").await.unwrap();
            sender.finish();
            // Holding on to it holds nothing up.
            std::future::pending::<()>().await;
        });
        body
    });
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let mut client = server.connect().await;
    client.write(GET).await;
    client.until("hello ").await;
    let ended = server.begin_stop();
    assert!(client.rest().await.contains("bye\r\n0\r\n\r\n"));
    assert_eq!(soon(ended).await.unwrap().aborted, 0);
}

#[tokio::test]
async fn an_upgrade_lifts_the_limits() {
    let server = Server::new(|mut request: Request| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut word = [0; 4];
            io.read_exact(&mut word).await.unwrap();
            io.write_all(&word).await.unwrap();
        });
        http::Response::builder()
            .status(101)
            .body(Body::empty())
            .unwrap()
    });
    let server = server
        .idle_timeout(BRIEF)
        .header_timeout(BRIEF)
        .body_timeout(BRIEF)
        .write_timeout(BRIEF);
    let server = Running::with(server).await;
    let mut client: Client = server.connect().await;
    client
        .write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: mirror\r\n\r\n")
        .await;
    client.until("\r\n\r\n").await;
    sleep(BRIEF * 4).await;
    client.write("abcd").await;
    assert_eq!(client.rest().await, "abcd");
}

#[tokio::test]
async fn faults_68_connections_beyond_the_limit_wait() {
    let server = Running::with(
        Server::new(echo)
            .max_connections(2)
            .lame_duck(Duration::ZERO),
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.write(GET).await;
        clients.push(client);
    }
    let mut third = clients.pop().unwrap();
    for client in &mut clients {
        client.until(ANSWER).await;
    }
    // The third is connected, as far as the kernel goes, and not served.
    let mut byte = [0];
    assert!(
        tokio::time::timeout(BRIEF * 2, third.0.read(&mut byte))
            .await
            .is_err()
    );
    drop(clients.pop());
    third.until(ANSWER).await;
}

#[tokio::test]
async fn faults_70_no_address_has_more_than_its_share() {
    let server = Server::new(echo).max_per_address(2);
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.write(GET).await;
        client.until(ANSWER).await;
        kept.push(client);
    }
    for _ in 0..100 {
        let mut client = server.connect().await;
        client.write(GET).await;
        assert_eq!(client.rest().await, "");
    }
    // When one goes, there is room for another.
    kept.pop();
    soon(async {
        while answers(&server.send("GET / HTTP/1.0\r\n\r\n").await)
            .0
            .is_empty()
        {}
    })
    .await;
    // Those that were there before are served all the time.
    kept[0].write(GET).await;
    kept[0].until(ANSWER).await;
}
