//! A middleware as a type, and one as a closure: `cargo run --example custom_middleware`, then
//! `curl -i http://127.0.0.1:8080/`.

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode};
use vestibule::prelude::*;

/// Measures the wrapped app and appends one `Server-Timing` entry.
///
/// The clock stops when the response head is ready; the body may still be streaming. An entry set
/// by the app is kept.
#[derive(Clone, Debug)]
pub struct ServerTiming<A> {
    app: A,
    metric: &'static str,
}

impl<A: App> ServerTiming<A> {
    /// Wraps `app`. The metric defaults to `app`.
    pub fn new(app: A) -> Self {
        Self { app, metric: "app" }
    }

    /// Sets the metric name, an RFC 9110 token (section 5.6.2). Defaults to `app`.
    #[must_use]
    pub fn metric(mut self, metric: &'static str) -> Self {
        self.metric = metric;
        self
    }
}

impl<A: App> App for ServerTiming<A> {
    async fn call(&self, request: Request) -> Response {
        let start = Instant::now();
        let mut response = self.app.call(request).await;
        if let Some(entry) = entry(self.metric, start.elapsed()) {
            response.headers_mut().append(SERVER_TIMING, entry);
        }
        response
    }
}

/// Formats one entry, or returns `None` when `metric` is not valid in a header.
fn entry(metric: &str, took: Duration) -> Option<HeaderValue> {
    let milliseconds = took.as_secs_f64() * 1000.0;
    format!("{metric};dur={milliseconds:.3}").try_into().ok()
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Stack::new()
        .with(|app| ServerTiming::new(app).metric("total"))
        .around(|request, next| async move {
            match request.headers().contains_key("x-api-key") {
                true => Ok(next.call(request).await),
                false => Err((StatusCode::UNAUTHORIZED, "Send me an X-Api-Key.\n")),
            }
        })
        .app(|_: Request| async { "Welcome.\n" });
    print!("{}", app.outline());
    vestibule::serve("127.0.0.1:8080", app).await
}
