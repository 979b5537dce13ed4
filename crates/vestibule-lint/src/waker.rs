//! Detects a pending future that can never be polled again.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls with its own waker, and detects whether the waker was kept or used.
#[derive(Debug)]
pub(crate) struct WakeCheck(Arc<Woken>);

#[derive(Debug)]
struct Woken {
    /// The waker of the last poll.
    task: Mutex<Waker>,
    was_woken: AtomicBool,
}

impl WakeCheck {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Woken {
            task: Mutex::new(Waker::noop().clone()),
            was_woken: AtomicBool::new(false),
        }))
    }

    /// Polls by `poll`. The second value is true if the future will never be polled again. It is
    /// then pending, and has neither used nor kept its waker.
    pub(crate) fn poll<T>(
        &self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> (Poll<T>, bool) {
        self.0
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(cx.waker());
        self.0.was_woken.store(false, Ordering::SeqCst);
        let polled = {
            let waker = Waker::from(self.0.clone());
            poll(&mut Context::from_waker(&waker))
        };
        // Read the count first: a waker that is consumed meanwhile has already set `was_woken`.
        let is_kept = Arc::strong_count(&self.0) > 1;
        // The count alone has no ordering with other memory accesses.
        fence(Ordering::Acquire);
        let is_lost = polled.is_pending() && !is_kept && !self.0.was_woken.load(Ordering::SeqCst);
        (polled, is_lost)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.was_woken.store(true, Ordering::SeqCst);
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        task.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_wakers_are_detected() {
        let check = WakeCheck::new();
        let cx = Context::from_waker(Waker::noop());
        let mut kept = None;
        let poll = |f: &mut dyn FnMut(&Waker)| {
            check.poll(&cx, |cx| {
                f(cx.waker());
                Poll::<()>::Pending
            })
        };
        assert!(poll(&mut |_| ()).1);
        assert!(!poll(&mut |waker| waker.wake_by_ref()).1);
        assert!(!poll(&mut |waker| kept = Some(waker.clone())).1);
        assert!(!poll(&mut |_| ()).1, "it is kept from before");
        drop(kept);
        assert!(poll(&mut |_| ()).1);
        assert!(!check.poll(&cx, |_| Poll::Ready(())).1);
    }
}
