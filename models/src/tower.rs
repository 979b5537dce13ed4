//! `vestibule-tower`: the queue for a service that only one caller may poll.

mod wait_queue {
    include!(concat!(env!("OUT_DIR"), "/wait_queue.rs"));
}

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::task::block_on;
use crate::{Model, explore};
use wait_queue::{QueuePosition, WaitQueue};

pub(crate) const MODELS: &[Model] = &[Model {
    piece: "wait_queue",
    shows: "one caller at a time is first, every caller becomes first, and a cancelled caller blocks no other",
    run: every_caller_becomes_the_first,
    mistakes: &[
        (
            "if was_first {\n            self.queue.wake_first();\n        }",
            "",
        ),
        (
            "waiting.queue.push_back((ticket, cx.waker().clone()));\n            self.ticket = Some(ticket);\n            return first(&waiting, ticket);",
            "self.ticket = Some(ticket);\n let first = first(&waiting, ticket);\n drop(waiting);\n self.queue.lock().queue.push_back((ticket, cx.waker().clone()));\n return first;",
        ),
        (
            "let was_first = first(&waiting, ticket).is_ready();",
            "let was_first = first(&waiting, ticket).is_ready();\n drop(waiting);\n let mut waiting = self.queue.lock();",
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
        let queue = Arc::new(WaitQueue::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let requests = [(); 2].map(|()| {
            let (queue, inside) = (queue.clone(), inside.clone());
            thread::spawn(move || {
                let mut position = QueuePosition::new(&queue);
                block_on(poll_fn(|cx| position.poll_first(cx)));
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                inside.fetch_sub(1, Ordering::Relaxed);
            })
        });
        let mut position = QueuePosition::new(&queue);
        block_on(poll_fn(|cx| {
            let _ = pin!(&mut position).poll_first(cx);
            Poll::Ready(())
        }));
        drop(position);
        for request in requests {
            request.join().unwrap();
        }
    });
}
