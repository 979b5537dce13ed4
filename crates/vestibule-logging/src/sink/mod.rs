//! Where log lines go.

mod file;
mod file_watch;
mod pending;
mod queue;
#[cfg(unix)]
mod syslog;

use std::fmt;
use std::io::Write;
use std::mem;
#[cfg(unix)]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::{Format, Record, WholeLines};
use queue::{Out, Queue};
#[cfg(unix)]
use syslog::Syslog;

pub use file::LogFile;

/// Takes records and writes them somewhere; cheap to clone, and clones write to the same place.
///
/// A file, a stream, a socket gets its lines from a queue of at most 1 MiB, on a thread of its own, so
/// that a slow disk or terminal never makes a request wait. Lines that find the queue full, or that
/// cannot be written, are dropped: [`dropped`](Self::dropped) counts them, and a warning says so, at most
/// one a minute. What is queued when the last clone is dropped is written before the drop returns, for
/// which it waits at most 5 seconds.
#[derive(Clone)]
pub struct Sink(Kind);

#[derive(Clone)]
enum Kind {
    Queue(Arc<Queue>),
    Call(&'static str, Arc<Call>),
}

type Call = dyn Fn(&Record, &Format) + Send + Sync;

impl Sink {
    /// Lines to standard output, written as by [`WholeLines`]. There is one such sink in a program.
    #[must_use]
    pub fn stdout() -> Self {
        static SHARED: Mutex<Weak<Queue>> = Mutex::new(Weak::new());
        Self::shared(&SHARED, "stdout", || Box::new(WholeLines::stdout()))
    }

    /// Lines to standard error, written as by [`WholeLines`]. There is one such sink in a program.
    #[must_use]
    pub fn stderr() -> Self {
        static SHARED: Mutex<Weak<Queue>> = Mutex::new(Weak::new());
        Self::shared(&SHARED, "stderr", || Box::new(WholeLines::stderr()))
    }

    /// Lines to any writer.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self::queue("writer", Out::Writer(Box::new(writer)))
    }

    /// Lines to a file, which may be rotated: by itself, or by another program.
    #[must_use]
    pub fn file(file: LogFile) -> Self {
        let name = file.path().display().to_string();
        Self::queue(name, Out::File(Box::new(file)))
    }

    /// A datagram a line to the syslog of this machine, at `socket`: `/dev/log`. Lines are of the
    /// facility `local0` and the severity `info`, and are called `vestibule` and the id of the process.
    ///
    /// # Errors
    ///
    /// When nobody listens there. Once it is made it connects again whenever it has to.
    #[cfg(unix)]
    pub fn syslog(socket: impl AsRef<Path>) -> std::io::Result<Self> {
        let socket = socket.as_ref();
        let name = format!("syslog at {}", socket.display());
        Ok(Self::queue(name, Out::Syslog(Syslog::connect(socket)?)))
    }

    /// An event of `tracing` for each record: level info, target `vestibule::access`, with fields
    /// that are named as in the JSON format. The format of the log is not used.
    #[must_use]
    pub fn events() -> Self {
        Self(Kind::Call("events", Arc::new(|record, _| event(record))))
    }

    /// Calls `f` with each record, at once and in the task of the request: it must not block.
    pub fn from_fn(f: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        Self(Kind::Call(
            "a function",
            Arc::new(move |record, _| f(record)),
        ))
    }

    /// Lines in memory, for tests.
    #[must_use]
    pub fn memory() -> (Lines, Self) {
        let lines = Lines::default();
        let text = lines.0.clone();
        let write = move |record: &Record, format: &Format| {
            let mut text = lock(&text);
            text.push_str(&format.line(record));
            text.push('\n');
        };
        (lines, Self(Kind::Call("memory", Arc::new(write))))
    }

    /// Opens the file anew before the next line, as after a rotation: what a program does on SIGHUP. Of
    /// other sinks it asks nothing.
    pub fn reopen(&self) {
        if let Kind::Queue(queue) = &self.0 {
            queue.reopen();
        }
    }

    /// How many lines have been dropped: they found the queue full, or could not be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        match &self.0 {
            Kind::Queue(queue) => queue.dropped(),
            Kind::Call(..) => 0,
        }
    }

    /// Waits until what has been queued so far is written, or given up; `false` when `limit` is over
    /// before that. It blocks the thread.
    pub fn flush(&self, limit: Duration) -> bool {
        match &self.0 {
            Kind::Queue(queue) => queue.flush(limit),
            Kind::Call(..) => true,
        }
    }

    pub(crate) fn write(&self, record: &Record, format: &Format) {
        match &self.0 {
            Kind::Queue(queue) => queue.push(record, format),
            Kind::Call(_, f) => f(record, format),
        }
    }

    fn queue(name: impl Into<String>, out: Out) -> Self {
        Self(Kind::Queue(Arc::new(Queue::new(name.into(), out))))
    }

    fn shared(
        shared: &Mutex<Weak<Queue>>,
        name: &'static str,
        writer: impl FnOnce() -> Box<dyn Write + Send>,
    ) -> Self {
        let mut shared = lock(shared);
        let queue = shared.upgrade().unwrap_or_else(|| {
            let queue = Arc::new(Queue::new(name.into(), Out::Writer(writer())));
            *shared = Arc::downgrade(&queue);
            queue
        });
        Self(Kind::Queue(queue))
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Queue(queue) => queue.name(),
            Kind::Call(name, _) => name,
        })
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sink({self})")
    }
}

/// The lines of a [`Sink::memory`].
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<String>>);

impl Lines {
    /// What was written since the last time.
    #[must_use]
    pub fn take(&self) -> String {
        mem::take(&mut lock(&self.0))
    }
}

/// One event. Whoever prints events escapes them, or not; so the text is escaped here.
fn event(record: &Record) {
    let safe = |text: &[u8]| {
        let mut line = Vec::new();
        crate::format::escape(text, &mut line);
        String::from_utf8_lossy(&line).into_owned()
    };
    let agent = record.user_agent.as_ref();
    tracing::info!(
        target: "vestibule::access",
        {
        client.address = record.peer.as_ref().map(|peer| safe(peer.to_string().as_bytes())),
        user.name = record.user.as_ref().map(|user| safe(user.name().as_bytes())),
        http.request.method = safe(record.method.as_str().as_bytes()),
        url.path = safe(record.uri.path().as_bytes()),
        url.query = record.uri.query().map(|query| safe(query.as_bytes())),
        network.protocol.version = crate::format::version_number(record.version),
        http.response.status_code = record.status.as_u16(),
        http.response.body.size = record.bytes,
        http.server.request.duration = record.total.as_secs_f64(),
        vestibule.outcome = record.outcome.name(),
        vestibule.layer = record.layer.as_deref(),
        vestibule.slow = record.is_slow.then_some(true),
        vestibule.request_id = record.request_id.as_ref().map(|id| safe(id.as_bytes())),
        exception.message = record.cause().map(|cause| safe(cause.as_bytes())),
        user_agent.original = agent.map(|agent| safe(agent.as_bytes())),
        },
        "request"
    );
}

/// Every change to what these mutexes hold is one step: a panic elsewhere leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_standard_output() {
        let (Kind::Queue(a), Kind::Queue(b)) = (Sink::stdout().0, Sink::stdout().0) else {
            unreachable!()
        };
        // Both temporaries live here at once, so it is one queue.
        assert!(Arc::ptr_eq(&a, &b));
    }
}
