//! HTTP/2 frame by frame: what breaks the protocol, and floods.
//!
//! The table has the sections of h2spec that a server's safety rests on; that program itself, which has to
//! be had from elsewhere, is run by `just h2spec`. Each case is sent on a connection of its own, and a PING behind it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::http2_frame::{PREFACE, frame};
use crate::process::{GET, Process, ask};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// A field that is not to be indexed, name and value as they are.
fn field(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    // A length of up to 126 is one byte.
    bytes.push(value.len() as u8);
    bytes.extend(value);
    bytes
}

fn head(method: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "http"),
        field(":authority", "a"),
        field(":path", path),
    ]
    .concat()
}

/// A request without a body.
fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &head("GET", path),
    )
}

/// A request whose body is still to come.
fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head("POST", path))
}

fn request(fields: &[Vec<u8>]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields.concat())
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn window(stream: u32, size: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &size.to_be_bytes())
}

/// A connection of HTTP/2 that writes and reads frames.
struct Wire(TcpStream);

impl Wire {
    fn connect(address: SocketAddr, settings: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(PREFACE).unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, settings)).unwrap();
        Self(stream)
    }

    /// The next frame; `None` at the end, however it comes.
    fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        self.exact(&mut payload)?;
        Some((head[3], head[4], stream, payload))
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.0.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) => {
                let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!is_late, "nothing comes");
                None
            }
        }
    }

    /// What the server says: `400` and the like, `reset CODE`, `goaway CODE`, and at last whether it
    /// is `alive`, by a PING that comes back, or has `closed`. `expects`: it says something before the PING.
    fn outcome(&mut self, expects: bool) -> Vec<String> {
        let code = |payload: &[u8]| u32::from_be_bytes(payload[..4].try_into().unwrap());
        let mut said = Vec::new();
        let mut has_asked = false;
        loop {
            if !has_asked && (!expects || !said.is_empty()) {
                let _ = self.0.write_all(&frame(PING, 0, 0, LAST));
                has_asked = true;
            }
            match self.next() {
                Some((HEADERS, _, _, payload)) => said.push(status(&payload)),
                Some((RST_STREAM, _, _, payload)) => said.push(format!("reset {}", code(&payload))),
                Some((GOAWAY, _, _, payload)) => {
                    said.push(format!("goaway {}", code(&payload[4..])))
                }
                Some((PING, ACK, _, payload)) if payload == LAST => {
                    said.push("alive".to_owned());
                    return said;
                }
                Some(_) => {}
                None => {
                    said.push("closed".to_owned());
                    return said;
                }
            }
        }
    }
}

/// The status of a response, from the static table of RFC 7541, appendix A, where it is there.
fn status(block: &[u8]) -> String {
    // A change of the table's size may come first.
    let block = match block {
        [size, rest @ ..] if size & 0xe0 == 0x20 => rest,
        block => block,
    };
    match block.first() {
        Some(0x88) => "200",
        Some(0x8c) => "400",
        Some(0x8d) => "404",
        Some(0x8e) => "500",
        // `:status` by its index, and 431 in Huffman's code.
        Some(0x48) if block.starts_with(&[0x48, 0x83, 0x69, 0x90, 0xff]) => "431",
        _ => "another status",
    }
    .to_owned()
}

/// What the last PING carries.
const LAST: &[u8] = b"the last";

const PATIENCE: Duration = Duration::from_secs(10);

// Codes of RFC 9113, section 7.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

/// What has to become of a case.
enum Want {
    /// The connection ends, with one of these codes in a GOAWAY if there is one, or PROTOCOL_ERROR: the
    /// frame parser below has no other for much of what it refuses.
    Connection(&'static [u32]),
    /// The stream ends with one of these codes, or the whole connection does (RFC 9113, section 5.4:
    /// an endpoint may treat any stream error as one of the connection).
    Stream(&'static [u32]),
    /// The answer, and the connection goes on.
    Answer(&'static str),
    /// No answer, and the connection goes on.
    Nothing,
}

impl Want {
    fn holds(&self, got: &[String]) -> bool {
        let coded = |word: &str, codes: &[u32]| {
            codes
                .iter()
                .any(|code| got.contains(&format!("{word} {code}")))
        };
        let is_closed = got.last().is_some_and(|last| last == "closed");
        let has_goaway = got.iter().any(|said| said.starts_with("goaway"));
        match self {
            Self::Connection(codes) => {
                let is_coded = coded("goaway", codes) || coded("goaway", &[PROTOCOL_ERROR]);
                is_closed && (!has_goaway || is_coded)
            }
            Self::Stream(codes) => {
                let is_coded = coded("goaway", codes) || coded("goaway", &[PROTOCOL_ERROR]);
                coded("reset", codes) || got[0] == "400" || (is_closed && is_coded)
            }
            Self::Answer(answer) => got == [*answer, "alive"],
            Self::Nothing => got == ["alive"],
        }
    }
}

#[test]
fn faults_44_what_breaks_the_protocol() {
    use Want::*;
    let server = Process::start(&[]);
    let big = vec![0; 16_385];
    let cases: Vec<(&str, Vec<u8>, Want)> = vec![
        ("a request", get(1, "/"), Answer("200")),
        (
            "4.1 unknown frame",
            [frame(0x42, 0xff, 0, b"x"), get(1, "/")].concat(),
            Answer("200"),
        ),
        ("4.1 reserved bit", get(1 | 1 << 31, "/"), Answer("200")),
        (
            "4.2 DATA too large",
            [post(1, "/"), frame(DATA, 0, 1, &big)].concat(),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "4.2 HEADERS too large",
            frame(HEADERS, END_HEADERS, 1, &big),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "4.3 a block that is none",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x40]),
            Connection(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        (
            "4.3 an index that is none",
            request(&[vec![0xff, 0xff, 0x7f]]),
            Connection(&[COMPRESSION_ERROR]),
        ),
        (
            "4.3 a table too large",
            request(&[vec![0x3f, 0xe1, 0xff, 0x7f]]),
            Connection(&[COMPRESSION_ERROR]),
        ),
        (
            "5.1 DATA on an idle stream",
            frame(DATA, END_STREAM, 1, b"x"),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1 RST_STREAM on an idle stream",
            frame(RST_STREAM, 0, 1, &[0; 4]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1 WINDOW_UPDATE on an idle stream",
            window(1, 1),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1 DATA after the end",
            [get(1, "/events"), frame(DATA, 0, 1, b"x")].concat(),
            Stream(&[STREAM_CLOSED]),
        ),
        (
            "5.1 HEADERS after the end",
            [get(1, "/events"), get(1, "/")].concat(),
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.1 HEADERS after a reset",
            [post(1, "/"), frame(RST_STREAM, 0, 1, &[0; 4]), get(1, "/")].concat(),
            Stream(&[STREAM_CLOSED]),
        ),
        (
            "5.1.1 an even stream",
            get(2, "/"),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "5.1.1 a smaller stream",
            [get(5, "/"), get(3, "/")].concat(),
            Connection(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        (
            "5.1.2 more streams than allowed",
            (0..101).flat_map(|n| post(2 * n + 1, "/read")).collect(),
            Stream(&[REFUSED_STREAM]),
        ),
        (
            "5.3.1 depends on itself",
            [post(1, "/"), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0])].concat(),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "6.1 DATA on stream 0",
            frame(DATA, 0, 0, b"x"),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.1 padding longer than DATA",
            [post(1, "/"), frame(DATA, PADDED, 1, &[9, 0])].concat(),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.2 HEADERS on stream 0",
            get(0, "/"),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.2 padding longer than HEADERS",
            frame(HEADERS, PADDED | END_HEADERS, 1, &[9, 0]),
            Connection(&[PROTOCOL_ERROR, COMPRESSION_ERROR]),
        ),
        (
            "6.3 PRIORITY on stream 0",
            frame(PRIORITY, 0, 0, &[0; 5]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.3 PRIORITY of 4 bytes",
            [post(1, "/"), frame(PRIORITY, 0, 1, &[0; 4])].concat(),
            Stream(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.4 RST_STREAM on stream 0",
            frame(RST_STREAM, 0, 0, &[0; 4]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.4 RST_STREAM of 3 bytes",
            [post(1, "/"), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.5 an ACK with settings",
            frame(SETTINGS, ACK, 0, &setting(3, 1)),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.5 SETTINGS on a stream",
            frame(SETTINGS, 0, 1, &[]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.5 SETTINGS of 5 bytes",
            frame(SETTINGS, 0, 0, &[0; 5]),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.5.2 ENABLE_PUSH 2",
            frame(SETTINGS, 0, 0, &setting(2, 2)),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.5.2 a window above 2^31-1",
            frame(SETTINGS, 0, 0, &setting(4, 1 << 31)),
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.5.2 frames of 16,383",
            frame(SETTINGS, 0, 0, &setting(5, 16_383)),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.5.2 frames of 2^24",
            frame(SETTINGS, 0, 0, &setting(5, 1 << 24)),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.5.2 an unknown setting",
            frame(SETTINGS, 0, 0, &setting(0xff, 1)),
            Nothing,
        ),
        (
            "6.6 PUSH_PROMISE of a client",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.7 PING on a stream",
            frame(PING, 0, 1, &[0; 8]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.7 PING of 6 bytes",
            frame(PING, 0, 0, &[0; 6]),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.7 an ACK that answers nothing",
            frame(PING, ACK, 0, &[0; 8]),
            Nothing,
        ),
        (
            "6.8 GOAWAY on a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9 WINDOW_UPDATE 0",
            window(0, 0),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9 WINDOW_UPDATE 0 on a stream",
            [post(1, "/"), window(1, 0)].concat(),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9 WINDOW_UPDATE of 3 bytes",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.9.1 a window above 2^31-1",
            window(0, (1 << 31) - 1),
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.1 a stream's window above 2^31-1",
            [post(1, "/read"), window(1, (1 << 31) - 1)].concat(),
            Stream(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.10 CONTINUATION of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &[]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10 CONTINUATION after the end",
            [get(1, "/"), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10 CONTINUATION of another stream",
            [
                frame(HEADERS, END_STREAM, 1, &head("GET", "/")),
                frame(CONTINUATION, END_HEADERS, 3, &[]),
            ]
            .concat(),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10 a frame in between",
            [
                frame(HEADERS, END_STREAM, 1, &head("GET", "/")),
                frame(DATA, 0, 1, b"x"),
            ]
            .concat(),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10 a request in two frames",
            [
                frame(HEADERS, END_STREAM, 1, &head("GET", "/")[..20]),
                frame(CONTINUATION, END_HEADERS, 1, &head("GET", "/")[20..]),
            ]
            .concat(),
            Answer("200"),
        ),
        (
            "6.5.2 a list of fields of nearly 32 KiB and 32 bytes for each of 100 fields",
            request(&[head("GET", "/"), field("x", "y".repeat(10)).repeat(820)]),
            Answer("200"),
        ),
        (
            "6.5.2 a list of fields above 32 KiB and 32 bytes for each of 100 fields",
            request(&[head("GET", "/"), field("x", "y".repeat(10)).repeat(850)]),
            Answer("431"),
        ),
        (
            "8.2.1 a value that begins with a space",
            request(&[head("GET", "/"), field("x", " b")]),
            Answer("400"),
        ),
        (
            "8.2.1 a value that ends with a tab",
            request(&[head("GET", "/"), field("x", "b\t")]),
            Answer("400"),
        ),
        (
            "8.2.1 upper case",
            request(&[head("GET", "/"), field("X-A", "b")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.2.1 a space in a name",
            request(&[head("GET", "/"), field("x a", "b")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.2.1 CR in a value",
            request(&[head("GET", "/"), field("x", "a\rb")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.2.1 NUL in a value",
            request(&[head("GET", "/"), field("x", "a\0b")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "54 Connection",
            request(&[head("GET", "/"), field("connection", "close")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "55 Connection that is no text",
            request(&[head("GET", "/"), field("connection", b"\xff\xfe")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "54 Transfer-Encoding",
            request(&[head("GET", "/"), field("transfer-encoding", "chunked")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "54 Keep-Alive",
            request(&[head("GET", "/"), field("keep-alive", "1")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "54 Upgrade",
            request(&[head("GET", "/"), field("upgrade", "x")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "54 TE: gzip",
            request(&[head("GET", "/"), field("te", "gzip")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "54 TE: trailers",
            request(&[head("GET", "/"), field("te", "trailers")]),
            Answer("200"),
        ),
        (
            "54 another Host",
            request(&[head("GET", "/"), field("host", "b")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "54 the same Host",
            request(&[head("GET", "/"), field("host", "a")]),
            Answer("200"),
        ),
        (
            "8.3 an unknown pseudo-field",
            request(&[head("GET", "/"), field(":x", "a")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3 a response's pseudo-field",
            request(&[head("GET", "/"), field(":status", "200")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3 a pseudo-field after a field",
            request(&[
                field(":method", "GET"),
                field(":scheme", "http"),
                field("x", "y"),
                field(":path", "/"),
            ]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3 a pseudo-field twice",
            request(&[head("GET", "/"), field(":path", "/")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3.1 no method",
            request(&[
                field(":scheme", "http"),
                field(":path", "/"),
                field(":authority", "a"),
            ]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3.1 no scheme",
            request(&[
                field(":method", "GET"),
                field(":path", "/"),
                field(":authority", "a"),
            ]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3.1 no path",
            request(&[
                field(":method", "GET"),
                field(":scheme", "http"),
                field(":authority", "a"),
            ]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3.1 an empty path",
            request(&[head("GET", "")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.5 CONNECT with a path",
            request(&[head("CONNECT", "/")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.5 :protocol that was not offered",
            request(&[head("CONNECT", "/"), field(":protocol", "websocket")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "56 two lengths",
            request(&[
                head("GET", "/"),
                field("content-length", "1"),
                field("content-length", "2"),
            ]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "56 a length that is none",
            request(&[head("GET", "/"), field("content-length", "-1")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.1.1 a length and no body",
            request(&[head("POST", "/read"), field("content-length", "1")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.1.1 a body longer than its length",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &[head("POST", "/read"), field("content-length", "1")].concat(),
                ),
                frame(DATA, END_STREAM, 1, b"ab"),
            ]
            .concat(),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.1.1 a body shorter than its length",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &[head("POST", "/read"), field("content-length", "3")].concat(),
                ),
                frame(DATA, END_STREAM, 1, b"ab"),
            ]
            .concat(),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.1 trailers without an end",
            [
                post(1, "/read"),
                frame(HEADERS, END_HEADERS, 1, &field("x", "y")),
            ]
            .concat(),
            Stream(&[PROTOCOL_ERROR]),
        ),
        // The frame parser below drops it: no app sees it.
        (
            "8.1 a pseudo-field in trailers",
            [post(1, "/read"), request(&[field(":path", "/")])].concat(),
            Answer("200"),
        ),
        (
            "6.9.1 a body beyond all windows",
            [
                post(1, "/events"),
                frame(DATA, 0, 1, &[0; 16_384]).repeat(200),
            ]
            .concat(),
            Stream(&[FLOW_CONTROL_ERROR]),
        ),
    ];
    let mut wrong = Vec::new();
    let count = cases.len();
    for (name, bytes, want) in cases {
        let mut wire = Wire::connect(server.address, &[]);
        // The server may have closed before all is written.
        let _ = wire.0.write_all(&bytes);
        let got = wire.outcome(!matches!(want, Nothing));
        if !want.holds(&got) {
            wrong.push(format!("{name}: {got:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
}

#[test]
fn a_preface_that_is_none() {
    let server = Process::start(&[]);
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\rX"[..],
        &[PREFACE, b"GET / HTTP/1.1\r\n\r\n"].concat(),
    ] {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        // It ends, with whatever the server says about it.
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

/// What a flood did to the server.
struct Flooded {
    /// How much memory the server took at most, beyond what it had.
    growth: u64,
    /// Whether the server ended the connection.
    is_closed: bool,
    /// How long an honest client beside it waited at most.
    slowest: Duration,
}

/// Sends `pieces` over and over to `server`, `times` times in all, and reads only if `reads`; an honest client asks
/// meanwhile.
fn flood(
    server: &Process,
    settings: &[u8],
    first: &[u8],
    times: u32,
    reads: bool,
    mut piece: impl FnMut(u32) -> Vec<u8> + Send,
) -> Flooded {
    // What the first connection costs is no flood's fault.
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    let before = server.memory().0;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            loop {
                let begun = Instant::now();
                assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
                slowest = slowest.max(begun.elapsed());
                if is_over.load(Ordering::SeqCst) {
                    return slowest;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut wire = Wire::connect(server.address, settings);
        let mut reader = wire.0.try_clone().unwrap();
        // Until the connection ends, or the last question is answered.
        let reader = reads.then(|| {
            scope.spawn(move || {
                let (mut some, mut end) = ([0; 65_536], Vec::new());
                loop {
                    match reader.read(&mut some) {
                        Ok(count) if count > 0 => end.extend(&some[..count]),
                        _ => return true,
                    }
                    if end.windows(LAST.len()).any(|bytes: &[u8]| bytes == LAST) {
                        return false;
                    }
                    end.drain(..end.len().saturating_sub(LAST.len()));
                }
            })
        });
        let mut written = wire.0.write_all(first);
        let mut batch = Vec::new();
        for n in 0..times {
            batch.extend(piece(n));
            if batch.len() > 32 * 1024 || n + 1 == times {
                written = written.and_then(|()| wire.0.write_all(&batch));
                batch.clear();
            }
        }
        // All is written: does the connection go on?
        let written = written.and_then(|()| wire.0.write_all(&frame(PING, 0, 0, LAST)));
        let is_closed = match reader {
            Some(reader) => reader.join().unwrap(),
            None => written.is_err(),
        };
        let _ = wire.0.shutdown(std::net::Shutdown::Both);
        is_over.store(true, Ordering::SeqCst);
        Flooded {
            growth: server.memory().1.saturating_sub(before),
            is_closed,
            slowest: honest.join().unwrap(),
        }
    })
}

/// Whatever the flood: memory stays, and others are served.
fn check(name: &str, flooded: &Flooded, must_close: bool) {
    println!(
        "{name}: memory +{} KiB, an honest client waited {:?}, closed: {}",
        flooded.growth, flooded.slowest, flooded.is_closed
    );
    assert!(
        flooded.growth < 24 * 1024,
        "{name}: +{} KiB",
        flooded.growth
    );
    assert!(
        flooded.slowest < Duration::from_secs(5),
        "{name}: {:?}",
        flooded.slowest
    );
    assert!(flooded.is_closed || !must_close, "{name}: it goes on");
}

#[test]
fn faults_45_rapid_reset() {
    let server = Process::start(&[]);
    let cancel = 8_u32.to_be_bytes();
    let flooded = flood(&server, &[], &[], 100_000, true, |n| {
        [
            get(2 * n + 1, "/events"),
            frame(RST_STREAM, 0, 2 * n + 1, &cancel),
        ]
        .concat()
    });
    check("rapid reset", &flooded, true);
}

/// The client makes the server reset each stream, and opens the next.
#[test]
fn faults_46_made_you_reset() {
    let server = Process::start(&[]);
    type Trick = fn(u32) -> Vec<u8>;
    let tricks: [(&str, Trick); 5] = [
        ("WINDOW_UPDATE 0", |id| window(id, 0)),
        ("WINDOW_UPDATE overflow", |id| window(id, (1 << 31) - 1)),
        ("depends on itself", |id| {
            frame(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[0]].concat())
        }),
        ("DATA after the end", |id| frame(DATA, 0, id, b"x")),
        ("HEADERS after the end", |id| get(id, "/")),
    ];
    for (name, trick) in tricks {
        let flooded = flood(&server, &[], &[], 20_000, true, |n| {
            [get(2 * n + 1, "/events"), trick(2 * n + 1)].concat()
        });
        check(name, &flooded, true);
    }
}

#[test]
fn faults_47_continuation() {
    let server = Process::start(&[]);
    let block = field("x", "y").repeat(100);
    let begin = frame(HEADERS, END_STREAM, 1, &head("GET", "/"));
    for (name, block) in [("CONTINUATION", &block[..]), ("empty CONTINUATION", &[])] {
        let flooded = flood(&server, &[], &begin, 50_000, true, |_| {
            frame(CONTINUATION, 0, 1, block)
        });
        check(name, &flooded, true);
    }
}

#[test]
fn faults_48_empty_data() {
    let server = Process::start(&[]);
    let begin = post(1, "/events");
    let flooded = flood(&server, &[], &begin, 200_000, true, |_| {
        frame(DATA, 0, 1, &[])
    });
    check("empty DATA", &flooded, true);
    // A byte each is slow, and not wrong: the windows bound it.
    let flooded = flood(&server, &[], &begin, 60_000, true, |_| {
        frame(DATA, 0, 1, b"x")
    });
    check("DATA of one byte", &flooded, false);
}

#[test]
fn faults_49_hpack_bomb() {
    let server = Process::start(&[]);
    // An entry of 4,000 bytes for the table, and then 400 references to it a request: 1.6 MB each.
    let mut entry = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    entry.extend(vec![b'y'; 4000]);
    let begin = frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &[head("GET", "/"), entry].concat(),
    );
    let block = [head("GET", "/"), vec![0xbe; 400]].concat();
    let flooded = flood(&server, &[], &begin, 200, true, |n| {
        frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 3, &block)
    });
    check("HPACK bomb", &flooded, false);
}

/// The server's answers fill what there is room for; then it reads no more, and then it ends it.
#[test]
fn faults_50_questions_whose_answers_nobody_reads() {
    let server = Process::start(&[("WRITE_TIMEOUT", "500")]);
    let flooded = flood(&server, &[], &[], 3_000_000, false, |_| {
        frame(PING, 0, 0, &[0; 8])
    });
    check("PING", &flooded, true);
    let flooded = flood(&server, &[], &[], 3_000_000, false, |_| {
        frame(SETTINGS, 0, 0, &[])
    });
    check("SETTINGS", &flooded, true);
}

/// F10. A hundred files of 64 MiB, and no window for any.
#[test]
fn faults_51_no_window() {
    let server = Process::start(&[("WRITE_TIMEOUT", "1000")]);
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    let mut wire = Wire::connect(server.address, &setting(4, 0));
    for n in 0..100 {
        wire.0.write_all(&get(2 * n + 1, "/file")).unwrap();
    }
    // It ends by itself: heads come, and no bodies.
    while let Some((kind, _, _, _)) = wire.next() {
        assert_ne!(kind, DATA);
    }
    let (_, most) = server.memory();
    println!("no window: {most} KiB in all");
    assert!(most < 64 * 1024, "{most} KiB");
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
}

/// The app holds a hundred uploads and reads none of them: what is in memory is what the windows allow, and no window
/// is opened anew.
#[test]
fn faults_53_uploads_that_nobody_reads() {
    let server = Process::start(&[]);
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    let before = server.memory().0;
    let mut wire = Wire::connect(server.address, &[]);
    // The connection's window is 65,535 bytes and what the server adds; so much the client may send.
    let mut windows = Windows {
        stream: 65_535,
        connection: 65_535,
    };
    // What it adds comes with its settings, or after the first sign of life.
    for _ in 0..3 {
        windows.read_to_pong(&mut wire);
    }
    let ids = (0..100).map(|n| 2 * n + 1);
    let mut batch = Vec::new();
    for id in ids.clone() {
        batch.extend(post(id, "/hold"));
    }
    let mut sent = vec![0; 100];
    let mut left = windows.connection;
    while left > 0 {
        let room = left;
        for (id, sent) in ids.clone().zip(&mut sent) {
            let piece = 16_384.min(windows.stream - *sent).min(left);
            if piece > 0 {
                batch.extend(frame(DATA, 0, id, &vec![b'x'; piece as usize]));
                *sent += piece;
                left -= piece;
            }
        }
        assert!(
            left < room,
            "the streams' windows are smaller than the connection's"
        );
    }
    wire.0.write_all(&batch).unwrap();
    let allowed = windows.connection;
    windows.read_to_pong(&mut wire);
    println!("a hundred uploads: {allowed} bytes in all");
    assert_eq!(windows.connection, allowed, "more may be sent than is read");
    assert!(allowed <= 2 << 20, "{allowed} bytes");
    let growth = server.memory().1.saturating_sub(before);
    assert!(growth < 16 * 1024, "+{growth} KiB");
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
}

/// How many bytes a client may send, on a stream that is new and on all together.
struct Windows {
    stream: u32,
    connection: u32,
}

impl Windows {
    /// Asks for a sign of life, and reads what the server says of windows until it comes.
    fn read_to_pong(&mut self, wire: &mut Wire) {
        wire.0.write_all(&frame(PING, 0, 0, LAST)).unwrap();
        loop {
            let (kind, flags, stream, payload) = wire.next().expect("it goes on");
            let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match kind {
                PING if flags == ACK => return,
                WINDOW_UPDATE if stream == 0 => self.connection += number(0),
                WINDOW_UPDATE => panic!("stream {stream} may send more"),
                // SETTINGS_INITIAL_WINDOW_SIZE.
                SETTINGS => {
                    for at in (0..payload.len()).step_by(6) {
                        if payload[at..at + 2] == [0, 4] {
                            self.stream = number(at + 2);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}
