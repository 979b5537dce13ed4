//! `vestibule-core`: a body that another task writes.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the models use a part of the API"
)]
mod channel {
    include!(concat!(env!("OUT_DIR"), "/channel.rs"));
}

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http_body::Body as _;
use loom::thread;
use vestibule_core::{Abort, BodyError};

use crate::task::block_on;
use crate::{Model, explore};
use channel::{BodySender, Closed, Receiver};

pub(crate) const MODELS: &[Model] = &[
    Model {
        piece: "channel",
        shows: "pieces arrive once and in order, and the end after them; a writer that waits for room is woken",
        run: all_arrives,
        mistakes: &[
            // The reader sleeps without the lock under which it found the channel empty.
            (
                "shared.reader = Some(cx.waker().clone());",
                "drop(shared);\n lock(&self.shared).reader = Some(cx.waker().clone());",
            ),
            (
                "if shared.waiting <= shared.room() / 2 {",
                "if shared.waiting > shared.room() / 2 {",
            ),
            (
                "shared.frames.push_back(frame);\n        wake(shared.reader.take(), shared);",
                "wake(shared.reader.take(), shared);\n lock(&self.shared).frames.push_back(frame);",
            ),
            (
                "shared.end = Some(error);\n        wake(shared.reader.take(), shared);",
                "shared.end = Some(error);",
            ),
        ],
    },
    Model {
        piece: "channel",
        shows: "a writer notices a dropped body while it writes, waits for room, or waits for the drop",
        run: a_writer_notices_a_dropped_body,
        mistakes: &[
            (
                "shared.frames.clear();\n        wake(shared.writer.take(), shared);",
                "shared.frames.clear();",
            ),
            (
                "shared.is_closed = true;\n        shared.frames.clear();\n        wake(shared.writer.take(), shared);",
                "wake(shared.writer.take(), shared);\n lock(&self.shared).is_closed = true;",
            ),
        ],
    },
    Model {
        piece: "channel",
        shows: "a body whose writer is dropped ends with an error, after the written pieces",
        run: a_reader_notices_a_dropped_writer,
        mistakes: &[
            ("end(lock(&self.shared), Some(BodyError::new(Abort)));", ""),
            (
                "if let Some(frame) = shared.frames.pop_front() {",
                "if let Some(frame) = shared.frames.pop_front().filter(|_| shared.end.is_none()) {",
            ),
        ],
    },
];

/// Returns the next piece, or the end of the body.
fn read(body: &mut Receiver) -> Option<Result<Bytes, ()>> {
    let frame = block_on(poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)));
    Some(
        frame?
            .map(|frame| frame.into_data().expect("no trailers"))
            .map_err(drop),
    )
}

/// Writes a piece, which fills the buffer.
fn write(sender: &mut BodySender, piece: &'static str) -> Result<(), Closed> {
    block_on(sender.send(piece))
}

fn all_arrives() {
    explore(3, || {
        let (sender, mut body) = channel::channel();
        let writer = thread::spawn(move || {
            let mut sender = sender.with_room(1);
            write(&mut sender, "a").unwrap();
            write(&mut sender, "b").unwrap();
            sender.finish();
        });
        for piece in ["a", "b"] {
            assert_eq!(
                read(&mut body),
                Some(Ok(Bytes::from_static(piece.as_bytes())))
            );
        }
        assert_eq!(read(&mut body), None);
        writer.join().unwrap();
    });
}

fn a_writer_notices_a_dropped_body() {
    explore(3, || {
        let (sender, mut body) = channel::channel();
        let writer = thread::spawn(move || {
            let mut sender = sender.with_room(1);
            let written = write(&mut sender, "a").and_then(|()| write(&mut sender, "b"));
            // The reader takes at most one of them.
            if written.is_ok() {
                block_on(sender.closed());
            }
        });
        let _ = read(&mut body);
        drop(body);
        writer.join().unwrap();
    });
}

fn a_reader_notices_a_dropped_writer() {
    explore(3, || {
        let (mut sender, mut body) = channel::channel();
        let writer = thread::spawn(move || {
            write(&mut sender, "a").unwrap();
            drop(sender);
        });
        assert_eq!(read(&mut body), Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(read(&mut body), Some(Err(())));
        assert_eq!(read(&mut body), None);
        writer.join().unwrap();
    });
}
