//! The page of metrics: what is on it, and the listener that has nothing else.

use std::sync::{Arc, OnceLock};

use vestibule::http::StatusCode;
use vestibule::hyper::{ConnectionCounts, refusal};
use vestibule::logging::{MetricError, Metrics, Registry, Sink};
use vestibule::{Address, App, BoxApp, Outline, Peer, Request, Response};

use crate::args::Watching;
use crate::log::access_log;

/// The numbers that the options ask for; `None` when nothing reads them.
pub fn registry(options: &Watching, log: &Sink, has_listener: bool) -> Option<Registry> {
    let registry = Registry::new().with_log(log.clone());
    let labels = options.metrics_labels.as_deref();
    let registry = registry
        .exact_status(labels == Some("exact"))
        .opentelemetry(labels == Some("opentelemetry"));
    (options.metrics || has_listener).then_some(registry)
}

/// Adds the numbers of a server's connections.
///
/// # Errors
///
/// When another metric has the name of one of them.
pub fn count_connections(
    registry: &Registry,
    counts: &ConnectionCounts,
) -> Result<(), MetricError> {
    let (accepted, open, early) = (counts.clone(), counts.clone(), counts.clone());
    registry.counter(
        "vestibule_connections",
        "Connections that were accepted.",
        &[],
        move |samples| samples.add(&[], accepted.accepted() as f64),
    )?;
    registry.gauge(
        "vestibule_open_connections",
        "Connections that are open.",
        &[],
        move |samples| samples.add(&[], open.open() as f64),
    )?;
    registry.counter(
        "vestibule_connections_ended_early",
        "Connections that ended without a request that could be read, by reason.",
        &["reason"],
        move |samples| {
            for (reason, count) in early.ended_early() {
                samples.add(&[reason], count as f64);
            }
        },
    )
}

/// The app for requests that the server refuses before the stack: they are logged and counted as the
/// others are.
pub fn refusals(options: &Watching, log: &Sink, registry: Option<&Registry>) -> BoxApp {
    let app = match registry {
        Some(registry) => Metrics::new(refusal).to(registry.clone()).boxed(),
        None => refusal.boxed(),
    };
    match options.no_log {
        true => app,
        false => access_log(app, options, log).boxed(),
    }
}

/// Answers connections to one address with the metrics at `/metrics`, and others by the wrapped app.
#[derive(Debug)]
pub(crate) struct MetricsListener<A> {
    app: A,
    page: Metrics<fn(Request) -> std::future::Ready<StatusCode>>,
    /// Known when the server has bound it.
    at: Arc<OnceLock<Address>>,
}

impl<A: App> MetricsListener<A> {
    /// Wraps `app`. The address is set later, when it is known.
    pub(crate) fn new(app: A, registry: Registry, at: Arc<OnceLock<Address>>) -> Self {
        let nothing: fn(Request) -> _ = |_| std::future::ready(StatusCode::NOT_FOUND);
        let page = Metrics::new(nothing).at("/metrics").to_everyone();
        // A page that is read is not counted. A request for anything else is, as one of the site would be.
        let page = page.to(registry);
        Self { app, page, at }
    }
}

impl<A: App> App for MetricsListener<A> {
    async fn call(&self, request: Request) -> Response {
        let at = self.at.get();
        let came_to = Peer::of(&request).map(Peer::local);
        match at.zip(came_to).is_some_and(|(at, local)| is_at(local, at)) {
            true => self.page.call(request).await,
            false => self.app.call(request).await,
        }
    }

    fn describe(&self, outline: &mut Outline) {
        outline.wraps(&self.app);
    }
}

/// Whether a connection to `local` came to the listener at `at`, which may be all addresses of a port.
fn is_at(local: &Address, at: &Address) -> bool {
    match (local, at) {
        (Address::Tcp(local), Address::Tcp(at)) => {
            let is_there = at.ip().is_unspecified() || at.ip().to_canonical() == local.ip();
            is_there && local.port() == at.port()
        }
        (local, at) => local == at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_connections() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        for (local, at, want) in [
            ("127.0.0.1:9", "127.0.0.1:9", true),
            ("192.0.2.1:9", "0.0.0.0:9", true),
            ("192.0.2.1:9", "[::]:9", true),
            ("127.0.0.1:9", "[::ffff:127.0.0.1]:9", true),
            ("127.0.0.1:8", "127.0.0.1:9", false),
            ("192.0.2.1:9", "127.0.0.1:9", false),
        ] {
            assert_eq!(is_at(&tcp(local), &tcp(at)), want, "{local} {at}");
        }
        let unix = Address::Unix(Some(std::path::Path::new("/run/a").into()));
        assert!(is_at(&unix, &unix) && !is_at(&unix, &tcp("0.0.0.0:9")));
    }
}
