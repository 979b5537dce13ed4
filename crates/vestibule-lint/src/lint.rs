//! The middleware that watches both sides.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, PoisonError};

use http::{HeaderName, HeaderValue};
use vestibule_core::{App, BoxApp, Outline, Request, Response};

use crate::body::{Expect, Watch, watch};
use crate::exchange::{Exchange, Markers, Options, SharedOptions, read};
use crate::flow::{Direction, Port};
use crate::request::{Asked, REQUEST_RULES};
use crate::response::RESPONSE_RULES;
use crate::rule::{Rule, named_rules};
use crate::violation::{Side, Violation};
use crate::waker::WakeCheck;

named_rules! { CALL_RULES = [
    CALL_PANICS = "app-does-not-panic", "Vestibule, section 1",
    "An app that cannot do its work answers so; it does not panic.";

    WILL_BE_WOKEN = "pending-will-be-woken", "Rust, Future::poll",
    "A call or a body that is pending has kept its waker, or used it: else nobody polls it again.";
]}

/// Checks that the app inside, and what calls it, keep the contract.
///
/// Violations are told as `tracing` warnings, to [sinks](Self::sink), in a
/// [header](Self::header), or by a [panic](Self::panics); the answer is the same. Bodies that are
/// whole in memory stay so, others are watched while they are read. A violation in a streaming body
/// is known when it has happened, after the head.
///
/// Costs a copy of the request's head and a few small allocations a request.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::{Arc, Mutex};
/// use http::StatusCode;
/// use vestibule_core::{App, Request};
/// use vestibule_lint::Lint;
///
/// let told = Arc::new(Mutex::new(Vec::new()));
/// let sink = told.clone();
/// let app = Lint::new(|_: Request| async { StatusCode::METHOD_NOT_ALLOWED })
///     .sink(move |violation| sink.lock().unwrap().push(violation.rule.sentence));
///
/// app.call(Request::default()).await;
/// assert_eq!(*told.lock().unwrap(), ["A 405 has an Allow field."]);
/// # }
/// ```
#[doc(alias("validate", "conformance"))]
#[derive(Clone)]
pub struct Lint<A> {
    app: A,
    place: Place,
    options: SharedOptions,
}

/// Where a lint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Around an app.
    Alone,
    /// Outside of a middleware.
    Outer,
    /// Inside of a middleware.
    Inner,
}

impl<A: App> Lint<A> {
    /// Wraps `app`, and tells violations as warnings of `tracing`.
    pub fn new(app: A) -> Self {
        Self {
            app,
            place: Place::Alone,
            options: SharedOptions::default(),
        }
    }

    /// Wraps `app` by `wrap`, with one half of the lint inside of the middleware and one outside.
    ///
    /// So it is known who broke a rule, and what a middleware does with what passes through it:
    /// extensions, frames, trailers, errors. The options are those of both halves.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::{Arc, Mutex};
    /// use vestibule_core::{App, Request, Response, around};
    /// use vestibule_lint::{Lint, Side};
    ///
    /// async fn hello(_: Request) -> &'static str { "hello" }
    /// let forgetful = around(|_, next| async move { next.call(Request::default()).await });
    ///
    /// let told = Arc::new(Mutex::new(Vec::new()));
    /// let sink = told.clone();
    /// let app = Lint::both(hello, forgetful)
    ///     .sink(move |violation| sink.lock().unwrap().push((violation.side, violation.rule.id)));
    ///
    /// app.call(Request::default()).await;
    /// let told = told.lock().unwrap();
    /// assert_eq!(told[0], (Side::Middleware, "request-extensions-are-kept"));
    /// # }
    /// ```
    pub fn both(app: impl App, wrap: impl FnOnce(BoxApp) -> A) -> Self {
        let options = SharedOptions::default();
        let inner = Lint {
            app,
            place: Place::Inner,
            options: options.clone(),
        };
        Self {
            app: wrap(inner.boxed()),
            place: Place::Outer,
            options,
        }
    }

    /// Tells violations to `sink`, and no longer to `tracing`. There may be several.
    #[must_use]
    pub fn sink(self, sink: impl Fn(&Violation) + Send + Sync + 'static) -> Self {
        self.set(|options| options.sinks.push(Arc::new(sink)))
    }

    /// Tells what is known when the head is ready in headers of the response:
    /// `vestibule-lint: allow-with-405`.
    #[must_use]
    pub fn header(self) -> Self {
        self.set(|options| options.header = true)
    }

    /// Panics at a violation, with its sentence: for tests. In a body the panic is the body's error,
    /// as every panic there is.
    #[must_use]
    pub fn panics(self) -> Self {
        self.set(|options| options.panics = true)
    }

    /// Says that the middleware reads bodies whole: buffering is its purpose.
    #[must_use]
    pub fn buffers(self) -> Self {
        self.set(|options| options.buffers = true)
    }

    /// Lets a rule be broken.
    ///
    /// # Panics
    ///
    /// `id` is the id of a rule.
    #[must_use]
    pub fn allow(self, id: &str) -> Self {
        let rule = Rule::find(id);
        let rule = rule.unwrap_or_else(|| panic!("no rule is called {id:?}; they are in SPEC.md"));
        self.set(|options| options.allowed.push(rule.id))
    }

    fn set(self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options.write().unwrap_or_else(PoisonError::into_inner));
        self
    }

    /// The exchange that a request is part of.
    fn exchange(&self, request: &mut Request, asked: &Asked) -> Arc<Exchange> {
        match self.place {
            Place::Alone => Exchange::new(&self.options),
            Place::Outer => {
                let exchange = Exchange::new(&self.options);
                exchange.outer_called(asked);
                Markers::put(request.extensions_mut(), &exchange);
                exchange
            }
            Place::Inner => match Markers::find(request.extensions(), &self.options) {
                Some(exchange) => exchange,
                None => {
                    let exchange = Exchange::new(&self.options);
                    let detail = format!("{} {}", request.method(), request.uri());
                    exchange.report(
                        &crate::exchange::REQUEST_EXTENSIONS,
                        Side::Middleware,
                        detail,
                    );
                    exchange
                }
            },
        }
    }

    async fn answer(&self, request: Request, exchange: &Exchange) -> Response {
        let mut guard = Guard {
            exchange,
            place: self.place,
            is_running: false,
        };
        let wakes = WakeCheck::new();
        // The request moves in here, so that a panic before the first await is seen as well.
        let mut answer = pin!(async move { self.app.call(request).await });
        poll_fn(|cx| {
            guard.is_running = true;
            let (polled, is_lost) = wakes.poll(cx, |cx| answer.as_mut().poll(cx));
            guard.is_running = false;
            if is_lost {
                let detail = "`call` waits for nothing".to_owned();
                exchange.report(&WILL_BE_WOKEN, self.place.callee(), detail);
            }
            polled
        })
        .await
    }
}

impl<A: App> App for Lint<A> {
    async fn call(&self, mut request: Request) -> Response {
        let asked = Asked::of(&request);
        let exchange = self.exchange(&mut request, &asked);
        if self.place == Place::Inner {
            exchange.inner_called(&request);
        }
        let caller = self.place.caller();
        for checked in REQUEST_RULES {
            if let Some(detail) = (checked.check)(&request) {
                exchange.report(&checked.rule, caller, detail);
            }
        }
        let expect = Expect::of_request(&request);
        let place = self.place.watch(&exchange, caller, Direction::Request);
        let request = request.map(|body| watch(body, expect, place));

        let mut response = self.answer(request, &exchange).await;

        match self.place {
            Place::Alone => {}
            Place::Inner => {
                exchange.inner_answered(&response);
                Markers::put(response.extensions_mut(), &exchange);
            }
            Place::Outer => {
                let has_marker = Markers::take(response.extensions_mut(), &exchange);
                exchange.outer_answered(&response, has_marker);
            }
        }
        let callee = self.place.callee();
        for checked in RESPONSE_RULES {
            if let Some(detail) = (checked.check)(&asked, &response) {
                exchange.report(&checked.rule, callee, detail);
            }
        }
        let expect = Expect::of_response(&asked, &response);
        let place = self.place.watch(&exchange, callee, Direction::Response);
        let mut response = response.map(|body| watch(body, expect, place));
        if self.place != Place::Inner && exchange.has_header() {
            for rule in exchange.broken() {
                response
                    .headers_mut()
                    .append(LINT, HeaderValue::from_static(rule.id));
            }
        }
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline.wraps(&self.app);
    }
}

impl Place {
    /// Who made the requests that are seen here.
    const fn caller(self) -> Side {
        match self {
            Self::Alone | Self::Outer => Side::Server,
            Self::Inner => Side::Middleware,
        }
    }

    /// Who made the responses that are seen here.
    const fn callee(self) -> Side {
        match self {
            Self::Alone | Self::Inner => Side::App,
            Self::Outer => Side::Middleware,
        }
    }

    fn watch(self, exchange: &Arc<Exchange>, side: Side, direction: Direction) -> Watch {
        let port = match (self, direction) {
            (Self::Alone, _) => None,
            (Self::Outer, Direction::Request) | (Self::Inner, Direction::Response) => {
                Some(Port::Source)
            }
            (Self::Inner, Direction::Request) | (Self::Outer, Direction::Response) => {
                Some(Port::Sink)
            }
        };
        Watch {
            exchange: exchange.clone(),
            side,
            port: port.map(|port| (direction, port)),
        }
    }
}

/// Sees an app that panics, and a call that is over, answered or not.
struct Guard<'a> {
    exchange: &'a Exchange,
    place: Place,
    is_running: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.place == Place::Outer {
            self.exchange.outer_left();
        }
        if self.is_running {
            let detail = "`call` panicked".to_owned();
            self.exchange
                .report(&CALL_PANICS, self.place.callee(), detail);
        }
    }
}

impl<A: fmt::Debug> fmt::Debug for Lint<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            header,
            panics,
            buffers,
            allowed,
            ..
        } = &*read(&self.options);
        f.debug_struct("Lint")
            .field("app", &self.app)
            .field("place", &self.place)
            .field("header", header)
            .field("panics", panics)
            .field("buffers", buffers)
            .field("allowed", allowed)
            .finish_non_exhaustive()
    }
}

/// The response header of [`Lint::header`].
const LINT: HeaderName = HeaderName::from_static("vestibule-lint");
