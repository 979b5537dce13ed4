//! Drops calls at every await, and bodies at every frame.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use vestibule_core::{App, Request, Response};

use crate::rule::named_rules;
use crate::violation::{Side, Violation};

named_rules! { TORTURE_RULES = [
    CANCEL_SAFE = "may-be-dropped", "Vestibule",
    "A call may be dropped at any await and a body at any frame: afterwards the app responds as before.";
]}

/// The number of drops, and the violations after them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torture {
    /// Number of dropped calls: one for each await that was pending.
    pub calls: usize,
    /// Number of bodies that were dropped before their end: one for each frame, and one before the
    /// first.
    pub bodies: usize,
    /// The differences from the first response.
    pub violations: Vec<Violation>,
}

/// Drops a call to `app` at its first pending await, another one at its second, and so on. Then
/// drops bodies before their first frame, after it, and so on. After each drop, the app must
/// respond as it did at first.
///
/// `request` must create the same request each time, and the app must always give the same
/// response. An app that leaks permits, or keeps a lock, may never respond again: set a time limit
/// around the call.
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
            let detail = format!(
                "after {} the response is {now}, the first was {want}",
                after()
            );
            self.violations
                .push(Violation::new(&CANCEL_SAFE, Side::App, detail));
        }
    }
}

/// Polls a future at most this number of times, and drops it if it is still pending.
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

/// Maximum number of awaits and frames to test.
const MOST: usize = 100;
