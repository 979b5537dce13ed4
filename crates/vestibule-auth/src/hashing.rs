//! Slow work, off the threads that serve, and not too much of it.

use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::waiting::Waiting;

/// How many slow checks run at once, and how many wait.
#[derive(Debug)]
pub(crate) struct Hashing {
    running: Arc<Semaphore>,
    waiting: Waiting,
    lanes: Vec<Mutex<()>>,
}

impl Hashing {
    /// Half of the processors check, so that the rest can serve.
    pub(crate) fn new(max_running: Option<usize>, max_waiting: usize) -> Self {
        let half = || std::thread::available_parallelism().map_or(1, |all| all.get() / 2);
        Self {
            running: Arc::new(Semaphore::new(max_running.unwrap_or_else(half).max(1))),
            waiting: Waiting::new(max_waiting),
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
        }
    }

    /// Waits for the turn of someone with this number; `None` when too many wait.
    ///
    /// One number has one check at a time: the many requests of one page then need one check, and a
    /// guesser's are counted one after the other.
    pub(crate) async fn turn(&self, number: u64) -> Option<Turn<'_>> {
        let _waits = self.waiting.begin()?;
        let lane = &self.lanes[(number % LANES as u64) as usize];
        let lane = lane.lock().await;
        let permit = self.running.clone().acquire_owned().await.ok()?;
        Some(Turn {
            permit,
            _lane: lane,
        })
    }
}

/// Someone whose turn it is.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    permit: OwnedSemaphorePermit,
    _lane: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Runs `work` on the blocking pool, or right here when there is no runtime. It runs to its end,
    /// and counts as running until then, even when nobody waits for it any more.
    ///
    /// `None` when it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = self.permit;
        let work = move || {
            let done = work();
            drop(permit);
            done
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(work).await.ok(),
            Err(_) => Some(work()),
        }
    }
}

/// Users share a lane by chance; then one waits for the other.
const LANES: usize = 64;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn beyond_the_limit_is_refused_and_the_gone_do_not_count() {
        let hashing = Hashing::new(Some(1), 2);
        let turn = hashing.turn(0).await.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut second = pin!(hashing.turn(1));
            let mut third = pin!(hashing.turn(2));
            assert!(second.as_mut().poll(&mut cx).is_pending());
            assert!(third.as_mut().poll(&mut cx).is_pending());
            assert!(hashing.turn(3).await.is_none());
        }
        assert_eq!(hashing.waiting.count(), 0);
        assert_eq!(turn.run(|| 7).await, Some(7));
        assert!(hashing.turn(3).await.is_some());
    }

    /// One thread serves here, and two checks run at once all the same: each waits for another.
    #[tokio::test]
    async fn checks_run_elsewhere_as_many_at_once_as_allowed() {
        let hashing = Arc::new(Hashing::new(Some(2), 100));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let pair = Arc::new(std::sync::Barrier::new(2));
        let serving = std::thread::current().id();
        let checks = (0..40).map(|number| {
            let (hashing, pair) = (hashing.clone(), pair.clone());
            let (running, most) = (running.clone(), most.clone());
            tokio::spawn(async move {
                let work = move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    pair.wait();
                    running.fetch_sub(1, Ordering::SeqCst);
                    std::thread::current().id()
                };
                let turn = hashing.turn(number).await;
                turn.expect("a hundred may wait").run(work).await
            })
        });
        for check in checks.collect::<Vec<_>>() {
            let thread = check.await.unwrap().expect("no panic");
            assert_ne!(thread, serving);
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_is_none_and_frees_the_place() {
        let hashing = Hashing::new(Some(1), 1);
        let turn = hashing.turn(0).await.unwrap();
        assert_eq!(turn.run(|| panic!("no more paper")).await, None::<()>);
        assert!(hashing.turn(0).await.is_some());
    }
}
