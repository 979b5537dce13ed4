//! One request and its response, as the lint has observed them, and the report of violations.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::Poll;

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use http_body::Frame;
use vestibule_core::{BodyError, Request, Response};

use crate::flow::{Allowances, BodyEnd, Direction, Flow, Port};
use crate::request::RequestHead;
use crate::rule::{Rule, named_rules};
use crate::violation::{Side, Violation};

named_rules! { MIDDLEWARE_RULES = [
    REQUEST_EXTENSIONS = "request-extensions-are-kept", "Vestibule",
    "A middleware that rebuilds a request keeps its extensions.";

    RESPONSE_EXTENSIONS = "response-extensions-are-kept", "Vestibule",
    "A middleware that rebuilds a response keeps its extensions.";

    URI_WHOLE = "uri-is-not-cut", "Vestibule",
    "A middleware does not remove a prefix from the path of the URI.";

    LAZY = "response-body-is-lazy", "Vestibule; PEP 3333",
    "A middleware does not read a streaming response body inside `call`, unless buffering is its purpose.";

    REQUEST_LAZY = "request-body-is-lazy", "Vestibule",
    "A middleware does not read a streaming request body before it calls the app, unless buffering is its purpose.";
]}

/// The options of a [`Lint`](crate::Lint).
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) sinks: Vec<Sink>,
    pub(crate) header: bool,
    pub(crate) panics: bool,
    pub(crate) buffers: bool,
    pub(crate) allowed: Vec<&'static str>,
}

type Sink = Arc<dyn Fn(&Violation) + Send + Sync>;

pub(crate) type SharedOptions = Arc<RwLock<Options>>;

/// The state that all observation points of one call share.
pub(crate) struct Exchange {
    options: SharedOptions,
    reported: Mutex<Vec<(&'static Rule, Side)>>,
    request: Mutex<Flow>,
    response: Mutex<Flow>,
    pair: Mutex<MiddlewareObservations>,
}

/// The observations about a middleware between two halves.
#[derive(Debug, Default)]
struct MiddlewareObservations {
    /// The URI of the request outside of the middleware.
    uri: Option<Uri>,
    is_connect: bool,
    /// The outer future has not returned a response yet.
    is_in_call: bool,
    inner: Option<StatusCode>,
    outer: Option<StatusCode>,
}

impl Exchange {
    pub(crate) fn new(options: &SharedOptions) -> Arc<Self> {
        Arc::new(Self {
            options: options.clone(),
            reported: Mutex::default(),
            request: Mutex::default(),
            response: Mutex::default(),
            pair: Mutex::default(),
        })
    }

    /// Returns whether this exchange began in the other half with the same options.
    pub(crate) fn is_of(&self, options: &SharedOptions) -> bool {
        Arc::ptr_eq(&self.options, options)
    }

    pub(crate) fn has_header(&self) -> bool {
        read(&self.options).header
    }

    fn buffers(&self) -> bool {
        read(&self.options).buffers
    }

    /// Reports a violation, once for each rule, side and call. A violation that a middleware only
    /// passes on counts for the side that it comes from.
    pub(crate) fn report(&self, rule: &'static Rule, side: Side, detail: String) {
        // Copied, so that a sink may access the options.
        let options = read(&self.options).clone();
        if options.allowed.contains(&rule.id) {
            return;
        }
        {
            let mut reported = lock(&self.reported);
            let is_known = reported.iter().any(|(known, by)| {
                known.id == rule.id && (*by == side || side == Side::Middleware)
            });
            if is_known {
                return;
            }
            reported.push((rule, side));
        }
        let violation = Violation::new(rule, side, detail);
        for sink in &options.sinks {
            sink(&violation);
        }
        if options.sinks.is_empty() {
            let Violation { rule, side, detail } = &violation;
            tracing::warn!(rule = rule.id, %side, detail, "{}", rule.sentence);
        }
        if options.panics && !std::thread::panicking() {
            panic!("{violation}");
        }
    }

    /// Returns the rules that were broken so far.
    pub(crate) fn broken(&self) -> Vec<&'static Rule> {
        lock(&self.reported).iter().map(|(rule, _)| *rule).collect()
    }

    pub(crate) fn outer_called(&self, head: &RequestHead) {
        let mut pair = lock(&self.pair);
        pair.uri = Some(head.uri.clone());
        pair.is_connect = head.method == Method::CONNECT;
        pair.is_in_call = true;
    }

    /// Notes the end of the outer call, by a response, a drop or a panic.
    pub(crate) fn outer_left(&self) {
        lock(&self.pair).is_in_call = false;
    }

    pub(crate) fn inner_called(&self, request: &Request) {
        if self.flow(Direction::Request).was_source_polled() && !self.buffers() {
            let detail = "it was read before the app was called".to_owned();
            self.report(&REQUEST_LAZY, Side::Middleware, detail);
        }
        let outer = lock(&self.pair).uri.clone();
        let Some(outer) = outer else { return };
        let (before, after) = (outer.path(), request.uri().path());
        if before.len() > after.len() && before.ends_with(after) && after != "*" {
            self.report(
                &URI_WHOLE,
                Side::Middleware,
                format!("{before:?} went in, {after:?} came out"),
            );
        }
    }

    pub(crate) fn inner_answered(&self, response: &Response) {
        lock(&self.pair).inner = Some(response.status());
    }

    /// `has_marker` is whether the response has the extension that the inner half has stored.
    pub(crate) fn outer_answered(&self, response: &Response, has_marker: bool) {
        let inner = {
            let mut pair = lock(&self.pair);
            pair.outer = Some(response.status());
            pair.inner
        };
        if let (Some(inner), false) = (inner, has_marker) {
            let detail = format!(
                "the app responded with {}, the response without its extensions is {}",
                inner.as_u16(),
                response.status().as_u16()
            );
            self.report(&RESPONSE_EXTENSIONS, Side::Middleware, detail);
        }
    }

    pub(crate) fn flow(&self, direction: Direction) -> MutexGuard<'_, Flow> {
        lock(match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        })
    }

    pub(crate) fn will_poll(&self, direction: Direction, port: Port) {
        self.flow(direction).will_poll(port);
        let is_early =
            (direction, port) == (Direction::Response, Port::Source) && lock(&self.pair).is_in_call;
        if is_early && !self.buffers() {
            let detail = "it was read before there was a response".to_owned();
            self.report(&LAZY, Side::Middleware, detail);
        }
    }

    pub(crate) fn polled(
        &self,
        direction: Direction,
        port: Port,
        polled: &Poll<Option<Result<Frame<Bytes>, BodyError>>>,
    ) {
        let allowances = self.allowances(direction);
        let wrong = self.flow(direction).polled(port, polled, allowances);
        if let Some((rule, detail)) = wrong {
            self.report(rule, Side::Middleware, detail);
        }
    }

    pub(crate) fn ended(&self, direction: Direction, port: Port, last: BodyEnd) {
        let allowances = self.allowances(direction);
        let wrong = self.flow(direction).ended(port, last, allowances);
        for (rule, detail) in wrong {
            self.report(rule, Side::Middleware, detail);
        }
    }

    fn allowances(&self, direction: Direction) -> Allowances {
        let buffers = self.buffers();
        let pair = lock(&self.pair);
        if direction == Direction::Request {
            return Allowances {
                buffers,
                ..Allowances::default()
            };
        }
        let is_tunnel = match pair.inner {
            Some(StatusCode::SWITCHING_PROTOCOLS) => true,
            Some(status) => pair.is_connect && status.is_success(),
            None => false,
        };
        let replaces = pair.outer.is_some_and(|outer| {
            let is_error = outer.is_client_error() || outer.is_server_error();
            let is_other = pair.inner != Some(outer);
            is_other && (is_error || matches!(outer.as_u16(), 206 | 304))
        });
        Allowances {
            buffers,
            replaces,
            is_tunnel,
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("broken", &self.broken())
            .finish_non_exhaustive()
    }
}

/// The exchanges of a message, since pairs may be nested. It is an extension of requests and
/// responses, and must be kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Markers(Vec<Arc<Exchange>>);

impl Markers {
    pub(crate) fn put(extensions: &mut http::Extensions, exchange: &Arc<Exchange>) {
        extensions
            .get_or_insert_default::<Self>()
            .0
            .push(exchange.clone());
    }

    /// Returns the innermost exchange with these options.
    pub(crate) fn find(
        extensions: &http::Extensions,
        options: &SharedOptions,
    ) -> Option<Arc<Exchange>> {
        let markers = extensions.get::<Self>()?;
        markers
            .0
            .iter()
            .rev()
            .find(|exchange| exchange.is_of(options))
            .cloned()
    }

    pub(crate) fn take(extensions: &mut http::Extensions, exchange: &Arc<Exchange>) -> bool {
        let Some(markers) = extensions.get_mut::<Self>() else {
            return false;
        };
        let before = markers.0.len();
        markers.0.retain(|own| !Arc::ptr_eq(own, exchange));
        markers.0.len() < before
    }
}

pub(crate) fn read(options: &SharedOptions) -> RwLockReadGuard<'_, Options> {
    options.read().unwrap_or_else(PoisonError::into_inner)
}

/// Ignores poisoning: every change is one step, so a panic elsewhere leaves the value consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
