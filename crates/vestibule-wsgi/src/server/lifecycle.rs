//! The lifecycle of the workers, as a state machine without clock and processes.
//!
//! [`Fleet::step`] takes the state, an event and the time, and returns the state and the actions.
//! The supervisor performs the actions and reports events. A worker has four states:
//!
//! | state | event | next state | action |
//! |---|---|---|---|
//! | starting | it says `ready` | serving | the previous worker of its slot is drained |
//! | starting | its process ends | gone | retry after a pause |
//! | starting | [`SLOW_START`] passes, and each time the age doubles | starting | log the age |
//! | starting | the start limit passes, SIGHUP, or stop | retiring | SIGTERM; retry |
//! | starting for less than [`SLOW_START`] in a slot without a worker | SIGHUP | starting | replaced when it serves |
//! | serving | it asks for a replacement, SIGHUP, a changed file | serving | start a replacement |
//! | serving | its replacement serves, or stop | retiring | drain |
//! | serving | its process ends | gone | start another |
//! | retiring | it says `ready` | retiring | it gets the time of a drain |
//! | retiring | its time passes | retiring | SIGKILL |
//! | retiring | its process ends | gone | |
//!
//! A request for a replacement belongs to the slot, not to the start that tries to fulfil it. So it
//! lasts until a newer worker serves, and a start that fails is retried.

use std::collections::BTreeMap;
use std::time::Duration;

use super::CANNOT_START;

/// The time since the supervisor began.
pub(crate) type Time = Duration;

/// Numbers the workers in the order of their starts.
pub(crate) type WorkerId = u64;

/// The state of one worker. A worker that is gone is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkerState {
    Starting {
        /// When to log next that the start is slow.
        log_at: Time,
    },
    Serving {
        since: Time,
    },
    Retiring {
        /// When it is killed; `None` when it was.
        kill_at: Option<Time>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Worker {
    slot: usize,
    started: Time,
    state: WorkerState,
}

/// A place for one serving worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Slot {
    serving: Option<WorkerId>,
    starting: Option<WorkerId>,
    /// A replacement is wanted, and lasts until a newer worker serves.
    is_replacement_wanted: bool,
    /// The worker that is starting may have read old files: it is to be replaced when it serves.
    is_start_outdated: bool,
    /// For a slot without a worker.
    backoff: Backoff,
}

/// When the next attempt may be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Backoff {
    failures: u32,
    retry_at: Time,
}

impl Backoff {
    fn fail(&mut self, now: Time, first: Duration, most: Duration) -> Duration {
        let pause = (first * 2_u32.pow(self.failures.min(10))).min(most);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + pause;
        pause
    }
}

/// The times that an operator sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long a worker may take to end.
    pub(crate) patience: Duration,
    /// How long a worker may take to start.
    pub(crate) start: Option<Duration>,
    /// How long connections are accepted after a stop.
    pub(crate) drain_delay: Duration,
    /// An app that cannot be loaded at the first start does not end the supervisor.
    pub(crate) is_development: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// A stop was asked for; new connections are refused from then on.
    Delaying {
        refuse_at: Time,
    },
    /// The kernel is being told to refuse new connections.
    Refusing,
    Draining,
}

/// An event that the supervisor reports to the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time has passed, or the supervisor has just begun.
    Tick,
    /// The worker serves; `has_app` is false when it only shows why the app cannot be loaded.
    Ready { id: WorkerId, has_app: bool },
    /// The worker should be replaced; why.
    ReplacementAsked(WorkerId, String),
    /// The worker's process has ended, or could not be started; how.
    Ended(WorkerId, String),
    /// SIGHUP, or a changed file: all workers are replaced.
    Reload,
    /// SIGTERM or SIGINT. The second one ends everything at once.
    Stop,
    /// The kernel refuses new connections: [`Action::RefuseNew`] is done.
    NewRefused,
}

/// An action for the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Starts a process; with `shows_errors` it serves a page when the app cannot be loaded.
    Spawn {
        id: WorkerId,
        slot: usize,
        shows_errors: bool,
    },
    /// Asks a worker that serves to take the waiting connections, finish, and end.
    Drain(WorkerId),
    /// Ends a worker that is starting: SIGTERM, and the order to drain if it serves by then.
    Terminate(WorkerId),
    /// Sends SIGKILL.
    Kill(WorkerId),
    /// Makes the kernel refuse new connections, and reports [`Event::NewRefused`].
    RefuseNew,
    /// Closes the supervisor's copies of the listening sockets.
    CloseListeners,
    Log(Level, usize, String),
    Notify(Notice),
    /// Nothing is left to do.
    Exit(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// A notification of the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Ready,
    Reloading,
    Stopping,
}

/// All workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fleet {
    limits: Limits,
    phase: Phase,
    slots: Vec<Slot>,
    workers: BTreeMap<WorkerId, Worker>,
    next_id: WorkerId,
    /// A worker has loaded the app. Until then only the first slot is tried, so that the reason why
    /// the app cannot be loaded is logged once.
    has_served: bool,
    /// The service manager waits for the end of a reload.
    is_reloading: bool,
    /// For the replacements of all slots, which fail for the same reason.
    replacements: Backoff,
    /// Why the last start failed, until one succeeds.
    last_failure: Option<String>,
    status: u8,
}

impl Fleet {
    pub(crate) fn new(count: usize, limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Running,
            slots: vec![Slot::default(); count],
            workers: BTreeMap::new(),
            next_id: 0,
            has_served: false,
            is_reloading: false,
            replacements: Backoff::default(),
            last_failure: None,
            status: 0,
        }
    }

    /// The table of the module's docs.
    pub(crate) fn step(mut self, event: Event, now: Time) -> (Self, Vec<Action>) {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Ready { id, has_app } => self.ready(id, has_app, now, &mut actions),
            Event::ReplacementAsked(id, why) => self.asked(id, &why, &mut actions),
            Event::Ended(id, how) => self.ended(id, how, now, &mut actions),
            Event::Reload => self.reload(now, &mut actions),
            Event::Stop => self.stop(now, &mut actions),
            Event::NewRefused => self.drain(now, &mut actions),
        }
        self.pass_deadlines(now, &mut actions);
        self.start_wanted(now, &mut actions);
        self.finish(&mut actions);
        (self, actions)
    }

    /// When [`Event::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let of_worker = |worker: &Worker| match worker.state {
            WorkerState::Starting { log_at } => Some(self.start_deadline(worker).min(log_at)),
            WorkerState::Serving { .. } => None,
            WorkerState::Retiring { kill_at } => kill_at,
        };
        let workers = self.workers.values().filter_map(of_worker);
        let slots = (0..self.slots.len()).filter_map(|at| self.start_due(at));
        let delay = match self.phase {
            Phase::Delaying { refuse_at } => Some(refuse_at),
            _ => None,
        };
        workers.chain(slots).chain(delay).min()
    }

    /// Whether requests are served.
    pub(crate) fn is_healthy(&self) -> bool {
        self.slots.iter().any(|slot| slot.serving.is_some()) || self.phase != Phase::Running
    }

    /// One line for an operator: how many workers are in which state, and the last failure.
    pub(crate) fn status(&self) -> String {
        let count = |is_it: fn(&WorkerState) -> bool| {
            self.workers.values().filter(|it| is_it(&it.state)).count()
        };
        let serving = count(|it| matches!(it, WorkerState::Serving { .. }));
        let starting = count(|it| matches!(it, WorkerState::Starting { .. }));
        let retiring = count(|it| matches!(it, WorkerState::Retiring { .. }));
        let failure = match &self.last_failure {
            Some(why) => format!("; the last start failed: {why}"),
            None => String::new(),
        };
        format!("workers: {serving} serving, {starting} starting, {retiring} retiring{failure}")
    }

    fn ready(&mut self, id: WorkerId, has_app: bool, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        // A worker that got the order to end meanwhile ends, and may have taken requests.
        if let WorkerState::Retiring { kill_at } = &mut worker.state {
            *kill_at = kill_at.map(|_| now + self.limits.patience);
        }
        if !matches!(worker.state, WorkerState::Starting { .. }) {
            return;
        }
        worker.state = WorkerState::Serving { since: now };
        let slot = &mut self.slots[worker.slot];
        slot.starting = None;
        slot.is_replacement_wanted = std::mem::take(&mut slot.is_start_outdated);
        let previous = slot.serving.replace(id);
        self.replacements = Backoff::default();
        self.last_failure = None;
        let is_first = !self.has_served;
        self.has_served |= has_app;
        if let Some(previous) = previous {
            self.retire(previous, now, actions);
        }
        let is_reloaded =
            self.is_reloading && !self.slots.iter().any(|it| it.is_replacement_wanted);
        if is_reloaded || (is_first && !self.is_reloading) {
            self.is_reloading = false;
            actions.push(Action::Notify(Notice::Ready));
        }
    }

    fn asked(&mut self, id: WorkerId, why: &str, actions: &mut Vec<Action>) {
        let Some(at) = self.slots.iter().position(|it| it.serving == Some(id)) else {
            return;
        };
        let slot = &mut self.slots[at];
        if self.phase == Phase::Running && !slot.is_replacement_wanted {
            slot.is_replacement_wanted = true;
            let text = format!("a worker is replaced: {why}");
            actions.push(Action::Log(Level::Info, at, text));
        }
    }

    fn ended(&mut self, id: WorkerId, how: String, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        let at = worker.slot;
        match worker.state {
            WorkerState::Starting { .. } => self.start_failed(at, how, now, actions),
            WorkerState::Serving { since } => {
                let slot = &mut self.slots[at];
                slot.serving = None;
                // The next worker of the slot fulfils what was wanted of this one.
                slot.is_replacement_wanted = false;
                let pause = if now - since > YOUNG {
                    slot.backoff = Backoff::default();
                    Duration::ZERO
                } else {
                    slot.backoff.fail(now, RESTART_PAUSE, MAX_RESTART_PAUSE)
                };
                let text = format!("a worker has ended, and is replaced after {pause:?}: {how}");
                actions.push(Action::Log(Level::Error, at, text));
            }
            WorkerState::Retiring { .. } => {}
        }
    }

    fn start_failed(&mut self, at: usize, why: String, now: Time, actions: &mut Vec<Action>) {
        let slot = &mut self.slots[at];
        slot.starting = None;
        let text = if slot.serving.is_some() {
            let pause = self.replacements.fail(now, RETRY_PAUSE, MAX_RETRY_PAUSE);
            format!(
                "the old worker stays, since a new one could not begin: {why}; next try in {pause:?}"
            )
        } else {
            slot.backoff.fail(now, RESTART_PAUSE, MAX_RESTART_PAUSE);
            format!("a worker could not begin: {why}")
        };
        actions.push(Action::Log(Level::Error, at, text));
        self.last_failure = Some(why);
        // A reload that fails is over, as far as a service manager is concerned; it is retried.
        if std::mem::take(&mut self.is_reloading) && self.has_served {
            actions.push(Action::Notify(Notice::Ready));
        }
        if !self.has_served && !self.limits.is_development {
            self.status = CANNOT_START;
            if self.phase == Phase::Running {
                self.stop(now, actions);
            }
        }
    }

    fn reload(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        self.replacements = Backoff::default();
        for at in 0..self.slots.len() {
            self.slots[at].is_replacement_wanted = self.slots[at].serving.is_some();
            self.slots[at].backoff = Backoff::default();
            let Some(id) = self.slots[at].starting else {
                continue;
            };
            // It has begun with the old files, or hangs. Where nothing serves, one that is young is left
            // alone: it may serve at once, and the new files may be broken.
            let age = self.workers.get(&id).map_or(now, |it| now - it.started);
            if self.slots[at].serving.is_none() && age < SLOW_START {
                self.slots[at].is_start_outdated = true;
            } else {
                self.slots[at].starting = None;
                self.give_up(id, now, actions);
            }
        }
        if self.has_served {
            self.is_reloading = true;
            actions.push(Action::Notify(Notice::Reloading));
        }
    }

    fn stop(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            // The second time is meant.
            for (id, worker) in &mut self.workers {
                worker.state = WorkerState::Retiring { kill_at: None };
                actions.push(Action::Kill(*id));
            }
            self.slots.fill(Slot::default());
            self.phase = Phase::Draining;
            return;
        }
        for at in 0..self.slots.len() {
            self.slots[at].is_replacement_wanted = false;
            if let Some(id) = self.slots[at].starting.take() {
                self.give_up(id, now, actions);
            }
        }
        actions.push(Action::Notify(Notice::Stopping));
        if self.limits.drain_delay > REFUSE_LEAD {
            // The workers wait for the delay themselves, so that the app learns of the stop now.
            // The kernel refuses new connections shortly before they close their sockets.
            self.phase = Phase::Delaying {
                refuse_at: now + self.limits.drain_delay - REFUSE_LEAD,
            };
            self.retire_serving(now, actions);
        } else {
            self.phase = Phase::Refusing;
            actions.push(Action::RefuseNew);
        }
    }

    fn drain(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.phase = Phase::Draining;
        self.retire_serving(now, actions);
        actions.push(Action::CloseListeners);
    }

    fn retire_serving(&mut self, now: Time, actions: &mut Vec<Action>) {
        for at in 0..self.slots.len() {
            if let Some(id) = self.slots[at].serving.take() {
                self.retire(id, now, actions);
            }
        }
    }

    /// Drains a worker that serves.
    fn retire(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.state = WorkerState::Retiring {
                kill_at: Some(now + self.limits.patience),
            };
            actions.push(Action::Drain(id));
        }
    }

    /// Ends a start.
    fn give_up(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.state = WorkerState::Retiring {
                kill_at: Some(now + TERMINATE_PATIENCE),
            };
            actions.push(Action::Terminate(id));
        }
    }

    fn start_deadline(&self, worker: &Worker) -> Time {
        let limit = self.limits.start.map(|limit| worker.started + limit);
        limit.unwrap_or(Time::MAX)
    }

    fn pass_deadlines(&mut self, now: Time, actions: &mut Vec<Action>) {
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            let worker = &self.workers[&id];
            let (at, age) = (worker.slot, now - worker.started);
            let is_late = self.start_deadline(worker) <= now;
            match worker.state {
                WorkerState::Starting { .. } if is_late => {
                    self.give_up(id, now, actions);
                    let why = format!("it did not serve within {age:.0?} (--start-timeout)");
                    self.start_failed(at, why, now, actions);
                }
                WorkerState::Starting { log_at } if log_at <= now => {
                    let text = format!(
                        "a worker has been starting for {age:.0?}, and still loads the app"
                    );
                    actions.push(Action::Log(Level::Warn, at, text));
                    if let Some(worker) = self.workers.get_mut(&id) {
                        worker.state = WorkerState::Starting { log_at: now + age };
                    }
                }
                WorkerState::Retiring {
                    kill_at: Some(kill_at),
                } if kill_at <= now => {
                    let text = "a worker did not end in time, and is killed".to_owned();
                    actions.push(Action::Log(Level::Error, at, text));
                    actions.push(Action::Kill(id));
                    if let Some(worker) = self.workers.get_mut(&id) {
                        worker.state = WorkerState::Retiring { kill_at: None };
                    }
                }
                _ => {}
            }
        }
        if let Phase::Delaying { refuse_at } = self.phase
            && refuse_at <= now
        {
            self.phase = Phase::Refusing;
            actions.push(Action::RefuseNew);
        }
    }

    /// When a worker of this slot may be started; `None` when none is wanted, or something else comes
    /// first and is an event of its own.
    fn start_due(&self, at: usize) -> Option<Time> {
        let slot = &self.slots[at];
        if self.phase != Phase::Running || slot.starting.is_some() {
            return None;
        }
        if slot.serving.is_none() {
            // The first one comes alone.
            let may_start = self.has_served || at == 0;
            return may_start.then_some(slot.backoff.retry_at);
        }
        // One worker is replaced at a time.
        let is_replacing = |slot: &Slot| slot.serving.is_some() && slot.starting.is_some();
        let may_start = slot.is_replacement_wanted && !self.slots.iter().any(is_replacing);
        may_start.then_some(self.replacements.retry_at)
    }

    fn start_wanted(&mut self, now: Time, actions: &mut Vec<Action>) {
        for at in 0..self.slots.len() {
            if self.start_due(at).is_some_and(|due| due <= now) {
                let id = self.next_id;
                self.next_id += 1;
                self.slots[at].starting = Some(id);
                self.slots[at].is_start_outdated = false;
                let state = WorkerState::Starting {
                    log_at: now + SLOW_START,
                };
                let worker = Worker {
                    slot: at,
                    started: now,
                    state,
                };
                self.workers.insert(id, worker);
                actions.push(Action::Spawn {
                    id,
                    slot: at,
                    shows_errors: self.limits.is_development && !self.has_served,
                });
            }
        }
    }

    fn finish(&self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Draining && self.workers.is_empty() {
            actions.push(Action::Exit(self.status));
        }
    }
}

/// When a start is logged as slow for the first time.
pub(crate) const SLOW_START: Duration = Duration::from_secs(5);

/// A worker that ends earlier than this after it began to serve waits for its successor.
const YOUNG: Duration = Duration::from_secs(2);

/// The pause before a slot without a worker is tried again. It doubles each time.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(5);

/// The pause before a replacement is tried again, while the old worker serves. It doubles each time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(30);

/// How long a start has to end after SIGTERM.
const TERMINATE_PATIENCE: Duration = Duration::from_secs(5);

/// How long before the end of a drain delay new connections are refused: the time of a handshake, and
/// some for a busy machine.
const REFUSE_LEAD: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        Limits {
            patience: Duration::from_secs(35),
            start: Some(Duration::from_secs(300)),
            drain_delay: Duration::ZERO,
            is_development: false,
        }
    }

    /// A fleet with the processes that it has started, and a clock that only the test moves.
    struct World {
        fleet: Option<Fleet>,
        now: Time,
        alive: BTreeMap<WorkerId, usize>,
        draining: BTreeSet<WorkerId>,
        refuses: bool,
        exit: Option<u8>,
        log: Vec<String>,
        notices: Vec<Notice>,
    }

    impl World {
        fn new(count: usize, limits: Limits) -> Self {
            let mut world = Self {
                fleet: Some(Fleet::new(count, limits)),
                now: Duration::ZERO,
                alive: BTreeMap::new(),
                draining: BTreeSet::new(),
                refuses: false,
                exit: None,
                log: Vec::new(),
                notices: Vec::new(),
            };
            world.step(Event::Tick);
            world
        }

        fn fleet(&self) -> &Fleet {
            self.fleet.as_ref().unwrap()
        }

        fn step(&mut self, event: Event) {
            if let Event::Ended(id, _) = &event {
                self.alive.remove(id);
            }
            let (fleet, actions) = self.fleet.take().unwrap().step(event, self.now);
            self.fleet = Some(fleet);
            for action in actions {
                assert_eq!(self.exit, None, "nothing comes after the exit: {action:?}");
                match action {
                    Action::Spawn { id, slot, .. } => {
                        assert_eq!(self.alive.insert(id, slot), None, "numbers are new");
                    }
                    Action::Drain(id) => {
                        assert!(self.alive.contains_key(&id) && self.draining.insert(id));
                    }
                    Action::Terminate(id) | Action::Kill(id) => {
                        assert!(self.alive.contains_key(&id));
                    }
                    Action::RefuseNew => self.refuses = true,
                    Action::CloseListeners => assert!(self.refuses, "it refuses first"),
                    Action::Log(_, _, text) => self.log.push(text),
                    Action::Notify(notice) => self.notices.push(notice),
                    Action::Exit(status) => {
                        assert!(self.alive.is_empty(), "no worker is left behind");
                        self.exit = Some(status);
                    }
                }
            }
            self.check();
        }

        /// Checks the invariants of every state.
        fn check(&self) {
            let fleet = self.fleet();
            for (at, slot) in fleet.slots.iter().enumerate() {
                for id in [slot.serving, slot.starting].into_iter().flatten() {
                    assert_eq!(self.alive.get(&id), Some(&at), "a slot has its own workers");
                }
                let is_wanting = slot.serving.is_none() || slot.is_replacement_wanted;
                let may_start = fleet.has_served || at == 0;
                if fleet.phase == Phase::Running && is_wanting && may_start {
                    assert!(
                        fleet.deadline().is_some(),
                        "every wait has a limit: {slot:?}"
                    );
                }
                if let (Phase::Running, Some(id)) = (fleet.phase, slot.serving) {
                    assert!(
                        !self.draining.contains(&id),
                        "it drains when another serves"
                    );
                }
            }
            let replacing = fleet
                .slots
                .iter()
                .filter(|it| it.serving.is_some() && it.starting.is_some());
            assert!(replacing.count() <= 1, "one worker is replaced at a time");
            let deadline = fleet.deadline().unwrap_or(Time::MAX);
            assert!(deadline > self.now, "what is due is done");
        }

        /// Moves the clock to the next deadline.
        fn pass(&mut self) {
            if let Some(deadline) = self.fleet().deadline() {
                self.now = deadline;
            }
            self.step(Event::Tick);
        }

        fn starting(&self) -> Vec<WorkerId> {
            let slots = self.fleet().slots.iter();
            slots.filter_map(|it| it.starting).collect()
        }

        fn serving(&self) -> Vec<WorkerId> {
            let slots = self.fleet().slots.iter();
            slots.filter_map(|it| it.serving).collect()
        }

        fn is_settled(&self) -> bool {
            let is_settled = |it: &Slot| {
                it.serving.is_some() && it.starting.is_none() && !it.is_replacement_wanted
            };
            self.fleet().slots.iter().all(is_settled)
        }

        /// Lets every start succeed and everything end that should.
        fn settle(&mut self) {
            for _ in 0..1000 {
                for id in self.starting() {
                    self.step(Event::Ready { id, has_app: true });
                }
                if self.exit.is_some() || self.is_settled() {
                    return;
                }
                if self.starting().is_empty() {
                    self.pass();
                }
            }
            panic!("it does not settle: {:#?}", self.fleet());
        }

        fn ready(&mut self, id: WorkerId) {
            self.step(Event::Ready { id, has_app: true });
        }

        fn fail(&mut self, id: WorkerId) {
            self.step(Event::Ended(id, "exit status: 3".to_owned()));
        }

        fn does_log(&self, text: &str) -> bool {
            self.log.iter().any(|line| line.contains(text))
        }
    }

    #[test]
    fn the_first_worker_comes_alone_and_the_others_when_it_serves() {
        let mut world = World::new(3, limits());
        assert_eq!(world.starting(), [0]);
        world.ready(0);
        assert_eq!(world.starting(), [1, 2]);
        assert_eq!(world.notices, [Notice::Ready]);
        world.settle();
        assert_eq!(world.notices, [Notice::Ready]);
    }

    #[test]
    fn an_app_that_cannot_be_loaded_at_the_first_start_ends_all() {
        let mut world = World::new(2, limits());
        world.fail(0);
        world.step(Event::NewRefused);
        assert_eq!(world.exit, Some(CANNOT_START));
    }

    #[test]
    fn in_development_the_first_start_is_tried_again() {
        let mut world = World::new(
            2,
            Limits {
                is_development: true,
                ..limits()
            },
        );
        world.step(Event::Ready {
            id: 0,
            has_app: false,
        });
        assert!(world.starting().is_empty(), "the error is shown once");
        world.step(Event::Reload);
        world.ready(1);
        world.settle();
        assert_eq!(world.serving().len(), 2);
    }

    #[test]
    fn a_replacement_is_retried_as_long_as_its_reason_lasts() {
        let mut world = World::new(1, limits());
        world.ready(0);
        world.step(Event::ReplacementAsked(
            0,
            "it has served 9 requests".to_owned(),
        ));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let [id] = world.starting()[..] else {
                panic!("nothing starts");
            };
            world.fail(id);
            let before = world.now;
            world.pass();
            pauses.push((world.now - before).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(world.serving(), [0], "the old worker serves");
        world.settle();
        assert_eq!(world.draining, BTreeSet::from([0]));
    }

    #[test]
    fn a_later_sighup_ends_a_start_that_hangs() {
        let mut world = World::new(1, limits());
        world.ready(0);
        world.step(Event::Reload);
        assert_eq!(world.starting(), [1]);
        world.pass();
        assert!(
            world.does_log("has been starting for 5s"),
            "{:?}",
            world.log
        );
        world.pass();
        assert!(
            world.does_log("has been starting for 10s"),
            "{:?}",
            world.log
        );
        world.step(Event::Reload);
        assert_eq!(world.starting(), [2]);
        world.ready(2);
        // The one that hangs ignores SIGTERM.
        world.pass();
        assert!(world.does_log("did not end in time, and is killed"));
        world.fail(1);
        assert_eq!(world.serving(), [2]);
        use Notice::{Ready, Reloading};
        assert_eq!(world.notices, [Ready, Reloading, Reloading, Ready]);
    }

    #[test]
    fn a_sighup_leaves_a_young_first_start_alone_and_replaces_it_later() {
        let mut world = World::new(1, limits());
        world.now = Duration::from_secs(1);
        world.step(Event::Reload);
        assert_eq!(world.starting(), [0]);
        world.ready(0);
        assert_eq!((world.serving(), world.starting()), (vec![0], vec![1]));
        world.fail(1);
        assert_eq!(world.serving(), [0], "the new files are broken");
        world.settle();
        assert!(world.serving() > vec![1]);

        let mut world = World::new(1, limits());
        world.now = SLOW_START;
        world.step(Event::Reload);
        assert_eq!(world.starting(), [1], "it hangs");
    }

    #[test]
    fn a_start_has_a_limit() {
        let mut world = World::new(1, limits());
        world.ready(0);
        world.step(Event::Reload);
        while world.starting() == [1] {
            world.pass();
        }
        assert_eq!(world.now, Duration::from_secs(300));
        assert!(
            world.does_log("it did not serve within 300s"),
            "{:?}",
            world.log
        );
        assert_eq!(
            world.notices.last(),
            Some(&Notice::Ready),
            "the reload is over"
        );
        world.settle();
        assert!(world.serving() > vec![1]);
    }

    #[test]
    fn those_that_die_young_are_waited_for() {
        let mut world = World::new(1, limits());
        let mut pauses = Vec::new();
        for life in [10_u64, 10, 10, 60_000, 10, 10] {
            world.settle();
            world.now += Duration::from_millis(life);
            let [id] = world.serving()[..] else {
                panic!("nothing serves");
            };
            let before = world.now;
            world.fail(id);
            if world.starting().is_empty() {
                world.pass();
            }
            pauses.push((world.now - before).as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 0, 100, 200]);
    }

    #[test]
    fn a_stop_refuses_new_connections_before_the_workers_drain() {
        let mut world = World::new(2, limits());
        world.settle();
        world.step(Event::Stop);
        assert!(world.refuses && world.draining.is_empty());
        world.step(Event::NewRefused);
        assert_eq!(world.draining.len(), 2);
        world.fail(0);
        assert_eq!(world.exit, None);
        world.fail(1);
        assert_eq!(world.exit, Some(0));
    }

    #[test]
    fn a_start_that_serves_when_it_is_given_up_may_drain() {
        let mut world = World::new(1, limits());
        world.step(Event::Stop);
        world.ready(0);
        assert_eq!(world.fleet().deadline(), Some(limits().patience));
    }

    #[test]
    fn a_drain_delay_ends_with_the_refusal() {
        let delay = Duration::from_secs(7);
        let mut world = World::new(
            2,
            Limits {
                drain_delay: delay,
                ..limits()
            },
        );
        world.settle();
        world.step(Event::Stop);
        assert!(world.draining.len() == 2 && !world.refuses);
        world.pass();
        assert!(world.refuses && world.now == delay - REFUSE_LEAD);
    }

    #[test]
    fn a_second_stop_kills() {
        let mut world = World::new(2, limits());
        world.settle();
        world.step(Event::Stop);
        world.step(Event::Stop);
        world.fail(0);
        world.fail(1);
        assert_eq!(world.exit, Some(0));
        // The answer of the kernel may come late.
        let fleet = world.fleet().clone();
        assert!(fleet.step(Event::NewRefused, world.now).1.len() <= 2);
    }

    /// The events that may come next; the number chooses a worker.
    #[derive(Clone, Debug)]
    enum Move {
        Ready(usize),
        Fail(usize),
        Crash(usize),
        Leave(usize),
        Ask(usize),
        Reload,
        Pass,
        Wait(u64),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            4 => (0..8_usize).prop_map(Move::Ready),
            2 => (0..8_usize).prop_map(Move::Fail),
            2 => (0..8_usize).prop_map(Move::Crash),
            2 => (0..8_usize).prop_map(Move::Leave),
            2 => (0..8_usize).prop_map(Move::Ask),
            1 => Just(Move::Reload),
            3 => Just(Move::Pass),
            2 => (0..4000_u64).prop_map(Move::Wait),
        ];
        proptest::collection::vec(one, 0..80)
    }

    fn choose(from: &[WorkerId], number: usize) -> Option<WorkerId> {
        from.get(number.checked_rem(from.len())?).copied()
    }

    fn play(world: &mut World, moves: &[Move]) {
        for it in moves {
            if world.exit.is_some() {
                return;
            }
            let gone: Vec<WorkerId> = world
                .alive
                .keys()
                .copied()
                .filter(|id| !world.starting().contains(id) && !world.serving().contains(id))
                .collect();
            match it {
                Move::Ready(at) => {
                    if let Some(id) = choose(&world.starting(), *at) {
                        world.ready(id);
                    }
                }
                Move::Fail(at) => {
                    if let Some(id) = choose(&world.starting(), *at) {
                        world.fail(id);
                    }
                }
                Move::Crash(at) => {
                    if let Some(id) = choose(&world.serving(), *at) {
                        world.fail(id);
                    }
                }
                Move::Leave(at) => {
                    if let Some(id) = choose(&gone, *at) {
                        world.fail(id);
                    }
                }
                Move::Ask(at) => {
                    if let Some(id) = choose(&world.serving(), *at) {
                        world.step(Event::ReplacementAsked(id, "it is old".to_owned()));
                    }
                }
                Move::Reload => world.step(Event::Reload),
                Move::Pass => world.pass(),
                Move::Wait(milliseconds) => {
                    let wanted = world.now + Duration::from_millis(*milliseconds);
                    // The supervisor wakes at each deadline.
                    while world.fleet().deadline().is_some_and(|it| it <= wanted) {
                        world.pass();
                    }
                    world.now = wanted;
                    world.step(Event::Tick);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_happened_a_mended_app_is_served_by_new_workers(count in 1..5_usize, moves in moves()) {
            let mut world = World::new(count, limits());
            world.ready(0);
            play(&mut world, &moves);
            let first_new = world.fleet().next_id;
            world.step(Event::Reload);
            world.settle();
            prop_assert_eq!(world.serving().len(), count);
            prop_assert!(world.serving().iter().all(|id| *id >= first_new));
            prop_assert!(!world.fleet().is_reloading, "the service manager is told");
        }

        #[test]
        fn whatever_happened_a_stop_comes_to_its_end(count in 1..5_usize, moves in moves(), after in moves()) {
            let mut world = World::new(count, limits());
            world.ready(0);
            play(&mut world, &moves);
            world.step(Event::Stop);
            play(&mut world, &after);
            if world.exit.is_none() {
                world.step(Event::NewRefused);
            }
            // Workers that ignore everything but SIGKILL.
            for _ in 0..20 {
                if world.exit.is_some() || world.fleet().deadline().is_none() {
                    break;
                }
                world.pass();
            }
            for id in world.alive.keys().copied().collect::<Vec<_>>() {
                prop_assert_eq!(world.exit, None);
                world.fail(id);
            }
            prop_assert_eq!(world.exit, Some(0));
        }
    }
}
