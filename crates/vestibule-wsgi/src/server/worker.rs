//! A worker: one process with the app in it.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use vestibule::hyper::Server;
use vestibule_cli::common::{
    complain, count_connections, limited, refusals, registry, reopen_on_hangup, sink, tls,
};
use vestibule_hyper::Bind;

use super::args::Args;
use super::failed_app::LoadedApp;
use super::hooks;
use super::imported::ImportedFiles;
use super::line::{self, Orders, Report, Reporter};
use super::own_modules;
use super::places::{encrypted, places, shown};
use super::signals::{self, PythonHandlers};
use super::welcome::welcome;
use super::{CANNOT_START, Mistake, service_manager, stack};
use crate::outbox::Outbox;
use crate::{WsgiApp, WsgiOptions};

/// Loads the app and serves it, until the supervisor or a signal ends it.
pub(crate) fn run(py: Python<'_>, args: &Args) -> Result<u8, Mistake> {
    let line = match args.workers.as_worker {
        Some(_) => Some(line::take()?),
        None => None,
    };
    // It changes the environment, so it comes before the threads.
    let inherited = Bind::inherited()?;
    own_modules::import(py)?;
    signals::prepare_worker(py, line.is_some())?;
    find_modules(py, args)?;
    tell_frameworks(py, args)?;
    let outbox = Arc::new(Outbox::default());
    let loaded = options(args).load_in(py, &args.target, Some(outbox.clone()));
    let started = loaded.and_then(|app| {
        if let Some(hook) = &args.workers.on_worker_start {
            hooks::call_at_start(py, hook)?;
        }
        Ok(app)
    });
    let app = match started {
        Ok(app) => LoadedApp::Wsgi(app),
        Err(error) => {
            complain(args.watching.writes_json(), &error);
            if !args.workers.shows_errors {
                return Ok(CANNOT_START);
            }
            LoadedApp::Failed(error.to_string())
        }
    };
    if line.is_none() {
        signals::leave_interrupt_to_server(py)?;
    }
    let handlers = PythonHandlers::watch(py);
    let binds = places(args, inherited);
    let served = py.detach(|| {
        let (before, after) = (outbox.clone(), outbox.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || before.before_sleep())
            .on_thread_unpark(move || after.after_sleep())
            .build()?;
        runtime.spawn(async move { outbox.serve().await });
        runtime.block_on(serve(args, app.clone(), binds, line, handlers))?;
        Ok::<_, io::Error>(match app {
            LoadedApp::Wsgi(app) => app.close(LAST_CALLS),
            LoadedApp::Failed(_) => true,
        })
    })?;
    if !served {
        // A thread that is stuck would hold Python's own way out.
        tracing::warn!(target: "vestibule::wsgi", "ends with Python at work");
        py.detach(|| end_python(LAST_WORDS));
        std::process::exit(0);
    }
    Ok(0)
}

/// Does what Python does at its end, except for threads: runs `atexit`, and writes what `print` has
/// buffered. Waits at most for `limit`, since a thread that is stuck may hold the interpreter or a lock.
fn end_python(limit: Duration) {
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let work = move || {
        Python::attach(|py| {
            let flush = |name: &str| py.import("sys")?.getattr(name)?.call_method0("flush");
            // The buffered output comes first: a function of `atexit` may wait for the stuck thread.
            let _ = (flush("stdout"), flush("stderr"));
            let exits = py
                .import("atexit")
                .and_then(|it| it.call_method0("_run_exitfuncs"));
            let _ = (exits, flush("stdout"), flush("stderr"));
        });
        drop(done);
    };
    if std::thread::Builder::new().spawn(work).is_ok() {
        let _ = ended.recv_timeout(limit);
    }
}

/// As gunicorn's users expect: the directory itself comes first.
pub(crate) fn find_modules(py: Python<'_>, args: &Args) -> PyResult<()> {
    let path = py.import("sys")?.getattr("path")?;
    for directory in args.python.pythonpath.iter().rev() {
        path.call_method1("insert", (0, directory.as_os_str()))?;
    }
    let here = std::env::current_dir()?;
    path.call_method1("insert", (0, here.as_os_str()))?;
    Ok(())
}

/// Flask has a page of its own for errors, and lets them through when it is told that this is
/// development.
fn tell_frameworks(py: Python<'_>, args: &Args) -> PyResult<()> {
    if args.python.debug {
        let environment = py.import("os")?.getattr("environ")?;
        environment.call_method1("setdefault", ("FLASK_DEBUG", "1"))?;
    }
    Ok(())
}

fn options(args: &Args) -> WsgiOptions {
    let mut options = WsgiOptions::new()
        .queue(args.workers.queue)
        .timeout(args.timeout())
        .multiprocess(args.processes() > 1)
        .debug(args.python.debug)
        .errors_to_stderr(!args.watching.writes_json());
    if let Some(threads) = args.workers.threads {
        options = options.threads(threads.into());
    }
    for (name, value) in &args.python.environ {
        options = options.environ_bytes(name.clone(), value.clone());
    }
    options
}

async fn serve(
    args: &Args,
    app: LoadedApp,
    places: Vec<Bind>,
    line: Option<UnixStream>,
    mut handlers: PythonHandlers,
) -> io::Result<()> {
    let log = sink(&args.watching)?;
    let registry = registry(&args.watching, &log, false);
    let stack = stack::around(app.clone(), args, &log, registry.as_ref())?;
    let outline = stack.outline();
    let refusals = refusals(&args.watching, &log, registry.as_ref());
    let server = limited(Server::new(stack).refused(refusals), &args.connections);
    if let Some(registry) = &registry {
        count_connections(registry, &server.counts()).map_err(io::Error::other)?;
    }
    let tls = tls(&args.https).map_err(io::Error::other)?;
    let mut binds = encrypted(args, places, tls).into_iter();
    let nowhere = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is no place to listen at",
        )
    };
    let mut server = server.bind(binds.next().ok_or_else(nowhere)?).await?;
    for bind in binds {
        server = server.bind(bind).await?;
    }
    reopen_on_hangup(log)?;
    let Some(line) = line else {
        let addresses = shown(args, server.addresses());
        if !args.watching.writes_json() {
            let text = welcome(args, &addresses, &outline.to_string());
            eprint!("{text}");
        }
        tokio::spawn(service_manager::ping());
        tokio::select! {
            ended = server.run() => drop(ended?),
            () = handlers.asked_to_end() => {}
        }
        return Ok(());
    };
    let (reporter, orders) = line::split(line)?;
    let (app, ready) = match app {
        LoadedApp::Wsgi(app) => (Some(app), Report::Ready),
        LoadedApp::Failed(_) => (None, Report::ReadyWithoutApp),
    };
    let must_end = Arc::new(Notify::new());
    let reports = Reports {
        reporter,
        app,
        limits: limits(args),
        terminate: signal(SignalKind::terminate())?,
        must_end: must_end.clone(),
        imported: args.python.reload.then(ImportedFiles::default),
    };
    let reports = tokio::spawn(reports.send(ready, handlers));
    server.run_until(stop(orders, &must_end)).await;
    reports.abort();
    Ok(())
}

/// Resolves when the supervisor says so or is gone, or at the second SIGTERM.
async fn stop(mut orders: Orders, must_end: &Notify) {
    tokio::select! {
        is_ordered = orders.drain() => if !is_ordered {
            tracing::warn!(target: "vestibule::wsgi", "the supervisor is gone");
        },
        () = must_end.notified() => {}
    }
}

/// Tells the supervisor about this worker, until the worker ends.
struct Reports {
    reporter: Reporter,
    app: Option<WsgiApp>,
    limits: Limits,
    terminate: Signal,
    must_end: Arc<Notify>,
    imported: Option<ImportedFiles>,
}

impl Reports {
    async fn send(mut self, ready: Report, mut handlers: PythonHandlers) {
        self.reporter.send(&ready).await;
        let has_watchdog = std::env::var_os("WATCHDOG_USEC").is_some();
        let mut has_asked = false;
        let mut terminations = 0;
        let mut interval = tokio::time::interval(INTERVAL);
        for beat in 0_u64.. {
            // A service manager may send SIGTERM to all processes of the service. So a worker that is
            // sent it asks for a replacement, and goes on: if the supervisor ends too, it says when
            // the worker stops accepting.
            let why = tokio::select! {
                _ = interval.tick() => self.app.as_ref().and_then(|app| reason(app, &self.limits)),
                _ = self.terminate.recv() => {
                    terminations += 1;
                    if terminations == 2 {
                        self.must_end.notify_one();
                    }
                    Some("it was sent SIGTERM".to_owned())
                }
                () = handlers.asked_to_end() => Some("a signal handler of the app asked for its end".to_owned()),
            };
            if let Some(why) = why.filter(|_| !has_asked) {
                has_asked = true;
                self.reporter.send(&Report::Replace(why)).await;
            }
            if beat % BEATS == 0 {
                if has_watchdog {
                    self.reporter.send(&Report::Alive).await;
                }
                let new = self.imported.as_mut().map(ImportedFiles::find_new);
                for path in new.unwrap_or_default() {
                    self.reporter.send(&Report::Imported(path)).await;
                }
            }
        }
    }
}

/// When a worker should be replaced.
struct Limits {
    requests: Option<u64>,
    memory: Option<u64>,
    timeout: Option<Duration>,
}

fn limits(args: &Args) -> Limits {
    // Workers that began together do not end together.
    let number = args.workers.as_worker.unwrap_or(0) as u64;
    let spread = |count: u64| {
        count
            .saturating_sub(count / 10)
            .saturating_add(count / 5 * (number % 8) / 8)
    };
    Limits {
        requests: args.workers.max_requests.map(|count| spread(count).max(1)),
        memory: args.workers.max_memory.map(|mebibytes| mebibytes << 20),
        timeout: args.timeout(),
    }
}

fn reason(app: &WsgiApp, limits: &Limits) -> Option<String> {
    if let Some(most) = limits.requests.filter(|most| app.served() >= *most) {
        return Some(format!("it has served {most} requests"));
    }
    if let Some(timeout) = limits.timeout {
        let stuck = app.stuck(timeout);
        if stuck > 0 {
            return Some(format!("{stuck} of its threads are stuck for {timeout:?}"));
        }
    }
    let most = limits.memory?;
    let memory = memory().filter(|memory| *memory > most)?;
    Some(format!("it has {} MiB of memory", memory >> 20))
}

/// The resident set, in bytes, as Linux tells it (proc_pid_statm(5)).
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// How often a worker looks at itself.
const INTERVAL: Duration = Duration::from_millis(250);

/// At every fourth look it tells that it lives, and looks for new modules.
const BEATS: u64 = 4;

/// How long Python may take with what it is at, once all connections have ended.
const LAST_CALLS: Duration = Duration::from_secs(3);

/// How long `atexit` and the last output may take while a thread is stuck.
const LAST_WORDS: Duration = Duration::from_secs(2);
