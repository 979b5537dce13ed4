//! Sidecars that are sent instead of files.

use vestibule_static::StaticFiles;

use crate::support::{Folder, ask, date};

const MADE: i64 = 784_111_777;

/// Creates a script with three sidecars, and files with fewer.
fn site() -> (Folder, StaticFiles) {
    let folder = Folder::new();
    folder.file("app.js", "let identity");
    folder.file("app.js.br", "<br>");
    folder.file("app.js.zst", b"\x28\xb5\x2f\xfd\x00\x50<zst>");
    folder.file("app.js.gz", "<gz>");
    folder.file("only.css", "a{}");
    folder.file("only.css.gz", "<gz>");
    folder.file("bare.css", "b{}");
    folder.file("photo.avif", "avif");
    folder.file("photo.avif.br", "<br>");
    folder.file("index.html", "<p>");
    folder.file("index.html.br", "<br>");
    let app = StaticFiles::new(folder.path()).precompressed(true);
    (folder, app)
}

#[tokio::test]
async fn rfc9110_12_5_3_negotiation() {
    let (_folder, app) = site();
    let cases = [
        ("/app.js", "gzip, deflate, br, zstd", "br"),
        ("/app.js", "gzip, zstd", "zstd"),
        ("/app.js", "gzip", "gzip"),
        ("/app.js", "GZIP", "gzip"),
        ("/app.js", "x-gzip", "gzip"),
        ("/app.js", "*", "br"),
        ("/app.js", "gzip;q=1, br;q=0.1", "gzip"),
        ("/app.js", "br;q=0, *;q=0.1", "zstd"),
        ("/app.js", "identity;q=1, gzip;q=0.5", ""),
        ("/app.js", "gzip;q=0", ""),
        ("/app.js", "deflate", ""),
        ("/app.js", "identity", ""),
        ("/app.js", "identity;q=0, gzip", "gzip"),
        ("/app.js", "gzip;q=0.001", "gzip"),
        ("/only.css", "br, gzip", "gzip"),
        ("/only.css", "br", ""),
        ("/bare.css", "br, gzip", ""),
        ("/bare.css", "identity;q=0", ""),
        ("/photo.avif", "br", ""),
        ("/", "br", "br"),
        ("/index.html", "br", "br"),
    ];
    for (path, accept, want) in cases {
        let answer = ask(
            &app,
            &format!("GET {path}"),
            &[&format!("accept-encoding: {accept}")],
        )
        .await;
        assert_eq!(
            (answer.status, answer.header("content-encoding")),
            (200, want),
            "{path} {accept}"
        );
    }
    let absent = ask(&app, "GET /app.js", &[]).await;
    assert_eq!(absent.text(), "let identity");
}

#[tokio::test]
async fn an_encoded_response_has_the_headers_of_its_file() {
    let (_folder, app) = site();
    let answer = ask(&app, "GET /app.js", &["accept-encoding: br"]).await;
    assert_eq!(answer.text(), "<br>");
    assert_eq!(answer.header("content-length"), "4");
    assert_eq!(
        answer.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    let itself = ask(&app, "GET /app.js.br", &["accept-encoding: br"]).await;
    assert_eq!(itself.header("content-type"), "application/octet-stream");
    assert_eq!(itself.header("content-encoding"), "");
}

#[tokio::test]
async fn each_coding_has_a_tag_and_all_vary() {
    let (_folder, app) = site();
    let mut tags = Vec::new();
    for accept in ["br", "zstd", "gzip", "identity"] {
        let accept = format!("accept-encoding: {accept}");
        let answer = ask(&app, "GET /app.js", &[&accept]).await;
        assert_eq!(answer.header("vary"), "accept-encoding");
        let tag = answer.header("etag").to_owned();
        assert!(!tag.starts_with("W/"));
        let again = ask(
            &app,
            "GET /app.js",
            &[&accept, &format!("if-none-match: {tag}")],
        )
        .await;
        assert_eq!(
            (again.status, again.header("vary"), again.header("etag")),
            (304, "accept-encoding", &*tag)
        );
        assert_eq!(again.header("content-encoding"), "");
        // Another coding has another tag.
        for other in &tags {
            let fields = [&*accept, &format!("if-none-match: {other}")];
            assert_eq!(ask(&app, "GET /app.js", &fields).await.status, 200);
        }
        tags.push(tag);
    }
    assert_eq!(
        ask(&app, "GET /bare.css", &[]).await.header("vary"),
        "accept-encoding"
    );
    assert_eq!(ask(&app, "GET /photo.avif", &[]).await.header("vary"), "");
}

#[tokio::test]
async fn ranges_are_of_the_encoded_bytes() {
    let (_folder, app) = site();
    let answer = ask(
        &app,
        "GET /app.js",
        &["accept-encoding: br", "range: bytes=1-2"],
    )
    .await;
    assert_eq!((answer.status, answer.text()), (206, "br"));
    assert_eq!(answer.header("content-range"), "bytes 1-2/4");
    assert_eq!(answer.header("content-encoding"), "br");
}

#[tokio::test]
async fn sidecars_that_are_not_sent() {
    let (folder, app) = site();
    let encoding = async |accept: &str| {
        let answer = ask(
            &app,
            "GET /app.js",
            &[&format!("accept-encoding: {accept}")],
        )
        .await;
        answer.header("content-encoding").to_owned()
    };
    date(&folder.path().join("app.js.br"), MADE - 1);
    assert_eq!(encoding("br").await, "", "older than its file");
    assert_eq!(encoding("br, gzip").await, "gzip");
    date(&folder.path().join("app.js.br"), MADE + 1);
    assert_eq!(encoding("br").await, "br");
    folder.file("app.js.br", "");
    assert_eq!(encoding("br").await, "", "empty");
    // RFC 9659: browsers refuse windows of 9 MB and 16 MB.
    for window in [0x69, 0x70] {
        folder.file("app.js.zst", [0x28, 0xb5, 0x2f, 0xfd, 0x00, window, 0, 0]);
        assert_eq!(encoding("zstd").await, "", "{window:x}");
    }
    std::fs::remove_file(folder.path().join("app.js.gz")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("app.js.gz")).unwrap();
    assert_eq!(encoding("gzip").await, "", "a link that leads out");
    std::fs::remove_file(folder.path().join("app.js.gz")).unwrap();
    folder.folder("app.js.gz");
    assert_eq!(encoding("gzip").await, "", "a folder");
    std::fs::remove_dir(folder.path().join("app.js.gz")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("app.js.gz"))
        .status();
    assert!(made.unwrap().success());
    assert_eq!(encoding("gzip").await, "", "a pipe");
}

#[tokio::test]
async fn archives_without_times_have_tags_of_their_own_for_each_coding() {
    let (folder, app) = site();
    date(&folder.path().join("app.js"), 1);
    date(&folder.path().join("app.js.br"), 1);
    let plain = ask(&app, "GET /app.js", &[]).await;
    let answer = ask(&app, "GET /app.js", &["accept-encoding: br"]).await;
    assert_eq!(answer.header("content-encoding"), "br");
    assert!(answer.header("etag").ends_with("-br\""));
    assert_ne!(answer.header("etag"), plain.header("etag"));
    assert_eq!(answer.header("last-modified"), "");
}

#[tokio::test]
async fn off_by_default() {
    let (folder, _) = site();
    let app = StaticFiles::new(folder.path());
    let answer = ask(&app, "GET /app.js", &["accept-encoding: br"]).await;
    assert_eq!(
        (answer.header("content-encoding"), answer.header("vary")),
        ("", "")
    );
}
