//! HTTPS, with rustls on the other side.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule_core::{Address, App, Request};
use vestibule_hyper::{Bind, Server, Tls, TlsError, TlsInfo};

use crate::support::{Client, answers, soon};

/// A certificate that signs itself, in two files, and the same in memory.
struct Made {
    chain: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("vestibule-tls-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn make(&self, file: &str, name: &str) -> Made {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (chain, key) = (
            self.0.join(format!("{file}.pem")),
            self.0.join(format!("{file}.key")),
        );
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let der = made.cert.der().clone();
        Made { chain, key, der }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server on a free port, for as long as the test runs.
async fn start<A: App>(server: Server<A>, tls: Tls) -> std::net::SocketAddr {
    let server = server
        .lame_duck(Duration::ZERO)
        .idle_timeout(Duration::from_millis(500));
    let bound = server
        .bind(Bind::from("127.0.0.1:0").tls(tls))
        .await
        .unwrap();
    let Address::Tcp(address) = *bound.address() else {
        panic!("not a TCP address")
    };
    tokio::spawn(bound.run_until(std::future::pending()));
    address
}

fn config(
    trusted: &[&CertificateDer<'static>],
    protocol: &str,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add((*certificate).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        Some((certificate, key)) => builder
            .with_client_auth_cert(vec![certificate], key)
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

async fn connect(
    address: std::net::SocketAddr,
    config: &Arc<ClientConfig>,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name).unwrap();
    soon(TlsConnector::from(config.clone()).connect(name, stream)).await
}

/// Sends a request, and reads to the end of the connection.
async fn get(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await?;
    Ok(text)
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

/// What an app sees of the handshake.
async fn seen(request: Request) -> String {
    let tls = TlsInfo::of(&request).unwrap();
    let name = tls.server_name().unwrap_or("-");
    let client = tls.client_fingerprint().unwrap_or_else(|| "-".to_owned());
    format!("{:?} {} {name} {client}", request.version(), tls.version())
}

#[tokio::test]
async fn serves_http1_and_resumes_sessions() {
    answers_twice("http1", Ok).await;
}

#[cfg(feature = "tls-aws-lc-rs")]
#[tokio::test]
async fn by_other_cryptography_it_is_the_same() {
    answers_twice("aws", |tls| tls.crypto(vestibule_hyper::Crypto::AwsLcRs)).await;
}

/// By a whole handshake, and by a session that is resumed.
async fn answers_twice(name: &str, with: impl Fn(Tls) -> Result<Tls, TlsError>) {
    let scratch = Scratch::new(name);
    let made = scratch.make("a", "a.test");
    let tls = Tls::pem(&made.chain, &made.key).and_then(with).unwrap();
    let address = start(Server::new(seen), tls).await;
    let config = config(&[&made.der], "http/1.1", None);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut stream = connect(address, &config, "a.test").await.unwrap();
        let text = get(&mut stream).await.unwrap();
        assert_eq!(answers(&text).0, ["200 HTTP/1.1 TLSv1.3 a.test -"]);
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
    }
}

#[tokio::test]
async fn serves_http2_by_alpn() {
    let scratch = Scratch::new("http2");
    let made = scratch.make("a", "a.test");
    let address = start(Server::new(seen), Tls::pem(&made.chain, &made.key).unwrap()).await;
    let stream = connect(address, &config(&[&made.der], "h2", None), "a.test")
        .await
        .unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder()
        .uri("https://a.test/")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = soon(client.send_request(request)).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "HTTP/2.0 TLSv1.3 a.test -");
}

#[tokio::test]
async fn rfc9113_3_4_the_protocol_is_the_one_that_was_agreed_on() {
    let scratch = Scratch::new("agreed");
    let made = scratch.make("a", "a.test");
    let address = start(Server::new(seen), Tls::pem(&made.chain, &made.key).unwrap()).await;
    const PREFACE: usize = 24;
    let settings = &[0, 0, 0, 4, 0, 0, 0, 0, 0][..];
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings].concat();
    let cases = [
        ("h2", &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
        ("h2", b"INVALID CONNECTION PREFACE\r\n\r\n"),
        ("h2", b"PRI * HT"),
        ("http/1.1", &preface),
    ];
    for (protocol, bytes) in cases {
        let config = config(&[&made.der], protocol, None);
        let mut stream = connect(address, &config, "a.test").await.unwrap();
        stream.write_all(bytes).await.unwrap();
        if bytes.len() < PREFACE {
            // More of it may come.
            stream.shutdown().await.unwrap();
        }
        let mut said = Vec::new();
        // How it is closed is not the question.
        let _ = soon(stream.read_to_end(&mut said)).await;
        let said = String::from_utf8_lossy(&said);
        // The line of a status, the length of a frame.
        let others = if protocol == "h2" { "HTTP/1" } else { "\0" };
        assert!(!said.contains(others), "{protocol}, {bytes:?}: {said:?}");
    }
}

#[tokio::test]
async fn each_site_has_its_certificate() {
    let scratch = Scratch::new("sites");
    let (a, b) = (scratch.make("a", "a.test"), scratch.make("b", "www.b.test"));
    let tls = Tls::pem(&a.chain, &a.key)
        .unwrap()
        .site("*.B.test", &b.chain, &b.key)
        .unwrap();
    let address = start(Server::new(seen), tls).await;
    let config = config(&[&a.der, &b.der], "http/1.1", None);
    assert_eq!(
        shown(&connect(address, &config, "a.test").await.unwrap()),
        a.der
    );
    assert_eq!(
        shown(&connect(address, &config, "www.b.test").await.unwrap()),
        b.der
    );
    // The default is for all other names, and this client does not take it for them.
    assert!(connect(address, &config, "c.test").await.is_err());
}

#[tokio::test]
async fn certificates_change_without_a_restart() {
    let scratch = Scratch::new("reload");
    let old = scratch.make("a", "a.test");
    let tls = Tls::pem(&old.chain, &old.key).unwrap();
    let address = start(Server::new(seen), tls.clone()).await;
    let mut kept = connect(address, &config(&[&old.der], "http/1.1", None), "a.test")
        .await
        .unwrap();

    // A broken file changes nothing.
    std::fs::write(&old.chain, "garbage").unwrap();
    let error = tls.reload().unwrap_err();
    assert!(error.to_string().contains("a.pem"), "{error}");
    assert_eq!(
        shown(
            &connect(address, &config(&[&old.der], "http/1.1", None), "a.test")
                .await
                .unwrap()
        ),
        old.der
    );

    let new = scratch.make("a", "a.test");
    tls.reload().unwrap();
    let both = config(&[&old.der, &new.der], "http/1.1", None);
    assert_eq!(
        shown(&connect(address, &both, "a.test").await.unwrap()),
        new.der
    );
    // Connections from before go on.
    assert!(get(&mut kept).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn clients_show_certificates() {
    let scratch = Scratch::new("clients");
    let made = scratch.make("a", "a.test");
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authorities = scratch.0.join("ca.pem");
    std::fs::write(
        &authorities,
        authority.self_signed(&authority_key).unwrap().pem(),
    )
    .unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["me.test".to_owned()]).unwrap();
    let client = client.signed_by(&key, &issuer).unwrap().der().clone();
    let own = || {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Some((client.clone(), key))
    };
    // Not signed by the authority.
    let other = rcgen::generate_simple_self_signed(["me.test".to_owned()]).unwrap();
    let strange = || {
        let key = PrivateKeyDer::try_from(other.signing_key.serialize_der()).unwrap();
        Some((other.cert.der().clone(), key))
    };
    let pem = || Tls::pem(&made.chain, &made.key).unwrap();
    let requires = start(
        Server::new(seen),
        pem().require_clients(&authorities).unwrap(),
    )
    .await;
    let asks = start(Server::new(seen), pem().ask_clients(&authorities).unwrap()).await;
    let ask = async |address, own| {
        let mut stream = connect(address, &config(&[&made.der], "http/1.1", own), "a.test").await?;
        let text = get(&mut stream).await?;
        std::io::Result::Ok(answers(&text).0.concat())
    };
    let known = ask(requires, own()).await.unwrap();
    let fingerprint = known.rsplit(' ').next().unwrap();
    assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(ask(asks, own()).await.unwrap(), known);
    assert!(ask(asks, None).await.unwrap().ends_with(" -"));
    assert!(ask(requires, None).await.is_err());
    assert!(ask(requires, strange()).await.is_err());
    assert!(ask(asks, strange()).await.is_err());
}

#[tokio::test]
async fn faults_64_what_does_not_shake_hands_is_closed() {
    let scratch = Scratch::new("silent");
    let made = scratch.make("a", "a.test");
    let server = Server::new(seen).first_byte_timeout(Duration::from_millis(200));
    let address = start(server, Tls::pem(&made.chain, &made.key).unwrap()).await;
    // Plain HTTP gets an answer: `plain_http_where_tls_is_spoken_is_told_so`. Its half waits no longer than others.
    let silent: [&[u8]; 4] = [
        b"",
        b"\x16",
        b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03",
        b"GET",
    ];
    for bytes in silent {
        let mut client = Client(TcpStream::connect(address).await.unwrap());
        client.write(bytes).await;
        assert!(!client.rest().await.contains("HTTP"), "{bytes:?}");
    }
    // Nor does one that shakes hands and says nothing stay.
    let mut stream = connect(address, &config(&[&made.der], "http/1.1", None), "a.test")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

/// A thousand clients that shake hands, all of them from the beginning, 32 at a time; one that is there
/// already asks all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_64_a_thousand_handshakes() {
    let scratch = Scratch::new("many");
    let made = scratch.make("a", "a.test");
    let server = Server::new(seen).idle_timeout(Duration::from_secs(60));
    let bound = server
        .bind(Bind::from("127.0.0.1:0").tls(Tls::pem(&made.chain, &made.key).unwrap()))
        .await
        .unwrap();
    let Address::Tcp(address) = *bound.address() else {
        panic!("not a TCP address")
    };
    tokio::spawn(bound.run_until(std::future::pending()));
    let mut fresh = Arc::unwrap_or_clone(config(&[&made.der], "http/1.1", None));
    fresh.resumption = rustls::client::Resumption::disabled();
    let fresh = Arc::new(fresh);
    let mut kept = connect(address, &fresh, "a.test").await.unwrap();
    let begun = Instant::now();
    let crowd: Vec<_> = (0..32)
        .map(|_| {
            let fresh = fresh.clone();
            tokio::spawn(async move {
                for _ in 0..32 {
                    let mut stream = connect(address, &fresh, "a.test").await.unwrap();
                    let handshake = stream.get_ref().1.handshake_kind();
                    assert_ne!(handshake, Some(HandshakeKind::Resumed));
                    assert!(get(&mut stream).await.unwrap().starts_with("HTTP/1.1 200"));
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    while !crowd.iter().all(tokio::task::JoinHandle::is_finished) {
        let asked = Instant::now();
        kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 1024];
        let count = soon(kept.read(&mut answer)).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
        slowest = slowest.max(asked.elapsed());
    }
    for one in crowd {
        one.await.unwrap();
    }
    println!(
        "1,024 handshakes in {:?}; another waited {slowest:?} at most",
        begun.elapsed()
    );
}

/// A ClientHello in records of one byte (RUSTSEC-2024-0399 was a panic).
#[tokio::test]
async fn faults_64_a_hello_in_pieces() {
    let scratch = Scratch::new("pieces");
    let made = scratch.make("a", "a.test");
    let address = start(Server::new(seen), Tls::pem(&made.chain, &made.key).unwrap()).await;
    let config = config(&[&made.der], "http/1.1", None);
    let name = ServerName::try_from("a.test").unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(config.clone(), name)
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    let pieces: Vec<_> = hello[5..]
        .iter()
        .flat_map(|byte| [0x16, 3, 1, 0, 1, *byte])
        .collect();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&pieces).await.unwrap();
    // A handshake goes on, or an alert ends it.
    let answer = soon(stream.read_u8()).await.unwrap();
    assert!(matches!(answer, 0x16 | 0x15), "{answer}");
    let mut other = connect(address, &config, "a.test").await.unwrap();
    assert!(get(&mut other).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_certificate_for_development() {
    let address = start(
        Server::new(seen),
        Tls::self_signed(["localhost", "127.0.0.1"]).unwrap(),
    )
    .await;
    // Nobody trusts it.
    let scratch = Scratch::new("development");
    let made = scratch.make("a", "a.test");
    let error = connect(
        address,
        &config(&[&made.der], "http/1.1", None),
        "localhost",
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn files_that_are_none_are_named() {
    let scratch = Scratch::new("none");
    let (a, b) = (scratch.make("a", "a.test"), scratch.make("b", "b.test"));
    let nowhere = scratch.0.join("nowhere.pem");
    let empty = scratch.0.join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let cases = [
        (&nowhere, &a.key, "nowhere.pem"),
        (&a.chain, &nowhere, "nowhere.pem"),
        (&empty, &a.key, "empty.pem"),
        (&a.key, &a.key, "a.key"),
        (&a.chain, &a.chain, "a.pem"),
        (&a.chain, &b.key, "b.key"),
    ];
    for (chain, key, name) in cases {
        let error = Tls::pem(chain, key).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

/// A browser that was given `http://` shows the sentence, and not an error that nobody can read.
#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_told_so() {
    let scratch = Scratch::new("plain");
    let made = scratch.make("a", "localhost");
    let tls = Tls::pem(&made.chain, &made.key).unwrap();
    let address = start(Server::new(seen), tls).await;
    let large = format!("POST /a HTTP/1.1\r\nHost: a\r\n\r\n{}", "x".repeat(30_000));
    let cases: [(&[&str], bool, bool); 12] = [
        // what is sent, whether there is an answer, whether it has a body
        (&["GET / HTTP/1.1\r\nHost: a\r\n\r\n"], true, true),
        (&["G", "ET", " ", "/ HTTP/1.1\r\n"], true, true),
        (&["HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"], true, false),
        (&["OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"], true, true),
        (&["GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n"], true, true),
        (&["CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"], true, true),
        (&["GET / HTTP/1.0\r\n\r\n"], true, true),
        (&[&large], true, true),
        (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], false, false),
        (&["SSH-2.0-OpenSSH_9.6\r\n"], false, false),
        (&["GE"], false, false),
        // Longer than every method, and without a space.
        (&["XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"], false, false),
    ];
    for (pieces, is_answered, has_body) in cases {
        let mut client = TcpStream::connect(address).await.unwrap();
        for piece in pieces {
            client.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = soon(client.read_to_end(&mut answer)).await;
        let answer = String::from_utf8(answer).unwrap();
        if !is_answered {
            // It may be reset: there is nothing to lose.
            assert_eq!(answer, "", "{pieces:?}");
            continue;
        }
        read.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(head.contains("connection: close"), "{answer}");
        assert_eq!(body.contains("https://"), has_body, "{answer}");
        assert_eq!(body.is_empty(), !has_body, "{answer}");
    }
    // Those who speak TLS notice nothing.
    let config = config(&[&made.der], "http/1.1", None);
    let mut client = connect(address, &config, "localhost").await.unwrap();
    assert!(get(&mut client).await.unwrap().starts_with("HTTP/1.1 200"));
}
