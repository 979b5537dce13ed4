//! What is done when the process is told something.

use std::io;

use tokio::sync::watch::Sender;
use vestibule::files::IndexedFiles;
use vestibule::logging::Sink;

use crate::reload::Version;

/// Opens the log anew whenever the process is sent SIGHUP.
pub fn reopen_on_hangup(log: Sink) -> io::Result<()> {
    on_hangup(move || log.reopen())
}

/// Looks at the files anew whenever the process is sent SIGHUP.
pub(crate) fn index_on_hangup(index: IndexedFiles) -> io::Result<()> {
    on_hangup(move || {
        if let Err(error) = index.reload() {
            tracing::error!(target: "vestibule", "the files stay as they were: {error}");
        }
    })
}

#[cfg(unix)]
fn on_hangup(act: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangups = signal(SignalKind::hangup())?;
    let act = std::sync::Arc::new(act);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let act = act.clone();
            // It waits for a disk. A panic is told where it happens.
            let _ = tokio::task::spawn_blocking(move || act()).await;
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn on_hangup(_: impl Fn()) -> io::Result<()> {
    Ok(())
}

/// Ends the events that pages wait for when the server is asked to end, which would wait for them.
pub(crate) fn end_with_the_server(changes: Sender<Version>) {
    tokio::spawn(async move {
        asked_to_end().await;
        changes.send_modify(|version| *version = version.last());
    });
}

#[cfg(unix)]
async fn asked_to_end() {
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::signal::unix::{SignalKind, signal};

    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let mut signals: Vec<_> = signals.into_iter().flatten().collect();
    poll_fn(|cx| {
        let is_asked = signals
            .iter_mut()
            .any(|signal| signal.poll_recv(cx).is_ready());
        if is_asked {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[cfg(not(unix))]
async fn asked_to_end() {
    let _ = tokio::signal::ctrl_c().await;
}
