//! One connection, from its first byte to its close.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use vestibule_core::{
    Address, App, BoxApp, BoxError, CatchPanic, Failure, IntoResponse, Outline, Replaced,
};
use vestibule_socket::{Rarely, log_order};

use crate::accept::ConnectionPermit;
use crate::age::jittered;
use crate::bell::Bell;
use crate::counts::{ConnectionCounts, EarlyEnd};
use crate::detect::{Protocol, detect};
use crate::drain::{First, Watch, race};
use crate::guard;
use crate::http1::{self, Http1};
use crate::http2::{self, Http2};
use crate::incoming::{Left, RequestBodyError, receive};
use crate::io::Io;
use crate::link::{Link, Linked};
use crate::listen::Accepted;
use crate::outgoing::{Asked, Outgoing, prepare};
#[cfg(feature = "tls")]
use crate::plain_http;
use crate::proxy;
use crate::server::Limits;
use crate::unparsed;
use crate::vitals::{InFlight, Overdue, Vitals, Watchdog};

/// What all connections of a server have in common.
pub(crate) struct Service<A> {
    app: CatchPanic<A>,
    /// Answers what the guard refuses.
    refused: CatchPanic<BoxApp>,
    limits: Limits,
    /// What the guard refused, for the log.
    refusals: Rarely,
    /// What the parser did.
    breaches: Rarely,
    /// What ended before there was a request.
    early_ends: Rarely,
    counts: ConnectionCounts,
    http1: conn::http1::Builder,
    http2: conn::http2::Builder<TokioExecutor>,
}

impl<A: App> Service<A> {
    pub(crate) fn new(app: A, refused: BoxApp, limits: Limits, counts: ConnectionCounts) -> Self {
        Self {
            app: CatchPanic::new(app),
            refused: CatchPanic::new(refused),
            http1: http1::builder(&limits),
            http2: http2::builder(&limits),
            refusals: Rarely::default(),
            breaches: Rarely::default(),
            early_ends: Rarely::default(),
            counts,
            limits,
        }
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) const fn counts(&self) -> &ConnectionCounts {
        &self.counts
    }

    /// Logs layers of the app that are in the wrong place.
    pub(crate) fn log_order(&self) {
        // The `CatchPanic` of the server is outside of everything, and right there.
        Outline::of(&self.app).inner().map(log_order);
    }

    /// Serves a connection until one side ends it, or it is upgraded. The permit is held until its
    /// socket is closed.
    pub(crate) async fn serve(
        self: Arc<Self>,
        accepted: Accepted,
        permit: Box<ConnectionPermit>,
        watch: Watch,
    ) {
        let Err(ended) = self.converse(accepted, permit, watch).await else {
            return;
        };
        let Ended { early, peer, error } = ended;
        let error = &*error;
        let Some(early) = early else {
            tracing::debug!(target: "vestibule", %peer, error, "a connection ended early");
            return;
        };
        self.counts.add(early);
        let reason = early.name();
        match early {
            // The parser has answered, if there was something to answer.
            EarlyEnd::Protocol => {
                if let Some(silent) = self.breaches.line() {
                    tracing::info!(
                        target: "vestibule", %peer, error, silent,
                        "refused a client that does not speak HTTP"
                    );
                }
            }
            _ => {
                if let Some(silent) = self.early_ends.line() {
                    tracing::info!(
                        target: "vestibule", %peer, reason, error, silent,
                        "a connection ended before its first request"
                    );
                }
            }
        }
    }

    /// What comes before the first request: the protocols that wrap HTTP, and which HTTP it is.
    async fn greet(&self, accepted: Accepted, watch: Watch) -> Result<Greeted, Unbegun> {
        let Accepted {
            mut socket,
            mut peer,
            ..
        } = accepted;
        if self.limits.is_proxy(peer.address()) {
            let told = proxy::read(&mut socket).await;
            if let Some(client) =
                told.map_err(|error| Unbegun::new(EarlyEnd::ProxyHeader, error))?
            {
                peer = client.with_connection(peer.address().clone());
            }
        }
        #[cfg(feature = "tls")]
        let tls = match accepted.tls {
            Some(tls) => {
                let failed = |error| Unbegun::new(EarlyEnd::Tls, error);
                plain_http::refuse(&mut socket).await.map_err(failed)?;
                let (encrypted, info) = tls.accept(socket).await.map_err(failed)?;
                socket = encrypted;
                Some(info)
            }
            None => None,
        };
        let link = Arc::new(Link {
            vitals: Vitals::new(),
            peer,
            watch,
            #[cfg(feature = "tls")]
            tls,
        });
        let mut io = Io::new(socket, link.clone());
        let protocol = detect(&mut io).await?;
        Ok(Greeted { io, protocol, link })
    }

    async fn converse(
        self: &Arc<Self>,
        accepted: Accepted,
        permit: Box<ConnectionPermit>,
        mut watch: Watch,
    ) -> Result<(), Ended> {
        let peer = accepted.peer.address().clone();
        let greeted = self.greet(accepted, watch.clone());
        let greeted = timeout(self.limits.first_byte_timeout, greeted);
        // What a connection needs only at its beginning, or only in one protocol, has a box of its
        // own: it takes no room in the thousands that are idle.
        let greeted = Box::pin(race(greeted, self.last_call(&mut watch)));
        let Greeted {
            mut io,
            protocol,
            link,
        } = match greeted.await {
            First::Left(Ok(Ok(greeted))) => greeted,
            First::Left(Ok(Err(unbegun))) => return Err(unbegun.of(peer)),
            First::Left(Err(_)) => {
                let error = io::Error::new(io::ErrorKind::TimedOut, "no request in time");
                return Err(Unbegun::new(EarlyEnd::Timeout, error).of(peer));
            }
            First::Right(()) => return Ok(()),
        };
        let Some(protocol) = protocol else {
            // A health check, or a browser that connects in advance: nothing for the log.
            self.counts.add(EarlyEnd::ClientLeft);
            return Ok(());
        };
        io.keep(permit);
        link.vitals.begin(protocol == Protocol::Http1);
        if watch.is_draining() {
            link.vitals.make_last();
        }
        if let Some(age) = self.limits.max_connection_age {
            link.vitals.expire_at(jittered(age));
        }
        let (this, of_requests) = (self.clone(), link.clone());
        let service = service_fn(move |request| this.clone().answer(request, of_requests.clone()));
        let ended = match protocol {
            Protocol::Http1 => {
                let mut connection =
                    Http1::new(&self.http1, &self.limits, io, &link.vitals, service);
                let ended = self.drive(&mut connection, &link.vitals, watch).await;
                if let Err(error) = &ended
                    && let Some(error) = error.downcast_ref::<hyper::Error>()
                    && error.is_parse()
                {
                    let (unread, refused) = connection.into_unread();
                    let refused = refused.unwrap_or_else(|| unparsed::refused(error));
                    let request = unparsed::request(&unread, refused);
                    self.log_unparsed(request, &link).await;
                }
                ended
            }
            Protocol::Http2 => {
                let max_streams = self.limits.max_streams;
                let connection = Http2::new(&self.http2, max_streams, io, &link, service);
                self.drive(connection, &link.vitals, watch).await
            }
        };
        ended.map_err(|error| Ended::of(error, &link))
    }

    /// Gives a request that the parser has refused to the app for refusals, for its access log. The parser has
    /// sent the answer already.
    fn log_unparsed(
        &self,
        mut request: vestibule_core::Request,
        link: &Link,
    ) -> Pin<Box<impl Future<Output = ()> + Send>> {
        request.extensions_mut().insert(link.peer.clone());
        #[cfg(feature = "tls")]
        if link.tls.is_some() {
            request
                .extensions_mut()
                .insert(vestibule_core::Scheme::Https);
        }
        let limit = self.limits.write_timeout;
        Box::pin(async move {
            let answer = async {
                let body = self.refused.call(request).await.into_body();
                // It is read to its end: an access log would take it for a client that left.
                let _ = body.collect(MAX_REFUSAL).await;
            };
            let _ = timeout(limit, answer).await;
        })
    }

    /// One request: guard, app, framing.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        link: Arc<Link>,
    ) -> Early<impl Future<Output = Answered> + Send> {
        let mut in_flight = InFlight::request(link);
        let link = in_flight.link();
        let number = link.vitals.request() + 1;
        if self.limits.max_requests.is_some_and(|most| number >= most) {
            link.vitals.make_last();
        }
        let (mut head, body) = request.into_parts();
        let asked = Asked {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            can_upgrade: head.extensions.get::<OnUpgrade>().is_some(),
        };
        let is_http2 = asked.version == Version::HTTP_2;
        let admitted = guard::admit(&mut head);
        let is_refused = admitted.is_err();
        let (body, rest) = match admitted {
            Ok(expects_continue) => {
                head.extensions.insert(Linked(link.clone()));
                receive(body, is_http2, expects_continue, link, &self.limits)
            }
            Err(refused) => {
                if let Some(silent) = self.refusals.line() {
                    tracing::info!(
                        target: "vestibule", peer = %link.peer.address(), method = %asked.method,
                        uri = %asked.uri, silent, "refused a request: {refused}"
                    );
                }
                head.extensions.insert(refused);
                if !is_http2 && !body.is_end_stream() {
                    link.vitals.leave_body();
                }
                (vestibule_core::Body::empty(), None)
            }
        };
        head.extensions.insert(link.peer.clone());
        #[cfg(feature = "tls")]
        if link.tls.is_some() {
            head.extensions.insert(vestibule_core::Scheme::Https);
        }
        let request = Request::from_parts(head, body);
        let mut call = Box::pin(async move {
            match is_refused {
                true => self.refused.call(request).await,
                false => self.app.call(request).await,
            }
        });
        // hyper polls what is pending in the same go, with the waker that counts. On HTTP/2 it does so
        // in a task of its own, and what an app does before it waits belongs there.
        let begun = match is_http2 {
            true => Poll::Pending,
            false => call.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        };
        let begun = match (begun, &rest) {
            (Poll::Ready(response), None) => {
                let answer = prepare(response, asked, is_refused, in_flight);
                return Early::Made(Some(Ok(answer)));
            }
            (begun, _) => begun,
        };
        Early::Pending(Box::pin(async move {
            in_flight.begin();
            let mut response = match begun {
                Poll::Ready(response) => response,
                Poll::Pending => call.await,
            };
            let mut closes = is_refused;
            if let Some(rest) = rest {
                if rest.timed_out() {
                    response = as_timeout(response);
                }
                let left = rest.drain().await;
                closes = left != Left::Nothing;
                if left == Left::More {
                    in_flight.link().vitals.leave_body();
                }
            }
            Ok(prepare(response, asked, closes, in_flight))
        }))
    }

    /// Runs a connection to its end: until it has passed a limit, or is asked to finish because of
    /// the server's drain, and is cut when the drain's time is up.
    async fn drive(
        &self,
        mut connection: impl Conversation,
        vitals: &Vitals,
        mut watch: Watch,
    ) -> Result<(), BoxError> {
        let mut watchdog = pin!(Watchdog::new(vitals, &self.limits));
        let reason = {
            let mut last_call = pin!(async {
                watch.draining().await;
                // An HTTP/2 client is told what was still heard. To an HTTP/1 client it looks as
                // if its request was lost: so one that is on its way is still answered.
                vitals.make_last();
                if vitals.is_http1() {
                    tokio::time::sleep(self.limits.lame_duck).await;
                }
            });
            let mut bell: Option<Bell> = None;
            poll_fn(|cx| {
                let mut has_rested = false;
                loop {
                    if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                        return Poll::Ready(First::Left(Some(ended)));
                    }
                    // An HTTP/1 connection ends by itself after its last answer.
                    if vitals.is_last() && !vitals.is_http1() {
                        return Poll::Ready(First::Left(None));
                    }
                    if vitals.is_flooded() {
                        return Poll::Ready(First::Right(First::Left(Overdue::Resets)));
                    }
                    let bell = bell.get_or_insert_with(|| Bell::new(cx.waker()));
                    if !bell.has_rung(cx) && !watchdog.has_to_look() && !has_rested {
                        return Poll::Pending;
                    }
                    let mut seldom = bell.silence();
                    match watchdog.as_mut().poll(&mut seldom) {
                        Poll::Ready(Overdue::Rest) => {
                            connection.rest();
                            // The bell is silent now, and the timer is not set.
                            has_rested = true;
                        }
                        Poll::Ready(overdue) => {
                            return Poll::Ready(First::Right(First::Left(overdue)));
                        }
                        Poll::Pending => {
                            let last_call = last_call.as_mut().poll(&mut seldom);
                            return last_call.map(|()| First::Right(First::Right(())));
                        }
                    }
                }
            })
            .await
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
            First::Right(First::Left(Overdue::Resets)) => {
                return Err("the client ends its requests before they are answered".into());
            }
            // Each new stream is one too many from here on.
            First::Right(First::Left(Overdue::Age)) => vitals.make_last(),
            // It has had its last request, or none for long, or the server drains.
            First::Left(None) | First::Right(First::Left(_) | First::Right(())) => {}
        }
        connection.finish();
        let stuck = async {
            loop {
                if !matches!(watchdog.as_mut().await, Overdue::Idle | Overdue::Rest) {
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

/// How a connection ended before its first byte of HTTP.
struct Unbegun {
    end: EarlyEnd,
    error: io::Error,
}

impl Unbegun {
    fn new(end: EarlyEnd, error: io::Error) -> Self {
        let end = match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => EarlyEnd::ClientLeft,
            _ => end,
        };
        Self { end, error }
    }

    fn of(self, peer: Address) -> Ended {
        Ended {
            early: Some(self.end),
            peer,
            error: self.error.into(),
        }
    }
}

impl From<io::Error> for Unbegun {
    /// Bytes are read without a protocol only to see which one it is: what fails is the socket.
    fn from(error: io::Error) -> Self {
        Self::new(EarlyEnd::ClientLeft, error)
    }
}

/// Why a connection ended, and with which client.
struct Ended {
    /// It had no request that could be read.
    early: Option<EarlyEnd>,
    peer: Address,
    error: BoxError,
}

impl Ended {
    /// The end of a connection that has spoken HTTP, or tried to.
    fn of(error: BoxError, link: &Link) -> Self {
        let of_hyper = error.downcast_ref::<hyper::Error>();
        let early = match (is_breach(&*error), link.vitals.has_had_requests()) {
            (true, _) => Some(EarlyEnd::Protocol),
            (false, true) => None,
            // hyper has no clock of ours: what is not its error is a limit that was passed.
            (false, false) if of_hyper.is_none() => Some(EarlyEnd::Timeout),
            (false, false) => Some(EarlyEnd::ClientLeft),
        };
        Self {
            early,
            peer: link.peer.address().clone(),
            error,
        }
    }
}

/// A connection whose first request is about to be read.
struct Greeted {
    io: Io,
    /// `None`: the client has closed without a byte.
    protocol: Option<Protocol>,
    link: Arc<Link>,
}

/// A connection that speaks HTTP, until one side ends it.
pub(crate) trait Conversation: Future<Output = hyper::Result<()>> + Unpin {
    /// Lets the request that is answered be the last.
    fn finish(&mut self);

    /// Gives back what is needed only while something is in flight.
    fn rest(&mut self);
}

impl<C: Conversation> Conversation for &mut C {
    fn finish(&mut self) {
        (**self).finish();
    }

    fn rest(&mut self) {
        (**self).rest();
    }
}

/// What the service gives to hyper.
type Answered = Result<Response<Outgoing>, Infallible>;

/// An answer for which the app was asked when the request came, and not when hyper comes to it.
///
/// Between the two, hyper looks whether the client is still there. It makes room for 8 KiB before
/// it does: in the buffer that the request came in, if that is free again, or else in a new one.
enum Early<F> {
    Made(Option<Answered>),
    Pending(Pin<Box<F>>),
}

impl<F: Future<Output = Answered>> Future for Early<F> {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        match &mut *self {
            Self::Made(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            Self::Pending(answer) => answer.as_mut().poll(cx),
        }
    }
}

/// The refusal of a body that came too slowly is a 408, when the app said no more than that.
fn as_timeout(response: vestibule_core::Response) -> vestibule_core::Response {
    let Some(failure) = Failure::of(&response) else {
        return response;
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(failure.error());
    while let Some(error) = cause {
        if error.is::<RequestBodyError>() {
            let failure = failure.clone().status(StatusCode::REQUEST_TIMEOUT);
            let replaced = Replaced::new(StatusCode::REQUEST_TIMEOUT, failure.to_string());
            response.into_body().abandon(replaced);
            return failure.into_response();
        }
        cause = error.source();
    }
    response
}

/// How much is read of an answer that was sent already, in bytes.
const MAX_REFUSAL: u64 = 64 * 1024;

/// Whether a connection ended because of what the client sent, and not because it went away.
fn is_breach(error: &(dyn Error + 'static)) -> bool {
    let Some(error) = error.downcast_ref::<hyper::Error>() else {
        return false;
    };
    // An I/O error is a client that is gone; every other cause is the other side of HTTP/2's.
    let cause = error.source();
    error.is_parse() || (!error.is_user() && cause.is_some_and(|cause| !cause.is::<io::Error>()))
}

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
        let counts = ConnectionCounts::default();
        let service = Arc::new(Service::new(app, refused, Limits::default(), counts));
        let (socket, _other) = tokio::net::UnixStream::pair().unwrap();
        let end = || vestibule_core::Address::Unix(None);
        let accepted = Accepted {
            socket: crate::io::Socket::Unix(socket),
            peer: vestibule_core::Peer::new(end(), end()),
            #[cfg(feature = "tls")]
            tls: None,
        };
        let drain = Drain::new();
        let open = service.counts().accept();
        let permit = ConnectionPermit::new(None, None, open, drain.guard());
        let serving = service.serve(accepted, permit, drain.watch());
        let size = size_of_val(&serving);
        assert!(size <= 2048, "{size}");
    }
}
