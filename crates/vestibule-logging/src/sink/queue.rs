//! Lines on their way to a writer, and the thread that takes them there.

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::file::LogFile;
use super::lock;
#[cfg(unix)]
use super::syslog::Syslog;
use crate::{Format, Record};

/// What a queue ends in.
pub(super) enum Out {
    Writer(Box<dyn Write + Send>),
    File(Box<LogFile>),
    #[cfg(unix)]
    Syslog(Syslog),
}

/// A bounded queue of lines.
pub(super) struct Queue {
    name: Arc<str>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// The thread waits for lines.
    wake: Condvar,
    /// Others wait for the thread.
    done: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines that were dropped, ever.
    dropped: u64,
    /// Bytes that were queued, ever, and how many of them the thread is done with.
    queued: u64,
    finished: u64,
    is_closed: bool,
    /// The thread has ended, or there is none.
    is_over: bool,
    wants_reopen: bool,
    /// The writer waits here until there is a first line: a sink that is never used costs no thread.
    not_started: Option<Out>,
}

impl Queue {
    pub(super) fn new(name: String, out: Out) -> Self {
        let shared = Shared::default();
        lock(&shared.waiting).not_started = Some(out);
        Self {
            name: name.into(),
            shared: Arc::new(shared),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Queues the line of a record, or drops it when there is no room.
    pub(super) fn push(&self, record: &Record, format: &Format) {
        thread_local! {
            // The line is made before the queue is locked.
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            format.write(record, line);
            line.push(b'\n');
            self.push_line(line);
            line.shrink_to(USUAL_LINE);
        });
    }

    fn push_line(&self, line: &[u8]) {
        let mut waiting = lock(&self.shared.waiting);
        if waiting.is_over || waiting.lines.len() + line.len() > ROOM {
            waiting.dropped += 1;
            return;
        }
        let before = waiting.lines.len();
        waiting.lines.extend_from_slice(line);
        waiting.queued += line.len() as u64;
        let out = waiting.not_started.take();
        let is_many = before < MANY && waiting.lines.len() >= MANY;
        drop(waiting);
        if let Some(out) = out {
            self.start(out);
        }
        if before == 0 || is_many {
            self.shared.wake.notify_one();
        }
    }

    fn start(&self, out: Out) {
        let (shared, name) = (self.shared.clone(), self.name.clone());
        let builder = std::thread::Builder::new().name("access-log".into());
        if let Err(error) = builder.spawn(move || Writer::new(shared, name, out).run()) {
            tracing::error!(%error, "the access log has no thread to write on");
            let mut waiting = lock(&self.shared.waiting);
            waiting.dropped += count(&waiting.lines);
            waiting.lines = Vec::new();
            waiting.is_over = true;
        }
    }

    pub(super) fn reopen(&self) {
        lock(&self.shared.waiting).wants_reopen = true;
        self.shared.wake.notify_one();
    }

    pub(super) fn dropped(&self) -> u64 {
        lock(&self.shared.waiting).dropped
    }

    pub(super) fn flush(&self, limit: Duration) -> bool {
        let waiting = lock(&self.shared.waiting);
        let queued = waiting.queued;
        self.shared.wake.notify_one();
        let is_open = |waiting: &mut Waiting| waiting.finished < queued && !waiting.is_over;
        let waited = self.shared.done.wait_timeout_while(waiting, limit, is_open);
        let (_waiting, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut waiting = lock(&self.shared.waiting);
        waiting.is_closed = true;
        if waiting.not_started.is_some() {
            return;
        }
        self.shared.wake.notify_one();
        let runs = |waiting: &mut Waiting| !waiting.is_over;
        let waited = self.shared.done.wait_timeout_while(waiting, LAST, runs);
        let (waiting, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let bytes = waiting.queued - waiting.finished;
            tracing::warn!(
                log = &*self.name,
                bytes,
                "the access log did not take its last lines"
            );
        }
    }
}

/// The thread of a queue.
struct Writer {
    shared: Arc<Shared>,
    name: Arc<str>,
    out: Out,
    /// The rest of a line that was written in part: it goes first, so that no line is torn.
    torn: Vec<u8>,
    /// How many drops have been said, and when it was last said that something is wrong.
    said: u64,
    warned: Option<Instant>,
    is_failing: bool,
}

impl Writer {
    fn new(shared: Arc<Shared>, name: Arc<str>, out: Out) -> Self {
        Self {
            shared,
            name,
            out,
            torn: Vec::new(),
            said: 0,
            warned: None,
            is_failing: false,
        }
    }

    /// Writes what waits until the queue is closed and empty.
    fn run(mut self) {
        // A writer that panics ends the log, and not the program.
        let _over = Over(self.shared.clone());
        let mut lines = Vec::new();
        loop {
            let shared = self.shared.clone();
            let mut waiting = shared.wait();
            let wants_reopen = mem::take(&mut waiting.wants_reopen);
            if waiting.lines.is_empty() && waiting.is_closed {
                return;
            }
            lines.clear();
            mem::swap(&mut lines, &mut waiting.lines);
            drop(waiting);
            let lost = self.write(&lines, wants_reopen);
            let mut waiting = lock(&shared.waiting);
            waiting.finished += lines.len() as u64;
            waiting.dropped += lost;
            let dropped = waiting.dropped;
            drop(waiting);
            shared.done.notify_all();
            self.say(dropped);
        }
    }

    /// Writes some lines; gives how many of them were lost.
    fn write(&mut self, lines: &[u8], wants_reopen: bool) -> u64 {
        let mut all = mem::take(&mut self.torn);
        let mut at = 0;
        let written = self.out.prepare(wants_reopen).and_then(|()| {
            if all.is_empty() {
                write_all(&mut self.out, lines, &mut at)
            } else {
                all.extend_from_slice(lines);
                write_all(&mut self.out, &all, &mut at)
            }
        });
        let Err(error) = written else {
            if mem::take(&mut self.is_failing) {
                tracing::info!(log = &*self.name, "the access log is written again");
                self.warned = None;
            }
            return 0;
        };
        if all.is_empty() {
            all.extend_from_slice(lines);
        }
        let is_torn = at > 0 && all[at - 1] != b'\n';
        let was_torn = at == 0 && all.len() > lines.len();
        let rest = &all[at..];
        if is_torn || was_torn {
            let end = rest.iter().position(|&byte| byte == b'\n');
            self.torn = rest[..end.map_or(rest.len(), |end| end + 1)].to_vec();
        }
        let lost = count(&rest[self.torn.len()..]);
        self.is_failing = true;
        if self.may_warn() {
            tracing::warn!(log = &*self.name, %error, lost, "the access log cannot be written; requests go on");
        }
        lost
    }

    /// Says how many lines have been dropped, if that is news.
    fn say(&mut self, dropped: u64) {
        if dropped > self.said && self.may_warn_of_drops() {
            let lines = dropped - self.said;
            tracing::warn!(log = &*self.name, lines, "access log lines were dropped");
            self.said = dropped;
        }
    }

    fn may_warn_of_drops(&mut self) -> bool {
        !self.is_failing && self.may_warn()
    }

    fn may_warn(&mut self) -> bool {
        let may = self
            .warned
            .is_none_or(|last| last.elapsed() >= BETWEEN_WARNINGS);
        if may {
            self.warned = Some(Instant::now());
        }
        may
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let dropped = lock(&self.shared.waiting).dropped;
        if dropped > self.said {
            let lines = dropped - self.said;
            tracing::warn!(log = &*self.name, lines, "access log lines were dropped");
        }
    }
}

/// Says that the thread has ended, however it ends.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.dropped += count(&waiting.lines);
        waiting.is_over = true;
        drop(waiting);
        self.0.done.notify_all();
    }
}

impl Shared {
    /// Waits for something to do, and then a moment longer, so that lines come in company.
    fn wait(&self) -> MutexGuard<'_, Waiting> {
        let idle = |waiting: &mut Waiting| {
            waiting.lines.is_empty() && !waiting.is_closed && !waiting.wants_reopen
        };
        let waiting = self.wake.wait_while(lock(&self.waiting), idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let may_wait = |waiting: &mut Waiting| {
            waiting.lines.len() < MANY && !waiting.is_closed && !waiting.wants_reopen
        };
        let waited = self.wake.wait_timeout_while(waiting, LINGER, may_wait);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Writes everything; `at` is how far it came.
fn write_all(out: &mut Out, lines: &[u8], at: &mut usize) -> io::Result<()> {
    while *at < lines.len() {
        match out.write(&lines[*at..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => *at += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

impl Out {
    /// Gets ready for some lines: a file may have to be rotated, or opened anew.
    fn prepare(&mut self, wants_reopen: bool) -> io::Result<()> {
        match self {
            Self::File(file) => file.prepare(wants_reopen),
            _ => Ok(()),
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match self {
            Self::Writer(writer) => writer.write(lines),
            Self::File(file) => file.write(lines),
            #[cfg(unix)]
            Self::Syslog(syslog) => syslog.write(lines),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Writer(writer) => writer.flush(),
            _ => Ok(()),
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// How many bytes of lines may wait for a writer.
const ROOM: usize = 1024 * 1024;
/// So many are worth a wake.
const MANY: usize = ROOM / 4;
/// How long the first line waits for others.
const LINGER: Duration = Duration::from_millis(2);
/// How long the last lines may take.
const LAST: Duration = Duration::from_secs(5);
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);
/// What a thread keeps for its next line.
const USUAL_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use vestibule_core::Request;

    use super::*;
    use crate::Sink;

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
        assert_eq!(count(&lock(&out)), 100);
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
        let dropped = sink.dropped();
        assert!(dropped > 0);
        assert!(!sink.flush(Duration::from_millis(1)));
        drop(open);
        drop(sink);
        assert_eq!(count(&lock(&out)) + dropped, lines as u64);
    }

    /// A disk that takes a number of bytes, and then none until it is emptied.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = lock(&self.0);
            let taken = bytes.len().min(disk.0);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0 -= taken;
            disk.1.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_whole_lines_and_tears_none() {
        let disk = Disk::default();
        let sink = Sink::writer(disk.clone());
        let record = Record::of(&Request::default());
        let line = record.to_string() + "\n";
        let mut written = 0;
        for room in [0, 10, 3, line.len() * 5 + 7, 0, 20, 1 << 20] {
            lock(&disk.0).0 = room;
            (0..20).for_each(|_| sink.write(&record, &Format::combined()));
            written += 20;
            assert!(sink.flush(Duration::from_secs(10)));
        }
        let dropped = sink.dropped();
        drop(sink);
        let text = String::from_utf8(lock(&disk.0).1.clone()).unwrap();
        assert!(text.lines().all(|found| found == line.trim_end()), "{text}");
        assert_eq!(text.lines().count() as u64 + dropped, written);
        assert!(text.lines().count() > 20);
    }

    struct Panics;

    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a writer of the user's")
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_writer_that_panics_ends_the_log_and_nothing_else() {
        let sink = Sink::writer(Panics);
        let record = Record::of(&Request::default());
        sink.write(&record, &Format::combined());
        assert!(sink.flush(Duration::from_secs(10)));
        sink.write(&record, &Format::combined());
        assert!(sink.dropped() >= 1);
    }
}
