//! What the log knows of one request.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use vestibule_core::{
    Address, End, Failure, Outcome, Peer, QueueTime, RemoteUser, Replaced, Request, RequestLine,
    Response,
};
use vestibule_fields::trace_context::TraceParent;

use crate::{Format, RequestId, TraceContext};

/// One request and how it ended, as a sink hears of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// When the request reached the log.
    pub time: SystemTime,
    /// The client, when the adapter knows it: an IPv4 address even where the socket has it in IPv6 form.
    pub peer: Option<Address>,
    /// The other end of the connection itself, when `peer` is a client behind a proxy.
    pub connection: Option<Box<Address>>,
    /// Our end of the connection, when the adapter knows it.
    pub local: Option<Address>,
    /// The user that the request was let in as, when a layer told ([`RemoteUser`]).
    pub user: Option<RemoteUser>,
    /// The name of a Basic login that failed: the answer is a 401 or 429, and no user was let in. Clients
    /// can write what they like there.
    pub tried_user: Option<String>,
    /// The method, as in `GET`.
    pub method: Method,
    /// The target, as it came but for what is redacted.
    pub uri: Uri,
    /// The request line as it came, when the parser could not read it ([`RequestLine`]). Method and target
    /// are not known then.
    pub request_line: Option<RequestLine>,
    /// The protocol.
    pub version: Version,
    /// `Host`, as it came, or the authority of the target.
    pub host: Option<HeaderValue>,
    /// `Referer`, as it came.
    pub referer: Option<HeaderValue>,
    /// `User-Agent`, as it came.
    pub user_agent: Option<HeaderValue>,
    /// Other headers of the request that the log was asked for.
    pub request_headers: HeaderMap,
    /// Headers of the response that the log was asked for.
    pub response_headers: HeaderMap,
    /// Trailers of the request that the log was asked for, when it has some.
    pub request_trailers: Option<Box<HeaderMap>>,
    /// Trailers of the response that the log was asked for, when it has some.
    pub response_trailers: Option<Box<HeaderMap>>,
    /// The status of a gRPC call, 0 to 16: `grpc-status` of the trailers, or of a head without a body.
    pub grpc_status: Option<u16>,
    /// The request's id, when a `SetRequestId` gave it one.
    pub request_id: Option<HeaderValue>,
    /// The trace, and our span in it, when the request has one.
    pub trace: Option<TraceParent>,
    /// The status; 499 when the client went away before the whole response was read.
    pub status: StatusCode,
    /// Bytes of the response's body that were read by the server.
    pub bytes: u64,
    /// From the request to the head of the response; `None` when there was none.
    pub first_byte: Option<Duration>,
    /// From the request to the end of the body.
    pub total: Duration,
    /// How much of it the request waited for its turn, when it had to ([`QueueTime`]).
    pub queued: Option<Duration>,
    /// How it ended.
    pub outcome: RecordOutcome,
    /// Why the response was an error, when it carries the cause.
    pub failure: Option<Failure>,
    /// The layer that met the failure, or that answered before the app was asked.
    pub layer: Option<Cow<'static, str>>,
    /// The file that was sent, when the body was one.
    pub file: Option<Arc<Path>>,
    /// It took as long as the log calls slow.
    pub is_slow: bool,
    /// This line stands for so many like it; 1 when nothing is left out.
    pub sample: u32,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordOutcome {
    /// The whole response was read.
    Complete,
    /// The client went away: before the head, or in the middle of the body.
    ClientGone,
    /// The body ended in an error, which says so.
    BodyFailed(String),
    /// The app panicked through the log, without an answer.
    Panicked,
}

impl RecordOutcome {
    /// One word: `complete`, `client_gone`, `body_failed` or `panicked`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::BodyFailed(_) => "body_failed",
            Self::Panicked => "panicked",
        }
    }
}

impl Record {
    /// What is known when a request arrives; until it is told otherwise, the client is gone.
    pub(crate) fn of(request: &Request) -> Self {
        let headers = request.headers();
        let peer = Peer::of(request);
        let authority = || request.uri().authority()?.as_str().try_into().ok();
        Self {
            time: SystemTime::now(),
            peer: peer.map(|peer| peer.address().to_canonical()),
            connection: peer.and_then(connection).map(Box::new),
            local: peer.map(|peer| peer.local().to_canonical()),
            user: None,
            tried_user: None,
            method: request.method().clone(),
            uri: request.uri().clone(),
            request_line: RequestLine::of(request).cloned(),
            version: request.version(),
            host: headers.get(HOST).cloned().or_else(authority),
            referer: headers.get(REFERER).cloned(),
            user_agent: headers.get(USER_AGENT).cloned(),
            request_headers: HeaderMap::new(),
            response_headers: HeaderMap::new(),
            request_trailers: None,
            response_trailers: None,
            grpc_status: None,
            request_id: RequestId::of(request).map(|id| id.value().clone()),
            trace: TraceContext::of(request).map(TraceContext::traceparent),
            status: client_gone(),
            bytes: 0,
            first_byte: None,
            total: Duration::ZERO,
            queued: None,
            outcome: RecordOutcome::ClientGone,
            failure: None,
            layer: None,
            file: None,
            is_slow: false,
            sample: 1,
        }
    }

    /// Notes the head of the response.
    pub(crate) fn answered(&mut self, response: &Response, after: Duration) {
        self.first_byte = Some(after);
        self.status = response.status();
        self.queued = QueueTime::of(response);
        self.user = RemoteUser::of(response).cloned();
        // gRPC is of HTTP/2. A call that fails at once has its status in the head.
        if self.version == Version::HTTP_2 {
            self.grpc_status = grpc_status(response.headers());
        }
        if let Some(id) = RequestId::of(response) {
            // It stands inside of the log.
            self.request_id = Some(id.value().clone());
        }
        if let Some(trace) = TraceContext::of(response) {
            self.trace = Some(trace.traceparent());
        }
        self.file = response.body().as_file().map(|file| file.path().into());
        if let Some(failure) = Failure::of(response) {
            self.layer = failure.failed_layer().map(Cow::Borrowed);
            self.failure = Some(failure.clone());
        }
    }

    /// Notes how the body ended.
    pub(crate) fn body_ended(&mut self, end: &End<'_>) {
        self.bytes = end.bytes;
        if let Some(trailers) = end.trailers {
            self.grpc_status = self.grpc_status.or_else(|| grpc_status(trailers));
        }
        self.outcome = match end.outcome {
            Outcome::Complete => RecordOutcome::Complete,
            Outcome::Failed(error) => match error.downcast_ref::<Replaced>() {
                Some(replaced) => {
                    self.replaced(replaced);
                    RecordOutcome::Complete
                }
                None => RecordOutcome::BodyFailed(error.to_string()),
            },
            Outcome::Aborted => {
                self.status = client_gone();
                RecordOutcome::ClientGone
            }
        };
    }

    /// Notes that the server sent another response than the app's.
    fn replaced(&mut self, by: &Replaced) {
        self.status = by.status();
        self.failure = Some(Failure::new(by.to_string()).status(by.status()));
        self.response_headers.clear();
        self.file = None;
    }

    /// What went wrong, when it is known: how the body failed, or why the response is an error.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match (&self.outcome, &self.failure) {
            (RecordOutcome::BodyFailed(cause), _) => Some(cause.clone()),
            (_, Some(failure)) => Some(failure.to_string()),
            _ => None,
        }
    }

    /// Whether an operator wants to see it whatever else is left out.
    pub(crate) fn is_remarkable(&self) -> bool {
        self.is_slow
            || self.outcome != RecordOutcome::Complete
            || self.status.is_client_error()
            || self.status.is_server_error()
    }
}

/// The other end of the connection, when it is not the client.
fn connection(peer: &Peer) -> Option<Address> {
    let connection = peer.connection();
    (connection != peer.address()).then(|| connection.to_canonical())
}

/// The status of a gRPC call: a number without leading zeros.
///
/// Source: gRPC over HTTP2, "Responses".
pub(crate) fn grpc_status(fields: &HeaderMap) -> Option<u16> {
    let status: u16 = fields.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    (status <= MAX_GRPC_STATUS).then_some(status)
}

/// `UNAUTHENTICATED`, the last one.
const MAX_GRPC_STATUS: u16 = 16;

/// Copies those of `headers` that are wanted.
pub(crate) fn pick(headers: &HeaderMap, wanted: &[HeaderName], into: &mut HeaderMap) {
    for name in wanted {
        if into.contains_key(name) {
            continue;
        }
        for value in headers.get_all(name) {
            into.append(name, value.clone());
        }
    }
}

impl fmt::Display for Record {
    /// The line of the combined format, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Format::combined().line(self))
    }
}

/// nginx's 499, which HTTP itself has no word for.
pub(crate) fn client_gone() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record that has most of what a line can have.
    pub(crate) fn sample() -> Record {
        let mut request = Request::default();
        *request.uri_mut() = "/a%20b?c=\\d".parse().unwrap();
        let peer = Address::Tcp("[2001:db8::1]:99".parse().unwrap());
        let local = Address::Tcp("127.0.0.1:80".parse().unwrap());
        request.extensions_mut().insert(Peer::new(peer, local));
        let headers = request.headers_mut();
        headers.insert(HOST, "example.org".parse().unwrap());
        headers.insert(REFERER, "https://example.org/".parse().unwrap());
        headers.insert(USER_AGENT, "curl/8.0".parse().unwrap());
        let mut record = Record::of(&request);
        record.time = SystemTime::UNIX_EPOCH + Duration::from_secs(971_186_136);
        record.user = Some(RemoteUser::new("ann o", "Basic"));
        record.status = StatusCode::OK;
        record.bytes = 2326;
        record.first_byte = Some(Duration::from_millis(3));
        record.total = Duration::from_millis(12);
        record.queued = Some(Duration::from_millis(2));
        record.outcome = RecordOutcome::Complete;
        record
    }
}
