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

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue};
use vestibule_core::{App, Outline, Request, Response, Timing};

/// Measures the wrapped app and appends `Server-Timing` entries: the whole, and in a stack that is
/// [`timed`](vestibule_core::Stack::timed) each inner layer's own time.
///
/// The clock stops when the head of the response is ready; the body may still be streaming. Entries
/// that the app set itself are kept. What another site asks for gets no entries, unless that is allowed:
/// a request is such when its `Sec-Fetch-Site` is `cross-site` or `same-site`, or else when its `Origin` is not its
/// `Host`. Times can tell secrets, and browsers show them to scripts that have a `Timing-Allow-Origin`.
#[doc(alias("server-timing"))]
#[derive(Clone, Debug)]
pub struct ServerTiming<A> {
    app: A,
    metric: &'static str,
    allows_cross_origin: bool,
}

impl<A: App> ServerTiming<A> {
    /// Wraps `app`; the metric is called `app`.
    pub const fn new(app: A) -> Self {
        Self {
            app,
            metric: "app",
            allows_cross_origin: false,
        }
    }

    /// Names the metric. `metric` is an RFC 9110 token (section 5.6.2); nothing is appended when it
    /// is not one.
    #[must_use]
    pub const fn metric(mut self, metric: &'static str) -> Self {
        self.metric = metric;
        self
    }

    /// Appends entries for other origins too.
    #[must_use]
    pub const fn allow_cross_origin(mut self) -> Self {
        self.allows_cross_origin = true;
        self
    }
}

impl<A: App> App for ServerTiming<A> {
    async fn call(&self, request: Request) -> Response {
        if !self.allows_cross_origin && is_cross_origin(request.headers()) {
            return self.app.call(request).await;
        }
        let timing = Timing::of(&request);
        let start = Instant::now();
        let mut response = self.app.call(request).await;
        let total = entry(self.metric, None, start.elapsed());
        let layers = timing.iter().flat_map(Timing::layers).enumerate();
        let layers = layers
            .take(MAX_LAYERS)
            .filter_map(|(index, (name, own))| entry(&format!("layer{index}"), Some(name), own));
        for entry in total.into_iter().chain(layers) {
            response.headers_mut().append(SERVER_TIMING, entry);
        }
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("metric", self.metric).wraps(&self.app);
    }
}

/// Whether the request was made by a page of another origin; `same-site` is another origin too.
fn is_cross_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    // `null` and what is no text has no host to compare.
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    match (origin, headers.get(HOST)) {
        (Some((_, origin)), Some(host)) => !host.as_bytes().eq_ignore_ascii_case(origin.as_bytes()),
        _ => true,
    }
}

/// One entry, or `None` when `metric` is not a token. The description is what developer tools show.
fn entry(metric: &str, description: Option<&str>, took: Duration) -> Option<HeaderValue> {
    let is_token = !metric.is_empty() && metric.bytes().all(is_token_byte);
    let milliseconds = took.as_secs_f64() * 1000.0;
    let description = description.map(|text| format!(";desc={}", quoted(text)));
    let description = description.unwrap_or_default();
    is_token.then(|| {
        let entry = format!("{metric}{description};dur={milliseconds:.3}");
        entry.try_into().ok()
    })?
}

/// A quoted-string of RFC 9110, section 5.6.4; what cannot stand in one is a `?`.
fn quoted(text: &str) -> String {
    let safe = |c| match c {
        '"' | '\\' | ..' ' | '\x7f'.. if c != ' ' => '?',
        c => c,
    };
    let inner: String = text.chars().map(safe).collect();
    format!("\"{inner}\"")
}

/// `tchar` of RFC 9110, section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// A header block has its limits.
const MAX_LAYERS: usize = 50;

#[cfg(test)]
mod tests {
    use vestibule_core::{BoxApp, CatchPanic, Stack};

    use super::*;

    #[test]
    fn entries_are_a_token_and_milliseconds() {
        let cases = [
            ("app", None, 1_500, Some("app;dur=1.500")),
            ("db.read", None, 12, Some("db.read;dur=0.012")),
            (
                "l",
                Some("a \"b\"\n"),
                0,
                Some("l;desc=\"a ?b??\";dur=0.000"),
            ),
            ("two words", None, 1, None),
            ("a\r\nb", None, 1, None),
            ("", None, 1, None),
        ];
        for (metric, description, microseconds, want) in cases {
            let entry = entry(metric, description, Duration::from_micros(microseconds));
            assert_eq!(
                entry.as_ref().map(|entry| entry.to_str().unwrap()),
                want,
                "{metric}"
            );
        }
    }

    #[test]
    fn other_origins() {
        let cases: [(&[(&'static str, &'static str)], bool); 9] = [
            (&[], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("host", "a"),
                    ("origin", "http://a"),
                ],
                true,
            ),
            (
                &[("host", "a.org:80"), ("origin", "http://A.org:80")],
                false,
            ),
            (&[("host", "a.org"), ("origin", "http://b.org")], true),
            (&[("host", "a.org"), ("origin", "null")], true),
            (&[("origin", "http://b.org")], true),
        ];
        for (fields, want) in cases {
            let pairs = fields.iter().map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            });
            assert_eq!(is_cross_origin(&pairs.collect()), want, "{fields:?}");
        }
    }

    async fn entries(app: &impl App, site: &'static str) -> Vec<String> {
        let mut request = Request::default();
        request
            .headers_mut()
            .insert(SEC_FETCH_SITE, HeaderValue::from_static(site));
        let response = app.call(request).await;
        let entries = response.headers().get_all("server-timing").iter();
        entries
            .map(|entry| entry.to_str().unwrap().to_owned())
            .collect()
    }

    #[tokio::test]
    async fn an_entry_of_the_app_is_kept() {
        let app = |_: Request| async { ([("server-timing", "db;dur=5")], "") };
        let app = ServerTiming::new(app);
        assert_eq!(entries(&app, "same-origin").await.len(), 2);
        assert_eq!(entries(&app, "cross-site").await, ["db;dur=5"]);
        assert_eq!(
            entries(&app.allow_cross_origin(), "cross-site").await.len(),
            2
        );
    }

    #[tokio::test]
    async fn a_timed_stack_tells_each_layer() {
        let stack = Stack::new().with(ServerTiming::new).with(CatchPanic::new);
        let app = |stack: Stack| -> BoxApp { stack.app(|_: Request| async {}) };
        assert_eq!(entries(&app(stack.clone()), "none").await.len(), 1);
        let entries = entries(&app(stack.timed()), "none").await;
        assert_eq!(entries.len(), 3);
        assert!(entries[0].starts_with("app;dur="), "{entries:?}");
        assert!(
            entries[1].starts_with("layer0;desc=\"CatchPanic\";dur="),
            "{entries:?}"
        );
    }
}
