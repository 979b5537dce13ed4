//! An app, two middleware around it, and a server: `cargo run --example hello`, then
//! `curl -i http://127.0.0.1:8080/`.

use vestibule::logging::{AccessLog, ServerTiming};
use vestibule::prelude::*;

async fn hello(request: Request) -> String {
    format!("Hello from {}\n", request.uri().path())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Stack::new()
        .with(AccessLog::new)
        .with(ServerTiming::new)
        .app(hello);
    print!("{}", app.outline());
    vestibule::serve("127.0.0.1:8080", app).await
}
