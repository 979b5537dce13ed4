//! Serves a directory, compressed by tower-http's layer as it comes: `vestibule-peer-tower-http-files DIRECTORY`.
//! Its address is the only line that it prints.

use axum::Router;
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

fn main() {
    let Some(directory) = std::env::args().nth(1) else {
        panic!("vestibule-peer-tower-http-files DIRECTORY");
    };
    let files = Router::new().fallback_service(ServeDir::new(directory));
    let app = files.layer(CompressionLayer::new());
    // As `#[tokio::main]` makes it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("http://{}", listener.local_addr().expect("it is bound"));
        axum::serve(listener, app).await.expect("it serves");
    });
}
