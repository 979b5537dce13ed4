//! A line is one line, safe on a terminal, and what tools expect.

use http::{HeaderName, HeaderValue, StatusCode};
use vestibule_core::{
    App, Body, Failure, FailureKind, IntoResponse, RemoteUser, Request, Response,
};
use vestibule_logging::{AccessLog, Format, SetRequestId, Sink};

use crate::support::{ask, get, run};

/// What a client can try to forge a line with, or to reach whoever reads it on a terminal.
const HOSTILE: &[&[u8]] = &[
    b"a\r\n192.0.2.9 - - [10/Oct/2000:13:55:36 +0000] \"GET /forged HTTP/1.1\" 200 1",
    b"a\nb",
    b"a\rb",
    b"\x1b[2J\x1b]0;title\x07",
    b"\x7f\x08\x08",
    b"\x00",
    b"\xc2\x9b31m",
    b"\x9b31m",
    "\u{85}next line".as_bytes(),
    "\u{2028}line\u{2029}paragraph".as_bytes(),
    "\u{202e}txt.exe\u{202c}".as_bytes(),
    "\u{2066}isolated\u{2069}".as_bytes(),
    "\u{feff}mark".as_bytes(),
    b"\xff\xfe",
    b"\xf0\x28\x8c\x28",
    b"\" 200 0 \"x\" \"",
    b"\\",
    b"\\x22",
    b"\"}{\"forged\":true",
    b"a=1 level=error",
    b"%s%n%00",
    b"\t",
];

fn formats() -> Vec<Format> {
    let own = r#"%h %u "%r" %>s "%{Referer}i" "%{User-Agent}i" "%{X-Request-Id}i" %U %q %v %L %{X-Answer}o"#;
    let known = [
        Format::common(),
        Format::combined(),
        Format::json(),
        Format::logfmt(),
    ];
    let mut formats = known.to_vec();
    formats.extend([Format::short(), Format::apache(own).unwrap()]);
    formats
}

/// A request that has `text` wherever a client can put it; what HTTP refuses is left out.
fn hostile(text: &[u8]) -> Request {
    let mut request = get("/");
    for name in ["user-agent", "referer", "x-request-id", "host", "x-other"] {
        if let Ok(value) = HeaderValue::from_bytes(text) {
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    for target in [[b"/", text].concat(), [b"/?", text].concat()] {
        if let Ok(uri) = target.as_slice().try_into() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Case 141 of the list of faults: injection by path, user agent, user, referrer and id.
#[tokio::test]
async fn fault_141_every_line_stays_one_line_and_safe_on_a_terminal() {
    let mut json = String::new();
    for format in formats() {
        let (lines, sink) = Sink::memory();
        let log = AccessLog::new(|request: Request| async move {
            let text = request
                .extensions()
                .get::<&[u8]>()
                .copied()
                .unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            let mut response = Failure::new(text.clone()).into_response();
            response
                .extensions_mut()
                .insert(RemoteUser::new(text.clone(), "Basic"));
            if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
                response.headers_mut().insert("x-answer", value);
            }
            response
        });
        let app = log
            .to(sink)
            .format(format.clone())
            .request_header(HeaderName::from_static("x-other"));
        let app = SetRequestId::new(app).trust_everyone();
        for text in HOSTILE {
            let mut request = hostile(text);
            request.extensions_mut().insert(*text);
            ask(&app, request).await;
        }
        let text = lines.take();
        assert_eq!(
            text.matches('\n').count(),
            HOSTILE.len(),
            "{format}: {text}"
        );
        let is_safe = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
        assert!(text.bytes().all(is_safe), "{format}: {text}");
        assert!(!text.contains("\n192.0.2.9"), "{format}: {text}");
        if format.to_string() == "json" {
            json = text;
        }
    }
    validate(&json);
}

/// Validates lines against the schema in the repository, by Python's `jsonschema`.
pub(crate) fn validate(lines: &str) {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/access-log.schema.json");
    let program = "
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
count = 0
for line in sys.stdin:
    pairs = json.loads(line, object_pairs_hook=lambda pairs: pairs)
    assert len({name for name, _ in pairs}) == len(pairs), 'a name twice: ' + line
    validator.validate(json.loads(line))
    count += 1
print(count)
";
    let count = run(
        "python3",
        &["-c", program, schema],
        lines,
        "python3, and jsonschema by pip",
    );
    assert_eq!(count.trim(), lines.lines().count().to_string());
}

/// Requests with every outcome that a line can tell of.
async fn traffic(app: &impl App, count: usize) {
    for index in 0..count {
        let target = match index % 6 {
            0 => "/",
            1 => "/fail",
            2 => "/missing?q=%22quoted%22",
            3 => "/broken",
            4 => "/a%20b",
            _ => "/gone",
        };
        let mut request = get(target);
        let headers = request.headers_mut();
        headers.insert(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) \"x\"".parse().unwrap(),
        );
        headers.insert("referer", "https://example.org/?a=b".parse().unwrap());
        headers.insert("host", "example.org".parse().unwrap());
        if target == "/gone" {
            drop(app.call(request).await);
        } else {
            ask(app, request).await;
        }
    }
}

async fn site(request: Request) -> Response {
    match request.uri().path() {
        "/fail" => Failure::new("no database").layer("Pages").into_response(),
        "/missing" => StatusCode::NOT_FOUND.into_response(),
        "/broken" => {
            let (mut sender, body) = Body::channel();
            sender.send("half").await.unwrap();
            sender.abort("the disk is gone");
            body.into_response()
        }
        "/overload" => Failure::new("full")
            .kind(FailureKind::Overload)
            .into_response(),
        _ => {
            let mut response = "hello".into_response();
            response
                .extensions_mut()
                .insert(RemoteUser::new("ann", "Basic"));
            response
        }
    }
}

#[tokio::test]
async fn json_lines_are_as_the_schema_says() {
    let (lines, sink) = Sink::memory();
    let log = AccessLog::new(site)
        .to(sink)
        .format(Format::json())
        .slow(std::time::Duration::ZERO)
        .sample(2)
        .request_header(http::header::HOST)
        .response_header(http::header::CONTENT_TYPE);
    traffic(&SetRequestId::new(log), 12).await;
    let text = lines.take();
    assert_eq!(text.lines().count(), 12);
    assert!(
        text.contains(r#""exception.message":"the disk is gone""#),
        "{text}"
    );
    assert!(text.contains(r#""vestibule.layer":"Pages""#), "{text}");
    validate(&text);
}
