//! Layers in the wrong order are in the log of a server that starts.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::util::SubscriberInitExt;
use vestibule_core::{BoxApp, Mounts, Request, Role, Stack, in_role, map_response};
use vestibule_hyper::Server;

/// Keeps the lines of the log.
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

/// The lines at WARN of a server that starts and ends.
async fn warnings(app: BoxApp) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let _guard = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .set_default();
    let server = Server::new(app).bind("127.0.0.1:0").await.unwrap();
    let server = server.bind("127.0.0.1:0").await.unwrap();
    server.run_until(std::future::ready(())).await;
    let bytes = log.0.lock().unwrap().clone();
    let lines = String::from_utf8(bytes).unwrap();
    lines.lines().map(|line| line.trim().to_owned()).collect()
}

fn stack(roles: &[(&'static str, Role)]) -> Stack {
    roles.iter().fold(Stack::new(), |stack, (name, role)| {
        stack.named(*name, in_role(*role, map_response(|response| response)))
    })
}

const LOG: (&str, Role) = ("AccessLog", Role::ACCESS_LOG);
const CORS: (&str, Role) = ("Cors", Role::CORS);
const RATE: (&str, Role) = ("RateLimit", Role::RATE_LIMIT);
const AUTH: (&str, Role) = ("Authenticate", Role::AUTH);
const PAGES: (&str, Role) = ("ErrorPages", Role::ERROR_PAGES);

#[tokio::test]
async fn one_line_for_each_misplaced_layer() {
    let hello = async |_: Request| "hello";
    let cors = "WARN vestibule: layer Cors: it is inside of RateLimit, and a refusal without CORS headers \
                looks like a network error to scripts; inside of Authenticate, and a browser's preflight \
                has no credentials: it would be refused; move Cors outside of RateLimit";
    let log = "WARN vestibule: layer AccessLog: it is inside of RateLimit, Authenticate and Cors, and \
               responses of outer layers are not logged; move AccessLog outside of RateLimit";
    // The server's own `CatchPanic` is outside of these, and no finding.
    let right = stack(&[LOG, CORS, PAGES, RATE, AUTH]);
    let cases = [
        (right.app(hello), &[][..]),
        (stack(&[RATE, AUTH, CORS]).app(hello), &[cors]),
        (stack(&[RATE, AUTH, CORS, LOG]).app(hello), &[cors, log]),
        // Once, although it is in two places.
        (
            stack(&[RATE, AUTH]).app(
                Mounts::new()
                    .at("/a", stack(&[CORS]).app(hello))
                    .at("/b", stack(&[CORS]).app(hello)),
            ),
            &[cors],
        ),
    ];
    for (app, expected) in cases {
        let outline = app.outline();
        assert_eq!(warnings(app).await, expected, "{outline}");
    }
}
