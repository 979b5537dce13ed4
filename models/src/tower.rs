//! `vestibule-tower`: the queue for a service that only one caller may poll.

mod line {
    include!(concat!(env!("OUT_DIR"), "/line.rs"));
}

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::task::block_on;
use crate::{Model, explore};
use line::{Line, Place};

pub(crate) const MODELS: &[Model] = &[Model {
    piece: "line",
    shows: "one caller at a time is first, every caller becomes first, and a cancelled caller blocks no other",
    run: every_caller_becomes_the_first,
    mistakes: &[
        (
            "if was_first {\n            self.line.wake_first();\n        }",
            "",
        ),
        (
            "waiting.line.push_back((ticket, cx.waker().clone()));\n            self.ticket = Some(ticket);\n            return first(&waiting, ticket);",
            "self.ticket = Some(ticket);\n let first = first(&waiting, ticket);\n drop(waiting);\n self.line.lock().line.push_back((ticket, cx.waker().clone()));\n return first;",
        ),
        (
            "let was_first = first(&waiting, ticket).is_ready();",
            "let was_first = first(&waiting, ticket).is_ready();\n drop(waiting);\n let mut waiting = self.line.lock();",
        ),
        (
            "Some((first, _)) if *first == ticket => Poll::Ready(()),",
            "Some(_) => Poll::Ready(()),",
        ),
    ],
}];

/// Two callers wait until they are served; a third is polled once and cancelled.
fn every_caller_becomes_the_first() {
    explore(4, || {
        let line = Arc::new(Line::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let requests = [(); 2].map(|()| {
            let (line, inside) = (line.clone(), inside.clone());
            thread::spawn(move || {
                let mut place = Place::new(&line);
                block_on(poll_fn(|cx| place.poll_first(cx)));
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                inside.fetch_sub(1, Ordering::Relaxed);
            })
        });
        let mut place = Place::new(&line);
        block_on(poll_fn(|cx| {
            let _ = pin!(&mut place).poll_first(cx);
            Poll::Ready(())
        }));
        drop(place);
        for request in requests {
            request.join().unwrap();
        }
    });
}
