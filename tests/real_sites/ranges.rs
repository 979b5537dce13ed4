//! Several ranges in one request: programs that patch files, document readers, and abuse.

use vestibule::files::{Memory, StaticFiles, Stored};
use vestibule_test::Answer;

use super::{Folder, Site};

const LENGTH: usize = 100_000;

fn content() -> Vec<u8> {
    (0..LENGTH / 4)
        .flat_map(|n| (n as u32).to_be_bytes())
        .collect()
}

/// Returns the `Content-Range` of each part without its length. Checks that each part has the named
/// bytes.
fn parts(answer: &Answer) -> String {
    let content = content();
    let one = answer.header("content-range");
    if let Some(range) = one.strip_prefix("bytes ") {
        return check(range, &answer.body, &content);
    }
    let kind = answer.header("content-type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let body = [b"\r\n", &answer.body[..]].concat();
    let mut found = Vec::new();
    let mut rest = &body[..];
    while let Some(start) = find(rest, delimiter.as_bytes()) {
        rest = &rest[start + delimiter.len()..];
        if rest == b"--\r\n" {
            break;
        }
        let end = find(rest, delimiter.as_bytes()).unwrap();
        let head = find(rest, b"\r\n\r\n").unwrap();
        let lines = std::str::from_utf8(&rest[..head]).unwrap();
        let range = lines.split("content-range: bytes ").nth(1).unwrap();
        found.push(check(range, &rest[head + 4..end], &content));
    }
    found.join(" ")
}

fn check(range: &str, bytes: &[u8], content: &[u8]) -> String {
    let (range, length) = range.split_once('/').unwrap();
    assert_eq!(length, LENGTH.to_string());
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    assert!(bytes == &content[first..=last], "{range}");
    range.to_owned()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn list(count: usize, spec: impl Fn(usize) -> String) -> String {
    (0..count).map(spec).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn several_ranges() {
    let ascending = |count| list(count, |n| format!("{}-{}", n * 100, n * 100 + 9));
    let descending = |count| {
        list(count, |n| {
            format!("{}-{}", 90_000 - n * 100, 90_009 - n * 100)
        })
    };
    let in_order = |count| ascending(count).replace(',', " ");
    // The ranges, and the parts of the response in their order; `whole` is 200.
    let mut cases = vec![
        // RFC 9110, section 15.3.7.2: in the order of the request.
        ("3000-3003,100-103".into(), "3000-3003 100-103".into()),
        ("-10,0-9".into(), "99990-99999 0-9".into()),
        ("50000-,0-9,20-29".into(), "50000-99999 0-9 20-29".into()),
        ("500-509,200000-,0-9".into(), "500-509 0-9".into()),
        // A merged range has the position of its first part.
        ("500-509,0-9,510-519".into(), "500-519 0-9".into()),
        ("900-909,20-29,0-19".into(), "900-909 0-29".into()),
        ("0-9,10-19".into(), "0-19".into()),
        ("5-14,0-9".into(), "0-14".into()),
        (descending(16), descending(16).replace(',', " ")),
        // Too many unordered ranges, overlaps or ranges.
        (descending(17), "whole".into()),
        (format!("{},0-9", ascending(20)), "whole".into()),
        (list(200, |_| "0-".into()), "whole".into()),
        (list(1000, |_| "0-0".into()), "whole".into()),
        (list(30, |n| format!("{n}-{}", n + 5)), "whole".into()),
        ("0-60000,60001-99999,5-5".into(), "whole".into()),
        (ascending(257), "whole".into()),
        (ascending(500), "whole".into()),
    ];
    for count in [2, 8, 9, 16, 17, 20, 32, 100, 256] {
        cases.push((ascending(count), in_order(count)));
    }
    let bytes = content();
    let folder = Folder::with(&[("a.bin", &bytes)]);
    let files = StaticFiles::new(folder.path());
    let memory = Memory::new().with("a.bin", Stored::memory(bytes).tag("v1"));
    let sites = [
        Site::start(files.clone()).await,
        Site::start(files.clone().indexed(1 << 20).unwrap()).await,
        Site::start(files.indexed(0).unwrap()).await,
        Site::start(StaticFiles::from_source(memory)).await,
    ];
    for (ranges, expected) in cases {
        for (number, site) in sites.iter().enumerate() {
            let text = format!("GET /a.bin HTTP/1.1\nrange: bytes={ranges}");
            for answer in site.ask(&text).await {
                let case = format!("{number} {:?} {ranges:.60}", answer.version);
                if expected == "whole" {
                    assert_eq!(
                        (answer.status.as_u16(), answer.body.len()),
                        (200, LENGTH),
                        "{case}"
                    );
                } else {
                    assert_eq!(answer.status, 206, "{case}");
                    assert_eq!(parts(&answer), expected, "{case}");
                }
                assert_eq!(
                    answer.header("content-length"),
                    answer.body.len().to_string()
                );
            }
        }
    }
}

#[tokio::test]
async fn conditions_of_several_ranges() {
    let folder = Folder::with(&[
        ("a.bin", &content()),
        ("a.js", b"let a"),
        ("a.js.br", &content()),
    ]);
    let site = Site::start(StaticFiles::new(folder.path()).precompressed(true)).await;
    let twenty = format!(
        "range: bytes={}",
        list(20, |n| format!("{}-{}", n * 100, n * 100))
    );
    let [answer, _] = site.ask("GET /a.bin HTTP/1.1").await;
    let tag = answer.header("etag").to_owned();
    let cases = [
        ("GET /a.bin", twenty.clone(), 206),
        ("HEAD /a.bin", twenty.clone(), 200),
        ("POST /a.bin", twenty.clone(), 405),
        ("GET /nothing", twenty.clone(), 404),
        ("GET /a.bin", format!("{twenty}\nif-range: \"stale\""), 200),
        ("GET /a.bin", format!("{twenty}\nif-match: {tag}"), 206),
        ("GET /a.bin", format!("{twenty}\nif-none-match: {tag}"), 304),
        ("GET /a.js", format!("{twenty}\naccept-encoding: br"), 206),
        ("GET /a.bin", list(40, |n| format!("{}-{n}", n + 1)), 200),
        ("GET /a.bin", "range: bytes=200000-,300000-".into(), 416),
    ];
    for (line, fields, status) in cases {
        for answer in site
            .ask(&format!("{line} HTTP/1.1\n{}", fields_of(&fields)))
            .await
        {
            assert_eq!(answer.status, status, "{line} {fields:.80}");
        }
    }
}

/// A case of only ranges becomes a `Range` field.
fn fields_of(text: &str) -> String {
    if text.contains(": ") {
        text.to_owned()
    } else {
        format!("range: bytes={text}")
    }
}
