//! Ranges of files.

use bytes::Bytes;
use vestibule_core::App;
use vestibule_static::{Memory, StaticFiles, Stored};

use crate::support::{Answer, Folder, ask, date, request, status};

/// Creates ten digits, twenty letters, and a file larger than one buffer.
fn site() -> (Folder, StaticFiles) {
    let folder = Folder::new();
    folder.file("ten.txt", "0123456789");
    folder.file("twenty.txt", "abcdefghijklmnopqrst");
    folder.file("empty.txt", "");
    folder.file("large.bin", large());
    let app = StaticFiles::new(folder.path());
    (folder, app)
}

fn large() -> Vec<u8> {
    (0_u32..100_000).flat_map(u32::to_be_bytes).collect()
}

/// Returns the parts of a multipart response: their ranges and their bytes.
fn parts(answer: &Answer) -> Vec<(String, Bytes)> {
    let kind = answer.header("content-type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let (open, close) = (
        format!("--{boundary}\r\n"),
        format!("\r\n--{boundary}--\r\n"),
    );
    let mut rest = answer.body.clone();
    assert!(rest.starts_with(b"\r\n") && rest.ends_with(close.as_bytes()));
    let _ = rest.split_to(2);
    rest.truncate(rest.len() - close.len());
    let mut found = Vec::new();
    while !rest.is_empty() {
        assert!(rest.starts_with(open.as_bytes()));
        let head = find(&rest, b"\r\n\r\n").unwrap();
        let text = std::str::from_utf8(&rest[..head]).unwrap().to_owned();
        let range = text.split("content-range: ").nth(1).unwrap().to_owned();
        assert!(text.contains("\r\ncontent-type: "));
        let _ = rest.split_to(head + 4);
        let end = find(&rest, format!("\r\n{open}").as_bytes());
        found.push((range, rest.split_to(end.unwrap_or(rest.len()))));
        if end.is_some() {
            let _ = rest.split_to(2);
        }
    }
    found
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[tokio::test]
async fn rfc9110_14_1_2_one_range() {
    let (_folder, app) = site();
    let cases = [
        ("bytes=0-0", 206, "bytes 0-0/10", "0"),
        ("bytes=0-4", 206, "bytes 0-4/10", "01234"),
        ("bytes=5-", 206, "bytes 5-9/10", "56789"),
        ("bytes=9-", 206, "bytes 9-9/10", "9"),
        ("bytes=-1", 206, "bytes 9-9/10", "9"),
        ("bytes=-10", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=-999", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=0-", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=8-99", 206, "bytes 8-9/10", "89"),
        (
            "bytes=0-18446744073709551616",
            206,
            "bytes 0-9/10",
            "0123456789",
        ),
        ("Bytes=1-2", 206, "bytes 1-2/10", "12"),
        ("bytes=1-2,", 206, "bytes 1-2/10", "12"),
        ("bytes=0-1,2-3", 206, "bytes 0-3/10", "0123"),
        ("bytes=5-7,0-4", 206, "bytes 0-7/10", "01234567"),
        ("bytes=20-,3-3", 206, "bytes 3-3/10", "3"),
        (
            "bytes=10-",
            416,
            "bytes */10",
            "416 Range Not Satisfiable\n",
        ),
        (
            "bytes=10-20",
            416,
            "bytes */10",
            "416 Range Not Satisfiable\n",
        ),
        ("bytes=-0", 416, "bytes */10", "416 Range Not Satisfiable\n"),
        (
            "bytes=99999999999999999999-",
            416,
            "bytes */10",
            "416 Range Not Satisfiable\n",
        ),
    ];
    for (range, status, content_range, text) in cases {
        let answer = ask(&app, "GET /ten.txt", &[&format!("range: {range}")]).await;
        let found = (answer.status, answer.header("content-range"), answer.text());
        assert_eq!(found, (status, content_range, text), "{range}");
    }
}

#[tokio::test]
async fn rfc9110_14_2_ignored_range_fields() {
    let (_folder, app) = site();
    let ranges = [
        "bytes=5-2",
        "bytes=0--1",
        "bytes=a-b",
        "bytes=",
        "bytes=,",
        ",",
        "bytes=-",
        "items=0-1",
        "0-1",
        "bytes 0-1",
        "bytes=0-1,x",
        "bytes=1-0,3-4",
        "bytes=0x0-1",
    ];
    for range in ranges {
        let answer = ask(&app, "GET /ten.txt", &[&format!("range: {range}")]).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "0123456789"),
            "{range}"
        );
        assert_eq!(answer.header("content-range"), "");
    }
    let twice = ["range: bytes=0-1", "range: bytes=2-3"];
    assert_eq!(status(&app, "GET /ten.txt", &twice).await, 200);
    let head = ask(&app, "HEAD /ten.txt", &["range: bytes=0-1"]).await;
    assert_eq!((head.status, head.header("content-length")), (200, "10"));
    assert_eq!(
        status(&app, "GET /nothing", &["range: bytes=0-1"]).await,
        404
    );
    assert_eq!(
        status(&app, "POST /ten.txt", &["range: bytes=0-1"]).await,
        405
    );
}

#[tokio::test]
async fn rfc9110_14_6_several_ranges() {
    let (_folder, app) = site();
    let answer = ask(&app, "GET /twenty.txt", &["range: bytes=-2, 0-1, 5-6"]).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-range"), "");
    // RFC 9110, section 15.3.7.2: in the order of the request.
    let want = [
        ("bytes 18-19/20".to_owned(), Bytes::from("st")),
        ("bytes 0-1/20".to_owned(), Bytes::from("ab")),
        ("bytes 5-6/20".to_owned(), Bytes::from("fg")),
    ];
    assert_eq!(parts(&answer), want);

    let answer = ask(
        &app,
        "GET /large.bin",
        &["range: bytes=0-3,70000-270003,399996-"],
    )
    .await;
    let found = parts(&answer);
    assert_eq!(found[1].0, "bytes 70000-270003/400000");
    assert_eq!(found[1].1, large()[70_000..=270_003]);
    assert_eq!(found[2].1, large()[399_996..]);
}

#[tokio::test]
async fn rfc9110_17_15_abuse_is_answered_with_the_whole() {
    let (_folder, app) = site();
    let list = |count: usize, spec: &dyn Fn(usize) -> String| {
        let specs: Vec<_> = (0..count).map(spec).collect();
        format!("range: bytes={}", specs.join(","))
    };
    let whole = [
        list(1000, &|_| "0-0".to_owned()),
        list(200, &|_| "0-".to_owned()),
        list(500, &|index| format!("{}-{}", index * 4, index * 4)),
        list(3, &|_| "0-399999".to_owned()),
        list(17, &|index| {
            format!("{}-{}", 900 - index * 4, 900 - index * 4)
        }),
    ];
    for range in whole {
        let answer = ask(&app, "GET /large.bin", &[&range]).await;
        assert_eq!(
            (answer.status, answer.body.len()),
            (200, 400_000),
            "{range:.60}"
        );
    }
    // Programs that patch files (zsync) request about twenty ranges.
    for count in [8, 9, 20, 32, 256] {
        let several = list(count, &|index| format!("{}-{}", index * 4, index * 4));
        let answer = ask(&app, "GET /large.bin", &[&several]).await;
        assert_eq!((answer.status, parts(&answer).len()), (206, count));
    }
}

#[tokio::test]
async fn a_part_of_a_large_file_is_streamed_from_its_place() {
    let (_folder, app) = site();
    let response = app
        .call(request("GET /large.bin", &["range: bytes=100000-299999"]))
        .await;
    let file = response.body().as_file().unwrap();
    assert_eq!((file.start(), file.length()), (100_000, 200_000));
    let answer = ask(&app, "GET /large.bin", &["range: bytes=100000-299999"]).await;
    assert_eq!(answer.body, large()[100_000..300_000]);
    let several = app
        .call(request("GET /large.bin", &["range: bytes=0-1,9-10"]))
        .await;
    assert!(several.body().as_file().is_none());
}

#[tokio::test]
async fn rfc9110_13_1_5_if_range() {
    let (folder, app) = site();
    let tag = ask(&app, "GET /ten.txt", &[])
        .await
        .header("etag")
        .to_owned();
    let cases = [
        (tag.clone(), 206),
        (format!("W/{tag}"), 200),
        ("\"stale\"".to_owned(), 200),
        (format!("{tag}, \"x\""), 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 206),
        ("Sun Nov  6 08:49:37 1994".to_owned(), 206),
        ("Sun, 06 Nov 1994 08:49:36 GMT".to_owned(), 200),
        ("Sun, 06 Nov 1994 08:49:38 GMT".to_owned(), 200),
        ("garbage".to_owned(), 200),
    ];
    for (value, want) in cases {
        let fields = ["range: bytes=0-1", &format!("if-range: {value}")];
        assert_eq!(status(&app, "GET /ten.txt", &fields).await, want, "{value}");
    }
    let stale = ["range: bytes=99-", "if-range: \"stale\""];
    assert_eq!(status(&app, "GET /ten.txt", &stale).await, 200);

    // The file is replaced between the two requests, so the whole new file is sent.
    folder.file("ten.txt", "9876543210");
    date(&folder.path().join("ten.txt"), 800_000_000);
    let answer = ask(
        &app,
        "GET /ten.txt",
        &["range: bytes=5-", &format!("if-range: {tag}")],
    )
    .await;
    assert_eq!((answer.status, answer.text()), (200, "9876543210"));
}

#[tokio::test]
async fn conditions_come_before_ranges() {
    let (_folder, app) = site();
    let tag = ask(&app, "GET /ten.txt", &[])
        .await
        .header("etag")
        .to_owned();
    let range = "range: bytes=0-1";
    let known = format!("if-none-match: {tag}");
    let cases: &[(&[&str], u16)] = &[
        (&[range, &known], 304),
        (&[range, "if-match: \"x\""], 412),
        (&[range, "if-none-match: \"x\""], 206),
        (&["range: bytes=99-", &known], 304),
    ];
    for (fields, want) in cases {
        assert_eq!(
            status(&app, "GET /ten.txt", fields).await,
            *want,
            "{fields:?}"
        );
    }
}

/// With one part or several, a cache needs the headers that a 200 has.
#[tokio::test]
async fn rfc9110_15_3_7_a_206_has_the_headers_of_a_200() {
    let (_folder, app) = site();
    let app = app
        .precompressed(true)
        .cache_control("*", "max-age=60")
        .header("*", "x-own", "yes");
    let mut whole = ask(&app, "GET /ten.txt", &[]).await.headers;
    assert_eq!(whole["vary"], "accept-encoding");
    for range in ["range: bytes=0-1", "range: bytes=0-1,5-6"] {
        let mut part = ask(&app, "GET /ten.txt", &[range]).await;
        assert_eq!(part.status, 206);
        for own in ["content-length", "content-range", "content-type"] {
            part.headers.remove(own);
            whole.remove(own);
        }
        assert_eq!(part.headers, whole, "{range}");
    }
}

#[tokio::test]
async fn parts_of_files_in_memory() {
    let app = StaticFiles::from_source(Memory::new().with("a.txt", Stored::memory("0123456789")));
    let answer = ask(&app, "GET /a.txt", &["range: bytes=2-3"]).await;
    assert_eq!((answer.status, answer.text()), (206, "23"));
    let answer = ask(&app, "GET /a.txt", &["range: bytes=0-1,5-6"]).await;
    assert_eq!(
        parts(&answer)[1],
        ("bytes 5-6/10".to_owned(), Bytes::from("56"))
    );
}

#[tokio::test]
async fn sparse_and_beyond_four_gigabytes() {
    let (folder, app) = site();
    let path = folder.path().join("sparse.bin");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(5 << 30)
        .expect("the file system has sparse files");
    let answer = ask(&app, "HEAD /sparse.bin", &[]).await;
    assert_eq!(answer.header("content-length"), (5_u64 << 30).to_string());
    let answer = ask(&app, "GET /sparse.bin", &["range: bytes=5368709110-"]).await;
    assert_eq!(
        answer.header("content-range"),
        "bytes 5368709110-5368709119/5368709120"
    );
    assert_eq!(answer.body, [0; 10][..]);
}
