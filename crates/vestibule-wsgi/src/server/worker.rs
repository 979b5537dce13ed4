//! A worker: one process with the app in it.

use std::future::{Future, pending};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::signal::unix::{SignalKind, signal};
use vestibule::hyper::Server;
use vestibule_cli::common::{
    complain, count_connections, limited, refusals, registry, reopen_on_hangup, sink, tls,
};
use vestibule_hyper::Bind;

use super::args::Args;
use super::line::{self, Listener, Speaker, Word};
use super::places::{encrypted, places, shown};
use super::{CANNOT_START, Mistake, stack, supervisor};
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
    find_modules(py, args)?;
    tell_frameworks(py, args)?;
    let outbox = Arc::new(Outbox::default());
    let app = match options(args).load_in(py, &args.target, Some(outbox.clone())) {
        Ok(app) => app,
        Err(error) => {
            complain(args.watching.writes_json(), &error);
            return Ok(CANNOT_START);
        }
    };
    let binds = places(args, inherited);
    let served = py.detach(|| {
        let (before, after) = (outbox.clone(), outbox.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || before.before_sleep())
            .on_thread_unpark(move || after.after_sleep())
            .build()?;
        runtime.spawn(async move { outbox.serve().await });
        runtime.block_on(serve(args, app.clone(), binds, line))?;
        Ok::<_, io::Error>(app.close(LAST_CALLS))
    })?;
    if !served {
        // A thread that is stuck would hold Python's own way out.
        tracing::warn!(target: "vestibule::wsgi", "ends with Python at work");
        std::process::exit(0);
    }
    Ok(0)
}

/// As gunicorn's users expect: the directory itself comes first.
fn find_modules(py: Python<'_>, args: &Args) -> PyResult<()> {
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
    app: WsgiApp,
    places: Vec<Bind>,
    line: Option<UnixStream>,
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
            let text = supervisor::welcome(args, &addresses, &outline.to_string());
            eprint!("{text}");
        }
        server.run().await?;
        return Ok(());
    };
    let (mut speaker, listener) = line::split(line)?;
    speaker.say(&Word::Ready).await;
    let watch = tokio::spawn(watch(app, limits(args), speaker));
    server.run_until(stop(listener)?).await;
    watch.abort();
    Ok(())
}

/// Ready when the supervisor or a person says so, or the supervisor is gone.
fn stop(mut line: Listener) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = line.lost() => {
                tracing::warn!(target: "vestibule::wsgi", "the supervisor is gone");
            }
        }
    })
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

/// Looks at the worker from time to time, and asks for another when it is time.
async fn watch(app: WsgiApp, limits: Limits, mut line: Speaker) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Some(why) = reason(&app, &limits) {
            line.say(&Word::Replace(why)).await;
            pending::<()>().await;
        }
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

/// How long Python may take with what it is at, once all connections have ended.
const LAST_CALLS: Duration = Duration::from_secs(3);
