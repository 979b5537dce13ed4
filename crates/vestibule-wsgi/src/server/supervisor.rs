//! The supervisor: keeps as many workers as were asked for, and never runs the app itself.
//!
//! The decisions are those of the state machine in `lifecycle.rs`. This file performs its actions and
//! reports events.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use vestibule::hyper::Server;
use vestibule::{App, Outline, Request};
use vestibule_cli::common::{registry, sink, tls};
use vestibule_hyper::{Bind, Sockets};

use super::args::Args;
use super::hooks::ExitHook;
use super::lifecycle::{Action, Event, Fleet, Level, Limits, WorkerId};
use super::line::{Report, SupervisorEnd};
use super::places::{places, shown};
use super::process::{self, Command, ProcessEvent};
use super::program::{InheritedSockets, Program};
use super::reload::Files;
use super::service_manager::{ServiceManager, watchdog_interval};
use super::welcome::welcome;
use super::worker::find_modules;
use super::{Mistake, orphans, signals, stack};

/// Serves until a signal ends it; gives the status to exit with.
pub(crate) fn run(py: Python<'_>, args: &Args, program: Program) -> Result<u8, Mistake> {
    let inherited = Bind::inherited()?;
    signals::prepare_supervisor(py)?;
    let exit_hook = match &args.workers.on_worker_exit {
        Some(target) => {
            find_modules(py, args)?;
            Some(ExitHook::load(py, target)?)
        }
        None => None,
    };
    py.detach(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let status = runtime.block_on(supervise(args, inherited, program, exit_hook.as_ref()));
        if let Some(hook) = exit_hook {
            hook.finish();
        }
        status
    })
}

/// Binds the sockets, then reports events to the state machine and performs its actions, until that is
/// to exit.
async fn supervise(
    args: &Args,
    inherited: Vec<(String, Bind)>,
    program: Program,
    exit_hook: Option<&ExitHook>,
) -> Result<u8, Mistake> {
    let mut signals = Signals::listen()?;
    // What is wrong with the certificates is said before there are workers.
    tls(&args.https)?;
    let log = sink(&args.watching)?;
    let registry = registry(&args.watching, &log, false);
    let sample = stack::around(Hosted(args.target.clone()), args, &log, registry.as_ref())?;
    drop(log);
    let outline = sample.outline().to_string();
    let (sockets, addresses) = bind(args, inherited, sample).await?;
    let copies = InheritedSockets::of(&sockets)?;
    if !args.watching.writes_json() {
        eprint!("{}", welcome(args, &addresses, &outline));
    }

    let (mut supervisor, mut events) = Supervisor::new(program, sockets, copies);
    let mut fleet = Fleet::new(args.processes(), limits(args));
    let mut files = args.python.reload.then(|| Files::below(roots(args)));
    let mut watchdog = Watchdog::new();
    let start = Instant::now();
    let mut event = Some(Event::Tick);
    loop {
        if let Some(event) = event {
            let (next, actions) = fleet.step(event, start.elapsed());
            fleet = next;
            for action in actions {
                if let Some(status) = supervisor.perform(action) {
                    return Ok(status);
                }
            }
            supervisor.manager.set_status(fleet.status());
        }
        event = tokio::select! {
            told = signals.next() => match told {
                ReceivedSignal::Reload => {
                    tracing::info!(target: "vestibule::wsgi", "replacing the workers, one by one");
                    Some(Event::Reload)
                }
                ReceivedSignal::Stop => {
                    tracing::info!(target: "vestibule::wsgi", "draining; a second signal ends at once");
                    Some(Event::Stop)
                }
                ReceivedSignal::ChildEnded => {
                    if orphans::are_ours() {
                        orphans::reap(&supervisor.pids.values().copied().collect());
                    }
                    None
                }
            },
            Some(occurred) = events.recv() => match occurred {
                Occurred::InFleet(event) => Some(event),
                Occurred::InWorker(id, ProcessEvent::Ended(how)) => {
                    if let (Some(pid), Some(hook)) = (supervisor.forget(id), exit_hook) {
                        hook.worker_ended(pid);
                    }
                    Some(Event::Ended(id, how))
                }
                Occurred::InWorker(id, ProcessEvent::Reported(report)) => match report {
                    Report::Ready => {
                        watchdog.is_alive();
                        Some(Event::Ready { id, has_app: true })
                    }
                    Report::ReadyWithoutApp => Some(Event::Ready { id, has_app: false }),
                    Report::Replace(why) => Some(Event::ReplacementAsked(id, why)),
                    Report::Imported(path) => {
                        files.iter_mut().for_each(|files| files.add(path.clone()));
                        None
                    }
                    Report::Alive => {
                        watchdog.is_alive();
                        None
                    }
                },
            },
            path = changed(&mut files) => {
                let file = path.display();
                tracing::info!(target: "vestibule::wsgi", "{file} has changed: replacing the workers");
                Some(Event::Reload)
            }
            () = sleep_until(fleet.deadline().map(|it| start + it)) => Some(Event::Tick),
            () = watchdog.due() => {
                if fleet.is_healthy() && watchdog.is_any_alive() {
                    supervisor.manager.ping();
                }
                None
            }
        };
    }
}

/// Performs the actions of the state machine.
struct Supervisor {
    program: Program,
    /// Closed when the workers drain.
    sockets: Option<(Sockets, InheritedSockets)>,
    commands: HashMap<WorkerId, UnboundedSender<Command>>,
    pids: HashMap<WorkerId, u32>,
    events: UnboundedSender<Occurred>,
    manager: ServiceManager,
}

/// Something for the main loop.
enum Occurred {
    InFleet(Event),
    InWorker(WorkerId, ProcessEvent),
}

impl Supervisor {
    fn new(
        program: Program,
        sockets: Sockets,
        copies: InheritedSockets,
    ) -> (Self, UnboundedReceiver<Occurred>) {
        let (events, occurred) = unbounded_channel();
        let supervisor = Self {
            program,
            sockets: Some((sockets, copies)),
            commands: HashMap::new(),
            pids: HashMap::new(),
            events,
            manager: ServiceManager::default(),
        };
        (supervisor, occurred)
    }

    /// Returns the status to exit with, when that is the action.
    fn perform(&mut self, action: Action) -> Option<u8> {
        match action {
            Action::Spawn {
                id,
                slot,
                shows_errors,
            } => {
                if let Err(error) = self.spawn(id, slot, shows_errors) {
                    let ended = Event::Ended(id, error.to_string());
                    let _ = self.events.send(Occurred::InFleet(ended));
                }
            }
            Action::Drain(id) => self.command(id, Command::Drain),
            Action::Terminate(id) => self.command(id, Command::Terminate),
            Action::Kill(id) => self.command(id, Command::Kill),
            Action::RefuseNew => self.refuse_new(),
            Action::CloseListeners => self.sockets = None,
            Action::Log(level, number, text) => log(level, number, &text),
            Action::Notify(notice) => self.manager.tell(notice),
            Action::Exit(status) => return Some(status),
        }
        None
    }

    fn spawn(&mut self, id: WorkerId, slot: usize, shows_errors: bool) -> io::Result<()> {
        let (_, copies) = self
            .sockets
            .as_ref()
            .ok_or_else(|| io::Error::other("the server is ending"))?;
        let (line, stdin) = SupervisorEnd::open()?;
        let child = self.program.start(slot, shows_errors, copies, stdin)?;
        self.pids.extend(child.id().map(|pid| (id, pid)));
        let (commands, of_supervisor) = unbounded_channel();
        self.commands.insert(id, commands);
        let events = self.events.clone();
        let report = move |event| drop(events.send(Occurred::InWorker(id, event)));
        tokio::spawn(process::follow(child, line, of_supervisor, report));
        Ok(())
    }

    fn command(&self, id: WorkerId, command: Command) {
        if let Some(commands) = self.commands.get(&id) {
            let _ = commands.send(command);
        }
    }

    /// The workers take the connections that wait after this. The supervisor keeps its inheritable
    /// copies until the workers have their order.
    fn refuse_new(&mut self) {
        let events = self.events.clone();
        let refused = Occurred::InFleet(Event::NewRefused);
        match self.sockets.take() {
            Some((mut sockets, copies)) => {
                tokio::spawn(async move {
                    sockets.refuse_new().await;
                    let _ = events.send(refused);
                    drop((sockets, copies));
                });
            }
            None => drop(events.send(refused)),
        }
    }

    /// A worker has ended; returns the number that its process had.
    fn forget(&mut self, id: WorkerId) -> Option<u32> {
        self.commands.remove(&id);
        self.pids.remove(&id)
    }
}

fn log(level: Level, number: usize, text: &str) {
    match level {
        Level::Info => tracing::info!(target: "vestibule::wsgi", number, "{text}"),
        Level::Warn => tracing::warn!(target: "vestibule::wsgi", number, "{text}"),
        Level::Error => tracing::error!(target: "vestibule::wsgi", number, "{text}"),
    }
}

fn limits(args: &Args) -> Limits {
    Limits {
        patience: args.patience(),
        start: args.start_timeout(),
        drain_delay: args.connections.drain_delay.unwrap_or_default(),
        is_development: args.python.reload,
    }
}

/// The time of the next watchdog notification.
struct Watchdog {
    interval: Option<tokio::time::Interval>,
    last_sign: Instant,
}

impl Watchdog {
    fn new() -> Self {
        Self {
            interval: watchdog_interval().map(tokio::time::interval),
            last_sign: Instant::now(),
        }
    }

    async fn due(&mut self) {
        match &mut self.interval {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }

    fn is_alive(&mut self) {
        self.last_sign = Instant::now();
    }

    /// Whether the main loop of a worker has run of late.
    fn is_any_alive(&self) -> bool {
        self.last_sign.elapsed() < MAX_SILENCE
    }
}

/// Workers tell that they live once a second.
const MAX_SILENCE: Duration = Duration::from_secs(10);

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn changed(files: &mut Option<Files>) -> PathBuf {
    match files {
        Some(files) => files.changed().await,
        None => std::future::pending().await,
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

/// The files that are watched for changes.
fn roots(args: &Args) -> Vec<PathBuf> {
    let mut roots = vec![".".into()];
    roots.extend(args.python.pythonpath.iter().cloned());
    roots
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

/// Signals of an operator, of a service manager or of the kernel.
enum ReceivedSignal {
    Reload,
    Stop,
    ChildEnded,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    child: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            child: signal(SignalKind::child())?,
        })
    }

    async fn next(&mut self) -> ReceivedSignal {
        tokio::select! {
            _ = self.hangup.recv() => ReceivedSignal::Reload,
            _ = self.terminate.recv() => ReceivedSignal::Stop,
            _ = self.interrupt.recv() => ReceivedSignal::Stop,
            _ = self.child.recv() => ReceivedSignal::ChildEnded,
        }
    }
}
