//! Each field says what its name says: addresses, users, trailers, and answers that the server replaced.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64ct::{Base64, Encoding};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use http_body::Frame;
use vestibule_core::{
    Address, App, Body, BoxError, IntoResponse, Peer, RemoteUser, Request, Response,
};
use vestibule_hyper::{Server, refusal};
use vestibule_logging::{AccessLog, Format, Lines, Metrics, Registry, Sink};

use crate::support::{Directory, ask, get, run};

fn apache(pattern: &str) -> Format {
    Format::apache(pattern).unwrap()
}

/// The lines that an app's requests leave, in a format.
async fn logged(app: impl App, format: &Format, requests: Vec<Request>) -> String {
    let (lines, sink) = Sink::memory();
    let app = AccessLog::new(app).to(sink).format(format.clone());
    for request in requests {
        ask(&app, request).await;
    }
    lines.take()
}

async fn hello(_: Request) -> &'static str {
    "hello"
}

fn from(peer: &str, local: &str) -> Request {
    let mut request = get("/");
    let end = |text: &str| Address::Tcp(text.parse().unwrap());
    request
        .extensions_mut()
        .insert(Peer::new(end(peer), end(local)));
    request
}

#[tokio::test]
async fn an_ipv4_client_of_an_ipv6_socket_has_its_ipv4_address_in_every_format() {
    let formats = [
        (Format::common(), "192.0.2.7 - - ["),
        (Format::combined(), "192.0.2.7 - - ["),
        (
            Format::json(),
            r#""client.address":"192.0.2.7","client.port":4711"#,
        ),
        (
            Format::logfmt(),
            " client.address=192.0.2.7 client.port=4711 ",
        ),
        (
            apache("%h %a %{c}a %A %{remote}p %p"),
            "192.0.2.7 192.0.2.7 192.0.2.7 192.0.2.9 4711 80",
        ),
    ];
    for (format, want) in formats {
        let request = from("[::ffff:192.0.2.7]:4711", "[::ffff:192.0.2.9]:80");
        let line = logged(hello, &format, vec![request]).await;
        assert!(line.contains(want), "{format}: {line}");
        assert!(!line.contains("ffff"), "{format}: {line}");
    }
}

/// A server at a free port of all addresses, IPv4 among them, and the address of IPv4 clients.
async fn serve(app: impl App) -> SocketAddr {
    let bound = Server::new(app).bind("[::]:0").await.unwrap();
    let Address::Tcp(address) = *bound.address() else {
        unreachable!("it is bound to TCP")
    };
    tokio::spawn(bound.run_until(std::future::pending()));
    SocketAddr::from(([127, 0, 0, 1], address.port()))
}

/// One request of HTTP/1.1 on a connection of its own; what comes back.
async fn fetch(address: SocketAddr, request: &'static [u8]) -> String {
    let read = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// A line that the log has, soon.
async fn line(lines: &Lines) -> String {
    for _ in 0..2000 {
        let text = lines.take();
        if !text.is_empty() {
            return text;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("no line");
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost:81\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_socket_of_all_addresses() {
    let (lines, sink) = Sink::memory();
    let app = |request: Request| async move {
        let peer = Peer::of(&request).unwrap();
        format!(
            "{} {}",
            peer.address().ip().unwrap(),
            peer.local().ip().unwrap()
        )
    };
    let address = serve(AccessLog::new(app).to(sink).format(apache("%h %A"))).await;
    let answer = fetch(address, GET).await;
    // The app sees what the log says.
    assert!(answer.ends_with("127.0.0.1 127.0.0.1"), "{answer}");
    assert_eq!(line(&lines).await, "127.0.0.1 127.0.0.1\n");
}

#[tokio::test]
async fn the_client_behind_a_proxy_and_the_connection() {
    let proxy = || Address::Tcp("[::ffff:10.0.0.1]:5000".parse().unwrap());
    let client = || Address::Tcp("198.51.100.9:0".parse().unwrap());
    for (format, want) in [
        (
            apache("%a %{c}a %h %{c}h"),
            "198.51.100.9 10.0.0.1 198.51.100.9 10.0.0.1",
        ),
        (Format::common(), "198.51.100.9 - - ["),
        (
            Format::json(),
            r#""client.address":"198.51.100.9","network.peer.address":"10.0.0.1""#,
        ),
        (
            Format::logfmt(),
            " client.address=198.51.100.9 network.peer.address=10.0.0.1 ",
        ),
    ] {
        let mut request = get("/");
        let peer = Peer::new(client(), client()).with_connection(proxy());
        request.extensions_mut().insert(peer);
        let line = logged(hello, &format, vec![request]).await;
        assert!(line.contains(want), "{format}: {line}");
    }
}

/// A body that ends in trailers.
fn with_trailers(data: &'static str, trailers: &[(&'static str, &'static str)]) -> Body {
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        map.append(*name, HeaderValue::from_static(value));
    }
    let frames = [Frame::data(data.into()), Frame::trailers(map)];
    Body::new(Frames(frames.into_iter().collect()))
}

struct Frames(std::collections::VecDeque<Frame<bytes::Bytes>>);

impl http_body::Body for Frames {
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<bytes::Bytes>, BoxError>>> {
        std::task::Poll::Ready(self.0.pop_front().map(Ok))
    }
}

#[tokio::test]
async fn trailers_and_the_status_of_a_grpc_call() {
    let app = |request: Request| async move {
        match request.uri().path() {
            "/whole" => with_trailers("x", &[("grpc-status", "0")]).into_response(),
            "/late" => with_trailers("x", &[("grpc-status", "13"), ("x-a", "1"), ("x-a", "2")])
                .into_response(),
            "/odd" => with_trailers("x", &[("grpc-status", "999")]).into_response(),
            "/early" => ([("grpc-status", "7")], "").into_response(),
            "/reads" => {
                let mut body = request.into_body();
                while body.frame().await.is_some() {}
                "read".into_response()
            }
            _ => "plain".into_response(),
        }
    };
    // The path; the trailer in Apache's format, or the header; and the status in JSON.
    for (path, trailer, header, status) in [
        ("/whole", "0 -", "-", Some(0)),
        ("/late", "13 1, 2", "-", Some(13)),
        ("/odd", "999 -", "-", None),
        ("/early", "- -", "7", Some(7)),
        ("/plain", "- -", "-", None),
        ("/reads", "- -", "-", None),
    ] {
        let request = || {
            let mut request = get(path);
            *request.version_mut() = Version::HTTP_2;
            *request.body_mut() = with_trailers("y", &[("x-sum", "9")]);
            request
        };
        let format = apache("%{grpc-status}^to %{X-A}^to %{grpc-status}o %{x-sum}^ti");
        let line = logged(app, &format, vec![request()]).await;
        let sum = if path == "/reads" { "9" } else { "-" };
        assert_eq!(line, format!("{trailer} {header} {sum}\n"), "{path}");
        let json = logged(app, &Format::json(), vec![request()]).await;
        let field = status.map(|status| format!("\"rpc.grpc.status_code\":{status},"));
        match field {
            Some(field) => assert!(json.contains(&field), "{json}"),
            None => assert!(!json.contains("grpc"), "{json}"),
        }
    }
}

/// An app's answer that HTTP cannot carry: the client gets a 500, and so say the log and the metrics.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_server_replaces() {
    async fn site(request: Request) -> Response {
        let status = |code| StatusCode::from_u16(code).unwrap();
        match request.uri().path() {
            "/100" => status(100).into_response(),
            "/103" => (status(103), "hints").into_response(),
            "/199" => status(199).into_response(),
            "/101" => status(101).into_response(),
            "/lengths" => {
                let mut response = "hello".into_response();
                response
                    .headers_mut()
                    .append("content-length", HeaderValue::from_static("7"));
                response
                    .headers_mut()
                    .append("content-length", HeaderValue::from_static("8"));
                response
            }
            "/word" => ([("content-length", "five")], "hello").into_response(),
            _ => "hello".into_response(),
        }
    }
    let (lines, sink) = Sink::memory();
    let registry = Registry::new();
    let metrics = Metrics::new(site).to(registry.clone());
    let format = apache("%>s %X %B");
    let address = serve(AccessLog::new(metrics).to(sink).format(format)).await;
    let (told, sink) = Sink::memory();
    let causes = serve(AccessLog::new(site).to(sink).format(Format::json())).await;
    let cases: [(&[u8], &str); 6] = [
        (
            b"GET /100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "100 Continue is not a final answer",
        ),
        (
            b"GET /103 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "103 Early Hints is not a final answer",
        ),
        (
            b"POST /199 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "is not a final answer",
        ),
        (
            b"GET /101 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "101 answers a request that asks for no other",
        ),
        (
            b"HEAD /lengths HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "Content-Length is not a number",
        ),
        (
            b"GET /word HTTP/1.0\r\nHost: a\r\n\r\n",
            "Content-Length is not a number",
        ),
    ];
    for (request, cause) in cases {
        let answer = fetch(address, request).await;
        assert!(
            answer.starts_with("HTTP/1.") && answer[8..].starts_with(" 500 "),
            "{answer}"
        );
        assert_eq!(line(&lines).await, "500 + 0\n", "{cause}");
        fetch(causes, request).await;
        let line = line(&told).await;
        assert!(
            line.contains("\"http.response.status_code\":500,"),
            "{line}"
        );
        assert!(
            line.contains("\"vestibule.outcome\":\"complete\",\"error.type\":\"500\""),
            "{line}"
        );
        assert!(line.contains(cause), "{cause}: {line}");
    }
    let url = format!("http://{address}/103");
    let curl = [
        "--silent",
        "--http2-prior-knowledge",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        &url,
    ];
    let code = tokio::task::spawn_blocking({
        let curl: Vec<String> = curl.iter().map(ToString::to_string).collect();
        move || {
            run(
                "curl",
                &curl.iter().map(String::as_str).collect::<Vec<_>>(),
                "",
                "curl",
            )
        }
    });
    assert_eq!(code.await.unwrap(), "500");
    assert_eq!(line(&lines).await, "500 + 0\n", "HTTP/2");
    let page = registry.prometheus();
    for (method, count) in [("GET", 5), ("HEAD", 1), ("POST", 1)] {
        let want = format!(
            "http_server_requests_total{{method=\"{method}\",status=\"5xx\",route=\"\",outcome=\"complete\"}} {count}\n"
        );
        assert!(page.contains(&want), "{want}{page}");
    }
    assert!(!page.contains("4xx"), "{page}");
}

fn login(user: &str) -> String {
    format!(
        "Basic {}",
        Base64::encode_string(format!("{user}:secret").as_bytes())
    )
}

/// An app that answers with the status in the path, and lets a user in when the query says so.
async fn guarded(request: Request) -> Response {
    let code = request.uri().path()[1..].parse().unwrap();
    let mut response = StatusCode::from_u16(code).unwrap().into_response();
    if let Some(user) = request.uri().query() {
        let user = RemoteUser::new(user, "Basic");
        response.extensions_mut().insert(user);
    }
    response
}

#[tokio::test]
async fn the_user_is_the_one_that_was_let_in_or_tried() {
    let cases = [
        ("/401", login("ann"), "ann"),
        ("/429", login("ann"), "ann"),
        ("/401", login("a b"), "a\\x20b"),
        ("/401", login("x\n\"1.2.3.4"), "x\\x0A\\x221.2.3.4"),
        ("/401", login(""), "-"),
        ("/401", "Basic ###".to_owned(), "-"),
        ("/401", "Bearer YTpi".to_owned(), "-"),
        ("/401", String::new(), "-"),
        // No user was let in, but none was refused either.
        ("/200", login("ann"), "-"),
        ("/404", login("ann"), "-"),
        // The guard knows better than the client.
        ("/200?bob", login("ann"), "bob"),
        ("/401?bob", login("ann"), "bob"),
    ];
    for (target, credentials, want) in cases {
        let mut request = get(target);
        let value = HeaderValue::from_str(&credentials).unwrap();
        request.headers_mut().insert("authorization", value);
        let line = logged(guarded, &apache("%u"), vec![request]).await;
        assert_eq!(line, format!("{want}\n"), "{target} {credentials}");
        assert!(!line.contains("secret"));
    }
}

/// fail2ban counts the logins that failed by their addresses, and no others.
#[tokio::test]
async fn fail2ban_finds_the_logins_that_failed() {
    let mut requests = Vec::new();
    for index in 0..30 {
        let (target, credentials) = match index % 5 {
            0 => ("/401", login("ann")),
            1 => ("/401", login("x 198.51.100.1 - root [")),
            2 => ("/401", String::new()), // a browser that asks what is wanted
            3 => ("/200?ann", login("ann")),
            _ => ("/429", login("ann")),
        };
        let mut request = from("[::ffff:192.0.2.7]:4711", "192.0.2.9:80");
        *request.uri_mut() = target.parse().unwrap();
        let value = HeaderValue::from_str(&credentials).unwrap();
        request.headers_mut().insert("authorization", value);
        requests.push(request);
    }
    let directory = Directory::new();
    let file = directory.join("access.log");
    let text = logged(guarded, &Format::combined(), requests).await;
    std::fs::write(&file, &text).unwrap();
    let filter = r#"^<ADDR> \S+ (?!- )\S+ \[\] "[^"]*" (?:401|429) "#;
    let said = run(
        "fail2ban-regex",
        &["--print-all-matched", file.to_str().unwrap(), filter],
        "",
        "fail2ban",
    );
    assert!(
        said.contains("Lines: 30 lines, 0 ignored, 18 matched, 12 missed"),
        "{said}\n{text}"
    );
    let found = run(
        "fail2ban-regex",
        &["--out", "ip", file.to_str().unwrap(), filter],
        "",
        "fail2ban",
    );
    assert_eq!(found, "192.0.2.7\n".repeat(18), "{text}");
}

/// Requests that the parser answers by itself are lines of the log, with the status that the client got.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_parsed() {
    let (lines, sink) = Sink::memory();
    let refused = AccessLog::new(refusal)
        .to(sink.clone())
        .format(Format::combined());
    let app = AccessLog::new(hello).to(sink).format(Format::combined());
    let server = Server::new(app).refused(refused).max_header_bytes(8000);
    let bound = server.bind("127.0.0.1:0").await.unwrap();
    let Address::Tcp(address) = *bound.address() else {
        unreachable!("it is bound to TCP")
    };
    tokio::spawn(bound.run_until(std::future::pending()));
    let long: &'static str = Box::leak("x".repeat(9000).into_boxed_str());
    let cases: Vec<(String, &str, &str)> = vec![
        (
            "\x16\x03\x01\x00\u{1}junk\r\n\r\n".into(),
            "400",
            r#""\x16\x03\x01\x00\x01junk" 400"#,
        ),
        (
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "400",
            r#""GET /a b HTTP/1.1" 400"#,
        ),
        (
            "GET / HTTP/3.7\r\nHost: a\r\n\r\n".into(),
            "505",
            r#""GET / HTTP/3.7" 505"#,
        ),
        (
            "GET / HTTP/1.x\r\nHost: a\r\n\r\n".into(),
            "400",
            r#""GET / HTTP/1.x" 400"#,
        ),
        (
            "GET /a HTTP/1.2\r\nHost: a\r\nConnection: close\r\n\r\n".into(),
            "200",
            r#""GET /a HTTP/1.1" 200"#,
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            "414",
            r#"x" 414"#,
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
                .into(),
            "501",
            r#""POST /a HTTP/1.1" 501"#,
        ),
        // The parser had read the head when it found this.
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".into(),
            "501",
            r#""-" 501"#,
        ),
        (
            "SSH-2.0-OpenSSH_9.6\r\n\r\n".into(),
            "400",
            r#""SSH-2.0-OpenSSH_9.6" 400"#,
        ),
        (
            "G\"T /?a=\\ HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "400",
            r#""G\x22T /?a=\x5C HTTP/1.1" 400"#,
        ),
        (
            "GET /a HTTP/1.1\r\nHo st: a\r\n\r\n".into(),
            "400",
            r#""GET /a HTTP/1.1" 400"#,
        ),
        (
            "GET /a HTTP/1.1\r\nno colon\r\n\r\n".into(),
            "400",
            r#""GET /a HTTP/1.1" 400"#,
        ),
        (
            format!("GET /a HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
            "431",
            r#""GET /a HTTP/1.1" 431"#,
        ),
        // The parser had read the head when it found this.
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".into(),
            "400",
            r#""-" 400"#,
        ),
        // What the guard refuses is a request, with a method and a target.
        (
            "GET /a HTTP/1.1\r\n\r\n".into(),
            "400",
            r#""GET /a HTTP/1.1" 400"#,
        ),
        // The first of two is one that can be read.
        (
            "GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "400",
            r#""GET /a b HTTP/1.1" 400"#,
        ),
    ];
    for (request, status, want) in cases {
        let name = request.chars().take(80).collect::<String>();
        let answer = fetch(address, request.leak().as_bytes()).await;
        assert!(
            answer.contains(&format!("HTTP/1.1 {status} ")),
            "{name}: {answer}"
        );
        let mut text = String::new();
        while !text.contains(want) {
            text += &line(&lines).await;
        }
        let count = if want.contains("/a b") && name.contains("/ok") {
            2
        } else {
            1
        };
        assert_eq!(text.lines().count(), count, "{name}: {text}");
        assert!(text.starts_with("127.0.0.1 - - ["), "{text}");
    }
}

/// The same in JSON: with the cause, and as the schema says.
#[tokio::test]
async fn a_request_that_could_not_be_parsed_in_json() {
    let mut request = get("/");
    request
        .extensions_mut()
        .insert(vestibule_core::RequestLine::new(
            b"GET /a\x1b b?token=s HTTP/1.1",
        ));
    let line = logged(refusal, &Format::json(), vec![request]).await;
    let want = r#""http.request.method":"_OTHER","url.path":"","vestibule.request_line":"GET /a\u001b b?token=s HTTP/1.1","#;
    assert!(line.contains(want), "{line}");
    crate::lines::validate(&line);
}
