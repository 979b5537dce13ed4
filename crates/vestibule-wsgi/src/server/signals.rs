//! Signals and Python: which ones do no harm, and when Python's own handlers run.
//!
//! Python runs a handler in the main thread, between two of its own instructions. The main thread
//! serves and never gets there, so it is woken by Python's wake-up descriptor
//! (`signal.set_wakeup_fd`) and runs the handlers then.

use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream as StdStream;

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::net::UnixStream;

use crate::call::traceback;

/// Prepares the supervisor. A child begins with what is ignored here, so that no signal kills a worker
/// before it has its handlers. tokio calls the handler that it replaces, so Python's for Ctrl-C has to
/// go, or it would raise KeyboardInterrupt at the end.
pub(crate) fn prepare_supervisor(py: Python<'_>) -> PyResult<()> {
    let signal = py.import("signal")?;
    for name in LOG_SIGNALS.iter().chain(TERMINAL_SIGNALS) {
        set(&signal, name, &signal.getattr("SIG_IGN")?);
    }
    set(&signal, "SIGINT", &signal.getattr("SIG_DFL")?);
    Ok(())
}

/// Prepares a worker, before the app is imported: an app that sets handlers of its own has them.
pub(crate) fn prepare_worker(py: Python<'_>, has_supervisor: bool) -> PyResult<()> {
    let signal = py.import("signal")?;
    // Not SIG_IGN: programs that the app starts would inherit that.
    let nothing = Bound::new(py, Nothing)?.into_any();
    for name in LOG_SIGNALS {
        set(&signal, name, &nothing);
    }
    for name in TERMINAL_SIGNALS {
        set(&signal, name, &signal.getattr("SIG_IGN")?);
    }
    if has_supervisor {
        // Ctrl-C reaches all processes of a terminal, and the supervisor decides.
        set(&signal, "SIGINT", &nothing);
        set(&signal, "SIGHUP", &nothing);
    } else {
        set(&signal, "SIGINT", &Bound::new(py, Interrupted)?.into_any());
    }
    Ok(())
}

/// Without a supervisor, leaves Ctrl-C to the server, once the app is loaded. A handler of the app's
/// stays.
pub(crate) fn leave_interrupt_to_server(py: Python<'_>) -> PyResult<()> {
    let signal = py.import("signal")?;
    let number = signal.getattr("SIGINT")?;
    let handler = signal.call_method1("getsignal", (number,))?;
    if handler.is_instance_of::<Interrupted>() {
        set(&signal, "SIGINT", &signal.getattr("SIG_DFL")?);
    }
    Ok(())
}

/// It fails outside of the main thread, and for a signal that the system does not have.
fn set(signal: &Bound<'_, PyModule>, name: &str, handler: &Bound<'_, PyAny>) {
    if let Ok(number) = signal.getattr(name) {
        let _ = signal.call_method1("signal", (number, handler));
    }
}

/// Runs Python's handlers whenever a signal has come.
pub(crate) struct PythonHandlers {
    /// Python writes a byte to its other end.
    wake: Option<StdStream>,
    stream: Option<UnixStream>,
}

impl PythonHandlers {
    /// Must be called after the app was imported, in the main thread.
    pub(crate) fn watch(py: Python<'_>) -> Self {
        let wake = Self::wake(py).unwrap_or_else(|error| {
            tracing::debug!(
                target: "vestibule::wsgi",
                "Python's signal handlers do not run: {}", traceback(py, &error)
            );
            None
        });
        Self { wake, stream: None }
    }

    fn wake(py: Python<'_>) -> PyResult<Option<StdStream>> {
        let (reader, writer) = StdStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let options = PyDict::new(py);
        options.set_item("warn_on_full_buffer", false)?;
        // Python writes to it until the process ends.
        let writer = writer.into_raw_fd();
        let set = py.import("signal")?.getattr("set_wakeup_fd")?;
        let previous: i32 = set.call((writer,), Some(&options))?.extract()?;
        if previous != -1 {
            // The app has a loop of its own that listens there.
            set.call1((previous,))?;
            return Ok(None);
        }
        Ok(Some(reader))
    }

    /// Resolves when a handler raises SystemExit or KeyboardInterrupt, which ask for the end. Must be
    /// polled on the main thread; may be called again.
    pub(crate) async fn asked_to_end(&mut self) {
        if let Some(wake) = self.wake.take() {
            self.stream = UnixStream::from_std(wake).ok();
        }
        let Some(stream) = &self.stream else {
            return std::future::pending().await;
        };
        while stream.readable().await.is_ok() {
            let mut bytes = [0; 64];
            while stream.try_read(&mut bytes).is_ok_and(|count| count > 0) {}
            if run_handlers() {
                return;
            }
        }
        std::future::pending().await
    }
}

/// Returns whether one of them has asked for the end.
fn run_handlers() -> bool {
    Python::attach(|py| {
        let Err(error) = py.check_signals() else {
            return false;
        };
        let is_end = error.is_instance_of::<PySystemExit>(py)
            || error.is_instance_of::<PyKeyboardInterrupt>(py);
        if !is_end {
            tracing::error!(
                target: "vestibule::wsgi", "a signal handler has failed: {}", traceback(py, &error)
            );
        }
        is_end
    })
}

/// A handler that does nothing.
#[pyclass(frozen, module = "vestibule_wsgi")]
struct Nothing;

#[pymethods]
impl Nothing {
    #[pyo3(signature = (*_signal))]
    fn __call__(&self, _signal: &Bound<'_, PyAny>) {}
}

/// Ctrl-C while the app is imported: the end, without a traceback.
#[pyclass(frozen, module = "vestibule_wsgi")]
struct Interrupted;

#[pymethods]
impl Interrupted {
    #[pyo3(signature = (*_signal))]
    fn __call__(&self, _signal: &Bound<'_, PyAny>) {
        std::process::exit(130);
    }
}

/// Signals of log rotation, of terminals, and of scripts for other servers. Their default action ends a process.
const LOG_SIGNALS: &[&str] = &["SIGUSR1", "SIGUSR2", "SIGWINCH"];

/// gunicorn's for more and fewer workers. Their default stops a process.
const TERMINAL_SIGNALS: &[&str] = &["SIGTTIN", "SIGTTOU"];
