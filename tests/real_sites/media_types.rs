//! The type of each file, from its name and, where the name has no extension, from its first bytes.

use vestibule::compression::Compression;
use vestibule::files::{Memory, StaticFiles, Stored};

use super::{Folder, Site};

const TEXT: &str = "text/plain; charset=utf-8";
const DOWNLOAD: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// A file, its content and its type.
type Case = (&'static str, &'static [u8], &'static str);

/// Files of types that declare their encoding inside: a `charset` would override the declaration.
const DECLARED: [Case; 10] = [
    ("latin1.xml", LATIN1, "text/xml"),
    ("feed.rss", LATIN1, "application/rss+xml"),
    ("feed.atom", LATIN1, "application/atom+xml"),
    ("logo.svg", LATIN1, "image/svg+xml"),
    ("page.xhtml", LATIN1, "application/xhtml+xml"),
    ("sheet.xsl", LATIN1, "text/xml"),
    ("sheet.xslt", LATIN1, "application/xslt+xml"),
    ("feeds.opml", LATIN1, "text/x-opml"),
    ("service.wsdl", LATIN1, "application/wsdl+xml"),
    ("track.gpx", b"\xff\xfe<\0", "application/gpx+xml"),
];

/// Files whose type has a charset, with any content.
const BY_EXTENSION: [Case; 14] = [
    ("index.html", b"<p>caf\xc3\xa9", "text/html; charset=utf-8"),
    ("style.css", b"a{}", "text/css; charset=utf-8"),
    ("data.ttl", b"<a> <b> <c> .", "text/turtle; charset=utf-8"),
    ("Main.KT", b"fun main()", TEXT),
    ("main.tf", b"resource", TEXT),
    ("cube.obj", b"v 0 0 0", TEXT),
    ("app.apk", b"PK", "application/vnd.android.package-archive"),
    (
        "wifi.mobileconfig",
        b"<plist>",
        "application/x-apple-aspen-config",
    ),
    ("live.m3u8", b"#EXTM3U", "application/vnd.apple.mpegurl"),
    ("book.ipynb", b"{}", "application/x-ipynb+json"),
    ("lib.a", b"!<arch>\n", "application/x-archive"),
    ("text.unknown", b"text", DOWNLOAD),
    ("clip.ts", b"export", TEXT),
    ("zeros.txt", b"\0\0", TEXT),
];

/// Files without an extension.
const BY_CONTENT: [Case; 18] = [
    ("README", b"# Site\n", TEXT),
    ("copyright", "\u{a9} 2026 J\u{fc}rgen".as_bytes(), TEXT),
    ("Makefile", b"all:\n\tcc a.c\n", TEXT),
    ("with.dots/sha256sums", b"e3b0c442  a\n", TEXT),
    ("marked", b"\xef\xbb\xbftext", TEXT),
    ("empty", b"", TEXT),
    ("access.log.1", b"::1 - - GET /\n", TEXT),
    ("NEWS-2.0", b"News\n", TEXT),
    // Never HTML: a file that a visitor uploads without an extension must not run as a page.
    ("page", b"<!doctype html><script>alert(1)</script>", TEXT),
    ("latin1", b"caf\xe9\n", DOWNLOAD),
    ("utf16", b"\xff\xfea\0b\0", DOWNLOAD),
    ("program", b"\x7fELF\x02\x01\x01", DOWNLOAD),
    ("archive", b"\x1f\x8b\x08\0", DOWNLOAD),
    ("zero", b"text\0", DOWNLOAD),
    ("cut", b"caf\xc3", DOWNLOAD),
    (".well-known/openid-configuration", b"{}", JSON),
    (".well-known/host-meta", b"<XRD/>", "application/xrd+xml"),
    (".well-known/acme-challenge/Qm9i", b"Qm9i.key", TEXT),
];

const LATIN1: &[u8] = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>caf\xe9</a>";

fn cases() -> impl Iterator<Item = Case> {
    [&DECLARED[..], &BY_EXTENSION, &BY_CONTENT]
        .concat()
        .into_iter()
}

/// Requests all files with GET and with HEAD, in both versions.
async fn check(site: &Site) {
    for (name, content, expected) in cases() {
        for method in ["GET", "HEAD"] {
            for answer in site.ask(&format!("{method} /{name} HTTP/1.1")).await {
                assert_eq!(answer.status, 200, "{method} {name}");
                assert_eq!(answer.header("content-type"), expected, "{method} {name}");
                assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
                assert_eq!(
                    answer.header("content-length"),
                    content.len().to_string(),
                    "{name}"
                );
                let body = if method == "GET" { content } else { b"" };
                assert_eq!(answer.body, body, "{method} {name}");
            }
        }
    }
}

fn folder() -> Folder {
    let files: Vec<_> = cases().map(|(name, content, _)| (name, content)).collect();
    Folder::with(&files)
}

#[tokio::test]
async fn each_file_has_its_type_live_indexed_and_in_memory() {
    let folder = folder();
    let files = || StaticFiles::new(folder.path());
    check(&Site::start(files()).await).await;
    check(&Site::start(files().precompressed(true)).await).await;
    // Some in memory, then all.
    for memory in [100, 1 << 20] {
        check(&Site::start(files().indexed(memory).unwrap()).await).await;
    }
    let memory = cases().fold(Memory::new(), |memory, (name, content, _)| {
        memory.with(name, Stored::memory(content))
    });
    check(&Site::start(StaticFiles::from_source(memory)).await).await;
}

#[tokio::test]
async fn a_character_may_be_cut_at_the_end_of_the_first_bytes() {
    let long = |end: &[u8]| [&b"x".repeat(510)[..], end].concat();
    let folder = Folder::with(&[
        ("cut", &long("\u{1f4a1} and more".as_bytes())),
        ("broken", &long(b"\xf0\x9f and more")),
        ("late", &long(b"  \0\0\0\xff")),
        ("large", "text ".repeat(100_000).as_bytes()),
    ]);
    let site = Site::start(StaticFiles::new(folder.path())).await;
    let cases = [
        ("cut", TEXT),
        ("broken", TEXT),
        ("late", TEXT),
        ("large", TEXT),
    ];
    for (name, expected) in cases {
        for answer in site.ask(&format!("GET /{name} HTTP/1.1")).await {
            assert_eq!(answer.header("content-type"), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn responses_to_ranges_and_conditions_have_the_type() {
    let folder = folder();
    let files = || StaticFiles::new(folder.path());
    for site in [
        Site::start(files()).await,
        Site::start(files().indexed(1 << 20).unwrap()).await,
    ] {
        for answer in site.ask("GET /README HTTP/1.1\nrange: bytes=2-5").await {
            assert_eq!((answer.status.as_u16(), &*answer.text()), (206, "Site"));
            assert_eq!(answer.header("content-type"), TEXT);
        }
        for answer in site.ask("GET /README HTTP/1.1\nrange: bytes=0-1,4-5").await {
            assert_eq!(answer.status, 206);
            assert!(
                answer.text().contains("text/plain; charset=utf-8"),
                "{}",
                answer.text()
            );
        }
        let [answer, _] = site.ask("GET /README HTTP/1.1").await;
        let tag = answer.header("etag").to_owned();
        for answer in site
            .ask(&format!("GET /README HTTP/1.1\nif-none-match: {tag}"))
            .await
        {
            assert_eq!(answer.status, 304);
        }
    }
}

#[tokio::test]
async fn types_are_set_by_extension_name_and_pattern() {
    let folder = Folder::with(&[
        ("clip.TS", b"G"),
        ("backup.tar.gz", b"gz"),
        ("api/users", b"[]"),
        ("api/v1/users.txt", b"[]"),
        ("LICENSE", b"\xff"),
        ("ts", b"x"),
        ("old.html", b"<p>caf\xe9"),
    ]);
    let files = StaticFiles::new(folder.path())
        .media_type("ts", "video/mp2t")
        .media_type("*.tar.gz", "application/x-tgz")
        .media_type("/api/**", JSON)
        .media_type("*.txt", "text/markdown")
        .media_type("LICENSE", TEXT)
        .media_type("/old.html", "text/html");
    let cases = [
        ("clip.TS", "video/mp2t"),
        ("ts", "video/mp2t"),
        ("backup.tar.gz", "application/x-tgz"),
        ("api/users", JSON),
        ("api/v1/users.txt", "text/markdown"),
        ("LICENSE", TEXT),
        ("old.html", "text/html"),
    ];
    for site in [
        Site::start(files.clone()).await,
        Site::start(files.indexed(1 << 20).unwrap()).await,
    ] {
        for (name, expected) in cases {
            for answer in site.ask(&format!("GET /{name} HTTP/1.1")).await {
                assert_eq!(answer.header("content-type"), expected, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn sidecars_and_compression_use_the_same_table() {
    let text = "compress me ".repeat(200);
    let names = [
        ("app.js", true),
        ("live.m3u8", true),
        ("list.m3u", true),
        ("paper.ps", true),
        ("drawing.eps", true),
        ("mesh.stl", true),
        ("data.nt", true),
        ("app.jnlp", true),
        ("LICENSE", true),
        ("favicon.ico", true),
        ("photo.avif", false),
        ("site.tar", false),
        ("game.data", false),
        ("logo.svgz", false),
    ];
    let mut files = Vec::new();
    for (name, _) in names {
        files.push((name.to_owned(), text.clone()));
    }
    let plain: Vec<_> = files
        .iter()
        .map(|(name, text)| (&**name, text.as_bytes()))
        .collect();
    let folder = Folder::with(&plain);
    // A deprecated script type, set manually, is compressible as well.
    let static_files =
        || StaticFiles::new(folder.path()).media_type("js", "application/javascript");
    let site = Site::start(Compression::new(static_files())).await;
    for (name, shrinks) in names {
        for answer in site
            .ask(&format!("GET /{name} HTTP/1.1\naccept-encoding: gzip"))
            .await
        {
            let is_made =
                answer.header("content-encoding") == "gzip" && answer.body.len() < text.len();
            assert_eq!(is_made, shrinks, "{name}");
        }
    }
    for (name, _) in names {
        folder.write(&format!("{name}.gz"), b"the sidecar");
    }
    for site in [
        Site::start(Compression::new(static_files().precompressed(true))).await,
        Site::start(static_files().precompressed(true).indexed(1 << 20).unwrap()).await,
    ] {
        for (name, shrinks) in names {
            for answer in site
                .ask(&format!("GET /{name} HTTP/1.1\naccept-encoding: gzip"))
                .await
            {
                assert_eq!(answer.body == "the sidecar", shrinks, "{name}");
                let vary = if shrinks { "accept-encoding" } else { "" };
                assert_eq!(answer.header("vary"), vary, "{name}");
            }
        }
    }
}

#[test]
fn precompress_writes_sidecars_of_compressible_types() {
    use vestibule::files::Precompress;

    let text = "compress me ".repeat(200);
    let folder = Folder::with(&[
        ("live.m3u8", text.as_bytes()),
        ("LICENSE", text.as_bytes()),
        ("program", &[0; 4096]),
        ("logo.svgz", text.as_bytes()),
        ("site.tar", text.as_bytes()),
    ]);
    let report = Precompress::new(folder.path()).run().unwrap();
    assert_eq!((report.files, report.failed.len()), (2, 0), "{report:?}");
    for (name, is_there) in [
        ("live.m3u8.br", true),
        ("LICENSE.gz", true),
        ("program.gz", false),
        ("logo.svgz.br", false),
        ("site.tar.gz", false),
    ] {
        assert_eq!(folder.path().join(name).exists(), is_there, "{name}");
    }
}
