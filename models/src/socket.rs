//! `vestibule-socket`: the rate limit of log lines.

mod gate {
    include!(concat!(env!("OUT_DIR"), "/gate.rs"));
}

use std::sync::Arc;

use loom::thread;

use crate::{Model, explore};
use gate::Gate;

pub(crate) const MODELS: &[Model] = &[Model {
    piece: "gate",
    shows: "of two concurrent events one passes, and each suppressed event is counted once",
    run: one_passes,
    mistakes: &[
        (
            "self.next.compare_exchange(next, after, Relaxed, Relaxed)",
            "Ok::<u64, u64>(self.next.swap(after, Relaxed).min(next))",
        ),
        (
            "self.kept_back.fetch_add(1, Relaxed)",
            "self.kept_back.store(self.kept_back.load(Relaxed) + 1, Relaxed)",
        ),
        (
            "Some(self.kept_back.swap(0, Relaxed))",
            "Some(self.kept_back.load(Relaxed))",
        ),
    ],
}];

fn one_passes() {
    explore(3, || {
        let gate = Arc::new(Gate::default());
        let others = [(); 2].map(|()| {
            let gate = gate.clone();
            thread::spawn(move || gate.pass(0))
        });
        let mine = gate.pass(0);
        let all = others.map(|other| other.join().unwrap());
        let passed: Vec<u64> = all.into_iter().chain([mine]).flatten().collect();
        assert_eq!(passed.len(), 1);
        // The passed event reported those before it; the next reports the rest.
        assert_eq!(passed[0] + gate.pass(1_000).unwrap(), 2);
        assert_eq!(gate.pass(2_000), Some(0));
    });
}
