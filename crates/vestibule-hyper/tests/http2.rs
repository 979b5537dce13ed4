//! HTTP/2 by prior knowledge, with hyper's client and with bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use vestibule_core::{Body, BoxError, Request};

use crate::support::{Running, echo, eventually, port_closes, soon};

type Sent = http_body_util::combinators::BoxBody<Bytes, BoxError>;

async fn connect(server: &Running) -> SendRequest<Sent> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    send
}

fn request(method: Method, uri: &str, body: &'static str) -> http::Request<Sent> {
    let body = Full::from(body).map_err(|never| match never {}).boxed();
    http::Request::builder()
        .method(method)
        .uri(uri)
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn serves_by_prior_knowledge() {
    let server = Running::start(echo).await;
    let mut client = connect(&server).await;
    let response = soon(client.send_request(request(Method::POST, "http://a/b", "abc")))
        .await
        .unwrap();
    assert_eq!(
        (response.version(), response.status()),
        (http::Version::HTTP_2, StatusCode::OK)
    );
    // The app finds the authority in `Host`, as with HTTP/1.
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "POST http://a/b at a [abc]");
    drop(client);
    assert_eq!(server.stop().await.aborted, 0);
}

#[tokio::test]
async fn the_guard_stands_here_too() {
    let server = Running::start(echo).await;
    let mut client = connect(&server).await;
    let mut differ = request(Method::GET, "http://a/", "");
    differ.headers_mut().insert("host", "b".parse().unwrap());
    let response = soon(client.send_request(differ)).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    // The stream is refused, the connection goes on.
    let response = soon(client.send_request(request(Method::GET, "http://a/", "")))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_without_bytes_and_lengths() {
    let server = Running::start(|request: Request| async move {
        let status: u16 = request.uri().path()[1..].parse().unwrap();
        let response = http::Response::builder().status(status);
        response
            .header("content-length", "5")
            .body(Body::from("hello"))
            .unwrap()
    })
    .await;
    let mut client = connect(&server).await;
    // method, status that the app sets, status, Content-Length, bytes
    let cases = [
        (Method::GET, "200", 200, Some("5"), 5),
        (Method::HEAD, "200", 200, Some("5"), 0),
        (Method::GET, "204", 204, None, 0),
        (Method::GET, "304", 304, Some("5"), 0),
        (Method::GET, "103", 500, Some("26"), 26),
        (Method::GET, "101", 500, Some("26"), 26),
    ];
    for (method, path, status, length, bytes) in cases {
        let uri = format!("http://a/{path}");
        let response = soon(client.send_request(request(method.clone(), &uri, "")))
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        let got = response
            .headers()
            .get("content-length")
            .map(|value| value.to_str().unwrap());
        assert_eq!(got, length, "{method} {path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), bytes, "{method} {path}");
    }
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let server = Running::start(|request: Request| async move {
        let mut body = request.into_body();
        let mut sum = None;
        while let Some(frame) = body.frame().await {
            if let Ok(trailers) = frame.unwrap().into_trailers() {
                sum = trailers.get("x-sum").cloned();
            }
        }
        let (mut sender, body) = Body::channel();
        tokio::spawn(async move {
            sender.send("hello").await.unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", sum.unwrap());
            sender.finish_with(trailers);
        });
        body
    })
    .await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let frames = [
        Ok::<_, BoxError>(Frame::data(Bytes::from("abc"))),
        Ok(Frame::trailers(trailers)),
    ];
    let body = StreamBody::new(Frames(frames.into_iter())).boxed();
    let request = http::Request::builder()
        .method("POST")
        .uri("http://a/")
        .body(body)
        .unwrap();
    let response = soon(connect(&server).await.send_request(request))
        .await
        .unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "42");
    assert_eq!(body.to_bytes(), "hello");
}

/// A stream from an iterator.
struct Frames<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[tokio::test]
async fn what_breaks_is_reset() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let server = Running::start(move |request: Request| {
        let count = count.clone();
        async move {
            if request.uri().path() == "/panics" {
                panic!("no more paper");
            }
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move {
                sender.send("hel").await.unwrap();
                sender.abort("disk");
            });
            body.on_end(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            })
        }
    })
    .await;
    let mut client = connect(&server).await;
    let response = soon(client.send_request(request(Method::GET, "http://a/", "")))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let error = soon(response.into_body().collect()).await.unwrap_err();
    assert!(!error.is_timeout());
    eventually("on_end is heard", || ended.load(Ordering::SeqCst) == 1).await;
    // The connection goes on, and a panic is a 500.
    let response = soon(client.send_request(request(Method::GET, "http://a/panics", "")))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    drop(client);
    server.stop().await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_goes_takes_its_futures_along() {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (begun, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (begun.clone(), dropped.clone());
    let server = Running::start(move |_: Request| {
        let (begun, dropped) = counts.clone();
        async move {
            let _guard = Guard(dropped);
            begun.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    })
    .await;
    let mut client = connect(&server).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        client.ready().await.unwrap();
        waiting.push(tokio::spawn(client.send_request(request(
            Method::GET,
            "http://a/",
            "",
        ))));
    }
    eventually("the app is called", || begun.load(Ordering::SeqCst) == 3).await;
    // One stream is reset, then the connection goes.
    waiting.pop().unwrap().abort();
    eventually("one is dropped", || dropped.load(Ordering::SeqCst) == 1).await;
    for waiting in waiting {
        waiting.abort();
    }
    drop(client);
    eventually("all are dropped", || dropped.load(Ordering::SeqCst) == 3).await;
}

#[tokio::test]
async fn faults_52_a_drain_finishes_streams() {
    let go = Arc::new(tokio::sync::Notify::new());
    let begun = Arc::new(AtomicUsize::new(0));
    let (wait, count) = (go.clone(), begun.clone());
    let server = Running::start(move |_: Request| {
        let (wait, count) = (wait.clone(), count.clone());
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            wait.notified().await;
            "done"
        }
    })
    .await;
    let mut client = connect(&server).await;
    let answer = tokio::spawn(client.send_request(request(Method::GET, "http://a/", "")));
    eventually("the app is called", || begun.load(Ordering::SeqCst) == 1).await;
    let address = server.address;
    let ended = server.begin_stop();
    port_closes(address).await;
    assert!(!ended.is_finished());
    go.notify_one();
    let response = soon(answer).await.unwrap().unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "done"
    );
    drop(client);
    assert_eq!(soon(ended).await.unwrap().aborted, 0);
}

#[tokio::test]
async fn rfc8441_another_protocol_in_a_stream() {
    use hyper::ext::Protocol;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = |mut request: Request| async move {
        let protocol = request.extensions().get::<Protocol>().cloned();
        if request.method() != Method::CONNECT || protocol.is_none() {
            return (StatusCode::OK, "no tunnel");
        }
        assert_eq!(request.uri().path(), "/chat");
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut word = [0; 4];
            io.read_exact(&mut word).await.unwrap();
            word.reverse();
            io.write_all(&word).await.unwrap();
            io.shutdown().await.unwrap();
        });
        (StatusCode::OK, "")
    };
    let brief = std::time::Duration::from_millis(100);
    let server = vestibule_hyper::Server::new(app)
        .extended_connect(true)
        // An upgraded stream is not idle.
        .idle_timeout(brief)
        .lame_duck(brief);
    let server = Running::with(server).await;
    let mut client = connect(&server).await;
    let mut chat = request(Method::CONNECT, "http://a/chat", "");
    chat.extensions_mut()
        .insert(Protocol::from_static("websocket"));
    // The client may not ask before it knows that it may.
    let answer = soon(client.send_request(request(Method::GET, "http://a/", "")))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut answer = soon(client.send_request(chat)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let upgraded = soon(hyper::upgrade::on(&mut answer)).await.unwrap();
    let mut io = TokioIo::new(upgraded);
    tokio::time::sleep(brief * 3).await;
    soon(io.write_all(b"abcd")).await.unwrap();
    let mut text = String::new();
    soon(io.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "dcba");
}
