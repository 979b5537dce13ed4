//! Requests of HTTP/1 as bytes, most of them such that two servers could read them differently, and what is right to
//! answer: for the tests here, for those behind web servers (`vestibule-gateway`), and for the benchmark that asks other
//! servers the same (`benches/framing.rs`).
//!
//! Each case says what the client reads on that connection, request by request, until it ends, when [`SMUGGLED`] comes
//! behind it. What follows a request that cannot be told apart from it must never be answered.

/// The request behind each case. It asks for the end of the connection.
pub(crate) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The answer to [`SMUGGLED`]: the connection went on.
pub(crate) const AFTER: &str = "200 GET /smuggled at a";

/// Stands for an answer that does not come: the server waits for more.
pub(crate) const WAITS: &str = "waits";

/// Stands for what is said in HTTP/2.
pub(crate) const FRAMES: &str = "frames";

pub(crate) struct Case {
    /// What it is, by its number in the list of faults where it has one.
    pub(crate) name: &'static str,
    pub(crate) request: String,
    /// What we answer: the status and, of a 200, the body.
    pub(crate) want: Vec<String>,
    /// What others may answer as well, where RFC 9110 and 9112 leave a choice.
    or: Vec<Vec<String>>,
}

fn case(name: &'static str, request: impl Into<String>, want: &[&str]) -> Case {
    Case {
        name,
        request: request.into(),
        want: owned(want),
        or: Vec::new(),
    }
}

impl Case {
    fn or(mut self, other: &[&str]) -> Self {
        self.or.push(owned(other));
        self
    }

    /// Whether these answers are right for whatever server: one refusal is as good as another, and to refuse a request
    /// one may close the connection without a word.
    pub(crate) fn is_right(&self, got: &[String]) -> bool {
        let is_same = |want: &str, got: &str| match is_refusal(want) {
            true => is_refusal(got),
            false => want == got,
        };
        self.or.iter().chain([&self.want]).any(|want| {
            let is_silence = got.is_empty() && want.len() == 1 && is_refusal(&want[0]);
            let are_same = || want.iter().zip(got).all(|(want, got)| is_same(want, got));
            is_silence || want.len() == got.len() && are_same()
        })
    }
}

fn owned(answers: &[&str]) -> Vec<String> {
    answers.iter().map(|&answer| answer.to_owned()).collect()
}

/// A 5xx is one only when it says that what was asked for is not implemented.
fn is_refusal(answer: &str) -> bool {
    answer.starts_with('4') || answer.starts_with("501") || answer.starts_with("505")
}

const REFUSED: &[&str] = &["400"];

/// It is clear where the request ends: the connection may go on.
const REFUSED_AND_ON: &[&str] = &["400", AFTER];

const OK: &[&str] = &["200 GET / at a", AFTER];
const ABC: &[&str] = &["200 POST / at a [abc]", AFTER];
const ABC_AND_END: &[&str] = &["200 POST / at a [abc]"];

/// Faults 1 to 8.
pub(crate) fn transfer_encoding() -> Vec<Case> {
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{chunks}");
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}"));
    vec![
        // The Transfer-Encoding wins, and the connection ends (RFC 9112, section 6.3).
        case(
            "1 CL.TE",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked"),
            ABC_AND_END,
        )
        .or(REFUSED),
        case(
            "2 TE.CL",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4"),
            ABC_AND_END,
        )
        .or(REFUSED),
        case(
            "2 TE.CL bad",
            post("Transfer-Encoding: chunked\r\nContent-Length: x"),
            ABC_AND_END,
        )
        .or(REFUSED),
        case(
            "2 CL bad.TE",
            post("Content-Length: x\r\nTransfer-Encoding: chunked"),
            REFUSED,
        )
        .or(ABC_AND_END),
        case(
            "3 twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            REFUSED,
        ),
        case("3 twice in one", coding("chunked, chunked"), REFUSED),
        case("4 xchunked", coding("xchunked"), &["501"]),
        case("4 identity", coding("identity"), &["501"]),
        case("4 quoted", coding("\"chunked\""), &["501"]),
        case("4 parameter", coding("chunked;a=b"), &["501"]),
        case("4 VTAB", coding("\x0bchunked"), REFUSED),
        case("4 gzip, chunked", coding("gzip, chunked"), &["501"]),
        // Empty elements of a list mean nothing (RFC 9110, section 5.6.1.2).
        case("4 empty element", coding(", chunked"), &["501"]).or(ABC),
        case("4 empty", coding(""), &["501"]),
        case("5 chunked, identity", coding("chunked, identity"), &["501"]),
        case(
            "5 in two lines",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
            &["501"],
        ),
        case(
            "5 identity first",
            post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
            &["501"],
        ),
        case(
            "6 space before colon",
            post("Transfer-Encoding : chunked"),
            REFUSED,
        ),
        // It may be read, if the connection ends (RFC 9112, section 6.1).
        case(
            "7 HTTP/1.0",
            format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
            REFUSED,
        )
        .or(&["200 POST / [abc]"])
        .or(&["200 POST /"]),
        // A folded line may be read as one with a space (RFC 9112, section 5.2).
        case(
            "8 folded",
            post("X: a\r\n Transfer-Encoding: chunked"),
            REFUSED,
        )
        .or(&["200 POST / at a", "400"]),
        case("8 folded value", coding("\r\n chunked"), REFUSED).or(ABC),
        case("upper case", post("TRANSFER-ENCODING: Chunked"), ABC),
    ]
}

/// Faults 9 to 11.
pub(crate) fn content_length() -> Vec<Case> {
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nabc");
    let length = |value: &str| post(&format!("Content-Length: {value}"));
    vec![
        case("right", length("3"), ABC),
        case("leading zero", length("03"), ABC),
        case("9 differ", length("3\r\nContent-Length: 4"), REFUSED),
        // The same one again may be refused or not (RFC 9110, section 8.6).
        case("10 same", length("3\r\nContent-Length: 3"), ABC).or(REFUSED),
        case("10 list", length("3, 3"), REFUSED).or(ABC),
        case("11 sign", length("+3"), REFUSED),
        case("11 minus", length("-1"), REFUSED),
        case("11 hex", length("0x3"), REFUSED),
        case("11 empty", length(""), REFUSED),
        case("11 space", length("1 0"), REFUSED),
        case("11 underscore", length("1_0"), REFUSED),
        // Whoever can count so far may wait for so many.
        case("11 2^64+3", length("18446744073709551619"), REFUSED).or(&[WAITS]),
        // Past the largest body that the parser can count to; it says so in its own way.
        case("11 2^64-1", length("18446744073709551615"), &["431"]).or(&[WAITS]),
    ]
}

/// Faults 12 to 19.
pub(crate) fn chunks() -> Vec<Case> {
    let post = |body: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let size = |size: &str| post(&format!("{size}\r\nabc\r\n0\r\n\r\n"));
    let trailers = |trailers: &str| post(&format!("3\r\nabc\r\n0\r\n{trailers}\r\n"));
    let broke: &[&str] = &["400 the body broke off"];
    vec![
        case(
            "right",
            post("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
            &["200 POST / at a [abcde]", AFTER],
        ),
        case("extension", size("3;a=b"), ABC),
        case("trailer", trailers("x-sum: 1\r\n"), ABC),
        case("12 hex prefix", size("0x3"), broke),
        case("12 plus", size("+3"), broke),
        case("12 minus", size("-3"), broke),
        case("12 underscore", size("0_3"), broke),
        case("12 space", size(" 3"), broke),
        case("12 empty", size(""), broke),
        case("13 17 digits", size("10000000000000003"), broke).or(&[WAITS]),
        case("13 zeros", size("00000000000000003"), ABC).or(REFUSED),
        case("14 no CRLF after data", post("3\r\nabc0\r\n\r\n"), broke),
        case("15 LF lines", post("3\nabc\n0\n\n"), broke),
        // How long is too long is for the server to say.
        case(
            "16 long extension",
            size(&format!("3;{}", "x".repeat(64 * 1024))),
            broke,
        )
        .or(ABC),
        case("17 LF in extension", size("3;a\nb"), broke),
        case(
            "18 1,000 trailers",
            trailers(&"x: y\r\n".repeat(1000)),
            broke,
        )
        .or(ABC),
        case(
            "19 framing trailers",
            trailers("Content-Length: 40\r\nHost: b\r\nTransfer-Encoding: chunked\r\n"),
            ABC,
        )
        .or(REFUSED),
    ]
}

/// Faults 20 to 28, and 38.
pub(crate) fn lines() -> Vec<Case> {
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    vec![
        case("20 folded", get("X: a\r\n b"), REFUSED).or(OK),
        // Whoever does not refuse them takes them for spaces (RFC 9110, section 5.5).
        case("21 CR in value", get("X: a\rb"), REFUSED).or(OK),
        case("23 NUL in value", get("X: a\0b"), REFUSED).or(OK),
        case("21 CR as line end", "GET / HTTP/1.1\rHost: a\r\r", REFUSED),
        // RFC 9112, section 2.2: a server may take a bare LF for the end of a line.
        case("22 LF lines", "GET / HTTP/1.1\nHost: a\n\n", OK).or(REFUSED),
        case("23 NUL in name", get("X\0Y: a"), REFUSED),
        case("23 NUL in target", line("GET /\0 HTTP/1.1"), REFUSED),
        case("24 CTL in target", line("GET /\x01 HTTP/1.1"), REFUSED),
        case("24 DEL in target", line("GET /\x7f HTTP/1.1"), REFUSED),
        case("24 space in target", line("GET /a b HTTP/1.1"), REFUSED),
        case("25 space before colon", get("X : a"), REFUSED),
        case(
            "25 space before the first field",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            REFUSED,
        ),
        case("25 empty name", get(": a"), REFUSED),
        case("25 no colon", get("X"), REFUSED),
        case("25 parentheses in name", get("X(A): a"), REFUSED),
        case("26 method", line("G@T / HTTP/1.1"), REFUSED),
        case("27 HTTP/0.9", "GET /\r\n\r\n", REFUSED),
        case("27 HTTP/1", line("GET / HTTP/1"), REFUSED),
        case("27 lower case", line("GET / http/1.1"), REFUSED),
        case("27 HTTP/2.0", line("GET / HTTP/2.0"), &["505"]),
        case("27 HTTP/2", line("GET / HTTP/2"), &["505"]),
        case("27 HTTP/3.0", line("GET / HTTP/3.0"), &["505"]),
        case("27 HTTP/0.9 in the line", line("GET / HTTP/0.9"), &["505"]),
        case("27 HTTP/1.12", line("GET / HTTP/1.12"), REFUSED),
        case("27 HTTP/1.", line("GET / HTTP/1."), REFUSED),
        case("27 HTTP/2.x", line("GET / HTTP/2.x"), REFUSED),
        case("27 http/1.2", line("GET / http/1.2"), REFUSED),
        case(
            "27 a space in the target",
            line("GET /a b HTTP/1.2"),
            REFUSED,
        ),
        // To be taken for a 1.1 (RFC 9110, section 2.5).
        case("27 HTTP/1.2", line("GET / HTTP/1.2"), OK)
            .or(REFUSED)
            .or(&["505"]),
        case("27 HTTP/1.9", line("GET / HTTP/1.9"), OK)
            .or(REFUSED)
            .or(&["505"]),
        // A server may look for words (RFC 9112, section 3).
        case("27 tab", line("GET\t/ HTTP/1.1"), REFUSED).or(OK),
        case("27 two spaces", line("GET  / HTTP/1.1"), REFUSED).or(OK),
        case("27 space at the end", line("GET / HTTP/1.1 "), REFUSED).or(OK),
        // One is to be ignored (RFC 9112, section 2.2).
        case(
            "28 leading CRLF",
            format!("\r\n\r\n{}", line("GET / HTTP/1.1")),
            OK,
        )
        .or(REFUSED),
        case("38 garbage", "\u{1}\u{2}\u{3}\r\n\r\n", REFUSED),
        case("38 TLS hello", "\x16\x03\x01\0\u{7f}\u{1}\0\0", REFUSED),
        case(
            "38 PROXY v1",
            format!(
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{}",
                line("GET / HTTP/1.1")
            ),
            REFUSED,
        ),
        case("38 PROXY v2", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", REFUSED),
        case(
            "HTTP/2 preface cut short",
            "PRI * HTTP/2.0\r\n\r\n",
            &["505"],
        )
        .or(&[FRAMES]),
        // A field's value may have bytes above ASCII (RFC 9110, section 5.5).
        case("obs-text", get("X: \u{e9}"), OK),
        case("empty value", get("X:"), OK),
    ]
}

/// Faults 29 to 32.
pub(crate) fn target_and_host() -> Vec<Case> {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    let refused = |name, request: String| case(name, request, REFUSED).or(REFUSED_AND_ON);
    vec![
        refused("29 GET *", line("GET * HTTP/1.1")),
        refused("29 authority on GET", line("GET a:80 HTTP/1.1")),
        refused("29 relative", line("GET a/b HTTP/1.1")),
        refused("29 relative word", line("GET a HTTP/1.1")),
        refused("29 query alone", line("GET ?a HTTP/1.1")),
        refused("29 empty", line("GET  HTTP/1.1")),
        case(
            "29 OPTIONS *",
            line("OPTIONS * HTTP/1.1"),
            &["200 OPTIONS * at a", AFTER],
        ),
        case(
            "29 star path",
            line("GET /* HTTP/1.1"),
            &["200 GET /* at a", AFTER],
        ),
        refused("30 CONNECT /", line("CONNECT / HTTP/1.1")),
        refused("30 CONNECT without port", line("CONNECT a HTTP/1.1")),
        refused("30 CONNECT absolute", line("CONNECT http://a/ HTTP/1.1")),
        refused("31 no Host", get("")),
        refused("31 two Hosts", get("Host: a\r\nHost: b\r\n")),
        refused("31 same Host twice", get("Host: a\r\nHost: a\r\n")),
        refused("31 user information", get("Host: a@b/c\r\n")),
        // It is what a request for a URI without an authority has (RFC 9112, section 3.2).
        refused("31 empty", get("Host: \r\n"))
            .or(&["200 GET / at", AFTER])
            .or(&["200 GET /", AFTER]),
        refused("31 path", get("Host: a/b\r\n")),
        refused("31 space", get("Host: a b\r\n")),
        refused("31 list", get("Host: a, b@c\r\n")),
        refused("31 port", get("Host: a:b\r\n")),
        case(
            "31 no Host in 1.0",
            "GET / HTTP/1.0\r\n\r\n",
            &["200 GET /"],
        )
        .or(&["200 GET / at"]),
        case(
            "31 two Hosts in 1.0",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            REFUSED,
        ),
        // Apps may see the path alone.
        case(
            "32 absolute wins",
            line("GET http://b/c HTTP/1.1"),
            &["200 GET http://b/c at b", AFTER],
        )
        .or(&["200 GET /c at b", AFTER]),
        refused(
            "32 absolute without Host",
            "GET http://b/c HTTP/1.1\r\n\r\n".to_owned(),
        ),
        refused("32 user information", line("GET http://u@b/ HTTP/1.1")),
        refused("32 other scheme", line("GET ftp://b/ HTTP/1.1"))
            .or(&["200 GET ftp://b/ at b", AFTER])
            .or(&["200 GET / at b", AFTER]),
        // The parser cuts a fragment off; the app never sees it.
        case(
            "fragment",
            line("GET /a#b HTTP/1.1"),
            &["200 GET /a at a", AFTER],
        )
        .or(REFUSED)
        .or(REFUSED_AND_ON),
    ]
}

/// Faults 34 to 36: the app below `/ignore` does not read the body.
pub(crate) fn unread_bodies() -> Vec<Case> {
    let post = |path: &str, fields: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
    };
    let upgrade = |protocol: &str| {
        let fields = format!("Connection: upgrade\r\nUpgrade: {protocol}\r\nContent-Length: 3");
        post("/", &fields, "abc")
    };
    let inner = SMUGGLED.repeat(3);
    let length = format!("Content-Length: {}", inner.len());
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let nearly = SMUGGLED.repeat(1100);
    let nearly_length = format!("Content-Length: {}", nearly.len());
    let large = SMUGGLED.repeat(4000);
    let large_length = format!("Content-Length: {}", large.len());
    let and_on: &[&str] = &["200 POST /ignore at a", AFTER];
    let and_end: &[&str] = &["200 POST /ignore at a"];
    vec![
        case("34 length", post("/ignore", &length, &inner), and_on).or(and_end),
        case(
            "34 chunked",
            post("/ignore", "Transfer-Encoding: chunked", &chunked),
            and_on,
        )
        .or(and_end),
        case(
            "34 nearly 64 KiB",
            post("/ignore", &nearly_length, &nearly),
            and_on,
        )
        .or(and_end),
        case("34 large", post("/ignore", &large_length, &large), and_end).or(and_on),
        case(
            "34 bad chunk",
            post(
                "/ignore",
                "Transfer-Encoding: chunked",
                &format!("zz\r\n{inner}"),
            ),
            and_end,
        )
        .or(&["200 POST /ignore at a", "400"])
        .or(REFUSED),
        case("35 upgrade", upgrade("websocket"), ABC),
        case("35 h2c", upgrade("h2c"), ABC),
        // The client sends what it should not before it is asked: the bytes are the body's.
        case(
            "36 not wanted",
            post("/ignore", "Content-Length: 3\r\nExpect: 100-continue", ""),
            and_end,
        )
        .or(&["200 POST /ignore at a", "400"]),
        case(
            "36 other expectation",
            post("/", "Content-Length: 3\r\nExpect: foo", "abc"),
            ABC,
        )
        .or(REFUSED)
        .or(REFUSED_AND_ON),
    ]
}

/// All that are sent to be read in two ways: without the [`many_and_large`].
pub(crate) fn all() -> Vec<Case> {
    [
        transfer_encoding(),
        content_length(),
        chunks(),
        lines(),
        target_and_host(),
        unread_bodies(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Fault 33, and heads that are too large for some.
pub(crate) fn many_and_large() -> Vec<Case> {
    let get = |path: &str, fields: &str| format!("GET /{path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let x = |count: usize| "x".repeat(count);
    let hundred: String = (0..100).map(|n| get(&n.to_string(), "")).collect();
    let mut pipelined = case("33 pipelined", hundred, &[]);
    pipelined.want = (0..100).map(|n| format!("200 GET /{n} at a")).collect();
    pipelined.want.push(AFTER.to_owned());
    let long = format!("200 GET /{} at a", x(8191));
    vec![
        pipelined,
        case("a target of 8 KiB", get(&x(8191), ""), &[&long, AFTER]).or(REFUSED),
        case("a target above 8 KiB", get(&x(8192), ""), &["414"])
            .or(&[&format!("200 GET /{} at a", x(8192)), AFTER]),
        case("a target of 1 MB", get(&x(1_000_000), ""), &["414"])
            .or(&[&format!("200 GET /{} at a", x(1_000_000)), AFTER]),
        case(
            "a target without end",
            format!("GET /{}", x(1_000_000)),
            &["414"],
        ),
        case("a method without end", "X".repeat(1_000_000), &["501"]),
        case("100 fields", get("", &"X: y\r\n".repeat(99)), OK)
            .or(REFUSED)
            .or(REFUSED_AND_ON),
        case("101 fields", get("", &"X: y\r\n".repeat(100)), &["431"])
            .or(REFUSED_AND_ON)
            .or(OK),
        case(
            "10,000 fields",
            get("", &"X: y\r\n".repeat(10_000)),
            &["431"],
        )
        .or(OK),
        case("31 KiB", get("", &format!("X: {}\r\n", x(31 * 1024))), OK).or(REFUSED),
        case(
            "33 KiB",
            get("", &format!("X: {}\r\n", x(33 * 1024))),
            &["431"],
        )
        .or(OK),
        case(
            "a field without end",
            format!("GET / HTTP/1.1\r\nX: {}", x(1_000_000)),
            &["431"],
        )
        .or(&["200 GET / at a"]),
        case(
            "a name of 33 KiB",
            get("", &format!("{}: y\r\n", x(33 * 1024))),
            &["431"],
        )
        .or(OK),
    ]
}

/// Fault 37: requests that are right, and end their connections.
pub(crate) const VALID: [&str; 7] = [
    "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "\r\nGET http://b/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "PUT / HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd",
    "PRIME / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
     3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n",
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
];
