//! The index gives the same responses as the files.

use std::os::unix::fs::symlink;

use vestibule_core::{Mounts, Request};
use vestibule_static::StaticFiles;

use crate::support::{Folder, ask, date};

fn site() -> (Folder, StaticFiles) {
    let folder = Folder::new();
    folder.file("index.html", "<p>home");
    folder.file("a.txt", "0123456789");
    folder.file("b c.txt", "b");
    folder.file("%2e.txt", "percent");
    folder.file("empty.txt", "");
    folder.file("app.js", "let a");
    folder.file("app.js.br", "<br>");
    folder.file("app.js.gz", "<gz>");
    folder.file("sub/index.htm", "<p>htm");
    folder.file("sub/index.html", "<p>html");
    folder.file("sub/deep/x.css", "a{}");
    folder.file("about.html", "<p>about");
    folder.file("both.html", "<p>both");
    folder.file("both/x.txt", "x");
    folder.file("docs.html", "<p>page");
    folder.file("docs/index.html", "<p>folder");
    folder.file("large.bin", vec![b'x'; 1_200_000]);
    folder.file(".env", "SECRET");
    folder.file(".well-known/x", "x");
    symlink(".", folder.path().join("here")).unwrap();
    symlink("..", folder.path().join("sub/up")).unwrap();
    symlink("/etc/passwd", folder.path().join("out")).unwrap();
    let app = StaticFiles::new(folder.path())
        .index(["index.html", "index.htm"])
        .precompressed(true)
        .clean_urls(true)
        .cache_control("*.css", "max-age=60")
        .header("*.txt", "x-text", "yes");
    (folder, app)
}

#[tokio::test]
async fn the_same_as_without_it() {
    let (_folder, files) = site();
    let indexed = files.clone().indexed(1 << 20).unwrap();
    let listed = files.clone().listing(true);
    let listed_index = listed.clone().indexed(1 << 20).unwrap();
    let paths = [
        "/",
        "/?q=1",
        "/a.txt",
        "/a%2etxt",
        "/b%20c.txt",
        "/%252e.txt",
        "/%2e.txt",
        "/empty.txt",
        "/app.js",
        "/app.js.br",
        "/sub",
        "/sub?q",
        "/sub/",
        "/sub/index.htm",
        "/sub/index.html",
        "/sub/index",
        "/sub/deep",
        "/sub/deep/",
        "/sub/deep/x.css",
        "/about",
        "/about/",
        "/about.html",
        "/both",
        "/both/",
        "/docs",
        "/docs/",
        "/large.bin",
        "/.env",
        "/.well-known/x",
        "/out",
        "/here/a.txt",
        "/here/here/here/a.txt",
        "/sub/up/a.txt",
        "/nothing",
        "/a.txt/",
        "/..",
        "/%2e%2e/a.txt",
        "/a%00",
        "//a.txt",
        "/a%2Fb",
        "/.well-known",
    ];
    let fields: [&[&str]; 7] = [
        &[],
        &["accept-encoding: br, gzip"],
        &["accept-encoding: gzip;q=0.5, identity"],
        &["range: bytes=2-4"],
        &["range: bytes=0-0,3-"],
        &["if-none-match: *"],
        &["if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT"],
    ];
    for (files, indexed) in [(files, indexed), (listed, listed_index)] {
        for path in paths {
            for fields in fields {
                for method in ["GET", "HEAD", "POST"] {
                    let line = format!("{method} {path}");
                    let mut want = ask(&files, &line, fields).await;
                    let mut found = ask(&indexed, &line, fields).await;
                    assert_eq!(found.status, want.status, "{line} {fields:?}");
                    // The tags have other inputs; boundaries always differ.
                    assert_eq!(
                        found.headers.remove("etag").is_some(),
                        want.headers.remove("etag").is_some()
                    );
                    if !found.header("content-type").starts_with("multipart") {
                        assert_eq!(found.headers, want.headers, "{line} {fields:?}");
                        assert_eq!(found.body, want.body, "{line} {fields:?}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn below_a_mount() {
    let (_folder, files) = site();
    let app = Mounts::new().at("/m", files.indexed(1 << 20).unwrap());
    for (path, status, location) in [
        ("/m", 308, "/m/"),
        ("/m/", 200, ""),
        ("/m/sub?q", 308, "/m/sub/?q"),
        ("/m/sub/", 200, ""),
        ("/%6d/s%75b", 308, "/%6d/s%75b/"),
    ] {
        let answer = ask(&app, &format!("GET {path}"), &[]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, location),
            "{path}"
        );
    }
}

#[tokio::test]
async fn tags_are_of_the_content() {
    let (folder, files) = site();
    let app = files.clone().indexed(1 << 20).unwrap();
    let first = ask(&app, "GET /a.txt", &[]).await.header("etag").to_owned();
    date(&folder.path().join("a.txt"), 0);
    let app = files.clone().indexed(1 << 20).unwrap();
    let answer = ask(&app, "GET /a.txt", &[]).await;
    assert_eq!(
        (answer.header("etag"), answer.header("last-modified")),
        (&*first, "")
    );
    let known = format!("if-none-match: {first}");
    assert_eq!(ask(&app, "GET /a.txt", &[&known]).await.status, 304);
    let br = ask(&app, "GET /app.js", &["accept-encoding: br"]).await;
    let plain = ask(&app, "GET /app.js", &[]).await;
    assert_ne!(br.header("etag"), plain.header("etag"));
    let large = ask(&app, "GET /large.bin", &[]).await;
    let same = ask(&files, "GET /large.bin", &[]).await;
    assert_eq!(large.header("etag"), same.header("etag"));
}

#[tokio::test]
async fn changes_after_the_scan() {
    let (folder, files) = site();
    let app = files.indexed(1 << 20).unwrap();
    folder.file("new.txt", "new");
    assert_eq!(ask(&app, "GET /new.txt", &[]).await.text(), "new");
    // In memory: the old state until the reload.
    folder.file("a.txt", "changed");
    assert_eq!(ask(&app, "GET /a.txt", &[]).await.text(), "0123456789");
    // Not in memory: the new state.
    folder.file("large.bin", "short");
    assert_eq!(ask(&app, "GET /large.bin", &[]).await.text(), "short");
    std::fs::remove_file(folder.path().join("app.js")).unwrap();
    let clone = app.clone();
    clone.reload().unwrap();
    assert_eq!(ask(&app, "GET /a.txt", &[]).await.text(), "changed");
    assert_eq!(ask(&app, "GET /app.js", &[]).await.status, 404);
}

#[tokio::test]
async fn memory_has_a_limit() {
    let (folder, files) = site();
    for number in 0..20 {
        folder.file(&format!("many/{number}.bin"), [0; 1000]);
    }
    let app = files.clone().indexed(5000).unwrap();
    assert!(app.held_bytes() <= 5000 && app.held_bytes() > 3000);
    assert!(app.files() > 30);
    for number in 0..20 {
        let answer = ask(&app, &format!("GET /many/{number}.bin"), &[]).await;
        assert_eq!((answer.status, answer.body.len()), (200, 1000));
    }
    assert_eq!(files.clone().indexed(0).unwrap().held_bytes(), 0);
    assert!(StaticFiles::new("no such folder").indexed(0).is_err());
}

#[tokio::test]
async fn other_apps_and_pages() {
    let (_folder, files) = site();
    let app = files
        .spa("about.html")
        .or(|_: Request| async { "api" })
        .indexed(1 << 20)
        .unwrap();
    assert_eq!(
        ask(&app, "GET /x", &["accept: text/html"]).await.text(),
        "<p>about"
    );
    assert_eq!(ask(&app, "GET /x", &[]).await.text(), "api");
    assert_eq!(ask(&app, "POST /a.txt", &[]).await.text(), "api");
}
