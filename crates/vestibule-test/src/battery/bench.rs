//! Shared parts of the cases: apps, requests, bodies, and counters.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use vestibule_core::{App, Body, BoxApp, BoxError, Outcome, Request, Response};
use vestibule_lint::{Lint, Side, Violation};

use crate::request;

/// The middleware and its exceptions.
#[derive(Clone)]
pub(super) struct Options {
    wrap: Arc<dyn Fn(BoxApp) -> BoxApp + Send + Sync>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) buffers: bool,
    pub(super) changes_body: bool,
    pub(super) statuses: Vec<u16>,
    pub(super) rules: Vec<&'static str>,
    pub(super) real_time: bool,
}

impl Options {
    pub(super) fn new(wrap: Arc<dyn Fn(BoxApp) -> BoxApp + Send + Sync>) -> Self {
        Self {
            wrap,
            headers: Vec::new(),
            buffers: false,
            changes_body: false,
            statuses: Vec::new(),
            rules: Vec::new(),
            real_time: false,
        }
    }
}

/// The environment of one case.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) options: Arc<Options>,
    told: Arc<Mutex<Vec<Violation>>>,
}

impl Bench {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options: Arc::new(options),
            told: Arc::default(),
        }
    }

    /// Wraps `inner` in the middleware, under the lint.
    pub(super) fn app(&self, inner: impl App) -> BoxApp {
        let told = self.told.clone();
        let mut lint = Lint::both(inner, |app| (self.options.wrap)(app)).sink(move |violation| {
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(violation.clone());
        });
        if self.options.buffers {
            lint = lint.buffers();
        }
        for rule in &self.options.rules {
            lint = lint.allow(rule);
        }
        lint.boxed()
    }

    /// Parses a request from text, and adds the headers that the middleware accepts.
    pub(super) fn request(&self, text: &str) -> Request {
        let mut request = request(text);
        for (name, value) in &self.options.headers {
            request.headers_mut().append(name.clone(), value.clone());
        }
        request
    }

    pub(super) fn get(&self) -> Request {
        self.request("GET /a/b?c HTTP/1.1\nhost: example.org")
    }

    /// Returns whether the status is that of the app. If the middleware may replace it, the case
    /// ends there.
    pub(super) fn is_from_app(&self, response: &Response, want: u16) -> Result<bool, String> {
        let got = response.status().as_u16();
        if got == want {
            Ok(true)
        } else if self.options.statuses.contains(&got) {
            Ok(false)
        } else {
            Err(format!("the app responds with {want}, it becomes {got}"))
        }
    }

    /// Compares bytes, unless the middleware may change them.
    pub(super) fn same_bytes(&self, got: &[u8], want: &[u8]) -> Result<(), String> {
        if got == want || self.options.changes_body {
            Ok(())
        } else {
            Err(format!(
                "the body is {}, it becomes {}",
                shown(want),
                shown(got)
            ))
        }
    }

    /// Returns the broken rules as sentences.
    pub(super) fn broken(&self) -> String {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // The apps and requests of the cases break rules on purpose.
        let own = told
            .iter()
            .filter(|violation| violation.side == Side::Middleware);
        let mut lines: Vec<_> = own.map(Violation::to_string).collect();
        lines.dedup();
        lines.join("; ")
    }
}

fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..60).unwrap_or(bytes);
    format!(
        "{} bytes ({:?})",
        bytes.len(),
        String::from_utf8_lossy(start)
    )
}

/// Returns the fault unless `holds`.
pub(super) fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// Creates a response with a `text/plain` body.
pub(super) fn text(status: u16, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// All elements of a body.
#[derive(Debug, Default)]
pub(super) struct Got {
    pub(super) bytes: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) error: Option<String>,
}

pub(super) async fn read(mut body: Body) -> Got {
    let mut got = Got::default();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => got.bytes.extend_from_slice(&data),
            Ok(Err(frame)) => got.trailers = frame.into_trailers().ok(),
            Err(error) => got.error = Some(error.to_string()),
        }
    }
    got
}

/// Counts calls and bodies that are alive, and the outcomes of bodies.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: Arc<AtomicUsize>,
    live_calls: Arc<AtomicUsize>,
    bodies: Arc<AtomicUsize>,
    complete: Arc<AtomicUsize>,
    aborted: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Counts {
    /// Counts a call, which is alive until the returned value is dropped.
    pub(super) fn call(&self) -> Live {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.live_calls.fetch_add(1, Ordering::SeqCst);
        Live(self.live_calls.clone())
    }

    /// Counts a body.
    pub(super) fn body(&self, body: Body) -> Body {
        self.bodies.fetch_add(1, Ordering::SeqCst);
        let own = self.clone();
        body.on_end(move |end| {
            let count = match end.outcome {
                Outcome::Complete => own.complete,
                Outcome::Aborted => own.aborted,
                Outcome::Failed(_) => own.failed,
            };
            count.fetch_add(1, Ordering::SeqCst);
        })
    }

    pub(super) fn get(count: &AtomicUsize) -> usize {
        count.load(Ordering::SeqCst)
    }

    /// Checks that nothing is alive any more, and that each body has ended once.
    pub(super) async fn all_over(&self) -> Result<(), String> {
        settle().await;
        let live = Self::get(&self.live_calls);
        ensure(live == 0, || {
            format!("{live} calls of the app are never dropped")
        })?;
        let bodies = Self::get(&self.bodies);
        let ends: usize = self.ends().iter().sum();
        ensure(bodies == ends, || {
            format!("there were {bodies} bodies and {ends} ends of bodies")
        })
    }

    /// Returns the number of complete, aborted and failed bodies.
    pub(super) fn ends(&self) -> [usize; 3] {
        [&self.complete, &self.aborted, &self.failed].map(|count| Self::get(count))
    }
}

#[derive(Debug)]
pub(super) struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lets cleanup tasks finish.
pub(super) async fn settle() {
    for _ in 0..10 {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A step of a scripted body.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Data(&'static str),
    Trailers,
    Error,
    /// Pending, with an immediate wake-up.
    Wait,
}

/// Creates a streaming body of these steps.
pub(super) fn steps(steps: impl IntoIterator<Item = Step>) -> Body {
    let steps: Vec<_> = steps.into_iter().collect();
    Body::new(Steps(steps.into_iter()))
}

/// Creates the trailers `x-sum: 1`.
pub(super) fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    trailers
}

struct Steps(std::vec::IntoIter<Step>);

impl http_body::Body for Steps {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match self.0.next() {
            None => None,
            Some(Step::Data(text)) => Some(Ok(Frame::data(Bytes::from(text)))),
            Some(Step::Trailers) => Some(Ok(Frame::trailers(trailers()))),
            Some(Step::Error) => Some(Err("the app's own error".into())),
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }
}

/// Creates a streaming body of these bytes, in chunks of 64 KiB.
pub(super) fn chunks(bytes: Bytes) -> Body {
    Body::new(Chunks(bytes))
}

struct Chunks(Bytes);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let size = self.0.len().min(64 << 10);
        let piece = self.0.split_to(size);
        Poll::Ready((size > 0).then(|| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
