//! Clients that vanish: their machine has no power or no network, so no packet says that they are gone.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http2::handshake;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use vestibule_core::{IntoResponse, Request, Response};
use vestibule_hyper::Server;

use crate::support::{Client, Running, soon};

const SECOND: Duration = Duration::from_secs(1);

/// Drops all packets to a client: it acknowledges nothing, as if it were not there.
fn vanish(client: &TcpStream) {
    let drop_all = SockFilter::new(0x06, 0, 0, 0);
    SockRef::from(client).attach_filter(&[drop_all]).unwrap();
}

/// Tells how the reads, or the writes, of an upgraded connection end.
fn answer(mut request: Request, told: UnboundedSender<io::ErrorKind>) -> Response {
    let writes = request.uri().path() == "/writes";
    let status = match (request.method(), request.headers().get(header::UPGRADE)) {
        (&Method::CONNECT, _) => StatusCode::OK,
        (_, Some(_)) => StatusCode::SWITCHING_PROTOCOLS,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        // The client has gone when it has sent this.
        io.read_u8().await.unwrap();
        let error = match writes {
            false => io.read_u8().await.unwrap_err(),
            true => loop {
                if let Err(error) = io.write_all(b"word").await {
                    break error;
                }
            },
        };
        // The test may be over.
        let _ = told.send(error.kind());
    });
    status.into_response()
}

/// The error of the app when the client of a connection that `open` has upgraded vanishes.
async fn error_of_app<C, O>(
    server: Server<impl vestibule_core::App>,
    ends: &mut tokio::sync::mpsc::UnboundedReceiver<io::ErrorKind>,
    open: impl FnOnce(TcpStream) -> O,
) -> io::ErrorKind
where
    O: Future<Output = (TcpStream, C)>,
{
    let server = Running::with(server.extended_connect(true)).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, _rest) = open(stream).await;
    vanish(&client);
    soon(ends.recv()).await.unwrap()
}

#[tokio::test]
async fn an_upgraded_connection_ends_when_its_client_has_vanished() {
    for path in ["/reads", "/writes"] {
        let (told, mut ends) = unbounded_channel();
        let server = Server::new(move |request| {
            let told = told.clone();
            async move { answer(request, told) }
        });
        let kind = error_of_app(server.tcp_keep_alive(SECOND), &mut ends, async |stream| {
            let mut client = Client(stream);
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
            );
            client.write(head).await;
            client.until("\r\n\r\n").await;
            client.write("!").await;
            (client.0, ())
        })
        .await;
        assert_eq!(kind, io::ErrorKind::TimedOut, "{path}");
    }
}

/// By a PING, or by TCP where there are none.
#[tokio::test]
async fn an_http2_connection_with_only_a_tunnel_ends_when_its_client_has_vanished() {
    for by_ping in [true, false] {
        for path in ["/reads", "/writes"] {
            let (told, mut ends) = unbounded_channel();
            let server = Server::new(move |request| {
                let told = told.clone();
                async move { answer(request, told) }
            });
            let server = match by_ping {
                true => server
                    .ping_interval(SECOND)
                    .ping_timeout(SECOND)
                    .tcp_keep_alive(None),
                false => server.ping_interval(None).tcp_keep_alive(SECOND),
            };
            error_of_app(server, &mut ends, async |stream| {
                let spare = std::os::fd::AsFd::as_fd(&stream)
                    .try_clone_to_owned()
                    .unwrap();
                let spare = TcpStream::from_std(spare.into()).unwrap();
                (spare, tunnel(stream, path).await)
            })
            .await;
        }
    }
}

/// A tunnel by extended CONNECT, in which a byte was sent.
async fn tunnel(stream: TcpStream, path: &str) -> TokioIo<hyper::upgrade::Upgraded> {
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let ask = |method: Method| {
        let uri = format!("http://a{path}");
        let request = http::Request::builder().method(method).uri(uri);
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    // The client may not ask before it knows that it may.
    soon(client.send_request(ask(Method::GET))).await.unwrap();
    let mut request = ask(Method::CONNECT);
    request.extensions_mut().insert(Protocol::from_static("x"));
    let mut answer = soon(client.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut io = TokioIo::new(soon(hyper::upgrade::on(&mut answer)).await.unwrap());
    io.write_all(b"!").await.unwrap();
    // Its answer to this says that the server has the byte.
    soon(client.send_request(ask(Method::GET))).await.unwrap();
    io
}
