//! Malformed input of a hostile or broken web server: no panic, no hang, bounded memory, and the
//! right response.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vestibule_core::{App, Body, BoxApp, BoxError, CollectError, Request};
use vestibule_gateway::Server;

type Make = fn() -> Server<BoxApp>;

async fn tell(request: Request) -> Result<String, CollectError> {
    let line = format!("{} {}", request.method(), request.uri());
    let body = request.into_body().collect(1 << 30).await?;
    Ok(format!("{line} {}", body.len()))
}

fn fastcgi() -> Server<BoxApp> {
    Server::fastcgi(tell.boxed())
}

fn scgi() -> Server<BoxApp> {
    Server::scgi(tell.boxed())
}

fn uwsgi() -> Server<BoxApp> {
    Server::uwsgi(tell.boxed())
}

/// The result of sending bytes on a connection.
struct Talk {
    answer: Vec<u8>,
    ended: Result<(), BoxError>,
    peak_bytes: u64,
    seconds: u64,
}

impl Talk {
    /// Returns all records of STDOUT, or all output.
    fn text(&self) -> String {
        let mut rest = &*self.answer;
        let mut text = Vec::new();
        while let [1, kind, _, _, high, low, padding, _, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (content, after) = after.split_at(length);
            if *kind == 6 {
                text.extend_from_slice(content);
            }
            rest = &after[usize::from(*padding)..];
        }
        text.extend_from_slice(rest);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Returns the status, or 0 when there is no response.
    fn status(&self) -> u16 {
        let text = self.text();
        let line = text
            .strip_prefix("Status: ")
            .or(text.strip_prefix("HTTP/1.1 "));
        line.and_then(|line| line.get(..3)?.parse().ok())
            .unwrap_or(0)
    }
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?}, {} s",
            self.text(),
            self.ended.as_ref().err().map(ToString::to_string),
            self.seconds
        )
    }
}

/// Sends `bytes`, and then closes the connection or stays silent.
fn talk(server: Server<BoxApp>, bytes: &[u8], closes: bool) -> Talk {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut told = None;
    // Large enough for every response, so that it does not count as memory of the server.
    let mut answer = Vec::with_capacity(4 << 20);
    let counted = allocation_counter::measure(|| {
        told = Some(runtime.block_on(async {
            let begun = tokio::time::Instant::now();
            let (client, connection) = tokio::io::duplex(16 * 1024);
            let served = tokio::spawn(server.serve_connection(connection));
            let (mut read, mut write) = tokio::io::split(client);
            let writes = async {
                let _ = write.write_all(bytes).await;
                if closes {
                    let _ = write.shutdown().await;
                }
            };
            let all = async {
                let _ = tokio::join!(writes, read.read_to_end(&mut answer));
                served.await.expect("nothing panics")
            };
            let ended = tokio::time::timeout(Duration::from_secs(300), all).await;
            let ended = ended.expect("every connection ends");
            (ended, begun.elapsed().as_secs())
        }));
    });
    let (ended, seconds) = told.unwrap();
    Talk {
        answer,
        ended,
        peak_bytes: counted.bytes_max,
        seconds,
    }
}

fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    padded(1, kind, id, content, 0)
}

fn padded(version: u8, kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let (id, length) = (id.to_be_bytes(), (content.len() as u16).to_be_bytes());
    let mut bytes = vec![
        version, kind, id[0], id[1], length[0], length[1], padding, 0,
    ];
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + usize::from(padding), 0xee);
    bytes
}

fn begin(id: u16, flags: u8) -> Vec<u8> {
    record(BEGIN, id, &[0, 1, flags, 0, 0, 0, 0, 0])
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| match text.len() {
        short @ 0..128 => vec![short as u8],
        long => (long as u32 | 1 << 31).to_be_bytes().to_vec(),
    };
    let pair = |(name, value): &(&str, &str)| {
        [
            &length(name),
            &length(value),
            name.as_bytes(),
            value.as_bytes(),
        ]
        .concat()
    };
    pairs.iter().flat_map(pair).collect()
}

const POST: &[(&str, &str)] = &[
    ("REQUEST_METHOD", "POST"),
    ("REQUEST_URI", "/a"),
    ("CONTENT_LENGTH", "3"),
];

fn params(id: u16, of: &[(&str, &str)]) -> Vec<u8> {
    [record(PARAMS, id, &pairs(of)), record(PARAMS, id, b"")].concat()
}

fn stdin(id: u16, body: &[u8]) -> Vec<u8> {
    let records = body
        .chunks(65_535)
        .flat_map(|piece| record(STDIN, id, piece));
    records.chain(record(STDIN, id, b"")).collect()
}

fn good(flags: u8) -> Vec<u8> {
    [begin(1, flags), params(1, POST), stdin(1, b"abc")].concat()
}

fn netstring(headers: &str) -> Vec<u8> {
    format!("{}:{headers},", headers.len()).into_bytes()
}

fn scgi_of(headers: &str, body: &str) -> Vec<u8> {
    [netstring(headers), body.as_bytes().to_vec()].concat()
}

fn uwsgi_of(modifier: u8, of: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
    let all: Vec<u8> = of
        .iter()
        .flat_map(|(name, value)| [text(name), text(value)].concat())
        .collect();
    let size = (all.len() as u16).to_le_bytes();
    [&[modifier, size[0], size[1], 0], &*all, body].concat()
}

const BEGIN: u8 = 1;
const ABORT: u8 = 2;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const VALUES: u8 = 9;

const SCGI_POST: &str = "CONTENT_LENGTH\x003\0SCGI\x001\0REQUEST_METHOD\0POST\0REQUEST_URI\0/a\0";

/// A name, the bytes, and the status of the response; 0 for a connection that ends without one.
type Case = (&'static str, Vec<u8>, u16);

fn fastcgi_cases() -> Vec<Case> {
    let params_of = |content: &[u8]| {
        [
            begin(1, 0),
            record(PARAMS, 1, content),
            record(PARAMS, 1, b""),
        ]
        .concat()
    };
    let before_good = |bytes: Vec<u8>| [bytes, good(0)].concat();
    let many_ids: Vec<u8> = (2..=u16::MAX).flat_map(|id| begin(id, 0)).collect();
    let many: Vec<_> = (0..300).map(|_| ("A", "b")).collect();
    let long = "x".repeat(40_000);
    vec![
        ("nothing", vec![], 0),
        (
            "version 0",
            padded(0, BEGIN, 1, &[0, 1, 0, 0, 0, 0, 0, 0], 0),
            0,
        ),
        (
            "version 2",
            padded(2, BEGIN, 1, &[0, 1, 0, 0, 0, 0, 0, 0], 0),
            0,
        ),
        (
            "version 255",
            padded(255, BEGIN, 1, &[0, 1, 0, 0, 0, 0, 0, 0], 0),
            0,
        ),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            0,
        ),
        ("type 0, id 0", before_good(record(0, 0, b"")), 200),
        ("type 255, id 0", before_good(record(255, 0, b"x")), 200),
        ("type 0, an id", before_good(record(0, 1, b"")), 200),
        ("type 255, an id", before_good(record(255, 1, b"x")), 200),
        ("a type of ours", before_good(record(6, 1, b"x")), 200),
        ("id 0", [begin(0, 0), params(0, POST)].concat(), 0),
        (
            "an id that was not begun",
            before_good([params(9, POST), stdin(9, b"abc")].concat()),
            200,
        ),
        (
            "an id that began twice",
            [begin(1, 0), begin(1, 0)].concat(),
            0,
        ),
        (
            "an id that began twice, in the body",
            [begin(1, 0), params(1, POST), begin(1, 0)].concat(),
            0,
        ),
        (
            "65,534 other ids in the parameters",
            [
                begin(1, 0),
                many_ids.clone(),
                params(1, POST),
                stdin(1, b"abc"),
            ]
            .concat(),
            200,
        ),
        (
            "65,534 other ids in the body",
            [begin(1, 0), params(1, POST), many_ids, stdin(1, b"abc")].concat(),
            0,
        ),
        (
            "questions without end in the body",
            [
                begin(1, 0),
                params(1, POST),
                record(VALUES, 0, b"").repeat(60_000),
                stdin(1, b"abc"),
            ]
            .concat(),
            0,
        ),
        (
            "65,535 bytes and 255 of padding",
            before_good(padded(1, STDIN, 9, &[0; 65_535], 255)),
            200,
        ),
        (
            "padding in each record",
            [
                padded(1, BEGIN, 1, &[0, 1, 0, 0, 0, 0, 0, 0], 255),
                padded(1, PARAMS, 1, &pairs(POST), 1),
                padded(1, PARAMS, 1, b"", 7),
                padded(1, STDIN, 1, b"abc", 3),
                padded(1, STDIN, 1, b"", 255),
            ]
            .concat(),
            200,
        ),
        ("a begin of 0 bytes", record(BEGIN, 1, b""), 0),
        (
            "a begin of 3 bytes",
            before_good(record(BEGIN, 9, &[0, 2, 1])),
            200,
        ),
        (
            "a begin of 65,535 bytes",
            [
                record(BEGIN, 1, &[0, 1].repeat(32_767)),
                params(1, POST),
                stdin(1, b"abc"),
            ]
            .concat(),
            200,
        ),
        (
            "role 0",
            before_good(record(BEGIN, 1, &[0, 0, 1, 0, 0, 0, 0, 0])),
            200,
        ),
        (
            "role 2",
            before_good(record(BEGIN, 1, &[0, 2, 1, 0, 0, 0, 0, 0])),
            200,
        ),
        ("role 3", record(BEGIN, 1, &[0, 3, 0, 0, 0, 0, 0, 0]), 0),
        (
            "role 257",
            before_good(record(BEGIN, 1, &[1, 1, 1, 0, 0, 0, 0, 0])),
            200,
        ),
        (
            "all flags",
            before_good(record(BEGIN, 1, &[0, 2, 255, 9, 9, 9, 9, 9])),
            200,
        ),
        (
            "parameters that never end",
            [begin(1, 0), record(PARAMS, 1, &pairs(POST))].concat(),
            0,
        ),
        (
            "no parameters",
            [begin(1, 0), record(PARAMS, 1, b""), stdin(1, b"")].concat(),
            400,
        ),
        ("a length of 2^31 - 1", params_of(&[0xff; 8]), 0),
        (
            "a name of 2^31 - 1",
            params_of(b"\xff\xff\xff\xff\x01Ab"),
            0,
        ),
        (
            "a value of 2^31 - 1",
            params_of(b"\x01\xff\xff\xff\xffAb"),
            0,
        ),
        (
            "lengths whose sum is 2^32",
            params_of(b"\xff\xff\xff\xff\x80\x00\x00\x01Ab"),
            0,
        ),
        ("a name past the stream", params_of(b"\x05\x01Ab"), 0),
        ("a value past the stream", params_of(b"\x01\x05Ab"), 0),
        ("half a length", params_of(b"\x80\x00\x00"), 0),
        ("one length", params_of(b"\x01"), 0),
        (
            "a long length that is short",
            [
                begin(1, 0),
                record(PARAMS, 1, &pairs(POST)),
                record(PARAMS, 1, b"\x80\0\0\x01\x80\0\0\x01Ab"),
                record(PARAMS, 1, b""),
                stdin(1, b"abc"),
            ]
            .concat(),
            200,
        ),
        (
            "a pair without a name",
            [
                begin(1, 0),
                record(PARAMS, 1, &pairs(POST)),
                record(PARAMS, 1, b"\0\x01b"),
                record(PARAMS, 1, b""),
                stdin(1, b"abc"),
            ]
            .concat(),
            200,
        ),
        (
            "300 parameters",
            [begin(1, 0), params(1, &many), stdin(1, b"")].concat(),
            431,
        ),
        (
            "a parameter of 40,000",
            [begin(1, 0), params(1, &[("A", &long)]), stdin(1, b"")].concat(),
            431,
        ),
        (
            "parameters without end",
            [
                begin(1, 0),
                record(PARAMS, 1, &[0; 65_528]).repeat(100),
                stdin(1, b""),
            ]
            .concat(),
            431,
        ),
        (
            "a body before the parameters",
            [begin(1, 0), stdin(1, b"abc")].concat(),
            0,
        ),
        (
            "a body among the parameters",
            [
                begin(1, 0),
                record(PARAMS, 1, &pairs(POST)),
                stdin(1, b"abc"),
            ]
            .concat(),
            0,
        ),
        (
            "parameters after their end",
            [
                begin(1, 0),
                params(1, POST),
                params(1, POST),
                stdin(1, b"abc"),
            ]
            .concat(),
            200,
        ),
        (
            "a body without end",
            [begin(1, 0), params(1, POST), record(STDIN, 1, b"abc")].concat(),
            400,
        ),
        (
            "a body that is short",
            [begin(1, 0), params(1, POST), stdin(1, b"ab")].concat(),
            400,
        ),
        (
            "a body that is long",
            [begin(1, 0), params(1, POST), stdin(1, b"abcd")].concat(),
            400,
        ),
        (
            "no CONTENT_LENGTH",
            [begin(1, 0), params(1, &POST[..2]), stdin(1, b"abcd")].concat(),
            200,
        ),
        (
            "a CONTENT_LENGTH of letters",
            [
                begin(1, 0),
                params(1, &[("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "x")]),
                stdin(1, b"abc"),
            ]
            .concat(),
            400,
        ),
        (
            "a CONTENT_LENGTH with a sign",
            [
                begin(1, 0),
                params(1, &[("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "+3")]),
                stdin(1, b"abc"),
            ]
            .concat(),
            400,
        ),
        (
            "a CONTENT_LENGTH of 2^63",
            [
                begin(1, 0),
                params(
                    1,
                    &[
                        ("REQUEST_METHOD", "POST"),
                        ("CONTENT_LENGTH", "9223372036854775808"),
                    ],
                ),
                stdin(1, b"abc"),
            ]
            .concat(),
            400,
        ),
        (
            "a method with a space",
            [
                begin(1, 0),
                params(1, &[("REQUEST_METHOD", "A B")]),
                stdin(1, b""),
            ]
            .concat(),
            400,
        ),
        (
            "CONNECT",
            [
                begin(1, 0),
                params(1, &[("REQUEST_METHOD", "CONNECT")]),
                stdin(1, b""),
            ]
            .concat(),
            400,
        ),
        (
            "NUL in the path",
            [
                begin(1, 0),
                params(1, &[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/%00")]),
                stdin(1, b""),
            ]
            .concat(),
            400,
        ),
        (
            "a path of 70,000",
            [
                begin(1, 0),
                params(
                    1,
                    &[
                        ("REQUEST_METHOD", "GET"),
                        ("SCRIPT_NAME", &long[..32_000]),
                        ("PATH_INFO", &format!("/{}", " ".repeat(16_000))),
                    ],
                ),
                stdin(1, b""),
            ]
            .concat(),
            414,
        ),
        (
            "an abort before the parameters' end",
            [begin(1, 1), record(ABORT, 1, b""), good(0)].concat(),
            200,
        ),
        (
            "an abort in the body",
            [begin(1, 0), params(1, POST), record(ABORT, 1, b"")].concat(),
            0,
        ),
        (
            "an abort of another id",
            [
                begin(1, 0),
                record(ABORT, 2, b""),
                params(1, POST),
                stdin(1, b"abc"),
            ]
            .concat(),
            200,
        ),
        (
            "an abort of nothing",
            before_good(record(ABORT, 1, b"")),
            200,
        ),
        (
            "a question that cannot be read",
            before_good(record(VALUES, 0, &[0xff; 9])),
            200,
        ),
        (
            "a question with 65,535 bytes",
            before_good(record(VALUES, 0, &[0; 65_535])),
            200,
        ),
        (
            "a question under an id",
            before_good(record(VALUES, 1, &pairs(&[("FCGI_MAX_CONNS", "")]))),
            200,
        ),
    ]
}

fn scgi_cases() -> Vec<Case> {
    let of = |headers: &str, body: &str| scgi_of(headers, body);
    vec![
        ("nothing", vec![], 0),
        ("good", of(SCGI_POST, "abc"), 200),
        ("`0:`", b"0:,".to_vec(), 0),
        ("`00010:`", b"00010:,".to_vec(), 0),
        ("`9999999999:`", b"9999999999:".to_vec(), 0),
        ("2^64", b"18446744073709551616:".to_vec(), 0),
        ("no colon in 11 bytes", b"12345678901".to_vec(), 0),
        ("digits for ever", b"1".repeat(100_000), 0),
        ("no digits", b":".to_vec(), 0),
        ("a sign", b"-5:".to_vec(), 0),
        ("a space", b" 5:".to_vec(), 0),
        ("more than the limit", b"300000:".to_vec(), 431),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0),
        (
            "a semicolon",
            [
                &netstring(SCGI_POST)[..netstring(SCGI_POST).len() - 1],
                b";abc",
            ]
            .concat(),
            0,
        ),
        (
            "a length that is short",
            format!("{}:{SCGI_POST},abc", SCGI_POST.len() - 1).into_bytes(),
            0,
        ),
        (
            "a length that is long",
            format!("{}:{SCGI_POST},abc", SCGI_POST.len() + 1).into_bytes(),
            0,
        ),
        (
            "CONTENT_LENGTH is second",
            of(
                "SCGI\x001\0CONTENT_LENGTH\x003\0REQUEST_METHOD\0POST\0",
                "abc",
            ),
            0,
        ),
        (
            "no CONTENT_LENGTH",
            of("SCGI\x001\0REQUEST_METHOD\0POST\0", "abc"),
            0,
        ),
        (
            "an empty CONTENT_LENGTH",
            of("CONTENT_LENGTH\0\0SCGI\x001\0REQUEST_METHOD\0POST\0", ""),
            0,
        ),
        (
            "CONTENT_LENGTH of letters",
            of("CONTENT_LENGTH\0x\0SCGI\x001\0REQUEST_METHOD\0POST\0", ""),
            400,
        ),
        (
            "two CONTENT_LENGTH, the last counts",
            of(
                "CONTENT_LENGTH\x009\0SCGI\x001\0REQUEST_METHOD\0POST\0CONTENT_LENGTH\x003\0",
                "abc",
            ),
            200,
        ),
        (
            "no SCGI",
            of("CONTENT_LENGTH\x000\0REQUEST_METHOD\0POST\0", ""),
            0,
        ),
        (
            "SCGI is 2",
            of("CONTENT_LENGTH\x000\0SCGI\x002\0REQUEST_METHOD\0POST\0", ""),
            0,
        ),
        (
            "SCGI twice",
            of(
                "CONTENT_LENGTH\x000\0SCGI\x001\0SCGI\x002\0REQUEST_METHOD\0POST\0",
                "",
            ),
            0,
        ),
        (
            "a header twice",
            of(&format!("{SCGI_POST}REQUEST_URI\0/b\0"), "abc"),
            200,
        ),
        (
            "an odd number of NULs",
            of(&format!("{SCGI_POST}A\0"), "abc"),
            0,
        ),
        (
            "no NUL at the end",
            of(&format!("{SCGI_POST}A\0b"), "abc"),
            0,
        ),
        ("only NULs", of("\0\0\0\0", ""), 0),
        ("a body that is short", of(SCGI_POST, "ab"), 400),
        ("a body that is long", of(SCGI_POST, "abcd"), 200),
        ("a body of nothing", of(SCGI_POST, ""), 400),
        (
            "300 headers",
            of(&format!("{SCGI_POST}{}", "A\0b\0".repeat(300)), "abc"),
            431,
        ),
        (
            "a header of 40,000",
            of(&format!("{SCGI_POST}A\0{}\0", "x".repeat(40_000)), "abc"),
            431,
        ),
    ]
}

fn uwsgi_cases() -> Vec<Case> {
    vec![
        ("nothing", vec![], 0),
        ("good", uwsgi_of(0, POST, b"abc"), 200),
        ("no CONTENT_LENGTH", uwsgi_of(0, &POST[..2], b""), 200),
        ("another modifier", uwsgi_of(5, POST, b"abc"), 0),
        ("modifier 255", uwsgi_of(255, POST, b"abc"), 0),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0),
        ("no variables", uwsgi_of(0, &[], b""), 400),
        ("a size of 65,535", b"\0\xff\xff\0".to_vec(), 0),
        (
            "a size that is short",
            [&b"\0\x10\0\0"[..], &uwsgi_of(0, POST, b"abc")[4..]].concat(),
            0,
        ),
        ("half a head", b"\0\x10".to_vec(), 0),
        (
            "a name past the variables",
            b"\0\x03\0\0\xff\xffA".to_vec(),
            0,
        ),
        (
            "a value past the variables",
            b"\0\x05\0\0\x01\0A\xff\xff".to_vec(),
            0,
        ),
        ("a name alone", b"\0\x03\0\0\x01\0A".to_vec(), 0),
        ("half a length", b"\0\x01\0\0\x01".to_vec(), 0),
        ("300 variables", uwsgi_of(0, &[("A", "b"); 300], b""), 431),
        (
            "a variable of 40,000",
            uwsgi_of(0, &[("A", &*"x".repeat(40_000))], b""),
            431,
        ),
        ("a body that is short", uwsgi_of(0, POST, b"ab"), 400),
        ("a body that is long", uwsgi_of(0, POST, b"abcd"), 200),
    ]
}

type Faults = (&'static str, Make, Vec<Case>);

fn all() -> [Faults; 3] {
    [
        ("FastCGI", fastcgi, fastcgi_cases()),
        ("SCGI", scgi, scgi_cases()),
        ("uwsgi", uwsgi, uwsgi_cases()),
    ]
}

/// More than a hundred malformed requests: the right response, whether the web server closes or
/// waits.
#[test]
fn each_has_its_answer() {
    let mut count = 0;
    let mut told = String::new();
    for (protocol, server, cases) in all() {
        for (name, bytes, status) in cases {
            for closes in [true, false] {
                let talk = talk(server(), &bytes, closes);
                // A web server that has closed gets no response.
                let is_right = talk.status() == status || (closes && talk.status() == 0);
                if !is_right {
                    told +=
                        &format!("{protocol}: {name}, closes: {closes}: {talk:?}, not {status}\n");
                }
                assert!(
                    talk.peak_bytes < MOST,
                    "{protocol}: {name}: {} bytes",
                    talk.peak_bytes
                );
                count += 1;
            }
        }
    }
    assert!(told.is_empty(), "{told}");
    assert!(count > 200, "{count}");
}

/// Changes each byte of a valid request, and cuts the request at each byte.
#[test]
fn changed_or_cut_requests_end() {
    let requests: [(Make, Vec<u8>); 3] = [
        (fastcgi, good(1)),
        (scgi, scgi_of(SCGI_POST, "abc")),
        (uwsgi, uwsgi_of(0, POST, b"abc")),
    ];
    for (server, bytes) in requests {
        for at in 0..bytes.len() {
            for change in [
                |_| 0,
                |_| 0xff,
                |byte: u8| byte.wrapping_add(1),
                |byte| byte ^ 0x80,
            ] {
                let mut bent = bytes.clone();
                bent[at] = change(bent[at]);
                let talk = talk(server(), &bent, true);
                assert!(talk.peak_bytes < MOST, "{at}: {} bytes", talk.peak_bytes);
            }
            let talk = talk(server(), &bytes[..at], true);
            assert!([0, 400].contains(&talk.status()), "{at}: {talk:?}");
        }
    }
}

/// A silent web server is disconnected after the timeouts.
#[test]
fn silence_ends() {
    let cases: [(&str, Server<BoxApp>, Vec<u8>, u64); 7] = [
        ("FastCGI, nothing", fastcgi(), vec![], 75),
        ("FastCGI, kept", fastcgi(), good(1), 75),
        (
            "FastCGI, half a begin",
            fastcgi(),
            begin(1, 0)[..5].to_vec(),
            75,
        ),
        ("FastCGI, parameters", fastcgi(), begin(1, 0), 30),
        ("SCGI", scgi(), b"10".to_vec(), 30),
        ("uwsgi", uwsgi(), vec![0], 30),
        ("SCGI, in a body", scgi(), scgi_of(SCGI_POST, "ab"), 60),
    ];
    for (name, server, bytes, seconds) in cases {
        let talk = talk(server, &bytes, false);
        let is_told = talk.ended.is_err() || talk.status() == 400;
        assert!(is_told, "{name}: {talk:?}");
        assert_eq!(talk.seconds, seconds, "{name}");
    }
}

/// A web server that does not read a response is disconnected after a minute; the body is polled
/// only as far as it reads.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_read_ends() {
    let requests: [(Server<BoxApp>, Vec<u8>); 3] = [
        (Server::fastcgi(endless.boxed()), good(0)),
        (Server::scgi(endless.boxed()), scgi_of(SCGI_POST, "abc")),
        (Server::uwsgi(endless.boxed()), uwsgi_of(0, POST, b"abc")),
    ];
    for (server, bytes) in requests {
        let begun = tokio::time::Instant::now();
        let (mut client, connection) = tokio::io::duplex(16 * 1024);
        let served = tokio::spawn(server.serve_connection(connection));
        client.write_all(&bytes).await.unwrap();
        assert!(served.await.unwrap().is_err());
        assert_eq!(begun.elapsed().as_secs(), 60);
        drop(client);
    }
}

async fn endless(_: Request) -> Body {
    let (mut sender, body) = Body::channel();
    tokio::spawn(async move { while sender.send(vec![b'x'; 10_000]).await.is_ok() {} });
    body
}

/// Maximum memory of a connection: eight times the limit on parameters.
const MOST: u64 = 2 << 20;
