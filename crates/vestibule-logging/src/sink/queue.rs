//! Lines on their way to a writer, and the thread that takes them there.

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::LogFile;
use super::pending::{Pending, count};
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

/// A bounded queue of lines, and the thread behind it.
pub(super) struct Queue {
    name: Arc<str>,
    pending: Arc<Pending<Out>>,
}

impl Queue {
    pub(super) fn new(name: String, out: Out) -> Self {
        Self {
            name: name.into(),
            pending: Arc::new(Pending::new(ROOM, out)),
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
            if let Some(out) = self.pending.push(line) {
                self.start(out);
            }
            line.shrink_to(USUAL_LINE);
        });
    }

    fn start(&self, out: Out) {
        let (pending, name) = (self.pending.clone(), self.name.clone());
        let builder = std::thread::Builder::new().name("access-log".into());
        if let Err(error) = builder.spawn(move || Writer::new(pending, name, out).run()) {
            tracing::error!(%error, "the access log has no thread to write on");
            self.pending.end(0);
        }
    }

    pub(super) fn reopen(&self) {
        self.pending.reopen();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.pending.dropped()
    }

    pub(super) fn flush(&self, limit: Duration) -> bool {
        self.pending.flush(limit)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(bytes) = self.pending.close(LAST) {
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
    pending: Arc<Pending<Out>>,
    name: Arc<str>,
    out: Out,
    /// What is being written.
    lines: Vec<u8>,
    /// The rest of a line that was written in part: it goes first, so that no line is torn.
    torn: Vec<u8>,
    /// How many drops have been said, and when it was last said that something is wrong.
    said: u64,
    warned: Option<Instant>,
    is_failing: bool,
}

impl Writer {
    fn new(pending: Arc<Pending<Out>>, name: Arc<str>, out: Out) -> Self {
        Self {
            pending,
            name,
            out,
            lines: Vec::new(),
            torn: Vec::new(),
            said: 0,
            warned: None,
            is_failing: false,
        }
    }

    /// Writes what waits until the queue is closed and empty.
    fn run(mut self) {
        while let Some(wants_reopen) = self.pending.take(&mut self.lines) {
            let lost = self.write(wants_reopen);
            let dropped = self.pending.finish(self.lines.len(), lost);
            self.lines.clear();
            self.say(dropped);
        }
    }

    /// Writes the lines; gives how many of them were lost.
    fn write(&mut self, wants_reopen: bool) -> u64 {
        let mut all = mem::take(&mut self.torn);
        let mut at = 0;
        let written = self.out.prepare(wants_reopen).and_then(|()| {
            if all.is_empty() {
                write_all(&mut self.out, &self.lines, &mut at)
            } else {
                all.extend_from_slice(&self.lines);
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
            all.extend_from_slice(&self.lines);
        }
        let is_torn = at > 0 && all[at - 1] != b'\n';
        let was_torn = at == 0 && all.len() > self.lines.len();
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

/// The thread has ended, however it did: a writer that panics ends the log, and not the program. What it
/// was writing then counts as dropped.
impl Drop for Writer {
    fn drop(&mut self) {
        let dropped = self.pending.end(count(&self.lines));
        if dropped > self.said {
            let lines = dropped - self.said;
            tracing::warn!(log = &*self.name, lines, "access log lines were dropped");
        }
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

/// How many bytes of lines may wait for a writer.
const ROOM: usize = 1024 * 1024;
/// How long the last lines may take.
const LAST: Duration = Duration::from_secs(5);
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);
/// What a thread keeps for its next line.
const USUAL_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use vestibule_core::Request;

    use super::super::lock;
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
        assert_eq!(sink.dropped(), 2);
    }
}
