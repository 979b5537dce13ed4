//! Calls that are dropped at every await, and bodies that are dropped at every frame.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use vestibule_core::{App, Request, Response};

use crate::rule::named_rules;
use crate::violation::{Side, Violation};

named_rules! { TORTURE_RULES = [
    CANCEL_SAFE = "may-be-dropped", "Vestibule, section 1",
    "A call may be dropped at any await and a body at any frame: afterwards the app answers as before.";
]}

/// How often an app was cut off, and what is wrong since.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torture {
    /// Calls that were dropped while they waited: one for each await that was not ready.
    pub calls: usize,
    /// Bodies that were dropped before their end: one for each frame, and one before the first.
    pub bodies: usize,
    /// What is no longer as it was.
    pub violations: Vec<Violation>,
}

/// Drops a call to `app` at its first wait, another at its second, and so on; then drops bodies
/// before their first frame, after it, and so on. After each of these the app has to answer as it
/// did at first.
///
/// `request` makes the request, always the same one, and the app answers always the same. An app
/// that leaks permits, or keeps a lock, may answer no more at all: give the whole a time limit.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use vestibule_core::Request;
/// use vestibule_lint::torture;
///
/// static IS_BUSY: AtomicBool = AtomicBool::new(false);
/// let greedy = |_: Request| async {
///     if IS_BUSY.swap(true, Ordering::SeqCst) {
///         return "busy";
///     }
///     tokio::task::yield_now().await;
///     IS_BUSY.store(false, Ordering::SeqCst); // never, if the call is dropped
///     "done"
/// };
/// let torture = torture(&greedy, Request::default).await;
/// assert_eq!(torture.calls, 1);
/// assert_eq!(torture.violations[0].rule.id, "may-be-dropped");
/// # }
/// ```
pub async fn torture<A: App>(app: &A, request: impl Fn() -> Request) -> Torture {
    let want = whole(app.call(request()).await).await;
    let mut torture = Torture {
        calls: 0,
        bodies: 0,
        violations: Vec::new(),
    };
    for waits in 1..=MOST {
        if polled_at_most(app.call(request()), waits).await.is_some() {
            break;
        }
        torture.calls += 1;
        torture.compare(&want, &whole(app.call(request()).await).await, || {
            format!("a call was dropped at wait {waits}")
        });
    }
    for frames in 0..MOST {
        let mut body = app.call(request()).await.into_body();
        let mut is_over = false;
        for _ in 0..frames {
            is_over |= !matches!(body.frame().await, Some(Ok(_)));
        }
        drop(body);
        if is_over {
            break;
        }
        torture.bodies += 1;
        torture.compare(&want, &whole(app.call(request()).await).await, || {
            format!("a body was dropped after {frames} frames")
        });
    }
    torture
}

impl Torture {
    fn compare(&mut self, want: &Answer, now: &Answer, after: impl Fn() -> String) {
        if now != want && self.violations.is_empty() {
            let (want, now) = (want.summary(), now.summary());
            let detail = format!("after {} it answers {now}, at first {want}", after());
            self.violations
                .push(Violation::new(&CANCEL_SAFE, Side::App, detail));
        }
    }
}

/// Polls a future, and drops it when it waits after so many polls.
async fn polled_at_most<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut count = 0;
    poll_fn(|cx| {
        count += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if count == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[derive(PartialEq, Eq)]
struct Answer {
    status: u16,
    data: Vec<u8>,
    error: Option<String>,
}

impl Answer {
    fn summary(&self) -> String {
        let bytes = self.data.len();
        match &self.error {
            Some(error) => format!("{} with {bytes} bytes and {error:?}", self.status),
            None => format!("{} with {bytes} bytes", self.status),
        }
    }
}

async fn whole(response: Response) -> Answer {
    let mut answer = Answer {
        status: response.status().as_u16(),
        data: Vec::new(),
        error: None,
    };
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => answer.data.extend(frame.into_data().unwrap_or_default()),
            Err(error) => answer.error = Some(error.to_string()),
        }
    }
    answer
}

/// An app that waits more often than this, or a body of more frames, is cut off at these only.
const MOST: usize = 100;
