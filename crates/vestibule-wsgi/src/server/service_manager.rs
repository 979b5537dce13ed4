//! Notifications to systemd about the supervisor: `Type=notify`, `Type=notify-reload` and `WatchdogSec=`.
//!
//! Source: sd_notify(3), sd_watchdog_enabled(3).

use std::time::Duration;

use vestibule_hyper::notify;

use super::lifecycle::Notice;

/// Sends states, and each status once.
#[derive(Default)]
pub(crate) struct ServiceManager {
    status: String,
}

impl ServiceManager {
    pub(crate) fn tell(&self, notice: Notice) {
        match notice {
            Notice::Ready => notify(b"READY=1"),
            Notice::Stopping => notify(b"STOPPING=1"),
            Notice::Reloading => notify(reloading(monotonic_microseconds()).as_bytes()),
        }
    }

    /// Sends the status when it has changed.
    pub(crate) fn set_status(&mut self, status: String) {
        if status != self.status {
            notify(format!("STATUS={status}").as_bytes());
            self.status = status;
        }
    }

    pub(crate) fn ping(&self) {
        notify(b"WATCHDOG=1");
    }
}

/// `notify-reload` compares the time with that of its own request.
fn reloading(microseconds: u128) -> String {
    format!("RELOADING=1\nMONOTONIC_USEC={microseconds}")
}

fn monotonic_microseconds() -> u128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds).as_micros()
}

/// Tells the watchdog that the main loop of this process runs, when it wants to know.
pub(crate) async fn ping() {
    if let Some(interval) = watchdog_interval() {
        let mut interval = tokio::time::interval(interval);
        loop {
            interval.tick().await;
            notify(b"WATCHDOG=1");
        }
    }
}

/// Returns the interval of watchdog notifications, half of its limit, if the watchdog is on for this process.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    let variable = |name| std::env::var(name).ok();
    interval(
        variable("WATCHDOG_USEC").as_deref(),
        variable("WATCHDOG_PID").as_deref(),
        std::process::id(),
    )
}

fn interval(microseconds: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let limit: u64 = microseconds?.parse().ok()?;
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    (is_ours && limit > 0).then(|| Duration::from_micros(limit) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_on_for_the_process_that_it_names() {
        let half = Some(Duration::from_secs(15));
        let cases = [
            (Some("30000000"), None, half),
            (Some("30000000"), Some("7"), half),
            (Some("30000000"), Some("8"), None),
            (Some("30000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("x"), None, None),
            (None, Some("7"), None),
        ];
        for (microseconds, pid, want) in cases {
            assert_eq!(
                interval(microseconds, pid, 7),
                want,
                "{microseconds:?} {pid:?}"
            );
        }
    }

    #[test]
    fn a_reload_has_its_time() {
        assert_eq!(reloading(5), "RELOADING=1\nMONOTONIC_USEC=5");
        assert!(monotonic_microseconds() > 0);
    }
}
