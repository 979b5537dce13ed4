//! `vestibule-auth`: the lock-out after failed logins, and the queue for slow hashes.

#[allow(dead_code, reason = "addresses use the same lock-out as users")]
mod lockout {
    include!(concat!(env!("OUT_DIR"), "/lockout.rs"));
}
mod waiting {
    include!(concat!(env!("OUT_DIR"), "/waiting.rs"));
}

use std::sync::Arc;
use std::time::Instant;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::{Model, explore};
use lockout::Lockout;
use waiting::Waiting;

pub(crate) const MODELS: &[Model] = &[
    Model {
        piece: "lockout",
        shows: "two concurrent failures both count: the next attempt is locked out",
        run: failures_add_up,
        mistakes: &[
            ("self.has_failures.store(true, Ordering::Relaxed);", ""),
            (
                "failed.count = failed.count.saturating_add(1);",
                "let count = failed.count;\n drop(table);\n table = self.failures.lock().unwrap_or_else(PoisonError::into_inner);\n let failed = table.place(key, now);\n failed.count = count + 1;",
            ),
        ],
    },
    Model {
        piece: "lockout",
        shows: "a success does not reset a concurrent failure of another user",
        run: a_success_forgets_its_own,
        mistakes: &[(
            "*failed = Failures::default();",
            "*failed = Failures::default();\n self.has_failures.store(false, Ordering::Relaxed);",
        )],
    },
    Model {
        piece: "waiting",
        shows: "the queue never exceeds its limit, a lone caller may wait, and cancelled callers do not count",
        run: the_queue_has_a_limit,
        mistakes: &[
            (
                "let before = self.count.fetch_add(1, Ordering::Relaxed);",
                "let before = self.count.load(Ordering::Relaxed);\n self.count.store(before + 1, Ordering::Relaxed);",
            ),
            (
                "let waits = Waits(&self.count);\n        (before < self.max).then_some(waits)",
                "(before < self.max).then(|| Waits(&self.count))",
            ),
        ],
    },
];

fn failures_add_up() {
    explore(3, || {
        let lockout = Arc::new(Lockout::new().by_user(2));
        let now = Instant::now();
        let guesses = [(); 2].map(|()| {
            let lockout = lockout.clone();
            thread::spawn(move || lockout.failed(7, None, now))
        });
        for guess in guesses {
            guess.join().unwrap();
        }
        assert!(lockout.wait(7, None, now).is_some());
    });
}

fn a_success_forgets_its_own() {
    explore(3, || {
        let lockout = Arc::new(Lockout::new().by_user(1));
        let now = Instant::now();
        lockout.failed(8, None, now);
        let failure = {
            let lockout = lockout.clone();
            thread::spawn(move || lockout.failed(7, None, now))
        };
        lockout.succeeded(8);
        failure.join().unwrap();
        assert!(lockout.wait(7, None, now).is_some());
        assert!(lockout.wait(8, None, now).is_none());
    });
}

fn the_queue_has_a_limit() {
    explore(3, || {
        let waiting = Arc::new(Waiting::new(1));
        let inside = Arc::new(AtomicUsize::new(0));
        let requests = [(); 2].map(|()| {
            let (waiting, inside) = (waiting.clone(), inside.clone());
            thread::spawn(move || {
                let Some(waits) = waiting.begin() else {
                    return false;
                };
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                inside.fetch_sub(1, Ordering::Relaxed);
                drop(waits);
                true
            })
        });
        let waited = requests.map(|request| request.join().unwrap());
        assert!(waited.contains(&true));
        let first = waiting.begin();
        assert!(first.is_some() && waiting.begin().is_none());
    });
}
