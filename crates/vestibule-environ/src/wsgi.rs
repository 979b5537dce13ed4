//! The WSGI interface: a callable with an environ and `start_response`.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame};
use vestibule_core::{App, Body, BodyError, Failure, IntoResponse, Outline, Request, Response};

use crate::Environ;
use crate::piece_channel::PieceChannel;

/// Converts a callable with two arguments, as in PEP 3333, to an app.
///
/// The callable gets the variables, with the request's body in [`Environ::take_input`], and
/// `start_response`, which it calls with a status and headers. It returns the body.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use http::HeaderMap;
/// use vestibule_core::{App, Request};
/// use vestibule_environ::{Environ, StartResponse, wsgi_style};
///
/// let app = wsgi_style(|environ: Environ, start_response: StartResponse| async move {
///     start_response.start("200 OK", HeaderMap::new()).expect("the first call");
///     format!("Hello, {}!", environ.latin1("PATH_INFO").unwrap_or_default())
/// });
/// let response = app.call(Request::default()).await;
/// assert_eq!(response.into_body().collect(99).await.unwrap(), "Hello, /!");
/// # }
/// ```
///
/// The order of the calls:
///
/// ```text
///   server                      app
///     |  call(environ, start)    |
///     |------------------------->|
///     |        start("200 OK")   |     kept, not sent
///     |<-------------------------|
///     |   (start again, with a   |     what was kept is replaced
///     |    failure)              |
///     |<-------------------------|
///     |    first byte of body    |     now status and headers are sent
///     |<-------------------------|
///     |   (start again, with a   |     an error: too late
///     |    failure)              |
///     |    ...        end        |     dropped body = close()
///     |<-------------------------|
/// ```
///
/// If the callable never calls `start_response`, the response is a 500.
pub fn wsgi_style<F, Fut, B>(callable: F) -> WsgiStyle<F>
where
    F: Fn(Environ, StartResponse) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = B> + Send + 'static,
    B: Into<Body>,
{
    WsgiStyle { callable }
}

/// The app of a callable; see [`wsgi_style`].
#[derive(Clone)]
pub struct WsgiStyle<F> {
    callable: F,
}

impl<F, Fut, B> App for WsgiStyle<F>
where
    F: Fn(Environ, StartResponse) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = B> + Send + 'static,
    B: Into<Body> + 'static,
{
    async fn call(&self, request: Request) -> Response {
        let shared = Arc::new(CallState::default());
        let start = StartResponse(shared.clone());
        let answer = (self.callable)(Environ::from(request), start);
        let answer = Box::pin(async move { answer.await.into() });
        let mut running = Running {
            stage: Stage::Call(answer),
            shared,
            first: None,
        };
        // The head is sent with the first byte, and not before.
        let first = std::future::poll_fn(|cx| running.poll_data(cx)).await;
        let Some((status, headers)) = running.shared.commit() else {
            return Failure::new("the app did not call start_response").into_response();
        };
        let body = match first {
            Some(Err(error)) => return Failure::new(error).into_response(),
            None => Body::empty(),
            Some(Ok(data)) => match running.finished() {
                true => Body::from(data),
                false => {
                    running.first = Some(data);
                    Body::new(running)
                }
            },
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline.rename("wsgi_style");
    }
}

impl<F> fmt::Debug for WsgiStyle<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsgiStyle").finish_non_exhaustive()
    }
}

/// Calls an app as a WSGI server does: with variables, and with a `start_response` that gets status
/// and headers before the body.
///
/// If the variables are not a valid request, the result is an error response.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::Request;
/// use vestibule_environ::{Environ, call_wsgi};
///
/// let hello = |_: Request| async { "Hello!" };
/// let environ = Environ::from_iter([("REQUEST_METHOD", "GET"), ("PATH_INFO", "/")]);
///
/// let mut started = String::new();
/// let body = call_wsgi(&hello, environ, |status, _headers| started = status.to_owned()).await;
/// assert_eq!(started, "200 OK");
/// assert_eq!(body.collect(99).await.unwrap(), "Hello!");
/// # }
/// ```
pub async fn call_wsgi<A: App>(
    app: &A,
    environ: Environ,
    start_response: impl FnOnce(&str, HeaderMap) + Send,
) -> Body {
    let response = match crate::Mapping::new().request(environ) {
        Ok(request) => app.call(request).await,
        Err(error) => error.into_response(),
    };
    let (head, body) = response.into_parts();
    let reason = head.status.canonical_reason().unwrap_or("Unknown");
    let status = format!("{} {reason}", head.status.as_str());
    start_response(&status, head.headers);
    body
}

/// The `start_response` of PEP 3333.
#[derive(Clone)]
pub struct StartResponse(Arc<CallState>);

/// The reason why a response was not started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It was started before; only an error may start it again.
    Twice,
    /// The status does not have the form `200 OK`, or is one that only a server sends.
    Status,
    /// The head has been sent already. This is the failure; the body should end with it.
    TooLate(Failure),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice => f.write_str("start_response was called twice, without an error"),
            Self::Status => f.write_str("the status is not of the form `200 OK`"),
            Self::TooLate(failure) => write!(f, "the head has been sent already: {failure}"),
        }
    }
}

impl Error for StartError {}

impl StartResponse {
    /// Sets status and headers, which are sent with the first byte of the body.
    ///
    /// # Errors
    ///
    /// Fails when it was called before, or when `status` does not have the form `200 OK`.
    pub fn start(&self, status: &str, headers: HeaderMap) -> Result<Write, StartError> {
        let status = status_code(status)?;
        let mut state = self.0.lock();
        if state.head.is_some() || state.is_committed {
            return Err(StartError::Twice);
        }
        state.head = Some((status, headers));
        Ok(Write(self.0.clone()))
    }

    /// Replaces status and headers after an error, as `exc_info` does in PEP 3333.
    ///
    /// # Errors
    ///
    /// Returns [`StartError::TooLate`] when the head has been sent.
    pub fn start_again(
        &self,
        status: &str,
        headers: HeaderMap,
        failure: Failure,
    ) -> Result<Write, StartError> {
        let status = status_code(status)?;
        let mut state = self.0.lock();
        if state.is_committed {
            return Err(StartError::TooLate(failure));
        }
        state.head = Some((status, headers));
        Ok(Write(self.0.clone()))
    }
}

impl fmt::Debug for StartResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StartResponse")
    }
}

/// Sends bytes before the callable returns, as the result of `start_response` does. For apps that
/// cannot return a streaming body.
pub struct Write(Arc<CallState>);

impl Write {
    /// Sends bytes before those of the returned body. Waits until they are read, or until the
    /// reader is gone.
    pub async fn write(&self, data: impl Into<Bytes>) {
        let mut data = Some(data.into()).filter(|data| !data.is_empty());
        std::future::poll_fn(|cx| self.0.written.poll_put(&mut data, cx)).await;
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Write")
    }
}

/// The state that the callable and the server share.
#[derive(Default)]
struct CallState {
    state: Mutex<HeadState>,
    written: PieceChannel,
}

#[derive(Default)]
struct HeadState {
    head: Option<(StatusCode, HeaderMap)>,
    is_committed: bool,
}

impl CallState {
    fn lock(&self) -> MutexGuard<'_, HeadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self) -> Option<(StatusCode, HeaderMap)> {
        let mut state = self.lock();
        state.is_committed = true;
        state.head.take()
    }
}

/// The running callable: first its future, then the body that it returned. Bytes that it writes
/// come before both.
struct Running {
    stage: Stage,
    shared: Arc<CallState>,
    first: Option<Bytes>,
}

enum Stage {
    Call(Pin<Box<dyn Future<Output = Body> + Send>>),
    Body(Body),
    Done,
}

impl Running {
    /// Returns the next bytes, which are never empty.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.shared.written.listen(cx);
        loop {
            if let Some(written) = self.shared.written.take() {
                return Poll::Ready(Some(Ok(written)));
            }
            let step = match &mut self.stage {
                Stage::Call(call) => call.as_mut().poll(cx).map(|body| {
                    self.stage = Stage::Body(body);
                    None
                }),
                Stage::Body(body) => match Pin::new(body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => Poll::Ready(frame.into_data().ok().map(Ok)),
                    Poll::Ready(Some(Err(error))) => {
                        self.stage = Stage::Done;
                        Poll::Ready(Some(Err(error)))
                    }
                    Poll::Ready(None) => {
                        self.stage = Stage::Done;
                        Poll::Ready(None)
                    }
                    Poll::Pending => Poll::Pending,
                },
                Stage::Done => return Poll::Ready(None),
            };
            if step.is_pending()
                && let Some(written) = self.shared.written.take()
            {
                return Poll::Ready(Some(Ok(written)));
            }
            match ready!(step) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(item) => return Poll::Ready(Some(item)),
                None => {}
            }
        }
    }

    fn finished(&self) -> bool {
        match &self.stage {
            Stage::Done => self.first.is_none(),
            Stage::Body(body) => body.is_end_stream() && self.first.is_none(),
            Stage::Call(_) => false,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.written.close();
    }
}

impl http_body::Body for Running {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let data = ready!(self.poll_data(cx));
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }
}

/// Parses `200 OK`: three digits, a space, a reason; not informational.
fn status_code(text: &str) -> Result<StatusCode, StartError> {
    let (digits, reason) = text.split_once(' ').ok_or(StartError::Status)?;
    let code = StatusCode::from_bytes(digits.as_bytes()).map_err(|_| StartError::Status)?;
    match code.is_informational() || reason.contains(|it: char| it.is_control()) {
        true => Err(StartError::Status),
        false => Ok(code),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    async fn answer(app: &impl App) -> (u16, String, HeaderMap) {
        let response = app.call(Request::default()).await;
        let (head, body) = response.into_parts();
        let body = match body.collect(1000).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("cut: {error}"),
        };
        (head.status.as_u16(), body, head.headers)
    }

    fn one_header() -> HeaderMap {
        HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("\"a\""))])
    }

    #[tokio::test]
    async fn started_once() {
        let app = wsgi_style(|_, start: StartResponse| async move {
            start.start("201 Made", one_header()).unwrap();
            "x"
        });
        let (status, body, headers) = answer(&app).await;
        assert_eq!((status, &*body), (201, "x"));
        assert_eq!(headers[http::header::ETAG], "\"a\"");
    }

    #[tokio::test]
    async fn never_started() {
        let app = wsgi_style(|_, _| async { "x" });
        assert_eq!(answer(&app).await.0, 500);
    }

    #[tokio::test]
    async fn started_twice() {
        let app = wsgi_style(|_, start: StartResponse| async move {
            start.start("200 OK", HeaderMap::new()).unwrap();
            let twice = start.start("404 Not Found", HeaderMap::new());
            assert!(matches!(twice, Err(StartError::Twice)));
            "x"
        });
        assert_eq!(answer(&app).await.0, 200);
    }

    #[tokio::test]
    async fn started_again_for_an_error() {
        let app = wsgi_style(|_, start: StartResponse| async move {
            start.start("200 OK", one_header()).unwrap();
            let again = start.start_again("500 No", HeaderMap::new(), Failure::new("x"));
            again.unwrap();
            "sorry"
        });
        let (status, body, headers) = answer(&app).await;
        assert_eq!((status, &*body, headers.len()), (500, "sorry", 0));
    }

    #[tokio::test]
    async fn too_late_for_an_error() {
        let app = wsgi_style(|_, start: StartResponse| async move {
            let write = start.start("200 OK", HeaderMap::new()).unwrap();
            write.write("a").await;
            let again = start.start_again("500 No", HeaderMap::new(), Failure::new("x"));
            assert!(matches!(again, Err(StartError::TooLate(_))));
            "b"
        });
        let (status, body, _) = answer(&app).await;
        assert_eq!((status, &*body), (200, "ab"));
    }

    #[tokio::test]
    async fn written_and_returned() {
        let app = wsgi_style(|_, start: StartResponse| async move {
            let write = start.start("200 OK", HeaderMap::new()).unwrap();
            for piece in ["a", "", "b", "c"] {
                write.write(piece).await;
            }
            "d"
        });
        assert_eq!(answer(&app).await.1, "abcd");
    }

    /// A second call of `start_response` gives a second writer.
    #[tokio::test]
    async fn written_by_two() {
        let app = wsgi_style(|_, start: StartResponse| async move {
            let first = start.start("200 OK", HeaderMap::new()).unwrap();
            let second = start.start_again("200 OK", HeaderMap::new(), Failure::new("x"));
            let writes = [first, second.unwrap()]
                .map(|write| tokio::spawn(async move { write.write("a").await }));
            for write in writes {
                write.await.unwrap();
            }
            "b"
        });
        assert_eq!(answer(&app).await.1, "aab");
    }

    #[tokio::test]
    async fn written_without_a_reader() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = Mutex::new(Some(tell));
        let app = wsgi_style(move |_, start: StartResponse| {
            let write = start.start("200 OK", HeaderMap::new()).unwrap();
            tell.lock().unwrap().take().unwrap().send(write).unwrap();
            async { "all" }
        });
        assert_eq!(answer(&app).await.1, "all");
        told.await.unwrap().write("too late").await;
    }

    /// A generator calls `start_response` at its first poll.
    #[tokio::test]
    async fn started_by_the_body() {
        let app = wsgi_style(|_, start: StartResponse| async move {
            let (mut sender, body) = Body::channel();
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                start.start("202 Late", HeaderMap::new()).unwrap();
                sender.send("x").await.unwrap();
                sender.send("y").await.unwrap();
                sender.finish();
            });
            body
        });
        let (status, body, _) = answer(&app).await;
        assert_eq!((status, &*body), (202, "xy"));
    }

    #[tokio::test]
    async fn a_body_that_breaks() {
        for (first, status, text) in [("", 500, "500"), ("x", 200, "cut")] {
            let app = wsgi_style(move |_, start: StartResponse| async move {
                start.start("200 OK", HeaderMap::new()).unwrap();
                let (mut sender, body) = Body::channel();
                sender.send(first).await.unwrap();
                sender.abort("broken");
                body
            });
            let (got, body, _) = answer(&app).await;
            assert_eq!(got, status);
            assert!(body.starts_with(text), "{body}");
        }
    }

    /// Converting an app to WSGI and back gives the same responses.
    #[tokio::test]
    async fn an_app_as_wsgi_as_an_app() {
        let inner = Arc::new(|request: Request| async move {
            let body = request.into_body().collect(99).await?;
            Ok::<_, Failure>((StatusCode::ACCEPTED, body))
        });
        let app = wsgi_style(move |environ, start: StartResponse| {
            let inner = inner.clone();
            async move {
                call_wsgi(&inner, environ, |status, headers| {
                    start.start(status, headers).unwrap();
                })
                .await
            }
        });
        let mut request = Request::new(Body::from("abc"));
        *request.method_mut() = http::Method::POST;
        let response = app.call(request).await;
        assert_eq!(response.status(), 202);
        assert_eq!(response.into_body().collect(99).await.unwrap(), "abc");
    }

    #[test]
    fn statuses() {
        for (text, is_status) in [
            ("200 OK", true),
            ("418 I'm a teapot", true),
            ("999 X", true),
            ("200", false),
            ("20 OK", false),
            ("abc def", false),
            ("100 Continue", false),
            ("200 OK\r\nSet-Cookie: a", false),
        ] {
            assert_eq!(status_code(text).is_ok(), is_status, "{text}");
        }
    }
}
