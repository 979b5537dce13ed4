//! What the log knows of one request.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::header::{REFERER, USER_AGENT};
use http::{HeaderValue, Method, StatusCode, Uri, Version};
use vestibule_core::{Address, Failure, Outcome, Peer, Request};

/// One request and how it ended, as a sink hears of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// When the request reached the log.
    pub time: SystemTime,
    /// The other end of the connection, when the adapter knows it.
    pub peer: Option<Address>,
    /// The method, as in `GET`.
    pub method: Method,
    /// The target, as it came.
    pub uri: Uri,
    /// The protocol.
    pub version: Version,
    /// `Referer`, as it came.
    pub referer: Option<HeaderValue>,
    /// `User-Agent`, as it came.
    pub user_agent: Option<HeaderValue>,
    /// The status; 499 when the client went away before the whole response was read.
    pub status: StatusCode,
    /// Bytes of the response's body that were read by the server.
    pub bytes: u64,
    /// From the request to the head of the response; `None` when there was none.
    pub first_byte: Option<Duration>,
    /// From the request to the end of the body.
    pub total: Duration,
    /// How it ended.
    pub outcome: RecordOutcome,
    /// Why the response was an error, when it carries the cause.
    pub failure: Option<Failure>,
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

impl Record {
    /// What is known when a request arrives; until it is told otherwise, the client is gone.
    pub(crate) fn of(request: &Request) -> Self {
        let headers = request.headers();
        Self {
            time: SystemTime::now(),
            peer: Peer::of(request).map(|peer| peer.address().clone()),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            referer: headers.get(REFERER).cloned(),
            user_agent: headers.get(USER_AGENT).cloned(),
            status: client_gone(),
            bytes: 0,
            first_byte: None,
            total: Duration::ZERO,
            outcome: RecordOutcome::ClientGone,
            failure: None,
        }
    }

    /// Notes how the body ended.
    pub(crate) fn body_ended(&mut self, outcome: Outcome<'_>, bytes: u64) {
        self.bytes = bytes;
        self.outcome = match outcome {
            Outcome::Complete => RecordOutcome::Complete,
            Outcome::Failed(error) => RecordOutcome::BodyFailed(error.to_string()),
            Outcome::Aborted => {
                self.status = client_gone();
                RecordOutcome::ClientGone
            }
        };
    }
}

impl fmt::Display for Record {
    /// The line of the combined format, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Vec::new();
        crate::combined::write(self, &mut line);
        f.write_str(&String::from_utf8_lossy(&line))
    }
}

/// nginx's 499, which HTTP itself has no word for.
pub(crate) fn client_gone() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
