//! HTTP/1 requests, most of them such that two servers could read them differently; the numbers are those of the
//! project's list of faults.
//!
//! Each is written with the outcome: what the client reads on that connection, request by request, until it ends,
//! when it asks this server and [`SMUGGLED`] stands behind the request. Servers in front of others are sent the same.

/// A request, what it is called, and the beginnings of the answers.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) request: String,
    pub(crate) want: Vec<String>,
}

/// A request that must not be answered when it comes after a bad one.
pub(crate) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Its answer.
pub(crate) const AFTER: &str = "200 GET /smuggled at a";

/// Cases 1 to 8.
pub(crate) fn transfer_encoding() -> Vec<Case> {
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    let cases: &[(&str, &str, &[&str])] = &[
        // The Transfer-Encoding wins, and the connection ends (RFC 9112, section 6.3).
        (
            "1 CL.TE",
            &post("Content-Length: 4\r\nTransfer-Encoding: chunked", chunks),
            &["200 POST / at a [abc]"],
        ),
        (
            "2 TE.CL",
            &post("Transfer-Encoding: chunked\r\nContent-Length: 4", chunks),
            &["200 POST / at a [abc]"],
        ),
        (
            "2 TE.CL bad",
            &post("Transfer-Encoding: chunked\r\nContent-Length: x", chunks),
            &["200 POST / at a [abc]"],
        ),
        (
            "2 CL bad.TE",
            &post("Content-Length: x\r\nTransfer-Encoding: chunked", chunks),
            &["400"],
        ),
        (
            "3 twice",
            &post(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                chunks,
            ),
            &["400"],
        ),
        (
            "3 twice in one",
            &post("Transfer-Encoding: chunked, chunked", chunks),
            &["400"],
        ),
        (
            "4 xchunked",
            &post("Transfer-Encoding: xchunked", chunks),
            &["400"],
        ),
        (
            "4 identity",
            &post("Transfer-Encoding: identity", chunks),
            &["400"],
        ),
        (
            "4 quoted",
            &post("Transfer-Encoding: \"chunked\"", chunks),
            &["400"],
        ),
        (
            "4 parameter",
            &post("Transfer-Encoding: chunked;a=b", chunks),
            &["400"],
        ),
        (
            "4 VTAB",
            &post("Transfer-Encoding: \x0bchunked", chunks),
            &["400"],
        ),
        (
            "4 gzip, chunked",
            &post("Transfer-Encoding: gzip, chunked", chunks),
            &["501"],
        ),
        (
            "4 empty element",
            &post("Transfer-Encoding: , chunked", chunks),
            &["501"],
        ),
        ("4 empty", &post("Transfer-Encoding: ", chunks), &["400"]),
        (
            "5 chunked, identity",
            &post("Transfer-Encoding: chunked, identity", chunks),
            &["400"],
        ),
        (
            "5 in two lines",
            &post(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                chunks,
            ),
            &["400"],
        ),
        (
            "5 identity first",
            &post(
                "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
                chunks,
            ),
            &["400"],
        ),
        (
            "6 space before colon",
            &post("Transfer-Encoding : chunked", chunks),
            &["400"],
        ),
        (
            "7 HTTP/1.0",
            &format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
            &["400"],
        ),
        (
            "8 folded",
            &post("X: a\r\n Transfer-Encoding: chunked", chunks),
            &["400"],
        ),
        (
            "8 folded value",
            &post("Transfer-Encoding:\r\n chunked", chunks),
            &["400"],
        ),
        (
            "upper case",
            &post("TRANSFER-ENCODING: Chunked", chunks),
            &["200 POST / at a [abc]", AFTER],
        ),
    ];
    owned(cases)
}

/// Cases 9 to 11.
pub(crate) fn content_length() -> Vec<Case> {
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nabc");
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "right",
            &post("Content-Length: 3"),
            &["200 POST / at a [abc]", AFTER],
        ),
        (
            "leading zero",
            &post("Content-Length: 03"),
            &["200 POST / at a [abc]", AFTER],
        ),
        (
            "9 differ",
            &post("Content-Length: 3\r\nContent-Length: 4"),
            &["400"],
        ),
        (
            "10 same",
            &post("Content-Length: 3\r\nContent-Length: 3"),
            &["200 POST / at a [abc]", AFTER],
        ),
        ("10 list", &post("Content-Length: 3, 3"), &["400"]),
        ("11 sign", &post("Content-Length: +3"), &["400"]),
        ("11 minus", &post("Content-Length: -1"), &["400"]),
        ("11 hex", &post("Content-Length: 0x3"), &["400"]),
        ("11 empty", &post("Content-Length: "), &["400"]),
        ("11 space", &post("Content-Length: 1 0"), &["400"]),
        ("11 underscore", &post("Content-Length: 1_0"), &["400"]),
        (
            "11 2^64+3",
            &post("Content-Length: 18446744073709551619"),
            &["400"],
        ),
        (
            // Past the largest body that the parser can count to; it says so in its own way.
            "11 2^64-1",
            &post("Content-Length: 18446744073709551615"),
            &["431"],
        ),
    ];
    owned(cases)
}

/// Cases 12 to 19.
pub(crate) fn chunks() -> Vec<Case> {
    let post = |body: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let long_extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(64 * 1024));
    let many_trailers = format!("3\r\nabc\r\n0\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let broke = "400 the body broke off";
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "right",
            &post("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
            &["200 POST / at a [abcde]", AFTER],
        ),
        (
            "extension",
            &post("3;a=b\r\nabc\r\n0\r\n\r\n"),
            &["200 POST / at a [abc]", AFTER],
        ),
        (
            "trailer",
            &post("3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"),
            &["200 POST / at a [abc]", AFTER],
        ),
        ("12 hex prefix", &post("0x3\r\nabc\r\n0\r\n\r\n"), &[broke]),
        ("12 plus", &post("+3\r\nabc\r\n0\r\n\r\n"), &[broke]),
        ("12 minus", &post("-3\r\nabc\r\n0\r\n\r\n"), &[broke]),
        ("12 underscore", &post("0_3\r\nabc\r\n0\r\n\r\n"), &[broke]),
        ("12 space", &post(" 3\r\nabc\r\n0\r\n\r\n"), &[broke]),
        ("12 empty", &post("\r\nabc\r\n0\r\n\r\n"), &[broke]),
        (
            "13 17 digits",
            &post("10000000000000003\r\nabc\r\n0\r\n\r\n"),
            &[broke],
        ),
        (
            "13 zeros",
            &post("00000000000000003\r\nabc\r\n0\r\n\r\n"),
            &["200 POST / at a [abc]", AFTER],
        ),
        (
            "14 no CRLF after data",
            &post("3\r\nabc0\r\n\r\n"),
            &[broke],
        ),
        ("15 LF lines", &post("3\nabc\n0\n\n"), &[broke]),
        ("16 long extension", &post(&long_extension), &[broke]),
        (
            "17 LF in extension",
            &post("3;a\nb\r\nabc\r\n0\r\n\r\n"),
            &[broke],
        ),
        ("18 1,000 trailers", &post(&many_trailers), &[broke]),
        (
            "19 framing trailers",
            &post(
                "3\r\nabc\r\n0\r\nContent-Length: 40\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            &["200 POST / at a [abc]", AFTER],
        ),
    ];
    owned(cases)
}

/// Cases 20 to 28.
pub(crate) fn lines() -> Vec<Case> {
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let ok = "200 GET / at a";
    let cases: &[(&str, &str, &[&str])] = &[
        ("20 folded", &get("X: a\r\n b"), &["400"]),
        ("21 CR in value", &get("X: a\rb"), &["400"]),
        ("21 CR as line end", "GET / HTTP/1.1\rHost: a\r\r", &["400"]),
        // RFC 9112, section 2.2: a server may take a bare LF for the end of a line.
        ("22 LF lines", "GET / HTTP/1.1\nHost: a\n\n", &[ok, AFTER]),
        ("23 NUL in value", &get("X: a\0b"), &["400"]),
        ("23 NUL in name", &get("X\0Y: a"), &["400"]),
        ("23 NUL in target", &line("GET /\0 HTTP/1.1"), &["400"]),
        ("24 CTL in target", &line("GET /\x01 HTTP/1.1"), &["400"]),
        ("24 DEL in target", &line("GET /\x7f HTTP/1.1"), &["400"]),
        ("24 space in target", &line("GET /a b HTTP/1.1"), &["400"]),
        ("25 space before colon", &get("X : a"), &["400"]),
        (
            "25 space before the first field",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            &["400"],
        ),
        ("25 empty name", &get(": a"), &["400"]),
        ("25 no colon", &get("X"), &["400"]),
        ("25 parentheses in name", &get("X(A): a"), &["400"]),
        ("26 method", &line("G@T / HTTP/1.1"), &["400"]),
        ("27 HTTP/0.9", "GET /\r\n\r\n", &["400"]),
        ("27 HTTP/1", &line("GET / HTTP/1"), &["400"]),
        ("27 lower case", &line("GET / http/1.1"), &["400"]),
        ("27 HTTP/2.0", &line("GET / HTTP/2.0"), &["400"]),
        ("27 HTTP/1.2", &line("GET / HTTP/1.2"), &["400"]),
        ("27 tab", &line("GET\t/ HTTP/1.1"), &["400"]),
        ("27 two spaces", &line("GET  / HTTP/1.1"), &["400"]),
        ("27 space at the end", &line("GET / HTTP/1.1 "), &["400"]),
        (
            "28 leading CRLF",
            &format!("\r\n\r\n{}", line("GET / HTTP/1.1")),
            &[ok, AFTER],
        ),
        ("38 garbage", "\u{1}\u{2}\u{3}\r\n\r\n", &["400"]),
        ("38 TLS hello", "\x16\x03\x01\0\u{7f}\u{1}\0\0", &["400"]),
        (
            "38 PROXY v1",
            &format!(
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{}",
                line("GET / HTTP/1.1")
            ),
            &["400"],
        ),
        (
            "38 PROXY v2",
            "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
            &["400"],
        ),
        (
            "HTTP/2 preface cut short",
            "PRI * HTTP/2.0\r\n\r\n",
            &["400"],
        ),
        // A field's value may have bytes above ASCII (RFC 9110, section 5.5).
        ("obs-text", &get("X: \u{e9}"), &[ok, AFTER]),
        ("empty value", &get("X:"), &[ok, AFTER]),
    ];
    owned(cases)
}

/// Cases 29 to 32.
pub(crate) fn target_and_host() -> Vec<Case> {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    let cases: &[(&str, &str, &[&str])] = &[
        ("29 GET *", &line("GET * HTTP/1.1"), &["400"]),
        ("29 authority on GET", &line("GET a:80 HTTP/1.1"), &["400"]),
        ("29 relative", &line("GET a/b HTTP/1.1"), &["400"]),
        ("29 relative word", &line("GET a HTTP/1.1"), &["400"]),
        ("29 query alone", &line("GET ?a HTTP/1.1"), &["400"]),
        ("29 empty", &line("GET  HTTP/1.1"), &["400"]),
        (
            "29 OPTIONS *",
            &line("OPTIONS * HTTP/1.1"),
            &["200 OPTIONS * at a", AFTER],
        ),
        (
            "29 star path",
            &line("GET /* HTTP/1.1"),
            &["200 GET /* at a", AFTER],
        ),
        ("30 CONNECT /", &line("CONNECT / HTTP/1.1"), &["400"]),
        (
            "30 CONNECT without port",
            &line("CONNECT a HTTP/1.1"),
            &["400"],
        ),
        (
            "30 CONNECT absolute",
            &line("CONNECT http://a/ HTTP/1.1"),
            &["400"],
        ),
        ("31 no Host", &get(""), &["400"]),
        ("31 two Hosts", &get("Host: a\r\nHost: b\r\n"), &["400"]),
        (
            "31 same Host twice",
            &get("Host: a\r\nHost: a\r\n"),
            &["400"],
        ),
        ("31 user information", &get("Host: a@b/c\r\n"), &["400"]),
        ("31 empty", &get("Host: \r\n"), &["400"]),
        ("31 path", &get("Host: a/b\r\n"), &["400"]),
        ("31 space", &get("Host: a b\r\n"), &["400"]),
        ("31 list", &get("Host: a, b@c\r\n"), &["400"]),
        ("31 port", &get("Host: a:b\r\n"), &["400"]),
        (
            "31 no Host in 1.0",
            "GET / HTTP/1.0\r\n\r\n",
            &["200 GET /"],
        ),
        (
            "31 two Hosts in 1.0",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            &["400"],
        ),
        (
            "32 absolute wins",
            &line("GET http://b/c HTTP/1.1"),
            &["200 GET http://b/c at b", AFTER],
        ),
        (
            "32 absolute without Host",
            "GET http://b/c HTTP/1.1\r\n\r\n",
            &["400"],
        ),
        (
            "32 user information",
            &line("GET http://u@b/ HTTP/1.1"),
            &["400"],
        ),
        ("32 other scheme", &line("GET ftp://b/ HTTP/1.1"), &["400"]),
        // The parser cuts a fragment off; the app never sees it.
        (
            "fragment",
            &line("GET /a#b HTTP/1.1"),
            &["200 GET /a at a", AFTER],
        ),
    ];
    owned(cases)
}

/// Cases 34 to 36.
pub(crate) fn unread_bodies() -> Vec<Case> {
    let post = |path: &str, fields: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
    };
    let inner = SMUGGLED.repeat(3);
    let length = format!("Content-Length: {}", inner.len());
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let nearly = SMUGGLED.repeat(1600);
    let nearly_length = format!("Content-Length: {}", nearly.len());
    let large = SMUGGLED.repeat(4000);
    let large_length = format!("Content-Length: {}", large.len());
    let expect = |path: &str| post(path, "Content-Length: 3\r\nExpect: 100-continue", "");
    let ignored = "200 POST /ignore at a";
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "34 length",
            &post("/ignore", &length, &inner),
            &[ignored, AFTER],
        ),
        (
            "34 chunked",
            &post("/ignore", "Transfer-Encoding: chunked", &chunked),
            &[ignored, AFTER],
        ),
        (
            "34 nearly 64 KiB",
            &post("/ignore", &nearly_length, &nearly),
            &[ignored, AFTER],
        ),
        (
            "34 large",
            &post("/ignore", &large_length, &large),
            &[ignored],
        ),
        (
            "34 bad chunk",
            &post(
                "/ignore",
                "Transfer-Encoding: chunked",
                &format!("zz\r\n{inner}"),
            ),
            &[ignored],
        ),
        (
            "35 upgrade",
            &post(
                "/",
                "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3",
                "abc",
            ),
            &["200 POST / at a [abc]", AFTER],
        ),
        (
            "35 h2c",
            &post(
                "/",
                "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3",
                "abc",
            ),
            &["200 POST / at a [abc]", AFTER],
        ),
        // The client sends what it should not before it is asked: the bytes are the body's.
        ("36 not wanted", &expect("/ignore"), &[ignored]),
        (
            "36 other expectation",
            &post("/", "Content-Length: 3\r\nExpect: foo", "abc"),
            &["200 POST / at a [abc]", AFTER],
        ),
    ];
    owned(cases)
}

/// All of them.
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

fn owned(cases: &[(&str, &str, &[&str])]) -> Vec<Case> {
    let own = |(name, request, want): &(&str, &str, &[&str])| Case {
        name: (*name).to_owned(),
        request: (*request).to_owned(),
        want: want.iter().map(|answer| (*answer).to_owned()).collect(),
    };
    cases.iter().map(own).collect()
}
