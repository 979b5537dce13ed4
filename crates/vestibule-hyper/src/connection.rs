//! One connection, from its first byte to its close.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use http::header::EXPECT;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use vestibule_core::{App, BoxError, CatchPanic, Failure, FailureKind, IntoResponse, Peer};

use crate::detect::{Protocol, detect};
use crate::drain::{First, Watch, race};
use crate::guard;
use crate::incoming::receive;
use crate::io::{Io, Signals, Socket};
use crate::outgoing::{Asked, Outgoing, prepare};
use crate::server::Limits;

/// What all connections of a server have in common.
pub(crate) struct Service<A> {
    app: CatchPanic<A>,
    limits: Limits,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<A: App> Service<A> {
    pub(crate) fn new(app: A, limits: Limits) -> Self {
        Self {
            app: CatchPanic::new(app),
            http1: http1_builder(&limits),
            http2: http2_builder(&limits),
            limits,
        }
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Serves a connection until one side ends it.
    pub(crate) async fn serve(self: Arc<Self>, socket: Socket, peer: Peer, mut watch: Watch) {
        let address = peer.address().clone();
        match self.converse(socket, peer, &mut watch).await {
            Ok(()) => {}
            Err(error) => tracing::debug!(
                target: "vestibule", peer = %address, error = &*error, "a connection ended early"
            ),
        }
    }

    async fn converse(
        self: Arc<Self>,
        socket: Socket,
        peer: Peer,
        watch: &mut Watch,
    ) -> Result<(), BoxError> {
        let signals = Arc::new(Signals::default());
        let mut io = Io::new(socket, signals.clone());
        let told = tokio::time::timeout(self.limits.first_byte_timeout, detect(&mut io));
        let protocol = match race(told, watch.draining()).await {
            First::Left(told) => match told.map_err(|_| "no request in time")?? {
                Some(protocol) => protocol,
                None => return Ok(()),
            },
            First::Right(()) => return Ok(()),
        };
        let io = TokioIo::new(io);
        let service = service_fn(|request| {
            let (this, peer, signals) = (self.clone(), peer.clone(), signals.clone());
            async move { Ok::<_, Infallible>(this.answer(request, peer, signals).await) }
        });
        match protocol {
            Protocol::Http1 => {
                let connection = self.http1.serve_connection(io, service).with_upgrades();
                drive(connection, watch, |connection| {
                    connection.graceful_shutdown();
                })
                .await
            }
            Protocol::Http2 => {
                let connection = self.http2.serve_connection(io, service);
                drive(connection, watch, |connection| {
                    connection.graceful_shutdown();
                })
                .await
            }
        }
    }

    /// One request: guard, app, framing.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        signals: Arc<Signals>,
    ) -> Response<Outgoing> {
        let (mut head, body) = request.into_parts();
        let asked = Asked {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            can_upgrade: head.extensions.get::<OnUpgrade>().is_some(),
        };
        if let Err(refused) = guard::admit(&mut head) {
            tracing::debug!(
                target: "vestibule", peer = %peer.address(), method = %asked.method,
                uri = %asked.uri, "refused a request: {refused}"
            );
            let status = refused.status();
            let refusal = Failure::new(refused)
                .kind(FailureKind::Request)
                .status(status)
                .into_response();
            return prepare(refusal, asked, true, &signals);
        }
        let expects_continue = head.headers.get(EXPECT).is_some_and(is_continue);
        let (body, rest) = receive(body, asked.version == http::Version::HTTP_2);
        head.extensions.insert(peer);
        let request = Request::from_parts(head, body);
        let response = self.app.call(request).await;
        let closes = match rest {
            Some(rest) => !rest.drain(expects_continue).await,
            None => false,
        };
        prepare(response, asked, closes, &signals)
    }
}

/// Runs a connection to its end; asks it to finish when the server drains, and drops it when the
/// drain's time is up.
async fn drive<C>(
    connection: C,
    watch: &mut Watch,
    finish: impl FnOnce(Pin<&mut C>),
) -> Result<(), BoxError>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    match race(connection.as_mut(), watch.draining()).await {
        First::Left(ended) => return ended.map_err(Into::into),
        First::Right(()) => finish(connection.as_mut()),
    }
    match race(connection, watch.aborted()).await {
        First::Left(ended) => ended.map_err(Into::into),
        First::Right(()) => Err("the server's drain was over".into()),
    }
}

/// RFC 9110, section 10.1.1.
fn is_continue(expect: &HeaderValue) -> bool {
    expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(MAX_BUFFER.max(limits.max_header_bytes));
    // hyper's default number is the one that needs no allocation.
    if limits.max_headers != Limits::MAX_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buf_size(MAX_BUFFER);
    builder
}

/// How much of a response waits in memory for a client that reads slowly, in bytes.
const MAX_BUFFER: usize = 64 * 1024;

/// In bytes, counted as RFC 9113 section 6.5.2 does.
const MAX_HEADER_LIST: u32 = 16 * 1024;
