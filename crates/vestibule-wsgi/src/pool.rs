//! The threads that run Python, and the queue in front of them.
//!
//! Each thread is one of Python's own (`threading.Thread`), so it is attached to the interpreter for
//! its life and the app finds it under its name. It takes job after job while it holds the
//! interpreter, and lets go of it when there is none, or after [`BATCH`] of them.
//!
//! To wake a thread costs more than a small app does. So threads are woken when the server has seen
//! to all connections that were ready, not for each job; and where calls are brief, one thread that is
//! awake is left to do them all, with a look after a millisecond whether it really does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::runtime::Handle;

use crate::call::{self, About, Job};
use crate::environ::Base;
use crate::outbox::Outbox;
use crate::progress::Progress;

/// What the threads are for.
pub(crate) enum Task {
    Run(Box<Job>),
    /// `close()` of a file that the server has sent.
    Close(Py<PyAny>, Arc<About>),
}

/// Options of a [`WsgiApp`](crate::WsgiApp), once it has been made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) threads: usize,
    pub(crate) queue: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) is_multiprocess: bool,
    pub(crate) environ: Vec<(String, String)>,
    pub(crate) debug: bool,
}

/// What the server and the threads have in common.
pub(crate) struct Shared {
    pub(crate) app: Py<PyAny>,
    pub(crate) settings: Settings,
    pub(crate) queue: Queue,
    /// How responses come back, where the server collects them.
    pub(crate) outbox: Option<Arc<Outbox>>,
    /// Which process this is: an app may fork it.
    pub(crate) process: u32,
    /// What each thread is at.
    work: Vec<Mutex<Option<Arc<Progress>>>>,
    served: AtomicU64,
}

impl Shared {
    /// Starts the threads.
    pub(crate) fn start(
        py: Python<'_>,
        app: Py<PyAny>,
        settings: Settings,
        outbox: Option<Arc<Outbox>>,
    ) -> PyResult<Arc<Self>> {
        let shared = Arc::new(Self {
            app,
            queue: Queue::new(settings.queue),
            outbox,
            process: std::process::id(),
            work: (0..settings.threads).map(|_| Mutex::new(None)).collect(),
            served: AtomicU64::new(0),
            settings,
        });
        let thread = py.import("threading")?.getattr("Thread")?;
        for number in 0..shared.settings.threads {
            shared.queue.lock().alive += 1;
            let runner = Runner {
                shared: shared.clone(),
                number,
            };
            let options = PyDict::new(py);
            options.set_item("target", Bound::new(py, runner)?)?;
            options.set_item("name", format!("wsgi-{number}"))?;
            options.set_item("daemon", true)?;
            let started = thread.call((), Some(&options))?.call_method0("start");
            if let Err(error) = started {
                shared.queue.lock().alive -= 1;
                shared.queue.close();
                return Err(error);
            }
        }
        Ok(shared)
    }

    /// Sees to it that threads come for what was pushed.
    pub(crate) fn ring(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            if self.queue.ring() {
                self.queue.look_after();
            }
            return;
        };
        let shared = self.clone();
        // It runs after the tasks that are ready now, which may push more.
        runtime.spawn(async move {
            if shared.queue.ring() {
                tokio::spawn(async move {
                    tokio::time::sleep(PATIENCE).await;
                    while shared.queue.look_after() {
                        tokio::time::sleep(PATIENCE).await;
                    }
                });
            }
        });
    }

    /// How many threads have been at the same thing for longer than `limit`.
    pub(crate) fn stuck(&self, limit: Duration) -> usize {
        let is_stuck = |slot: &&Mutex<Option<Arc<Progress>>>| {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.as_ref().is_some_and(|it| it.silence() > limit)
        };
        self.work.iter().filter(is_stuck).count()
    }

    /// How many requests the app was called for.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Relaxed)
    }
}

/// What a thread of Python runs.
#[pyclass(frozen, module = "vestibule_wsgi")]
struct Runner {
    shared: Arc<Shared>,
    number: usize,
}

#[pymethods]
impl Runner {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let _ended = Ended(&self.shared.queue);
        let settings = &self.shared.settings;
        let is_multithread = settings.threads > 1;
        let mut base = Base::new(
            py,
            is_multithread,
            settings.is_multiprocess,
            &settings.environ,
        )?;
        let queue = &self.shared.queue;
        loop {
            for _ in 0..BATCH {
                let Some(task) = queue.try_take() else {
                    break;
                };
                // A mistake of ours must not cost the thread.
                let ran = catch_unwind(AssertUnwindSafe(|| self.run(py, &mut base, task)));
                if ran.is_err() {
                    tracing::error!(target: "vestibule::wsgi", "a call has panicked");
                }
            }
            // Others get their turn, and what Rust has dropped of Python's is let go of.
            if !py.detach(|| queue.wait()) {
                return Ok(());
            }
        }
    }
}

impl Runner {
    fn run(&self, py: Python<'_>, base: &mut Base, task: Task) {
        match task {
            Task::Close(file, about) => call::close(py, file.bind(py), &about),
            Task::Run(job) => {
                self.set(Some(job.progress.clone()));
                self.shared.served.fetch_add(1, Relaxed);
                let start = Instant::now();
                call::run(py, &self.shared, base, *job);
                self.shared.queue.learn(start.elapsed());
                self.set(None);
            }
        }
    }

    fn set(&self, progress: Option<Arc<Progress>>) {
        let mut slot = self.shared.work[self.number]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *slot = progress;
    }
}

/// Says that a thread has ended.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().alive -= 1;
        self.0.ended.notify_all();
    }
}

/// Jobs, as many as `capacity`.
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    ended: Condvar,
    capacity: usize,
    /// How long calls take, in microseconds.
    usual: AtomicU32,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    /// Threads that wait.
    idle: usize,
    /// Of these, how many were woken for a task and have not come for it yet.
    called: usize,
    /// Threads at all.
    alive: usize,
    /// Somebody will ring for what was pushed.
    is_to_be_rung: bool,
    /// Somebody will look whether the threads that are awake are enough.
    is_watched: bool,
    is_closed: bool,
}

impl State {
    /// How many threads wait that were not woken for another task.
    const fn callable(&self) -> usize {
        self.idle.saturating_sub(self.called)
    }
}

impl Queue {
    fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            ended: Condvar::new(),
            capacity,
            // Not brief, until it is seen.
            usual: AtomicU32::new(BRIEF),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job behind the others, unless there are too many that no thread is free for: it is given
    /// back then. True when somebody has to [`ring`](Self::ring) for it, soon.
    pub(crate) fn push(&self, job: Box<Job>) -> Result<bool, Box<Job>> {
        let mut state = self.lock();
        let is_full = state.tasks.len() >= self.capacity + state.idle;
        if is_full || state.is_closed {
            return Err(job);
        }
        state.tasks.push_back(Task::Run(job));
        Ok(!std::mem::replace(&mut state.is_to_be_rung, true))
    }

    /// Adds what has to be done whatever else waits.
    pub(crate) fn push_first(&self, task: Task) {
        let mut state = self.lock();
        state.tasks.push_front(task);
        let count = state.callable().min(1);
        self.call(state, count);
    }

    /// Wakes threads for what was pushed: as many as there are jobs, or, where calls are brief, one if
    /// none is awake. True when somebody has to [`look_after`](Self::look_after) them.
    pub(crate) fn ring(&self) -> bool {
        let mut state = self.lock();
        state.is_to_be_rung = false;
        let is_brief = self.usual.load(Relaxed) < BRIEF;
        let awake = state.alive - state.idle + state.called;
        let most = match is_brief {
            true => 1_usize.saturating_sub(awake),
            false => state.tasks.len(),
        };
        let count = state.callable().min(most);
        // The others were left to sleep, and may be needed after all.
        let is_unsure = is_brief && state.callable() > count && !state.is_watched;
        state.is_watched |= is_unsure;
        self.call(state, count);
        is_unsure
    }

    /// Wakes threads for whatever waits still. False when there is nothing.
    pub(crate) fn look_after(&self) -> bool {
        let mut state = self.lock();
        let count = state.callable().min(state.tasks.len());
        state.is_watched = count > 0;
        let goes_on = state.is_watched;
        self.call(state, count);
        goes_on
    }

    fn call(&self, mut state: MutexGuard<'_, State>, count: usize) {
        state.called += count;
        drop(state);
        for _ in 0..count {
            self.filled.notify_one();
        }
    }

    /// Learns how long calls take, in microseconds: the mean of about the last eight.
    fn learn(&self, took: Duration) {
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX) / 8;
        let usual = self.usual.load(Relaxed);
        self.usual
            .store((usual - usual / 8).saturating_add(took), Relaxed);
    }

    fn try_take(&self) -> Option<Task> {
        self.lock().tasks.pop_front()
    }

    /// Waits until there is something to do; false when there will not be. It takes nothing: whoever
    /// has the interpreter first does that.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.tasks.is_empty() {
            if state.is_closed {
                return false;
            }
            state.idle += 1;
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            state.called = state.called.saturating_sub(1);
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Takes no more jobs; threads end when the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
    }

    /// Waits until all threads have ended; false when they have not in time.
    pub(crate) fn join(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        while state.alive > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .ended
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

/// Calls that take fewer microseconds than this are brief.
const BRIEF: u32 = 100;

/// How long one thread is given to show that calls are brief.
const PATIENCE: Duration = Duration::from_millis(1);

/// How many jobs a thread does before it lets go of the interpreter.
const BATCH: usize = 16;
