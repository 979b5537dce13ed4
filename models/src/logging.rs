//! `vestibule-logging`: the queue of the log writer thread, and the counters of the metrics.

mod on_demand {
    include!(concat!(env!("OUT_DIR"), "/on_demand.rs"));
}
#[allow(dead_code, reason = "no model reopens a file")]
mod pending {
    include!(concat!(env!("OUT_DIR"), "/pending.rs"));
}

use std::sync::Arc;
use std::time::Duration;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};

use crate::{Model, explore};
use on_demand::OnDemand;
use pending::{Pending, count};

pub(crate) const MODELS: &[Model] = &[
    Model {
        piece: "pending",
        shows: "each line of several threads is written once, and each thread's in order, until the log is closed",
        run: no_line_is_lost_or_doubled,
        mistakes: &[
            ("if before == 0 || is_many {", "if is_many {"),
            (
                "drop(state);\n        if before == 0 || is_many {\n            self.wake.notify_one();\n        }\n        out",
                "if before > 0 || is_many {\n            self.wake.notify_one();\n        }\n        out",
            ),
            (
                "if state.lines.is_empty() && state.is_closed {",
                "if state.is_closed {",
            ),
            (
                "mem::swap(lines, &mut state.lines);",
                "lines.extend_from_slice(&state.lines);\n drop(state);\n self.lock().lines.clear();\n let mut state = self.lock();",
            ),
            ("self.wake.notify_one();\n        let runs", "let runs"),
            (
                "drop(state);\n        self.done.notify_all();\n        dropped\n    }\n\n    /// Waits for something",
                "drop(state);\n        dropped\n    }\n\n    /// Waits for something",
            ),
        ],
    },
    Model {
        piece: "pending",
        shows: "exactly the lines without room are counted as dropped",
        run: dropped_lines_are_counted,
        mistakes: &[
            (
                "state.dropped += 1;\n            return None;",
                "return None;",
            ),
            (
                "state.dropped += lost;\n        let dropped",
                "drop(state);\n let dropped = self.lock().dropped;\n let mut state = self.lock();\n state.dropped = dropped + lost;\n        let dropped",
            ),
        ],
    },
    Model {
        piece: "pending",
        shows: "after a flush the own lines are written, and it does not wait for later lines of others",
        run: flushed_lines_are_written,
        mistakes: &[
            ("let queued = state.queued;", "let queued = state.finished;"),
            (
                "drop(state);\n        self.done.notify_all();\n        dropped\n    }\n\n    /// There is no thread",
                "drop(state);\n        dropped\n    }\n\n    /// There is no thread",
            ),
        ],
    },
    Model {
        piece: "pending",
        shows: "no caller waits for a dead thread, and its remaining lines are counted as dropped",
        run: a_dead_thread_blocks_no_caller,
        mistakes: &[
            (
                "state.finished < queued && !state.is_over",
                "state.finished < queued",
            ),
            ("if state.is_over || ", "if "),
            ("lost + count(&mem::take(&mut state.lines))", "lost"),
            (
                "state.dropped += lost + count(&mem::take(&mut state.lines));\n        state.is_over = true;",
                "state.dropped += lost + count(&mem::take(&mut state.lines));\n drop(state);\n let mut state = self.lock();\n        state.is_over = true;",
            ),
        ],
    },
    Model {
        piece: "on_demand",
        shows: "no increment is lost, also when two threads create the same counter",
        run: no_increment_is_lost,
        mistakes: &[
            // The second thread replaces the counter of the first.
            (
                "f(all.entry(key).or_default());",
                "let value = V::default();\n f(&value);\n all.insert(key, value);",
            ),
        ],
    },
];

/// The writer thread and its output. It dies after the given number of batches.
struct Disk {
    pending: Arc<Pending<()>>,
    written: Arc<Mutex<Vec<u8>>>,
    lasts: usize,
}

impl Disk {
    fn run(self) {
        let mut lines = Vec::new();
        for _ in 0..self.lasts {
            let Some(_) = self.pending.take(&mut lines) else {
                self.pending.end(0);
                return;
            };
            self.written.lock().unwrap().extend_from_slice(&lines);
            self.pending.finish(lines.len(), 0);
            lines.clear();
        }
        self.pending.take(&mut lines);
        self.pending.end(count(&lines));
    }
}

/// A log with the given capacity in bytes. The first line starts its thread.
#[derive(Clone)]
struct Log {
    pending: Arc<Pending<()>>,
    written: Arc<Mutex<Vec<u8>>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    lasts: usize,
}

impl Log {
    fn new(room: usize, lasts: usize) -> Self {
        Self {
            pending: Arc::new(Pending::new(room, ())),
            written: Arc::default(),
            thread: Arc::default(),
            lasts,
        }
    }

    fn push(&self, line: &str) {
        if let Some(()) = self.pending.push(line.as_bytes()) {
            let (pending, written, lasts) =
                (self.pending.clone(), self.written.clone(), self.lasts);
            let disk = Disk {
                pending,
                written,
                lasts,
            };
            *self.thread.lock().unwrap() = Some(thread::spawn(move || disk.run()));
        }
    }

    fn written(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }

    /// Returns all written text, and the number of dropped lines.
    fn close(self) -> (String, u64) {
        assert_eq!(self.pending.close(LONG), None);
        let thread = self.thread.lock().unwrap().take();
        thread.expect("there was a line").join().unwrap();
        (self.written(), self.pending.dropped())
    }
}

const LONG: Duration = Duration::from_secs(10);

fn no_line_is_lost_or_doubled() {
    explore(2, || {
        let log = Log::new(100, usize::MAX);
        let other = log.clone();
        let other = thread::spawn(move || ["a\n", "b\n"].map(|line| other.push(line)));
        log.push("c\n");
        other.join().unwrap();
        let (written, dropped) = log.close();
        assert!(
            ["abc", "acb", "cab"].contains(&&*written.replace('\n', "")),
            "{written}"
        );
        assert_eq!(dropped, 0);
    });
}

fn dropped_lines_are_counted() {
    explore(2, || {
        let log = Log::new(2, usize::MAX);
        let other = log.clone();
        let other = thread::spawn(move || ["a\n", "b\n"].map(|line| other.push(line)));
        log.push("c\n");
        other.join().unwrap();
        let (written, dropped) = log.close();
        assert_eq!(count(written.as_bytes()) + dropped, 3);
    });
}

fn flushed_lines_are_written() {
    explore(2, || {
        let log = Log::new(100, usize::MAX);
        let other = log.clone();
        let other = thread::spawn(move || other.push("b\n"));
        log.push("a\n");
        assert!(log.pending.flush(LONG));
        assert!(log.written().contains('a'));
        other.join().unwrap();
        log.close();
    });
}

fn a_dead_thread_blocks_no_caller() {
    explore(2, || {
        let log = Log::new(100, 0);
        let other = log.clone();
        let other = thread::spawn(move || other.push("b\n"));
        log.push("a\n");
        assert!(log.pending.flush(LONG));
        other.join().unwrap();
        assert_eq!(log.close(), (String::new(), 2));
    });
}

fn no_increment_is_lost() {
    explore(3, || {
        let counts = Arc::new(OnDemand::<&str, AtomicUsize>::default());
        let count = |counts: &OnDemand<&'static str, AtomicUsize>| {
            counts.with("GET", |count| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        };
        let requests = [(); 2].map(|()| {
            let counts = counts.clone();
            thread::spawn(move || count(&counts))
        });
        count(&counts);
        for request in requests {
            request.join().unwrap();
        }
        assert_eq!(counts.read()["GET"].load(Ordering::Relaxed), 3);
    });
}
