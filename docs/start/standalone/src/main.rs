use axum::extract::Path;
use axum::{Router, routing::get};
use vestibule::compression::Compression;
use vestibule::files::StaticFiles;
use vestibule::logging::AccessLog;
use vestibule::tower::from_service;
use vestibule::{Mounts, Stack};

async fn hello(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let routes = Router::new().route("/api/hello/{name}", get(hello));

    // axum answers what begins with /api; everything else is a file in `public`.
    let site = Mounts::new()
        .at("/api", from_service(routes))
        .or(StaticFiles::new("public"));

    let app = Stack::new()
        .with(AccessLog::new)
        .with(Compression::new)
        .app(site);
    println!("{}", app.outline());
    vestibule::serve("127.0.0.1:3000", app).await
}
