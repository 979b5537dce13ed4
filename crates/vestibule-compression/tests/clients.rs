//! Real clients ask a running server.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use vestibule_compression::{Coding, Compression};
use vestibule_core::{Address, App, Body, IntoResponse, Request, Response};
use vestibule_hyper::Server;

use crate::support::words;

/// Serves until the future is done, on a free port.
pub(crate) async fn with_server<F: Future>(
    app: impl App,
    client: impl FnOnce(String) -> F,
) -> F::Output {
    let bound = Server::new(app).bind("127.0.0.1:0").await.unwrap();
    let Address::Tcp(address) = *bound.address() else {
        panic!("not a TCP address")
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(bound.run_until(async {
        let _ = stopped.await;
    }));
    let output = client(format!("http://{address}")).await;
    let _ = stop.send(());
    tokio::time::timeout(Duration::from_secs(10), server)
        .await
        .expect("the server ends")
        .unwrap();
    output
}

/// `/whole` and `/stream`: 300,000 bytes of text.
async fn pages(request: Request) -> Response {
    let body = match request.uri().path() {
        "/whole" => Body::from(words(200_000)),
        _ => {
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move {
                for piece in words(200_000).chunks(7_000) {
                    if sender.send(piece.to_vec()).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                sender.finish();
            });
            body
        }
    };
    ([("content-type", "text/plain")], Response::new(body)).into_response()
}

/// Returns the output of a program.
pub(crate) async fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output();
    let output = tokio::time::timeout(Duration::from_secs(60), output)
        .await
        .unwrap_or_else(|_| panic!("{program} does not end"))
        .unwrap_or_else(|error| panic!("{program}: {error}; is its package installed?"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    output.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_decodes_each_coding() {
    let version = output("curl", &["--version"]).await;
    let version = String::from_utf8_lossy(&version).into_owned();
    for padding in [0, 500] {
        let app = Compression::new(pages).padding(padding);
        with_server(app, |base| {
            let version = version.clone();
            async move {
                for &coding in Coding::ALL {
                    let feature = match coding {
                        Coding::Brotli => "brotli",
                        Coding::Zstd => "zstd",
                        _ => "libz",
                    };
                    assert!(
                        version.contains(feature),
                        "curl has no {feature}: {version}"
                    );
                    for path in ["/whole", "/stream"] {
                        let url = format!("{base}{path}");
                        let accept = format!("accept-encoding: {coding}");
                        let arguments = ["-sS", "--compressed", "-H", &accept, &url];
                        let body = output("curl", &arguments).await;
                        assert!(body == words(200_000), "{coding} {path}: {}", body.len());
                        let head = output("curl", &["-sSI", "-H", &accept, &url]).await;
                        let head = String::from_utf8_lossy(&head).to_lowercase();
                        // The body of a whole one is known, and so is its coding.
                        let line = format!("content-encoding: {coding}");
                        assert_eq!(head.contains(&line), path == "/whole", "{head}");
                        assert!(head.contains("vary: accept-encoding"), "{head}");
                    }
                }
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn httpx_decodes_each_coding() {
    for padding in [0, 500] {
        let app = Compression::new(pages).padding(padding);
        with_server(app, |base| async move {
            let program = "
import httpx, sys
base, *codings = sys.argv[1:]
for coding in codings:
    for path in '/whole', '/stream':
        answer = httpx.get(base + path, headers={'accept-encoding': coding})
        assert answer.headers['content-encoding'] == coding, answer.headers
        print(coding, path, len(answer.content), hash(answer.content) == hash(httpx.get(base + path, headers={'accept-encoding': 'identity'}).content))
";
            let mut arguments = vec!["-c", program, &base];
            arguments.extend(Coding::ALL.iter().map(|coding| coding.token()));
            let printed = output("python3", &arguments).await;
            let printed = String::from_utf8(printed).unwrap();
            assert_eq!(printed.lines().count(), 8);
            for line in printed.lines() {
                assert!(line.ends_with(" 200000 True"), "{line}");
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_decodes_each_coding() {
    // Each page says how it came; the browser says what it saw.
    for &coding in Coding::ALL {
        for padding in [0, 500] {
            let page = |_: Request| async {
                let text = String::from_utf8(words(100_000)).unwrap();
                let html = format!("<!doctype html><title>page</title><p>{text}</p><i>the end</i>");
                ([("content-type", "text/html")], html).into_response()
            };
            let used = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
            let seen = used.clone();
            let app = Compression::new(page).codings(&[coding]).padding(padding);
            let app = vestibule_core::map_response(move |response: Response| {
                let token = response.headers().get("content-encoding").cloned();
                *seen.lock().unwrap() =
                    token.map_or(String::new(), |token| token.to_str().unwrap().to_owned());
                response
            })(app.boxed());
            let only_pages = vestibule_core::around(|request: Request, next| async move {
                match request.uri().path() {
                    "/" => next.call(request).await,
                    _ => http::StatusCode::NOT_FOUND.into_response(),
                }
            });
            let dom = with_server(only_pages(app.boxed()), |base| async move {
                let flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"];
                output("chromium", &[&flags[..], &[&base]].concat()).await
            })
            .await;
            let dom = String::from_utf8(dom).unwrap();
            assert!(
                dom.contains("<i>the end</i>"),
                "{coding}, {padding}: {dom:.200}"
            );
            assert!(dom.len() > 100_000, "{coding}: {}", dom.len());
            println!(
                "chromium: {coding}, padding {padding}: {:?}",
                used.lock().unwrap()
            );
            assert_eq!(*used.lock().unwrap(), coding.token());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_arrives_within_50_ms() {
    /// Sends an event for each message of a channel.
    fn events(tell: tokio::sync::broadcast::Sender<usize>) -> impl App {
        move |_: Request| {
            let mut told = tell.subscribe();
            async move {
                let (mut sender, body) = Body::channel();
                tokio::spawn(async move {
                    while let Ok(n) = told.recv().await {
                        let event = format!("data: {n}\n\n");
                        if sender.send(event).await.is_err() {
                            return;
                        }
                    }
                });
                ([("content-type", "text/event-stream")], Response::new(body)).into_response()
            }
        }
    }
    let (tell, _) = tokio::sync::broadcast::channel(16);
    let app = Compression::new(events(tell.clone()));
    with_server(app, |base| async move {
        for &coding in Coding::ALL {
            let mut client = Command::new("curl")
                .args(["-sSN", "--compressed", "-H"])
                .arg(format!("accept-encoding: {coding}"))
                .arg(&base)
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("the Debian package `curl`");
            let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
            let deadline = Instant::now() + Duration::from_secs(10);
            while tell.receiver_count() == 0 {
                assert!(Instant::now() < deadline, "curl does not ask");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut times = Vec::new();
            for n in 0..20 {
                let sent = Instant::now();
                tell.send(n).unwrap();
                let line = tokio::time::timeout(Duration::from_secs(5), async {
                    loop {
                        let line = lines.next_line().await.unwrap().expect("an event");
                        if !line.is_empty() {
                            return line;
                        }
                    }
                });
                assert_eq!(line.await.expect("the event comes"), format!("data: {n}"));
                times.push(sent.elapsed());
            }
            times.sort_unstable();
            println!("{coding}: median {:?}, slowest {:?}", times[10], times[19]);
            // An event that stays in the encoder never comes, because the next one waits for it. The median
            // is the time of the server; the slowest shows other work of the machine.
            assert!(times[10] < Duration::from_millis(50), "{coding}: {times:?}");
            client.kill().await.unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            while tell.receiver_count() > 0 {
                assert!(Instant::now() < deadline, "the stream does not end");
                let _ = tell.send(0);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        drop(tell);
    })
    .await;
}
