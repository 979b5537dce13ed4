//! A Python app as an [`App`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::RETRY_AFTER;
use pyo3::prelude::*;
use tokio::sync::oneshot;
use vestibule_core::{
    App, Failure, FailureKind, IntoResponse, Outline, QueueTime, Request, Response,
};

use crate::call::Job;
use crate::error::LoadError;
use crate::load::load;
use crate::outbox::Outbox;
use crate::pool::{Settings, Shared, Task};
use crate::progress::Progress;
use crate::threads::are_replaced;
use crate::variables::fault;

/// A WSGI app, as [`App`]: Flask, Django, or any callable of an environ and `start_response`.
///
/// It runs on threads of Python's own, at most as many requests at a time as there are threads; the
/// others wait in a queue, and those beyond it are a 503 with `Retry-After`. Nothing of Python runs
/// where the server does. An exception is a 500, whatever its class, and its traceback an event at
/// level error, with the request's `x-request-id`. The app is in this process: what ends the process
/// (`os._exit`, a crash in C) ends the server too. The last clone that is dropped ends the threads,
/// once the queue is empty.
#[doc(alias("python", "flask", "django", "gunicorn"))]
#[derive(Clone)]
pub struct WsgiApp {
    name: Arc<str>,
    owner: Arc<Owner>,
}

/// Ends the threads when nobody can send them requests any more.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl WsgiApp {
    /// Loads `module:callable`, with the defaults of [`WsgiOptions`].
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    #[cfg(feature = "embed")]
    pub fn load(target: &str) -> Result<Self, LoadError> {
        WsgiOptions::new().load(target)
    }

    /// How many requests the app was called for.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.owner.0.served()
    }

    /// How many requests wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.owner.0.queue.len()
    }

    /// How many threads have been at the same thing for longer than `limit`. Waiting for a client
    /// does not count.
    #[must_use]
    pub fn stuck(&self, limit: Duration) -> usize {
        self.owner.0.stuck(limit)
    }

    /// Takes no more requests and waits until the threads have ended, at most for `limit`; false when
    /// some have not. A thread of Python's must not hold the interpreter while it calls this.
    #[must_use]
    pub fn close(&self, limit: Duration) -> bool {
        self.owner.0.queue.close();
        self.owner.0.queue.join(limit)
    }

    /// Waits for the response for as long as Python gets on with the request.
    async fn answer(
        &self,
        mut answer: oneshot::Receiver<Response>,
        progress: &Progress,
    ) -> Response {
        let gone = || Failure::new("the thread that ran the app is gone").into_response();
        let Some(limit) = self.owner.0.settings.timeout else {
            return answer.await.unwrap_or_else(|_| gone());
        };
        loop {
            let left = limit.saturating_sub(progress.silence());
            match tokio::time::timeout(left.max(TICK), &mut answer).await {
                Ok(answered) => return answered.unwrap_or_else(|_| gone()),
                Err(_) if progress.silence() < limit => {}
                Err(_) if progress.is_queued() => {
                    let mut response = busy("no thread was free in time");
                    let queued = QueueTime(progress.age());
                    response.extensions_mut().insert(queued);
                    return response;
                }
                Err(_) => {
                    let text = format!("the app has not answered within {limit:?}");
                    let failure = Failure::new(text).kind(FailureKind::Timeout);
                    return failure.layer("WsgiApp").into_response();
                }
            }
        }
    }
}

impl App for WsgiApp {
    async fn call(&self, request: Request) -> Response {
        let (to, answer) = oneshot::channel();
        let job = Job::new(request, &self.owner.0.settings, to);
        let progress = job.progress.clone();
        match self.owner.0.queue.push(Task::Run(job)) {
            Ok(true) => self.owner.0.ring(),
            Ok(false) => {}
            Err(task) => {
                task.refused();
                return busy("the queue for Python's threads is full");
            }
        }
        self.answer(answer, &progress).await
    }

    fn describe(&self, outline: &mut Outline) {
        let settings = &self.owner.0.settings;
        outline
            .rename("WsgiApp")
            .option("app", &self.name)
            .option("threads", settings.threads)
            .option("queue", settings.queue);
        if let Some(timeout) = settings.timeout {
            outline.option("timeout", format!("{timeout:?}"));
        }
    }
}

impl fmt::Debug for WsgiApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsgiApp")
            .field("name", &self.name)
            .field("settings", &self.owner.0.settings)
            .field("served", &self.served())
            .field("queued", &self.queued())
            .finish()
    }
}

/// A 503 that says when to come again.
fn busy(why: &'static str) -> Response {
    let failure = Failure::new(why).kind(FailureKind::Overload);
    let mut response = failure.layer("WsgiApp").into_response();
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The shortest time between two looks at how far a request is.
const TICK: Duration = Duration::from_millis(1);

/// How a [`WsgiApp`] is run.
#[derive(Clone, Debug)]
#[must_use = "options do nothing until an app is loaded with them"]
pub struct WsgiOptions {
    settings: Settings,
    #[cfg(feature = "embed")]
    pub(crate) interpreter: crate::interpreter::Interpreter,
}

impl Default for WsgiOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl WsgiOptions {
    /// The defaults: twice as many threads as cores and one, at most 32; a queue of 256 requests; a
    /// timeout of 60 s.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            settings: Settings {
                threads: (2 * cores + 1).min(32),
                queue: 256,
                timeout: Some(Duration::from_secs(60)),
                is_multiprocess: false,
                environ: Vec::new(),
                debug: false,
                errors_to_stderr: false,
            },
            #[cfg(feature = "embed")]
            interpreter: crate::interpreter::Interpreter::default(),
        }
    }

    /// How many requests Python works on at a time, at least 1. With 1, `wsgi.multithread` is false
    /// and the app is never called twice at the same time.
    pub fn threads(mut self, count: usize) -> Self {
        self.settings.threads = count.max(1);
        self
    }

    #[cfg(feature = "wheel")]
    pub(crate) const fn thread_count(&self) -> usize {
        self.settings.threads
    }

    /// How many requests may wait for a thread. More are a 503 at once.
    pub const fn queue(mut self, requests: usize) -> Self {
        self.settings.queue = requests;
        self
    }

    /// How long nothing may happen in the app, and how long a request may wait for a thread: then the
    /// client gets a 504, or a 503. `None` is for ever. The time in which the app waits for the client
    /// does not count. Python cannot be stopped from outside: the thread stays as it is.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.timeout = limit.into();
        self
    }

    /// What `wsgi.multiprocess` says.
    pub const fn multiprocess(mut self, is: bool) -> Self {
        self.settings.is_multiprocess = is;
        self
    }

    /// Adds a variable to every environ. The app sees the value's bytes in UTF-8, each as the character of
    /// that number, as PEP 3333 wants all strings ("Unicode Issues"). Variables that the server sets for
    /// each request are refused when the app is loaded.
    pub fn environ(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environ_bytes(name.into(), value.into().into_bytes())
    }

    pub(crate) fn environ_bytes(mut self, name: String, value: Vec<u8>) -> Self {
        self.settings.environ.push((name, value));
        self
    }

    /// Sends `wsgi.errors` to standard error unchanged, instead of as events.
    #[cfg(feature = "wheel")]
    pub(crate) const fn errors_to_stderr(mut self, enabled: bool) -> Self {
        self.settings.errors_to_stderr = enabled;
        self
    }

    /// Shows tracebacks as pages, to clients on this machine only. For development.
    pub const fn debug(mut self, shows: bool) -> Self {
        self.settings.debug = shows;
        self
    }

    /// Starts the interpreter if it does not run, and loads an app: `module:callable`, `module:object.attribute`
    /// or `module:factory("argument")`. Without a callable it is `application`, or else `app`.
    ///
    /// The working directory is on `sys.path` first, as gunicorn's users expect.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    #[cfg(feature = "embed")]
    pub fn load(&self, target: &str) -> Result<WsgiApp, LoadError> {
        self.interpreter.start()?;
        Python::attach(|py| {
            self.interpreter.prepare(py)?;
            self.load_in(py, target, None)
        })
    }

    /// Loads an app into the interpreter that runs already.
    pub(crate) fn load_in(
        &self,
        py: Python<'_>,
        target: &str,
        outbox: Option<Arc<Outbox>>,
    ) -> Result<WsgiApp, LoadError> {
        let names = self.settings.environ.iter().map(|(name, _)| &**name);
        let faults: Vec<String> = names.filter_map(fault).collect();
        if !faults.is_empty() {
            return Err(LoadError::Environ(faults));
        }
        let app = load(py, target)?;
        if are_replaced(py).unwrap_or(false) {
            return Err(LoadError::Threads);
        }
        self.host(py, target, app, outbox)
            .map_err(|error| LoadError::failed(py, "start threads of Python", &error))
    }

    /// Hosts a callable that is there already.
    pub(crate) fn host(
        &self,
        py: Python<'_>,
        name: &str,
        app: Py<PyAny>,
        outbox: Option<Arc<Outbox>>,
    ) -> PyResult<WsgiApp> {
        let shared = Shared::start(py, app, self.settings.clone(), outbox)?;
        Ok(WsgiApp {
            name: name.into(),
            owner: Arc::new(Owner(shared)),
        })
    }
}
