//! A web server that speaks another protocol is in the log.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing_subscriber::util::SubscriberInitExt;
use vestibule_core::{Address, Request};
use vestibule_gateway::Server;

/// Keeps the lines of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn hello(_: Request) -> &'static str {
    "hello"
}

/// Sends some bytes, and waits for the end of the connection.
async fn send(address: std::net::SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn the_first_bytes_are_said_once() {
    const HTTP: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    const TLS: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
    const UWSGI: &[u8] = b"\0\x0c\0\0\x01\0A\x02\0bc\x01\0B\0\0";
    const FASTCGI: &[u8] = b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0";
    const SCGI: &[u8] = b"24:CONTENT_LENGTH\x000\0SCGI\x001\0,";
    let log = Log::default();
    let writer = log.clone();
    let _guard = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .set_default();
    let cases: [(&str, &[u8], &str, &str); 12] = [
        ("uwsgi", HTTP, "GET /a HTTP/1.1\\r\\nHost", "HTTP"),
        ("fastcgi", HTTP, "GET /a", "HTTP"),
        ("scgi", HTTP, "GET /a", "HTTP"),
        ("scgi", b"PROPFIND / HTTP/1.1\r\n\r\n", "PROPFIND", "HTTP"),
        ("uwsgi", TLS, "\\x16\\x03", "TLS"),
        ("fastcgi", TLS, "\\x16\\x03", "TLS"),
        ("scgi", UWSGI, "\\x00\\x0c", "uwsgi"),
        ("fastcgi", UWSGI, "\\x00\\x0c", "uwsgi"),
        ("uwsgi", FASTCGI, "\\x01\\x01", "FastCGI"),
        ("scgi", FASTCGI, "\\x01\\x01", "FastCGI"),
        ("uwsgi", SCGI, "24:CONTENT_LENGTH", "SCGI"),
        ("fastcgi", b"\xff\xfe", "\\xff\\xfe", "something else"),
    ];
    for (own, bytes, first, spoken) in cases {
        let server = match own {
            "uwsgi" => Server::uwsgi(hello),
            "fastcgi" => Server::fastcgi(hello),
            _ => Server::scgi(hello),
        };
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let Address::Tcp(address) = *server.address() else {
            panic!("it listens on TCP");
        };
        let stop = async {
            for _ in 0..10 {
                send(address, bytes).await;
            }
            // A web server that checks whether the socket is served.
            send(address, b"").await;
        };
        server.run_until(stop).await;
        let said = log.take();
        let lines: Vec<_> = said
            .lines()
            .filter(|line| line.contains("speaks another protocol"))
            .collect();
        // One a second, so that a machine under load may see a second one.
        assert!((1..10).contains(&lines.len()), "{own} {first}: {said}");
        for line in lines {
            assert!(line.contains(first), "{own} {first}: {line}");
            assert!(line.contains(&format!("it speaks {spoken}")), "{line}");
        }
    }
}
