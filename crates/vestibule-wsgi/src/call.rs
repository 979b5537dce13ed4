//! One call of the app: from a job in the queue to a response that has ended.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Uri};
use pyo3::exceptions::{PyBrokenPipeError, PyOSError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::field::debug;
use vestibule_core::{
    Body, BodyError, Failure, FailureKind, IntoResponse, Peer, QueueTime, Request, Response,
};
use vestibule_environ::Environ;

use crate::environ::Base;
use crate::errors::Errors;
use crate::feed::Cause;
use crate::file_wrapper::FileWrapper;
use crate::forks;
use crate::input::Input;
use crate::pool::{Settings, Shared, Task};
use crate::progress::Progress;
use crate::start_response::{Flow, Reply, piece};

/// A request that waits for a thread.
pub(crate) struct Job {
    environ: Environ,
    pub(crate) about: Arc<About>,
    pub(crate) progress: Arc<Progress>,
    to: oneshot::Sender<Response>,
    runtime: Option<Handle>,
}

impl Job {
    pub(crate) fn new(
        request: Request,
        settings: &Settings,
        to: oneshot::Sender<Response>,
    ) -> Box<Self> {
        Box::new(Self {
            about: Arc::new(About::of(&request, settings)),
            environ: Environ::from(request),
            progress: Arc::new(Progress::new()),
            to,
            runtime: Handle::try_current().ok(),
        })
    }
}

/// What the log says of a request, and what a response depends on.
pub(crate) struct About {
    pub(crate) is_head: bool,
    /// Whether the client may see a traceback.
    is_developer: bool,
    method: Method,
    uri: Uri,
    id: Option<HeaderValue>,
}

impl About {
    fn of(request: &Request, settings: &Settings) -> Self {
        Self {
            is_head: request.method() == Method::HEAD,
            is_developer: settings.debug && Peer::is_local(request),
            method: request.method().clone(),
            uri: request.uri().clone(),
            id: request.headers().get("x-request-id").cloned(),
        }
    }

    /// Logs a failure of the app.
    pub(crate) fn error(&self, text: &str) {
        let (method, uri, id) = (&self.method, self.uri.path(), self.id.as_ref().map(debug));
        tracing::error!(target: "vestibule::wsgi", id, %method, uri, "{text}");
    }

    pub(crate) fn warn(&self, text: &str) {
        let (method, uri, id) = (&self.method, self.uri.path(), self.id.as_ref().map(debug));
        tracing::warn!(target: "vestibule::wsgi", id, %method, uri, "{text}");
    }

    pub(crate) fn info(&self, text: &str) {
        let (method, uri, id) = (&self.method, self.uri.path(), self.id.as_ref().map(debug));
        tracing::info!(target: "vestibule::wsgi", id, %method, uri, "{text}");
    }

    /// Logs text of the app's own, from `wsgi.errors`.
    pub(crate) fn said(&self, text: &str) {
        let (method, uri, id) = (&self.method, self.uri.path(), self.id.as_ref().map(debug));
        tracing::info!(target: "vestibule::wsgi::errors", id, %method, uri, "{text}");
    }

    /// The request finds the queue full.
    pub(crate) fn refused(&self) {
        tracing::warn!(
            target: "vestibule::wsgi", method = %self.method, uri = self.uri.path(),
            "the queue for Python's threads is full"
        );
    }

    /// The body is shorter than its `Content-Length`.
    pub(crate) fn short(&self, length: u64, bytes: u64) {
        self.error(&format!(
            "the app sent {bytes} bytes, and its Content-Length says {length}"
        ));
    }

    pub(crate) fn short_by(&self, bytes: u64) {
        self.error(&format!(
            "the app sent {bytes} bytes fewer than its Content-Length says"
        ));
    }
}

/// Calls the app, and sees to it that whatever it does the request ends.
pub(crate) fn run(py: Python<'_>, shared: &Arc<Shared>, base: &mut Base, job: Job) {
    let Job {
        mut environ,
        about,
        progress,
        to,
        runtime,
    } = job;
    if to.is_closed() {
        return;
    }
    let waited = progress.begin();
    if waited > LONG {
        tracing::warn!(
            target: "vestibule::wsgi", method = %about.method, uri = about.uri.path(),
            queue_ms = waited.as_millis(), "the request has waited for a thread"
        );
    }
    let body = environ.take_input();
    let call = || -> PyResult<Call<'_>> {
        let input = Bound::new(py, Input::new(body, progress.clone(), runtime))?;
        let errors = Bound::new(
            py,
            Errors::new(about.clone(), shared.settings.errors_to_stderr),
        )?;
        let environ = base.dict(py, &environ)?;
        environ.set_item(intern!(py, "wsgi.input"), &input)?;
        environ.set_item(intern!(py, "wsgi.errors"), &errors)?;
        environ.set_item(intern!(py, "vestibule.queue_time"), waited.as_secs_f64())?;
        let queued = QueueTime(waited);
        let reply = Reply::new(to, about.clone(), progress.clone(), shared.clone(), queued);
        let reply = Bound::new(py, reply)?;
        Ok(Call {
            environ,
            input,
            errors,
            reply,
        })
    };
    let call = match call() {
        Ok(call) => call,
        Err(error) => return about.error(&traceback(py, &error)),
    };
    call.run(py, shared);
    call.errors.get().end();
    call.input.get().end();
}

/// What Python holds of a request.
struct Call<'py> {
    environ: Bound<'py, PyDict>,
    input: Bound<'py, Input>,
    errors: Bound<'py, Errors>,
    reply: Bound<'py, Reply>,
}

impl Call<'_> {
    /// The call, the response and `close`; then everything has been told and sent.
    fn run(&self, py: Python<'_>, shared: &Arc<Shared>) {
        let (reply, about) = (self.reply.get(), self.about());
        let result = shared.app.bind(py).call1((&self.environ, &self.reply));
        leave_if_forked(shared, result.is_err());
        let result = match result {
            Ok(result) => result,
            Err(error) => return self.fail(py, &error),
        };
        if let Ok(file) = result.cast_exact::<FileWrapper>()
            && let Some(body) = self.file(py, file, shared)
        {
            return reply.send_whole(body);
        }
        let sent = self
            .respond(py, &result, shared.settings.timeout)
            .and_then(|()| reply.finish());
        leave_if_forked(shared, sent.is_err());
        if let Err(error) = sent {
            self.fail(py, &error);
        }
        close(py, &result, about);
    }

    fn about(&self) -> &Arc<About> {
        self.reply.get().about()
    }

    /// Sends the blocks of the iterable, and runs it to its end.
    ///
    /// A response may be complete before that, by its `Content-Length`: libraries run work after the
    /// last byte, and every other server lets them. The loop ends early when the client went away
    /// before the response was complete, at the first bytes beyond `Content-Length`, or when the app
    /// goes on for longer than `limit` after the response.
    fn respond(
        &self,
        py: Python<'_>,
        result: &Bound<'_, PyAny>,
        limit: Option<Duration>,
    ) -> PyResult<()> {
        let reply = self.reply.get();
        if let Some(only) = only_item(result) {
            let data = piece(&only)?;
            if reply.is_started() {
                reply.send_whole(data);
                return Ok(());
            }
            return reply.send(py, data).map(drop);
        }
        check_iterable(result)?;
        reply.progress().mark();
        let mut is_only = result.len().is_ok_and(|length| length == 1);
        let mut complete_at = None;
        for item in result.try_iter()? {
            reply.progress().mark();
            let data = piece(&item?)?;
            let flow = if std::mem::take(&mut is_only) && reply.is_started() {
                reply.send_whole(data);
                Flow::Complete
            } else if complete_at.is_some() && reply.is_over() {
                // `send_whole` has sent the one item that there was.
                if data.is_empty() {
                    Flow::Complete
                } else {
                    Flow::Beyond
                }
            } else {
                reply.send(py, data)?
            };
            match flow {
                Flow::More if !reply.is_gone() => {}
                Flow::Complete => {
                    let complete_at = complete_at.get_or_insert_with(Instant::now);
                    if let Some(limit) = limit.filter(|limit| complete_at.elapsed() > *limit) {
                        self.about().warn(&format!(
                            "the app went on for more than {limit:?} after its response was complete; \
                             it is closed"
                        ));
                        break;
                    }
                }
                Flow::More | Flow::Beyond | Flow::Gone => break,
            }
        }
        Ok(())
    }

    /// The file as a body that closes it at its end.
    fn file(
        &self,
        py: Python<'_>,
        file: &Bound<'_, FileWrapper>,
        shared: &Arc<Shared>,
    ) -> Option<Body> {
        let reply = self.reply.get();
        if !reply.is_started() {
            return None;
        }
        let body = file.get().body(py, reply.length())?;
        let close = Task::Close(file.clone().into_any().unbind(), self.about().clone());
        let shared = shared.clone();
        Some(body.on_end(move |_| shared.queue.push_first(close)))
    }

    /// Why the request's body has broken off, when the app let through what `wsgi.input` had raised.
    fn broken_body(&self, py: Python<'_>, error: &PyErr) -> Option<Cause> {
        let cause = self.input.get().broke()?;
        let is_it = error.is_instance_of::<PyOSError>(py)
            && error.value(py).to_string() == cause.to_string();
        is_it.then_some(cause)
    }

    /// Logs what went wrong and ends the response.
    fn fail(&self, py: Python<'_>, error: &PyErr) {
        let (reply, about) = (self.reply.get(), self.about());
        if error.is_instance_of::<PyBrokenPipeError>(py) && reply.is_gone() {
            return tracing::debug!(target: "vestibule::wsgi", "the client went away: {error}");
        }
        let text = traceback(py, error);
        let cause = self.broken_body(py, error);
        match &cause {
            // It is the client's doing, and the app let the exception through.
            Some(cause) => about.info(&format!("the upload broke off: {cause}")),
            None => about.error(&text),
        }
        let kind = match cause {
            Some(_) => FailureKind::Request,
            None => FailureKind::App,
        };
        let short = AppError {
            text: summary(py, error),
            cause,
        };
        let failure = Failure::new(short.clone()).kind(kind).layer("WsgiApp");
        reply.fail(short.into(), || {
            let response = failure.into_response();
            match about.is_developer {
                true => debug_page(response, &text),
                false => response,
            }
        });
    }
}

/// Ends a child of this process that came back from the app: the response is its parent's to send.
fn leave_if_forked(shared: &Shared, has_failed: bool) {
    if forks::generation() != shared.generation {
        std::process::exit(i32::from(has_failed));
    }
}

/// Why an app has failed: the exception's class and text. The traceback is in the log.
#[derive(Clone, Debug)]
struct AppError {
    text: String,
    /// Why the request's body has broken off, where it is that.
    cause: Option<Cause>,
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for AppError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause: &BodyError = self.cause.as_deref()?;
        Some(cause.get_ref())
    }
}

/// The one item of a list or tuple that has one.
fn only_item<'py>(result: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if let Ok(list) = result.cast_exact::<PyList>() {
        return (list.len() == 1).then(|| list.get_item(0).ok())?;
    }
    let tuple = result.cast_exact::<PyTuple>().ok()?;
    (tuple.len() == 1).then(|| tuple.get_item(0).ok())?
}

/// What is iterable, and not what was meant.
fn check_iterable(result: &Bound<'_, PyAny>) -> PyResult<()> {
    let what = match () {
        () if result.is_none() => "None",
        () if result.is_instance_of::<PyString>() => "a str",
        () if result.is_instance_of::<PyBytes>() => "bytes",
        () => return Ok(()),
    };
    Err(PyTypeError::new_err(format!(
        "the app returned {what}, not an iterable of bytes such as [b'...']"
    )))
}

/// Calls `close()`, which what the app has returned need not have.
pub(crate) fn close(py: Python<'_>, result: &Bound<'_, PyAny>, about: &About) {
    if result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>() {
        return;
    }
    let closed = match result.getattr_opt(intern!(py, "close")) {
        Ok(None) => return,
        Ok(Some(close)) => close.call0().map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = closed {
        about.error(&traceback(py, &error));
    }
}

/// As Python prints it, with causes; without them if that fails.
pub(crate) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let lines = || -> PyResult<String> {
        let module = py.import(intern!(py, "traceback"))?;
        let parts = (error.get_type(py), error.value(py), error.traceback(py));
        let lines = module.call_method1(intern!(py, "format_exception"), parts)?;
        let text = intern!(py, "").call_method1(intern!(py, "join"), (lines,))?;
        let text = text.cast::<PyString>()?.to_string_lossy().into_owned();
        Ok(text.trim_end().to_owned())
    };
    lines().unwrap_or_else(|_| summary(py, error))
}

/// `ValueError: no such page`.
fn summary(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name().map(|name| name.to_string());
    let name = name.unwrap_or_else(|_| "an exception".to_owned());
    match error.value(py).str() {
        Ok(text) if text.len().is_ok_and(|length| length > 0) => {
            format!("{name}: {}", text.to_string_lossy())
        }
        _ => name,
    }
}

/// The traceback for whoever develops the app, on the same machine. It can be read, and nothing in it
/// can be run.
fn debug_page(mut response: Response, text: &str) -> Response {
    let hint = "This page is shown on this machine only, because of <code>--debug</code>.";
    let page = error_page("The app has failed", text, hint);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    *response.body_mut() = Body::from(page);
    response
}

/// A page with a text as it is, and a hint in HTML.
pub(crate) fn error_page(title: &str, text: &str, hint: &str) -> String {
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!(
        "<!doctype html>\n<title>{title}</title>\n\
         <body style=\"font: 15px/1.5 system-ui; margin: 2rem\">\n\
         <h1>{title}</h1>\n<pre style=\"overflow-x: auto\">{escaped}</pre>\n\
         <p>{hint}</p>\n"
    )
}

/// How long a request may wait for a thread before the log tells of it.
const LONG: std::time::Duration = std::time::Duration::from_secs(1);
