//! A thread that runs one future.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Notify;

struct Sleeper(Arc<Notify>);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify();
    }
}

/// Returns a waker that notifies `bell`. Unlike loom's wakers, these support `will_wake`.
pub(crate) fn waker_of(bell: &Arc<Notify>) -> Waker {
    Waker::from(Arc::new(Sleeper(bell.clone())))
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let bell = Arc::new(Notify::new());
    let waker = waker_of(&bell);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        bell.wait();
    }
}
