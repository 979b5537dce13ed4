//! Python inside of this program: an app in a stack of Rust's.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use vestibule_core::http::{Method, StatusCode};
use vestibule_core::{App, Body, Failure, Mounts, Request, Response};
use vestibule_wsgi::{LoadError, WsgiApp, WsgiOptions};

fn options() -> WsgiOptions {
    let probes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    WsgiOptions::new().threads(4).path(probes)
}

/// The probes that the wheel's server is tested with as well.
fn probes() -> WsgiApp {
    static APP: OnceLock<WsgiApp> = OnceLock::new();
    APP.get_or_init(|| options().load("probes:app").expect("the probes are there"))
        .clone()
}

fn request(path: &str, body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    *request.uri_mut() = path.parse().expect("a path");
    request
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect(1 << 20).await;
    let bytes = bytes.expect("a whole body");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn rule_008_and_009_mounts() {
    for (mount, path, script, info) in [
        ("/a", "/a", "/a", ""),
        ("/a", "/a/", "/a", "/"),
        ("/a", "/a/b%20c", "/a", "/b c"),
        ("/a/", "/a/x", "/a", "/x"),
        ("/", "/x", "", "/x"),
    ] {
        let app = Mounts::new().at(mount, probes());
        let shown = text(app.call(request(path, "")).await).await;
        let expected = format!(r#""SCRIPT_NAME": "{script}""#);
        assert!(shown.contains(&expected), "{mount} {path}: {shown}");
        let expected = format!(r#""PATH_INFO": "{info}""#);
        assert!(shown.contains(&expected), "{mount} {path}: {shown}");
    }
}

#[tokio::test]
async fn a_body_in_and_out() {
    let body = "x".repeat(300_000);
    let response = probes().call(request("/echo", body.clone())).await;
    assert_eq!(text(response).await, body);
}

#[tokio::test]
async fn a_body_that_comes_piece_by_piece() {
    let (mut sender, body) = Body::channel();
    let answer = tokio::spawn(async move { probes().call(request("/echo", body)).await });
    for piece in ["one ", "two ", "three"] {
        sender.send(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    sender.finish();
    assert_eq!(text(answer.await.unwrap()).await, "one two three");
}

#[tokio::test]
async fn a_failure_carries_its_cause() {
    let response = probes().call(request("/raises?value", "")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let failure = Failure::of(&response).map(ToString::to_string);
    assert_eq!(failure.as_deref(), Some("ValueError: a <value> & more"));
    assert_eq!(text(response).await, "500 Internal Server Error\n");
}

#[tokio::test]
async fn a_file_is_a_file_to_whoever_sends_it() {
    let mut asked = request("/file?seek", "");
    *asked.method_mut() = Method::GET;
    let response = probes().call(asked).await;
    let body = response.into_body();
    assert_eq!(body.collect(1 << 20).await.unwrap().len(), 9990);
}

#[tokio::test]
async fn a_client_that_leaves_closes_the_iterable() {
    let response = probes().call(request("/closing?embedded", "")).await;
    drop(response);
    let start = Instant::now();
    while text(probes().call(request("/seen?embedded", "")).await).await != "1" {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn what_cannot_be_loaded_says_why() {
    let why = |target: &str| options().load(target).unwrap_err().to_string();
    assert!(why("no_such_module:app").contains("No module named 'no_such_module'"));
    assert!(why("probes:nothing").contains("has no attribute 'nothing'"));
    assert!(why("probes:CONTENT").contains("`probes:CONTENT` is no app"));
    let venv = options().venv("/no/such/place").load("probes:app");
    assert!(matches!(venv, Err(LoadError::Interpreter(_))));
}

#[tokio::test]
async fn the_last_clone_ends_the_threads() {
    let app = options().threads(1).load("probes:app").unwrap();
    let clone = app.clone();
    drop(app);
    assert_eq!(text(clone.call(request("/one", "")).await).await, "abc");
    assert_eq!(clone.served(), 1);
    let closed = tokio::task::spawn_blocking(move || clone.close(Duration::from_secs(30)));
    assert!(closed.await.unwrap());
}

#[tokio::test]
async fn it_describes_itself() {
    let outline = vestibule_core::Outline::of(&probes()).to_string();
    assert!(
        outline.contains("WsgiApp  app: probes:app, threads: 4"),
        "{outline}"
    );
}
