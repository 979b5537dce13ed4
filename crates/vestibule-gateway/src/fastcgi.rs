//! FastCGI 1.0, the responder's side.
//!
//! ```text
//! record = version(1) type(1) id(2) contentLength(2) paddingLength(1) reserved(1) content padding
//! ```
//!
//! Source: FastCGI Specification 1.0, sections 3 to 6. Serves one request at a time on a
//! connection, as nginx and Apache use it: a second request gets `FCGI_CANT_MPX_CONN`.

use bytes::{Bytes, BytesMut};
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use vestibule_core::{App, Body, BodySender, BoxError, IntoResponse};
use vestibule_environ::{Environ, HeadForm};

use crate::exchange::{Incoming, Limits, Malformed, OtherProtocol, Outgoing, Service, too_large};
use crate::io::Io;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(hidden)]
#[allow(missing_docs, reason = "these are the specification's own names")]
pub struct Record {
    pub kind: u8,
    pub id: u16,
    pub content: Bytes,
}

impl Record {
    /// Returns whether this is the last record of its request.
    const fn is_last(&self) -> bool {
        match self.kind {
            STDIN => self.content.is_empty(),
            kind => kind == ABORT_REQUEST,
        }
    }
}

/// Takes a record from the front of the input; `None` when it is incomplete.
#[doc(hidden)]
pub fn record(buffer: &mut BytesMut) -> Result<Option<Record>, Malformed> {
    match buffer.first() {
        Some(1) | None => {}
        Some(_) => return Err(Malformed::Protocol("the version of a record is not 1")),
    }
    let Some(head) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [_, kind, id_high, id_low, high, low, padding, _] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let total = HEAD.saturating_add(length).saturating_add(padding.into());
    if buffer.len() < total {
        return Ok(None);
    }
    let mut whole = buffer.split_to(total).freeze();
    let content = whole.split_off(HEAD).split_to(length);
    Ok(Some(Record {
        kind,
        id: u16::from_be_bytes([id_high, id_low]),
        content,
    }))
}

/// Reads name-value pairs. A length beyond the input is an error before anything is allocated for
/// it.
#[doc(hidden)]
pub fn pairs(mut rest: &[u8], limits: &Limits) -> Result<Environ, Malformed> {
    let mut environ = Environ::new();
    while !rest.is_empty() {
        let name = length(&mut rest)?;
        let value = length(&mut rest)?;
        let name = take(&mut rest, name)?;
        let value = take(&mut rest, value)?;
        limits.push(&mut environ, name, value)?;
    }
    Ok(environ)
}

/// Reads a length: one byte below 128, or four bytes with the top bit set.
fn length(rest: &mut &[u8]) -> Result<usize, Malformed> {
    let short = Malformed::Protocol("a pair has no length");
    match **rest {
        [first, ..] if first < 0x80 => {
            take(rest, 1)?;
            Ok(usize::from(first))
        }
        [a, b, c, d, ..] => {
            take(rest, 4)?;
            let length = u32::from_be_bytes([a & 0x7f, b, c, d]);
            usize::try_from(length).map_err(|_| short)
        }
        _ => Err(short),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let lie = Malformed::Protocol("a pair is longer than its stream");
    let (taken, left) = rest.split_at_checked(length).ok_or(lie)?;
    *rest = left;
    Ok(taken)
}

/// Writes `content` as records of at most 32 KiB, padded to multiples of 8.
pub(crate) fn push_records(buffer: &mut Vec<u8>, kind: u8, id: u16, content: &[u8]) {
    for piece in content.chunks(PIECE) {
        push_record(buffer, kind, id, piece);
    }
}

pub(crate) fn push_record(buffer: &mut Vec<u8>, kind: u8, id: u16, content: &[u8]) {
    // A piece is shorter than the maximum of a record, so the cast does not truncate.
    let [high, low] = (content.len() as u16).to_be_bytes();
    let [id_high, id_low] = id.to_be_bytes();
    let padding = content.len().wrapping_neg() % 8;
    buffer.extend_from_slice(&[1, kind, id_high, id_low, high, low, padding as u8, 0]);
    buffer.extend_from_slice(content);
    buffer.extend(std::iter::repeat_n(0, padding));
}

/// Writes a name-value pair: lengths below 128 as one byte, others as four bytes with the top bit
/// set.
pub(crate) fn push_pair(buffer: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for text in [name, value] {
        match u8::try_from(text.len()) {
            Ok(short @ 0..128) => buffer.push(short),
            // Names and values of a request are far below two gigabytes.
            _ => buffer.extend_from_slice(&(text.len() as u32 | 1 << 31).to_be_bytes()),
        }
    }
    buffer.extend_from_slice(name);
    buffer.extend_from_slice(value);
}

fn end_request(id: u16, app_status: u8, protocol_status: u8) -> Vec<u8> {
    let mut buffer = Vec::new();
    let content = [0, 0, 0, app_status, protocol_status, 0, 0, 0];
    push_record(&mut buffer, END_REQUEST, id, &content);
    buffer
}

/// Returns the reply to a management record: the supported values, or that the type is unknown.
fn manage(record: &Record, limits: &Limits) -> Vec<u8> {
    let mut buffer = Vec::new();
    if record.kind != GET_VALUES {
        let content = [record.kind, 0, 0, 0, 0, 0, 0, 0];
        push_record(&mut buffer, UNKNOWN_TYPE, 0, &content);
        return buffer;
    }
    let most = limits.max_connections.to_string();
    let known = [
        ("FCGI_MAX_CONNS", &*most),
        ("FCGI_MAX_REQS", &*most),
        ("FCGI_MPXS_CONNS", "0"),
    ];
    // An unreadable query asks for no values.
    let asked = pairs(&record.content, limits).unwrap_or_default();
    let mut content = Vec::new();
    for (name, value) in known
        .into_iter()
        .filter(|(name, _)| asked.get(name).is_some())
    {
        push_pair(&mut content, name.as_bytes(), value.as_bytes());
    }
    push_record(&mut buffer, GET_VALUES_RESULT, 0, &content);
    buffer
}

/// Serves a connection until one side ends it.
pub(crate) async fn serve<A: App>(
    io: impl Io,
    service: &Service<A>,
    mut drain: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let limits = &service.limits;
    let (read, write) = tokio::io::split(io);
    let mut incoming = Incoming::new(read);
    let (mut outgoing, replies) = Outgoing::new(write, limits.write_timeout);
    // The request whose body is not complete yet.
    let mut unread = None;
    loop {
        let begun = tokio::select! {
            biased;
            begun = tokio::time::timeout(limits.idle_timeout, begin(&mut incoming, &mut outgoing, limits)) => begun??,
            _ = drain.wait_for(|drains| *drains) => None,
        };
        let Some(Begun { id, keeps }) = begun else {
            return leave(&mut incoming, &mut outgoing, unread, limits).await;
        };
        unread = Some(id);
        let params = params(&mut incoming, &mut outgoing, id, limits);
        let environ = match tokio::time::timeout(limits.params_timeout, params).await? {
            Ok(Some(environ)) => environ,
            Ok(None) => {
                outgoing.raw(&end_request(id, 0, COMPLETE));
                outgoing.flush().await?;
                unread = None;
                match keeps {
                    true => continue,
                    false => return leave(&mut incoming, &mut outgoing, unread, limits).await,
                }
            }
            Err(error) => {
                if let Some(Malformed::TooLarge) = error.downcast_ref() {
                    outgoing.id = Some(id);
                    let form = HeadForm::Status;
                    outgoing.respond(&Method::GET, form, too_large()).await?;
                    outgoing.raw(&end_request(id, 0, COMPLETE));
                    outgoing.flush().await?;
                    leave(&mut incoming, &mut outgoing, unread, limits).await?;
                }
                return Err(error);
            }
        };
        outgoing.id = Some(id);
        let (sender, body) = Body::channel();
        let is_whole = match service.mapping.request(environ.with_input(body)) {
            Err(error) => {
                let refusal = error.into_response();
                outgoing
                    .respond(&Method::GET, HeadForm::Status, refusal)
                    .await?;
                Some(true)
            }
            Ok(request) => tokio::select! {
                biased;
                is_whole = outgoing.answer(&service.app, request, HeadForm::Status) => Some(is_whole?),
                gone = pump(&mut incoming, &mut unread, id, sender, &replies, limits) => match gone {
                    // Dropping the app's future cancels the request.
                    Gone::Aborted => {
                        unread = None;
                        None
                    }
                    Gone::Closed(error) => return Err(error),
                },
            },
        };
        outgoing.id = None;
        if is_whole == Some(false) {
            // Only a missing end record shows Apache and nginx that the response is incomplete.
            outgoing.flush().await?;
            leave(&mut incoming, &mut outgoing, unread, limits).await?;
            return Err("the body of the response failed".into());
        }
        if is_whole == Some(true) {
            let mut end = Vec::new();
            push_record(&mut end, STDOUT, id, &[]);
            outgoing.raw(&end);
        }
        outgoing.raw(&end_request(id, 0, COMPLETE));
        outgoing.flush().await?;
        if !keeps || *drain.borrow() {
            return leave(&mut incoming, &mut outgoing, unread, limits).await;
        }
    }
}

/// Ends the connection after the request `unread` is complete.
///
/// If Apache cannot write a request to its last record, it treats it as failed, and responds with
/// 503 to any response. The kernel may also discard the response.
async fn leave<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    incoming: &mut Incoming<R>,
    outgoing: &mut Outgoing<W>,
    unread: Option<u16>,
    limits: &Limits,
) -> Result<(), BoxError> {
    outgoing.close().await?;
    let Some(id) = unread else {
        return Ok(());
    };
    loop {
        match tokio::time::timeout(limits.body_timeout, next(incoming)).await?? {
            Some(record) if record.id == id && record.is_last() => return Ok(()),
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

struct Begun {
    id: u16,
    keeps: bool,
}

/// Returns the next record; `None` when the connection ends between two records.
pub(crate) async fn next<R: AsyncRead + Unpin>(
    incoming: &mut Incoming<R>,
) -> Result<Option<Record>, BoxError> {
    loop {
        if let Some(record) = record(&mut incoming.buffer)? {
            return Ok(Some(record));
        }
        if !incoming.more().await? {
            return match incoming.buffer.is_empty() {
                true => Ok(None),
                false => Err(Malformed::Protocol("the connection ended in a record").into()),
            };
        }
    }
}

/// Waits for a request.
async fn begin<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    incoming: &mut Incoming<R>,
    outgoing: &mut Outgoing<W>,
    limits: &Limits,
) -> Result<Option<Begun>, BoxError> {
    loop {
        let record = match next(incoming).await {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(error) => return Err(OtherProtocol::explain(error, &incoming.buffer)),
        };
        match (record.kind, record.id) {
            (BEGIN_REQUEST, 0) => {
                return Err(Malformed::Protocol("a request has the id 0").into());
            }
            (BEGIN_REQUEST, id) => {
                let [role_high, role_low, flags, ..] = *record.content else {
                    return Err(Malformed::Protocol("a request begins without a role").into());
                };
                let keeps = flags & KEEP_CONN != 0;
                if u16::from_be_bytes([role_high, role_low]) == RESPONDER {
                    return Ok(Some(Begun { id, keeps }));
                }
                outgoing.raw(&end_request(id, 0, UNKNOWN_ROLE));
                outgoing.flush().await?;
                if !keeps {
                    return Ok(None);
                }
            }
            (_, 0) => {
                outgoing.raw(&manage(&record, limits));
                outgoing.flush().await?;
            }
            // The rest of a request that already has a response.
            _ => {}
        }
    }
    Ok(None)
}

/// Reads the parameters of a request; `None` when it was aborted.
async fn params<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    incoming: &mut Incoming<R>,
    outgoing: &mut Outgoing<W>,
    id: u16,
    limits: &Limits,
) -> Result<Option<Environ>, BoxError> {
    let mut stream = Vec::new();
    while let Some(record) = next(incoming).await? {
        match (record.kind, record.id) {
            (_, 0) => {
                outgoing.raw(&manage(&record, limits));
                outgoing.flush().await?;
            }
            (PARAMS, own) if own == id => {
                if record.content.is_empty() {
                    return Ok(Some(pairs(&stream, limits)?));
                }
                let room = limits.max_params_bytes.saturating_sub(stream.len());
                if record.content.len() > room {
                    return Err(Malformed::TooLarge.into());
                }
                stream.extend_from_slice(&record.content);
            }
            (ABORT_REQUEST, own) if own == id => return Ok(None),
            (_, own) if own == id => {
                return Err(Malformed::Protocol("a record came before the parameters' end").into());
            }
            (BEGIN_REQUEST, other) => {
                outgoing.raw(&end_request(other, 0, CANT_MPX_CONN));
                outgoing.flush().await?;
            }
            _ => {}
        }
    }
    Err(Malformed::Protocol("the connection ended in the parameters").into())
}

enum Gone {
    Aborted,
    Closed(BoxError),
}

/// Reads the body into `sender`, and answers other records, until the request is cancelled. When
/// the body stalls, the app gets a body error and the rest is not awaited.
async fn pump<R: AsyncRead + Unpin>(
    incoming: &mut Incoming<R>,
    unread: &mut Option<u16>,
    id: u16,
    sender: BodySender,
    replies: &mpsc::Sender<Vec<u8>>,
    limits: &Limits,
) -> Gone {
    let mut sender = Some(sender);
    loop {
        let read = async {
            match unread {
                None => Ok(next(incoming).await),
                Some(_) => tokio::time::timeout(limits.body_timeout, next(incoming)).await,
            }
        };
        let record = match read.await {
            Ok(Ok(Some(record))) => record,
            Ok(Ok(None)) => return Gone::Closed("the web server has gone".into()),
            Ok(Err(error)) => return Gone::Closed(error),
            Err(late) => {
                // The app gets a body error, and may still respond; later records are discarded.
                *unread = None;
                if let Some(mut sender) = sender.take() {
                    sender.abort(late);
                }
                continue;
            }
        };
        let reply = match (record.kind, record.id) {
            (STDIN, own) if own == id => {
                if record.content.is_empty() {
                    *unread = None;
                    if let Some(sender) = sender.take() {
                        sender.finish();
                    }
                } else if let Some(open) = &mut sender {
                    // An app that does not read the body does not block the connection.
                    if open.send(record.content).await.is_err() {
                        sender = None;
                    }
                }
                continue;
            }
            (ABORT_REQUEST, own) if own == id => return Gone::Aborted,
            (BEGIN_REQUEST, own) if own == id => {
                let twice = Malformed::Protocol("a request began twice");
                return Gone::Closed(twice.into());
            }
            (_, 0) => manage(&record, limits),
            (BEGIN_REQUEST, other) => end_request(other, 0, CANT_MPX_CONN),
            _ => continue,
        };
        if replies.try_send(reply).is_err() {
            let flood = Malformed::Protocol("more questions than can be answered");
            return Gone::Closed(flood.into());
        }
    }
}

const HEAD: usize = 8;

/// Maximum content of an outgoing record in bytes.
const PIECE: usize = 32 * 1024;

pub(crate) const BEGIN_REQUEST: u8 = 1;
const ABORT_REQUEST: u8 = 2;
pub(crate) const END_REQUEST: u8 = 3;
pub(crate) const PARAMS: u8 = 4;
pub(crate) const STDIN: u8 = 5;
pub(crate) const STDOUT: u8 = 6;
pub(crate) const STDERR: u8 = 7;
const GET_VALUES: u8 = 9;
const GET_VALUES_RESULT: u8 = 10;
const UNKNOWN_TYPE: u8 = 11;

pub(crate) const RESPONDER: u16 = 1;
const KEEP_CONN: u8 = 1;

const COMPLETE: u8 = 0;
const CANT_MPX_CONN: u8 = 1;
const UNKNOWN_ROLE: u8 = 3;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use vestibule_core::{BoxApp, CatchPanic, CollectError, Failure, Request};
    use vestibule_environ::Mapping;

    use super::*;

    fn service(app: impl App) -> Arc<Service<BoxApp>> {
        Arc::new(Service {
            app: CatchPanic::new(app.boxed()),
            mapping: Mapping::new(),
            limits: Limits::default(),
        })
    }

    async fn echo(request: Request) -> Result<Vec<u8>, CollectError> {
        let path = request.uri().to_string();
        let body = request.into_body().collect(1 << 20).await?;
        Ok([path.as_bytes(), b"|", &body].concat())
    }

    fn one(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        push_record(&mut buffer, kind, id, content);
        buffer
    }

    fn begin_record(id: u16, role: u8, flags: u8) -> Vec<u8> {
        one(BEGIN_REQUEST, id, &[0, role, flags, 0, 0, 0, 0, 0])
    }

    fn pair(name: &str, value: &str) -> Vec<u8> {
        let mut buffer = vec![name.len() as u8];
        buffer.extend((value.len() as u32 | 1 << 31).to_be_bytes());
        buffer.extend(name.bytes().chain(value.bytes()));
        buffer
    }

    fn params_records(id: u16, pairs: &[(&str, &str)]) -> Vec<u8> {
        let stream: Vec<u8> = pairs
            .iter()
            .flat_map(|(name, value)| pair(name, value))
            .collect();
        // A pair may start in one record and end in another.
        let records = stream.chunks(7).flat_map(|piece| one(PARAMS, id, piece));
        records.chain(one(PARAMS, id, &[])).collect()
    }

    const POST: &[(&str, &str)] = &[
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/a%2Fb"),
        ("CONTENT_LENGTH", "3"),
    ];

    fn stdin_records(id: u16, body: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        push_records(&mut buffer, STDIN, id, body);
        buffer.extend(one(STDIN, id, &[]));
        buffer
    }

    fn whole(flags: u8) -> Vec<u8> {
        [
            begin_record(1, 1, flags),
            params_records(1, POST),
            stdin_records(1, b"abc"),
        ]
        .concat()
    }

    fn start(app: impl App) -> (DuplexStream, tokio::task::JoinHandle<Result<(), String>>) {
        let (client, server) = tokio::io::duplex(1024);
        let service = service(app);
        let (sender, drain) = watch::channel(false);
        let served = tokio::spawn(async move {
            let done = serve(server, &service, drain).await;
            drop(sender);
            done.map_err(|error| error.to_string())
        });
        (client, served)
    }

    /// Returns the records in response to `pieces`, as kind, id and content, and how the connection
    /// ended.
    async fn ask(
        app: impl App,
        pieces: &[&[u8]],
        closes: bool,
    ) -> (Vec<(u8, u16, String)>, Result<(), String>) {
        let (client, served) = start(app);
        let (mut read, mut write) = tokio::io::split(client);
        let writes = async {
            for piece in pieces {
                if write.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            if closes {
                let _ = write.shutdown().await;
            }
        };
        let mut bytes = Vec::new();
        let (_, all) = tokio::join!(writes, read.read_to_end(&mut bytes));
        all.unwrap();
        let mut buffer = BytesMut::from(&*bytes);
        let mut records: Vec<(u8, u16, String)> = Vec::new();
        while let Some(record) = record(&mut buffer).unwrap() {
            let text = match record.kind {
                STDOUT | STDERR => String::from_utf8_lossy(&record.content).into_owned(),
                _ => format!("{:?}", &record.content[..]),
            };
            records.push((record.kind, record.id, text));
        }
        assert!(buffer.is_empty(), "half a record");
        (records, served.await.unwrap())
    }

    fn good() -> Vec<(u8, u16, String)> {
        let text = "Status: 200 OK\r\ncontent-type: application/octet-stream\r\n\
            content-length: 10\r\n\r\n";
        let complete = format!("{:?}", [0; 8]);
        vec![
            (STDOUT, 1, text.to_owned()),
            (STDOUT, 1, "/a%2Fb|abc".to_owned()),
            (STDOUT, 1, String::new()),
            (END_REQUEST, 1, complete),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn one_request() {
        let (records, done) = ask(echo, &[&whole(0)], false).await;
        assert_eq!(records, good());
        assert_eq!(done, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn split_at_every_byte() {
        let bytes = whole(0);
        for at in 0..bytes.len() {
            let (records, _) = ask(echo, &[&bytes[..at], &bytes[at..]], false).await;
            assert_eq!(records, good(), "{at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cut_at_every_byte() {
        let bytes = whole(0);
        for at in 0..bytes.len() {
            let (records, done) = ask(echo, &[&bytes[..at]], true).await;
            assert!(records.is_empty(), "{at}: {records:?}");
            assert_eq!(done.is_ok(), at == 0, "{at}");
        }
    }

    /// An app may respond before the end of the body is known: the connection stays open until
    /// then.
    #[tokio::test(start_paused = true)]
    async fn an_early_answer_waits_for_the_end_of_the_request() {
        let app = |_: Request| async { "early" };
        for flags in [0, KEEP_CONN] {
            let (client, served) = start(app);
            let (mut read, mut write) = tokio::io::split(client);
            let head = [begin_record(1, 1, flags), params_records(1, POST)].concat();
            write.write_all(&head).await.unwrap();
            let mut bytes = BytesMut::new();
            let mut kind = 0;
            while kind != END_REQUEST {
                match record(&mut bytes).unwrap() {
                    Some(record) => kind = record.kind,
                    None => assert!(read.read_buf(&mut bytes).await.unwrap() > 0),
                }
            }
            write.write_all(&stdin_records(1, b"abc")).await.unwrap();
            write.shutdown().await.unwrap();
            assert_eq!(served.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn kept_connections() {
        let (records, done) = ask(
            echo,
            &[&whole(KEEP_CONN), &whole(KEEP_CONN), &whole(0)],
            false,
        )
        .await;
        assert_eq!(records, [good(), good(), good()].concat());
        assert_eq!(done, Ok(()));
        // Closed after a minute without requests.
        let (records, done) = ask(echo, &[&whole(KEEP_CONN)], false).await;
        assert_eq!(records, good());
        assert!(done.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn management_and_refusals() {
        let values = [pair("FCGI_MPXS_CONNS", ""), pair("FCGI_X", "")].concat();
        let bytes = [
            one(GET_VALUES, 0, &values),
            one(255, 0, b"x"),
            one(0, 0, b""),
            one(255, 9, b"ignored"),
            begin_record(7, 2, KEEP_CONN),
            params_records(7, POST),
            begin_record(1, 1, 0),
            begin_record(2, 1, 0),
            params_records(2, POST),
            params_records(1, POST),
            one(STDIN, 65_535, b"nobody's"),
            stdin_records(1, b"abc"),
        ]
        .concat();
        let (records, _) = ask(echo, &[&bytes], false).await;
        let mut content = vec![15, 1];
        content.extend(b"FCGI_MPXS_CONNS0");
        let expected = [
            (GET_VALUES_RESULT, 0, format!("{content:?}")),
            (UNKNOWN_TYPE, 0, "[255, 0, 0, 0, 0, 0, 0, 0]".to_owned()),
            (UNKNOWN_TYPE, 0, "[0, 0, 0, 0, 0, 0, 0, 0]".to_owned()),
            (END_REQUEST, 7, "[0, 0, 0, 0, 3, 0, 0, 0]".to_owned()),
            (END_REQUEST, 2, "[0, 0, 0, 0, 1, 0, 0, 0]".to_owned()),
        ];
        assert_eq!(records, [expected.to_vec(), good()].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn malformed_records_end_the_connection() {
        let lie = [0x81, 0, 0, 0, 1, b'a'];
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let params = |content: &[u8]| {
            [
                begin_record(1, 1, 0),
                one(PARAMS, 1, content),
                one(PARAMS, 1, &[]),
            ]
            .concat()
        };
        let cases = [
            vec![0, 1, 0, 1, 0, 0, 0, 0],
            vec![2, 1, 0, 1, 0, 0, 0, 0],
            begin_record(0, 1, 0),
            one(BEGIN_REQUEST, 1, &[0]),
            [begin_record(1, 1, 0), stdin_records(1, b"early")].concat(),
            [begin_record(1, 1, 0), begin_record(1, 1, 0)].concat(),
            params(&lie),
            params(&huge),
            params(&[0x80]),
            params(&[1]),
        ];
        for bytes in cases {
            let (records, done) = ask(echo, &[&bytes], false).await;
            assert!(records.is_empty(), "{bytes:?}: {records:?}");
            assert!(done.is_err(), "{bytes:?}");
        }
        // The largest possible record is valid.
        let mut bytes = vec![1, STDIN, 0, 9, 255, 255, 255, 0];
        bytes.resize(8 + 65_535 + 255, 0);
        let (records, _) = ask(echo, &[&bytes, &whole(0)], false).await;
        assert_eq!(records, good());
    }

    #[tokio::test(start_paused = true)]
    async fn large_parameters_are_a_431() {
        let many = vec![("A", "b"); 300];
        let long = "x".repeat(40_000);
        let endless = vec![("A", &*long); 9];
        for pairs in [&*many, &[("A", &*long)], &*endless] {
            let stream: Vec<u8> = pairs
                .iter()
                .flat_map(|(name, value)| pair(name, value))
                .collect();
            let mut bytes = begin_record(1, 1, KEEP_CONN);
            push_records(&mut bytes, PARAMS, 1, &stream);
            bytes.extend(one(PARAMS, 1, &[]));
            let (records, done) = ask(echo, &[&bytes], false).await;
            let status = "Status: 431 Request Header Fields Too Large\r\n";
            let is_told = records
                .iter()
                .any(|(kind, _, text)| *kind == STDOUT && text.starts_with(status));
            assert!(is_told, "{records:?}");
            assert_eq!(records.last().map(|last| last.0), Some(END_REQUEST));
            assert!(done.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn parameters_that_never_end_are_given_up() {
        let bytes = [begin_record(1, 1, 0), one(PARAMS, 1, b"\x01")].concat();
        let begun = tokio::time::Instant::now();
        let (records, done) = ask(echo, &[&bytes], false).await;
        assert!(records.is_empty() && done.is_err());
        assert_eq!(begun.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_lengths_are_body_errors_of_the_app() {
        for body in ["ab", "abcd"] {
            let bytes = [
                begin_record(1, 1, 0),
                params_records(1, POST),
                stdin_records(1, body.as_bytes()),
            ];
            let (records, _) = ask(echo, &[&bytes.concat()], false).await;
            let (errors, rest) = records.split_at(1);
            assert_eq!(errors[0].0, STDERR);
            assert!(
                rest[0].2.starts_with("Status: 400 Bad Request\r\n"),
                "{rest:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_go_to_stderr_on_one_line() {
        let app = |_: Request| async { Err::<(), _>(Failure::new("a\nb\u{1b}")) };
        let (records, _) = ask(app, &[&whole(0)], false).await;
        assert_eq!(records[0], (STDERR, 1, "a\\nb\\u{1b}".to_owned()));
        assert!(records[1].2.starts_with("Status: 500 "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_body_has_no_end_record() {
        let app = |_: Request| async {
            let (mut sender, body) = Body::channel();
            sender.send("x").await.unwrap();
            sender.abort("broken");
            body
        };
        let (records, _) = ask(app, &[&whole(KEEP_CONN)], false).await;
        let kinds: Vec<_> = records
            .iter()
            .map(|record| (record.0, &*record.2))
            .collect();
        assert_eq!(kinds[1], (STDOUT, "x"));
        assert_eq!(kinds[2], (STDERR, "broken"));
        assert_eq!(kinds.len(), 3);
    }

    struct Dropped(Arc<AtomicBool>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_abort_drops_the_apps_future() {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let flag = is_dropped.clone();
        let app = move |_: Request| {
            let dropped = Dropped(flag.clone());
            async move {
                let _dropped = dropped;
                std::future::pending::<()>().await;
            }
        };
        let bytes = [whole(0), one(ABORT_REQUEST, 1, &[])].concat();
        let (records, done) = ask(app, &[&bytes], false).await;
        assert_eq!(records, [(END_REQUEST, 1, format!("{:?}", [0; 8]))]);
        assert_eq!(done, Ok(()));
        assert!(is_dropped.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_the_app_does_not_read_is_not_buffered() {
        let app = |request: Request| async move {
            std::future::pending::<()>().await;
            drop(request);
        };
        let (mut client, _served) = start(app);
        let head = [begin_record(1, 1, 0), params_records(1, POST)].concat();
        client.write_all(&head).await.unwrap();
        let mut body = Vec::new();
        push_records(&mut body, STDIN, 1, &vec![b'x'; 1 << 20]);
        let write = client.write_all(&body);
        assert!(
            tokio::time::timeout(Duration::from_secs(10), write)
                .await
                .is_err()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_records_are_too_strange(
            records in proptest::collection::vec(
                (0_u8..12, 0_u16..3, proptest::collection::vec(0_u8..5, 0..20)), 0..12),
            junk in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes: Vec<u8> = records
                .iter()
                .flat_map(|(kind, id, content)| one(*kind, *id, content))
                .collect();
            bytes.extend(junk);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let (client, served) = start(echo);
                let (mut read, mut write) = tokio::io::split(client);
                let writes = async {
                    let _ = write.write_all(&bytes).await;
                    let _ = write.shutdown().await;
                };
                let mut sink = Vec::new();
                let _ = tokio::join!(writes, read.read_to_end(&mut sink));
                let ended = tokio::time::timeout(Duration::from_secs(1), served).await;
                assert!(ended.is_ok(), "it hangs");
            });
        }
    }
}
