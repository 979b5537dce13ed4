//! `vestibule-hyper`: the wake-up of a connection by a drain and a timer, requests in flight, and
//! the share of an address.

mod bell {
    include!(concat!(env!("OUT_DIR"), "/bell.rs"));
}
mod per_address {
    include!(concat!(env!("OUT_DIR"), "/per_address.rs"));
}
mod tally {
    include!(concat!(env!("OUT_DIR"), "/tally.rs"));
}

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use vestibule_core::Address;

use crate::task::block_on;
use crate::{Model, explore};
use bell::Bell;
use per_address::PerAddress;
use tally::Tally;

pub(crate) const MODELS: &[Model] = &[
    Model {
        piece: "bell",
        shows: "an idle connection is woken when its time is up and when the server drains, in every order",
        run: every_wake_up_arrives,
        mistakes: &[
            // The waker is removed before the flag is set.
            (
                "self.has_rung.swap(true, Ordering::Release);\n        self.task.wake_by_ref();",
                "self.task.wake_by_ref();\n        self.has_rung.swap(true, Ordering::Release);",
            ),
            (
                "self.rope.has_rung.swap(false, Ordering::Acquire);",
                "self.rope.has_rung.store(false, Ordering::Release);",
            ),
            (
                "self.rope.has_rung.swap(false, Ordering::Acquire);",
                "self.rope.has_rung.swap(false, Ordering::Relaxed);",
            ),
            (
                "self.has_rung.swap(true, Ordering::Release);",
                "self.has_rung.swap(true, Ordering::Relaxed);",
            ),
            (
                "self.has_rung.swap(true, Ordering::Release);",
                "self.has_rung.store(true, Ordering::Release);",
            ),
            ("AtomicBool::new(true)", "AtomicBool::new(false)"),
        ],
    },
    Model {
        piece: "tally",
        shows: "a reader that sees no requests in flight sees the latest end",
        run: the_last_end_counts,
        mistakes: &[
            (
                "fetch_sub(1, Ordering::Release)",
                "fetch_sub(1, Ordering::Relaxed)",
            ),
            (
                "count.load(Ordering::Acquire)",
                "count.load(Ordering::Relaxed)",
            ),
            (
                "fetch_max(now, Ordering::Relaxed)",
                "store(now, Ordering::Relaxed)",
            ),
        ],
    },
    Model {
        piece: "tally",
        shows: "a reader that sees a body being sent sees the time of its request",
        run: a_sent_body_has_a_request_time,
        mistakes: &[(
            "fetch_add(1, Ordering::Release)",
            "fetch_add(1, Ordering::Relaxed)",
        )],
    },
    Model {
        piece: "per_address",
        shows: "an address never exceeds its share, and all its connections are released",
        run: no_address_exceeds_its_share,
        mistakes: &[
            (
                "*count += usize::from(has_place);",
                "drop(connections);\n *self.counts.lock().entry(key).or_default() += usize::from(has_place);",
            ),
            ("*count -= 1;", ""),
        ],
    },
];

/// A one-time event that wakes its waiter. It stores the waker, so that its second poll only reads
/// a flag: this is the minimum that the contract of `Future` allows.
#[derive(Default)]
struct Alarm {
    has_come: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Alarm {
    fn come(&self) {
        self.has_come.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, is_known: &mut bool, cx: &Context<'_>) -> bool {
        if !std::mem::replace(is_known, true) {
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
        }
        self.has_come.load(Ordering::Acquire)
    }
}

/// The timer and the drain run on two threads. Nothing else wakes the connection's task.
fn every_wake_up_arrives() {
    explore(3, || {
        let (timer, drain) = (Arc::new(Alarm::default()), Arc::new(Alarm::default()));
        let ringers =
            [timer.clone(), drain.clone()].map(|alarm| thread::spawn(move || alarm.come()));
        let mut bell: Option<Bell> = None;
        let mut known = [false; 2];
        block_on(poll_fn(|cx| {
            let bell = bell.get_or_insert_with(|| Bell::new(cx.waker()));
            if !bell.has_rung(cx) {
                return Poll::Pending;
            }
            let seldom = bell.silence();
            let is_up = timer.poll(&mut known[0], &seldom);
            let drains = drain.poll(&mut known[1], &seldom);
            match is_up && drains {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        for ringer in ringers {
            ringer.join().unwrap();
        }
    });
}

fn the_last_end_counts() {
    explore(3, || {
        let tally = Arc::new(Tally::default());
        tally.add();
        tally.add();
        let ends = [1, 2].map(|now| {
            let tally = tally.clone();
            thread::spawn(move || {
                tally.mark(now);
                tally.remove();
            })
        });
        if tally.count() == 0 {
            assert_eq!(tally.marked(), 2);
        }
        for end in ends {
            end.join().unwrap();
        }
        assert_eq!((tally.count(), tally.marked()), (0, 2));
    });
}

fn a_sent_body_has_a_request_time() {
    explore(3, || {
        let tally = Arc::new(Tally::default());
        let sending = {
            let tally = tally.clone();
            thread::spawn(move || {
                tally.mark(1);
                tally.add();
                tally.mark(2);
                tally.remove();
            })
        };
        if tally.count() > 0 {
            assert!(tally.marked() >= 1);
        }
        sending.join().unwrap();
        assert_eq!((tally.count(), tally.marked()), (0, 2));
    });
}

fn no_address_exceeds_its_share() {
    explore(3, || {
        let per_address = PerAddress::new(2);
        let address = Address::Tcp(([192, 0, 2, 1], 1).into());
        let inside = Arc::new(AtomicUsize::new(0));
        let clients = [(); 3].map(|()| {
            let (per_address, address, inside) =
                (per_address.clone(), address.clone(), inside.clone());
            thread::spawn(move || {
                let Some(counted) = per_address.count(&address) else {
                    return false;
                };
                assert!(inside.fetch_add(1, Ordering::Relaxed) < 2);
                inside.fetch_sub(1, Ordering::Relaxed);
                drop(counted);
                true
            })
        });
        let served = clients.map(|client| client.join().unwrap());
        assert!(served.iter().filter(|is_served| **is_served).count() >= 2);
        let free = [(); 3].map(|()| per_address.count(&address));
        assert!(free[0].is_some() && free[1].is_some() && free[2].is_none());
    });
}
