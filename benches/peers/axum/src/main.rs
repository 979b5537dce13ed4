//! `axum::serve` on one worker thread: a body without an end at `/endless`, a file at `/file`, and everywhere else what was
//! asked for: `vestibule-peer-axum FOLDER`. SIGTERM ends it. Its address is the only line that it prints.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::stream;
use tokio::signal::unix::{SignalKind, signal};
use tower_http::services::ServeFile;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).expect("vestibule-peer-axum FOLDER");
    let router = Router::new()
        .route("/endless", get(|| async { endless() }))
        .route_service("/file", ServeFile::new(format!("{folder}/file")))
        .fallback(echo);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut end = signal(SignalKind::terminate())?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            end.recv().await;
        })
        .await
}

/// Says what it saw; does not read the body below `/ignore`.
async fn echo(request: Request) -> (StatusCode, String) {
    let mut said = format!("{} {}", request.method(), request.uri());
    if let Some(host) = request.headers().get("host") {
        said += &format!(" at {}", String::from_utf8_lossy(host.as_bytes()));
    }
    if request.uri().path().starts_with("/ignore") {
        return (StatusCode::OK, said);
    }
    match to_bytes(request.into_body(), 1 << 20).await {
        Ok(body) if body.is_empty() => (StatusCode::OK, said),
        Ok(body) => (
            StatusCode::OK,
            format!("{said} [{}]", String::from_utf8_lossy(&body)),
        ),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    }
}

fn endless() -> Body {
    let piece = Bytes::from_static(&[0; 16 * 1024]);
    Body::from_stream(stream::repeat(Ok::<_, Infallible>(piece)))
}
