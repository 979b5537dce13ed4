//! Files that change while they are sent: logs, recordings, builds.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use vestibule::files::StaticFiles;
use vestibule_test::Answer;

use super::{Connection, Folder, Site, VERSIONS};

/// More than the socket buffers between server and client hold, so that the response is not
/// complete when the file changes.
const SIZE: usize = 16 << 20;

fn append(path: &Path, bytes: &[u8]) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn overwrite(path: &Path, start: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(start)).unwrap();
    file.write_all(bytes).unwrap();
}

fn set_length(path: &Path, length: usize) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(length as u64).unwrap();
}

/// A change, and whether the response is complete in spite of it.
type Case = (&'static str, fn(&Path), bool);

const CASES: [Case; 15] = [
    ("a line is appended", |path| append(path, b"a line\n"), true),
    (
        "as much again is appended",
        |path| append(path, &vec![b'b'; SIZE]),
        true,
    ),
    (
        "a hundred lines are appended",
        |path| (0..100).for_each(|_| append(path, b"a line\n")),
        true,
    ),
    (
        "it is made longer by a hole",
        |path| set_length(path, SIZE * 2),
        true,
    ),
    (
        "it is rotated by its name",
        |path| {
            fs::rename(path, path.with_extension("1")).unwrap();
            fs::write(path, "anew").unwrap();
        },
        true,
    ),
    (
        "it is appended to and removed",
        |path| {
            append(path, b"last");
            fs::remove_file(path).unwrap();
        },
        true,
    ),
    (
        "it has a second name",
        |path| fs::hard_link(path, path.with_extension("2")).unwrap(),
        true,
    ),
    ("it is emptied", |path| set_length(path, 0), false),
    (
        "its end is cut off",
        |path| set_length(path, SIZE - 1),
        false,
    ),
    (
        "it is copied, emptied and written to",
        |path| {
            set_length(path, 0);
            append(path, b"a line\n");
        },
        false,
    ),
    (
        "it is rewritten, and longer",
        |path| fs::write(path, vec![b'b'; SIZE + 100]).unwrap(),
        false,
    ),
    (
        "it is rewritten with the same length",
        |path| fs::write(path, vec![b'b'; SIZE]).unwrap(),
        false,
    ),
    (
        "its end is overwritten and it grows",
        |path| overwrite(path, SIZE as u64 - 10, b"a longer end"),
        false,
    ),
    (
        "its head gets the length of the recording",
        |path| {
            overwrite(path, 4, &[0; 4]);
            append(path, b"index");
        },
        false,
    ),
    (
        "it is longer, and its time set back",
        |path| {
            append(path, b"more");
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(700_000_000))
                .unwrap();
        },
        false,
    ),
];

#[tokio::test]
async fn a_file_that_only_grows_is_sent_to_its_opening_length() {
    // The whole file, a part, and several parts: the ranges of the file that are sent.
    let asked = [("", 0), ("bytes=100-", 100)];
    for version in VERSIONS {
        for (name, change, is_whole) in CASES {
            for (range, start) in asked {
                let folder = Folder::with(&[("app.log", &vec![b'a'; SIZE])]);
                let site = Site::start(StaticFiles::new(folder.path())).await;
                let mut connection = Connection::open(site.address, version).await;
                let mut text = "GET /app.log HTTP/1.1".to_owned();
                if !range.is_empty() {
                    text += &format!("\nrange: {range}");
                }
                let response = connection.send(&text).await;
                change(&folder.path().join("app.log"));
                let answer = Answer::read(response).await;
                let case = format!("{version:?}, {name}, {range}: {:?}", answer.error);
                assert_eq!(answer.status, if start == 0 { 200 } else { 206 }, "{case}");
                assert_eq!(
                    answer.header("content-length"),
                    (SIZE - start).to_string(),
                    "{case}"
                );
                assert_eq!(answer.error.is_none(), is_whole, "{case}");
                assert_eq!(answer.body.len() == SIZE - start, is_whole, "{case}");
                // Neither padded nor mixed.
                assert!(answer.body.iter().all(|&byte| byte == b'a'), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn several_parts_of_a_growing_file() {
    for (name, change, is_whole) in CASES {
        let folder = Folder::with(&[("app.log", &vec![b'a'; SIZE])]);
        let site = Site::start(StaticFiles::new(folder.path())).await;
        let mut connection = Connection::open(site.address, VERSIONS[0]).await;
        let range = format!("bytes=0-9,100-{},-20", SIZE - 1000);
        let text = format!("GET /app.log HTTP/1.1\nrange: {range}");
        let response = connection.send(&text).await;
        change(&folder.path().join("app.log"));
        let answer = Answer::read(response).await;
        assert_eq!(answer.status, 206, "{name}");
        let length: usize = answer.header("content-length").parse().unwrap();
        assert_eq!(answer.error.is_none(), is_whole, "{name}");
        assert_eq!(answer.body.len() == length, is_whole, "{name}");
    }
}

/// The ways in which clients continue to read a log: each request is sent after the log has grown
/// by a line.
#[tokio::test]
async fn a_log_that_has_grown_between_two_requests() {
    const LINE: &str = "2026-01-01 00:00:00 a line\n";
    let folder = Folder::with(&[("app.log", LINE.repeat(10).as_bytes())]);
    let path = folder.path().join("app.log");
    let live = Site::start(StaticFiles::new(folder.path())).await;
    let files = StaticFiles::new(folder.path());
    let indexed = Site::start(files.indexed(0).unwrap()).await;
    for site in [&live, &indexed] {
        let [first, _] = site.ask("GET /app.log HTTP/1.1").await;
        let length = first.body.len();
        let (tag, date) = (
            first.header("etag").to_owned(),
            first.header("last-modified").to_owned(),
        );
        append(&path, LINE.as_bytes());
        let now = length + LINE.len();
        let cases = [
            // Without a condition the new bytes are sent: `tail`, `wget -c`, `curl -C -`.
            (format!("GET|range: bytes={length}-"), 206, LINE.len()),
            ("GET|range: bytes=-5".to_owned(), 206, 5),
            ("GET|".to_owned(), 200, now),
            ("HEAD|".to_owned(), 200, 0),
            // By the condition, the client has another version, so it starts again.
            (
                format!("GET|range: bytes={length}-\nif-range: {tag}"),
                200,
                now,
            ),
            (
                format!("GET|range: bytes={length}-\nif-range: {date}"),
                200,
                now,
            ),
            (format!("GET|if-none-match: {tag}"), 200, now),
            (format!("GET|if-match: {tag}"), 412, 24),
            // There are no more bytes.
            (format!("GET|range: bytes={now}-"), 416, 26),
        ];
        for (case, status, bytes) in cases {
            let (method, fields) = case.split_once('|').unwrap();
            let text = format!("{method} /app.log HTTP/1.1\n{fields}");
            for answer in site.ask(text.trim()).await {
                assert_eq!(answer.status, status, "{case}");
                assert_eq!(answer.body.len(), bytes, "{case}");
                assert_eq!(answer.error, None, "{case}");
            }
        }
        let [head, _] = site.ask("HEAD /app.log HTTP/1.1").await;
        assert_eq!(head.header("content-length"), now.to_string());
        let [none, _] = site
            .ask(&format!("GET /app.log HTTP/1.1\nrange: bytes={now}-"))
            .await;
        assert_eq!(none.header("content-range"), format!("bytes */{now}"));
    }
}
