//! Measurement of a stack: the time that each layer takes, and the layers that respond early.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use pin_project_lite::pin_project;

use crate::{App, BoxApp, HasExtensions, Outline, Request, Response};

/// The times of the layers of a [`timed`](crate::Stack::timed) [`Stack`](crate::Stack). Cheap to
/// clone.
///
/// The time of a layer is from its call to its response head, without the time of the layers
/// inside. Requests that are cancelled before the response do not count.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, CatchPanic, Request, Stack};
///
/// let stack = Stack::new().with(CatchPanic::new).timed();
/// let app = stack.app(|_: Request| async { "hello" });
/// app.call(Request::default()).await;
///
/// let layers = stack.timings().unwrap().layers();
/// assert_eq!((&*layers[0].name, layers[0].count), ("CatchPanic", 1));
/// assert_eq!(layers.len(), 2); // the app is the last
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Timings(Arc<TimingStore>);

#[derive(Default)]
struct TimingStore {
    clocks: Mutex<Arc<Clocks>>,
    slow: Mutex<VecDeque<SlowRequest>>,
    /// In nanoseconds; 0 means the default.
    slow_after: AtomicU64,
}

/// The times of one layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerTiming {
    /// The layer's name in its stack.
    pub name: String,
    /// Number of requests that reached the layer and were answered.
    pub count: u64,
    /// Number of these that the layer answered itself, without a call of the wrapped app.
    pub early: u64,
    /// Sum of the layer's time over all requests.
    pub total: Duration,
    /// Median of the layer's time.
    pub p50: Duration,
    /// 90th percentile of the layer's time.
    pub p90: Duration,
    /// 99th percentile of the layer's time.
    pub p99: Duration,
}

/// A slow request, with the time span of each layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SlowRequest {
    /// The arrival time.
    pub time: SystemTime,
    /// The method.
    pub method: Method,
    /// The path of the target, without the query, which may hold secrets.
    pub path: String,
    /// The status of the response.
    pub status: StatusCode,
    /// Time from arrival to the response head.
    pub total: Duration,
    /// Each layer that it reached, outermost first: the name, and the start and end since arrival.
    pub layers: Vec<(String, Duration, Duration)>,
}

impl Timings {
    /// Returns the times of each layer so far, outermost first; the app is the last.
    ///
    /// The error of a percentile is at most 3.2 %.
    #[must_use]
    pub fn layers(&self) -> Vec<LayerTiming> {
        let clocks = lock(&self.0.clocks).clone();
        // Clone under the lock, which every request needs, and compute outside of it.
        let counts = lock(&clocks.counts).clone();
        let layers = clocks.names.iter().zip(&counts);
        layers.map(|(name, counts)| counts.snapshot(name)).collect()
    }

    /// Returns the last slow requests, newest first; at most 20.
    #[must_use]
    pub fn slow(&self) -> Vec<SlowRequest> {
        lock(&self.0.slow).iter().rev().cloned().collect()
    }

    /// Sets the time above which a request is slow, for new requests. Defaults to 500 ms.
    pub fn slow_after(&self, time: Duration) {
        self.0.slow_after.store(nanos(time).max(1), Relaxed);
    }

    /// Returns the clocks of an app with these layers. Existing clocks are reused if the names are
    /// equal.
    pub(crate) fn clocks(&self, names: impl Iterator<Item = Cow<'static, str>>) -> Arc<Clocks> {
        let names: Vec<_> = names.collect();
        let mut clocks = lock(&self.0.clocks);
        if *clocks.names != *names {
            *clocks = Arc::new(Clocks::new(names));
        }
        clocks.clone()
    }

    /// Counts a request at its response.
    fn finish(&self, timing: &Timing, status: StatusCode) {
        let marks = &timing.0;
        let deepest = marks.deepest();
        {
            let mut counts = lock(&marks.clocks.counts);
            for (index, counts) in counts[..=deepest].iter_mut().enumerate() {
                counts.record(marks.own(index));
            }
            if deepest + 1 < marks.marks.len() {
                counts[deepest].early += 1;
            }
        }
        let total = marks.marks[0].spent.load(Relaxed);
        let slow_after = match self.0.slow_after.load(Relaxed) {
            0 => SLOW_AFTER,
            nanos => nanos,
        };
        if total >= slow_after {
            let mut slow = lock(&self.0.slow);
            slow.truncate(SLOW_REQUESTS);
            if slow.len() == SLOW_REQUESTS {
                slow.pop_front();
            }
            slow.push_back(marks.slow_request(deepest, status));
        }
    }
}

impl fmt::Debug for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.layers()).finish()
    }
}

/// The times of one request in a timed stack; an extension of the request.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, CatchPanic, Request, Stack, Timing};
///
/// let app = Stack::new()
///     .around(|request, next| async move {
///         let timing = Timing::of(&request).unwrap();
///         next.call(request).await;
///         timing.layers().map(|(name, _)| name.to_owned()).collect::<Vec<_>>().join(" ")
///     })
///     .with(CatchPanic::new)
///     .timed()
///     .app(|_: Request| async {});
/// let response = app.call(Request::default()).await;
/// assert!(response.body().as_bytes().unwrap().starts_with(b"CatchPanic "));
/// # }
/// ```
#[derive(Clone)]
pub struct Timing(Arc<Marks>);

impl Timing {
    /// Returns the timing of a request in a timed stack.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<Self> {
        source.extensions().get().cloned()
    }

    /// Returns the layers that have responded so far with the time of each, outermost first.
    pub fn layers(&self) -> impl Iterator<Item = (&str, Duration)> {
        let marks = &self.0;
        let ended = |index: &usize| marks.marks[*index].spent.load(Relaxed) > 0;
        (0..marks.marks.len()).filter(ended).map(|index| {
            let name = &*marks.clocks.names[index];
            (name, Duration::from_nanos(marks.own(index)))
        })
    }

    /// Returns the layer that responded without a call of the wrapped app, or `None` if the app was
    /// called. The value is valid once the response exists.
    #[must_use]
    pub fn early_layer(&self) -> Option<Cow<'static, str>> {
        let deepest = self.0.deepest();
        let is_early = deepest + 1 < self.0.marks.len();
        is_early.then(|| self.0.clocks.names[deepest].clone())
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl fmt::Debug for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.layers()).finish()
    }
}

/// A layer, or the app, with a clock read before and after it.
struct Timed<A> {
    app: A,
    timer: LayerTimer,
}

/// The position of a layer in a timed stack.
pub(crate) struct LayerTimer {
    pub(crate) timings: Timings,
    pub(crate) clocks: Arc<Clocks>,
    pub(crate) index: usize,
}

impl<A: App> App for Timed<A> {
    fn call(&self, mut request: Request) -> impl Future<Output = Response> + Send {
        let span = self.timer.enter(&mut request);
        // The call stays outside of an async block: `Measured` holds the future without a second
        // copy of the request.
        Measured {
            future: self.app.call(request),
            timer: &self.timer,
            span,
        }
    }

    fn describe(&self, outline: &mut Outline) {
        self.app.describe(outline);
    }

    fn name() -> &'static str {
        A::name()
    }
}

/// A call of a layer that has begun.
struct Span {
    begin: u64,
    marks: MarksLocation,
}

/// The location of the marks of a request.
enum MarksLocation {
    /// In `CURRENT`, while the outermost layer is polled. The address tells them from those of
    /// other requests.
    Current(usize),
    /// In the span itself: for the outermost layer, and for a layer that is called on another task.
    Held(Timing),
    /// Unknown: a layer has removed the request's extensions.
    Lost,
}

thread_local! {
    /// The request whose outermost layer is being polled. The inner layers are polled meanwhile, so
    /// they find their marks here without reference counting.
    static CURRENT: RefCell<Option<Timing>> = const { RefCell::new(None) };
}

impl LayerTimer {
    /// Wraps `app` in a timer for this position.
    pub(crate) fn timed(self, app: impl App) -> BoxApp {
        Timed { app, timer: self }.boxed()
    }

    /// Starts the clock of this layer for a request.
    ///
    /// Not inlined, so that `call` is inlined and creates its future in its final location.
    #[inline(never)]
    fn enter(&self, request: &mut Request) -> Span {
        if self.index == 0 {
            let timing = Timing(Arc::new(Marks::new(self.clocks.clone(), request)));
            request.extensions_mut().insert(timing.clone());
            return self.span(&timing, MarksLocation::Held(timing.clone()));
        }
        let current = Current::look(|timing| {
            let is_ours = Arc::ptr_eq(&timing.0.clocks, &self.clocks);
            is_ours.then(|| self.span(timing, MarksLocation::Current(timing.address())))
        });
        current.flatten().unwrap_or_else(|| {
            let timing = Timing::of(request);
            match timing.filter(|timing| Arc::ptr_eq(&timing.0.clocks, &self.clocks)) {
                Some(timing) => self.span(&timing, MarksLocation::Held(timing.clone())),
                None => Span {
                    begin: 0,
                    marks: MarksLocation::Lost,
                },
            }
        })
    }

    fn span(&self, timing: &Timing, marks: MarksLocation) -> Span {
        let begin = timing.0.enter(self.index);
        Span { begin, marks }
    }

    fn leave(&self, span: &Span) {
        match &span.marks {
            MarksLocation::Current(address) => {
                Current::look(|timing| {
                    if timing.address() == *address {
                        timing.0.leave(self.index, span.begin);
                    }
                });
            }
            MarksLocation::Held(timing) => timing.0.leave(self.index, span.begin),
            MarksLocation::Lost => {}
        }
    }
}

/// Makes a request the current one until it is dropped.
struct Current<'a> {
    location: &'a mut MarksLocation,
    before: Option<Timing>,
}

impl<'a> Current<'a> {
    fn set(location: &'a mut MarksLocation) -> Self {
        let now = match std::mem::replace(location, MarksLocation::Lost) {
            MarksLocation::Held(timing) => Some(timing),
            _ => None,
        };
        let before = CURRENT.replace(now);
        Self { location, before }
    }

    /// Calls `look` with the current request.
    fn look<T>(look: impl FnOnce(&Timing) -> T) -> Option<T> {
        CURRENT.with_borrow(|current| current.as_ref().map(look))
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        if let Some(timing) = CURRENT.replace(self.before.take()) {
            *self.location = MarksLocation::Held(timing);
        }
    }
}

pin_project! {
    /// The future of a timed call.
    struct Measured<'a, F> {
        #[pin]
        future: F,
        timer: &'a LayerTimer,
        span: Span,
    }
}

impl<F: Future<Output = Response>> Future for Measured<'_, F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let this = self.project();
        if this.timer.index > 0 {
            let polled = this.future.poll(cx);
            if polled.is_ready() {
                this.timer.leave(this.span);
            }
            return polled;
        }
        let polled = {
            let _current = Current::set(&mut this.span.marks);
            this.future.poll(cx)
        };
        if let (Poll::Ready(response), MarksLocation::Held(timing)) = (&polled, &this.span.marks) {
            this.timer.leave(this.span);
            this.timer.timings.finish(timing, response.status());
        }
        polled
    }
}

/// The counters of the layers of an app.
#[derive(Default)]
pub(crate) struct Clocks {
    names: Box<[Cow<'static, str>]>,
    /// Locked once per request, for a few additions. Atomic counters would cost two atomic
    /// operations for each layer.
    counts: Mutex<Box<[Counts]>>,
}

impl Clocks {
    fn new(names: Vec<Cow<'static, str>>) -> Self {
        Self {
            counts: Mutex::new(names.iter().map(|_| Counts::default()).collect()),
            names: names.into(),
        }
    }
}

/// The times of one request. A time is in nanoseconds since its start; 0 means unset.
struct Marks {
    clocks: Arc<Clocks>,
    start: Instant,
    method: Method,
    path: Option<PathAndQuery>,
    marks: Box<[Mark]>,
}

#[derive(Default)]
struct Mark {
    /// Start of the first call.
    begin: AtomicU64,
    /// End of the last call.
    end: AtomicU64,
    /// Sum over all calls, since an outer layer may retry.
    spent: AtomicU64,
}

impl Marks {
    fn new(clocks: Arc<Clocks>, request: &Request) -> Self {
        Self {
            marks: clocks.names.iter().map(|_| Mark::default()).collect(),
            clocks,
            start: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
        }
    }

    fn enter(&self, index: usize) -> u64 {
        // The clock starts at the outermost layer.
        let now = match index {
            0 => 1,
            _ => nanos(self.start.elapsed()).max(1),
        };
        let begin = &self.marks[index].begin;
        if begin.load(Relaxed) == 0 {
            begin.store(now, Relaxed);
        }
        now
    }

    fn leave(&self, index: usize, begin: u64) {
        let now = nanos(self.start.elapsed());
        let mark = &self.marks[index];
        mark.end.store(now, Relaxed);
        // Two calls of a layer at the same time, which are rare, may lose the shorter of the two.
        let spent = mark.spent.load(Relaxed) + now.saturating_sub(begin).max(1);
        mark.spent.store(spent, Relaxed);
    }

    /// Returns the index of the innermost layer that was called.
    fn deepest(&self) -> usize {
        let called = |mark: &Mark| mark.begin.load(Relaxed) > 0;
        self.marks.iter().rposition(called).unwrap_or_default()
    }

    /// Returns the time of a layer without that of the layers inside it.
    fn own(&self, index: usize) -> u64 {
        let inner = self.marks.get(index + 1);
        let inner = inner.map_or(0, |mark| mark.spent.load(Relaxed));
        self.marks[index].spent.load(Relaxed).saturating_sub(inner)
    }

    fn slow_request(&self, deepest: usize, status: StatusCode) -> SlowRequest {
        let layer = |(mark, name): (&Mark, &Cow<'static, str>)| {
            let at = |time: &AtomicU64| Duration::from_nanos(time.load(Relaxed));
            (name.to_string(), at(&mark.begin), at(&mark.end))
        };
        let layers = self.marks.iter().zip(&self.clocks.names);
        let layers = layers.take(deepest + 1);
        let path = self.path.as_ref();
        SlowRequest {
            time: SystemTime::now() - self.start.elapsed(),
            method: self.method.clone(),
            path: path.map_or("", PathAndQuery::path).to_owned(),
            status,
            total: Duration::from_nanos(self.marks[0].spent.load(Relaxed)),
            layers: layers.map(layer).collect(),
        }
    }
}

/// The histogram of one layer, with sixteen buckets for each power of two, and a sum.
#[derive(Clone)]
struct Counts {
    buckets: Box<[u64; BUCKETS]>,
    sum: u64,
    early: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            sum: 0,
            early: 0,
        }
    }
}

impl Counts {
    fn record(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.sum += value;
    }

    fn snapshot(&self, name: &str) -> LayerTiming {
        let count = self.buckets.iter().sum();
        let at = |percent| Duration::from_nanos(percentile(&*self.buckets, count, percent));
        LayerTiming {
            name: name.to_owned(),
            count,
            early: self.early,
            total: Duration::from_nanos(self.sum),
            p50: at(50),
            p90: at(90),
            p99: at(99),
        }
    }
}

/// Returns the bucket of a value: the value itself below 16, then sixteen for each power of two.
fn bucket(value: u64) -> usize {
    let bucket = match value {
        0..16 => value,
        _ => {
            let shift = u64::from(value.ilog2()) - 4;
            shift * 16 + (value >> shift)
        }
    };
    (bucket as usize).min(BUCKETS - 1)
}

/// Returns the middle of a bucket.
fn bucket_middle(bucket: usize) -> u64 {
    match bucket as u64 {
        bucket @ 0..32 => bucket,
        bucket => {
            let shift = bucket / 16 - 1;
            let low = (bucket - shift * 16) << shift;
            low + (1 << shift) / 2
        }
    }
}

/// Returns the value below which `percent` of the `count` values are.
fn percentile(counts: &[u64], count: u64, percent: u64) -> u64 {
    let rank = (count * percent).div_ceil(100);
    let mut seen = 0;
    for (bucket, n) in counts.iter().enumerate() {
        seen += n;
        if *n > 0 && seen >= rank {
            return bucket_middle(bucket);
        }
    }
    0
}

fn nanos(time: Duration) -> u64 {
    let seconds = time.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(u64::from(time.subsec_nanos()))
}

/// Ignores poisoning: every change is one step, so a panic elsewhere leaves the value consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Covers up to 2^41 ns, which is 36 minutes. Longer times are in the last bucket.
const BUCKETS: usize = 38 * 16;
const SLOW_AFTER: u64 = 500_000_000;
const SLOW_REQUESTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stack;

    #[test]
    fn bucket_middles_are_within_the_stated_error() {
        let mut last = 0;
        for exponent in 0..41 {
            for value in [1_u64 << exponent, (1 << exponent) + (1 << exponent) / 3] {
                let bucket = bucket(value);
                assert!(bucket >= last, "{value}");
                last = bucket;
                let error = bucket_middle(bucket).abs_diff(value) as f64 / value as f64;
                assert!(error <= 0.032, "{value}: {}", bucket_middle(bucket));
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles() {
        let mut counts = Counts::default();
        (1..=1000).for_each(|value| counts.record(value * 1000));
        for percent in [50, 90, 99] {
            let want = (percent * 10_000) as f64;
            let value = percentile(&*counts.buckets, 1000, percent) as f64;
            assert!((value - want).abs() / want < 0.07, "{percent}: {value}");
        }
        assert_eq!(percentile(&[0; 4], 0, 50), 0);
    }

    /// Waits, and then calls the wrapped app or responds itself.
    struct Waits {
        app: BoxApp,
        time: Duration,
        answers: bool,
    }

    impl App for Waits {
        async fn call(&self, request: Request) -> Response {
            tokio::time::sleep(self.time).await;
            if self.answers {
                Response::default()
            } else {
                self.app.call(request).await
            }
        }
    }

    fn waits(millis: u64, answers: bool) -> impl Fn(BoxApp) -> Waits + Send + Sync + 'static {
        let time = Duration::from_millis(millis);
        move |app| Waits { app, time, answers }
    }

    #[tokio::test]
    async fn own_times_are_apart_and_early_answers_are_counted() {
        let stack = Stack::new()
            .named("outer", waits(20, false))
            .named("inner", waits(400, false))
            .timed();
        let timings = stack.timings().unwrap();
        timings.slow_after(Duration::from_millis(1));
        let app = stack.app(|_: Request| async {});
        app.call(Request::default()).await;
        let layers = timings.layers();
        let names: Vec<_> = layers.iter().map(|layer| &*layer.name).collect();
        assert_eq!(names[..2], ["outer", "inner"]);
        // The values are far apart, so that a loaded machine does not confuse them.
        for (layer, own) in layers.iter().zip([20..400, 400..u128::MAX, 0..400]) {
            assert!(own.contains(&layer.total.as_millis()), "{layer:?}");
            assert_eq!((layer.count, layer.early), (1, 0));
        }
        let slow = timings.slow();
        let bars = &slow[0].layers;
        assert_eq!(bars.len(), 3);
        assert!(bars[0].1 < bars[1].1 && bars[1].2 <= bars[0].2, "{bars:?}");

        let early = stack.insert_after("outer", waits(0, true)).unwrap();
        early
            .app(|_: Request| async {})
            .call(Request::default())
            .await;
        let layers = timings.layers();
        let counts: Vec<_> = layers
            .iter()
            .map(|layer| (layer.count, layer.early))
            .collect();
        assert_eq!(counts, [(1, 0), (1, 1), (0, 0), (0, 0)]);
    }

    #[tokio::test]
    async fn a_layer_that_calls_on_another_task() {
        let stack = Stack::new()
            .around(|request, next| async move {
                let answer = tokio::spawn(async move { next.call(request).await });
                answer.await.unwrap()
            })
            .with(waits(20, false))
            .timed();
        stack
            .app(|_: Request| async {})
            .call(Request::default())
            .await;
        let layers = stack.timings().unwrap().layers();
        assert!(layers[1].total >= Duration::from_millis(20), "{layers:?}");
        assert!(layers.iter().all(|layer| layer.count == 1), "{layers:?}");
    }

    #[tokio::test]
    async fn requests_in_one_task_at_once() {
        let stack = Stack::new()
            .with(waits(20, false))
            .with(waits(40, false))
            .timed();
        let app = stack.app(|_: Request| async {});
        let mut calls: Vec<_> = (0..3)
            .map(|_| Box::pin(app.call(Request::default())))
            .collect();
        std::future::poll_fn(|cx| {
            calls.retain_mut(|call| call.as_mut().poll(cx).is_pending());
            if calls.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let layers = stack.timings().unwrap().layers();
        for (layer, millis) in layers.iter().zip([60, 120, 0]) {
            assert!(layer.total >= Duration::from_millis(millis), "{layer:?}");
            assert_eq!((layer.count, layer.early), (3, 0));
        }
        assert!(layers[0].total < layers[1].total, "{layers:?}");
    }

    #[tokio::test]
    async fn a_layer_that_tries_twice_and_one_that_loses_extensions() {
        let stack = Stack::new()
            .around(|_, next| async move {
                next.call(Request::default()).await;
                next.call(Request::default()).await
            })
            .with(waits(1, false))
            .timed();
        stack
            .app(|_: Request| async {})
            .call(Request::default())
            .await;
        let layers = stack.timings().unwrap().layers();
        assert_eq!(layers[0].count, 1);

        let stack = Stack::new()
            .around(|request, next| async move {
                let mut again = Request::default();
                *again.extensions_mut() = request.extensions().clone();
                next.call(again).await;
                next.call(request).await
            })
            .with(waits(20, false))
            .timed();
        stack
            .app(|_: Request| async {})
            .call(Request::default())
            .await;
        let layers = stack.timings().unwrap().layers();
        assert!(layers[0].total < Duration::from_millis(15), "{layers:?}");
        assert!(layers[1].total >= Duration::from_millis(40), "{layers:?}");
    }
}
