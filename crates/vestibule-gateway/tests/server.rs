//! The server itself: allowed peers, its socket, and its end.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, oneshot};
use vestibule_core::{Address, App, Request};
use vestibule_gateway::{Bind, Server};

use crate::front::empty_dir;

const HEAD: &str = "CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GET\0";

async fn hello(_: Request) -> &'static str {
    "hello"
}

fn request() -> Vec<u8> {
    format!("{}:{HEAD},", HEAD.len()).into_bytes()
}

async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> String {
    // A refused client may get the close before it has written.
    let _ = stream.write_all(&request()).await;
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
    let _ = read.await.expect("the connection ends");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn only_allowed_peers_are_served() {
    for (peer, is_heard) in [
        ("127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("192.0.2.1", false),
    ] {
        let peer: IpAddr = peer.parse().unwrap();
        let server = Server::scgi(hello)
            .allow([peer])
            .bind("127.0.0.1:0")
            .await
            .unwrap();
        let Address::Tcp(address) = *server.address() else {
            panic!("it listens on TCP");
        };
        tokio::spawn(server.run_until(std::future::pending()));
        let answer = ask(TcpStream::connect(address).await.unwrap()).await;
        assert_eq!(
            answer.starts_with("Status: 200 OK"),
            is_heard,
            "{peer}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_socket_has_its_mode_replaces_a_stale_one_and_is_removed() {
    let dir = empty_dir();
    let path = dir.join("x.sock");
    let place = format!("unix:{}", path.display());
    // A killed process has left its socket.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::scgi(hello)
        .bind(Bind::from(&*place).mode(0o620))
        .await
        .unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o620);
    let taken = Server::scgi(hello)
        .bind(&*place)
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        taken.to_string().contains("another process listens there"),
        "{taken}"
    );
    server.run_until(std::future::ready(())).await;
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    let file = Server::scgi(hello)
        .bind(&*place)
        .await
        .map(drop)
        .unwrap_err();
    assert!(file.to_string().contains("it is not a socket"), "{file}");
    assert!(path.exists());
    fs::remove_dir_all(&dir).unwrap();
}

/// An app that signals its call, and responds when it is released.
fn gated() -> (Arc<Notify>, Arc<Notify>, impl App) {
    let (called, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (calls, opens) = (called.clone(), gate.clone());
    let app = move |_: Request| {
        let (calls, opens) = (calls.clone(), opens.clone());
        async move {
            calls.notify_one();
            opens.notified().await;
            "hello"
        }
    };
    (called, gate, app)
}

#[tokio::test]
async fn the_end_waits_for_requests_in_flight() {
    for is_patient in [true, false] {
        let dir = empty_dir();
        let path = dir.join("x.sock");
        let (called, gate, app) = gated();
        let limit = if is_patient {
            Duration::from_secs(60)
        } else {
            Duration::ZERO
        };
        let server = Server::scgi(app).drain_timeout(limit);
        let server = server
            .bind(format!("unix:{}", path.display()))
            .await
            .unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = tokio::spawn(server.run_until(async { drop(stopped.await) }));
        let answer = tokio::spawn(ask(UnixStream::connect(&path).await.unwrap()));
        called.notified().await;
        stop.send(()).unwrap();
        if is_patient {
            gate.notify_one();
        }
        let drained = run.await.unwrap();
        assert_eq!(drained.aborted, usize::from(!is_patient));
        assert_eq!(answer.await.unwrap().ends_with("hello"), is_patient);
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[tokio::test]
async fn more_connections_than_the_limit_wait() {
    let dir = empty_dir();
    let path = dir.join("x.sock");
    let (called, gate, app) = gated();
    let server = Server::scgi(app).max_connections(1);
    let server = server
        .bind(format!("unix:{}", path.display()))
        .await
        .unwrap();
    tokio::spawn(server.run_until(std::future::pending()));
    let first = tokio::spawn(ask(UnixStream::connect(&path).await.unwrap()));
    called.notified().await;
    let second = tokio::spawn(ask(UnixStream::connect(&path).await.unwrap()));
    gate.notify_one();
    assert!(first.await.unwrap().ends_with("hello"));
    // Only now the second connection is accepted.
    called.notified().await;
    gate.notify_one();
    assert!(second.await.unwrap().ends_with("hello"));
    fs::remove_dir_all(&dir).unwrap();
}
