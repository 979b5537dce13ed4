//! Shared by all gateways: limits, the service, and the output of a response.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use vestibule_core::{
    App, BodySender, BoxError, CatchPanic, Failure, FailureKind, IntoResponse, Request, Response,
};
use vestibule_environ::{Environ, HeadForm, Mapping, respond};

use crate::fastcgi::{STDERR, STDOUT, push_records};

/// The limits of a connection.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Limits {
    pub(crate) max_params_bytes: usize,
    pub(crate) max_param_bytes: usize,
    pub(crate) max_params: usize,
    pub(crate) params_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_params_bytes: 256 * 1024,
            max_param_bytes: 32 * 1024,
            max_params: 256,
            params_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            max_connections: 1024,
        }
    }
}

/// An app and the protocol settings that serve it.
#[derive(Debug)]
pub(crate) struct Service<A> {
    pub(crate) app: CatchPanic<A>,
    pub(crate) mapping: Mapping,
    pub(crate) limits: Limits,
}

/// The reason why a connection ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Malformed {
    /// The parameters are too many or too large: a 431.
    TooLarge,
    /// Bytes that the protocol does not allow.
    Protocol(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the parameters are too large",
            Self::Protocol(what) => what,
        })
    }
}

impl std::error::Error for Malformed {}

/// A connection that does not speak the protocol of the server: the first bytes that came.
#[derive(Debug)]
pub(crate) struct OtherProtocol {
    why: Malformed,
    first: Vec<u8>,
}

impl OtherProtocol {
    /// Adds the first bytes to an error about them; other errors stay as they are.
    pub(crate) fn explain(error: BoxError, received: &[u8]) -> BoxError {
        match error.downcast_ref() {
            Some(Malformed::Protocol(why)) => Self {
                why: Malformed::Protocol(why),
                first: received.iter().take(SHOWN).copied().collect(),
            }
            .into(),
            _ => error,
        }
    }

    /// The first bytes, printable.
    pub(crate) fn first(&self) -> String {
        format!("\"{}\"", self.first.escape_ascii())
    }

    /// The likely mistake in the web server's configuration.
    pub(crate) fn hint(&self) -> &'static str {
        let is_method = |byte: &u8| byte.is_ascii_uppercase();
        let letters = self.first.iter().take_while(|byte| is_method(byte)).count();
        let is_http = letters >= 3 && self.first.get(letters).is_none_or(|byte| *byte == b' ');
        match self.first.first() {
            _ if is_http => {
                "it speaks HTTP; nginx reaches this server by uwsgi_pass, fastcgi_pass or scgi_pass, \
                 not by proxy_pass"
            }
            Some(0x16) => "it speaks TLS",
            Some(0) => "it speaks uwsgi",
            Some(1) => "it speaks FastCGI",
            Some(b'0'..=b'9') => "it speaks SCGI",
            _ => "it speaks something else",
        }
    }
}

impl fmt::Display for OtherProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.why, self.hint(), self.first())
    }
}

impl std::error::Error for OtherProtocol {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

/// How many of the first bytes the log shows.
const SHOWN: usize = 32;

impl Limits {
    /// Adds a parameter if it is within the limits.
    pub(crate) fn push(
        &self,
        environ: &mut Environ,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), Malformed> {
        let is_large = name.len() > self.max_param_bytes || value.len() > self.max_param_bytes;
        if is_large || environ.len() >= self.max_params {
            return Err(Malformed::TooLarge);
        }
        environ.push(name, value);
        Ok(())
    }
}

/// Returns the response to parameters that are too large.
pub(crate) fn too_large() -> Response {
    Failure::new(Malformed::TooLarge)
        .kind(FailureKind::Request)
        .status(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        .into_response()
}

/// A buffer for input until it contains a complete unit. Reads are cancel-safe at any await.
pub(crate) struct Incoming<R> {
    io: R,
    pub(crate) buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(crate) fn new(io: R) -> Self {
        Self {
            io,
            buffer: BytesMut::with_capacity(CHUNK),
        }
    }

    pub(crate) fn into_io(self) -> R {
        self.io
    }

    /// Reads more bytes; returns `false` at the end.
    pub(crate) async fn more(&mut self) -> io::Result<bool> {
        if self.buffer.spare_capacity_mut().len() < CHUNK / 4 {
            self.buffer.reserve(CHUNK);
        }
        Ok(self.io.read_buf(&mut self.buffer).await? > 0)
    }

    /// Returns up to `most` bytes, buffered ones first; none at the end.
    pub(crate) async fn some(&mut self, most: u64) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.more().await?;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let length = self.buffer.len().min(most);
        Ok(self.buffer.split_to(length).freeze())
    }
}

/// Reads the remaining `left` bytes of a body into `sender`, and then waits for the end of the
/// connection. Returns when the other side is gone; the request is then cancelled. When the body
/// stalls, the app gets a body error, and may still respond.
pub(crate) async fn pump<R: AsyncRead + Unpin>(
    incoming: &mut Incoming<R>,
    left: &mut u64,
    mut sender: BodySender,
    limit: Duration,
) -> BoxError {
    let mut is_heard = true;
    while *left > 0 {
        match tokio::time::timeout(limit, incoming.some(*left)).await {
            Ok(Ok(data)) if data.is_empty() => return gone(sender, ENDED.into()),
            Ok(Ok(data)) => {
                *left = left.saturating_sub(data.len() as u64);
                // An app that does not read the body does not block the connection.
                is_heard = is_heard && sender.send(data).await.is_ok();
            }
            Ok(Err(error)) => return gone(sender, error.into()),
            Err(late) => {
                *left = 0;
                sender.abort(late);
                return end(incoming).await;
            }
        }
    }
    sender.finish();
    end(incoming).await
}

/// Reports the reason to an app that waits for the body, if it still runs.
fn gone(mut sender: BodySender, error: BoxError) -> BoxError {
    let text = error.to_string();
    sender.abort(error);
    text.into()
}

/// Waits for the end of the connection. Bytes after the length of the body are discarded.
async fn end<R: AsyncRead + Unpin>(incoming: &mut Incoming<R>) -> BoxError {
    loop {
        incoming.buffer.clear();
        match incoming.more().await {
            Ok(true) => {}
            Ok(false) => return "the web server has gone".into(),
            Err(error) => return error.into(),
        }
    }
}

/// An output buffer. Writes are cancel-safe at any await.
pub(crate) struct Outgoing<W> {
    io: W,
    buffer: Vec<u8>,
    /// Number of bytes of the buffer that are written.
    at: usize,
    /// The id of the FastCGI request of these records.
    pub(crate) id: Option<u16>,
    limit: Duration,
    /// Protocol replies to send between two pieces of a response.
    replies: mpsc::Receiver<Vec<u8>>,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// Creates the buffer. The reading side sends its protocol replies through the returned sender.
    pub(crate) fn new(io: W, limit: Duration) -> (Self, mpsc::Sender<Vec<u8>>) {
        let (sender, replies) = mpsc::channel(16);
        let outgoing = Self {
            io,
            buffer: Vec::new(),
            at: 0,
            id: None,
            limit,
            replies,
        };
        (outgoing, sender)
    }

    pub(crate) fn into_io(self) -> W {
        self.io
    }

    /// Adds bytes unchanged.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn data(&mut self, bytes: &[u8]) {
        match self.id {
            Some(id) => push_records(&mut self.buffer, STDOUT, id, bytes),
            None => self.raw(bytes),
        }
    }

    /// Logs a failure: on the web server if the protocol supports that, otherwise here.
    fn complain(&mut self, failure: &Failure) {
        let line = printable(&failure.to_string());
        match self.id {
            Some(id) => push_records(&mut self.buffer, STDERR, id, line.as_bytes()),
            None => tracing::error!(target: "vestibule", "{line}"),
        }
    }

    /// Writes the buffer.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let limit = self.limit;
        while let Some(rest) = self.buffer.get(self.at..).filter(|it| !it.is_empty()) {
            let write = self.io.write(rest);
            let written = tokio::time::timeout(limit, write).await??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.at = self.at.saturating_add(written);
        }
        self.buffer.clear();
        // Releases the memory of one large piece.
        self.buffer.shrink_to(2 * FULL);
        self.at = 0;
        tokio::time::timeout(limit, self.io.flush()).await?
    }

    pub(crate) async fn close(&mut self) -> io::Result<()> {
        tokio::time::timeout(self.limit, self.io.shutdown()).await?
    }

    /// Waits for `future`, and flushes the buffer meanwhile.
    async fn wait<T>(&mut self, mut future: Pin<&mut impl Future<Output = T>>) -> io::Result<T> {
        let once = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
        if let Poll::Ready(done) = once.await {
            return Ok(done);
        }
        loop {
            self.flush().await?;
            tokio::select! {
                biased;
                done = future.as_mut() => return Ok(done),
                Some(reply) = self.replies.recv() => self.raw(&reply),
            }
        }
    }

    /// Calls the app and writes its response. Returns `false` when the body failed: the other side
    /// must see that the response is incomplete.
    pub(crate) async fn answer<A: App>(
        &mut self,
        app: &A,
        request: Request,
        form: HeadForm,
    ) -> io::Result<bool> {
        let method = request.method().clone();
        let response = {
            let call = pin!(app.call(request));
            self.wait(call).await?
        };
        self.respond(&method, form, response).await
    }

    pub(crate) async fn respond(
        &mut self,
        method: &Method,
        form: HeadForm,
        response: Response,
    ) -> io::Result<bool> {
        if let Some(failure) = Failure::of(&response) {
            self.complain(failure);
        }
        let (head, mut body) = respond(method, form, response);
        self.data(&head);
        loop {
            let frame = {
                let frame = pin!(body.frame());
                self.wait(frame).await?
            };
            match frame {
                Some(Ok(frame)) => {
                    // These protocols have no trailers.
                    if let Ok(data) = frame.into_data() {
                        self.data(&data);
                    }
                }
                Some(Err(error)) => {
                    self.complain(&Failure::new(error));
                    return Ok(false);
                }
                None => return Ok(true),
            }
            if self.buffer.len() >= FULL {
                self.flush().await?;
            }
        }
    }
}

/// Returns the text as one line without control characters.
pub(crate) fn printable(text: &str) -> String {
    let escape = |it: char| match it.is_control() || matches!(it, '\u{2028}' | '\u{2029}') {
        true => it.escape_default().to_string(),
        false => it.to_string(),
    };
    text.chars().map(escape).collect()
}

const ENDED: &str = "the body ended before its length";

/// Size of a read in bytes.
const CHUNK: usize = 16 * 1024;

/// Number of buffered bytes after which they are written.
const FULL: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_the_log_is_one_line() {
        assert_eq!(
            printable("a\r\nb\u{1b}[1m\u{2028}é"),
            "a\\r\\nb\\u{1b}[1m\\u{2028}é"
        );
    }
}
