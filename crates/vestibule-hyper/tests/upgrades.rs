//! Connections that become another protocol's: in flight until the app drops their bytes, in every
//! version of HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http2::handshake;
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use vestibule_core::{App, IntoResponse, Request, Response};
use vestibule_hyper::{Server, Shutdown};

use crate::support::{Client, Running, eventually, port_closes, soon};

/// How a client asks for another protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// `101 Switching Protocols` (RFC 9110, section 7.8).
    Upgrade,
    /// A tunnel through the whole connection (RFC 9110, section 9.3.6).
    Connect,
    /// A tunnel through a stream of HTTP/2 (RFC 8441).
    Extended,
}

const WAYS: [Way; 3] = [Way::Upgrade, Way::Connect, Way::Extended];
const OF_HTTP1: [Way; 2] = [Way::Upgrade, Way::Connect];

/// A client's end.
type Bytestream = Box<dyn Stream>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The behaviour of an app that has the bytes.
#[derive(Clone)]
enum Talk {
    /// Gives them back until the client ends.
    Echo,
    /// Gives one word back and closes.
    Once,
    /// As `Echo` until the shutdown begins, then says `bye` and closes.
    Listens,
    /// Keeps them without a read or a write until the notification.
    Holds(Arc<Notify>),
    /// Writes for ever and does not read.
    Floods,
}

impl Talk {
    async fn run(self, upgrade: OnUpgrade, shutdown: Shutdown) {
        let mut io: TokioIo<Upgraded> = TokioIo::new(upgrade.await.unwrap());
        match self {
            Self::Echo => drop(echo(&mut io).await),
            Self::Once => {
                let mut word = [0; 4];
                io.read_exact(&mut word).await.unwrap();
                io.write_all(&word).await.unwrap();
                io.shutdown().await.unwrap();
            }
            Self::Listens => {
                tokio::select! {
                    ended = echo(&mut io) => panic!("{ended:?} before the shutdown"),
                    () = shutdown.begun() => {}
                }
                io.write_all(b"bye").await.unwrap();
                io.shutdown().await.unwrap();
            }
            Self::Holds(until) => until.notified().await,
            Self::Floods => while io.write_all(&[b'x'; 4096]).await.is_ok() {},
        }
    }
}

async fn echo(io: &mut TokioIo<Upgraded>) -> std::io::Result<()> {
    let mut word = [0; 4];
    loop {
        io.read_exact(&mut word).await?;
        io.write_all(&word).await?;
    }
}

/// Answers each request that can be upgraded by `101` or `200`, and any other by `404`.
fn app(talk: Talk) -> impl App {
    move |mut request: Request| {
        let talk = talk.clone();
        async move { answer(&mut request, talk) }
    }
}

fn answer(request: &mut Request, talk: Talk) -> Response {
    let shutdown = Shutdown::of(request).unwrap();
    let status = match (request.method(), request.headers().get(header::UPGRADE)) {
        (&Method::CONNECT, _) => StatusCode::OK,
        (_, Some(_)) => StatusCode::SWITCHING_PROTOCOLS,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    tokio::spawn(talk.run(hyper::upgrade::on(request), shutdown));
    status.into_response()
}

/// A server of that app, which drains at once.
async fn serve(server: Server<impl App>) -> Running {
    Running::with(server.extended_connect(true).lame_duck(Duration::ZERO)).await
}

/// A client whose connection is upgraded.
async fn open(server: &Running, way: Way) -> Bytestream {
    let request = match way {
        Way::Upgrade => "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        Way::Connect => "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        Way::Extended => return extended(server).await,
    };
    let mut client = server.connect().await;
    client.write(request).await;
    is_open(&mut client).await;
    Box::new(client.0)
}

async fn is_open(client: &mut Client) {
    let head = client.until("\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 101") || head.starts_with("HTTP/1.1 200"),
        "{head}"
    );
}

async fn extended(server: &Running) -> Bytestream {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let ask = |method: Method| {
        let request = http::Request::builder().method(method).uri("http://a/");
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    // The client may not ask before it knows that it may.
    soon(client.send_request(ask(Method::GET))).await.unwrap();
    let mut request = ask(Method::CONNECT);
    let websocket = Protocol::from_static("websocket");
    request.extensions_mut().insert(websocket);
    let mut answer = soon(client.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let upgraded = soon(hyper::upgrade::on(&mut answer)).await.unwrap();
    Box::new(TokioIo::new(upgraded))
}

/// A word goes there and comes back.
async fn echoes(client: &mut Bytestream) {
    let mut word = [0; 4];
    client.write_all(b"ping").await.unwrap();
    soon(client.read_exact(&mut word)).await.unwrap();
    assert_eq!(&word, b"ping");
}

/// Reads to the end of the connection, or to its error.
async fn rest(client: &mut Bytestream) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = soon(client.read_to_end(&mut read)).await;
    read
}

#[tokio::test]
async fn a_drain_waits_until_the_client_closes() {
    for way in WAYS {
        let server = serve(Server::new(app(Talk::Echo))).await;
        let mut client = open(&server, way).await;
        let address = server.address;
        let ended = server.begin_stop();
        port_closes(address).await;
        echoes(&mut client).await;
        assert!(!ended.is_finished(), "{way:?}");
        drop(client);
        assert_eq!(soon(ended).await.unwrap().aborted, 0, "{way:?}");
    }
}

#[tokio::test]
async fn a_drain_waits_until_the_app_closes() {
    for way in WAYS {
        let server = serve(Server::new(app(Talk::Once))).await;
        let mut client = open(&server, way).await;
        let address = server.address;
        let ended = server.begin_stop();
        port_closes(address).await;
        assert!(!ended.is_finished(), "{way:?}");
        client.write_all(b"ping").await.unwrap();
        assert_eq!(rest(&mut client).await, b"ping", "{way:?}");
        // The app has ended; what the client still holds open is not waited for.
        assert_eq!(soon(ended).await.unwrap().aborted, 0, "{way:?}");
    }
}

#[tokio::test]
async fn an_app_that_listens_to_the_shutdown_ends_in_time() {
    for way in WAYS {
        let server = serve(Server::new(app(Talk::Listens))).await;
        let mut client = open(&server, way).await;
        echoes(&mut client).await;
        let ended = server.begin_stop();
        assert_eq!(rest(&mut client).await, b"bye", "{way:?}");
        assert_eq!(soon(ended).await.unwrap().aborted, 0, "{way:?}");
    }
}

/// Whatever the app does, or does not do, with the bytes.
#[tokio::test]
async fn what_does_not_end_in_time_is_cut_and_counted() {
    let limit = Duration::from_millis(300);
    for way in WAYS {
        let until = Arc::new(Notify::new());
        let talks = [
            ("holds", Talk::Holds(until.clone())),
            ("echoes", Talk::Echo),
            ("floods", Talk::Floods),
        ];
        for (what, talk) in talks {
            let server = serve(Server::new(app(talk)).drain_timeout(limit)).await;
            let mut client = open(&server, way).await;
            let begun = Instant::now();
            let ended = server.begin_stop();
            assert_eq!(soon(ended).await.unwrap().aborted, 1, "{way:?} {what}");
            // A tenth is for what was cut.
            assert!(begun.elapsed() >= limit * 8 / 10, "{way:?} {what}");
            until.notify_one();
            rest(&mut client).await;
        }
    }
}

/// As an app reads and writes at once: each half waits in a task of its own.
#[tokio::test]
async fn both_halves_fail_at_the_cut() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let app = move |mut request: Request| {
        let (upgrade, told) = (hyper::upgrade::on(&mut request), told.clone());
        async move {
            tokio::spawn(async move {
                let io = TokioIo::new(upgrade.await.unwrap());
                let (mut reader, mut writer) = tokio::io::split(io);
                let also = told.clone();
                tokio::spawn(async move {
                    let error = reader.read_u8().await.unwrap_err();
                    also.send(("read", error.kind())).unwrap();
                });
                let error = loop {
                    if let Err(error) = writer.write_all(&[b'x'; 1 << 16]).await {
                        break error;
                    }
                };
                told.send(("write", error.kind())).unwrap();
            });
            StatusCode::SWITCHING_PROTOCOLS
        }
    };
    let server = serve(Server::new(app).drain_timeout(Duration::from_millis(300))).await;
    // It does not read, so the writer waits.
    let client = open(&server, Way::Upgrade).await;
    assert_eq!(server.stop().await.aborted, 1);
    let mut all = [
        soon(heard.recv()).await.unwrap(),
        soon(heard.recv()).await.unwrap(),
    ];
    all.sort_unstable_by_key(|(what, _)| *what);
    let cut = std::io::ErrorKind::ConnectionAborted;
    assert_eq!(all, [("read", cut), ("write", cut)]);
    drop(client);
}

#[tokio::test]
async fn an_upgrade_during_the_drain_is_waited_for() {
    for way in OF_HTTP1 {
        let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (asked.clone(), go.clone());
        let slow = move |mut request: Request| {
            let (tell, wait) = (tell.clone(), wait.clone());
            async move {
                tell.notify_one();
                wait.notified().await;
                answer(&mut request, Talk::Echo)
            }
        };
        let server = serve(Server::new(slow)).await;
        let mut client = server.connect().await;
        let request = match way {
            Way::Connect => "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            _ => "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        };
        client.write(request).await;
        soon(asked.notified()).await;
        let address = server.address;
        let ended = server.begin_stop();
        port_closes(address).await;
        go.notify_one();
        is_open(&mut client).await;
        let mut client: Bytestream = Box::new(client.0);
        echoes(&mut client).await;
        assert!(!ended.is_finished(), "{way:?}");
        drop(client);
        assert_eq!(soon(ended).await.unwrap().aborted, 0, "{way:?}");
    }
}

/// With threads of their own, the runtimes that connections live in stay as long.
#[tokio::test]
async fn workers_wait_too() {
    for way in WAYS {
        let server = serve(Server::new(app(Talk::Echo)).workers(2)).await;
        let mut client = open(&server, way).await;
        let address = server.address;
        let ended = server.begin_stop();
        port_closes(address).await;
        echoes(&mut client).await;
        drop(client);
        assert_eq!(soon(ended).await.unwrap().aborted, 0, "{way:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_at_once() {
    for way in OF_HTTP1 {
        let server = Server::new(app(Talk::Echo)).lame_duck(Duration::ZERO);
        let server = Running::with(server).await;
        let mut client = open(&server, way).await;
        echoes(&mut client).await;
        server.abort();
        assert_eq!(rest(&mut client).await, b"", "{way:?}");
    }
}

#[tokio::test]
async fn limits_of_connections_count_it() {
    const ASK: &str = "GET / HTTP/1.0\r\n\r\n";
    for way in OF_HTTP1 {
        // One address has its share, and is closed at once.
        let server = serve(Server::new(app(Talk::Echo)).max_per_address(1)).await;
        let mut client = open(&server, way).await;
        for _ in 0..10 {
            assert_eq!(server.send(ASK).await, "", "{way:?}");
        }
        echoes(&mut client).await;
        drop(client);
        soon(async { while server.send(ASK).await.is_empty() {} }).await;

        // The server has no place, and the next one waits for it.
        let server = serve(Server::new(app(Talk::Echo)).max_connections(1)).await;
        let mut client = open(&server, way).await;
        let next = tokio::spawn(server.send(ASK));
        echoes(&mut client).await;
        assert!(!next.is_finished(), "{way:?}");
        drop(client);
        let next = soon(next).await.unwrap();
        assert!(next.starts_with("HTTP/1.0 404"), "{way:?}: {next}");
    }
}

/// An upgrade whose bytes the app never takes is not in flight.
#[tokio::test]
async fn an_upgrade_that_the_app_does_not_take_is_over() {
    let server = serve(Server::new(|_: Request| async { StatusCode::OK })).await;
    let mut client = open(&server, Way::Connect).await;
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(server.stop().await.aborted, 0);
    // A client that leaves first is no trouble either.
    let held = Arc::new(Notify::new());
    let server = serve(Server::new(app(Talk::Holds(held.clone())))).await;
    drop(open(&server, Way::Upgrade).await);
    held.notify_one();
    let ended = server.begin_stop();
    eventually("the drain is over", || ended.is_finished()).await;
}
