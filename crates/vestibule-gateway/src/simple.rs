//! Protocols with one request per connection: a head of variables, a body, a response, a close.

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite};
use vestibule_core::{App, Body, BoxError, IntoResponse};
use vestibule_environ::{Environ, HeadForm};

use crate::exchange::{
    Incoming, Limits, Malformed, OtherProtocol, Outgoing, Service, pump, too_large,
};
use crate::io::Io;

/// Reads a head from the input so far; `None` when more bytes are needed.
pub(crate) type Parse = fn(&[u8], &Limits) -> Result<Option<(Environ, usize)>, Malformed>;

/// Serves a connection to its end.
pub(crate) async fn serve<A: App, I: Io>(
    io: I,
    service: &Service<A>,
    parse: Parse,
    form: HeadForm,
) -> Result<(), BoxError> {
    let limits = &service.limits;
    let (read, write) = tokio::io::split(io);
    let mut incoming = Incoming::new(read);
    let (mut outgoing, _replies) = Outgoing::new(write, limits.write_timeout);
    let head = async {
        loop {
            if let Some((environ, length)) = parse(&incoming.buffer, limits)? {
                let _ = incoming.buffer.split_to(length);
                return Ok(Some(environ));
            }
            if !incoming.more().await? {
                return match incoming.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(Malformed::Protocol("the connection ended in its head").into()),
                };
            }
        }
    };
    let head: Result<_, BoxError> = tokio::time::timeout(limits.params_timeout, head).await?;
    let environ = match head {
        Ok(Some(environ)) => environ,
        // A web server checks whether this server is up.
        Ok(None) => return Ok(()),
        Err(error) => {
            let error = OtherProtocol::explain(error, &incoming.buffer);
            if let Some(Malformed::TooLarge) = error.downcast_ref() {
                outgoing.respond(&Method::GET, form, too_large()).await?;
                outgoing.flush().await?;
                leave(&mut incoming, &mut outgoing, u64::MAX, limits).await?;
            }
            return Err(error);
        }
    };
    let mut left = u64::MAX;
    let is_whole = match environ.content_length() {
        Err(error) => {
            let refusal = error.into_response();
            outgoing.respond(&Method::GET, form, refusal).await?
        }
        Ok(length) => {
            left = length.unwrap_or(0);
            let (sender, body) = Body::channel();
            match service.mapping.request(environ.with_input(body)) {
                Err(error) => {
                    let refusal = error.into_response();
                    outgoing.respond(&Method::GET, form, refusal).await?
                }
                Ok(request) => tokio::select! {
                    biased;
                    is_whole = outgoing.answer(&service.app, request, form) => is_whole?,
                    gone = pump(&mut incoming, &mut left, sender, limits.body_timeout) => return Err(gone),
                },
            }
        }
    };
    outgoing.flush().await?;
    if is_whole {
        return leave(&mut incoming, &mut outgoing, left, limits).await;
    }
    incoming.into_io().unsplit(outgoing.into_io()).reset();
    Err("the body of the response failed".into())
}

/// Ends the connection after the end of the request: `left` bytes, or the rest of the input. A web
/// server that cannot write its request may not read the response.
async fn leave<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    incoming: &mut Incoming<R>,
    outgoing: &mut Outgoing<W>,
    mut left: u64,
    limits: &Limits,
) -> Result<(), BoxError> {
    outgoing.close().await?;
    while left > 0 {
        let data = tokio::time::timeout(limits.body_timeout, incoming.some(left)).await??;
        if data.is_empty() {
            break;
        }
        left = left.saturating_sub(data.len() as u64);
    }
    Ok(())
}
