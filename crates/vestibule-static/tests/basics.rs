//! Paths, statuses and the headers of files.

use vestibule_core::{App, Mounts, Outline, Request};
use vestibule_static::{StaticFiles, Symlinks};

use crate::support::{Folder, ask, date, request, status};

/// Creates a small site.
fn site() -> (Folder, StaticFiles) {
    let folder = Folder::new();
    folder.file("index.html", "<p>home");
    folder.file("a.txt", "0123456789");
    folder.file("app.mjs", "export {}");
    folder.file("empty.txt", "");
    folder.file("sub/index.html", "<p>sub");
    folder.file("sub/b c.txt", "b");
    folder.folder("bare");
    folder.file(".well-known/security.txt", "Contact: x");
    folder.file("large.bin", vec![b'x'; 300_000]);
    let app = StaticFiles::new(folder.path());
    (folder, app)
}

#[tokio::test]
async fn paths() {
    let (_folder, app) = site();
    let cases = [
        ("GET /", 200),
        ("GET /a.txt", 200),
        ("GET /a%2Etxt", 200),
        ("GET /%61.txt", 200),
        ("GET /a.txt?x=1", 200),
        ("GET /a.txt/", 404),
        ("GET /a.txt/b", 404),
        ("GET /A.txt", 404),
        ("GET /sub/", 200),
        ("GET /sub/b%20c.txt", 200),
        ("GET /sub/b+c.txt", 404),
        ("GET /bare", 404),
        ("GET /bare/", 404),
        ("GET /nothing", 404),
        ("GET /nothing/", 404),
        ("GET /.well-known/security.txt", 200),
        ("GET http://example.org/a.txt", 200),
        ("HEAD /a.txt", 200),
        ("HEAD /nothing", 404),
        ("POST /a.txt", 405),
        ("DELETE /nothing", 405),
        ("PROPFIND /", 405),
        ("OPTIONS /a.txt", 204),
        ("OPTIONS *", 204),
    ];
    for (line, want) in cases {
        assert_eq!(status(&app, line, &[]).await, want, "{line}");
    }
}

#[tokio::test]
async fn the_headers_of_a_file() {
    let (_folder, app) = site();
    let answer = ask(&app, "GET /a.txt", &[]).await;
    assert_eq!(answer.text(), "0123456789");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("content-length"), "10");
    assert_eq!(
        answer.header("last-modified"),
        "Sun, 06 Nov 1994 08:49:37 GMT"
    );
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let tag = answer.header("etag");
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() > 8,
        "{tag}"
    );
    assert_eq!(answer.header("vary"), "");

    let mjs = ask(&app, "GET /app.mjs", &[]).await;
    assert_eq!(mjs.header("content-type"), "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn rfc9110_9_3_2_head_is_get_without_the_body() {
    let (_folder, app) = site();
    for path in [
        "/",
        "/a.txt",
        "/empty.txt",
        "/large.bin",
        "/nothing",
        "/sub",
        "/a.txt/",
    ] {
        let get = ask(&app, &format!("GET {path}"), &[]).await;
        let head = ask(&app, &format!("HEAD {path}"), &[]).await;
        assert_eq!(get.status, head.status, "{path}");
        assert_eq!(get.headers, head.headers, "{path}");
    }
}

#[tokio::test]
async fn rfc9110_15_5_6_a_405_has_allow() {
    let (_folder, app) = site();
    for line in ["POST /a.txt", "OPTIONS /a.txt"] {
        let answer = ask(&app, line, &[]).await;
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
    }
}

#[tokio::test]
async fn rfc9110_15_4_9_a_directory_gets_its_slash() {
    let (_folder, app) = site();
    let cases = [
        ("GET /sub", "/sub/"),
        ("GET /sub?a=b&c=d", "/sub/?a=b&c=d"),
        ("GET /s%75b?", "/s%75b/?"),
        ("HEAD /sub", "/sub/"),
    ];
    for (line, location) in cases {
        let answer = ask(&app, line, &[]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (308, location),
            "{line}"
        );
    }
}

#[tokio::test]
async fn below_a_mount() {
    let (folder, app) = site();
    let app = Mounts::new()
        .at("/assets", app)
        .at("/deep/er", StaticFiles::new(folder.path()));
    let cases = [
        ("GET /assets/a.txt", 200, ""),
        ("GET /assets/", 200, ""),
        ("GET /assets", 308, "/assets/"),
        ("GET /assets?q=1", 308, "/assets/?q=1"),
        ("GET /assets/sub?q=1", 308, "/assets/sub/?q=1"),
        ("GET /%61ssets/sub", 308, "/%61ssets/sub/"),
        ("GET /deep/er/sub", 308, "/deep/er/sub/"),
        ("GET /assetsx/a.txt", 404, ""),
        ("GET /assets/../a.txt", 400, ""),
    ];
    for (line, status, location) in cases {
        let answer = ask(&app, line, &[]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, location),
            "{line}"
        );
    }
}

#[tokio::test]
async fn empty_files() {
    let (_folder, app) = site();
    let cases: &[(&[&str], u16)] = &[
        (&[], 200),
        (&["range: bytes=0-"], 200),
        (&["range: bytes=0-0"], 200),
        (&["range: bytes=-1"], 200),
    ];
    for (fields, want) in cases {
        let answer = ask(&app, "GET /empty.txt", fields).await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (*want, "0"),
            "{fields:?}"
        );
        assert_eq!(answer.header("content-range"), "");
    }
}

#[tokio::test]
async fn large_files_stream_and_small_ones_are_whole() {
    let (_folder, app) = site();
    let small = app.call(request("GET /a.txt", &[])).await;
    assert!(small.body().is_buffered());
    let file = small.body().as_file().unwrap();
    assert!(file.path().ends_with("a.txt") && file.file().is_some());

    let large = app.call(request("GET /large.bin", &[])).await;
    assert!(!large.body().is_buffered());
    assert_eq!(large.body().as_file().unwrap().length(), 300_000);
    let answer = ask(&app, "GET /large.bin", &[]).await;
    assert_eq!(answer.body.len(), 300_000);
    assert!(answer.body.iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn constant_times_of_archives_are_not_sent() {
    let (folder, app) = site();
    for (unix, has_date) in [
        (0, false),
        (1, false),
        (2, true),
        (-5, true),
        (784_111_777, true),
    ] {
        date(&folder.path().join("a.txt"), unix);
        let answer = ask(&app, "GET /a.txt", &[]).await;
        // The tag then covers the inode.
        let tag = answer.header("etag").to_owned();
        assert_eq!(tag.len(), 18, "{unix}: {tag}");
        assert_eq!(
            !answer.header("last-modified").is_empty(),
            has_date,
            "{unix}"
        );
        let known = format!("if-none-match: {tag}");
        assert_eq!(status(&app, "GET /a.txt", &[&known]).await, 304, "{unix}");
        let later = ask(
            &app,
            "GET /a.txt",
            &["if-modified-since: Sun, 06 Nov 2094 08:49:37 GMT"],
        )
        .await;
        assert_eq!(later.status, if has_date { 304 } else { 200 }, "{unix}");
    }
    date(&folder.path().join("a.txt"), -5);
    let answer = ask(&app, "GET /a.txt", &[]).await;
    assert_eq!(
        answer.header("last-modified"),
        "Wed, 31 Dec 1969 23:59:55 GMT"
    );
    // RFC 9110, section 8.8.2.1: never later than now.
    date(&folder.path().join("a.txt"), 7_258_118_400);
    let answer = ask(&app, "GET /a.txt", &[]).await;
    assert!(!answer.header("last-modified").contains("2200"));
}

#[tokio::test]
async fn rfc9110_13_conditions() {
    let (_folder, app) = site();
    let tag = ask(&app, "GET /a.txt", &[]).await.header("etag").to_owned();
    let known = format!("if-none-match: {tag}");
    let weak = format!("if-none-match: \"x\", W/{tag}");
    let same = format!("if-match: {tag}");
    let weak_same = format!("if-match: W/{tag}");
    let modified = "if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT";
    let cases: &[(&[&str], u16)] = &[
        (&[&known], 304),
        (&[&weak], 304),
        (&["if-none-match: *"], 304),
        (&["if-none-match: \"x\""], 200),
        (&["if-none-match: \"x\"", modified], 200),
        (&[modified], 304),
        (&["if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT"], 200),
        (&[&same], 200),
        (&["if-match: *"], 200),
        (&[&weak_same], 412),
        (&["if-match: \"x\""], 412),
        (&["if-unmodified-since: Sun, 06 Nov 1994 08:49:36 GMT"], 412),
        (&["if-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT"], 200),
        (&["if-match: \"x\"", &known], 412),
        (&[&same, &known], 304),
    ];
    for (fields, want) in cases {
        assert_eq!(
            status(&app, "GET /a.txt", fields).await,
            *want,
            "{fields:?}"
        );
        assert_eq!(
            status(&app, "HEAD /a.txt", fields).await,
            *want,
            "HEAD {fields:?}"
        );
    }
    assert_eq!(
        status(&app, "GET /nothing", &["if-none-match: *"]).await,
        404
    );
    assert_eq!(status(&app, "GET /nothing", &["if-match: *"]).await, 404);

    let answer = ask(&app, "GET /a.txt", &[&known]).await;
    assert_eq!(answer.header("etag"), tag);
    for absent in [
        "content-type",
        "content-length",
        "last-modified",
        "content-range",
    ] {
        assert_eq!(answer.header(absent), "", "{absent}");
    }
}

#[tokio::test]
async fn missing_files_go_to_the_other_app() {
    let (folder, app) = site();
    folder.file(".env", "secret");
    let app =
        app.or(
            |request: Request| async move { format!("app {} {}", request.method(), request.uri()) },
        );
    let cases = [
        ("GET /a.txt", "0123456789"),
        ("GET /nothing?q", "app GET /nothing?q"),
        ("GET /bare/", "app GET /bare/"),
        ("GET /.env", "app GET /.env"),
        ("POST /a.txt", "app POST /a.txt"),
        ("OPTIONS /a.txt", "app OPTIONS /a.txt"),
        // Only empty segments are corrected; with dots the path is ambiguous.
        ("GET /a//b", "308 Permanent Redirect\n"),
        ("GET /a//../b", "400 Bad Request\n"),
    ];
    for (line, text) in cases {
        assert_eq!(ask(&app, line, &[]).await.text(), text, "{line}");
    }
}

#[tokio::test]
async fn options() {
    let (folder, app) = site();
    folder.file("sub/main.htm", "<p>main");
    folder.file(".env", "open");
    let app = app.index(["main.htm", "index.html"]).dotfiles(true);
    assert_eq!(ask(&app, "GET /sub/", &[]).await.text(), "<p>main");
    assert_eq!(ask(&app, "GET /", &[]).await.text(), "<p>home");
    assert_eq!(ask(&app, "GET /.env", &[]).await.text(), "open");
    let app = app.index([""; 0]);
    assert_eq!(status(&app, "GET /", &[]).await, 404);
    assert_eq!(status(&app, "GET /sub", &[]).await, 404);
}

#[tokio::test]
async fn outlines() {
    let app = StaticFiles::new("public").symlinks(Symlinks::Deny);
    let outline = Outline::of(&app.or(|_: Request| async {}));
    assert_eq!(outline.name(), "StaticFiles");
    let options: Vec<_> = outline.options().collect();
    assert!(options.contains(&("root", "public")) && options.contains(&("index", "index.html")));
    assert!(options.contains(&("symlinks", "deny")), "{options:?}");
    assert_eq!(outline.mounts().count(), 1);
}

#[tokio::test]
async fn a_root_that_is_created_later_is_found() {
    let folder = Folder::new();
    let root = folder.path().join("later");
    assert!(StaticFiles::try_new(&root).is_err());
    let app = StaticFiles::new(&root);
    assert_eq!(status(&app, "GET /a.txt", &[]).await, 404);
    folder.file("later/a.txt", "a");
    assert_eq!(status(&app, "GET /a.txt", &[]).await, 200);
    assert!(StaticFiles::try_new(folder.file("file", "")).is_err());
}
