//! The threads that run Python.
//!
//! Each thread is one of Python's own (`threading.Thread`), so it is attached to the interpreter for
//! its life and the app finds it under its name. It takes job after job while it holds the
//! interpreter, and lets go of it when there is none, or after [`BATCH`] of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use vestibule_core::Response;

use crate::call::{self, About, Job};
use crate::environ::Base;
use crate::forks;
use crate::outbox::Outbox;
use crate::progress::Progress;
use crate::queue::Queue;

/// What the threads are for.
pub(crate) enum Task {
    Run(Box<Job>),
    /// `close()` of a file that the server has sent.
    Close(Py<PyAny>, Arc<About>),
}

impl Task {
    /// The queue is full.
    pub(crate) fn refused(&self) {
        match self {
            Self::Run(job) => job.about.refused(),
            Self::Close(_, about) => about.refused(),
        }
    }
}

/// Options of a [`WsgiApp`](crate::WsgiApp), once it has been made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) threads: usize,
    pub(crate) queue: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) is_multiprocess: bool,
    /// Names, and the bytes of their values.
    pub(crate) environ: Vec<(String, Vec<u8>)>,
    pub(crate) debug: bool,
    /// `wsgi.errors` is text on standard error, not events.
    pub(crate) errors_to_stderr: bool,
}

/// What the server and the threads have in common.
pub(crate) struct Shared {
    pub(crate) app: Py<PyAny>,
    pub(crate) settings: Settings,
    pub(crate) queue: Queue<Task>,
    /// How responses come back, where the server collects them.
    pub(crate) outbox: Option<Arc<Outbox>>,
    /// Which process this is: an app may fork it.
    pub(crate) generation: u64,
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
        forks::count(py)?;
        let shared = Arc::new(Self {
            app,
            queue: Queue::new(settings.threads, settings.queue, is_free_threaded(py)),
            outbox,
            generation: forks::generation(),
            work: (0..settings.threads).map(|_| Mutex::new(None)).collect(),
            served: AtomicU64::new(0),
            settings,
        });
        let thread = py.import("threading")?.getattr("Thread")?;
        for number in 0..shared.settings.threads {
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
                (number..shared.settings.threads).for_each(|_| shared.queue.leave());
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

    /// Hands a response to the server; false when nobody waits for it.
    pub(crate) fn deliver(&self, to: oneshot::Sender<Response>, response: Response) -> bool {
        match &self.outbox {
            Some(outbox) => outbox.send(to, response, self.queue.is_looked_after()),
            None => to.send(response).is_ok(),
        }
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

/// Whether Python runs without its lock, as a free-threaded build does unless a module wants it.
pub(crate) fn is_free_threaded(py: Python<'_>) -> bool {
    let ask = || py.import("sys")?.call_method0("_is_gil_enabled")?.extract();
    !ask().unwrap_or(true)
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
        let switches = Switches::counter(py);
        let mut count = 0_u32;
        loop {
            for _ in 0..BATCH {
                let Some(task) = queue.try_take() else {
                    break;
                };
                let measured = count.is_multiple_of(SAMPLE).then(|| switches.count());
                count = count.wrapping_add(1);
                // A mistake of ours must not cost the thread.
                let ran = catch_unwind(AssertUnwindSafe(|| self.run(py, &mut base, task)));
                if ran.is_err() {
                    tracing::error!(target: "vestibule::wsgi", "a call has panicked");
                }
                if let Some(Some(before)) = measured {
                    queue.learn(switches.count().is_some_and(|after| after > before));
                }
            }
            // Others get their turn, and what Rust has dropped of Python's is let go of.
            if !py.detach(|| queue.wait(self.number)) {
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
                call::run(py, &self.shared, base, *job);
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
struct Ended<'a>(&'a Queue<Task>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// How often a thread has given up its core by itself, as the kernel counts it: to wait for something.
struct Switches<'py>(Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>);

impl<'py> Switches<'py> {
    /// For the thread that asks; where the kernel does not tell there is no count.
    fn counter(py: Python<'py>) -> Self {
        let usage = RESOURCE_USAGE.get_or_try_init(py, || resource_usage(py));
        Self(
            usage
                .ok()
                .map(|(usage, whose)| (usage.bind(py).clone(), whose.bind(py).clone())),
        )
    }

    fn count(&self) -> Option<u64> {
        let (usage, whose) = self.0.as_ref()?;
        let usage = usage.call1((whose,)).ok()?;
        usage
            .getattr(intern!(usage.py(), "ru_nvcsw"))
            .ok()?
            .extract()
            .ok()
    }
}

/// Imports what the threads call, before the project's directory is on `sys.path`: the project may have
/// a module of the same name.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    // Where the kernel does not count there is no such function.
    let _ = RESOURCE_USAGE.get_or_try_init(py, || resource_usage(py));
    Ok(())
}

/// `resource.getrusage` and `resource.RUSAGE_THREAD`. The module is not left in `sys.modules`, where the
/// project would get it instead of its own `resource`.
fn resource_usage(py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
    let modules = py.import("sys")?.getattr("modules")?;
    let was_imported = modules.contains("resource")?;
    let resource = py.import("resource")?;
    let whose = resource.getattr("RUSAGE_THREAD")?;
    let usage = resource.getattr("getrusage")?;
    if !was_imported {
        modules.del_item("resource")?;
    }
    Ok((usage.unbind(), whose.unbind()))
}

static RESOURCE_USAGE: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

/// How long the threads that are awake are given to show that they get on.
const PATIENCE: Duration = Duration::from_millis(1);

/// How many jobs a thread does before it lets go of the interpreter.
const BATCH: usize = 16;

/// One of so many calls is measured.
const SAMPLE: u32 = 16;
