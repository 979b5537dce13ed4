//! The middleware that checks requests and responses.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, PoisonError};

use http::{HeaderName, HeaderValue};
use vestibule_core::{App, BoxApp, Outline, Request, Response};

use crate::body::{Expected, ObservationPoint, observe};
use crate::exchange::{Exchange, Markers, Options, SharedOptions, read};
use crate::flow::{Direction, Port};
use crate::request::{REQUEST_RULES, RequestHead};
use crate::response::RESPONSE_RULES;
use crate::rule::{Rule, named_rules};
use crate::violation::{Side, Violation};
use crate::waker::WakeCheck;

named_rules! { CALL_RULES = [
    CALL_PANICS = "app-does-not-panic", "Vestibule",
    "An app that fails returns an error response and does not panic.";

    WILL_BE_WOKEN = "pending-will-be-woken", "Rust, Future::poll",
    "A pending call or body has kept its waker or used it: otherwise it is never polled again.";
]}

/// Checks that the inner app and its caller keep the contract.
///
/// Violations are reported as `tracing` warnings, to [sinks](Self::sink), in a
/// [header](Self::header), or by a [panic](Self::panics); the response is unchanged. A body in
/// memory is checked at once. Another body is checked while it is read, so its violations are found
/// after the head.
///
/// Costs a copy of the request's head and a few small allocations per request.
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
    position: Position,
    options: SharedOptions,
}

/// The position of a lint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Around an app.
    Alone,
    /// Outside of a middleware.
    Outer,
    /// Inside of a middleware.
    Inner,
}

impl<A: App> Lint<A> {
    /// Wraps `app`. Violations become warnings of `tracing`.
    pub fn new(app: A) -> Self {
        Self {
            app,
            position: Position::Alone,
            options: SharedOptions::default(),
        }
    }

    /// Wraps `app` with `wrap`, with one half of the lint inside of the middleware and one outside.
    ///
    /// So the lint knows the side that broke a rule. It also checks that extensions, frames,
    /// trailers and errors pass through the middleware. The options apply to both halves.
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
            position: Position::Inner,
            options: options.clone(),
        };
        Self {
            app: wrap(inner.boxed()),
            position: Position::Outer,
            options,
        }
    }

    /// Reports violations to `sink` instead of `tracing`. It may be called several times.
    #[must_use]
    pub fn sink(self, sink: impl Fn(&Violation) + Send + Sync + 'static) -> Self {
        self.set(|options| options.sinks.push(Arc::new(sink)))
    }

    /// Adds the violations that are found before the response head to a response header, such as
    /// `vestibule-lint: allow-with-405`.
    #[must_use]
    pub fn header(self) -> Self {
        self.set(|options| options.header = true)
    }

    /// Panics at a violation with its sentence, for tests. A panic in a body becomes the error of
    /// the body.
    #[must_use]
    pub fn panics(self) -> Self {
        self.set(|options| options.panics = true)
    }

    /// Declares that the middleware buffers bodies on purpose.
    #[must_use]
    pub fn buffers(self) -> Self {
        self.set(|options| options.buffers = true)
    }

    /// Disables a rule.
    ///
    /// # Panics
    ///
    /// Panics if `id` is not the id of a rule.
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

    /// Returns the exchange of a request.
    fn exchange(&self, request: &mut Request, head: &RequestHead) -> Arc<Exchange> {
        match self.position {
            Position::Alone => Exchange::new(&self.options),
            Position::Outer => {
                let exchange = Exchange::new(&self.options);
                exchange.outer_called(head);
                Markers::put(request.extensions_mut(), &exchange);
                exchange
            }
            Position::Inner => match Markers::find(request.extensions(), &self.options) {
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
        let mut guard = CallGuard {
            exchange,
            position: self.position,
            is_running: false,
        };
        let wakes = WakeCheck::new();
        // The request moves into the block, so that a panic before the first await is found as
        // well.
        let mut answer = pin!(async move { self.app.call(request).await });
        poll_fn(|cx| {
            guard.is_running = true;
            let (polled, is_lost) = wakes.poll(cx, |cx| answer.as_mut().poll(cx));
            guard.is_running = false;
            if is_lost {
                let detail = "`call` is pending without a waker".to_owned();
                exchange.report(&WILL_BE_WOKEN, self.position.callee(), detail);
            }
            polled
        })
        .await
    }
}

impl<A: App> App for Lint<A> {
    async fn call(&self, mut request: Request) -> Response {
        let head = RequestHead::of(&request);
        let exchange = self.exchange(&mut request, &head);
        if self.position == Position::Inner {
            exchange.inner_called(&request);
        }
        let caller = self.position.caller();
        for checked in REQUEST_RULES {
            if let Some(detail) = (checked.check)(&request) {
                exchange.report(&checked.rule, caller, detail);
            }
        }
        let expect = Expected::of_request(&request);
        let point = self.position.observe(&exchange, caller, Direction::Request);
        let request = request.map(|body| observe(body, expect, point));

        let mut response = self.answer(request, &exchange).await;

        match self.position {
            Position::Alone => {}
            Position::Inner => {
                exchange.inner_answered(&response);
                Markers::put(response.extensions_mut(), &exchange);
            }
            Position::Outer => {
                let has_marker = Markers::take(response.extensions_mut(), &exchange);
                exchange.outer_answered(&response, has_marker);
            }
        }
        let callee = self.position.callee();
        for checked in RESPONSE_RULES {
            if let Some(detail) = (checked.check)(&head, &response) {
                exchange.report(&checked.rule, callee, detail);
            }
        }
        let expect = Expected::of_response(&head, &response);
        let point = self
            .position
            .observe(&exchange, callee, Direction::Response);
        let mut response = response.map(|body| observe(body, expect, point));
        if self.position != Position::Inner && exchange.has_header() {
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

impl Position {
    /// Returns the side that made the observed requests.
    const fn caller(self) -> Side {
        match self {
            Self::Alone | Self::Outer => Side::Server,
            Self::Inner => Side::Middleware,
        }
    }

    /// Returns the side that made the observed responses.
    const fn callee(self) -> Side {
        match self {
            Self::Alone | Self::Inner => Side::App,
            Self::Outer => Side::Middleware,
        }
    }

    fn observe(
        self,
        exchange: &Arc<Exchange>,
        side: Side,
        direction: Direction,
    ) -> ObservationPoint {
        let port = match (self, direction) {
            (Self::Alone, _) => None,
            (Self::Outer, Direction::Request) | (Self::Inner, Direction::Response) => {
                Some(Port::Source)
            }
            (Self::Inner, Direction::Request) | (Self::Outer, Direction::Response) => {
                Some(Port::Sink)
            }
        };
        ObservationPoint {
            exchange: exchange.clone(),
            side,
            port: port.map(|port| (direction, port)),
        }
    }
}

/// Detects a panic of the app, and the end of a call with or without a response.
struct CallGuard<'a> {
    exchange: &'a Exchange,
    position: Position,
    is_running: bool,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        if self.position == Position::Outer {
            self.exchange.outer_left();
        }
        if self.is_running {
            let detail = "`call` panicked".to_owned();
            self.exchange
                .report(&CALL_PANICS, self.position.callee(), detail);
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
            .field("position", &self.position)
            .field("header", header)
            .field("panics", panics)
            .field("buffers", buffers)
            .field("allowed", allowed)
            .finish_non_exhaustive()
    }
}

/// The response header of [`Lint::header`].
const LINT: HeaderName = HeaderName::from_static("vestibule-lint");
