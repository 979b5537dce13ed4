//! One connection, from its first byte to its close.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use http::header::EXPECT;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use vestibule_core::{App, BoxApp, BoxError, CatchPanic, Failure, IntoResponse, Peer};

use crate::detect::{Protocol, detect};
use crate::drain::{First, Shutdown, Watch, race};
use crate::guard;
use crate::incoming::{RequestBodyError, receive};
use crate::io::Io;
use crate::listen::Accepted;
use crate::outgoing::{Asked, Outgoing, prepare};
use crate::proxy;
use crate::server::Limits;
use crate::vitals::{InFlight, Overdue, Vitals, Watchdog};

/// What all connections of a server have in common.
pub(crate) struct Service<A> {
    app: CatchPanic<A>,
    /// Answers what the guard refuses.
    refused: CatchPanic<BoxApp>,
    limits: Limits,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<A: App> Service<A> {
    pub(crate) fn new(app: A, refused: BoxApp, limits: Limits) -> Self {
        Self {
            app: CatchPanic::new(app),
            refused: CatchPanic::new(refused),
            http1: http1_builder(&limits),
            http2: http2_builder(&limits),
            limits,
        }
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Serves a connection until one side ends it.
    pub(crate) async fn serve(
        self: Arc<Self>,
        accepted: Accepted,
        place: Option<OwnedSemaphorePermit>,
        watch: Watch,
    ) {
        let address = accepted.peer.address().clone();
        match self.converse(accepted, place, watch).await {
            Ok(()) => {}
            // The parser has answered, if there was something to answer; no app and no log saw it.
            Err(error) if is_breach(&*error) => tracing::info!(
                target: "vestibule", peer = %address, error = &*error,
                "refused a client that does not speak HTTP"
            ),
            Err(error) => tracing::debug!(
                target: "vestibule", peer = %address, error = &*error, "a connection ended early"
            ),
        }
    }

    /// What comes before the first request: the protocols that wrap HTTP, and which HTTP it is.
    async fn greet(&self, accepted: Accepted, shutdown: Shutdown) -> io::Result<Greeted> {
        let Accepted {
            mut socket,
            mut peer,
            ..
        } = accepted;
        if self.limits.is_proxy(peer.address()) {
            peer = proxy::read(&mut socket).await?.unwrap_or(peer);
        }
        #[cfg(feature = "tls")]
        let tls = match accepted.tls {
            Some(tls) => {
                let (encrypted, info) = tls.accept(socket).await?;
                socket = encrypted;
                Some(info)
            }
            None => None,
        };
        let vitals = Arc::new(Vitals::new());
        let mut io = Io::new(socket, vitals.clone());
        let protocol = detect(&mut io).await?;
        Ok(Greeted {
            io,
            protocol,
            caller: Caller {
                peer,
                vitals,
                shutdown,
                #[cfg(feature = "tls")]
                tls,
            },
        })
    }

    async fn converse(
        self: Arc<Self>,
        accepted: Accepted,
        place: Option<OwnedSemaphorePermit>,
        mut watch: Watch,
    ) -> Result<(), BoxError> {
        let greeted = self.greet(accepted, watch.shutdown());
        let greeted = timeout(self.limits.first_byte_timeout, greeted);
        // What a connection needs only at its beginning, or only in one protocol, has a box of its
        // own: it takes no room in the thousands that are idle.
        let greeted = Box::pin(race(greeted, self.last_call(&mut watch)));
        let Greeted {
            mut io,
            protocol,
            caller,
        } = match greeted.await {
            First::Left(greeted) => greeted.map_err(|_| "no request in time")??,
            First::Right(()) => return Ok(()),
        };
        let Some(protocol) = protocol else {
            return Ok(());
        };
        io.keep(place);
        let vitals = caller.vitals.clone();
        vitals.begin(protocol == Protocol::Http1);
        if watch.is_draining() {
            vitals.make_last();
        }
        let io = TokioIo::new(io);
        let (this, caller) = (self.clone(), Arc::new(caller));
        let service = service_fn(move |request| this.clone().answer(request, caller.clone()));
        match protocol {
            Protocol::Http1 => {
                let connection = self.http1.serve_connection(io, service).with_upgrades();
                self.drive(
                    Box::pin(connection),
                    |it| it.graceful_shutdown(),
                    &vitals,
                    watch,
                )
                .await
            }
            Protocol::Http2 => {
                let connection = self.http2.serve_connection(io, service);
                self.drive(
                    Box::pin(connection),
                    |it| it.graceful_shutdown(),
                    &vitals,
                    watch,
                )
                .await
            }
        }
    }

    /// One request: guard, app, framing.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        caller: Arc<Caller>,
    ) -> Result<Response<Outgoing>, Infallible> {
        let vitals = &caller.vitals;
        let in_flight = InFlight::new(vitals);
        let number = vitals.request() + 1;
        if self.limits.max_requests.is_some_and(|most| number >= most) {
            vitals.make_last();
        }
        let (mut head, body) = request.into_parts();
        let asked = Asked {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            can_upgrade: head.extensions.get::<OnUpgrade>().is_some(),
        };
        if let Err(refused) = guard::admit(&mut head) {
            tracing::info!(
                target: "vestibule", peer = %caller.peer.address(), method = %asked.method,
                uri = %asked.uri, "refused a request: {refused}"
            );
            head.extensions.insert(refused);
            head.extensions.insert(caller.peer.clone());
            let request = Request::from_parts(head, vestibule_core::Body::empty());
            let refusal = self.refused.call(request).await;
            return Ok(prepare(refusal, asked, true, in_flight));
        }
        let expects_continue = head.headers.get(EXPECT).is_some_and(is_continue);
        let is_http2 = asked.version == Version::HTTP_2;
        let (body, rest) = receive(body, is_http2, vitals, &self.limits);
        head.extensions.insert(caller.peer.clone());
        head.extensions.insert(caller.shutdown.clone());
        #[cfg(feature = "tls")]
        if let Some(tls) = &caller.tls {
            head.extensions.insert(tls.clone());
            head.extensions.insert(vestibule_core::Scheme::Https);
        }
        let request = Request::from_parts(head, body);
        let mut response = self.app.call(request).await;
        let mut closes = false;
        if let Some(rest) = rest {
            if rest.timed_out() {
                response = as_timeout(response);
            }
            closes = !rest.drain(expects_continue).await;
        }
        Ok(prepare(response, asked, closes, in_flight))
    }

    /// Runs a connection to its end: until it has passed a limit, or is asked to finish because of
    /// the server's drain, and is cut when the drain's time is up.
    async fn drive<C>(
        &self,
        mut connection: Pin<Box<C>>,
        finish: impl Fn(Pin<&mut C>),
        vitals: &Vitals,
        mut watch: Watch,
    ) -> Result<(), BoxError>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut watchdog = pin!(Watchdog::new(vitals, &self.limits));
        let reason = {
            let finished = vitals.finished(connection.as_mut());
            let last_call = async {
                watch.draining().await;
                // An HTTP/2 client is told what was still heard. To an HTTP/1 client it looks as
                // if its request was lost: so one that is on its way is still answered.
                vitals.make_last();
                if vitals.is_http1() {
                    tokio::time::sleep(self.limits.lame_duck).await;
                }
            };
            race(finished, race(watchdog.as_mut(), last_call)).await
        };
        match reason {
            First::Left(Some(ended)) => return ended.map_err(Into::into),
            First::Right(First::Left(Overdue::Head)) => {
                return Err("the head of a request took too long".into());
            }
            First::Right(First::Left(Overdue::Write)) => {
                vitals.reset();
                return Err("the client does not read its response".into());
            }
            // It has had its last request, or none for long, or the server drains.
            First::Left(None) | First::Right(First::Left(Overdue::Idle) | First::Right(())) => {}
        }
        finish(connection.as_mut());
        let stuck = async {
            loop {
                if watchdog.as_mut().await != Overdue::Idle {
                    vitals.reset();
                    return;
                }
                // Asked to finish already; what is written still goes out.
                tokio::time::sleep(self.limits.write_timeout).await;
                if vitals.is_idle() {
                    return;
                }
            }
        };
        match race(connection, race(stuck, watch.aborted())).await {
            First::Left(ended) => ended.map_err(Into::into),
            First::Right(First::Left(())) => Err("the connection did not finish".into()),
            First::Right(First::Right(())) => Err("the server's drain was over".into()),
        }
    }

    /// Resolves when a connection that has sent nothing yet is not waited for any more.
    async fn last_call(&self, watch: &mut Watch) {
        watch.draining().await;
        tokio::time::sleep(self.limits.lame_duck).await;
    }
}

/// A connection whose first request is about to be read.
struct Greeted {
    io: Io,
    /// `None`: the client has closed without a byte.
    protocol: Option<Protocol>,
    caller: Caller,
}

/// What a connection adds to its requests.
struct Caller {
    peer: Peer,
    vitals: Arc<Vitals>,
    shutdown: Shutdown,
    #[cfg(feature = "tls")]
    tls: Option<crate::TlsInfo>,
}

/// The refusal of a body that came too slowly is a 408, when the app said no more than that.
fn as_timeout(response: vestibule_core::Response) -> vestibule_core::Response {
    let Some(failure) = Failure::of(&response) else {
        return response;
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(failure.error());
    while let Some(error) = cause {
        if error.is::<RequestBodyError>() {
            return failure
                .clone()
                .status(StatusCode::REQUEST_TIMEOUT)
                .into_response();
        }
        cause = error.source();
    }
    response
}

/// Whether a connection ended because of what the client sent, and not because it went away.
fn is_breach(error: &(dyn Error + 'static)) -> bool {
    let Some(error) = error.downcast_ref::<hyper::Error>() else {
        return false;
    };
    // An I/O error is a client that is gone; every other cause is the other side of HTTP/2's.
    let cause = error.source();
    error.is_parse() || (!error.is_user() && cause.is_some_and(|cause| !cause.is::<io::Error>()))
}

/// RFC 9110, section 10.1.1.
fn is_continue(expect: &HeaderValue) -> bool {
    expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The watchdog has the clock: it can tell a slow head from an idle connection.
        .header_read_timeout(None)
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
    if limits.extended_connect {
        builder.enable_connect_protocol();
    }
    builder
}

/// How much of a response waits in memory for a client that reads slowly, in bytes.
const MAX_BUFFER: usize = 64 * 1024;

/// In bytes, counted as RFC 9113 section 6.5.2 does.
const MAX_HEADER_LIST: u32 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Drain;

    /// What an idle connection takes beside hyper's own state and buffers.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_connection_is_small() {
        async fn app(_: vestibule_core::Request) {}
        let refused = guard::refusal.boxed();
        let service = Arc::new(Service::new(app, refused, Limits::default()));
        let (socket, _other) = tokio::net::UnixStream::pair().unwrap();
        let end = || vestibule_core::Address::Unix(None);
        let accepted = Accepted {
            socket: crate::io::Socket::Unix(socket),
            peer: Peer::new(end(), end()),
            #[cfg(feature = "tls")]
            tls: None,
        };
        let serving = service.serve(accepted, None, Drain::new().watch());
        let size = size_of_val(&serving);
        assert!(size <= 2048, "{size}");
    }
}
