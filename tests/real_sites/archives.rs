//! A folder as a tar or zip archive, unpacked by `tar` and by Python.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use vestibule::files::{Memory, StaticFiles, Stored};
use vestibule::http::Version;

use super::{Connection, Folder, Site};

/// Returns all files below a folder by name; folders end in a slash.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            assert!(!path.is_symlink(), "{name}");
            if path.is_dir() {
                found.insert(name + "/", Vec::new());
                folders.push(path);
            } else {
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Unpacks an archive with the common tools.
fn unpack(format: &str, archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let place = Folder::with(&[("archive", archive)]);
    let target = place.path().join("target");
    fs::create_dir_all(&target).unwrap();
    let archive = place.path().join("archive");
    let mut command = match format {
        "tar" => Command::new("tar"),
        _ => Command::new("python3"),
    };
    match format {
        "tar" => command.arg("-xf").arg(&archive).arg("-C").arg(&target),
        _ => command
            .args(["-m", "zipfile", "-e"])
            .arg(&archive)
            .arg(&target),
    };
    let done = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    content(&target)
}

#[tokio::test]
async fn the_archive_has_exactly_the_listed_files() {
    let outside = Folder::with(&[("secret", b"secret")]);
    let large: Vec<u8> = (0..1_000_003_u32).map(|it| (it % 251) as u8).collect();
    let long = "long-name-".repeat(15);
    let deep = format!("a/{long}/{long}/{long}");
    let deep = format!("{deep}/file.txt");
    let folder = Folder::with(&[
        ("a/empty.txt", b""),
        ("a/512.bin", &[7; 512]),
        ("a/b/c/d.txt", b"d"),
        ("a/caf\u{e9} \u{1f600}.txt", b"utf-8"),
        ("a/sp ace & <b>.txt", b"spaces"),
        ("a/.env", b"secret"),
        ("a/.git/config", b"secret"),
        ("a/hidden/x", b"secret"),
        ("a/y.bak", b"secret"),
        ("a/with/index.html", b"page"),
        (&deep, b"deep"),
        ("a/large.bin", &large),
        ("other/x", b"secret"),
    ]);
    let root = folder.path();
    fs::create_dir_all(root.join("a/void")).unwrap();
    symlink("b", root.join("a/link")).unwrap();
    symlink("..", root.join("a/b/up")).unwrap();
    symlink(outside.path(), root.join("a/out")).unwrap();
    symlink(outside.path().join("secret"), root.join("a/out.txt")).unwrap();

    let files = StaticFiles::new(root)
        .listing(true)
        .archives(true)
        .hide("hidden")
        .hide("*.bak");
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
    for site in [live, indexed] {
        for format in ["tar", "zip"] {
            let query = format!("/a/?archive={format}");
            for answer in site
                .ask(&format!("GET {query} HTTP/1.1\nrange: bytes=0-9"))
                .await
            {
                assert_eq!(
                    (answer.status.as_u16(), answer.error.as_deref()),
                    (200, None),
                    "{format}"
                );
                let name = format!("attachment; filename=\"a.{format}\"");
                assert_eq!(answer.header("content-disposition"), name);
                assert_eq!(answer.header("cache-control"), "no-cache");
                assert_eq!(answer.header("content-length"), "");
                let found = unpack(format, &answer.body);
                assert!(
                    !found.values().any(|it| it == b"secret"),
                    "{:?}",
                    found.keys()
                );
                assert!(
                    found.keys().all(|name| name.starts_with("a/")),
                    "{:?}",
                    found.keys()
                );
                for (name, want) in [
                    ("a/empty.txt", &b""[..]),
                    ("a/512.bin", &[7; 512]),
                    ("a/b/c/d.txt", b"d"),
                    ("a/caf\u{e9} \u{1f600}.txt", b"utf-8"),
                    ("a/sp ace & <b>.txt", b"spaces"),
                    ("a/with/index.html", b"page"),
                    (&deep, b"deep"),
                    ("a/large.bin", &large),
                    ("a/void/", b""),
                    // Links are followed once.
                    ("a/link/c/d.txt", b"d"),
                    ("a/b/up/empty.txt", b""),
                ] {
                    assert_eq!(
                        found.get(name).map(Vec::as_slice),
                        Some(want),
                        "{format}: {name}"
                    );
                }
                for hidden in [
                    "a/.env",
                    "a/y.bak",
                    "a/out.txt",
                    "a/hidden/",
                    "a/link/up/",
                    "a/b/up/b/up/",
                ] {
                    assert!(!found.contains_key(hidden), "{format}: {hidden}");
                }
            }
            for answer in site.ask(&format!("HEAD {query} HTTP/1.1")).await {
                assert_eq!(answer.status, 200);
                assert!(answer.body.is_empty() && answer.header("content-length").is_empty());
            }
        }
        for answer in site.ask("GET /a/ HTTP/1.1").await {
            assert!(
                answer
                    .text()
                    .contains("<button name=\"archive\" value=\"zip\">")
            );
            assert!(
                answer
                    .header("content-security-policy")
                    .ends_with("form-action 'self'")
            );
        }
        // A folder with an index page has no listing, and a file has no such query.
        for answer in site.ask("GET /a/with/?archive=tar HTTP/1.1").await {
            assert_eq!(answer.text(), "page");
        }
        for answer in site.ask("GET /a/512.bin?archive=tar HTTP/1.1").await {
            assert_eq!(answer.body.len(), 512);
        }
        for answer in site.ask("GET /a?archive=tar HTTP/1.1").await {
            assert_eq!(answer.header("location"), "/a/?archive=tar");
        }
        for answer in site.ask("GET /.git/?archive=tar HTTP/1.1").await {
            assert_eq!(answer.status, 404);
        }
    }
}

#[tokio::test]
async fn archives_are_off_by_default() {
    let folder = Folder::with(&[("a/x", b"x")]);
    let listed = StaticFiles::new(folder.path()).listing(true);
    let not_listed = StaticFiles::new(folder.path()).archives(true);
    for (files, status) in [(listed, 200), (not_listed, 404)] {
        let site = Site::start(files).await;
        for answer in site.ask("GET /a/?archive=tar HTTP/1.1").await {
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("content-disposition"), "");
            assert!(!answer.text().contains("<button"));
        }
    }
}

#[tokio::test]
async fn files_in_memory_and_many_small_files() {
    let mut files = Memory::new();
    for number in 0..2000 {
        files = files.with(
            &format!("d{}/f{number}", number % 7),
            Stored::memory(format!("{number}")),
        );
    }
    let site = Site::start(StaticFiles::from_source(files).listing(true).archives(true)).await;
    for format in ["tar", "zip"] {
        for answer in site.ask(&format!("GET /?archive={format} HTTP/1.1")).await {
            let found = unpack(format, &answer.body);
            assert_eq!(found.values().filter(|it| !it.is_empty()).count(), 2000);
            assert_eq!(found["files/d4/f1999"], b"1999");
        }
    }
}

#[tokio::test]
async fn a_file_that_may_not_be_opened_and_its_sidecars_are_left_out() {
    let folder = Folder::with(&[
        ("a/closed.txt", b"secret"),
        ("a/closed.txt.gz", b"secret"),
        ("a/closed.txt.br", b"secret"),
        ("a/open.txt", b"open"),
        ("a/open.txt.gz", b"packed"),
    ]);
    let source = super::header_rules::Guarded::new(folder.path(), "a/closed.txt");
    let files = StaticFiles::from_source(source)
        .listing(true)
        .archives(true);
    let site = Site::start(files).await;
    for format in ["tar", "zip"] {
        for answer in site
            .ask(&format!("GET /a/?archive={format} HTTP/1.1"))
            .await
        {
            let found = unpack(format, &answer.body);
            let names: Vec<_> = found.keys().map(String::as_str).collect();
            assert_eq!(names, ["a/", "a/open.txt", "a/open.txt.gz"], "{format}");
        }
    }
}

#[tokio::test]
async fn a_file_that_grows_is_sent_with_the_length_that_it_was_opened_with() {
    let folder = Folder::with(&[("a/0.log", &[b'x'; 20_000_000]), ("a/z", b"z")]);
    let files = StaticFiles::new(folder.path()).listing(true).archives(true);
    let site = Site::start(files).await;
    let mut connection = Connection::open(site.address, Version::HTTP_11).await;
    for format in ["tar", "zip"] {
        let length = fs::metadata(folder.path().join("a/0.log")).unwrap().len();
        let request = format!("GET /a/?archive={format} HTTP/1.1");
        let mut body = connection.send(&request).await.into_body();
        let mut archive = Vec::new();
        while let Some(frame) = body.frame().await {
            let is_first = archive.is_empty();
            archive.extend_from_slice(&frame.unwrap().into_data().unwrap());
            if is_first {
                let mut log = fs::File::options()
                    .append(true)
                    .open(folder.path().join("a/0.log"))
                    .unwrap();
                log.write_all(b"more").unwrap();
            }
        }
        let found = unpack(format, &archive);
        assert_eq!(found["a/0.log"].len() as u64, length, "{format}");
        assert_eq!(found["a/z"], b"z", "{format}");
    }
}

/// A file that is truncated during the transfer ends the body with an error, so that no client
/// accepts a partial archive.
#[tokio::test]
async fn a_file_that_is_cut_ends_the_archive_in_an_error() {
    for version in super::VERSIONS {
        for format in ["tar", "zip"] {
            let folder = Folder::with(&[("a/large.bin", &vec![1; 40_000_000]), ("a/z", b"z")]);
            let files = StaticFiles::new(folder.path()).listing(true).archives(true);
            let site = Site::start(files).await;
            let mut connection = Connection::open(site.address, version).await;
            let request = format!("GET /a/?archive={format} HTTP/1.1");
            let mut body = connection.send(&request).await.into_body();
            let first = body.frame().await.unwrap();
            assert!(first.is_ok());
            fs::write(folder.path().join("a/large.bin"), b"cut").unwrap();
            let mut length = 0;
            let error = loop {
                match body.frame().await {
                    Some(Ok(frame)) => length += frame.into_data().map_or(0, |data| data.len()),
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            let is_cut = length < 40_000_000;
            assert!(
                is_cut && error.is_some(),
                "{version:?} {format}: {length} bytes, {error:?}"
            );
            if version == Version::HTTP_2 {
                // The connection stays usable.
                let other = connection.send("GET /a/z HTTP/1.1").await;
                assert_eq!(other.status(), 200);
            }
        }
    }
}
