//! Connections that end before a request could be read are counted by their reasons.

use std::time::Duration;

use vestibule_core::Request;
use vestibule_hyper::{ConnectionCounts, Server};

use crate::support::{Running, eventually};

async fn hello(_: Request) -> &'static str {
    "hello"
}

fn count(counts: &ConnectionCounts, reason: &str) -> u64 {
    let mut found = counts.ended_early().filter(|(name, _)| *name == reason);
    found.next().unwrap().1
}

/// What a client sends, and the reason that is counted; the client closes its side when `leaves`.
#[tokio::test]
async fn each_reason_is_counted() {
    let cases: [(&[u8], bool, &str); 12] = [
        (b"", true, "client_left"),
        (b"", false, "timeout"),
        (b"GET / HT", true, "client_left"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX:", false, "timeout"),
        (b"PRI * HTTP/2.0\r\n", false, "timeout"),
        (b"GET / /\r\n\r\n", false, "protocol"),
        (b"GET /a HTTP/1.1\r\nHo st: a\r\n\r\n", false, "protocol"),
        (
            b"\x16\x03\x01\0\xa5\x01\0\0\xa1\x03\x03\r\n\r\n",
            false,
            "protocol",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x09\x04\0\0\0\x01",
            false,
            "protocol",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            false,
            "protocol",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / /\r\n\r\n",
            false,
            "protocol",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            false,
            "",
        ),
    ];
    for (bytes, leaves, reason) in cases {
        let brief = Duration::from_millis(200);
        let server = Server::new(hello)
            .first_byte_timeout(brief)
            .header_timeout(brief);
        let counts = server.counts();
        let running = Running::with(server.idle_timeout(brief)).await;
        let mut client = running.connect().await;
        client.write(bytes).await;
        if !leaves {
            client.rest().await;
        }
        drop(client);
        let name = bytes.escape_ascii().to_string();
        eventually(&name, || counts.accepted() == 1 && counts.open() == 0).await;
        let all: Vec<_> = counts
            .ended_early()
            .filter(|(_, count)| *count > 0)
            .collect();
        let want: Vec<_> = Some((reason, 1))
            .filter(|_| !reason.is_empty())
            .into_iter()
            .collect();
        assert_eq!(all, want, "{name}");
        running.stop().await;
    }
}

#[tokio::test]
async fn connections_over_the_limit_and_without_a_proxy_header() {
    let server = Server::new(hello).max_per_address(1);
    let counts = server.counts();
    let running = Running::with(server).await;
    let _first = running.connect().await;
    eventually("the first is open", || counts.open() == 1).await;
    running.connect().await.rest().await;
    eventually("the second is closed", || count(&counts, "limit") == 1).await;
    assert_eq!((counts.accepted(), counts.open()), (2, 1));
    running.stop().await;

    let server = Server::new(hello).proxy_protocol(|_| true);
    let counts = server.counts();
    let running = Running::with(server).await;
    running.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("it is counted", || count(&counts, "proxy_header") == 1).await;
    running.stop().await;
}

#[cfg(feature = "tls-self-signed")]
#[tokio::test]
async fn handshakes_that_fail() {
    use vestibule_core::Address;
    use vestibule_hyper::{Bind, Tls};

    let server = Server::new(hello);
    let counts = server.counts();
    let tls = Tls::self_signed(["localhost"]).unwrap();
    let bound = server
        .bind(Bind::from("127.0.0.1:0").tls(tls))
        .await
        .unwrap();
    let Address::Tcp(address) = *bound.address() else {
        panic!("not a TCP address")
    };
    let serving = tokio::spawn(bound.run_until(std::future::pending()));
    let alert = b"\x15\x03\x03\0\x02\x02\x28";
    for (number, bytes) in [
        &b"no TLS at all, but a line\r\n\r\n"[..],
        alert,
        b"\0\0\0\0\0\0\0\0",
    ]
    .iter()
    .enumerate()
    {
        let mut client =
            crate::support::Client(tokio::net::TcpStream::connect(address).await.unwrap());
        client.write(bytes).await;
        client.rest().await;
        let wanted = number as u64 + 1;
        eventually("it is counted", || count(&counts, "tls") == wanted).await;
    }
    drop(tokio::net::TcpStream::connect(address).await.unwrap());
    eventually("it has left", || count(&counts, "client_left") == 1).await;
    serving.abort();
}
