//! Clients that go, are silent or are slow, and servers that end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use vestibule_core::{Body, Peer, Request};
use vestibule_hyper::Server;

use crate::support::{Running, answers, echo, eventually, port_closes, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Counts those that were made and those that were dropped.
#[derive(Clone, Default)]
struct Guards {
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

struct Guard(Arc<AtomicUsize>);

impl Guards {
    fn guard(&self) -> Guard {
        self.made.fetch_add(1, Ordering::SeqCst);
        Guard(self.dropped.clone())
    }

    async fn made(&self, count: usize) {
        eventually("the app is called", || {
            self.made.load(Ordering::SeqCst) == count
        })
        .await;
    }

    async fn dropped(&self, count: usize) {
        eventually("the guard is dropped", || {
            self.dropped.load(Ordering::SeqCst) == count
        })
        .await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// An app that never answers.
async fn never(guards: Guards) -> &'static str {
    let _guard = guards.guard();
    std::future::pending().await
}

/// A server of that app, and what it holds.
async fn silent() -> (Running, Guards) {
    let guards = Guards::default();
    let held = guards.clone();
    let server = Running::start(move |_: Request| never(held.clone())).await;
    (server, guards)
}

#[tokio::test]
async fn faults_115_a_client_that_goes_takes_its_future_along() {
    let (server, guards) = silent().await;
    let mut client = server.connect().await;
    client.write(GET).await;
    guards.made(1).await;
    drop(client);
    guards.dropped(1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_at_once_takes_its_future_along() {
    let (server, guards) = silent().await;
    for _ in 0..20 {
        let mut client = server.connect().await;
        client.write(GET).await;
        drop(client);
    }
    // Whether the app was called before the end was seen is a matter of time; what it held is not.
    let before = guards.made.load(Ordering::SeqCst);
    let mut stays = server.connect().await;
    stays.write(GET).await;
    eventually("all of them have had their turn", || {
        guards.made.load(Ordering::SeqCst) > before
    })
    .await;
    eventually("only who stays is held", || {
        guards.made.load(Ordering::SeqCst) == guards.dropped.load(Ordering::SeqCst) + 1
    })
    .await;
    drop(stays);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_takes_the_body_along() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let server = Running::start(move |_: Request| {
        let count = count.clone();
        async move {
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move { while sender.send(vec![0; 1 << 16]).await.is_ok() {} });
            body.on_end(move |end| {
                assert!(matches!(end.outcome, vestibule_core::Outcome::Aborted));
                count.fetch_add(1, Ordering::SeqCst);
            })
        }
    })
    .await;
    let mut client = server.connect().await;
    client.write(GET).await;
    client.until("\r\n\r\n").await;
    drop(client);
    eventually("on_end is heard", || ended.load(Ordering::SeqCst) == 1).await;
    server.stop().await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

/// As `printf 'GET / HTTP/1.1\r\n..' | nc -N` does: that nothing more comes does not say that nobody is there.
#[tokio::test]
async fn a_client_that_closes_its_side_gets_its_answers() {
    let server = Running::start(|request: Request| async {
        // The body lies there and is not read yet, and then there is no answer yet.
        tokio::time::sleep(Duration::from_millis(25)).await;
        request.into_body().collect(1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(25)).await;
        let (mut sender, body) = Body::channel();
        tokio::spawn(async move {
            // More than half a second in all.
            for _ in 0..25 {
                tokio::time::sleep(Duration::from_millis(25)).await;
                sender.send("x").await.unwrap();
            }
            sender.finish();
        });
        body
    })
    .await;
    let mut client = server.connect().await;
    client
        .write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na".repeat(2))
        .await;
    client.0.shutdown().await.unwrap();
    let got = client.rest().await;
    assert_eq!(got.matches("200 OK").count(), 2, "{got}");
    assert_eq!(got.matches("\r\n0\r\n\r\n").count(), 2, "{got}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_its_side_and_hears_nothing_is_taken_for_gone() {
    let (server, guards) = silent().await;
    let mut client = server.connect().await;
    client.write(GET).await;
    guards.made(1).await;
    let begun = std::time::Instant::now();
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
    assert!(begun.elapsed() >= Duration::from_millis(500));
    guards.dropped(1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_in_its_body_is_an_error() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let server = Running::start(move |request: Request| {
        let told = told.clone();
        async move {
            let result = request.into_body().collect(100).await;
            told.send(result.unwrap_err().to_string()).unwrap();
        }
    })
    .await;
    let mut client = server.connect().await;
    client
        .write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        .await;
    drop(client);
    let error = soon(heard.recv()).await.unwrap();
    assert_eq!(
        error,
        "the body broke off: the client went away before the end of the request's body"
    );
}

#[tokio::test]
async fn faults_57_and_59_silence_is_closed() {
    let brief = Duration::from_millis(100);
    let server = Server::new(echo)
        .first_byte_timeout(brief)
        .header_timeout(brief);
    let server = Running::with(server.idle_timeout(brief)).await;
    let silent = [
        "",
        "P",
        "PRI * HT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        "\r\n",
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\n",
    ];
    let start = tokio::time::Instant::now();
    for text in silent {
        let mut client = server.connect().await;
        client.write(text).await;
        assert_eq!(client.rest().await, "", "{text:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    // A kept connection is closed as well.
    let mut client = server.connect().await;
    client.write(GET).await;
    let (got, closes) = answers(&client.rest().await);
    assert_eq!((got, closes), (vec!["200 GET / at a".to_owned()], false));
}

#[tokio::test]
async fn the_app_sees_both_ends() {
    let server = Running::brief(|request: Request| async move {
        let peer = Peer::of(&request).unwrap();
        format!("{} to {}", peer.address(), peer.local())
    })
    .await;
    let mut client = server.connect().await;
    let own = client.0.local_addr().unwrap();
    client.write(GET).await;
    let (got, _) = answers(&client.rest().await);
    assert_eq!(got, [format!("200 {own} to {}", server.address)]);
}

#[tokio::test]
async fn faults_39_the_proxy_protocol_from_those_that_are_trusted() {
    let app = |request: Request| async move { Peer::of(&request).unwrap().address().to_string() };
    let brief = Duration::from_millis(200);
    let server = Server::new(app)
        .first_byte_timeout(brief)
        .idle_timeout(brief);
    let server = server.proxy_protocol(|peer| peer.ip().is_some_and(|ip| ip.is_loopback()));
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let line = "PROXY TCP4 192.0.2.1 192.0.2.9 4711 80\r\n";
    let cases = [
        (format!("{line}{GET}{GET}"), vec!["200 192.0.2.1:4711"; 2]),
        // One for each connection, and no more.
        (
            format!("{line}{GET}{line}{GET}"),
            vec!["200 192.0.2.1:4711", "400"],
        ),
        // Without one, with half of one, or with a bad one there is no answer.
        (GET.to_owned(), vec![]),
        ("PROXY TCP4 192.0.2.1 ".to_owned(), vec![]),
        ("PROXY TCP4 ".repeat(100), vec![]),
    ];
    for (request, want) in cases {
        assert_eq!(answers(&server.send(&request).await).0, want, "{request:?}");
    }
}

#[tokio::test]
async fn expect_continue_is_asked_for_only_when_read() {
    let post = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let server = Running::brief(echo).await;
    let mut client = server.connect().await;
    client.write(post("/")).await;
    assert_eq!(
        client.until("\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.write("abc").await;
    let (got, _) = answers(&client.rest().await);
    assert_eq!(got, ["200 POST / at a [abc]"]);

    let mut client = server.connect().await;
    client.write(post("/ignore")).await;
    let (got, closes) = answers(&client.rest().await);
    assert_eq!(
        (got, closes),
        (vec!["200 POST /ignore at a".to_owned()], true)
    );
}

/// A refusal reaches a client that is still sending.
#[tokio::test]
async fn rfc9112_9_6_a_close_waits_for_the_client() {
    let server = Running::start(echo).await;
    for path in ["/ignore", "/ignore?again"] {
        let mut client = server.connect().await;
        let length = 8 << 20;
        client
            .write(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        // The kernel's buffers take it, or the server reads some of it; most of it never goes out.
        client.write(vec![b'x'; 60_000]).await;
        let (text, is_reset) = client.rest_and_reset().await;
        assert!(!is_reset);
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
}

/// So it does one that reads no answer before all is sent, as some proxies do.
#[tokio::test]
async fn rfc9112_9_6_an_early_answer_survives_a_large_body() {
    let server = Running::start(echo).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = chunk.repeat(100) + "0\r\n\r\n";
    let bodies = [
        ("/ignore", "Content-Length: 6553600", "x".repeat(6_553_600)),
        ("/ignore", "Transfer-Encoding: chunked", chunked),
        // What the guard refuses has a body as well.
        (
            "/ignore",
            "Host: b\r\nContent-Length: 6553600",
            "x".repeat(6_553_600),
        ),
    ];
    for (path, fields, body) in bodies {
        let mut client = server.connect().await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        client.write(head).await;
        soon(client.write(body)).await;
        let (text, is_reset) = client.rest_and_reset().await;
        assert!(
            !is_reset && text.contains("connection: close\r\n"),
            "{fields}: {text}"
        );
    }
}

#[tokio::test]
async fn an_upgrade_reaches_hyper() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Running::start(|mut request: Request| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            let mut word = [0; 4];
            io.read_exact(&mut word).await.unwrap();
            word.reverse();
            io.write_all(&word).await.unwrap();
            io.shutdown().await.unwrap();
        });
        http::Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "mirror")
            .body(Body::empty())
            .unwrap()
    })
    .await;
    let mut client = server.connect().await;
    client
        .write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: mirror\r\n\r\nabcd")
        .await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert_eq!(client.rest().await, "dcba");
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight() {
    let go = Arc::new(Notify::new());
    let guards = Guards::default();
    let (wait, held) = (go.clone(), guards.clone());
    let server = Running::start(move |_: Request| {
        let (wait, held) = (wait.clone(), held.clone());
        async move {
            let _guard = held.guard();
            wait.notified().await;
            "done"
        }
    })
    .await;
    let address = server.address;
    let mut client = server.connect().await;
    client.write(GET).await;
    guards.made(1).await;
    let ended = server.begin_stop();
    port_closes(address).await;
    assert!(!ended.is_finished());
    go.notify_one();
    let (got, closes) = answers(&client.rest().await);
    assert_eq!((got, closes), (vec!["200 done".to_owned()], true));
    assert_eq!(soon(ended).await.unwrap().aborted, 0);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_and_counts() {
    let guards = Guards::default();
    let held = guards.clone();
    let server = Server::new(move |_: Request| never(held.clone()));
    let server = Running::with(server.drain_timeout(Duration::from_millis(100))).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.write(GET).await;
        clients.push(client);
    }
    guards.made(3).await;
    assert_eq!(server.stop().await.aborted, 3);
    guards.dropped(3).await;
    assert_eq!(clients[0].rest().await, "");
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_everything() {
    let guards = Guards::default();
    let held = guards.clone();
    let bound = Server::new(move |_: Request| never(held.clone()))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let vestibule_core::Address::Tcp(address) = *bound.address() else {
        panic!()
    };
    let running = tokio::spawn(bound.run_until(std::future::pending()));
    let mut client = crate::support::Client(tokio::net::TcpStream::connect(address).await.unwrap());
    client.write(GET).await;
    guards.made(1).await;
    running.abort();
    guards.dropped(1).await;
    port_closes(address).await;
}

#[tokio::test]
async fn workers_have_threads_of_their_own() {
    let (guards, go) = (Guards::default(), Arc::new(Notify::new()));
    let (held, wait) = (guards.clone(), go.clone());
    let app = move |request: Request| {
        let (held, wait) = (held.clone(), wait.clone());
        async move {
            if request.uri().path() == "/wait" {
                let _guard = held.guard();
                wait.notified().await;
            }
            let thread = std::thread::current();
            tokio::spawn(async move { thread.name().unwrap_or("-").to_owned() })
                .await
                .unwrap()
        }
    };
    let server = Server::new(app)
        .workers(2)
        .idle_timeout(Duration::from_millis(300));
    let server = Running::with(server.lame_duck(Duration::ZERO)).await;
    let asked: Vec<_> = (0..40).map(|_| tokio::spawn(server.send(GET))).collect();
    for answer in asked {
        let (got, _) = answers(&answer.await.unwrap());
        assert!(got[0].starts_with("200 vestibule-"), "{got:?}");
    }
    // The drain waits for what is in flight there, too.
    let mut client = server.connect().await;
    client.write("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    guards.made(1).await;
    let address = server.address;
    let ended = server.begin_stop();
    port_closes(address).await;
    assert!(!ended.is_finished());
    go.notify_one();
    let (got, closes) = answers(&client.rest().await);
    assert!(got[0].starts_with("200 vestibule-") && closes, "{got:?}");
    assert_eq!(soon(ended).await.unwrap().aborted, 0);
}

/// Signals are for the whole process, so there is one test of them.
#[cfg(unix)]
#[tokio::test]
async fn faults_145_signals() {
    let kill = |name: &str| {
        let command = format!("kill -{name} {}", std::process::id());
        let status = std::process::Command::new("sh")
            .args(["-c", &command])
            .status();
        assert!(status.unwrap().success());
    };
    for name in ["TERM", "INT"] {
        let guards = Guards::default();
        let held = guards.clone();
        let bound = Server::new(move |_: Request| never(held.clone()))
            .bind("127.0.0.1:0")
            .await
            .unwrap();
        let address = bound.address().to_string();
        let running = tokio::spawn(bound.run());
        let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let mut client = crate::support::Client(stream);
        client.write(GET).await;
        guards.made(1).await;

        kill(name);
        port_closes(address).await;
        assert_eq!(guards.dropped.load(Ordering::SeqCst), 0);

        kill(name);
        assert_eq!(soon(running).await.unwrap().unwrap().aborted, 1);
        guards.dropped(1).await;
    }
}
