//! The line between supervisor and worker: a socket, which is the worker's standard input.
//!
//! Each message is a line of text. When the supervisor's end is closed it has died, and the worker
//! ends as well.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A message of the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It serves the app.
    Ready,
    /// It serves a page with the reason why the app cannot be loaded.
    ReadyWithoutApp,
    /// It should be replaced; why.
    Replace(String),
    /// A file from which the app was imported, for `--reload`.
    Imported(PathBuf),
    /// Its main loop runs.
    Alive,
}

impl Report {
    fn line(&self) -> String {
        match self {
            Self::Ready => "ready\n".to_owned(),
            Self::ReadyWithoutApp => "ready-without-app\n".to_owned(),
            Self::Replace(why) => format!("replace {}\n", why.replace('\n', " ")),
            Self::Imported(path) => format!("imported {}\n", path.display()),
            Self::Alive => "alive\n".to_owned(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end_matches('\n');
        match line.split_once(' ').unwrap_or((line, "")) {
            ("ready", _) => Some(Self::Ready),
            ("ready-without-app", _) => Some(Self::ReadyWithoutApp),
            ("replace", why) => Some(Self::Replace(why.to_owned())),
            ("imported", path) => Some(Self::Imported(path.into())),
            ("alive", _) => Some(Self::Alive),
            _ => None,
        }
    }
}

/// The supervisor's end.
pub(crate) struct SupervisorEnd {
    reports: BufReader<OwnedReadHalf>,
    /// A line that has come in part; it survives a read that is dropped.
    partial: Vec<u8>,
    orders: OwnedWriteHalf,
}

impl SupervisorEnd {
    /// A line, and the worker's end of it.
    pub(crate) fn open() -> io::Result<(Self, Stdio)> {
        let (own, other) = StdStream::pair()?;
        own.set_nonblocking(true)?;
        let (reports, orders) = UnixStream::from_std(own)?.into_split();
        let own = Self {
            reports: BufReader::new(reports),
            partial: Vec::new(),
            orders,
        };
        Ok((own, OwnedFd::from(other).into()))
    }

    /// The next report; `None` when the worker has closed its end. It may be dropped at any time.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        loop {
            let read = self.reports.read_until(b'\n', &mut self.partial).await;
            if read.ok()? == 0 && self.partial.is_empty() {
                return None;
            }
            let line = std::mem::take(&mut self.partial);
            if let Some(report) = Report::parse(&String::from_utf8_lossy(&line)) {
                return Some(report);
            }
        }
    }

    /// Asks the worker to take the connections that wait, to finish, and to end.
    pub(crate) async fn order_drain(&mut self) {
        // A worker that has closed its end is ending.
        let _ = self.orders.write_all(DRAIN).await;
    }
}

/// Takes the worker's end from standard input, which is empty from then on.
pub(crate) fn take() -> io::Result<StdStream> {
    let line = rustix::stdio::stdin().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let line = StdStream::from(line);
    line.set_nonblocking(true)?;
    Ok(line)
}

/// The two ways of the worker's end.
pub(crate) fn split(line: StdStream) -> io::Result<(Reporter, Orders)> {
    let (orders, reporter) = UnixStream::from_std(line)?.into_split();
    Ok((Reporter(reporter), Orders(BufReader::new(orders))))
}

/// Sends reports to the supervisor.
pub(crate) struct Reporter(OwnedWriteHalf);

impl Reporter {
    pub(crate) async fn send(&mut self, report: &Report) {
        // A supervisor that is gone is noticed by the other way.
        let _ = self.0.write_all(report.line().as_bytes()).await;
    }
}

/// Receives what the supervisor says.
pub(crate) struct Orders(BufReader<OwnedReadHalf>);

impl Orders {
    /// Waits for the order to drain; false when the supervisor is gone.
    pub(crate) async fn drain(&mut self) -> bool {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line).await;
        read.is_ok_and(|count| count > 0)
    }
}

const DRAIN: &[u8] = b"drain\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_line() {
        let reports = [
            Report::Ready,
            Report::ReadyWithoutApp,
            Report::Replace("it has 3 MiB of memory".to_owned()),
            Report::Imported("/srv/a site/app.py".into()),
            Report::Alive,
        ];
        for report in reports {
            assert_eq!(Report::parse(&report.line()), Some(report));
        }
        let two_lines = Report::Replace("two\nlines".to_owned());
        assert_eq!(two_lines.line(), "replace two lines\n");
        assert_eq!(Report::parse("unknown\n"), None);
    }

    #[tokio::test]
    async fn a_supervisor_that_is_gone_is_no_order() {
        let (own, other) = StdStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        let (_, mut orders) = split(own).unwrap();
        drop(other);
        assert!(!orders.drain().await);
    }
}
