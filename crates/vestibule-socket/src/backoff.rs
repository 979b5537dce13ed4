//! What an accept loop does about errors.

use std::io;
use std::time::Duration;

use crate::Rarely;

/// What an accept loop does about an error.
///
/// A connection that died in the queue is no reason to wait; nor is what Linux passes on of the network
/// below it (accept(2): EPROTO, ENETDOWN and others), unless it does not end. A shortage (no
/// descriptor, no memory) stays true for a while: the loop waits 5 ms, and twice as long each time up
/// to 250 ms. It logs at most one line a second.
#[derive(Debug, Default)]
pub struct Backoff {
    /// Errors in a row that were no reason to wait.
    passed: u32,
    /// Errors in a row that were.
    waited: u32,
    log: Rarely,
}

impl Backoff {
    /// An accept succeeded.
    pub fn reset(&mut self) {
        (self.passed, self.waited) = (0, 0);
    }

    /// How long to wait after `error`.
    pub fn after(&mut self, error: &io::Error) -> Duration {
        if !is_shortage(error) && self.passed < MAX_PASSED {
            self.passed += 1;
            return Duration::ZERO;
        }
        if let Some(silent) = self.log.line() {
            tracing::error!(
                target: "vestibule", silent,
                "cannot accept connections, and will try again: {error}"
            );
        }
        let wait = SHORTEST * 2_u32.saturating_pow(self.waited.min(10));
        self.waited = self.waited.saturating_add(1);
        wait.min(LONGEST)
    }
}

/// Whether something is missing that the next connection would need as well.
fn is_shortage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || error
            .raw_os_error()
            .is_some_and(|it| SHORTAGES.contains(&it))
}

/// ENFILE and EMFILE, which have one number on every unix.
#[cfg(not(windows))]
const SHORTAGES: [i32; 2] = [23, 24];

/// WSAEMFILE and WSAENOBUFS (Microsoft, "Windows Sockets Error Codes").
#[cfg(windows)]
const SHORTAGES: [i32; 2] = [10_024, 10_055];

/// The first wait after an error.
const SHORTEST: Duration = Duration::from_millis(5);

/// The longest wait.
const LONGEST: Duration = Duration::from_millis(250);

/// How many errors in a row are taken for one connection's each.
const MAX_PASSED: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_quarter_second() {
        let full = io::Error::from_raw_os_error(SHORTAGES[1]);
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after(&full).as_millis()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 250, 250]);
        backoff.reset();
        assert_eq!(backoff.after(&full).as_millis(), 5);
        for _ in 0..1000 {
            backoff.after(&full);
        }
        assert_eq!(backoff.after(&full), LONGEST);
    }

    /// The errors of accept(2) on Linux.
    #[cfg(target_os = "linux")]
    #[test]
    fn faults_67_which_errors_of_accept_wait() {
        let cases = [
            ("EPERM", 1, false),
            ("EINTR", 4, false),
            ("ENOMEM", 12, true),
            ("ENFILE", 23, true),
            ("EMFILE", 24, true),
            ("ENONET", 64, false),
            ("EPROTO", 71, false),
            ("ENOPROTOOPT", 92, false),
            ("EOPNOTSUPP", 95, false),
            ("ENETDOWN", 100, false),
            ("ENETUNREACH", 101, false),
            ("ECONNABORTED", 103, false),
            ("ENOBUFS", 105, false),
            ("EHOSTDOWN", 112, false),
            ("EHOSTUNREACH", 113, false),
        ];
        for (name, number, waits) in cases {
            let error = io::Error::from_raw_os_error(number);
            let mut backoff = Backoff::default();
            assert_eq!(backoff.after(&error) > Duration::ZERO, waits, "{name}");
            // None keeps the loop busy for ever.
            let ended = (0..200).find(|_| backoff.after(&error) == LONGEST);
            assert!(ended.is_some(), "{name}");
        }
    }

    #[test]
    fn a_dead_connection_costs_nothing() {
        let mut backoff = Backoff::default();
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(backoff.after(&aborted), Duration::ZERO);
        assert_eq!(backoff.log.line(), Some(0), "it was not told");
    }
}
