//! Code that the targets share.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vestibule_core::{App, Body, IntoResponse, Request, Response};
use vestibule_gateway::Server;

/// Sends `bytes` to a gateway over one connection, closes it, and returns the output. It must end
/// within the time limits.
pub fn converse<A: App>(server: Server<A>, bytes: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without sockets needs nothing");
    runtime.block_on(async {
        let (client, connection) = tokio::io::duplex(4096);
        let served = tokio::spawn(server.serve_connection(connection));
        let (mut read, mut write) = tokio::io::split(client);
        let writes = async {
            // The other side may have closed.
            let _ = write.write_all(bytes).await;
            let _ = write.shutdown().await;
        };
        let mut answer = Vec::new();
        let talk = async {
            let (_, read) = tokio::join!(writes, read.read_to_end(&mut answer));
            read.expect("memory does not fail");
            served.await.expect("nothing panics")
        };
        let ended = tokio::time::timeout(Duration::from_secs(600), talk).await;
        let _ = ended.expect("every connection ends");
        answer
    })
}

/// Reads the body, ignores it, or never responds, depending on the length of the path.
pub async fn app(request: Request) -> Response {
    match request.uri().path().len() % 4 {
        0 => "early".into_response(),
        1 => std::future::pending().await,
        2 => Body::empty().into_response(),
        _ => request.into_body().collect(1 << 20).await.into_response(),
    }
}
