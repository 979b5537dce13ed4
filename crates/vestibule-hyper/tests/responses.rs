//! Responses: framed right whatever the app says, and cut when their bodies break.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Response, StatusCode, header};
use vestibule_core::{Abort, Body, BoxError, Outcome, Request};
use vestibule_hyper::Server;

use crate::support::{Running, answers, eventually, soon};

/// What the `on_end` of bodies heard.
type Heard = Arc<Mutex<Vec<String>>>;

fn listen(heard: &Heard, body: Body) -> Body {
    let heard = heard.clone();
    body.on_end(move |end| {
        let outcome = match end.outcome {
            Outcome::Complete => "complete",
            Outcome::Aborted => "aborted",
            Outcome::Failed(_) => "failed",
        };
        heard
            .lock()
            .unwrap()
            .push(format!("{outcome} {}", end.bytes));
    })
}

/// A stream of known pieces and unknown length, with an error at its end or not.
fn stream(pieces: &[&'static str], error: Option<BoxError>) -> Body {
    let (mut sender, body) = Body::channel();
    let pieces = pieces.to_vec();
    tokio::spawn(async move {
        for piece in pieces {
            let _ = sender.send(piece).await;
        }
        match error {
            Some(error) => sender.abort(error),
            None => sender.finish(),
        }
    });
    body
}

/// An app with one answer a path.
async fn app(request: Request, heard: Heard) -> Response<Body> {
    let with = |status: u16, fields: &[(&'static str, &'static str)], body: Body| {
        let mut response = Response::new(listen(&heard, body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        response
    };
    let length = header::CONTENT_LENGTH.as_str();
    match request.uri().path() {
        "/text" => with(200, &[], "hello".into()),
        "/stream" => with(200, &[], stream(&["hel", "lo"], None)),
        "/sized" => with(200, &[(length, "5")], stream(&["hel", "lo"], None)),
        "/204" => with(204, &[(length, "5")], "hello".into()),
        "/205" => with(205, &[], "hello".into()),
        "/304" => with(304, &[("etag", "\"1\"")], "hello".into()),
        "/100" => with(100, &[], "hello".into()),
        "/101" => with(101, &[], "hello".into()),
        "/short" => with(200, &[(length, "9")], "hello".into()),
        "/long" => with(200, &[(length, "3")], "hello".into()),
        "/owed" => with(200, &[(length, "5")], Body::empty()),
        "/long-stream" => with(200, &[(length, "3")], stream(&["hel", "lo"], None)),
        "/short-stream" => with(200, &[(length, "9")], stream(&["hel", "lo"], None)),
        "/twice" => with(200, &[(length, "5"), (length, "5")], "hello".into()),
        "/differ" => with(200, &[(length, "5"), (length, "6")], "hello".into()),
        "/nonsense" => with(200, &[(length, "five")], "hello".into()),
        "/te" => with(
            200,
            &[("transfer-encoding", "gzip, chunked"), (length, "5")],
            "hello".into(),
        ),
        "/version" => {
            let mut response = with(200, &[], "hello".into());
            *response.version_mut() = http::Version::HTTP_3;
            response
        }
        "/fails" => with(200, &[], stream(&["hel"], Some("disk".into()))),
        "/fails-sized" => with(200, &[(length, "5")], stream(&["hel"], Some("disk".into()))),
        "/aborts" => with(200, &[], stream(&["hel"], Some(Abort.into()))),
        "/panics" => panic!("no more paper"),
        "/panics-later" => {
            let mut left = 2;
            let body = Body::new(Frames(Box::new(move || {
                left -= 1;
                assert!(left > 0, "no more paper");
                Some("hel".into())
            })));
            with(200, &[], body)
        }
        "/empty-frames" => with(
            200,
            &[],
            Body::new(Frames(Box::new(|| Some(bytes::Bytes::new())))),
        ),
        "/stuck" => with(200, &[], Body::new(Stuck)),
        _ => with(404, &[], Body::empty()),
    }
}

/// A body that waits for what nobody will tell it of.
struct Stuck;

impl http_body::Body for Stuck {
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, BoxError>>> {
        std::task::Poll::Pending
    }
}

/// A body from a closure.
struct Frames(Box<dyn FnMut() -> Option<bytes::Bytes> + Send>);

impl http_body::Body for Frames {
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, BoxError>>> {
        std::task::Poll::Ready((self.0)().map(|data| Ok(http_body::Frame::data(data))))
    }
}

async fn start() -> (Running, Heard) {
    let heard = Heard::default();
    let told = heard.clone();
    let server = Running::brief(move |request| app(request, told.clone())).await;
    (server, heard)
}

fn get(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// The head without the date, and what follows it.
fn parts(text: &str) -> (String, &str) {
    let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let lines = head.lines().filter(|line| !line.starts_with("date:"));
    (lines.collect::<Vec<_>>().join("\n"), rest)
}

#[tokio::test]
async fn faults_40_to_42_framing() {
    // the request, the head and the rest that the client reads, what `on_end` hears
    let cases = [
        (
            "GET",
            "/text",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "hello",
            "complete 5",
        ),
        (
            "HEAD",
            "/text",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "",
            "complete 0",
        ),
        (
            "GET",
            "/stream",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
            "complete 5",
        ),
        ("HEAD", "/stream", "HTTP/1.1 200 OK", "", "complete 0"),
        (
            "GET",
            "/sized",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "hello",
            "complete 5",
        ),
        (
            "HEAD",
            "/sized",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "",
            "complete 0",
        ),
        ("GET", "/204", "HTTP/1.1 204 No Content", "", "complete 0"),
        (
            "GET",
            "/205",
            "HTTP/1.1 205 Reset Content\ncontent-length: 0",
            "",
            "complete 0",
        ),
        (
            "GET",
            "/304",
            "HTTP/1.1 304 Not Modified\netag: \"1\"",
            "",
            "complete 0",
        ),
        (
            "GET",
            "/100",
            "HTTP/1.1 500 Internal Server Error\ncontent-type: text/plain; charset=utf-8\ncontent-length: 26",
            "500 Internal Server Error\n",
            "failed 0",
        ),
        (
            "GET",
            "/101",
            "HTTP/1.1 500 Internal Server Error\ncontent-type: text/plain; charset=utf-8\ncontent-length: 26",
            "500 Internal Server Error\n",
            "failed 0",
        ),
        (
            "GET",
            "/short",
            "HTTP/1.1 200 OK\ncontent-length: 9",
            "hello",
            "failed 5",
        ),
        (
            "GET",
            "/long",
            "HTTP/1.1 200 OK\ncontent-length: 3",
            "",
            "failed 5",
        ),
        (
            "GET",
            "/owed",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "",
            "failed 0",
        ),
        (
            "GET",
            "/long-stream",
            "HTTP/1.1 200 OK\ncontent-length: 3",
            // Whether the first piece has left when the second breaks the length is a matter of time.
            "hel?",
            "failed 5",
        ),
        (
            "GET",
            "/short-stream",
            "HTTP/1.1 200 OK\ncontent-length: 9",
            "hello",
            "failed 5",
        ),
        (
            "GET",
            "/twice",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "hello",
            "complete 5",
        ),
        (
            "HEAD",
            "/twice",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "",
            "complete 0",
        ),
        (
            "GET",
            "/differ",
            "HTTP/1.1 500 Internal Server Error\ncontent-type: text/plain; charset=utf-8\ncontent-length: 26",
            "500 Internal Server Error\n",
            "failed 0",
        ),
        (
            "GET",
            "/nonsense",
            "HTTP/1.1 500 Internal Server Error\ncontent-type: text/plain; charset=utf-8\ncontent-length: 26",
            "500 Internal Server Error\n",
            "failed 0",
        ),
        (
            "GET",
            "/te",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "hello",
            "complete 5",
        ),
        (
            "GET",
            "/version",
            "HTTP/1.1 200 OK\ncontent-length: 5",
            "hello",
            "complete 5",
        ),
    ];
    let asked = cases.map(|(method, path, head, rest, end)| {
        tokio::spawn(async move {
            let (server, heard) = start().await;
            let text = server.send(get(method, path)).await;
            let name = format!("{method} {path}");
            let dates = text.matches("\r\ndate: ").count();
            assert_eq!(dates, 1, "RFC 9110, section 6.6.1: {name}");
            let (got_head, got) = parts(&text);
            assert_eq!(got_head, head, "{name}");
            match rest.strip_suffix('?') {
                Some(perhaps) => assert!(got.is_empty() || got == perhaps, "{name}: {got:?}"),
                None => assert_eq!(got, rest, "{name}"),
            }
            assert_eq!(*heard.lock().unwrap(), [end], "{name}");
        })
    });
    for case in asked {
        case.await.unwrap();
    }
}

/// Whatever an app says of the length of a tunnel, the client hears nothing of it.
#[tokio::test]
async fn rfc9110_9_3_6_a_tunnel_has_no_length() {
    let server = Running::brief(|_: Request| async {
        let lines = [("content-length", "5"), ("transfer-encoding", "chunked")];
        (lines, "")
    })
    .await;
    let mut client = server.connect().await;
    client
        .write("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
        .await;
    let head = client.until("\r\n\r\n").await;
    let head = parts(head.trim_end()).0;
    assert_eq!(
        head,
        "HTTP/1.1 200 OK\ncontent-type: text/plain; charset=utf-8"
    );
}

/// A value that would break out of its line cannot be made, so an app that tries has a 500, and nothing
/// of the value is sent. What programs behind the FastCGI client and Python apps send goes the same way, and is tested
/// there.
#[tokio::test]
async fn faults_43_values_that_break_out_of_their_line() {
    const VALUES: [&str; 6] = [
        "a\r\nset-cookie: evil",
        "a\nset-cookie: evil",
        "a\rset-cookie: evil",
        "a\0evil",
        "evil\r\n",
        "\x7fevil",
    ];
    let server = Running::brief(|request: Request| async move {
        let number: usize = request.uri().path()[1..].parse().unwrap();
        ([("x-a", VALUES[number])], "hello")
    })
    .await;
    for (number, value) in VALUES.iter().enumerate() {
        assert!(header::HeaderValue::from_str(value).is_err());
        let text = server.send(get("GET", &format!("/{number}"))).await;
        assert!(text.starts_with("HTTP/1.1 500 "), "{number}: {text}");
        assert!(!text.contains("evil"), "{number}: {text}");
    }
    // Nor can a name.
    for name in ["a b", "a\r\nb", "a:", ""] {
        assert!(name.parse::<header::HeaderName>().is_err(), "{name:?}");
    }
}

/// More pieces, and more bytes, than go out in one write.
#[tokio::test]
async fn what_is_at_hand_goes_out_together_and_in_order() {
    fn pieces() -> impl Iterator<Item = String> {
        (0..120).map(|number| format!("{number:03}").repeat(3000))
    }
    let server = Running::brief(|request: Request| async move {
        let (sender, body) = Body::channel();
        let mut sender = sender.with_room(usize::MAX);
        for piece in pieces() {
            sender.send(piece).await.unwrap();
        }
        let whole = pieces().map(|piece| piece.len() as u64).sum();
        match request.uri().path() {
            "/chunked" => sender.finish(),
            "/sized" => {
                sender.finish();
                return Response::new(body.with_length(whole));
            }
            "/breaks" => sender.abort(Abort),
            // What is too much is found before any of the last write is sent.
            _ => return Response::new(body.with_length(whole - 1)),
        }
        Response::new(body)
    })
    .await;
    let read = async |path: &str| {
        let text = server.send(get("GET", path)).await;
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        body.to_owned()
    };
    let whole: String = pieces().collect();
    assert!(read("/sized").await == whole);
    let chunked = read("/chunked").await;
    let (mut rest, mut got, mut chunks) = (&*chunked, String::new(), 0);
    while let Some((size, data)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        got.push_str(&data[..size]);
        rest = data[size..].strip_prefix("\r\n").unwrap();
        chunks += 1;
    }
    assert!(got == whole, "{} of {} bytes", got.len(), whole.len());
    assert!(chunks < 10, "{chunks} chunks of 120 pieces");
    assert!(
        chunked.starts_with(&read("/breaks").await)
            && !read("/breaks").await.ends_with("0\r\n\r\n")
    );
    let cut = read("/too-long").await;
    assert!(whole.starts_with(&cut) && cut.len() < whole.len() - 1);
}

#[tokio::test]
async fn faults_110_to_113_what_breaks_is_cut() {
    // the path, what the client reads after the head, what `on_end` hears
    let cases = [
        ("/fails", "3\r\nhel\r\n", "failed 3"),
        ("/fails-sized", "hel", "failed 3"),
        ("/aborts", "3\r\nhel\r\n", "failed 3"),
        ("/panics-later", "3\r\nhel\r\n", "failed 3"),
    ];
    for (path, rest, end) in cases {
        let (server, heard) = start().await;
        // The request behind it is not answered.
        let text = server.send(get("GET", path) + &get("GET", "/text")).await;
        let (head, read) = parts(&text);
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        assert!(rest.starts_with(read), "{path}: {read:?}");
        assert_eq!(*heard.lock().unwrap(), [end], "{path}");
    }
    let (server, _) = start().await;
    let (got, _) = answers(
        &server
            .send(get("GET", "/panics") + &get("GET", "/text"))
            .await,
    );
    assert_eq!(got, ["500 500 Internal Server Error", "200 hello"]);
}

/// What an app holds may panic when it is dropped: at the end of a call, with a client that goes, or with a body. It
/// costs that client's connection at most, and gives its place back.
#[tokio::test]
async fn faults_110_a_panic_in_drop_costs_nobody_else() {
    #[derive(Clone, Default)]
    struct Counts {
        made: Arc<AtomicUsize>,
        dropped: Arc<AtomicUsize>,
    }
    struct Bomb(Counts);
    impl Bomb {
        fn new(counts: Counts) -> Self {
            counts.made.fetch_add(1, SeqCst);
            Self(counts)
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.dropped.fetch_add(1, SeqCst);
            panic!("in drop");
        }
    }
    let counts = Counts::default();
    let own = counts.clone();
    let server = Server::new(move |request: Request| {
        let own = own.clone();
        async move {
            match request.uri().path() {
                "/call" => {
                    let _bomb = Bomb::new(own);
                    tokio::task::yield_now().await;
                    Body::empty()
                }
                "/never" => {
                    let _bomb = Bomb::new(own);
                    std::future::pending().await
                }
                "/body" => {
                    let bomb = Bomb::new(own);
                    Body::new(Frames(Box::new(move || {
                        let _ = &bomb;
                        Some(vec![0; 1 << 16].into())
                    })))
                }
                _ => "hello".into(),
            }
        }
    });
    // Two places: nobody is served any more when two of them stay taken.
    let server = server.max_connections(2).lame_duck(Duration::ZERO);
    let server = Running::with(server).await;
    let paths = ["/call", "/never", "/body"].repeat(3);
    for (before, path) in paths.into_iter().enumerate() {
        let mut client = server.connect().await;
        client.write(get("GET", path)).await;
        eventually("the app is called", || counts.made.load(SeqCst) > before).await;
        if path == "/call" {
            let line = client.until("\r\n").await;
            assert_eq!(line, "HTTP/1.1 500 Internal Server Error\r\n");
        }
        drop(client);
        eventually(path, || counts.dropped.load(SeqCst) > before).await;
        let (got, _) = answers(&soon(server.send("GET / HTTP/1.0\r\n\r\n")).await);
        assert_eq!(got, ["200 hello"], "after {path}");
    }
    assert_eq!(server.stop().await.aborted, 0);
}

/// In HTTP/1.0 the end of the connection is the end of the body: a cut has to be a reset.
#[tokio::test]
async fn rfc9112_6_3_a_cut_without_framing_is_a_reset() {
    let (server, _) = start().await;
    let ask = async |path: &str| {
        let mut client = server.connect().await;
        client.write(format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        client.rest_and_reset().await
    };
    let (text, is_reset) = ask("/stream").await;
    assert!(text.ends_with("\r\n\r\nhello") && !is_reset, "{text}");
    let (_, is_reset) = ask("/fails").await;
    assert!(is_reset);
}

/// A client of HTTP/1.0 that keeps its connection takes it for kept if the answer says so (RFC 9112, section 9.3).
#[tokio::test]
async fn http_1_0_keeps_the_connection_where_the_length_is_known() {
    let (server, _) = start().await;
    let last = Running::with(Server::new(|_: Request| async { "hello" }).max_requests(1)).await;
    let answer = last
        .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await;
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    let keep_alive = "Connection: keep-alive\r\n";
    let cases = [
        // method, path, fields, Connection, Content-Length, body
        ("GET", "/text", keep_alive, "keep-alive", Some("5"), "hello"),
        (
            "GET",
            "/sized",
            keep_alive,
            "keep-alive",
            Some("5"),
            "hello",
        ),
        (
            "GET",
            "/twice",
            keep_alive,
            "keep-alive",
            Some("5"),
            "hello",
        ),
        ("GET", "/te", keep_alive, "keep-alive", Some("5"), "hello"),
        ("GET", "/204", keep_alive, "keep-alive", None, ""),
        ("GET", "/304", keep_alive, "keep-alive", None, ""),
        ("GET", "/404", keep_alive, "keep-alive", Some("0"), ""),
        ("HEAD", "/text", keep_alive, "keep-alive", Some("5"), ""),
        ("HEAD", "/stream", keep_alive, "keep-alive", None, ""),
        ("GET", "/stream", keep_alive, "close", None, "hello"),
        ("POST", "/stream", keep_alive, "close", None, "hello"),
        (
            "GET",
            "/stream",
            "Connection: Keep-Alive, TE\r\n",
            "close",
            None,
            "hello",
        ),
        ("GET", "/stream", "", "close", None, "hello"),
        ("GET", "/text", "", "", Some("5"), "hello"),
    ];
    for (method, path, fields, connection, length, body) in cases {
        let mut client = server.connect().await;
        let request = format!("{method} {path} HTTP/1.0\r\n{fields}\r\n");
        // The second request is answered where the connection is kept, and nothing else follows the first.
        client.write(&request).await;
        let head = client.until("\r\n\r\n").await.to_lowercase();
        let found = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value.to_owned())
        };
        let name = format!("{request:?}: {head}");
        assert_eq!(
            found("connection").unwrap_or_default(),
            connection,
            "{name}"
        );
        assert_eq!(found("content-length").as_deref(), length, "{name}");
        assert_eq!(found("transfer-encoding"), None, "{name}");
        if connection == "keep-alive" {
            client.write("GET /text HTTP/1.0\r\n\r\n").await;
        }
        let rest = soon(client.rest()).await;
        let (first, second) = rest.split_at(body.len());
        assert_eq!(first, body, "{name}");
        let is_kept = second.starts_with("HTTP/1.0 200") && second.ends_with("hello");
        assert_eq!(is_kept, connection == "keep-alive", "{name}: {second:?}");
        assert!(is_kept || second.is_empty(), "{name}: {second:?}");
    }
}

#[tokio::test]
async fn faults_114_empty_frames_hold_nobody_up() {
    holds_nobody_up("/empty-frames").await;
}

#[tokio::test]
async fn faults_114_a_body_that_is_stuck_goes_with_its_client() {
    holds_nobody_up("/stuck").await;
}

/// One thread serves both: a second client is answered beside the body without an end, which goes with its own.
async fn holds_nobody_up(path: &str) {
    let (server, heard) = start().await;
    let mut client = server.connect().await;
    client.write(get("GET", path)).await;
    client.until("\r\n\r\n").await;
    let (got, _) = answers(&soon(server.send(get("GET", "/text"))).await);
    assert_eq!(got, ["200 hello"]);
    drop(client);
    eventually("the body is dropped", || {
        heard.lock().unwrap().contains(&"aborted 0".to_owned())
    })
    .await;
}
