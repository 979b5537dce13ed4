use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use vestibule::logging::{AccessLog, ServerTiming};
use vestibule::tower::{from_hyper, hyper_service};
use vestibule::{Body, Peer, Stack};

// The function of hyper's own example, with `vestibule::Body` instead of `hyper::body::Incoming`.
async fn hello(_: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from("Hello!\n"))))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Stack::new()
        .with(AccessLog::new)
        .with(ServerTiming::new)
        .app(from_hyper(service_fn(hello)));
    println!("{}", app.outline());

    // One service for all connections: its clones share the middleware.
    let service = hyper_service(app);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let local = listener.local_addr()?;
    loop {
        let (stream, address) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            let service = service_fn(move |mut request| {
                // The address of the client, which the log and every guard read.
                let peer = Peer::new(address.into(), local.into());
                request.extensions_mut().insert(peer);
                service.call(request)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("connection of {address}: {error}");
            }
        });
    }
}
