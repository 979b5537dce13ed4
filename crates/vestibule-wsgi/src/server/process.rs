//! One worker's process, as the supervisor sees it: a task that owns it and reports events.

use std::io;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::sync::mpsc::UnboundedReceiver;

use super::line::{Report, SupervisorEnd};

/// The operations of the supervisor on a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Drain,
    Terminate,
    Kill,
}

/// The events of a worker.
#[derive(Debug)]
pub(crate) enum ProcessEvent {
    Reported(Report),
    Ended(String),
}

/// Follows the worker until its process has ended. The process is signalled here only, where its
/// number is known to be its own.
pub(crate) async fn follow(
    mut child: Child,
    mut line: SupervisorEnd,
    mut commands: UnboundedReceiver<Command>,
    report_event: impl Fn(ProcessEvent),
) {
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            report = line.next(), if is_open => match report {
                Some(report) => report_event(ProcessEvent::Reported(report)),
                None => is_open = false,
            },
            status = child.wait() => {
                let how = status.map_or_else(|error| error.to_string(), |it| it.to_string());
                report_event(ProcessEvent::Ended(how));
                return;
            }
            Some(command) = commands.recv() => match command {
                Command::Drain => line.order_drain().await,
                Command::Terminate => {
                    // It may have begun to serve just now, and has requests then.
                    line.order_drain().await;
                    signal(&child, Signal::TERM);
                }
                Command::Kill => drop(child.start_kill()),
            },
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        let _: io::Result<()> = kill_process(pid, signal).map_err(Into::into);
    }
}
