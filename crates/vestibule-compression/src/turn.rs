//! Whose turn it is on a thread: others between two slices of a body, and of bodies one after the other.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::Context;

/// Asks for the next turn, after what is ready and what waits for the network. A task that only wakes
/// itself comes before the network in tokio.
pub(crate) fn after_others(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// The turn to encode a body that is whole in memory, slice by slice.
///
/// Several such bodies on a thread are encoded one after the other: a state is several hundred KB, and
/// those of all would not stay in the cache. Nobody waits for a turn that is not used: after a few rounds
/// without a slice it counts for nothing.
pub(crate) struct Turn(Option<Arc<Place>>);

/// One for each thread.
#[derive(Default)]
struct Place {
    is_taken: AtomicBool,
    slices: AtomicU32,
}

impl Turn {
    pub(crate) async fn wait() -> Self {
        let (mut last, mut rounds) = (0, 0);
        loop {
            // The task may have come to another thread meanwhile.
            let Some(place) = Place::here() else {
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

    /// Others have their turn, of those that wait for this one each once.
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

impl Place {
    /// That of this thread; none while it ends.
    fn here() -> Option<Arc<Self>> {
        thread_local! {
            static PLACE: OnceCell<Arc<Place>> = const { OnceCell::new() };
        }
        PLACE
            .try_with(|place| place.get_or_init(Arc::default).clone())
            .ok()
    }
}

/// So many rounds without a slice are waited for.
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
