//! Where log lines go.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use crate::{Format, Record};

/// Takes records and writes them somewhere; cheap to clone, and clones write to the same place.
///
/// A writer gets its lines from a queue of at most 1 MiB, on a thread of its own, so that a slow
/// disk or terminal never makes a request wait. Lines that find the queue full are dropped and
/// counted; the count is written as soon as there is room. What is queued when the last clone is
/// dropped is written before the drop returns.
#[derive(Clone)]
pub struct Sink(Kind);

#[derive(Clone)]
enum Kind {
    Queue(Arc<Queue>),
    Call(Arc<dyn Fn(&Record, &Format) + Send + Sync>),
}

impl Sink {
    /// Lines to standard output. There is one such sink in a program.
    #[must_use]
    pub fn stdout() -> Self {
        static SHARED: Mutex<Weak<Queue>> = Mutex::new(Weak::new());
        Self::shared(&SHARED, "stdout", || Box::new(io::stdout()))
    }

    /// Lines to standard error. There is one such sink in a program.
    #[must_use]
    pub fn stderr() -> Self {
        static SHARED: Mutex<Weak<Queue>> = Mutex::new(Weak::new());
        Self::shared(&SHARED, "stderr", || Box::new(io::stderr()))
    }

    /// Lines to any writer.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self(Kind::Queue(Arc::new(Queue::new(
            "writer",
            Box::new(writer),
        ))))
    }

    /// Calls `f` with each record, at once and in the task of the request: it must not block.
    pub fn from_fn(f: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        Self(Kind::Call(Arc::new(move |record, _| f(record))))
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
        (lines, Self(Kind::Call(Arc::new(write))))
    }

    pub(crate) fn write(&self, record: &Record, format: &Format) {
        match &self.0 {
            Kind::Queue(queue) => queue.push(record, format),
            Kind::Call(f) => f(record, format),
        }
    }

    fn shared(
        shared: &Mutex<Weak<Queue>>,
        name: &'static str,
        writer: impl FnOnce() -> Box<dyn Write + Send>,
    ) -> Self {
        let mut shared = lock(shared);
        let queue = shared.upgrade().unwrap_or_else(|| {
            let queue = Arc::new(Queue::new(name, writer()));
            *shared = Arc::downgrade(&queue);
            queue
        });
        Self(Kind::Queue(queue))
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Queue(queue) => queue.name,
            Kind::Call(_) => "a function",
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

/// Lines on their way to a writer, and the thread that takes them there.
struct Queue {
    name: &'static str,
    shared: Arc<Shared>,
    thread: Mutex<Thread>,
}

/// The writer waits here until there is a first line: a sink that is never used costs no thread.
enum Thread {
    NotYet(Box<dyn Write + Send>),
    Runs(JoinHandle<()>),
    /// It could not be started, or it has ended.
    None,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    dropped: u64,
    is_closed: bool,
    /// The thread has been started: later lines need not look.
    is_running: bool,
}

impl Queue {
    fn new(name: &'static str, writer: Box<dyn Write + Send>) -> Self {
        Self {
            name,
            shared: Arc::default(),
            thread: Mutex::new(Thread::NotYet(writer)),
        }
    }

    fn push(&self, record: &Record, format: &Format) {
        let mut waiting = lock(&self.shared.waiting);
        if waiting.lines.len() >= ROOM {
            waiting.dropped += 1;
            return;
        }
        let was_empty = waiting.lines.is_empty();
        format.write(record, &mut waiting.lines);
        waiting.lines.push(b'\n');
        let is_running = mem::replace(&mut waiting.is_running, true);
        drop(waiting);
        if !is_running {
            self.start();
        }
        if was_empty {
            self.shared.wake.notify_one();
        }
    }

    fn start(&self) {
        let mut thread = lock(&self.thread);
        if let Thread::NotYet(writer) = mem::replace(&mut *thread, Thread::None) {
            let shared = self.shared.clone();
            let builder = std::thread::Builder::new().name("access-log".into());
            match builder.spawn(move || shared.run(writer)) {
                Ok(handle) => *thread = Thread::Runs(handle),
                Err(error) => tracing::error!(%error, "the access log has no thread to write on"),
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        lock(&self.shared.waiting).is_closed = true;
        self.shared.wake.notify_one();
        let thread = mem::replace(&mut *lock(&self.thread), Thread::None);
        if let Thread::Runs(handle) = thread {
            // The thread catches nothing and so may have panicked in its writer; the log is gone then.
            let _ = handle.join();
        }
    }
}

impl Shared {
    /// Writes what waits until the queue is closed and empty.
    fn run(&self, mut writer: Box<dyn Write + Send>) {
        let mut lines = Vec::new();
        let mut is_failing = false;
        loop {
            let mut waiting = lock(&self.waiting);
            while waiting.lines.is_empty() && !waiting.is_closed {
                waiting = self
                    .wake
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if waiting.lines.is_empty() {
                return;
            }
            lines.clear();
            mem::swap(&mut lines, &mut waiting.lines);
            let dropped = mem::take(&mut waiting.dropped);
            drop(waiting);
            if dropped > 0 {
                tracing::warn!(dropped, "access log lines found the queue full");
            }
            let written = writer.write_all(&lines).and_then(|()| writer.flush());
            if let Err(error) = &written
                && !is_failing
            {
                tracing::warn!(%error, "the access log cannot be written; requests go on");
            }
            is_failing = written.is_err();
        }
    }
}

/// Every change to what these mutexes hold is one step: a panic elsewhere leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many bytes of lines may wait for a writer.
const ROOM: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use vestibule_core::Request;

    use super::*;

    /// A writer that hands over what it gets, after it was allowed to.
    struct Gate {
        open: mpsc::Receiver<()>,
        out: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.open.recv();
            lock(&self.out).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_queued_is_written_before_the_end() {
        let (open, gate) = mpsc::channel();
        let out = Arc::default();
        let sink = Sink::writer(Gate {
            open: gate,
            out: Arc::clone(&out),
        });
        let record = Record::of(&Request::default());
        (0..100).for_each(|_| sink.write(&record, &Format::combined()));
        drop(open);
        drop(sink);
        assert_eq!(
            lock(&out).iter().filter(|&&byte| byte == b'\n').count(),
            100
        );
    }

    #[test]
    fn a_stalled_writer_costs_lines_and_they_are_counted() {
        let (open, gate) = mpsc::channel();
        let out = Arc::default();
        let sink = Sink::writer(Gate {
            open: gate,
            out: Arc::clone(&out),
        });
        let record = Record::of(&Request::default());
        let lines = 3 * ROOM / record.to_string().len();
        (0..lines).for_each(|_| sink.write(&record, &Format::combined()));
        let Kind::Queue(queue) = &sink.0 else {
            unreachable!()
        };
        let dropped = lock(&queue.shared.waiting).dropped;
        assert!(dropped > 0);
        drop(open);
        drop(sink);
        let written = lock(&out).iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(written as u64 + dropped, lines as u64);
    }

    #[test]
    fn there_is_one_standard_output() {
        let (Kind::Queue(a), Kind::Queue(b)) = (Sink::stdout().0, Sink::stdout().0) else {
            unreachable!()
        };
        // Both temporaries live here at once, so it is one queue.
        assert!(Arc::ptr_eq(&a, &b));
    }
}
