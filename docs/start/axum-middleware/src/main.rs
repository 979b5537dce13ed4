use std::net::SocketAddr;

use axum::{Router, routing::get};
use vestibule::Stack;
use vestibule::auth::{Authenticate, Basic, Htpasswd};
use vestibule::logging::{AccessLog, ServerTiming};
use vestibule::tower::{from_service, layer, service};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // Middleware for some routes: they ask for a password. It is built once, here.
    let users = Htpasswd::new().with_user("alice", "open sesame");
    let members = Router::new()
        .route("/members", get(|| async { "Hello, member!\n" }))
        .route("/members/list", get(|| async { "alice\n" }))
        .route_layer(layer(|app| Authenticate::new(app, Basic::new(users))));

    let router = Router::new()
        .route("/", get(|| async { "Hello!\n" }))
        .merge(members);

    // Middleware for the whole app, with a 404 of the router included.
    let app = Stack::new()
        .with(AccessLog::new)
        .with(ServerTiming::new)
        .app(from_service(router));
    println!("{}", app.outline());

    // A router again, so that the rest is as in every axum program.
    let router = Router::new().fallback_service(service(app));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await
}
