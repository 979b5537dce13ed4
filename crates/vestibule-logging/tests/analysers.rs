//! goaccess reads every line of the formats that analysers know, whatever clients sent.

use http::{HeaderValue, Method, StatusCode, Uri, Version};
use vestibule_core::{
    Address, App, IntoResponse, Peer, RemoteUser, Request, RequestLine, Response,
};
use vestibule_logging::{AccessLog, Format, Sink};

use crate::support::{Directory, ask, run};

/// Apache's `vhost_combined`, with the bytes of the body.
const WITH_HOST: &str = r#"%v:%p %h %l %u %t "%r" %>s %B "%{Referer}i" "%{User-Agent}i""#;

/// Each with the arguments that tell goaccess of it.
fn formats() -> Vec<(Format, &'static str)> {
    vec![
        (Format::combined(), "COMBINED"),
        (Format::common(), "COMMON"),
        (Format::apache(WITH_HOST).unwrap(), "VCOMBINED"),
        (
            Format::combined().zone("+05:45".parse().unwrap()),
            "COMBINED",
        ),
        (Format::common().zone("-09:30".parse().unwrap()), "COMMON"),
    ]
}

fn usual() -> Request {
    from("192.0.2.1:4711")
}

fn from(peer: &str) -> Request {
    let mut request = Request::default();
    let local = Address::Tcp("192.0.2.9:80".parse().unwrap());
    let peer = Peer::new(Address::Tcp(peer.parse().unwrap()), local);
    request.extensions_mut().insert(peer);
    request
}

/// Requests of every kind that a line can be of: peers, users, targets, fields, methods and versions.
fn requests() -> Vec<Request> {
    let mut all = Vec::new();
    let peers = [
        "192.0.2.1:4711",
        "[2001:db8::1]:4711",
        "[::ffff:192.0.2.7]:4711",
        "[fe80::1]:4711",
        "[::1]:1",
    ];
    all.extend(peers.map(from));
    let targets: [&[u8]; 14] = [
        b"/",
        b"/a%20b?c=%22quoted%22",
        b"/\"quoted\"",
        b"/?a=\\x22&b=\\",
        b"/[brackets]?a[]=1",
        "/\u{e4}\u{20ac}\u{1f600}".as_bytes(),
        b"/%e4%ff%00",
        b"//a//../b/./c",
        b"/a|b<c>d'e`f",
        b"*",
        b"http://example.org/absolute",
        b"/-",
        b"/?",
        b"/%%%",
    ];
    for target in targets {
        if let Ok(uri) = Uri::try_from(target) {
            let mut request = usual();
            *request.uri_mut() = uri;
            all.push(request);
        }
    }
    // goaccess reads lines of up to 4096 bytes.
    let mut long = usual();
    *long.uri_mut() = format!("/{}", "long/".repeat(750)).parse().unwrap();
    all.push(long);
    let texts: [&[u8]; 11] = [
        b"curl/8.0",
        b"Mozilla/5.0 (X11; Linux x86_64) \"x\" \\ [y]",
        b"\"",
        b"\\",
        b"\\\"",
        b"-",
        b"",
        b"\" 200 0 \"x\" \"",
        "\u{e4}\u{1f600}".as_bytes(),
        b"\xff\xfe",
        b"%s%n%00",
    ];
    for text in texts {
        for name in ["user-agent", "referer", "host"] {
            let mut request = usual();
            let value = HeaderValue::from_bytes(text).unwrap();
            request.headers_mut().insert(name, value);
            all.push(request);
        }
    }
    for user in [
        "ann",
        "ann of the hill",
        "a\"b",
        "\u{e4}nn",
        "",
        " ",
        "[x]",
        "a\\",
        "-",
        "x - - [01/Jan/2000:00:00:00 +0000]",
    ] {
        let mut request = usual();
        request
            .extensions_mut()
            .insert(RemoteUser::new(user, "Basic"));
        all.push(request);
    }
    for method in [
        "HEAD",
        "PROPFIND",
        "OPTIONS",
        "PURGE",
        "X-OWN",
        "get",
        "M!#$%&'*+-.^_`|~",
    ] {
        let mut request = usual();
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        all.push(request);
    }
    let mut tunnel = usual();
    *tunnel.method_mut() = Method::CONNECT;
    *tunnel.uri_mut() = "example.org:443".parse().unwrap();
    all.push(tunnel);
    for version in [Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
        let mut request = usual();
        *request.version_mut() = version;
        all.push(request);
    }
    let lines: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"",
        b"GET /a b HTTP/1.1",
        b"SSH-2.0-OpenSSH_9.6",
        b"\"",
        b"GET",
        b"GET / HTTP/9.9",
    ];
    for line in lines {
        let mut request = usual();
        request.extensions_mut().insert(RequestLine::new(line));
        all.push(request);
    }
    all
}

async fn site(request: Request) -> Response {
    let user = request.extensions().get::<RemoteUser>().cloned();
    let mut response = match request.uri().path().len() % 4 {
        0 => StatusCode::NOT_FOUND.into_response(),
        1 => "hello".into_response(),
        2 => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    if let Some(user) = user {
        response.extensions_mut().insert(user);
    }
    response
}

#[tokio::test]
async fn goaccess_reads_every_line() {
    for (format, name) in formats() {
        let (lines, sink) = Sink::memory();
        let app = AccessLog::new(site).to(sink).format(format.clone());
        let requests = requests();
        let count = requests.len() + 1;
        for request in requests {
            ask(&app, request).await;
        }
        // A client that leaves.
        drop(app.call(usual()).await);
        let directory = Directory::new();
        let (log, invalid, report) = (
            directory.join("access.log"),
            directory.join("invalid.log"),
            directory.join("report.json"),
        );
        let text = lines.take();
        assert_eq!(text.lines().count(), count);
        std::fs::write(&log, &text).unwrap();
        let arguments = [
            &*format!("--log-format={name}"),
            "--no-global-config",
            "--invalid-requests",
            invalid.to_str().unwrap(),
            "--output",
            report.to_str().unwrap(),
            log.to_str().unwrap(),
        ];
        run("goaccess", &arguments, "", "goaccess");
        let failed = std::fs::read_to_string(invalid).unwrap_or_default();
        assert_eq!(failed, "", "{name} {format}");
        // It writes what a line has in escapes as the bytes that they are for.
        let report = std::fs::read(report).unwrap();
        let report = String::from_utf8_lossy(&report);
        let general: String = report.split_whitespace().collect();
        for (field, want) in [
            ("total_requests", count),
            ("valid_requests", count),
            ("failed_requests", 0),
        ] {
            let want = format!("\"{field}\":{want},");
            assert!(general.contains(&want), "{name}: {want}\n{report}");
        }
    }
}
