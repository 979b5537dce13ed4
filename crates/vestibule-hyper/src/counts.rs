//! Counts of connections, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts the connections of a server: how many are open, and why some ended before a request.
///
/// Cheap to clone, and clones show the same numbers. [`Server::counts`](crate::Server::counts) returns
/// it. It costs a connection two additions.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use vestibule_core::Request;
/// use vestibule_hyper::Server;
///
/// let server = Server::new(|_: Request| async { "hello" });
/// let counts = server.counts();
/// server.bind("127.0.0.1:0").await?.run_until(std::future::ready(())).await;
///
/// assert_eq!((counts.accepted(), counts.open()), (0, 0));
/// assert!(counts.ended_early().all(|(_reason, count)| count == 0));
/// # Ok(()) }
/// ```
#[doc(alias("metrics", "open connections"))]
#[derive(Clone, Debug, Default)]
pub struct ConnectionCounts(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    accepted: AtomicU64,
    open: AtomicU64,
    early: [AtomicU64; EarlyEnd::ALL.len()],
}

/// Why a connection ended before its first request, or because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlyEnd {
    /// Its address has all the connections that it may have.
    Limit,
    /// A balancer sent no PROXY header.
    ProxyHeader,
    /// The TLS handshake failed, or the client does not speak TLS.
    Tls,
    /// The client sent nothing, or too little, in time.
    Timeout,
    /// The client closed or reset it.
    ClientLeft,
    /// The client does not speak HTTP. That may also be found later, after some requests.
    Protocol,
}

impl EarlyEnd {
    const ALL: [Self; 6] = [
        Self::Limit,
        Self::ProxyHeader,
        Self::Tls,
        Self::Timeout,
        Self::ClientLeft,
        Self::Protocol,
    ];

    /// One word, for labels and the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::ProxyHeader => "proxy_header",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::ClientLeft => "client_left",
            Self::Protocol => "protocol",
        }
    }
}

impl ConnectionCounts {
    /// Returns the number of connections that were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Relaxed)
    }

    /// Returns the number of connections that are open, upgraded ones among them.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.0.open.load(Relaxed)
    }

    /// Returns the number of connections that ended without a request that could be read, by reason.
    ///
    /// The reasons are `limit` ([`max_per_address`](crate::Server::max_per_address)), `proxy_header`, `tls`
    /// (the handshake failed), `timeout`, `client_left`, and `protocol` (the client does not speak HTTP; that
    /// may be after some requests).
    pub fn ended_early(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
        let counts = self.0.early.iter().map(|count| count.load(Relaxed));
        EarlyEnd::ALL.iter().map(|end| end.name()).zip(counts)
    }

    pub(crate) fn add(&self, end: EarlyEnd) {
        self.0.early[end as usize].fetch_add(1, Relaxed);
    }

    /// Counts one more connection, which is open until the guard is dropped.
    pub(crate) fn accept(&self) -> OpenConnection {
        self.0.accepted.fetch_add(1, Relaxed);
        self.0.open.fetch_add(1, Relaxed);
        OpenConnection(self.clone())
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub(crate) struct OpenConnection(ConnectionCounts);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        let counts = ConnectionCounts::default();
        for (times, end) in EarlyEnd::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counts.add(end));
        }
        let found: Vec<_> = counts.ended_early().map(|(_, count)| count).collect();
        assert_eq!(found, [0, 1, 2, 3, 4, 5]);
        let mut names: Vec<_> = counts.ended_early().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EarlyEnd::ALL.len());
    }

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let counts = ConnectionCounts::default();
        let (one, two) = (counts.accept(), counts.accept());
        drop(one);
        assert_eq!((counts.accepted(), counts.open()), (2, 1));
        drop(two);
        assert_eq!((counts.accepted(), counts.open()), (2, 0));
    }
}
