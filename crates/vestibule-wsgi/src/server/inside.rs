//! A server inside of a Python program: for tests that want a live one.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use tokio::sync::oneshot;
use vestibule::Address;
use vestibule::hyper::Server;

use crate::{WsgiApp, WsgiOptions};

/// Serves an app from threads of this process, until it is closed: `Server(app)`, with the place in
/// `address` and the number of a TCP port in `port`. Nothing stands around the app.
#[pyclass(frozen, module = "vestibule_wsgi", name = "Server")]
pub(crate) struct Inside {
    address: Address,
    app: WsgiApp,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

#[pymethods]
impl Inside {
    #[new]
    #[pyo3(signature = (app, /, listen="127.0.0.1:0", *, threads=4))]
    fn new(py: Python<'_>, app: Py<PyAny>, listen: &str, threads: usize) -> PyResult<Self> {
        let options = WsgiOptions::new().threads(threads).timeout(None);
        let app = options.host(py, "an app of this program", app, None)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let (served, place) = (app.clone(), listen.to_owned());
        let work = async move {
            let server = Server::new(served).lame_duck(Duration::from_millis(10));
            let bound = server
                .drain_timeout(Duration::from_secs(5))
                .bind(&*place)
                .await;
            let bound = match bound {
                Ok(bound) => bound,
                Err(error) => return drop(tell.send(Err(error.to_string()))),
            };
            let _ = tell.send(Ok(bound.address().clone()));
            // When whoever holds the other end is gone, that is the end as well.
            bound.run_until(async move { drop(stopped.await) }).await;
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name("vestibule".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work))?;
        let address = py.detach(move || told.recv());
        let address = address.unwrap_or_else(|_| Err("the server has ended".to_owned()));
        Ok(Self {
            address: address.map_err(PyOSError::new_err)?,
            app,
            running: Mutex::new(Some(Running { stop, thread })),
        })
    }

    #[getter]
    fn address(&self) -> String {
        self.address.to_string()
    }

    #[getter]
    fn port(&self) -> Option<u16> {
        match &self.address {
            Address::Tcp(address) => Some(address.port()),
            _ => None,
        }
    }

    /// Answers what is in flight, for 5 s at most, and ends the threads.
    fn close(&self, py: Python<'_>) {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(running) = running {
            let _ = running.stop.send(());
            py.detach(|| {
                let _ = running.thread.join();
                let _ = self.app.close(Duration::from_secs(5));
            });
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) {
        self.close(py);
    }
}
