//! Counts requests, for Prometheus and all who read its format.
//!
//! Source: OpenMetrics 1.0.0; Prometheus, "Text-based exposition format"; names and buckets by OpenTelemetry,
//! "Semantic Conventions for HTTP Metrics".
//!
//! ```
//! use vestibule_core::{App, Request};
//! use vestibule_logging::{Metrics, Registry};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let registry = Registry::new();
//! let app = Metrics::new(|_: Request| async { "hello" }).to(registry.clone());
//! app.call(Request::default()).await.into_body().collect(9).await.unwrap();
//!
//! let text = registry.prometheus();
//! let line = r#"http_server_response_body_bytes_total{method="GET",status="2xx",route=""} 5"#;
//! assert!(text.lines().any(|found| found == line), "{text}");
//! # }
//! ```

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use vestibule_core::{App, Body, End, Outcome, Outline, Peer, Replaced, Request, Response, Scheme};

use crate::families::{Family, MetricError, Samples, escaped};
use crate::on_demand::OnDemand;
use crate::record::{client_gone, grpc_status};
use crate::trace::known_method;
use crate::{RecordOutcome, Sink, process};

/// Counts requests and measures them to the end of their bodies, by method, class of status, and route.
///
/// gRPC calls, whose HTTP status is always 200, are counted by their own status as well:
/// `rpc_server_requests_total`, with the labels `rpc_grpc_status_code` (0 to 16) and `route`. The page has
/// this counter when there was a call.
///
/// Costs three allocations a request.
#[doc(alias("prometheus", "openmetrics"))]
#[derive(Clone, Debug)]
pub struct Metrics<A> {
    app: A,
    registry: Registry,
    path: Option<Cow<'static, str>>,
    is_public: bool,
    route: Route,
}

#[derive(Clone)]
struct Route(Option<Arc<RouteOf>>);

type RouteOf = dyn Fn(&Request) -> Cow<'static, str> + Send + Sync;

impl<A: App> Metrics<A> {
    /// Wraps `app`; what is counted is seen by nobody until it has a path or a registry.
    pub fn new(app: A) -> Self {
        Self {
            app,
            registry: Registry::new(),
            path: None,
            is_public: false,
            route: Route(None),
        }
    }

    /// Counts in a registry that others read.
    #[must_use]
    pub fn to(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Answers GET and HEAD at `path` with the metrics: to clients on this machine
    /// ([`Peer::is_local`]); for others the app answers.
    #[must_use]
    pub fn at(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Answers everyone at the path of [`at`](Self::at).
    #[must_use]
    pub const fn to_everyone(mut self) -> Self {
        self.is_public = true;
        self
    }

    /// Labels requests: `/users/{id}`, not `/users/7`. Of more than 100 labels, the later ones are `_other`.
    #[must_use]
    pub fn route(
        mut self,
        route: impl Fn(&Request) -> Cow<'static, str> + Send + Sync + 'static,
    ) -> Self {
        self.route = Route(Some(Arc::new(route)));
        self
    }

    /// The answer of the path of [`at`](Self::at), when it is asked for.
    fn page(&self, request: &Request) -> Option<Response> {
        let path = self.path.as_ref()?;
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let may_read = self.is_public || Peer::is_local(request);
        (is_read && may_read && request.uri().path() == path).then(|| {
            let form = Form::accepted(request.headers());
            let mut response = Response::new(Body::from(self.registry.text(form)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        })
    }
}

impl<A: App> App for Metrics<A> {
    async fn call(&self, request: Request) -> Response {
        if let Some(page) = self.page(&request) {
            let is_head = request.method() == Method::HEAD;
            return page.map(|body| if is_head { body.without_bytes() } else { body });
        }
        let route = self.route.0.as_ref().map(|route| route(&request));
        let is_https = Scheme::of(&request) == Scheme::Https;
        let is_http2 = request.version() == Version::HTTP_2;
        let mut measure = Measure::new(&self.registry, request.method(), route, is_https);
        let response = self.app.call(request).await;
        measure.status = response.status();
        // A call that fails at once has its status in the head.
        measure.grpc = is_http2.then(|| grpc_status(response.headers())).flatten();
        measure.outcome = RecordOutcome::Complete;
        response.map(|body| body.on_end(move |end| measure.ended(end)))
    }

    fn describe(&self, outline: &mut Outline) {
        if let Some(path) = &self.path {
            outline.option("at", path);
        }
        if self.is_public {
            outline.option("for", "everyone");
        }
        outline.wraps(&self.app);
    }
}

/// A request that is measured; it is counted when this is dropped.
struct Measure {
    registry: Registry,
    method: &'static str,
    route: Option<Cow<'static, str>>,
    is_https: bool,
    start: Instant,
    status: StatusCode,
    bytes: u64,
    outcome: RecordOutcome,
    /// The status of a gRPC call.
    grpc: Option<u16>,
}

impl Measure {
    fn new(
        registry: &Registry,
        method: &Method,
        route: Option<Cow<'static, str>>,
        is_https: bool,
    ) -> Self {
        registry.0.active.fetch_add(1, Relaxed);
        Self {
            registry: registry.clone(),
            method: known_method(method),
            route,
            is_https,
            start: Instant::now(),
            status: client_gone(),
            bytes: 0,
            outcome: RecordOutcome::ClientGone,
            grpc: None,
        }
    }
}

impl Measure {
    fn ended(&mut self, end: &End<'_>) {
        self.bytes = end.bytes;
        self.grpc = self.grpc.or_else(|| end.trailers.and_then(grpc_status));
        match end.outcome {
            Outcome::Complete => {}
            Outcome::Aborted => {
                self.status = client_gone();
                self.outcome = RecordOutcome::ClientGone;
            }
            Outcome::Failed(error) => match error.downcast_ref::<Replaced>() {
                Some(replaced) => self.status = replaced.status(),
                None => self.outcome = RecordOutcome::BodyFailed(String::new()),
            },
        }
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        if std::thread::panicking() && self.outcome == RecordOutcome::ClientGone {
            self.status = StatusCode::INTERNAL_SERVER_ERROR;
            self.outcome = RecordOutcome::Panicked;
        }
        self.registry.0.active.fetch_sub(1, Relaxed);
        let route = self.route.take().unwrap_or_default();
        let key = self
            .registry
            .key(self.method, self.status, route, self.is_https);
        if let Some(status) = self.grpc {
            let key = (key.0.clone(), status);
            self.registry.0.grpc.with(key, |count| {
                count.fetch_add(1, Relaxed);
            });
        }
        self.registry.0.series.with(key, |series| {
            series.record(self.start.elapsed(), self.bytes, &self.outcome);
        });
    }
}

/// What has been counted; cheap to clone, and clones count together.
#[derive(Clone, Default)]
pub struct Registry(Arc<Counted>);

#[derive(Default)]
struct Counted {
    active: AtomicI64,
    series: OnDemand<Key, Series>,
    /// gRPC calls by route and status.
    grpc: OnDemand<(Cow<'static, str>, u16), AtomicU64>,
    routes: Mutex<Vec<Cow<'static, str>>>,
    sinks: Mutex<Vec<Sink>>,
    families: Mutex<Vec<Arc<Family>>>,
    /// Statuses are counted each by itself.
    has_exact_statuses: AtomicBool,
    /// Labels have the names of OpenTelemetry.
    has_otel_names: AtomicBool,
}

/// Route, method, status or its class, and whether it was HTTPS, where labels tell.
type Key = (Cow<'static, str>, &'static str, u16, bool);

/// Counts of the requests with one method, class of status and route.
#[derive(Default)]
struct Series {
    /// Requests in each bucket alone; the last is for all that took longer.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
    bytes: AtomicU64,
    outcomes: [AtomicU64; OUTCOMES.len()],
}

impl Series {
    fn record(&self, took: Duration, bytes: u64, outcome: &RecordOutcome) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BUCKETS.len())].fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        let name = outcome.name();
        let outcome = OUTCOMES.iter().position(|other| *other == name);
        self.outcomes[outcome.unwrap_or_default()].fetch_add(1, Relaxed);
    }
}

impl Registry {
    /// Nothing has been counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the dropped lines of a log, too.
    #[must_use]
    pub fn with_log(self, sink: Sink) -> Self {
        self.0
            .sinks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sink);
        self
    }

    /// Sets whether each status has its own label, as `status="404"`. Defaults to `false`: `status="4xx"`.
    ///
    /// Set it before requests are counted. An app with many statuses and routes has many series then.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request, http::StatusCode};
    /// use vestibule_logging::{Metrics, Registry};
    ///
    /// let registry = Registry::new().exact_status(true);
    /// let app = Metrics::new(|_: Request| async { StatusCode::NOT_FOUND }).to(registry.clone());
    /// app.call(Request::default()).await.into_body().collect(99).await.unwrap();
    /// let line = r#"http_server_requests_total{method="GET",status="404",route="",outcome="complete"} 1"#;
    /// assert!(registry.prometheus().lines().any(|found| found == line));
    /// # }
    /// ```
    #[must_use]
    pub fn exact_status(self, enabled: bool) -> Self {
        self.0.has_exact_statuses.store(enabled, Relaxed);
        self
    }

    /// Sets whether labels have the names of OpenTelemetry's semantic conventions, as dashboards for them
    /// expect: `http_request_method`, `http_response_status_code`, `http_route` and `url_scheme`. Defaults
    /// to `false`. Statuses are [exact](Self::exact_status) then.
    ///
    /// Set it before requests are counted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_logging::{Metrics, Registry};
    ///
    /// let registry = Registry::new().opentelemetry(true);
    /// let app = Metrics::new(|_: Request| async { "hello" }).to(registry.clone());
    /// app.call(Request::default()).await.into_body().collect(99).await.unwrap();
    /// let labels = r#"{http_request_method="GET",url_scheme="http",http_response_status_code="200",http_route=""}"#;
    /// let line = format!("http_server_request_duration_seconds_count{labels} 1");
    /// assert!(registry.prometheus().lines().any(|found| found == line));
    /// # }
    /// ```
    #[must_use]
    pub fn opentelemetry(self, enabled: bool) -> Self {
        self.0.has_otel_names.store(enabled, Relaxed);
        self
    }

    /// Adds a counter of the program's own to the page. `read` is called for each page, and adds a number
    /// for each combination of the labels' values. The numbers must not decrease while the program runs.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use vestibule_logging::Registry;
    ///
    /// static ORDERS: AtomicU64 = AtomicU64::new(0);
    ///
    /// # fn main() -> Result<(), vestibule_logging::MetricError> {
    /// let registry = Registry::new();
    /// registry.counter("shop_orders", "Orders that were placed.", &["kind"], |samples| {
    ///     samples.add(&["book"], ORDERS.load(Relaxed) as f64);
    /// })?;
    /// ORDERS.fetch_add(3, Relaxed);
    /// assert!(registry.prometheus().contains("\nshop_orders_total{kind=\"book\"} 3\n"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the name or a label is not one that Prometheus takes, or the name is taken.
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        read: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) -> Result<(), MetricError> {
        self.add(Family::new("counter", name, help, labels, read)?)
    }

    /// Adds a gauge of the program's own, a number that goes up and down, as
    /// [`counter`](Self::counter) does.
    ///
    /// ```
    /// use vestibule_logging::Registry;
    ///
    /// # fn main() -> Result<(), vestibule_logging::MetricError> {
    /// let registry = Registry::new();
    /// registry.gauge("shop_queue_length", "Orders that wait.", &[], |samples| samples.add(&[], 7.0))?;
    /// assert!(registry.openmetrics().contains("\nshop_queue_length 7\n"));
    /// assert!(registry.gauge("shop_queue_length", "Again.", &[], |_| {}).is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        read: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) -> Result<(), MetricError> {
        self.add(Family::new("gauge", name, help, labels, read)?)
    }

    fn add(&self, family: Family) -> Result<(), MetricError> {
        let families = self.0.families.lock();
        let mut families = families.unwrap_or_else(PoisonError::into_inner);
        // In OpenMetrics a counter and a gauge of one name are one family.
        if families.iter().any(|other| other.name == family.name) {
            return Err(family.taken());
        }
        families.push(Arc::new(family));
        Ok(())
    }

    /// The metrics in Prometheus' text format, 0.0.4.
    #[must_use]
    pub fn prometheus(&self) -> String {
        self.text(Form::Prometheus)
    }

    /// The metrics in OpenMetrics' text format, 1.0.0.
    #[must_use]
    pub fn openmetrics(&self) -> String {
        self.text(Form::OpenMetrics)
    }

    /// What a request is counted by.
    fn key(
        &self,
        method: &'static str,
        status: StatusCode,
        route: Cow<'static, str>,
        is_https: bool,
    ) -> Key {
        let has_otel_names = self.0.has_otel_names.load(Relaxed);
        let is_exact = has_otel_names || self.0.has_exact_statuses.load(Relaxed);
        let status = match is_exact {
            true => status.as_u16(),
            false => status.as_u16() / 100,
        };
        let route = self.bounded(route);
        (route, method, status, is_https && has_otel_names)
    }

    /// The route, or `_other` when there are too many.
    fn bounded(&self, route: Cow<'static, str>) -> Cow<'static, str> {
        if route.is_empty() {
            return route;
        }
        let mut routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
        match routes.binary_search(&route) {
            Ok(_) => route,
            Err(_) if routes.len() >= MAX_ROUTES || route.len() > MAX_ROUTE_BYTES => {
                "_other".into()
            }
            Err(at) => {
                routes.insert(at, route.clone());
                route
            }
        }
    }

    fn text(&self, form: Form) -> String {
        let mut page = Page {
            text: String::new(),
            form,
        };
        let duration = "http_server_request_duration_seconds";
        page.family(
            duration,
            "histogram",
            "From the request to the end of the response's body.",
        );
        let has_otel_names = self.0.has_otel_names.load(Relaxed);
        let labels = |key: &Key| labels(key, has_otel_names);
        let all = self.0.series.read();
        for (key, series) in all.iter() {
            let labels = labels(key);
            let mut count = 0;
            for (index, bucket) in series.buckets.iter().enumerate() {
                count += bucket.load(Relaxed);
                let bound = BUCKETS
                    .get(index)
                    .map_or("+Inf".to_owned(), |bound| format!("{bound:?}"));
                page.sample(
                    duration,
                    "_bucket",
                    &format!("{labels},le=\"{bound}\""),
                    count,
                );
            }
            let seconds = series.micros.load(Relaxed) as f64 / 1e6;
            page.sample(duration, "_sum", &labels, seconds);
            page.sample(duration, "_count", &labels, count);
        }
        let requests = "http_server_requests";
        page.family(requests, "counter", "Requests, by how they ended.");
        for (key, series) in all.iter() {
            for (outcome, count) in OUTCOMES.iter().zip(&series.outcomes) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels = format!("{},outcome=\"{outcome}\"", labels(key));
                    page.sample(requests, "_total", &labels, count);
                }
            }
        }
        let bytes = "http_server_response_body_bytes";
        page.family(bytes, "counter", "Bytes of response bodies that were read.");
        for (key, series) in all.iter() {
            page.sample(bytes, "_total", &labels(key), series.bytes.load(Relaxed));
        }
        drop(all);
        let calls = self.0.grpc.read();
        if !calls.is_empty() {
            let requests = "rpc_server_requests";
            page.family(requests, "counter", "gRPC calls, by their status.");
            let name = if has_otel_names {
                "http_route"
            } else {
                "route"
            };
            for ((route, status), count) in calls.iter() {
                let route = escaped(route);
                let labels = format!("rpc_grpc_status_code=\"{status}\",{name}=\"{route}\"");
                page.sample(requests, "_total", &labels, count.load(Relaxed));
            }
        }
        drop(calls);
        let active = "http_server_active_requests";
        page.family(active, "gauge", "Requests that have not ended.");
        page.sample(active, "", "", self.0.active.load(Relaxed));
        let sinks = self.0.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        if !sinks.is_empty() {
            let dropped = "vestibule_log_lines_dropped";
            page.family(
                dropped,
                "counter",
                "Lines of the access log that were dropped.",
            );
            for sink in sinks.iter() {
                let name = escaped(&sink.to_string());
                page.sample(
                    dropped,
                    "_total",
                    &format!("log=\"{name}\""),
                    sink.dropped(),
                );
            }
        }
        // The lock is not held while the program's own code runs.
        let families = self.0.families.lock();
        let families = families.unwrap_or_else(PoisonError::into_inner).clone();
        for family in families {
            page.family(&family.name, family.kind, &family.help);
            let suffix = if family.kind == "counter" {
                "_total"
            } else {
                ""
            };
            for (labels, value) in family.read() {
                page.sample(&family.name, suffix, &labels, value);
            }
        }
        for metric in process::read() {
            page.family(metric.name, metric.kind, metric.help);
            let suffix = if metric.kind == "counter" {
                "_total"
            } else {
                ""
            };
            page.sample(metric.name, suffix, "", metric.value);
        }
        if form == Form::OpenMetrics {
            page.text.push_str("# EOF\n");
        }
        page.text
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Route" } else { "None" })
    }
}

/// Which of the two text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Prometheus,
    OpenMetrics,
}

impl Form {
    /// OpenMetrics when it is named with a weight that is not 0.
    fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut parts = accept.flat_map(|line| line.split(','));
        let named = parts.any(|part| {
            let (kind, rest) = part.split_once(';').unwrap_or((part, ""));
            let weight = rest
                .split(';')
                .find_map(|parameter| parameter.trim().strip_prefix("q="));
            let is_none = weight.is_some_and(|weight| weight.parse() == Ok(0.0_f64));
            kind.trim()
                .eq_ignore_ascii_case("application/openmetrics-text")
                && !is_none
        });
        if named {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A text in the making.
struct Page {
    text: String,
    form: Form,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // The older format calls a counter by the name of its samples.
        let total = match (self.form, kind) {
            (Form::Prometheus, "counter") => "_total",
            _ => "",
        };
        let _ = writeln!(
            self.text,
            "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}"
        );
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: impl fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.text, "{name}{suffix} {value}"),
            labels => writeln!(self.text, "{name}{suffix}{{{labels}}} {value}"),
        };
    }
}

fn labels((route, method, status, is_https): &Key, has_otel_names: bool) -> String {
    let route = escaped(route);
    // Of a class there is one digit.
    let xx = if *status < 10 { "xx" } else { "" };
    if !has_otel_names {
        return format!("method=\"{method}\",status=\"{status}{xx}\",route=\"{route}\"");
    }
    let scheme = if *is_https { "https" } else { "http" };
    format!(
        "http_request_method=\"{method}\",url_scheme=\"{scheme}\",\
         http_response_status_code=\"{status}\",http_route=\"{route}\""
    )
}

/// Seconds: OpenTelemetry's advice, and two more for answers from memory.
const BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const OUTCOMES: [&str; 4] = ["complete", "client_gone", "body_failed", "panicked"];
const MAX_ROUTES: usize = 100;
const MAX_ROUTE_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use vestibule_core::Address;

    use super::*;

    #[test]
    fn which_format() {
        let cases = [
            ("", Form::Prometheus),
            ("*/*", Form::Prometheus),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3",
                Form::OpenMetrics,
            ),
            (
                "text/plain, Application/OpenMetrics-Text; q=0",
                Form::Prometheus,
            ),
        ];
        for (accept, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(Form::accepted(&headers), want, "{accept}");
        }
    }

    #[test]
    fn labels_are_bounded() {
        let registry = Registry::new();
        for index in 0..500 {
            let key = registry.key("GET", StatusCode::OK, format!("/{index}").into(), false);
            registry.0.series.with(key, |_| {});
        }
        let series = registry.0.series.read();
        assert_eq!(series.len(), MAX_ROUTES + 1);
    }

    #[tokio::test]
    async fn outcomes_are_counted_and_active_requests_end() {
        let registry = Registry::new();
        let app = Metrics::new(|request: Request| async move {
            match request.uri().path() {
                "/broken" => {
                    let (mut sender, body) = Body::channel();
                    sender.send("half").await.unwrap();
                    sender.abort("no");
                    body
                }
                _ => Body::from("hello"),
            }
        });
        let app = app
            .to(registry.clone())
            .route(|request| request.uri().path().to_owned().into());
        let get = |path: &'static str| {
            let mut request = Request::default();
            *request.uri_mut() = path.parse().unwrap();
            request
        };
        let _ = app.call(get("/a")).await.into_body().collect(9).await;
        let _ = app.call(get("/broken")).await.into_body().collect(9).await;
        let response = app.call(get("/gone")).await;
        assert!(
            registry
                .prometheus()
                .contains("\nhttp_server_active_requests 1\n")
        );
        drop(response);
        let text = registry.openmetrics();
        for line in [
            r#"http_server_requests_total{method="GET",status="2xx",route="/a",outcome="complete"} 1"#,
            r#"http_server_requests_total{method="GET",status="2xx",route="/broken",outcome="body_failed"} 1"#,
            r#"http_server_requests_total{method="GET",status="4xx",route="/gone",outcome="client_gone"} 1"#,
            r#"http_server_response_body_bytes_total{method="GET",status="2xx",route="/broken"} 4"#,
            "http_server_active_requests 0",
            "# TYPE http_server_requests counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[tokio::test]
    async fn the_page_is_for_clients_on_this_machine() {
        let app = Metrics::new(|_: Request| async { StatusCode::NOT_FOUND }).at("/-/metrics");
        let ask = async |app: &Metrics<_>, peer: &str| {
            let mut request = Request::default();
            *request.uri_mut() = "/-/metrics".parse().unwrap();
            let address = Address::Tcp(peer.parse().unwrap());
            request
                .extensions_mut()
                .insert(Peer::new(address.clone(), address));
            app.call(request).await.status().as_u16()
        };
        assert_eq!(ask(&app, "127.0.0.1:1").await, 200);
        assert_eq!(ask(&app, "192.0.2.1:1").await, 404);
        assert_eq!(ask(&app.to_everyone(), "192.0.2.1:1").await, 200);
    }
}
