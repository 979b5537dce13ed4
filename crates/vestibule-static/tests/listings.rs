//! Directories without an index file.

use vestibule_core::Mounts;
use vestibule_static::{Memory, StaticFiles, Stored};

use crate::support::{Folder, ask};

fn site() -> (Folder, StaticFiles) {
    let folder = Folder::new();
    folder.file("a.txt", "0123456789");
    folder.file("b b.txt", "b");
    folder.file("<i>.txt", "i");
    folder.file(".env", "secret");
    folder.file("sub/deep/c.txt", "c");
    folder.file("with/index.html", "<p>index");
    std::os::unix::fs::symlink("a.txt", folder.path().join("near")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("out")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("fifo"))
        .status();
    assert!(made.unwrap().success());
    let app = StaticFiles::new(folder.path()).listing(true);
    (folder, app)
}

#[tokio::test]
async fn pages() {
    let (folder, app) = site();
    let answer = ask(&app, "GET /", &["accept: text/html,*/*;q=0.8"]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("vary"), "accept");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(
        answer
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    let html = answer.text();
    for shown in [
        "./a.txt",
        "./b%20b.txt",
        "./%3Ci%3E.txt",
        "./sub/",
        "./with/",
        "./near",
    ] {
        assert!(html.contains(&format!("href=\"{shown}\"")), "{shown}");
    }
    for hidden in [
        ".env",
        "fifo",
        "\"./out\"",
        "<i>",
        "<script",
        "javascript:",
        folder.path().to_str().unwrap(),
    ] {
        assert!(!html.contains(hidden), "{hidden}");
    }
    let sorted = ask(&app, "GET /?sort=size&order=desc", &[]).await;
    let (ten, one) = (sorted.text().find("a.txt"), sorted.text().find("b%20b"));
    assert!(ten < one && sorted.text().contains("aria-sort=\"descending\""));

    let deep = ask(&app, "GET /sub/deep/", &[]).await;
    for crumb in [
        "<a href=\"../../\">Home</a>",
        "<a href=\"../\">sub</a>",
        "aria-current=\"page\">deep<",
    ] {
        assert!(deep.text().contains(crumb), "{crumb}");
    }
}

/// For every file name, the page has a link to its file, or no link.
#[tokio::test]
async fn each_link_leads_to_its_file() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let names: [&[u8]; 16] = [
        b"javascript:alert(1)",
        b"<img src=x onerror=alert(1)>",
        b"\"onmouseover=\"alert(1)",
        b"'&amp;.txt",
        b"a?b=c#d",
        b"100%",
        b"%2e%2e",
        b"a;b,c",
        b"a b+c",
        b"..a",
        b"c:",
        b"~",
        b"a\xffb",
        "\u{e4}\u{202e}gpj.exe".as_bytes(),
        // These names cannot be requested, and are not shown.
        b"two\nlines",
        b"back\\slash",
    ];
    for name in names {
        std::fs::write(folder.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let app = StaticFiles::new(folder.path()).listing(true).dotfiles(true);
    let html = ask(&app, "GET /", &[]).await;
    let mut found = Vec::new();
    for link in html.text().split("href=\"./").skip(1) {
        let (link, _) = link.split_once('"').unwrap();
        found.push(ask(&app, &format!("GET /{link}"), &[]).await.body.to_vec());
    }
    let mut want: Vec<_> = names[..14].iter().map(|name| name.to_vec()).collect();
    want.sort();
    found.sort();
    assert_eq!(found, want);
    assert!(!html.text().contains("two") && !html.text().contains("slash"));
}

#[tokio::test]
async fn json() {
    let (_folder, app) = site();
    let answer = ask(&app, "GET /sub/deep/", &["accept: application/json"]).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        answer.text(),
        "{\"path\":\"/sub/deep/\",\"entries\":[{\"name\":\"c.txt\",\"type\":\"file\",\"href\":\"./c.txt\",\
         \"size\":1,\"modified\":\"1994-11-06T08:49:37Z\"}]}\n"
    );
}

#[tokio::test]
async fn where_there_is_a_listing() {
    let (folder, app) = site();
    let app = Mounts::new()
        .at("/files", app)
        .at("/", StaticFiles::new(folder.path()));
    let cases = [
        ("GET /files/", 200, ""),
        ("GET /files", 308, "/files/"),
        ("GET /files/sub?sort=size", 308, "/files/sub/?sort=size"),
        ("GET /files/with/", 200, ""),
        ("GET /files/nothing/", 404, ""),
        ("GET /files/a.txt/", 404, ""),
        ("GET /files/.git/", 404, ""),
        ("GET /sub/", 404, ""),
        ("HEAD /files/", 200, ""),
    ];
    for (line, status, location) in cases {
        let answer = ask(&app, line, &[]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, location),
            "{line}"
        );
    }
    assert_eq!(ask(&app, "GET /files/with/", &[]).await.text(), "<p>index");
    let (get, head) = (
        ask(&app, "GET /files/", &[]).await,
        ask(&app, "HEAD /files/", &[]).await,
    );
    assert_eq!(get.headers, head.headers);
}

#[tokio::test]
async fn of_files_in_memory() {
    let files = ["a.txt", "d/x", "d/e/y", "d/z", "z"];
    let memory = files.iter().fold(Memory::new(), |memory, name| {
        memory.with(name, Stored::memory("1"))
    });
    let app = StaticFiles::from_source(memory).listing(true);
    let names = async |path: &str| {
        let answer = ask(&app, &format!("GET {path}"), &["accept: application/json"]).await;
        let parts: Vec<_> = answer
            .text()
            .split("\"href\":\"./")
            .skip(1)
            .map(|part| part.split('"').next().unwrap().to_owned())
            .collect();
        parts.join(" ")
    };
    assert_eq!(names("/").await, "d/ a.txt z");
    assert_eq!(names("/d/").await, "e/ x z");
}
