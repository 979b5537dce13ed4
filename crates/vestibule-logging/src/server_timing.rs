//! Reports how long the app took, in a `Server-Timing` response header.
//!
//! Source: W3C Server Timing, "The Server-Timing Header Field"; `app;dur=12.3`, a token and milliseconds.
//!
//! ```
//! use vestibule_core::{App, Request};
//! use vestibule_logging::ServerTiming;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = ServerTiming::new(|_: Request| async { "hello" }).metric("db");
//! let response = app.call(Request::default()).await;
//! assert!(response.headers()["server-timing"].to_str().unwrap().starts_with("db;dur=0."));
//! # }
//! ```

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use vestibule_core::{App, Outline, Request, Response};

/// Measures the wrapped app and appends one `Server-Timing` entry.
///
/// The clock stops when the head of the response is ready; the body may still be streaming. An entry
/// that the app set itself is kept.
#[derive(Clone, Debug)]
pub struct ServerTiming<A> {
    app: A,
    metric: &'static str,
}

impl<A: App> ServerTiming<A> {
    /// Wraps `app`; the metric is called `app`.
    pub const fn new(app: A) -> Self {
        Self { app, metric: "app" }
    }

    /// Names the metric. `metric` is an RFC 9110 token (section 5.6.2); nothing is appended when it
    /// is not one.
    #[must_use]
    pub const fn metric(mut self, metric: &'static str) -> Self {
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

    fn describe(&self, outline: &mut Outline) {
        outline.option("metric", self.metric).wraps(&self.app);
    }
}

/// One entry, or `None` when `metric` is not a token.
fn entry(metric: &str, took: Duration) -> Option<HeaderValue> {
    let is_token = !metric.is_empty() && metric.bytes().all(is_token_byte);
    let milliseconds = took.as_secs_f64() * 1000.0;
    is_token.then(|| format!("{metric};dur={milliseconds:.3}").try_into().ok())?
}

/// `tchar` of RFC 9110, section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_a_token_and_milliseconds() {
        let cases = [
            ("app", 1_500, Some("app;dur=1.500")),
            ("db.read", 12, Some("db.read;dur=0.012")),
            ("two words", 1, None),
            ("a\r\nb", 1, None),
            ("", 1, None),
        ];
        for (metric, microseconds, want) in cases {
            let entry = entry(metric, Duration::from_micros(microseconds));
            assert_eq!(
                entry.as_ref().map(|entry| entry.to_str().unwrap()),
                want,
                "{metric}"
            );
        }
    }

    #[tokio::test]
    async fn an_entry_of_the_app_is_kept() {
        let app = |_: Request| async { ([("server-timing", "db;dur=5")], "") };
        let response = ServerTiming::new(app).call(Request::default()).await;
        assert_eq!(
            response.headers().get_all("server-timing").iter().count(),
            2
        );
    }
}
