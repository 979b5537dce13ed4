//! `vestibule-wsgi`: the queue for Python's threads, the channel for their responses, and the feed
//! of a body.

#[allow(dead_code, reason = "no model measures how long calls take")]
mod queue {
    include!(concat!(env!("OUT_DIR"), "/queue.rs"));
}
mod outbox {
    use super::tokio;
    include!(concat!(env!("OUT_DIR"), "/outbox.rs"));
}
#[allow(dead_code, reason = "the model's server fills it")]
mod feed {
    include!(concat!(env!("OUT_DIR"), "/feed.rs"));
}

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};
use vestibule_core::{Body, Response};

use crate::task::{block_on, waker_of};
use crate::{Model, explore};
use feed::{Feed, Taken};
use outbox::Outbox;
use queue::Queue;

pub(crate) const MODELS: &[Model] = &[
    Model {
        piece: "queue",
        shows: "each request is taken by one thread and none remains, although few of them wake a thread",
        run: each_task_is_taken_once,
        mistakes: &[
            (
                "while state.tasks.is_empty() {",
                "drop(state);\n let is_empty = self.lock().tasks.is_empty();\n state = self.lock();\n if is_empty {",
            ),
            ("state.is_to_be_rung = false;", ""),
        ],
    },
    Model {
        piece: "queue",
        shows: "a blocked thread does not block others: another one takes over",
        run: another_thread_takes_over,
        mistakes: &[
            (
                "let is_news = waiting > count && !state.is_watched;",
                "let is_news = false;",
            ),
            (
                "state.is_watched = !state.tasks.is_empty();",
                "state.is_watched = false;",
            ),
            (
                "self.wake(state, usize::from(goes_on && stands_still));",
                "",
            ),
        ],
    },
    Model {
        piece: "queue",
        shows: "a file's `close` is called once, without a separate wake-up call",
        run: a_close_is_done_once,
        mistakes: &[
            (
                "state.tasks.push_front(task);\n        self.wake(state, 1);",
                "state.tasks.push_front(task);",
            ),
            (
                "state.tasks.push_front(task);\n        self.wake(state, 1);",
                "self.wake(state, 1);\n self.lock().tasks.push_front(task);",
            ),
        ],
    },
    Model {
        piece: "queue",
        shows: "the queue never exceeds its limit; after it is closed, all accepted requests are done, and the threads end",
        run: accepted_requests_are_done,
        mistakes: &[
            (
                "state.is_closed = true;\n        self.wake(state, usize::MAX);",
                "state.is_closed = true;",
            ),
            ("if is_full || state.is_closed {", "if is_full {"),
            (
                "self.lock().alive -= 1;\n        self.ended.notify_all();",
                "self.ended.notify_all();\n self.lock().alive -= 1;",
            ),
            (
                "while state.tasks.is_empty() {\n            if state.is_closed {",
                "loop {\n            if state.is_closed {",
            ),
        ],
    },
    Model {
        piece: "outbox",
        shows: "each response reaches the server, which sleeps when there are none",
        run: each_response_arrives,
        mistakes: &[
            ("self.sleeps.swap(true, SeqCst);\n", "\n"),
            (
                "if self.collect() {\n            self.sleeps.swap(false, SeqCst);\n        }",
                "self.sleeps.swap(false, SeqCst);\n if self.collect() {\n return;\n }\n self.sleeps.swap(true, SeqCst);",
            ),
            (
                "if self.collect() {\n            self.sleeps.swap(false, SeqCst);\n        }",
                "",
            ),
        ],
    },
    Model {
        piece: "feed",
        shows: "a reader gets each piece once and in order, and the end, and sleeps only until there is input",
        run: all_of_a_body_is_read,
        mistakes: &[
            (
                "self.lock().end = Some(end);\n        self.tell();",
                "self.lock().end = Some(end);",
            ),
            (
                "self.lock().end = Some(end);\n        self.tell();",
                "self.tell();\n self.lock().end = Some(end);",
            ),
            (
                "state.wanted = bytes;",
                "drop(state);\n state = self.lock();\n state.wanted = bytes;",
            ),
            (
                "drop(state);\n        self.tell();\n        Poll::Pending",
                "Poll::Pending",
            ),
            (
                "let is_roomy = state.is_full && state.bytes <= ROOM / 2;",
                "let is_roomy = false;",
            ),
        ],
    },
    Model {
        piece: "feed",
        shows: "the server gets the body back when it has no reader any more",
        run: a_closed_feed_returns_the_body,
        mistakes: &[
            (
                "let waker = state.server.take();\n        drop(state);\n        waker.inspect(Waker::wake_by_ref);\n    }\n}",
                "}\n}",
            ),
            (
                "state.is_closed = true;\n        state.pieces.clear();",
                "state.pieces.clear();",
            ),
        ],
    },
];

/// Threads that count their work, as Python's threads do it. The first task may be one that waits
/// for the second.
struct Pool {
    queue: Arc<Queue<usize>>,
    done: Arc<[AtomicUsize; 3]>,
    /// Signals finished work.
    news: Arc<Notify>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    fn new(threads: usize, capacity: usize, waits: bool) -> Self {
        let queue = Arc::new(Queue::<usize>::new(threads, capacity, false));
        let done: Arc<[AtomicUsize; 3]> = Arc::default();
        let (news, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let threads = (0..threads).map(|number| {
            let (queue, news, second) = (queue.clone(), news.clone(), second.clone());
            let done: Arc<[AtomicUsize; 3]> = done.clone();
            thread::spawn(move || {
                while queue.wait(number) {
                    while let Some(task) = queue.try_take() {
                        while waits && task == 0 && done[1].load(Ordering::Relaxed) == 0 {
                            second.wait();
                        }
                        done[task].fetch_add(1, Ordering::Relaxed);
                        if task == 1 {
                            second.notify();
                        }
                        news.notify();
                    }
                }
                queue.leave();
            })
        });
        Self {
            threads: threads.collect(),
            queue,
            done,
            news,
        }
    }

    fn done(&self) -> [usize; 3] {
        [0, 1, 2].map(|task| self.done[task].load(Ordering::Relaxed))
    }

    fn wait_for(&self, done: [usize; 3]) {
        while self.done() != done {
            self.news.wait();
        }
    }

    fn close(self) -> [usize; 3] {
        let done = self.done.clone();
        self.queue.close();
        assert_eq!(self.queue.push(0), Err(0));
        assert!(self.queue.join(Duration::from_secs(10)));
        for thread in self.threads {
            thread.join().unwrap();
        }
        [0, 1, 2].map(|task| done[task].load(Ordering::Relaxed))
    }
}

/// Wakes once for all tasks of a batch. A timer also checks the queue while it has tasks.
fn push_and_ring(queue: &Queue<usize>, tasks: &[usize]) {
    let rings = tasks
        .iter()
        .filter(|task| queue.push(**task).unwrap())
        .count();
    assert!(rings <= 1);
    if rings == 1 && queue.ring() {
        while queue.look_after() {
            thread::yield_now();
        }
    }
}

fn each_task_is_taken_once() {
    explore(2, || {
        let pool = Pool::new(2, 3, false);
        push_and_ring(&pool.queue, &[0, 1]);
        push_and_ring(&pool.queue, &[2]);
        pool.wait_for([1, 1, 1]);
        assert_eq!(pool.close(), [1, 1, 1]);
    });
}

fn another_thread_takes_over() {
    explore(1, || {
        let pool = Pool::new(2, 3, true);
        push_and_ring(&pool.queue, &[0, 1]);
        pool.wait_for([1, 1, 0]);
        assert_eq!(pool.close(), [1, 1, 0]);
    });
}

fn a_close_is_done_once() {
    explore(2, || {
        let pool = Pool::new(2, 3, false);
        pool.queue.push_first(0);
        pool.wait_for([1, 0, 0]);
        pool.queue.push_first(1);
        pool.wait_for([1, 1, 0]);
        assert_eq!(pool.close(), [1, 1, 0]);
    });
}

fn accepted_requests_are_done() {
    explore(2, || {
        let pool = Pool::new(1, 1, false);
        let taken = [0, 1, 2].map(|task| usize::from(pool.queue.push(task).is_ok()));
        // One may wait, and one more if the thread is idle.
        assert!(taken.iter().sum::<usize>() >= 1);
        assert_eq!(pool.close(), taken);
    });
}

/// The part of tokio that the outbox uses; its server is one thread.
mod tokio {
    pub(super) mod sync {
        use std::future::poll_fn;
        use std::task::{Poll, Waker};

        use loom::sync::Mutex;

        /// Stores one notification, and wakes the waiter.
        #[derive(Debug, Default)]
        pub(crate) struct Notify(Mutex<(bool, Option<Waker>)>);

        impl Notify {
            pub(crate) fn notify_one(&self) {
                let mut state = self.0.lock().unwrap();
                state.0 = true;
                if let Some(waker) = state.1.take() {
                    waker.wake();
                }
            }

            pub(crate) async fn notified(&self) {
                poll_fn(|cx| {
                    let mut state = self.0.lock().unwrap();
                    if std::mem::take(&mut state.0) {
                        return Poll::Ready(());
                    }
                    state.1 = Some(cx.waker().clone());
                    Poll::Pending
                })
                .await;
            }
        }

        pub(crate) mod oneshot {
            use std::sync::{Arc, Mutex};

            /// Sends within one thread, so there is nothing to model.
            #[derive(Debug)]
            pub(crate) struct Sender<T>(pub(crate) Arc<Mutex<Vec<T>>>);

            impl<T> Sender<T> {
                pub(crate) fn is_closed(&self) -> bool {
                    false
                }

                pub(crate) fn send(self, value: T) -> Result<(), T> {
                    self.0.lock().unwrap().push(value);
                    Ok(())
                }
            }
        }
    }
}

/// The server's thread runs ready tasks, then sleeps, as tokio's single-threaded runtime does.
fn each_response_arrives() {
    explore(3, || {
        let outbox = Arc::new(Outbox::default());
        let answers = Arc::new(std::sync::Mutex::new(Vec::new()));
        let python = [(); 2].map(|()| {
            let (outbox, answers) = (outbox.clone(), answers.clone());
            thread::spawn(move || {
                let to = tokio::sync::oneshot::Sender(answers);
                assert!(outbox.send(to, Response::default(), false));
            })
        });
        let driver = Arc::new(Notify::new());
        let waker = waker_of(&driver);
        let mut serve = pin!(outbox.serve());
        let arrived = || answers.lock().unwrap().len();
        while arrived() < 2 {
            let before = arrived();
            let _ = serve.as_mut().poll(&mut Context::from_waker(&waker));
            outbox.before_sleep();
            // A task with a response is ready.
            if arrived() == before {
                driver.wait();
            }
            outbox.after_sleep();
        }
        for thread in python {
            thread.join().unwrap();
        }
    });
}

/// A body of several pieces. The server waits for the client between them.
struct Pieces {
    pieces: Vec<Bytes>,
    has_waited: bool,
    /// Whether it never ends.
    hangs: bool,
    dropped: Arc<AtomicUsize>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.has_waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_waited = false;
        match self.pieces.pop() {
            None if self.hangs => {
                self.has_waited = true;
                Poll::Pending
            }
            piece => Poll::Ready(piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.dropped.store(1, Ordering::Relaxed);
    }
}

/// Starts a server that fills a feed with pieces, in reverse order of the list.
fn fed(pieces: Vec<Bytes>, hangs: bool) -> (Arc<Feed>, JoinHandle<()>, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let body = Pieces {
        pieces,
        has_waited: false,
        hangs,
        dropped: dropped.clone(),
    };
    let feed = Arc::new(Feed::default());
    let filling = feed.clone();
    let server = thread::spawn(move || block_on(filling.fill(Body::new(body))));
    (feed, server, dropped)
}

fn all_of_a_body_is_read() {
    explore(2, || {
        // More than the server reads ahead.
        let large = Bytes::from_static(&[0; 512 * 1024]);
        let (feed, server, _) = fed(vec![Bytes::from_static(b"end"), large.clone()], false);
        let mut read = Vec::new();
        loop {
            match feed.take() {
                Taken::Piece(piece) => read.push(piece),
                Taken::Later => feed.wait(1),
                Taken::End => break,
                Taken::Broken(why) => panic!("{why}"),
                Taken::Closed => unreachable!("the call has not ended"),
            }
        }
        assert_eq!(read, [large, Bytes::from_static(b"end")]);
        server.join().unwrap();
    });
}

fn a_closed_feed_returns_the_body() {
    explore(2, || {
        let (feed, server, dropped) = fed(vec![Bytes::from_static(b"a")], true);
        feed.close();
        server.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}
