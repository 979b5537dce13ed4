//! A server that starts logs layers in the wrong order.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::util::SubscriberInitExt;
use vestibule_core::{Request, Role, Stack, in_role, map_response};
use vestibule_gateway::Server;

/// Stores the lines of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_line_for_each_misplaced_layer() {
    let log = Log::default();
    let writer = log.clone();
    let _guard = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .set_default();
    let layer = |role| in_role(role, map_response(|response| response));
    let app = Stack::new()
        // The server's own `CatchPanic` is outside it, and not a finding.
        .named("ErrorPages", layer(Role::ERROR_PAGES))
        .named("Cache", layer(Role::CACHE))
        .named("Compression", layer(Role::COMPRESSION))
        .app(async |_: Request| "hello");
    for server in [
        Server::fastcgi(app.clone()),
        Server::scgi(app.clone()),
        Server::uwsgi(app),
    ] {
        let server = server.bind("127.0.0.1:0").await.unwrap();
        server.run_until(std::future::ready(())).await;
        let bytes = std::mem::take(&mut *log.0.lock().unwrap());
        assert_eq!(
            String::from_utf8(bytes).unwrap().trim(),
            "WARN vestibule: layer Compression: it is inside of ErrorPages, and a page that replaces a \
             compressed one would keep its Content-Encoding; inside of Cache, and a cache outside of it \
             keeps a copy for each coding; move Compression outside of ErrorPages"
        );
    }
}
