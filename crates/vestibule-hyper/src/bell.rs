//! Futures that are asked only when they have something to say.
//!
//! A connection's task is woken by its socket, for nearly all it has to do. Its timer and the
//! server's drain wake it once a second or once a life; polled beside each request they would be a
//! tenth of what it costs. So they get a waker of their own, which leaves a note.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// A waker that wakes a task and says that it did.
#[derive(Debug)]
pub(crate) struct Bell {
    rope: Arc<Rope>,
    waker: Waker,
}

#[derive(Debug)]
struct Rope {
    has_rung: AtomicBool,
    task: Waker,
}

impl Bell {
    /// A bell that has rung: what it is for was not polled yet.
    pub(crate) fn new(task: &Waker) -> Self {
        let rope = Arc::new(Rope {
            has_rung: AtomicBool::new(true),
            task: task.clone(),
        });
        let waker = Waker::from(rope.clone());
        Self { rope, waker }
    }

    /// Whether it has rung since it was last silenced. A task whose waker is another now has not
    /// heard it: its bell is made anew.
    pub(crate) fn has_rung(&mut self, task: &Context<'_>) -> bool {
        if !self.rope.task.will_wake(task.waker()) {
            *self = Self::new(task.waker());
        }
        self.rope.has_rung.load(Ordering::Acquire)
    }

    /// The context in which to poll what rings the bell. Whatever rings from here on is heard, and the
    /// poll sees why it rang before.
    pub(crate) fn silence(&self) -> Context<'_> {
        // A store would not do: of a ring between the last look and this it would hide the reason.
        self.rope.has_rung.swap(false, Ordering::Acquire);
        Context::from_waker(&self.waker)
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A store would not do here either: it would hide the reason of a ring before it.
        self.has_rung.swap(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Wake for Silent {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn rings_until_it_is_silenced() {
        let task = Waker::from(Arc::new(Silent));
        let context = Context::from_waker(&task);
        let mut bell = Bell::new(&task);
        assert!(bell.has_rung(&context));
        let ringer = bell.silence().waker().clone();
        assert!(!bell.has_rung(&context));
        ringer.wake_by_ref();
        assert!(bell.has_rung(&context));

        // Another task's waker has not been told of anything.
        bell.silence();
        let other = Waker::from(Arc::new(Silent));
        assert!(bell.has_rung(&Context::from_waker(&other)));
    }
}
