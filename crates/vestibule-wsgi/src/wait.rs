//! Waits for a future on a thread of Python's, without holding the interpreter.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use pyo3::Python;

/// The output of `future`, which is polled on this thread.
///
/// What is ready at once costs nothing; otherwise the thread lets go of the interpreter, so that
/// other threads run Python meanwhile, and sleeps until the future wakes it.
pub(crate) fn wait<F>(py: Python<'_>, future: F) -> F::Output
where
    F: Future<Output: Send> + Send,
{
    let mut future = pin!(future);
    let waker = WAKER.with(Waker::clone);
    let mut cx = Context::from_waker(&waker);
    if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
        return output;
    }
    py.detach(move || {
        let mut cx = Context::from_waker(&waker);
        loop {
            thread::park();
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
        }
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: Waker = Arc::new(Unpark(thread::current())).into();
}
