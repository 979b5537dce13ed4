//! The client against real servers, in clear text and over TLS.
#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use vestibule_client::Client;
use vestibule_core::http::{Method, StatusCode, Version};
use vestibule_core::{Address, App, Failure, FailureKind, Request, Response};
use vestibule_hyper::{Bind, Server, Tls};

/// Starts a server on a free port, which runs until the end of the test.
async fn start(bind: Bind) -> SocketAddr {
    let server = Server::new(|request: Request| async move {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        match request.uri().path() {
            "/away" => (StatusCode::FOUND, [("location", "/")], host),
            "/echo" => {
                let body = request.into_body().collect(1 << 20).await.unwrap();
                let body = String::from_utf8(body.to_vec()).unwrap();
                (StatusCode::OK, [("x-is", "echo")], body)
            }
            path => (StatusCode::OK, [("x-is", "it")], format!("{path} {host}")),
        }
    });
    let bound = server.bind(bind).await.unwrap();
    let Address::Tcp(address) = *bound.address() else {
        panic!("not a TCP address")
    };
    tokio::spawn(bound.run_until(std::future::pending()));
    address
}

async fn ask(client: &Client, uri: impl AsRef<str>) -> Response {
    let mut request = Request::default();
    *request.uri_mut() = uri.as_ref().parse().unwrap();
    client.call(request).await
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect(1 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Returns the status and the kind of the failure.
fn failure_of(response: &Response) -> (u16, FailureKind) {
    let failure = Failure::of(response).unwrap();
    (response.status().as_u16(), failure.failure_kind())
}

#[tokio::test]
async fn a_request_is_sent_and_the_response_returned() {
    let address = start(Bind::from("127.0.0.1:0")).await;
    let client = Client::new();
    for _ in 0..3 {
        let answer = ask(&client, format!("http://{address}/a?b")).await;
        assert_eq!(
            (answer.status(), &answer.headers()["x-is"]),
            (StatusCode::OK, &"it".parse().unwrap())
        );
        assert_eq!(text(answer).await, format!("/a {address}"));
    }
    let mut request = Request::new("a body".into());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2; // the client replaces it
    *request.uri_mut() = format!("http://{address}/echo").parse().unwrap();
    assert_eq!(text(client.call(request).await).await, "a body");
    // Redirects are returned and not followed.
    let answer = ask(&client, format!("http://{address}/away")).await;
    assert_eq!(answer.status(), StatusCode::FOUND);
}

#[tokio::test]
async fn a_failed_request_is_502() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let client = Client::new();
    for uri in [&nobody, "/no/server", "https://127.0.0.1/"] {
        assert_eq!(
            failure_of(&ask(&client, uri).await),
            (502, FailureKind::Upstream),
            "{uri}"
        );
    }
    // This server does not speak HTTP.
    let mail_server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", mail_server.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = mail_server.accept().await.unwrap();
        stream
            .write_all(b"220 mail.example ESMTP\r\n")
            .await
            .unwrap();
    });
    assert_eq!(
        failure_of(&ask(&client, uri).await),
        (502, FailureKind::Upstream)
    );
}

#[tokio::test]
async fn a_server_without_a_response_is_504() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", silent.local_addr().unwrap());
    let client = Client::new().timeout(Duration::from_millis(50));
    assert_eq!(
        failure_of(&ask(&client, uri).await),
        (504, FailureKind::Timeout)
    );
}

/// Creates a certificate for `localhost` in two files, and returns its PEM.
fn certificate(name: &str) -> (Tls, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |end| {
        std::env::temp_dir().join(format!(
            "vestibule-client-{}-{name}.{end}",
            std::process::id()
        ))
    };
    let (chain, key) = (path("pem"), path("key"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = Tls::pem(&chain, &key).unwrap();
    std::fs::remove_file(chain).unwrap();
    std::fs::remove_file(key).unwrap();
    (tls, made.cert.pem())
}

#[tokio::test]
async fn tls_checks_the_certificate_and_its_name() {
    let (tls, pem) = certificate("own");
    let address = start(Bind::from("127.0.0.1:0").tls(tls)).await;
    let client = Client::trusting(pem.as_bytes()).unwrap();
    let by_name = format!("https://localhost:{}/a", address.port());
    let answer = text(ask(&client, &by_name).await).await;
    assert_eq!(answer, format!("/a localhost:{}", address.port()));
    // Each with one fault: another host name, clear text, other root certificates.
    for uri in [format!("https://{address}/"), format!("http://{address}/")] {
        assert_eq!(
            failure_of(&ask(&client, &uri).await),
            (502, FailureKind::Upstream),
            "{uri}"
        );
    }
    let (_, other) = certificate("other");
    let stranger = Client::trusting(other.as_bytes()).unwrap();
    assert_eq!(failure_of(&ask(&stranger, &by_name).await).0, 502);
    assert_eq!(
        failure_of(&ask(&Client::secure().unwrap(), &by_name).await).0,
        502
    );
}

#[test]
fn invalid_roots_are_errors() {
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(Client::trusting(pem.as_bytes()).is_err(), "{pem}");
    }
    // A root that is lost in silence is missed when the other server changes to it.
    let (_, root) = certificate("lost");
    let lines = root.lines().count();
    let cases = [
        (
            format!("{}{root}", root.trim_end()),
            format!("line {lines}: two blocks meet"),
        ),
        (
            format!("{root}{}", &root[..root.len() / 2]),
            format!("line {}: a block begins", lines + 1),
        ),
        (
            root.replace("CERTIFICATE", "PRIVATE KEY"),
            "line 1: a block `PRIVATE KEY`".to_owned(),
        ),
    ];
    for (pem, part) in cases {
        let error = Client::trusting(pem.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(&part), "{error}");
    }
}
