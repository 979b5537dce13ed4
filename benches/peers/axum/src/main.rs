//! A small text at `/`, and a body without an end at `/endless`, on one worker thread. Its address is the
//! only line that it prints.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::stream;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/endless", get(|| async { endless() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router).await
}

fn endless() -> Body {
    let piece = Bytes::from_static(&[0; 16 * 1024]);
    Body::from_stream(stream::repeat(Ok::<_, Infallible>(piece)))
}
