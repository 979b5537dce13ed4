//! `vestibule-environ`: the place by which WSGI's `write` hands its bytes over.

mod slot {
    include!(concat!(env!("OUT_DIR"), "/slot.rs"));
}

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use loom::thread;

use crate::task::block_on;
use crate::{Model, explore};
use slot::Slot;

pub(crate) const MODELS: &[Model] = &[
    Model {
        piece: "slot",
        shows: "what two write is read once, the reader is woken for it, and each writer when it is his turn",
        run: all_is_read,
        mistakes: &[
            (
                "if let Some(reader) = state.reader.take() {\n                reader.wake();\n            }",
                "",
            ),
            // The one that the slot had before: of two writers the last was woken.
            (
                "state.writers.push(cx.waker().clone());",
                "state.writers = vec![cx.waker().clone()];",
            ),
            (
                "state.writers.push(cx.waker().clone());",
                "drop(state);\n self.lock().writers.push(cx.waker().clone());",
            ),
        ],
    },
    Model {
        piece: "slot",
        shows: "who writes to nobody is not kept waiting",
        run: who_writes_to_nobody_goes_on,
        mistakes: &[
            (
                "state.piece = None;\n        state.wake_writers();",
                "state.piece = None;",
            ),
            (
                "state.is_closed = true;\n        state.piece = None;\n        state.wake_writers();",
                "state.wake_writers();\n drop(state);\n self.lock().is_closed = true;",
            ),
        ],
    },
];

fn put(slot: &Slot, data: &'static str) {
    let mut data = Some(Bytes::from_static(data.as_bytes()));
    block_on(poll_fn(|cx| slot.poll_put(&mut data, cx)));
}

fn all_is_read() {
    explore(1, || {
        let slot = Arc::new(Slot::default());
        let writers = ["a", "b"].map(|data| {
            let slot = slot.clone();
            thread::spawn(move || put(&slot, data))
        });
        let mut read = [(); 2].map(|()| {
            block_on(poll_fn(|cx| {
                slot.listen(cx);
                slot.take().map_or(Poll::Pending, Poll::Ready)
            }))
        });
        read.sort();
        assert_eq!(read, ["a", "b"]);
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

fn who_writes_to_nobody_goes_on() {
    explore(3, || {
        let slot = Arc::new(Slot::default());
        let writers = ["a", "b"].map(|data| {
            let slot = slot.clone();
            thread::spawn(move || put(&slot, data))
        });
        slot.close();
        for writer in writers {
            writer.join().unwrap();
        }
    });
}
