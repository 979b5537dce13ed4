//! `vestibule-environ`: the channel of WSGI's `write`.

mod piece_channel {
    include!(concat!(env!("OUT_DIR"), "/piece_channel.rs"));
}

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use loom::thread;

use crate::task::block_on;
use crate::{Model, explore};
use piece_channel::PieceChannel;

pub(crate) const MODELS: &[Model] = &[
    Model {
        piece: "piece_channel",
        shows: "each piece of two writers is read once, and the reader and both writers are woken",
        run: all_is_read,
        mistakes: &[
            (
                "if let Some(reader) = state.reader.take() {\n                reader.wake();\n            }",
                "",
            ),
            // An earlier bug: only the last of two writers was woken.
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
        piece: "piece_channel",
        shows: "a writer without a reader does not wait",
        run: a_writer_without_a_reader_continues,
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

fn put(channel: &PieceChannel, data: &'static str) {
    let mut data = Some(Bytes::from_static(data.as_bytes()));
    block_on(poll_fn(|cx| channel.poll_put(&mut data, cx)));
}

fn all_is_read() {
    explore(1, || {
        let channel = Arc::new(PieceChannel::default());
        let writers = ["a", "b"].map(|data| {
            let channel = channel.clone();
            thread::spawn(move || put(&channel, data))
        });
        let mut read = [(); 2].map(|()| {
            block_on(poll_fn(|cx| {
                channel.listen(cx);
                channel.take().map_or(Poll::Pending, Poll::Ready)
            }))
        });
        read.sort();
        assert_eq!(read, ["a", "b"]);
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

fn a_writer_without_a_reader_continues() {
    explore(3, || {
        let channel = Arc::new(PieceChannel::default());
        let writers = ["a", "b"].map(|data| {
            let channel = channel.clone();
            thread::spawn(move || put(&channel, data))
        });
        channel.close();
        for writer in writers {
            writer.join().unwrap();
        }
    });
}
