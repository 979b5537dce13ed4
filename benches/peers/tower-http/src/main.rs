//! Serves a file from memory, compressed by tower-http's layer at gzip 6: `vestibule-peer-tower-http FILE TYPE`.
//! Its address is the only line that it prints.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, header::CONTENT_TYPE};
use axum::routing::get;
use tokio::net::TcpListener;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(kind)) = (arguments.next(), arguments.next()) else {
        panic!("vestibule-peer-tower-http FILE TYPE");
    };
    let page = Bytes::from(std::fs::read(file).expect("the page can be read"));
    let kind = HeaderValue::try_from(kind).expect("a type of media");
    let answer = move || async move { ([(CONTENT_TYPE, kind)], page) };
    let layer = CompressionLayer::new().quality(CompressionLevel::Precise(6));
    let app = Router::new().route("/", get(answer)).layer(layer);
    // As `#[tokio::main]` makes it, but with one worker.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("http://{}", listener.local_addr().expect("it is bound"));
        axum::serve(listener, app).await.expect("it serves");
    });
}
