//! Connections that are too old, by a clock that does not wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use vestibule_core::{Body, Request, Response};
use vestibule_hyper::Server;

use crate::support::Running;

const AGE: Duration = Duration::from_secs(600);
/// Before the age, a tenth less or more, and after it.
const YOUNG: Duration = Duration::from_secs(500);
const OLD: Duration = Duration::from_secs(700);
const HOURS: Duration = Duration::from_secs(100 * 3600);

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn start(opens: Arc<Notify>) -> Running {
    let server = Server::new(move |request| app(request, opens.clone()))
        .max_connection_age(AGE)
        .extended_connect(true)
        .idle_timeout(HOURS)
        .header_timeout(HOURS)
        .write_timeout(HOURS)
        .ping_interval(None);
    Running::with(server).await
}

/// Echoes the bytes of an upgraded connection; `/slow` responds after `opens`.
async fn app(mut request: Request, opens: Arc<Notify>) -> Response {
    match request.uri().path() {
        "/slow" => opens.notified().await,
        "/chat" => {
            let is_http2 = request.method() == Method::CONNECT;
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut word = [0; 4];
                while io.read_exact(&mut word).await.is_ok() {
                    io.write_all(&word).await.unwrap();
                }
            });
            let mut response = Response::new(Body::empty());
            if !is_http2 {
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            }
            return response;
        }
        _ => {}
    }
    Response::new(Body::from("hello"))
}

/// A client of HTTP/2, and its connection's end.
async fn http2(server: &Running) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    (send, tokio::spawn(connection))
}

fn get(uri: &str) -> http::Request<Full<Bytes>> {
    let mut request = http::Request::new(Full::default());
    *request.uri_mut() = uri.parse().unwrap();
    request
}

/// Sends a request over HTTP/2, which must get a 200.
async fn assert_served(client: &mut SendRequest<Full<Bytes>>) {
    let response = client.send_request(get("http://a/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_of_http1_ends_with_its_next_response() {
    let server = start(Arc::default()).await;
    let mut client = server.connect().await;
    client.write(GET).await;
    let first = client.until("hello").await;
    assert!(!first.contains("connection: close"), "{first}");
    sleep(YOUNG).await;
    client.write(GET).await;
    let second = client.until("hello").await;
    assert!(!second.contains("connection: close"), "{second}");
    sleep(OLD - YOUNG).await;
    client.write(GET).await;
    let third = client.rest().await;
    assert!(third.contains("connection: close"), "{third}");
}

/// The age passes while the app works: its response is the next one.
#[tokio::test(start_paused = true)]
async fn a_response_that_takes_longer_is_whole_and_the_last() {
    let opens = Arc::new(Notify::new());
    let server = start(opens.clone()).await;
    let mut client = server.connect().await;
    client.write(GET.replace("/ ", "/slow ")).await;
    sleep(OLD).await;
    opens.notify_one();
    let said = client.rest().await;
    assert!(said.contains("connection: close"), "{said}");
    assert!(said.ends_with("hello"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_of_http2_lets_its_streams_end() {
    let opens = Arc::new(Notify::new());
    let server = start(opens.clone()).await;
    let (mut client, _) = http2(&server).await;
    assert_served(&mut client).await;
    let slow = tokio::spawn(client.send_request(get("http://a/slow")));
    sleep(YOUNG).await;
    assert_served(&mut client).await;
    sleep(OLD - YOUNG).await;
    // The client has its GOAWAY.
    client.send_request(get("http://a/")).await.unwrap_err();
    assert!(!slow.is_finished());
    opens.notify_one();
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    assert_eq!(server.stop().await.aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_http2_ends_at_its_age() {
    let server = start(Arc::default()).await;
    let (mut client, ended) = http2(&server).await;
    assert_served(&mut client).await;
    sleep(YOUNG).await;
    assert!(!ended.is_finished());
    tokio::time::timeout(OLD, ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_of_http1_stays() {
    let server = start(Arc::default()).await;
    let mut client = server.connect().await;
    client
        .write("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n")
        .await;
    let said = client.until("\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
    for _ in 0..3 {
        sleep(OLD).await;
        client.write("abcd").await;
        client.until("abcd").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_in_a_stream_of_http2_stays() {
    let server = start(Arc::default()).await;
    let (mut client, ended) = http2(&server).await;
    assert_served(&mut client).await;
    let mut chat = get("http://a/chat");
    *chat.method_mut() = Method::CONNECT;
    chat.extensions_mut().insert(Protocol::from_static("chat"));
    let mut answer = client.send_request(chat).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut io = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    for _ in 0..3 {
        sleep(OLD).await;
        io.write_all(b"abcd").await.unwrap();
        let mut word = [0; 4];
        io.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"abcd");
    }
    // There is nothing else for it to wait for.
    client.send_request(get("http://a/")).await.unwrap_err();
    drop(io);
    ended.await.unwrap().unwrap();
}
