#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vestibule_core::{IntoResponse, Request, Response};
use vestibule_hyper::Server;

/// A server for clients, and one behind a trusted proxy.
static SOCKETS: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("vestibule-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    [false, true].map(|is_trusted| {
        let path = folder.join(is_trusted.to_string());
        let listener = UnixListener::bind(&path).expect("a path for a socket");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let server = Server::new(echo).proxy_protocol(move |_| is_trusted);
                let bound = server.bind(listener).await.expect("it listens");
                bound.run_until(std::future::pending()).await
            })
        });
        path
    })
});

async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    match body.collect(1 << 20).await {
        Ok(body) => format!("{} {} {}\n", head.method, head.uri, body.len()).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Sends `pieces` over one connection, half-closes it, and returns the output. A server that
/// neither responds nor closes is hung.
fn converse(socket: &PathBuf, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("the server listens");
    let limit = Some(Duration::from_secs(8));
    stream.set_read_timeout(limit).expect("8 s is a time");
    for piece in pieces {
        // The other side may have closed.
        let _ = stream.write_all(piece);
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "it hangs"
        );
    }
    answer
}

/// Returns the responses without their dates, and without the refusal at the end, if there is one.
fn answers(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let refusal = text.rfind("HTTP/1.1 4").filter(|at| {
        let last = &text[*at..];
        last.contains("connection: close\r\n") && !last[1..].contains("HTTP/1.1 ")
    });
    let lines = text[..refusal.unwrap_or(text.len())].lines();
    let undated = lines.filter(|line| !line.starts_with("date: "));
    undated.collect::<Vec<_>>().join("\n")
}

// Input in two pieces gives the same responses as in one piece (RFC 9112, section 2.2). Three
// things may depend on timing: whether an invalid head is refused before it is complete, whether
// `100 Continue` is omitted because the body has arrived, and the order of HTTP/2 streams.
fuzz_target!(|input: (bool, u16, &[u8])| {
    let (is_trusted, place, bytes) = input;
    let socket = &SOCKETS[usize::from(is_trusted)];
    let whole = converse(socket, &[bytes]);
    let (before, after) = bytes.split_at(usize::from(place).min(bytes.len()));
    let split = converse(socket, &[before, after]);
    let has = |what: &[u8]| {
        bytes
            .windows(what.len())
            .any(|it| it.eq_ignore_ascii_case(what))
    };
    if !has(b"100-continue") && !has(b"PRI * HTTP/2") {
        assert_eq!(answers(&whole), answers(&split), "split at {place}");
    }
});
