use std::net::SocketAddr;

use axum::{Router, routing::get};
use serde::Deserialize;
use vestibule::Stack;
use vestibule::auth::Authenticate;
use vestibule::auth::jwt::{Algorithm, Jwt, Key};
use vestibule::compression::Compression;
use vestibule::files::StaticFiles;
use vestibule::logging::AccessLog;
use vestibule::tower::{from_service, layer, service};

#[derive(Deserialize)]
struct Claims {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = Key::hmac(Algorithm::HS256, SECRET)?;
    let jwt = Jwt::<Claims>::new(key).issuer("https://issuer.example").any_audience();
    let api = Router::new()
        .route("/api", get(|| async { "hello" }))
        .route_layer(layer(|app| Authenticate::new(app, jwt)));
    let router = api.fallback_service(service(StaticFiles::new("public")));
    let app = Stack::new()
        .with(AccessLog::new)
        .with(Compression::new)
        .app(from_service(router));

    let router = Router::new().fallback_service(service(app));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await?;
    Ok(())
}

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
