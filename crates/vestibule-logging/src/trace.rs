//! A `tracing` span for each request, in the trace that the request belongs to.
//!
//! Source: W3C Trace Context; OpenTelemetry, "Semantic Conventions for HTTP Spans", server span.
//!
//! ```
//! use vestibule_core::{App, Request};
//! use vestibule_logging::Trace;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = Trace::new(|request: Request| async move {
//!     request.headers()["traceparent"].to_str().unwrap().to_owned() // what is forwarded
//! });
//! let mut request = Request::default();
//! let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
//! request.headers_mut().insert("traceparent", sent.parse().unwrap());
//!
//! let forwarded = app.call(request).await.into_body().collect(99).await.unwrap();
//! assert_eq!(forwarded[..36], sent.as_bytes()[..36]); // the same trace,
//! assert_ne!(forwarded[36..], sent.as_bytes()[36..]); // another span
//! # }
//! ```

use http::header::HOST;
use http::{Method, Request as HttpRequest, Version};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use vestibule_core::{
    App, Failure, HasExtensions, Outcome, Outline, Peer, Replaced, Request, Response,
};
use vestibule_fields::trace_context::{
    SpanId, TRACEPARENT, TRACESTATE, TraceId, TraceParent, state_from_headers,
};

use crate::RequestId;
use crate::format::{escape, host_and_port, version_number};
use crate::record::grpc_status;
use crate::uuid::random;

/// Runs each request in a span of level info, target `vestibule::request`, which ends with the body.
///
/// The trace goes on from the request's `traceparent`, when it has one that is whole, or begins here. Our
/// own span replaces it in the request's headers, so that what is forwarded links; a `tracestate` that keeps
/// to its limits stays, another is removed. [`TraceContext`] in the request and in the
/// response names our span.
///
/// The span's fields are `otel.name`, `otel.kind`, `http.request.method`, `url.path`, `url.query`,
/// `network.protocol.version`, `client.address`, `server.address`, `server.port`, `user_agent.original`, `trace_id`,
/// `span_id`, `parent_span_id` and `vestibule.request_id`; when they are known, also
/// `http.response.status_code`, `http.response.body.size`, `rpc.grpc.status_code`, `error.type`,
/// `exception.message` and
/// `otel.status_code`. What the client chose is escaped.
///
/// Where nobody collects spans, it costs the headers alone.
#[doc(alias("opentelemetry", "otel", "span", "traceparent", "TraceLayer"))]
#[derive(Clone, Debug)]
pub struct Trace<A> {
    app: A,
    continues: bool,
}

impl<A: App> Trace<A> {
    /// Wraps `app`.
    pub const fn new(app: A) -> Self {
        Self {
            app,
            continues: true,
        }
    }

    /// Begins a new trace for each request, whatever the client sent: for a server that faces strangers,
    /// who could otherwise choose what is sampled.
    #[must_use]
    pub const fn begin_anew(mut self) -> Self {
        self.continues = false;
        self
    }
}

impl<A: App> App for Trace<A> {
    async fn call(&self, mut request: Request) -> Response {
        let parent = TraceParent::from_headers(request.headers()).filter(|_| self.continues);
        let own = continued(parent);
        propagate(&mut request, own, parent.is_some());
        let span = span(&request, own, parent);
        let is_http2 = request.version() == Version::HTTP_2;
        let mut response = self.app.call(request).instrument(span.clone()).await;
        response.extensions_mut().insert(TraceContext(own));
        if span.is_disabled() {
            return response;
        }
        record_head(&span, &response);
        let grpc = is_http2.then(|| grpc_status(response.headers())).flatten();
        response.map(|body| {
            body.on_end(move |end| {
                span.record("http.response.body.size", end.bytes);
                let status = grpc.or_else(|| end.trailers.and_then(grpc_status));
                if let Some(status) = status {
                    span.record("rpc.grpc.status_code", status);
                }
                match end.outcome {
                    Outcome::Complete => {}
                    Outcome::Aborted => drop(span.record("error.type", "client_gone")),
                    Outcome::Failed(error) => {
                        match error.downcast_ref::<Replaced>() {
                            Some(replaced) => {
                                let status = replaced.status();
                                span.record("http.response.status_code", status.as_u16());
                                span.record("error.type", status.as_str());
                            }
                            None => drop(span.record("error.type", "body_failed")),
                        }
                        span.record("exception.message", safe(error.to_string().as_bytes()));
                        span.record("otel.status_code", "ERROR");
                    }
                }
            })
        })
    }

    fn describe(&self, outline: &mut Outline) {
        if !self.continues {
            outline.option("traces", "begin here");
        }
        outline.wraps(&self.app);
    }
}

/// The span of a request in its trace; a value that [`Trace`] stores in the request and the response.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
/// use vestibule_logging::{Trace, TraceContext};
///
/// let app = Trace::new(|request: Request| async move {
///     TraceContext::of(&request).unwrap().traceparent().trace_id().to_string()
/// });
/// let trace_id = app.call(Request::default()).await.into_body().collect(99).await.unwrap();
/// assert_eq!(trace_id.len(), 32);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext(TraceParent);

impl TraceContext {
    /// Returns the span that [`Trace`] opened for a request.
    ///
    /// `source` is a message of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<Self> {
        source.extensions().get().copied()
    }

    /// Returns the trace and the span, as a `traceparent` field names them (W3C Trace Context,
    /// section 3.2).
    #[must_use]
    pub const fn traceparent(self) -> TraceParent {
        self.0
    }
}

/// Our span: in the trace of `parent`, or in a new one.
fn continued(parent: Option<TraceParent>) -> TraceParent {
    let span = loop {
        if let Some(span) = SpanId::new(random()) {
            break span;
        }
    };
    match parent {
        Some(parent) => parent.with_parent(span),
        None => loop {
            let id = u128::from(random()) << 64 | u128::from(random());
            if let Some(trace) = TraceId::new(id) {
                break TraceParent::new(trace, span, true);
            }
        },
    }
}

/// Puts our span where what comes next looks for it.
fn propagate(request: &mut Request, own: TraceParent, goes_on: bool) {
    let state = state_from_headers(request.headers()).filter(|_| goes_on);
    let headers = request.headers_mut();
    headers.insert(TRACEPARENT, own.to_header_value());
    match state {
        Some(state) => drop(headers.insert(TRACESTATE, state)),
        None => drop(headers.remove(TRACESTATE)),
    }
    request.extensions_mut().insert(TraceContext(own));
}

fn span<B>(request: &HttpRequest<B>, own: TraceParent, parent: Option<TraceParent>) -> Span {
    let header = |name| {
        request
            .headers()
            .get(name)
            .map(|value| safe(value.as_bytes()))
    };
    let host = request.headers().get(HOST).map(|host| {
        let (name, port) = host_and_port(host.as_bytes());
        (safe(name), port)
    });
    let peer = Peer::of(request);
    let method = known_method(request.method());
    tracing::info_span!(
        target: "vestibule::request",
        "request",
        otel.name = method,
        otel.kind = "server",
        http.request.method = method,
        url.path = safe(request.uri().path().as_bytes()),
        url.query = request.uri().query().map(|query| safe(query.as_bytes())),
        network.protocol.version = version_number(request.version()),
        client.address = peer
            .and_then(|peer| peer.address().ip())
            .map(|ip| tracing::field::display(ip.to_canonical())),
        server.address = host.as_ref().map(|(name, _)| name),
        server.port = host.as_ref().and_then(|(_, port)| *port),
        user_agent.original = header("user-agent"),
        trace_id = %own.trace_id(),
        span_id = %own.parent_id(),
        parent_span_id = parent.map(|parent| tracing::field::display(parent.parent_id())),
        vestibule.request_id = RequestId::of(request).map(RequestId::as_str),
        http.response.status_code = Empty,
        http.response.body.size = Empty,
        rpc.grpc.status_code = Empty,
        error.type = Empty,
        exception.message = Empty,
        otel.status_code = Empty,
    )
}

fn record_head(span: &Span, response: &Response) {
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if let Some(failure) = Failure::of(response) {
        span.record("exception.message", safe(failure.to_string().as_bytes()));
    }
    if status.is_server_error() {
        span.record("error.type", status.as_str());
        span.record("otel.status_code", "ERROR");
    }
}

/// The method where it is one of those that everyone knows, else `_OTHER`: clients may invent any number.
pub(crate) fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let found = KNOWN.into_iter().find(|known| *known == method.as_str());
    found.unwrap_or("_OTHER")
}

fn safe(text: &[u8]) -> String {
    let mut line = Vec::new();
    escape(text, &mut line);
    String::from_utf8_lossy(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use http::HeaderValue;
    use tracing_subscriber::fmt::format::FmtSpan;
    use vestibule_core::IntoResponse;

    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    /// What of the trace is forwarded when a request has these headers.
    async fn forwarded(
        begins_anew: bool,
        headers: &[(&'static str, &'static str)],
    ) -> (TraceParent, Option<HeaderValue>) {
        let seen = Arc::new(Mutex::new(None));
        let tell = seen.clone();
        let app = Trace::new(move |request: Request| {
            let headers = request.headers();
            let parent = TraceParent::from_headers(headers).unwrap();
            assert_eq!(TraceContext::of(&request), Some(TraceContext(parent)));
            *tell.lock().unwrap() = Some((parent, headers.get(TRACESTATE).cloned()));
            async {}
        });
        let app = if begins_anew { app.begin_anew() } else { app };
        let mut request = Request::default();
        for (name, value) in headers {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        app.call(request).await;
        seen.lock().unwrap().take().unwrap()
    }

    /// Gives the process somebody who listens. A span that is first met where nobody does is taken for
    /// one that nobody wants, by all threads, until the next one listens.
    fn somebody_listens() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let nowhere = tracing_subscriber::fmt().with_writer(std::io::sink);
            let _ = tracing::subscriber::set_global_default(nowhere.finish());
        });
    }

    #[tokio::test]
    async fn traces_go_on_or_begin() {
        somebody_listens();
        let sent = TraceParent::parse(SENT).unwrap();
        let state = ("tracestate", "a=1");
        let (own, kept) = forwarded(false, &[("traceparent", SENT), state]).await;
        assert_eq!(own.trace_id(), sent.trace_id());
        assert_ne!(own.parent_id(), sent.parent_id());
        assert!(!own.is_sampled());
        assert_eq!(kept.unwrap(), "a=1");

        let (_, dropped) = forwarded(false, &[("traceparent", SENT), ("tracestate", "A=1")]).await;
        assert_eq!(dropped, None);

        let twice = [("traceparent", SENT), ("traceparent", SENT), state];
        let cases: [(bool, &[_]); 4] = [
            (true, &[("traceparent", SENT), state]),
            (false, &[("traceparent", "00-bad"), state]),
            (false, &twice),
            (false, &[state]),
        ];
        for (begins_anew, headers) in cases {
            let (own, kept) = forwarded(begins_anew, headers).await;
            assert_ne!(own.trace_id(), sent.trace_id());
            assert!(own.is_sampled());
            assert_eq!(kept, None);
        }
    }

    /// Keeps what is printed.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_span_has_the_fields_at_level_info_and_ends_with_the_body() {
        somebody_listens();
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let app = Trace::new(|_: Request| async {
            tracing::info!("inside");
            Failure::new("no database").into_response()
        });
        let mut request = Request::default();
        *request.uri_mut() = "/a?b=1".parse().unwrap();
        *request.method_mut() = Method::from_bytes(b"MADE-UP").unwrap();
        request
            .headers_mut()
            .insert("user-agent", HeaderValue::from_static("x\ty"));
        let response = app.call(request).await;
        let so_far = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(
            so_far.contains("inside") && !so_far.contains("close"),
            "{so_far}"
        );
        response.into_body().collect(99).await.unwrap();
        drop(guard);
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let end = text.lines().last().unwrap();
        assert!(end.contains("close"), "{text}");
        for field in [
            r#"http.request.method="_OTHER""#,
            r#"url.path="/a""#,
            r#"url.query="b=1""#,
            "http.response.status_code=500",
            "http.response.body.size=26",
            r#"error.type="500""#,
            "no database",
            r#"network.protocol.version="1.1""#,
            r"x\\x09y",
        ] {
            assert!(end.contains(field), "{field}: {end}");
        }
    }
}
