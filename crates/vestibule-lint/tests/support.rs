//! Creates apps and bodies from short texts.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use vestibule_core::{App, Body, BoxError, Request, Response};
use vestibule_lint::{Lint, Violation};

/// Parses `GET /a HTTP/2` and lines of headers.
pub(crate) fn request(text: &str) -> Request {
    let mut lines = text.lines();
    let line = lines.next().expect("a request line");
    let mut words = line.split(' ');
    let mut request = Request::default();
    *request.method_mut() = words.next().expect("a method").parse().expect("a method");
    *request.uri_mut() = words.next().expect("a target").parse().expect("a target");
    *request.version_mut() = match words.next() {
        Some("HTTP/2") => http::Version::HTTP_2,
        _ => http::Version::HTTP_11,
    };
    append(request.headers_mut(), lines);
    request
}

/// Parses `200` and lines of headers.
pub(crate) fn response(text: &str, body: impl Into<Body>) -> Response {
    let mut lines = text.lines();
    let mut response = Response::new(body.into());
    let status: u16 = lines.next().expect("a status").parse().expect("a status");
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    append(response.headers_mut(), lines);
    response
}

fn append<'a>(headers: &mut HeaderMap, lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a colon and a space");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(
            name,
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        );
    }
}

/// A step of a scripted body.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(&'static str),
    Trailers(&'static str),
    Error,
    Panic,
    /// Pending, with an immediate wake-up.
    Wait,
    /// Pending, without a wake-up.
    Sleep,
    /// Sets the size hint from this step on.
    Hint(u64, Option<u64>),
}

/// Creates a streaming body of these steps.
pub(crate) fn body(steps: impl IntoIterator<Item = Step>) -> Body {
    let steps: Vec<_> = steps.into_iter().collect();
    let mut script = Script {
        steps: steps.into_iter().collect(),
        hint: SizeHint::new(),
    };
    script.take_hints();
    Body::new(script)
}

struct Script {
    steps: std::collections::VecDeque<Step>,
    hint: SizeHint,
}

impl Script {
    fn take_hints(&mut self) {
        while let Some(Step::Hint(lower, upper)) = self.steps.front() {
            self.hint = SizeHint::new();
            self.hint.set_lower(*lower);
            if let Some(upper) = upper {
                self.hint.set_upper(*upper);
            }
            self.steps.pop_front();
        }
    }
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let step = self.steps.pop_front();
        self.hint = SizeHint::new();
        self.take_hints();
        Poll::Ready(match step {
            None => None,
            Some(Step::Data(text)) => Some(Ok(Frame::data(Bytes::from(text)))),
            Some(Step::Trailers(name)) => {
                let mut trailers = HeaderMap::new();
                trailers.insert(name, HeaderValue::from_static("1"));
                Some(Ok(Frame::trailers(trailers)))
            }
            Some(Step::Error) => Some(Err("broken".into())),
            Some(Step::Panic) => panic!("planted"),
            Some(Step::Sleep) => return Poll::Pending,
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::Hint(..)) => unreachable!("hints are taken before"),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// Creates an app that returns the responses of `f`.
pub(crate) fn app(f: impl Fn() -> Response + Send + Sync + 'static) -> impl App {
    move |_: Request| {
        let response = f();
        async { response }
    }
}

/// Collects violations.
#[derive(Clone, Default)]
pub(crate) struct Violations(Arc<Mutex<Vec<Violation>>>);

impl Violations {
    pub(crate) fn on<A: App>(&self, lint: Lint<A>) -> Lint<A> {
        let told = self.0.clone();
        lint.sink(move |violation| {
            told.lock()
                .expect("no test panics in here")
                .push(violation.clone())
        })
    }

    pub(crate) fn all(&self) -> Vec<Violation> {
        self.0.lock().expect("no test panics in here").clone()
    }
}

/// Reads a body to its end or to its error.
pub(crate) async fn read(mut body: Body) -> Vec<Bytes> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        all.extend(frame.ok().and_then(|frame| frame.into_data().ok()));
    }
    assert!(body.is_end_stream());
    all
}

/// Returns the violations of a call and of its response body.
pub(crate) async fn violations<A: App>(lint: Lint<A>, request: Request) -> Vec<Violation> {
    let told = Violations::default();
    let lint = told.on(lint);
    // The lint sees a panic of the app. The task catches it.
    let call = tokio::spawn(async move {
        read(lint.call(request).await.into_body()).await;
    });
    let _ = call.await;
    told.all()
}
