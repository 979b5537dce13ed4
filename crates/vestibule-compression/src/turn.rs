//! Fairness on a thread: other tasks run between two slices of a body, and bodies take turns.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::Context;

/// Wakes the task after all ready tasks and after a poll of the network. tokio would run a task that only
/// wakes itself before it polls the network.
pub(crate) fn after_others(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// The turn to encode a body that is whole in memory, slice by slice.
///
/// Several such bodies on a thread are encoded one after the other, because their states, several hundred
/// KB each, would not all stay in the cache. A turn that is not used ends after a few rounds without a
/// slice.
pub(crate) struct Turn(Option<Arc<ThreadTurns>>);

/// The turns of one thread.
#[derive(Default)]
struct ThreadTurns {
    is_taken: AtomicBool,
    slices: AtomicU32,
}

impl Turn {
    pub(crate) async fn wait() -> Self {
        let (mut last, mut rounds) = (0, 0);
        loop {
            // The task may have moved to another thread meanwhile.
            let Some(place) = ThreadTurns::here() else {
                return Self(None);
            };
            if !place.is_taken.swap(true, Relaxed) {
                return Self(Some(place));
            }
            let slices = place.slices.load(Relaxed);
            rounds = if slices == last { rounds + 1 } else { 0 };
            last = slices;
            if rounds > PATIENCE {
                return Self(None);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Yields to other tasks. Each task that waits for this turn runs once.
    pub(crate) async fn next_slice(&self) {
        if let Some(place) = &self.0 {
            place.slices.fetch_add(1, Relaxed);
        }
        tokio::task::yield_now().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            place.is_taken.store(false, Relaxed);
        }
    }
}

impl ThreadTurns {
    /// Returns the queue of this thread, or `None` while the thread ends.
    fn here() -> Option<Arc<Self>> {
        thread_local! {
            static PLACE: OnceCell<Arc<ThreadTurns>> = const { OnceCell::new() };
        }
        PLACE
            .try_with(|place| place.get_or_init(Arc::default).clone())
            .ok()
    }
}

/// A turn ends after this many rounds without a slice.
const PATIENCE: u32 = 4;

#[cfg(test)]
mod tests {
    use std::task::{Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_next_waits_for_the_end_of_the_last() {
        let Poll::Ready(first) = poll(pin!(Turn::wait())) else {
            panic!("nobody is before it");
        };
        let mut second = pin!(Turn::wait());
        for _ in 0..100 {
            assert!(poll(second.as_mut()).is_pending());
            assert!(poll(pin!(first.next_slice())).is_pending());
        }
        drop(first);
        assert!(poll(second).is_ready());
    }

    #[test]
    fn a_turn_that_is_not_used_is_not_waited_for() {
        let Poll::Ready(first) = poll(pin!(Turn::wait())) else {
            panic!("nobody is before it");
        };
        let mut second = pin!(Turn::wait());
        let rounds = (0..100).find(|_| poll(second.as_mut()).is_ready());
        assert!(rounds.is_some_and(|rounds| rounds > 2));
        drop(first);
        assert!(matches!(
            poll(pin!(Turn::wait())),
            Poll::Ready(Turn(Some(_)))
        ));
    }
}
