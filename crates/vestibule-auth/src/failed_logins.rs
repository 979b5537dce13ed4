//! Events of logins that were refused, for programs that watch a log, as fail2ban does.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vestibule_core::{Peer, Request};

use crate::{Reason, Refusal};

/// Writes an event for each refused credential, and limits how many: at first [`BURST`], then one in a
/// second. The next event says how many were left out.
#[derive(Debug, Default)]
pub(crate) struct FailedLogins(Mutex<Budget>);

impl FailedLogins {
    pub(crate) fn report(&self, request: &Request, refusal: &Refusal) {
        let reason = match refusal.reason() {
            Reason::Malformed | Reason::Invalid => "malformed",
            Reason::Denied => "denied",
            Reason::Forbidden => "forbidden",
            Reason::Locked(_) => "locked",
            // These are faults of the server.
            Reason::Busy(_) | Reason::Unavailable => return,
        };
        // A connection without an address cannot be banned.
        let Some(ip) = Peer::of(request).and_then(|peer| peer.address().ip()) else {
            return;
        };
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = budget.take(Instant::now()) else {
            return;
        };
        drop(budget);
        // The address comes first: the client chooses the name, and must not choose who is banned.
        tracing::warn!(
            target: "vestibule_auth",
            peer = %ip.to_canonical(),
            reason,
            scheme = refusal.scheme(),
            user = shown(refusal.user().unwrap_or_default()),
            left_out,
            "refused a login"
        );
    }
}

/// A name as it may be in a log: the characters that are not plain are escaped, and no more than
/// [`MAX_SHOWN`] characters.
fn shown(name: &str) -> String {
    let is_plain = |it: char| it.is_alphanumeric() || "-_.@+".contains(it);
    let mut text = String::new();
    for character in name.chars().take(MAX_SHOWN) {
        match is_plain(character) {
            true => text.push(character),
            false => text.extend(character.escape_unicode()),
        }
    }
    text
}

#[derive(Debug)]
struct Budget {
    left: u32,
    filled_at: Option<Instant>,
    left_out: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: BURST,
            filled_at: None,
            left_out: 0,
        }
    }
}

impl Budget {
    /// Takes one event: how many were left out before it, or `None` when this one is left out as well.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let since = now.duration_since(*self.filled_at.get_or_insert(now));
        let seconds = since.as_secs();
        if seconds > 0 {
            self.left =
                u32::try_from(seconds).map_or(BURST, |it| self.left.saturating_add(it).min(BURST));
            self.filled_at = now.checked_sub(since.saturating_sub(Duration::from_secs(seconds)));
        }
        if self.left == 0 {
            self.left_out += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

const BURST: u32 = 20;
const MAX_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_event_a_second() {
        let mut budget = Budget::default();
        let start = Instant::now();
        let mut count = |from: u64, to: u64| {
            // A thousand a second.
            (from * 1000..to * 1000)
                .filter(|at| budget.take(start + Duration::from_millis(*at)).is_some())
                .count()
        };
        assert_eq!(count(0, 1), 20);
        assert_eq!(count(1, 101), 100);
        // After a silence there is room again, but no more than at first.
        assert_eq!(count(1000, 1001), 20);
        assert!(
            budget
                .take(start + Duration::from_secs(2000))
                .is_some_and(|it| it > 900)
        );
    }

    #[test]
    fn names_cannot_look_like_something_else() {
        let cases = [
            ("alice", "alice"),
            ("alice@example.com", "alice@example.com"),
            ("jos\u{e9}", "jos\u{e9}"),
            ("a peer=192.0.2.9", "a\\u{20}peer\\u{3d}192.0.2.9"),
            ("\"\n\u{1b}", "\\u{22}\\u{a}\\u{1b}"),
            ("\u{202e}", "\\u{202e}"),
        ];
        for (name, text) in cases {
            assert_eq!(shown(name), text);
        }
        assert_eq!(shown(&"a".repeat(99)).len(), MAX_SHOWN);
    }
}
