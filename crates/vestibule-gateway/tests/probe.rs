//! The app behind every web server, which reports its request.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use vestibule_core::{Body, CollectError, IntoResponse, Mount, Outcome, Request, Response};

/// Responds by the last segment of the path.
pub(crate) async fn probe(request: Request) -> Response {
    let path = Mount::rest_of(&request).to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "204" => (StatusCode::NO_CONTENT, ()).into_response(),
        "304" => with(
            StatusCode::NOT_MODIFIED,
            &[("etag", "\"a\"")],
            Body::empty(),
        ),
        "206" => with(
            StatusCode::PARTIAL_CONTENT,
            &[
                ("content-range", "bytes 0-2/9"),
                ("content-type", "text/plain"),
            ],
            "abc".into(),
        ),
        "418" => (StatusCode::IM_A_TEAPOT, "short").into_response(),
        "cookies" => with(
            StatusCode::OK,
            &[
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("content-type", "text/plain"),
            ],
            "two".into(),
        ),
        "redirect" => with(
            StatusCode::FOUND,
            &[("location", "/elsewhere?x=1")],
            Body::empty(),
        ),
        "unread" => (StatusCode::PAYLOAD_TOO_LARGE, "too much").into_response(),
        "large" => large(20 << 20),
        "broken" => broken(),
        "events" => events(query.into()),
        "endless" => endless(query.into()),
        _ => tell(request).await.into_response(),
    }
}

/// Returns everything that must be the same on every route, as text.
async fn tell(request: Request) -> Result<Response, CollectError> {
    let (head, body) = request.into_parts();
    let line = |name| lines(&head.headers, name);
    let path = match head.extensions.get::<Mount>() {
        Some(mount) => mount.rest().to_owned(),
        None => head.uri.path().to_owned(),
    };
    let body = body.collect(100 << 20).await?;
    // For a large body, some bytes from every part.
    let sum = body
        .iter()
        .step_by(1 + body.len() / 100_000)
        .fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
    let text = format!(
        "{} {path} ?{:?}\nx-d: {}\ncookie: {}\nx-l: {}\nx-real: {}\nproxy: {}\nte: {}\ncontent-type: {}\nbody: {} {sum}\n",
        head.method,
        head.uri.query(),
        line("x-d"),
        line("cookie"),
        line("x-l"),
        line("x-real"),
        line("proxy"),
        line("te"),
        line("content-type"),
        body.len(),
    );
    Ok(with(
        StatusCode::OK,
        &[("content-type", "text/plain")],
        text.into(),
    ))
}

fn lines(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values.map(|value| format!("{value:?}")).collect();
    values.join(" | ")
}

fn with(status: StatusCode, headers: &[(&'static str, &'static str)], body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        response.headers_mut().append(*name, value);
    }
    response
}

fn streaming() -> (vestibule_core::BodySender, Response) {
    let (sender, body) = Body::channel();
    let headers = [
        ("content-type", "text/event-stream"),
        ("x-accel-buffering", "no"),
    ];
    (sender, with(StatusCode::OK, &headers, body))
}

/// Sends `left` bytes without a length.
fn large(mut left: usize) -> Response {
    let (mut sender, response) = streaming();
    tokio::spawn(async move {
        while left > 0 {
            let piece = left.min(50_000);
            if sender.send(vec![b'x'; piece]).await.is_err() {
                return;
            }
            left -= piece;
        }
        sender.finish();
    });
    response
}

/// Sends one event, and a second one when there is a file at `gate`.
fn events(gate: PathBuf) -> Response {
    let (mut sender, response) = streaming();
    tokio::spawn(async move {
        let _ = sender.send("data: 1\n\n").await;
        while !gate.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _ = sender.send("data: 2\n\n").await;
        sender.finish();
    });
    response
}

/// Announces a megabyte, and sends half of it.
fn broken() -> Response {
    let (mut sender, mut response) = streaming();
    response
        .headers_mut()
        .insert("content-length", 1_000_000.into());
    tokio::spawn(async move {
        let _ = sender.send(vec![b'x'; 500_000]).await;
        sender.abort("the app failed");
    });
    response
}

/// Sends pieces without end. Creates a file at `end` when the client is gone.
fn endless(end: PathBuf) -> Response {
    let (mut sender, response) = streaming();
    tokio::spawn(async move {
        while sender.send("data: x\n\n".repeat(100)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    response.map(|body| {
        body.on_end(move |it| {
            if matches!(it.outcome, Outcome::Aborted) {
                touch(&end);
            }
        })
    })
}

pub(crate) fn touch(path: &Path) {
    let _ = std::fs::write(path, "");
}
