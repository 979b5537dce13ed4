//! Limits the events of the libraries below the server, which a client can cause at any rate.
//!
//! The HTTP/2 library warns once for each frame that it did not expect, so nine bytes from a client
//! become a line of the log. The server's own events of this kind are limited to one a second; this
//! layer does the same for the libraries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lets one event a second of the HTTP and TLS libraries through, and drops the others.
///
/// A [`Layer`] of `tracing-subscriber`. It applies to events of h2, hyper, hyper-util, rustls and
/// tokio-rustls at the levels INFO, WARN and ERROR, all of them together. Events at DEBUG and TRACE
/// are not limited: a program has them only when its operator asks for them. Other events pass at the
/// cost of a comparison of their target.
///
/// Without a limit, a client of HTTP/2 that sends 100,000 unexpected frames writes 100,000 lines.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
/// use vestibule_logging::EventLimit;
///
/// let limit = EventLimit::new();
/// # let sink = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
/// # let subscriber = sink.with(limit.clone());
/// # if false {
/// let subscriber = tracing_subscriber::fmt().finish().with(limit.clone());
/// # drop(subscriber); }
/// tracing::subscriber::with_default(subscriber, || {
///     for _ in 0..1000 {
///         tracing::warn!(target: "h2::proto::ping_pong", "recv PING ack that we never sent");
///     }
/// });
/// assert_eq!(limit.dropped(), 999);
/// ```
///
/// # Details
///
/// Add it to the subscriber as a whole, as above, not to a single layer by `with_filter`. Events that
/// come by the crate `log`, through `tracing-log`, are limited as well.
#[doc(alias("rate limit", "h2", "log flood"))]
#[derive(Clone, Debug)]
pub struct EventLimit {
    libraries: Vec<&'static str>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    begun: Instant,
    /// Milliseconds since `begun`: from then on an event passes.
    next: AtomicU64,
    dropped: AtomicU64,
}

impl EventLimit {
    /// Creates a limit for the libraries that this server is made of.
    #[must_use]
    pub fn new() -> Self {
        Self {
            libraries: LIBRARIES.to_vec(),
            counts: Arc::new(Counts {
                begun: Instant::now(),
                next: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            }),
        }
    }

    /// Limits the events of another crate as well. `name` is the first part of their targets.
    ///
    /// ```
    /// use tracing_subscriber::layer::SubscriberExt;
    /// use vestibule_logging::EventLimit;
    ///
    /// let limit = EventLimit::new().library("quinn_proto");
    /// let subscriber = tracing_subscriber::registry().with(limit.clone());
    /// tracing::subscriber::with_default(subscriber, || {
    ///     tracing::info!(target: "quinn_proto::connection", "passes");
    ///     tracing::info!(target: "quinn_proto::connection", "is dropped");
    /// });
    /// assert_eq!(limit.dropped(), 1);
    /// ```
    #[must_use]
    pub fn library(mut self, name: &'static str) -> Self {
        self.libraries.push(name);
        self
    }

    /// Returns the number of events that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }

    /// Whether an event is one of a library.
    fn applies_to(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return false;
        }
        // Records of the crate `log` have this target, and their own one as a field.
        if metadata.target() == "log" {
            let mut target = LogTarget(None);
            event.record(&mut target);
            return target.0.is_some_and(|target| self.has(&target));
        }
        self.has(metadata.target())
    }

    /// Whether a target is a library's: its name, or a module of it.
    fn has(&self, target: &str) -> bool {
        self.libraries.iter().any(|name| {
            let rest = target.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    }
}

impl Counts {
    /// Whether an event may pass at `now`, in milliseconds since `begun`.
    fn passes(&self, now: u64) -> bool {
        let next = self.next.load(Relaxed);
        // Of several threads at the same moment one wins the exchange.
        let passes = now >= next
            && self
                .next
                .compare_exchange(next, now + INTERVAL, Relaxed, Relaxed)
                .is_ok();
        if !passes {
            self.dropped.fetch_add(1, Relaxed);
        }
        passes
    }
}

impl Default for EventLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Subscriber> Layer<S> for EventLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let now = || u64::try_from(self.counts.begun.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
        !self.applies_to(event) || self.counts.passes(now())
    }
}

/// The target of a record of the crate `log`.
struct LogTarget(Option<String>);

impl Visit for LogTarget {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// The crates below the server whose events a client can cause.
const LIBRARIES: [&str; 5] = ["h2", "hyper", "hyper_util", "rustls", "tokio_rustls"];

/// How long no other event passes, in milliseconds.
const INTERVAL: u64 = 1000;

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn one_event_a_second() {
        let counts = EventLimit::new().counts;
        let passed: Vec<u64> = (0..4000)
            .step_by(100)
            .filter(|ms| counts.passes(*ms))
            .collect();
        assert_eq!(passed, [0, 1000, 2000, 3000]);
        assert_eq!(counts.dropped.load(Relaxed), 36);
    }

    #[test]
    fn which_targets() {
        let limit = EventLimit::new().library("mine");
        for (target, want) in [
            ("h2", true),
            ("h2::proto::ping_pong", true),
            ("hyper::proto::h1::role", true),
            ("hyper_util::rt", true),
            ("rustls::server", true),
            ("tokio_rustls", true),
            ("mine::a", true),
            ("h2spec", false),
            ("hyperlocal::server", false),
            ("vestibule", false),
            ("vestibule_hyper::h2", false),
            ("mineral", false),
            ("", false),
        ] {
            assert_eq!(limit.has(target), want, "{target}");
        }
    }

    /// Each line is one of several events in a row, and the number of those that are dropped.
    #[test]
    fn which_events() {
        fn dropped(events: impl Fn()) -> u64 {
            let limit = EventLimit::new();
            let subscriber = tracing_subscriber::registry().with(limit.clone());
            tracing::subscriber::with_default(subscriber, || (0..5).for_each(|_| events()));
            limit.dropped()
        }
        let cases = [
            dropped(|| tracing::error!(target: "h2", "a")),
            dropped(|| tracing::warn!(target: "h2::codec", "a")),
            dropped(|| tracing::info!(target: "rustls::conn", "a")),
            dropped(|| tracing::debug!(target: "h2", "a")),
            dropped(|| tracing::trace!(target: "h2", "a")),
            dropped(|| tracing::error!(target: "vestibule", "a")),
            dropped(|| tracing::warn!(target: "log", { "log.target" = "rustls::conn" }, "a")),
            dropped(|| tracing::warn!(target: "log", { "log.target" = "shop" }, "a")),
            // Two libraries share the limit.
            dropped(|| {
                tracing::warn!(target: "h2", "a");
                tracing::warn!(target: "hyper", "a");
            }),
        ];
        assert_eq!(cases, [4, 4, 4, 0, 0, 0, 4, 0, 9]);
    }
}
