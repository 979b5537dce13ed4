//! The supervisor: keeps as many workers as were asked for, and never runs the app itself.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use vestibule::hyper::Server;
use vestibule::{App, Outline, Request};
use vestibule_cli::common::{Ink, registry, sink, tls};
use vestibule_hyper::{Bind, Sockets};

use super::args::Args;
use super::line::{Hearing, Word};
use super::places::{places, shown};
use super::reload::Files;
use super::{CANNOT_START, Mistake, stack};
use crate::pool::is_free_threaded;

/// Serves until a signal ends it; gives the status to exit with.
pub(crate) fn run(py: Python<'_>, args: &Args, arguments: &[OsString]) -> Result<u8, Mistake> {
    let inherited = Bind::inherited()?;
    let python = Program::of(py, arguments)?;
    py.detach(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(supervise(args, inherited, python))
    })
}

async fn supervise(
    args: &Args,
    inherited: Vec<(String, Bind)>,
    command: Program,
) -> Result<u8, Mistake> {
    let mut signals = Asked::listen()?;
    // What is wrong with the certificates is said before there are workers.
    tls(&args.https)?;
    let log = sink(&args.watching)?;
    let registry = registry(&args.watching, &log, false);
    let sample = stack::around(Hosted(args.target.clone()), args, &log, registry.as_ref())?;
    drop(log);
    let outline = sample.outline().to_string();
    let (sockets, addresses) = bind(args, inherited, sample).await?;
    let sockets = Inherited::of(&sockets).map(|it| (it, sockets))?;
    if !args.watching.writes_json() {
        eprint!("{}", welcome(args, &addresses, &outline));
    }

    let (order, orders) = watch::channel(Order::Serve { generation: 0 });
    let keeper = std::sync::Arc::new(Keeper {
        command,
        sockets: sockets.0,
        patience: args.patience(),
        waits_for_change: args.python.reload,
        has_begun: watch::Sender::new(false),
        turn: Mutex::new(()),
    });
    let mut slots = JoinSet::new();
    for number in 0..args.processes() {
        let (keeper, orders) = (keeper.clone(), orders.clone());
        slots.spawn(async move { keeper.keep(number, orders).await });
    }
    let mut files = args.python.reload.then(|| Files::below(roots(args)));
    let mut status = 0;
    loop {
        let changed = async {
            match &mut files {
                Some(files) => files.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            asked = signals.next() => match asked {
                Wish::Reload => {
                    tracing::info!(target: "vestibule::wsgi", "replacing the workers, one by one");
                    order.send_modify(Order::again);
                }
                Wish::Stop => match order.send_replace(Order::Stop) {
                    // The second time is meant: dropping the workers kills them.
                    Order::Stop => return Ok(status),
                    Order::Serve { .. } => {
                        tracing::info!(
                            target: "vestibule::wsgi", "draining; a second signal ends at once"
                        );
                    }
                },
            },
            path = changed => {
                let file = path.display();
                tracing::info!(target: "vestibule::wsgi", "{file} has changed: replacing the workers");
                order.send_modify(Order::again);
            }
            ended = slots.join_next() => match ended {
                None => return Ok(status),
                Some(Ok(Ok(()))) => {}
                // A worker that cannot begin, and will not: so nothing can.
                Some(Ok(Err(CannotStart))) => {
                    status = CANNOT_START;
                    order.send_replace(Order::Stop);
                }
                Some(Err(error)) => return Err(error.into()),
            },
        }
    }
}

/// Opens the sockets, or takes those of a service manager.
async fn bind(
    args: &Args,
    inherited: Vec<(String, Bind)>,
    app: impl App,
) -> Result<(Sockets, Vec<String>), Mistake> {
    let mut places = places(args, inherited).into_iter();
    let first = places.next().ok_or("there is no place to listen at")?;
    let mut server = Server::new(app).bind(first).await?;
    for place in places {
        server = server.bind(place).await?;
    }
    let addresses = shown(args, server.addresses());
    Ok((server.into_sockets()?, addresses))
}

/// What is looked at for changes.
fn roots(args: &Args) -> Vec<std::path::PathBuf> {
    let mut roots = vec![".".into()];
    roots.extend(args.python.pythonpath.iter().cloned());
    roots
}

/// What the user sees first.
pub(crate) fn welcome(args: &Args, addresses: &[String], outline: &str) -> String {
    let (bold, dim, plain) = Ink::of_stderr().codes();
    let target = &args.target;
    let at = addresses.join("\n     at ");
    let python = Python::attach(|py| {
        let version = Python::version_str()
            .split_whitespace()
            .next()
            .unwrap_or_default();
        let prefix = |name: &str| Ok::<_, PyErr>(py.import("sys")?.getattr(name)?.to_string());
        let kind = match is_free_threaded(py) {
            true => ", free-threaded,",
            false => "",
        };
        match (prefix("prefix"), prefix("base_prefix")) {
            (Ok(venv), Ok(base)) if venv != base => format!("Python {version}{kind} in {venv}"),
            (_, base) => format!("Python {version}{kind} of {}", base.unwrap_or_default()),
        }
    });
    let threads = crate::WsgiOptions::new().thread_count();
    let threads = args.workers.threads.map_or(threads, usize::from);
    let threads = match threads {
        1 => "1 thread".to_owned(),
        count => format!("{count} threads"),
    };
    let processes = match args.processes() {
        0 => format!("this process, with {threads}"),
        1 => format!("1 process, with {threads}"),
        count => format!("{count} processes, with {threads} each"),
    };
    format!(
        "{bold}Serving {target}\n     at {at}{plain}\n   with {python}\n     by {processes}\n\n{dim}{outline}{plain}\n"
    )
}

/// Stands for the app, which is in the workers.
struct Hosted(String);

impl App for Hosted {
    async fn call(&self, _: Request) -> vestibule::Response {
        vestibule::Response::default()
    }

    fn describe(&self, outline: &mut Outline) {
        outline.rename("WsgiApp").option("app", &self.0);
    }
}

/// What the workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Serve; with each generation comes a new worker.
    Serve {
        generation: u64,
    },
    Stop,
}

impl Order {
    fn again(&mut self) {
        if let Self::Serve { generation } = self {
            *generation += 1;
        }
    }
}

/// What a person or a service manager wants.
enum Wish {
    Reload,
    Stop,
}

struct Asked {
    hangup: Signals,
    terminate: Signals,
    interrupt: Signals,
    /// What gunicorn is sent when its logs were renamed. It would end this process, and nothing has to be done: a log
    /// is opened anew by itself.
    _rotated: Signals,
}

impl Asked {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            _rotated: signal(SignalKind::user_defined1())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
        }
    }
}

/// How this program is started, for a worker.
struct Program {
    python: OsString,
    flags: Vec<OsString>,
    arguments: Vec<OsString>,
}

impl Program {
    fn of(py: Python<'_>, arguments: &[OsString]) -> PyResult<Self> {
        let flags = py
            .import("subprocess")?
            .getattr("_args_from_interpreter_flags");
        Ok(Self {
            python: py.import("sys")?.getattr("executable")?.extract()?,
            flags: flags
                .and_then(|it| it.call0()?.extract())
                .unwrap_or_default(),
            arguments: arguments.iter().skip(1).cloned().collect(),
        })
    }
}

/// Copies of the sockets that children inherit, with numbers in a row.
struct Inherited {
    sockets: Vec<OwnedFd>,
}

impl Inherited {
    fn of(sockets: &Sockets) -> io::Result<Self> {
        let mut first = FIRST;
        'again: loop {
            let mut copies: Vec<OwnedFd> = Vec::new();
            for (at, socket) in sockets.descriptors().enumerate() {
                let wanted = first + i32::try_from(at).unwrap_or(0);
                let copy = fcntl_dupfd_cloexec(socket, wanted)?;
                if copies.is_empty() {
                    first = copy.as_raw_fd();
                } else if copy.as_raw_fd() != wanted {
                    first = copy.as_raw_fd();
                    continue 'again;
                }
                copies.push(copy);
            }
            for copy in &copies {
                fcntl_setfd(copy, FdFlags::empty())?;
            }
            return Ok(Self { sockets: copies });
        }
    }

    fn first(&self) -> i32 {
        self.sockets.first().map_or(0, AsRawFd::as_raw_fd)
    }
}

/// Keeps the workers.
struct Keeper {
    command: Program,
    sockets: Inherited,
    patience: Duration,
    /// A worker that cannot begin waits for a file to change, in place of ending everything.
    waits_for_change: bool,
    /// A worker serves: so the app can be loaded.
    has_begun: watch::Sender<bool>,
    /// One worker is replaced at a time.
    turn: Mutex<()>,
}

/// No worker could begin.
struct CannotStart;

struct Worker {
    child: Child,
    line: Hearing,
    since: Instant,
}

/// What happens to a worker that serves.
enum Event {
    Ended(io::Result<ExitStatus>),
    Said(String),
    Ordered,
}

impl Keeper {
    /// One place, with one worker after the other, until the order to stop.
    async fn keep(
        &self,
        number: usize,
        mut orders: watch::Receiver<Order>,
    ) -> Result<(), CannotStart> {
        let mut backoff = Backoff::default();
        let mut has_served = false;
        let mut leaving = JoinSet::new();
        'place: loop {
            let mut stop = orders.clone();
            // The first one comes alone: what is wrong with the app is said once.
            let begin = async {
                if number > 0 {
                    let _ = self.has_begun.subscribe().wait_for(|it| *it).await;
                }
                // What was ordered before is done by that.
                orders.mark_unchanged();
                self.begin(number).await
            };
            let began = tokio::select! {
                began = begin => began,
                () = stopped(&mut stop) => break 'place,
            };
            let mut worker = match began {
                Ok(worker) => worker,
                Err(why) => {
                    tracing::error!(target: "vestibule::wsgi", number, "a worker could not begin: {why}");
                    if !has_served && !self.waits_for_change {
                        return Err(CannotStart);
                    }
                    let seen = *orders.borrow_and_update();
                    tokio::select! {
                        () = tokio::time::sleep(backoff.after_failure()), if !self.waits_for_change => {}
                        _ = orders.wait_for(|now| *now != seen) => {}
                    }
                    continue;
                }
            };
            has_served = true;
            self.has_begun.send_replace(true);
            loop {
                match worker.next(&mut orders).await {
                    Event::Ended(status) => {
                        let pause = backoff.after_end(worker.since.elapsed());
                        let status =
                            status.map_or_else(|error| error.to_string(), |it| it.to_string());
                        tracing::error!(
                            target: "vestibule::wsgi", number, pause_ms = pause.as_millis(),
                            "a worker has ended, and is replaced: {status}"
                        );
                        tokio::select! {
                            () = tokio::time::sleep(pause) => continue 'place,
                            () = stopped(&mut orders) => break 'place,
                        }
                    }
                    Event::Ordered if *orders.borrow() == Order::Stop => {
                        leaving.spawn(worker.retire(self.patience));
                        break 'place;
                    }
                    Event::Ordered => {}
                    Event::Said(why) => {
                        tracing::info!(target: "vestibule::wsgi", number, "a worker is replaced: {why}");
                    }
                }
                // The old one serves until the new one does.
                let _turn = self.turn.lock().await;
                let mut stop = orders.clone();
                let next = tokio::select! {
                    next = self.begin(number) => next,
                    () = stopped(&mut stop) => continue,
                };
                match next {
                    Ok(next) => {
                        let old = std::mem::replace(&mut worker, next);
                        leaving.spawn(old.retire(self.patience));
                    }
                    Err(why) => tracing::error!(
                        target: "vestibule::wsgi", number, "the old worker stays, since a new one could not begin: {why}"
                    ),
                }
            }
        }
        while leaving.join_next().await.is_some() {}
        Ok(())
    }

    /// Starts a worker and waits until it serves.
    async fn begin(&self, number: usize) -> Result<Worker, String> {
        let mut worker = self.spawn(number).map_err(|error| error.to_string())?;
        tokio::select! {
            biased;
            word = worker.line.hear() => if word == Some(Word::Ready) {
                return Ok(worker);
            },
            _ = worker.child.wait() => {}
        }
        match worker.child.wait().await {
            Ok(status) => Err(status.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn spawn(&self, number: usize) -> io::Result<Worker> {
        let (line, stdin) = Hearing::open()?;
        let child = Command::new(&self.command.python)
            .args(&self.command.flags)
            .args(["-m", "vestibule_wsgi", "--as-worker", &number.to_string()])
            .args(&self.command.arguments)
            .env("LISTEN_FDS", self.sockets.sockets.len().to_string())
            .env("LISTEN_FDS_FIRST_FD", self.sockets.first().to_string())
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDNAMES")
            .stdin(stdin)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Worker {
            child,
            line,
            since: Instant::now(),
        })
    }
}

impl Worker {
    async fn next(&mut self, orders: &mut watch::Receiver<Order>) -> Event {
        loop {
            tokio::select! {
                status = self.child.wait() => return Event::Ended(status),
                changed = orders.changed() => match changed {
                    Ok(()) => return Event::Ordered,
                    Err(_) => std::future::pending().await,
                },
                word = self.line.hear() => match word {
                    Some(Word::Replace(why)) => return Event::Said(why),
                    Some(Word::Ready) => {}
                    // It has closed its end, and so it ends.
                    None => return Event::Ended(self.child.wait().await),
                },
            }
        }
    }

    /// Asks it to end, and ends it when it does not in time.
    async fn retire(mut self, patience: Duration) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(patience, self.child.wait())
            .await
            .is_err()
        {
            tracing::error!(target: "vestibule::wsgi", "a worker did not end in time, and is killed");
            let _ = self.child.kill().await;
        }
    }
}

async fn stopped(orders: &mut watch::Receiver<Order>) {
    let _ = orders.wait_for(|order| *order == Order::Stop).await;
}

/// How long it takes until a worker that has died gets a successor.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Nothing after a worker that had served for a while; 100 ms and twice as long each time after
    /// those that die young, up to 5 s.
    fn after_end(&mut self, life: Duration) -> Duration {
        match life > YOUNG {
            true => {
                self.failures = 0;
                Duration::ZERO
            }
            false => self.after_failure(),
        }
    }

    fn after_failure(&mut self) -> Duration {
        let pause = Duration::from_millis(100) * 2_u32.pow(self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        pause.min(Duration::from_secs(5))
    }
}

/// A worker that dies before has died young.
const YOUNG: Duration = Duration::from_secs(2);

/// The number of the first socket in a worker, or one near it: beyond what Python opens.
const FIRST: i32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_die_young_are_waited_for() {
        let mut backoff = Backoff::default();
        let mut pause = |life| backoff.after_end(Duration::from_millis(life)).as_millis();
        assert_eq!([10, 10, 10].map(&mut pause), [100, 200, 400]);
        assert_eq!(pause(60_000), 0);
        assert_eq!(
            [10; 8].map(&mut pause),
            [100, 200, 400, 800, 1600, 3200, 5000, 5000]
        );
    }
}
