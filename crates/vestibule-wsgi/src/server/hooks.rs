//! Callables of the operator's at the start and the end of a worker.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::call::traceback;
use crate::error::LoadError;
use crate::load::load;

/// Calls `module:callable` with the number of this process.
pub(crate) fn call_at_start(py: Python<'_>, target: &str) -> Result<(), LoadError> {
    let hook = load(py, target)?;
    hook.call1(py, (std::process::id(),))
        .map(drop)
        .map_err(|error| LoadError::failed(py, format!("call `{target}`"), &error))
}

/// Calls a hook with the number of each worker that has ended, on a thread of its own: a hook that
/// waits does not hold the supervisor up.
pub(crate) struct ExitHook {
    pids: Sender<u32>,
    thread: JoinHandle<()>,
}

impl ExitHook {
    pub(crate) fn load(py: Python<'_>, target: &str) -> Result<Self, LoadError> {
        let hook = load(py, target)?;
        let (pids, ended) = channel();
        let thread = std::thread::Builder::new().name("on-worker-exit".to_owned());
        let thread = thread
            .spawn(move || call_each(&hook, &ended))
            .map_err(|error| LoadError::failed(py, "start a thread", &error.into()))?;
        Ok(Self { pids, thread })
    }

    pub(crate) fn worker_ended(&self, pid: u32) {
        // The thread lasts as long as this does.
        let _ = self.pids.send(pid);
    }

    /// Waits for the last calls. The caller must not hold the interpreter.
    pub(crate) fn finish(self) {
        drop(self.pids);
        let end = Instant::now() + LAST_CALLS;
        while !self.thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn call_each(hook: &Py<PyAny>, ended: &Receiver<u32>) {
    while let Ok(pid) = ended.recv() {
        Python::attach(|py| {
            if let Err(error) = hook.call1(py, (pid,)) {
                tracing::error!(
                    target: "vestibule::wsgi", pid,
                    "the hook for a worker's exit has failed: {}", traceback(py, &error)
                );
            }
        });
    }
}

/// How long the last calls may take when the supervisor ends.
const LAST_CALLS: Duration = Duration::from_secs(5);
