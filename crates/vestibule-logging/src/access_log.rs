//! One line a request, written when the response's body has ended.
//!
//! ```
//! use vestibule_core::{App, Request};
//! use vestibule_logging::{AccessLog, Sink};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (lines, sink) = Sink::memory();
//! let app = AccessLog::new(|_: Request| async { "hello" }).to(sink);
//! let response = app.call(Request::default()).await;
//! drop(response); // the client went away
//! assert!(lines.take().contains("\"GET / HTTP/1.1\" 499 0"));
//! # }
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use vestibule_core::{App, End, Outline, Request, Response, Role, Timing};

use crate::record::pick;
use crate::redact::Redaction;
use crate::tried_user::{basic_credentials, user_name};
use crate::{Format, Record, RecordOutcome, Sink};

/// Writes one line a request, in the combined format unless another is asked for.
///
/// The line is written when the body has ended, so it has the bytes that were really read, and a
/// client that went away is 499. It stands outermost, since what answers outside of it is not
/// logged. When a response carries a [`Failure`](vestibule_core::Failure) and is a 5xx, its cause is a `tracing` event of
/// level error beside the line.
///
/// `Authorization`, `Proxy-Authorization`, `Cookie` and `Set-Cookie` are `[redacted]` in every format
/// that has them; [`show_header`](Self::show_header) shows one.
///
/// Costs two allocations a request, and the time to format a line at its end.
#[doc(alias("logging", "combined log format", "common log format", "json log"))]
#[derive(Clone, Debug)]
pub struct AccessLog<A> {
    app: A,
    settings: Arc<Settings>,
}

/// What is the same for every request.
#[derive(Clone, Debug)]
struct Settings {
    format: Format,
    sink: Sink,
    redaction: Redaction,
    request_headers: Vec<HeaderName>,
    response_headers: Vec<HeaderName>,
    skip: Option<Skip>,
    sample: u32,
    slow: Option<Duration>,
    /// How many unremarkable requests there were.
    seen: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Skip(Arc<dyn Fn(&Record) -> bool + Send + Sync>);

impl<A: App> AccessLog<A> {
    /// Wraps `app`; lines go to standard output.
    pub fn new(app: A) -> Self {
        let settings = Settings {
            format: Format::combined(),
            sink: Sink::stdout(),
            redaction: Redaction::default(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            skip: None,
            sample: 1,
            slow: None,
            seen: Arc::default(),
        };
        Self {
            app,
            settings: Arc::new(settings),
        }
    }

    /// Sends the lines elsewhere.
    #[must_use]
    pub fn to(mut self, sink: Sink) -> Self {
        self.set().sink = sink;
        self
    }

    /// Writes lines in another format.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.set().format = format;
        self
    }

    /// Adds a header of the request to records, and so to JSON and logfmt:
    /// `"http.request.header.x-forwarded-for":["..."]`.
    #[must_use]
    pub fn request_header(mut self, name: HeaderName) -> Self {
        self.set().request_headers.push(name);
        self
    }

    /// Adds a header of the response: `"http.response.header.content-type":["..."]`.
    #[must_use]
    pub fn response_header(mut self, name: HeaderName) -> Self {
        self.set().response_headers.push(name);
        self
    }

    /// Replaces the value of a header, of requests and of responses, by `[redacted]`.
    #[must_use]
    pub fn redact_header(mut self, name: HeaderName) -> Self {
        self.set().redaction.headers.push(name);
        self
    }

    /// Shows a header that is redacted by default. It is a secret: think of who reads the log.
    #[must_use]
    pub fn show_header(mut self, name: &HeaderName) -> Self {
        self.set().redaction.headers.retain(|other| other != name);
        self
    }

    /// Replaces the value of a query's parameter by `[redacted]`: in the target, and in links in
    /// headers, as in `Referer`. The name is compared percent-decoded; its case does not count.
    #[must_use]
    pub fn redact_parameter(mut self, name: impl Into<String>) -> Self {
        self.set().redaction.parameters.push(name.into());
        self
    }

    /// Writes the networks of clients in place of their addresses: /24 of IPv4, /48 of IPv6, no port.
    #[must_use]
    pub fn truncate_addresses(mut self) -> Self {
        self.set().redaction.truncates_addresses = true;
        self
    }

    /// Writes no line for records of which `predicate` is true.
    ///
    /// ```
    /// use vestibule_core::Request;
    /// use vestibule_logging::AccessLog;
    ///
    /// let app = AccessLog::new(|_: Request| async { "hello" })
    ///     .skip(|record| record.uri.path() == "/health" && record.status == 200);
    /// # let _ = app;
    /// ```
    #[must_use]
    pub fn skip(mut self, predicate: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Self {
        self.set().skip = Some(Skip(Arc::new(predicate)));
        self
    }

    /// Writes one line in `n`, of those requests that nobody has to look at: what is slow, what failed,
    /// 4xx and 5xx are always written. `n` is 1 or more.
    #[must_use]
    pub fn sample(mut self, n: u32) -> Self {
        self.set().sample = n.max(1);
        self
    }

    /// Marks what took as long as `time` or longer, from the request to the end of the body.
    #[must_use]
    pub fn slow(mut self, time: Duration) -> Self {
        self.set().slow = Some(time);
        self
    }

    fn set(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

impl<A: App> App for AccessLog<A> {
    async fn call(&self, request: Request) -> Response {
        let mut entry = Entry::new(&request, self.settings.clone());
        let request = entry.listen_for_trailers(request);
        let response = self.app.call(request).await;
        entry.answered(&response);
        response.map(|body| body.on_end(move |end| entry.ended(end)))
    }

    fn describe(&self, outline: &mut Outline) {
        let Settings { sample, slow, .. } = &*self.settings;
        outline
            .role(Role::ACCESS_LOG)
            .option("format", &self.settings.format)
            .option("to", &self.settings.sink)
            .wraps(&self.app);
        if *sample > 1 {
            outline.option("sample", format_args!("1 in {sample}"));
        }
        if let Some(slow) = slow {
            outline.option("slow", format_args!("{slow:?}"));
        }
    }
}

impl Settings {
    /// Finishes a record and hands it to the sink.
    fn write(&self, record: &mut Record) {
        record.is_slow = self.slow.is_some_and(|slow| record.total >= slow);
        if self.skip.as_ref().is_some_and(|Skip(skip)| skip(record)) {
            return;
        }
        if self.sample > 1 && !record.is_remarkable() {
            record.sample = self.sample;
            let seen = self.seen.fetch_add(1, Ordering::Relaxed);
            if !seen.is_multiple_of(u64::from(self.sample)) {
                return;
            }
        }
        self.redaction.apply(record);
        self.sink.write(record, &self.format);
    }
}

impl fmt::Debug for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Skip")
    }
}

/// A line in the making. It is written when it is dropped, wherever that is: after the body, or with
/// the future of a request whose client went away.
struct Entry {
    record: Record,
    start: Instant,
    timing: Option<Timing>,
    /// What a Basic login was tried with.
    credentials: Option<HeaderValue>,
    /// Those of the request, when the format has some.
    trailers: Option<Arc<Mutex<HeaderMap>>>,
    settings: Arc<Settings>,
}

impl Entry {
    fn new(request: &Request, settings: Arc<Settings>) -> Self {
        let mut record = Record::of(request);
        // Those two have fields of their own.
        let is_known = |name: &HeaderName| *name == REFERER || *name == USER_AGENT;
        for wanted in [
            &*settings.request_headers,
            settings.format.request_headers(),
        ] {
            pick(request.headers(), wanted, &mut record.request_headers);
        }
        if settings.format.request_headers().iter().any(is_known) {
            record.request_headers.remove(REFERER);
            record.request_headers.remove(USER_AGENT);
        }
        Self {
            record,
            start: Instant::now(),
            timing: Timing::of(request),
            credentials: basic_credentials(request.headers()),
            trailers: None,
            settings,
        }
    }

    /// Keeps the trailers of the request for the line, if the format has some of them.
    fn listen_for_trailers(&mut self, request: Request) -> Request {
        if self.settings.format.request_trailers().is_empty() {
            return request;
        }
        let (settings, kept) = (self.settings.clone(), Arc::default());
        self.trailers = Some(Arc::clone(&kept));
        request.map(|body| {
            body.on_end(move |end| {
                if let Some(trailers) = end.trailers {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    pick(trailers, settings.format.request_trailers(), &mut kept);
                }
            })
        })
    }

    /// Notes the end of the response's body.
    fn ended(&mut self, end: &End<'_>) {
        self.record.body_ended(end);
        let wanted = self.settings.format.response_trailers();
        if let Some(trailers) = end.trailers.filter(|_| !wanted.is_empty()) {
            let mut picked = HeaderMap::new();
            pick(trailers, wanted, &mut picked);
            self.record.response_trailers = Some(Box::new(picked));
        }
    }

    fn answered(&mut self, response: &Response) {
        let Self {
            record, settings, ..
        } = self;
        record.answered(response, self.start.elapsed());
        let is_refused = matches!(
            record.status,
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS
        );
        if is_refused && record.user.is_none() {
            let credentials = self.credentials.take();
            record.tried_user = credentials.and_then(|value| user_name(value.as_bytes()));
        }
        if record.layer.is_none() {
            record.layer = self.timing.as_ref().and_then(Timing::early_layer);
        }
        for wanted in [
            &*settings.response_headers,
            settings.format.response_headers(),
        ] {
            pick(response.headers(), wanted, &mut record.response_headers);
        }
        if let Some(failure) = &record.failure
            && record.status.is_server_error()
        {
            let Record { method, uri, .. } = &record;
            let (status, layer) = (record.status.as_u16(), failure.failed_layer());
            tracing::error!(%method, path = uri.path(), status, layer, "{failure}");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.record.total = self.start.elapsed();
        if let Some(trailers) = self.trailers.take() {
            let mut kept = trailers.lock().unwrap_or_else(PoisonError::into_inner);
            self.record.request_trailers = Some(Box::new(std::mem::take(&mut *kept)));
        }
        if std::thread::panicking() && self.record.first_byte.is_none() {
            self.record.status = StatusCode::INTERNAL_SERVER_ERROR;
            self.record.outcome = RecordOutcome::Panicked;
        }
        self.settings.write(&mut self.record);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Waker};

    use vestibule_core::{Body, CatchPanic, Failure, IntoResponse};

    use super::*;

    /// What is logged when `app` is called and `then` gets the response.
    async fn logged<F: Future>(app: impl App, then: impl FnOnce(Response) -> F) -> Record {
        let records = Arc::new(Mutex::new(Vec::new()));
        let heard = records.clone();
        let sink = Sink::from_fn(move |record| heard.lock().unwrap().push(record.clone()));
        let app = CatchPanic::new(AccessLog::new(app).to(sink));
        then(app.call(Request::default()).await).await;
        let mut records = records.lock().unwrap();
        assert_eq!(records.len(), 1, "one line a request");
        records.remove(0)
    }

    async fn read(response: Response) {
        let _ = response.into_body().collect(1000).await;
    }

    #[tokio::test]
    async fn a_whole_response() {
        let record = logged(|_: Request| async { "hello" }, read).await;
        assert_eq!((record.status.as_u16(), record.bytes), (200, 5));
        assert_eq!(record.outcome, RecordOutcome::Complete);
        assert!(record.first_byte.unwrap() <= record.total);
    }

    #[tokio::test]
    async fn a_client_that_leaves_before_the_head() {
        let records = Arc::new(Mutex::new(Vec::new()));
        let heard = records.clone();
        let sink = Sink::from_fn(move |record| heard.lock().unwrap().push(record.clone()));
        let app = AccessLog::new(|_: Request| std::future::pending::<()>()).to(sink);
        {
            let mut call = pin!(app.call(Request::default()));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(call.as_mut().poll(&mut cx).is_pending());
            assert!(records.lock().unwrap().is_empty());
        }
        let records = records.lock().unwrap();
        assert_eq!(records[0].status.as_u16(), 499);
        assert_eq!(records[0].first_byte, None);
    }

    #[tokio::test]
    async fn a_client_that_leaves_in_the_body() {
        let app = |_: Request| async {
            let (mut sender, body) = Body::channel();
            sender.send("half").await.unwrap();
            tokio::spawn(async move { sender.closed().await });
            body
        };
        let record = logged(app, |response| async {
            response.into_body().frame().await.unwrap().unwrap();
        });
        let record = record.await;
        assert_eq!((record.status.as_u16(), record.bytes), (499, 4));
        assert_eq!(record.outcome, RecordOutcome::ClientGone);
    }

    #[tokio::test]
    async fn a_body_that_fails() {
        let app = |_: Request| async {
            let (mut sender, body) = Body::channel();
            sender.send("half").await.unwrap();
            sender.abort("the disk is gone");
            body
        };
        let record = logged(app, read).await;
        assert_eq!((record.status.as_u16(), record.bytes), (200, 4));
        let cause = RecordOutcome::BodyFailed("the disk is gone".into());
        assert_eq!(record.outcome, cause);
    }

    #[tokio::test]
    async fn a_failure_and_a_panic() {
        let app = |_: Request| async { Failure::new("no database").into_response() };
        let record = logged(app, read).await;
        assert_eq!(record.failure.unwrap().to_string(), "no database");

        async fn panics(_: Request) {
            panic!("no more paper")
        }
        let record = logged(panics, read).await;
        assert_eq!(record.status, 500);
        assert_eq!(record.outcome, RecordOutcome::Panicked);
    }

    /// What is written of some requests, each with a query.
    async fn lines(app: AccessLog<impl App>, queries: &[&str]) -> Vec<String> {
        let (lines, sink) = Sink::memory();
        let app = app.to(sink);
        for query in queries {
            let mut request = Request::default();
            *request.uri_mut() = format!("/?{query}").parse().unwrap();
            let peer = vestibule_core::Address::Tcp("192.0.2.77:99".parse().unwrap());
            let peer = vestibule_core::Peer::new(peer.clone(), peer);
            request.extensions_mut().insert(peer);
            let headers = request.headers_mut();
            headers.insert("authorization", "Basic c2VjcmV0".parse().unwrap());
            headers.insert("cookie", "sid=secret".parse().unwrap());
            headers.insert("x-api-key", "secret".parse().unwrap());
            headers.insert(
                "referer",
                "http://a.example/?token=secret&b=1".parse().unwrap(),
            );
            read(app.call(request).await).await;
        }
        lines.take().lines().map(str::to_owned).collect()
    }

    async fn with_cookie(_: Request) -> Response {
        ([("set-cookie", "sid=secret")], "").into_response()
    }

    /// Case 144 of the list of faults: Authorization and Cookie are redacted.
    #[tokio::test]
    async fn fault_144_secrets_are_redacted() {
        let pattern =
            "%{Authorization}i %{Cookie}i %{sid}C %{Set-Cookie}o %{X-Api-Key}i %r %{Referer}i %h";
        let formats = [
            Format::apache(pattern).unwrap(),
            Format::json(),
            Format::logfmt(),
        ];
        for format in formats {
            let mut app = AccessLog::new(with_cookie)
                .format(format)
                .redact_header(HeaderName::from_static("x-api-key"))
                .redact_parameter("token")
                .truncate_addresses()
                .response_header(http::header::SET_COOKIE);
            for name in ["authorization", "cookie", "x-api-key"] {
                app = app.request_header(HeaderName::from_static(name));
            }
            let lines = lines(app, &["token=secret&c=2"]).await;
            let line = &lines[0];
            assert!(
                !line.contains("secret") && !line.contains("c2VjcmV0"),
                "{line}"
            );
            assert!(line.contains("token=[redacted]&c=2"), "{line}");
            assert!(line.contains("?token=[redacted]&b=1"), "{line}");
            assert!(
                line.contains("192.0.2.0") && !line.contains("192.0.2.77"),
                "{line}"
            );
        }
        let shown = AccessLog::new(with_cookie)
            .format(Format::apache("%{sid}C").unwrap())
            .show_header(&http::header::COOKIE);
        assert_eq!(lines(shown, &[""]).await, ["secret"]);
    }

    #[tokio::test]
    async fn skipped_sampled_and_slow() {
        let app = |request: Request| async move {
            match request.uri().query() {
                Some("fail") => StatusCode::IM_A_TEAPOT,
                _ => StatusCode::OK,
            }
        };
        let skips = AccessLog::new(app).skip(|record| record.uri.query() == Some("health"));
        assert_eq!(lines(skips, &["health", "x", "health"]).await.len(), 1);
        let samples = AccessLog::new(app).sample(4).format(Format::logfmt());
        let queries = [["a"; 8].as_slice(), &["fail"; 3]].concat();
        let found = lines(samples, &queries).await;
        assert_eq!(found.len(), 2 + 3);
        assert_eq!(
            found
                .iter()
                .filter(|line| line.contains("vestibule.sample=4"))
                .count(),
            2
        );
        let slow = AccessLog::new(app)
            .slow(Duration::ZERO)
            .sample(9)
            .format(Format::short());
        let found = lines(slow, &["a", "b"]).await;
        assert!(
            found.len() == 2 && found.iter().all(|line| line.ends_with(" slow")),
            "{found:?}"
        );
    }
}
