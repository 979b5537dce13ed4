//! Entity tags of replicas, of releases that are rolled back, and of files without unique times.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vestibule::files::StaticFiles;

use super::{Folder, Site};

fn set_time(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// Returns 2026-01-01 00:00:00 UTC plus `nanoseconds`.
fn moment(nanoseconds: u32) -> SystemTime {
    UNIX_EPOCH + Duration::new(1_767_225_600, nanoseconds)
}

async fn tag(site: &Site, path: &str, fields: &str) -> String {
    let [first, second] = site
        .ask(format!("GET {path} HTTP/1.1\n{fields}").trim())
        .await;
    assert_eq!(first.header("etag"), second.header("etag"), "{path}");
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "{path} {fields}: {first:?}");
    tag
}

#[tokio::test]
async fn replicas_share_tags() {
    let replica = || {
        let text = vec![b'x'; 300_000];
        let files: [(&str, &[u8]); 5] = [
            ("small.txt", b"hello"),
            ("large.bin", &text),
            ("app.js", b"let a = 1"),
            ("app.js.br", b"<br>"),
            ("index.html", b"<p>"),
        ];
        let folder = Folder::with(&files);
        for (name, _) in files {
            set_time(&folder.path().join(name), moment(123_456_789));
        }
        folder
    };
    let folders = [replica(), replica()];
    let paths = [
        ("/small.txt", ""),
        ("/large.bin", ""),
        ("/large.bin", "range: bytes=5-"),
        ("/app.js", ""),
        ("/app.js", "accept-encoding: br"),
        ("/app.js.br", ""),
        ("/", ""),
    ];
    for memory in [None, Some(0), Some(1 << 20)] {
        let mut sites = Vec::new();
        for folder in &folders {
            let files = StaticFiles::new(folder.path()).precompressed(true);
            sites.push(match memory {
                None => Site::start(files).await,
                Some(memory) => Site::start(files.indexed(memory).unwrap()).await,
            });
        }
        let mut tags = Vec::new();
        for (path, fields) in paths {
            let (one, other) = (
                tag(&sites[0], path, fields).await,
                tag(&sites[1], path, fields).await,
            );
            assert_eq!(one, other, "{path} {fields} {memory:?}");
            // A download that started at one replica continues at the other.
            let text = format!("GET {path} HTTP/1.1\n{fields}\nrange: bytes=1-\nif-range: {one}");
            if !fields.contains("range") {
                for answer in sites[1].ask(&text.replace("\n\n", "\n")).await {
                    assert_eq!(answer.status, 206, "{path} {fields} {memory:?}");
                }
            }
            let text = format!("GET {path} HTTP/1.1\n{fields}\nif-none-match: {one}");
            for answer in sites[1].ask(&text.replace("\n\n", "\n")).await {
                assert_eq!(answer.status, 304, "{path} {fields} {memory:?}");
            }
            tags.push(one);
        }
        // The sidecar by negotiation, the sidecar by its own name, and the file have three tags.
        assert_ne!(tags[3], tags[4]);
        assert_ne!(tags[4], tags[5]);
        assert_ne!(tags[3], tags[5]);
    }
}

#[tokio::test]
async fn changes_that_give_another_tag() {
    use std::os::unix::fs::MetadataExt;

    let second = Duration::from_secs(1);
    // The time of each file, their contents, and whether the tags are equal.
    let cases = [
        ("the same time", moment(5), moment(5), "hello", true),
        ("a nanosecond later", moment(5), moment(6), "hello", false),
        (
            "a copy of whole seconds",
            moment(5),
            moment(0),
            "hello",
            false,
        ),
        (
            "two copies of whole seconds",
            moment(0),
            moment(0),
            "hello",
            true,
        ),
        ("another length", moment(5), moment(5), "hello!", false),
        ("epoch", UNIX_EPOCH, UNIX_EPOCH, "hello", false),
        (
            "Nix",
            UNIX_EPOCH + second,
            UNIX_EPOCH + second,
            "hello",
            false,
        ),
        (
            "npm",
            UNIX_EPOCH + second * 499_162_500,
            UNIX_EPOCH + second * 499_162_500,
            "hello",
            false,
        ),
        (
            "ahead of the clock",
            SystemTime::now() + second * 3600,
            SystemTime::now() + second * 3600,
            "hello",
            false,
        ),
    ];
    for (name, time, other_time, other_content, is_same) in cases {
        let folders = [
            Folder::with(&[("a.txt", b"hello")]),
            Folder::with(&[("a.txt", other_content.as_bytes())]),
        ];
        set_time(&folders[0].path().join("a.txt"), time);
        set_time(&folders[1].path().join("a.txt"), other_time);
        let mut tags = Vec::new();
        for folder in &folders {
            let site = Site::start(StaticFiles::new(folder.path())).await;
            let tag = tag(&site, "/a.txt", "").await;
            // The tag does not reveal the inode.
            let inode = fs::metadata(folder.path().join("a.txt")).unwrap().ino();
            assert!(
                !tag.contains(&format!("{inode:x}")) || inode < 0x1000,
                "{name}: {tag}"
            );
            assert_eq!(tag.len(), 18, "{name}: {tag}");
            // The tag does not change while the file does not.
            let known = format!("GET /a.txt HTTP/1.1\nif-none-match: {tag}");
            for answer in site.ask(&known).await {
                assert_eq!(answer.status, 304, "{name}");
            }
            tags.push(tag);
        }
        assert_eq!(tags[0] == tags[1], is_same, "{name}: {tags:?}");
    }
}

/// A file of the same length and time replaces the first one.
#[tokio::test]
async fn a_replaced_file_has_another_tag_when_the_time_is_not_unique() {
    let second = Duration::from_secs(1);
    for time in [
        UNIX_EPOCH,
        UNIX_EPOCH + second,
        SystemTime::now() + second * 60,
    ] {
        let folder = Folder::with(&[("a.txt", b"one"), ("b.txt", b"two")]);
        let (a, b) = (folder.path().join("a.txt"), folder.path().join("b.txt"));
        set_time(&a, time);
        set_time(&b, time);
        let site = Site::start(StaticFiles::new(folder.path())).await;
        let old = tag(&site, "/a.txt", "").await;
        fs::rename(b, a).unwrap();
        let conditions = [
            (format!("if-none-match: {old}"), 200, "two"),
            (format!("range: bytes=1-\nif-range: {old}"), 200, "two"),
            (format!("if-match: {old}"), 412, "412 Precondition Failed\n"),
        ];
        for (fields, status, content) in conditions {
            for answer in site.ask(&format!("GET /a.txt HTTP/1.1\n{fields}")).await {
                assert_eq!(
                    (answer.status.as_u16(), &*answer.text()),
                    (status, content),
                    "{fields}"
                );
            }
        }
    }
}

/// While a file is too new for the resolution of the clock, its tag covers the inode. A client that
/// got this tag can continue to use it.
#[tokio::test]
async fn the_tag_of_a_new_file_is_known_when_it_is_old() {
    let folder = Folder::with(&[
        ("a.bin", &vec![b'x'; 300_000]),
        ("a.js", b"let a"),
        ("a.js.br", b"<br>"),
    ]);
    let site = Site::start(StaticFiles::new(folder.path()).precompressed(true)).await;
    // A time in whole seconds counts as new for two seconds.
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let modified = UNIX_EPOCH + Duration::from_secs(second.as_secs());
    for name in ["a.bin", "a.js", "a.js.br"] {
        set_time(&folder.path().join(name), modified);
    }
    let asked = [
        ("/a.bin", ""),
        ("/a.js", ""),
        ("/a.js", "accept-encoding: br\n"),
    ];
    let mut new = Vec::new();
    for (path, fields) in asked {
        new.push(tag(&site, path, fields).await);
    }
    let is_new = || modified.elapsed().unwrap() < Duration::from_secs(2);
    assert!(is_new(), "the machine is too slow for this test");
    while is_new() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for ((path, fields), new) in asked.into_iter().zip(new) {
        let old = tag(&site, path, fields).await;
        assert_ne!(old, new);
        for tag in [new, old] {
            for (condition, status) in [
                (format!("if-none-match: {tag}"), 304),
                (format!("if-none-match: \"x\", W/{tag}"), 304),
                (format!("if-match: {tag}"), 200),
                (format!("range: bytes=1-\nif-range: {tag}"), 206),
                (format!("range: bytes=1-\nif-range: W/{tag}"), 200),
            ] {
                let text = format!("GET {path} HTTP/1.1\n{fields}{condition}");
                for answer in site.ask(&text).await {
                    assert_eq!(answer.status, status, "{path} {condition}");
                    if !condition.contains("if-range: W/") {
                        assert_eq!(answer.header("etag"), tag, "{path} {condition}");
                    }
                }
            }
        }
    }
}

/// A file is found in the index even when its tag has changed since.
#[tokio::test]
async fn a_file_that_was_new_when_it_was_indexed_is_found_with_its_later_tag() {
    let folder = Folder::with(&[("a.bin", &vec![b'x'; 300_000])]);
    let path = folder.path().join("a.bin");
    set_time(&path, SystemTime::now() + Duration::from_secs(3600));
    let site = Site::start(StaticFiles::new(folder.path()).indexed(0).unwrap()).await;
    let new = tag(&site, "/a.bin", "").await;
    set_time(&path, moment(1));
    let old = tag(&site, "/a.bin", "").await;
    assert_ne!(new, old);
    for (known, status) in [(&new, 200), (&old, 304)] {
        for answer in site
            .ask(&format!("GET /a.bin HTTP/1.1\nif-none-match: {known}"))
            .await
        {
            assert_eq!(answer.status, status);
        }
    }
}
