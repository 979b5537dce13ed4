//! `start_response` and `write`: what of a response is decided, and what has been sent.
//!
//! ```text
//!   Fresh --start_response--> Started --first byte--> Sending --end--> Over
//!                              |   ^
//!                              +---+  start_response(.., exc_info) replaces
//!
//! In `Sending`, the pipe to the client closes when the response is complete. The app may go on after
//! that: see `Flow::Complete`.
//! ```
//!
//! Source: PEP 3333, "The start_response() Callable" and "Handling the Content-Length Header".

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTraceback, PyTuple};
use tokio::sync::oneshot;
use vestibule_core::{Body, BodySender, BoxError, QueueTime};

use crate::call::About;
use crate::pool::Shared;
use crate::progress::Progress;
use crate::wait::wait;

/// One response on its way; as an object of Python's it is `start_response`.
#[pyclass(frozen, module = "vestibule_wsgi", name = "start_response")]
pub(crate) struct Reply {
    state: Mutex<State>,
    about: Arc<About>,
    progress: Arc<Progress>,
    shared: Arc<Shared>,
    queued: QueueTime,
}

struct State {
    stage: Stage,
    /// A second call without `exc_info` is an error even when the first one raised.
    was_called: bool,
    /// `None` when the head is on its way.
    to: Option<oneshot::Sender<vestibule_core::Response>>,
}

enum Stage {
    Fresh,
    Started(Head),
    Sending {
        pipe: Pipe,
        /// The rest of `Content-Length`. It is counted for HEAD as well, where no byte is sent.
        left: Option<u64>,
    },
    Over,
    /// The client is gone.
    Lost,
}

/// The way to the client.
enum Pipe {
    Open(BodySender),
    /// A thread is writing, and waits for the client.
    Busy,
    /// The response is complete, or has no bytes.
    Closed,
}

struct Head {
    status: StatusCode,
    reason: Option<ReasonPhrase>,
    headers: HeaderMap,
    length: Option<u64>,
}

/// Whether more bytes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    More,
    /// The response is complete, by its `Content-Length` or because it has no bytes.
    Complete,
    /// The data was longer than `Content-Length` allows.
    Beyond,
    /// The client went away.
    Gone,
}

#[pymethods]
impl Reply {
    #[pyo3(signature = (status, headers, exc_info=None, /))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let error = exc_info.map(exception).transpose()?;
        {
            let mut state = this.lock();
            let is_again = std::mem::replace(&mut state.was_called, true);
            match (&state.stage, error) {
                (Stage::Sending { .. } | Stage::Over | Stage::Lost, Some(error)) => {
                    return Err(error);
                }
                (_, None) if is_again => {
                    return Err(PyAssertionError::new_err(
                        "start_response was called twice, and not with exc_info",
                    ));
                }
                _ => {}
            }
        }
        let head = Head::new(status, headers)?;
        let mut state = this.lock();
        match state.stage {
            Stage::Fresh | Stage::Started(_) => state.stage = Stage::Started(head),
            _ => return Err(PyAssertionError::new_err("the response was sent already")),
        }
        drop(state);
        slf.getattr(intern!(py, "write"))
    }

    /// The callable that `start_response` returns.
    #[pyo3(signature = (data, /))]
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let flow = self.send(py, piece(data)?)?;
        if flow == Flow::Gone || (flow == Flow::More && self.is_gone()) {
            return Err(pyo3::exceptions::PyBrokenPipeError::new_err(
                "the client went away",
            ));
        }
        Ok(())
    }
}

impl Reply {
    pub(crate) fn new(
        to: oneshot::Sender<vestibule_core::Response>,
        about: Arc<About>,
        progress: Arc<Progress>,
        shared: Arc<Shared>,
        queued: QueueTime,
    ) -> Self {
        let state = State {
            stage: Stage::Fresh,
            was_called: false,
            to: Some(to),
        };
        Self {
            state: Mutex::new(state),
            about,
            progress,
            shared,
            queued,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client went away before the response was complete: before its head or after it.
    pub(crate) fn is_gone(&self) -> bool {
        let mut state = self.lock();
        if let Some(to) = &state.to {
            return to.is_closed();
        }
        match &mut state.stage {
            Stage::Sending {
                pipe: Pipe::Open(sender),
                ..
            } => {
                let mut cx = Context::from_waker(Waker::noop());
                let is_lost = pin!(sender.closed()).poll(&mut cx).is_ready();
                if is_lost {
                    state.stage = Stage::Lost;
                }
                is_lost
            }
            Stage::Lost => true,
            _ => false,
        }
    }

    /// The length that the app has announced.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.lock().stage {
            Stage::Started(head) => head.length,
            _ => None,
        }
    }

    pub(crate) const fn about(&self) -> &Arc<About> {
        &self.about
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether the response was sent in one piece.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.lock().stage, Stage::Over)
    }

    /// Whether `start_response` was called and nothing was sent.
    pub(crate) fn is_started(&self) -> bool {
        matches!(self.lock().stage, Stage::Started(_))
    }

    /// Sends a piece of the body, after the head if that has not been sent. It returns when the piece
    /// is on its way, and waits while the client is behind.
    pub(crate) fn send(&self, py: Python<'_>, mut data: Bytes) -> PyResult<Flow> {
        let mut is_beyond = false;
        let mut sender = {
            let mut state = self.lock();
            // Nothing is no reason to send the head: an error may still replace it.
            if data.is_empty() && !matches!(state.stage, Stage::Sending { .. }) {
                return Ok(Flow::More);
            }
            if let Stage::Started(_) = state.stage
                && self.begin(&mut state) == Flow::Gone
            {
                return Ok(Flow::Gone);
            }
            let (pipe, left) = match &mut state.stage {
                Stage::Sending { pipe, left } => (pipe, left),
                Stage::Fresh => return Err(not_started()),
                Stage::Started(_) | Stage::Over | Stage::Lost => return Ok(Flow::Gone),
            };
            if let Pipe::Busy = pipe {
                return Err(PyRuntimeError::new_err(
                    "two threads write the response at the same time",
                ));
            }
            if let Some(left) = left {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                is_beyond = data.len() > most;
                data.truncate(most);
                *left -= data.len() as u64;
            }
            match std::mem::replace(pipe, Pipe::Busy) {
                Pipe::Open(sender) => sender,
                Pipe::Busy | Pipe::Closed => {
                    *pipe = Pipe::Closed;
                    return Ok(complete(is_beyond));
                }
            }
        };
        let sent = if data.is_empty() {
            Ok(())
        } else {
            self.progress.waits();
            let sent = wait(py, sender.send(data));
            self.progress.mark();
            sent
        };
        let mut state = self.lock();
        if sent.is_err() {
            state.stage = Stage::Lost;
            return Ok(Flow::Gone);
        }
        match &mut state.stage {
            Stage::Sending { pipe, left } => {
                if *left == Some(0) {
                    *pipe = Pipe::Closed;
                    sender.finish();
                    return Ok(complete(is_beyond));
                }
                *pipe = Pipe::Open(sender);
                Ok(Flow::More)
            }
            _ => Ok(Flow::Gone),
        }
    }

    /// Sends the head, with a body to follow if there may be one.
    fn begin(&self, state: &mut State) -> Flow {
        let Stage::Started(head) = std::mem::replace(&mut state.stage, Stage::Over) else {
            return Flow::Gone;
        };
        let has_bytes =
            !self.about.is_head && may_have_bytes(head.status) && head.length != Some(0);
        let left = head.length;
        let (pipe, body) = if has_bytes {
            let (sender, body) = Body::channel();
            let body = match left {
                Some(length) => body.with_length(length),
                None => body,
            };
            (Pipe::Open(sender.with_room(ROOM)), body)
        } else {
            (Pipe::Closed, Body::empty())
        };
        if !self.deliver(state, head.into_response(body)) {
            state.stage = Stage::Lost;
            return Flow::Gone;
        }
        state.stage = Stage::Sending { pipe, left };
        Flow::More
    }

    /// Sends head and body in one, when that is all.
    pub(crate) fn send_whole(&self, body: impl Into<Body>) {
        let mut body = body.into();
        let mut state = self.lock();
        let Stage::Started(head) = std::mem::replace(&mut state.stage, Stage::Over) else {
            return;
        };
        if let (Some(length), Some(bytes)) = (head.length, body.as_bytes()) {
            let is_bound = may_have_bytes(head.status) && !self.about.is_head;
            let has = bytes.len() as u64;
            if has > length {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                body = Body::from(bytes.slice(..length));
            } else if has < length && is_bound {
                self.about.short(length, has);
                body = body.with_length(length);
            }
        }
        if !may_have_bytes(head.status) {
            body = body.without_bytes();
        }
        self.deliver(&mut state, head.into_response(body));
    }

    /// The app has given all that it has.
    pub(crate) fn finish(&self) -> PyResult<()> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Fresh => Err(not_started()),
            started @ Stage::Started(_) => {
                state.stage = started;
                drop(state);
                self.send_whole(Body::empty());
                Ok(())
            }
            Stage::Sending {
                pipe: Pipe::Open(sender),
                left,
            } => {
                // A sender that is dropped cuts the response.
                match left {
                    Some(left) if left > 0 => self.about.short_by(left),
                    _ => sender.finish(),
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Hands the response to the server; false when nobody waits for it any more.
    fn deliver(&self, state: &mut State, mut response: vestibule_core::Response) -> bool {
        let Some(to) = state.to.take() else {
            return false;
        };
        response.extensions_mut().insert(self.queued);
        self.shared.deliver(to, response)
    }

    /// The app has failed. A response whose head was not sent is replaced by `instead`; one that was
    /// is cut, so that the client can tell.
    pub(crate) fn fail(&self, error: BoxError, instead: impl FnOnce() -> vestibule_core::Response) {
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Sending {
                pipe: Pipe::Open(mut sender),
                ..
            } => sender.abort(error),
            Stage::Fresh | Stage::Started(_) => drop(self.deliver(&mut state, instead())),
            _ => {}
        }
    }
}

/// The flow of a response that is complete.
const fn complete(is_beyond: bool) -> Flow {
    if is_beyond {
        Flow::Beyond
    } else {
        Flow::Complete
    }
}

fn not_started() -> PyErr {
    PyAssertionError::new_err("the app has not called start_response")
}

/// A block of the body: bytes, and nothing that is like them.
pub(crate) fn piece(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let Ok(bytes) = data.cast::<PyBytes>() else {
        let name = data.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "a response is made of bytes, not of {name}"
        )));
    };
    let slice = bytes.as_bytes();
    match slice.len() < MAX_COPIED {
        true => Ok(Bytes::copy_from_slice(slice)),
        // The bytes of Python's object are sent themselves; it is let go of later.
        false => Ok(Bytes::from_owner(pyo3::pybacked::PyBackedBytes::from(
            bytes.clone(),
        ))),
    }
}

/// The exception in `exc_info`, with its traceback.
fn exception(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let wrong = || PyTypeError::new_err("exc_info is a tuple of three, or None");
    let exc_info = exc_info.cast::<PyTuple>().map_err(|_| wrong())?;
    if exc_info.len() != 3 {
        return Err(wrong());
    }
    let (kind, value, traceback) = (
        exc_info.get_item(0)?,
        exc_info.get_item(1)?,
        exc_info.get_item(2)?,
    );
    let value = if value.is_none() { kind } else { value };
    let error = PyErr::from_value(value);
    if let Ok(traceback) = traceback.cast_into::<PyTraceback>() {
        error.set_traceback(exc_info.py(), Some(traceback));
    }
    Ok(error)
}

impl Head {
    fn new(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<Self> {
        let status = status
            .cast::<PyString>()
            .map_err(|_| PyTypeError::new_err("the status is a str"))?;
        let (status, reason) = status_line(&latin1(status)?).ok_or_else(|| {
            let shown = status.repr().map(|it| it.to_string()).unwrap_or_default();
            PyValueError::new_err(format!(
                "the status is three digits from 200 to 999, a space and a reason, not {shown}"
            ))
        })?;
        let list = headers
            .cast_exact::<PyList>()
            .map_err(|_| PyTypeError::new_err("the headers are a list"))?;
        let mut map = HeaderMap::with_capacity(list.len() + 2);
        let mut length = None;
        for pair in list.iter() {
            let (name, value) = header(&pair)?;
            if name == CONTENT_LENGTH {
                length = Some(content_length(&value, length)?);
            }
            map.try_append(name, value)
                .map_err(|_| PyValueError::new_err("too many headers"))?;
        }
        Ok(Self {
            status,
            reason,
            headers: map,
            length,
        })
    }

    fn into_response(self, body: Body) -> vestibule_core::Response {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

fn header(pair: &Bound<'_, PyAny>) -> PyResult<(HeaderName, HeaderValue)> {
    let wrong = || PyTypeError::new_err("a header is a tuple of two str");
    let pair = pair.cast::<PyTuple>().map_err(|_| wrong())?;
    if pair.len() != 2 {
        return Err(wrong());
    }
    let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
    let name = name.cast::<PyString>().map_err(|_| wrong())?;
    let value = value.cast::<PyString>().map_err(|_| wrong())?;
    let refused = |why: &str| {
        let name = name.repr().map(|it| it.to_string()).unwrap_or_default();
        PyValueError::new_err(format!("the header {name} {why}"))
    };
    let parsed = HeaderName::from_bytes(name.to_str().unwrap_or_default().as_bytes())
        .map_err(|_| refused("has a name that is no token"))?;
    if is_the_servers(parsed.as_str()) {
        return Err(PyAssertionError::new_err(format!(
            "the header {parsed} is the server's, not the app's"
        )));
    }
    let value = latin1(value).map_err(|_| refused("has characters beyond latin-1"))?;
    let has_controls = value.iter().any(|byte| *byte < b' ' || *byte == 0x7f);
    let value = HeaderValue::from_bytes(&value)
        .ok()
        .filter(|_| !has_controls)
        .ok_or_else(|| refused("has control characters"))?;
    Ok((parsed, value))
}

/// Headers of the connection, which is not the app's (PEP 3333, "Other HTTP Features"), and
/// `Status`, which is CGI's.
fn is_the_servers(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "status"
            | "te"
            | "trailer"
            | "trailers"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn content_length(value: &HeaderValue, before: Option<u64>) -> PyResult<u64> {
    let digits = value.to_str().unwrap_or_default();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let length = is_number.then(|| digits.parse().ok()).flatten();
    let length = length.filter(|length| before.is_none_or(|before| before == *length));
    length.ok_or_else(|| PyValueError::new_err("Content-Length is a number, and there is one"))
}

/// `200 OK`: the status, and the reason if it is not the usual one.
fn status_line(text: &[u8]) -> Option<(StatusCode, Option<ReasonPhrase>)> {
    let (digits, rest) = text.split_at_checked(3)?;
    let reason = rest.strip_prefix(b" ")?;
    let status = StatusCode::from_bytes(digits).ok()?;
    let is_final = !status.is_informational();
    let is_text = reason.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
    if !is_final || !is_text {
        return None;
    }
    let is_usual = status.canonical_reason().map(str::as_bytes) == Some(reason);
    let own = match is_usual {
        true => None,
        false => Some(ReasonPhrase::try_from(reason).ok()?),
    };
    Some((status, own))
}

/// Whether a response of this status may have bytes (RFC 9110, section 6.4.1).
fn may_have_bytes(status: StatusCode) -> bool {
    !matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

/// The bytes of which each is a character of the text.
fn latin1(text: &Bound<'_, PyString>) -> PyResult<Vec<u8>> {
    let beyond = || PyValueError::new_err("a character beyond latin-1 in a status or header");
    let text = text.to_str().map_err(|_| beyond())?;
    if text.is_ascii() {
        return Ok(text.as_bytes().to_vec());
    }
    let bytes = text.chars().map(|it| u8::try_from(u32::from(it)));
    bytes.collect::<Result<_, _>>().map_err(|_| beyond())
}

/// How many bytes the app may be ahead of the client.
const ROOM: usize = 512 * 1024;

/// Pieces shorter than this are copied: it costs less than to come back for Python's object.
const MAX_COPIED: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        let cases: [(&[u8], Option<u16>); 12] = [
            (b"200 OK", Some(200)),
            (b"404 Nothing here", Some(404)),
            (b"299 ", Some(299)),
            (b"999 \xe9", Some(999)),
            (b"200", None),
            (b"2000 X", None),
            (b"20 OK", None),
            (b"099 X", None),
            (b"100 Continue", None),
            (b"200 A\r\nB: c", None),
            (b"200\tOK", None),
            (b"", None),
        ];
        for (text, status) in cases {
            let got = status_line(text).map(|(status, _)| status.as_u16());
            assert_eq!(got, status, "{}", String::from_utf8_lossy(text));
        }
        assert!(status_line(b"200 OK").is_some_and(|(_, reason)| reason.is_none()));
        assert!(status_line(b"200 Fine").is_some_and(|(_, reason)| reason.is_some()));
    }
}
