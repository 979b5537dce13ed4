//! The threads that run Python, and the queue in front of them.
//!
//! Each thread is one of Python's own (`threading.Thread`), so it is attached to the interpreter for
//! its life and the app finds it under its name. It takes job after job while it holds the
//! interpreter, and lets go of it when there is none, or after [`BATCH`] of them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::{self, About, Job};
use crate::environ::Base;
use crate::progress::Progress;

/// What the threads are for.
pub(crate) enum Task {
    Run(Job),
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
    /// Which process this is: an app may fork it.
    pub(crate) process: u32,
    /// What each thread is at.
    work: Vec<Mutex<Option<Arc<Progress>>>>,
    served: AtomicU64,
}

impl Shared {
    /// Starts the threads.
    pub(crate) fn start(py: Python<'_>, app: Py<PyAny>, settings: Settings) -> PyResult<Arc<Self>> {
        let shared = Arc::new(Self {
            app,
            queue: Queue::new(settings.queue),
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
                call::run(py, &self.shared, base, job);
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
    is_closed: bool,
}

impl Queue {
    fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            ended: Condvar::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job behind the others, unless there are too many that no thread is free for. Gives it
    /// back then.
    pub(crate) fn push(&self, job: Job) -> Result<(), Job> {
        let mut state = self.lock();
        let is_full = state.tasks.len() >= self.capacity + state.idle;
        if is_full || state.is_closed {
            return Err(job);
        }
        state.tasks.push_back(Task::Run(job));
        self.call(state);
        Ok(())
    }

    /// Adds what has to be done whatever else waits.
    pub(crate) fn push_first(&self, task: Task) {
        let mut state = self.lock();
        state.tasks.push_front(task);
        self.call(state);
    }

    /// Wakes a thread, if one waits that was not woken for another task.
    fn call(&self, mut state: MutexGuard<'_, State>) {
        if state.idle > state.called {
            state.called += 1;
            drop(state);
            self.filled.notify_one();
        }
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

/// How many jobs a thread does before it lets go of the interpreter.
const BATCH: usize = 16;
