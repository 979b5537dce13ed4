//! Files that are stored in a content coding and requested by that name: `.svgz`, and a game's
//! `app.js.gz`.

use vestibule::compression::Compression;
use vestibule::files::{HandOver, StaticFiles};
use vestibule_test::Answer;

use super::{Folder, Site};

const GZIP: &[u8] = b"\x1f\x8b\x08\0stored in gzip";
const BROTLI: &[u8] = b"stored in brotli";
/// A frame with a window of 1 MiB, and one with a window of 16 MiB, which browsers refuse (RFC
/// 9659).
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x00\x50stored in zstd";
const LARGE_ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x00\x70stored in zstd";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const DOWNLOAD: &str = "application/octet-stream";

/// A file, its content, the coding and the type of its decoded bytes, and the type of its stored
/// bytes.
///
/// An empty coding means that the file is never sent with one.
type Case = (
    &'static str,
    &'static [u8],
    &'static str,
    &'static str,
    &'static str,
);

const CASES: [Case; 18] = [
    (
        "game.framework.js.gz",
        GZIP,
        "gzip",
        SCRIPT,
        "application/gzip",
    ),
    ("game.framework.js.br", BROTLI, "br", SCRIPT, DOWNLOAD),
    (
        "game.framework.js.zst",
        ZSTD,
        "zstd",
        SCRIPT,
        "application/zstd",
    ),
    ("game.wasm.br", BROTLI, "br", "application/wasm", DOWNLOAD),
    ("game.data.gz", GZIP, "gzip", DOWNLOAD, "application/gzip"),
    (
        "game.symbols.json.gz",
        GZIP,
        "gzip",
        "application/json",
        "application/gzip",
    ),
    (
        "sitemap.xml.gz",
        GZIP,
        "gzip",
        "text/xml",
        "application/gzip",
    ),
    (
        "style.css.GZ",
        GZIP,
        "gzip",
        "text/css; charset=utf-8",
        "application/gzip",
    ),
    ("Packages.gz", GZIP, "gzip", DOWNLOAD, "application/gzip"),
    // By the first bytes.
    (
        "tiles/3/4/2.pbf",
        GZIP,
        "gzip",
        "application/x-protobuf",
        "application/x-protobuf",
    ),
    (
        "tiles/3/4/3.mvt",
        ZSTD,
        "zstd",
        "application/vnd.mapbox-vector-tile",
        "application/vnd.mapbox-vector-tile",
    ),
    (
        "tiles/3/4/4.pbf",
        b"\x1a\x05plain",
        "",
        "",
        "application/x-protobuf",
    ),
    // Never.
    ("large.js.zst", LARGE_ZSTD, "", "", "application/zstd"),
    ("backup.tar.gz", GZIP, "", "", "application/gzip"),
    ("backup.tar.br", BROTLI, "", "", DOWNLOAD),
    ("backup.tgz", GZIP, "", "", "application/gzip"),
    ("disk.iso.gz", GZIP, "", "", "application/gzip"),
    ("plain.js", b"let a", "", "", SCRIPT),
];

fn folder() -> Folder {
    let files: Vec<_> = CASES
        .iter()
        .map(|(name, content, ..)| (*name, *content))
        .collect();
    Folder::with(&files)
}

/// Serves the same files live, indexed on disk and in memory, and behind a middleware that
/// compresses.
async fn sites(files: impl Fn() -> StaticFiles) -> [Site; 5] {
    [
        Site::start(files()).await,
        Site::start(files().precompressed(true)).await,
        Site::start(files().indexed(0).unwrap()).await,
        Site::start(files().indexed(1 << 20).unwrap()).await,
        Site::start(Compression::new(files().precompressed(true))).await,
    ]
}

/// Returns type, coding and `Vary`.
fn described(answer: &Answer) -> (&str, &str, &str) {
    let header = |name| answer.header(name);
    (
        header("content-type"),
        header("content-encoding"),
        header("vary"),
    )
}

#[tokio::test]
async fn a_stored_coding_is_for_clients_that_accept_it() {
    let folder = folder();
    let files = || StaticFiles::new(folder.path()).stored_encoded("**");
    for site in sites(files).await {
        for (name, content, coding, inner, outer) in CASES {
            for (accept, takes) in [
                ("gzip, deflate, br, zstd", true),
                ("x-gzip, br;q=0.5, zstd;q=0.5", true),
                ("*", true),
                ("identity", false),
                ("", false),
                ("gzip;q=0, br;q=0, zstd;q=0", false),
                ("identity;q=1, *;q=0.5", false),
            ] {
                for method in ["GET", "HEAD"] {
                    let request = format!("{method} /{name} HTTP/1.1\naccept-encoding: {accept}");
                    for answer in site.ask(&request).await {
                        let is_plain_script = name == "plain.js";
                        if is_plain_script {
                            continue;
                        }
                        let expected = match (coding, takes) {
                            ("", _) => (outer, ""),
                            (_, true) => (inner, coding),
                            (_, false) => (outer, ""),
                        };
                        let found = described(&answer);
                        assert_eq!((found.0, found.1), expected, "{request}");
                        assert_eq!(answer.header("content-length"), content.len().to_string());
                        assert_eq!(answer.header("accept-ranges"), "bytes", "{request}");
                        if !coding.is_empty() {
                            assert_eq!(found.2, "accept-encoding", "{request}");
                        }
                        let body = if method == "GET" { content } else { b"" };
                        assert_eq!(answer.body, body, "{request}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn without_the_option_nothing_is_sent_with_a_coding() {
    let folder = folder();
    for site in sites(|| StaticFiles::new(folder.path())).await {
        for (name, _, _, _, outer) in CASES.iter().filter(|case| case.0 != "plain.js") {
            let request = format!("GET /{name} HTTP/1.1\naccept-encoding: gzip, br, zstd");
            for answer in site.ask(&request).await {
                // A tile that is plain data is compressible, so the middleware may have encoded it.
                if !matches!(*outer, "application/gzip" | "application/zstd" | DOWNLOAD) {
                    continue;
                }
                assert_eq!(described(&answer), (*outer, "", ""), "{name}");
            }
        }
    }
}

/// RFC 9110, section 8.8.3.3: two codings of one resource have two strong tags.
#[tokio::test]
async fn each_form_has_its_tag_its_ranges_and_its_304() {
    let folder = folder();
    let files = || {
        StaticFiles::new(folder.path())
            .stored_encoded("*.gz")
            .stored_encoded("pbf")
    };
    for site in sites(files).await {
        for (name, inner) in [
            ("game.framework.js.gz", SCRIPT),
            ("tiles/3/4/2.pbf", "application/x-protobuf"),
        ] {
            let get = |fields: &str| format!("GET /{name} HTTP/1.1\n{fields}");
            let [coded, _] = site.ask(&get("accept-encoding: gzip")).await;
            let [plain, _] = site.ask(&get("accept-encoding: identity")).await;
            let (coded, plain) = (coded.header("etag"), plain.header("etag"));
            assert!(coded != plain && coded.starts_with('"') && plain.starts_with('"'));
            for (accept, own, other) in [("gzip", coded, plain), ("identity", plain, coded)] {
                let ask = |fields: &str| get(&format!("accept-encoding: {accept}\n{fields}"));
                for answer in site.ask(&ask(&format!("if-none-match: {own}"))).await {
                    assert_eq!(answer.status, 304);
                    assert_eq!(answer.header("etag"), own);
                    assert_eq!(answer.header("vary"), "accept-encoding");
                    assert_eq!(answer.header("content-encoding"), "");
                }
                for answer in site.ask(&ask(&format!("if-none-match: {other}"))).await {
                    assert_eq!(answer.status, 200);
                }
                for answer in site
                    .ask(&ask(&format!("range: bytes=4-9\nif-range: {own}")))
                    .await
                {
                    assert_eq!((answer.status.as_u16(), &*answer.text()), (206, "stored"));
                    let range = format!("bytes 4-9/{}", GZIP.len());
                    assert_eq!(answer.header("content-range"), range);
                    let coding = if accept == "gzip" { "gzip" } else { "" };
                    assert_eq!(answer.header("content-encoding"), coding);
                    if accept == "gzip" {
                        assert_eq!(answer.header("content-type"), inner);
                    }
                }
                for answer in site
                    .ask(&ask(&format!("range: bytes=4-9\nif-range: {other}")))
                    .await
                {
                    assert_eq!(answer.status, 200);
                }
            }
        }
    }
}

#[tokio::test]
async fn svgz_is_an_image_in_gzip_for_every_client() {
    let folder = Folder::with(&[
        ("logo.svgz", GZIP),
        ("LOGO.SVGZ", GZIP),
        ("scene.x3dz", GZIP),
        ("logo.svgz.br", b"no sidecar"),
    ]);
    let app = || StaticFiles::new(folder.path());
    for site in sites(app).await {
        for accept in ["gzip", "br", "identity", "gzip;q=0", "*;q=0"] {
            for (name, media_type) in [
                ("logo.svgz", "image/svg+xml"),
                ("LOGO.SVGZ", "image/svg+xml"),
                ("scene.x3dz", "model/x3d+xml"),
            ] {
                for method in ["GET", "HEAD"] {
                    let request = format!("{method} /{name} HTTP/1.1\naccept-encoding: {accept}");
                    for answer in site.ask(&request).await {
                        assert_eq!(described(&answer), (media_type, "gzip", ""), "{request}");
                        let body = if method == "GET" { GZIP } else { b"" };
                        assert_eq!(answer.body, body, "{request}");
                    }
                }
            }
        }
        let [answer, _] = site.ask("GET /logo.svgz HTTP/1.1").await;
        assert_eq!(answer.header("content-encoding"), "gzip");
        for answer in site.ask("GET /logo.svgz HTTP/1.1\nrange: bytes=4-9").await {
            assert_eq!((answer.status.as_u16(), &*answer.text()), (206, "stored"));
            assert_eq!(answer.header("content-encoding"), "gzip");
        }
    }
    let site = Site::start(app().media_type("svgz", "application/gzip")).await;
    for answer in site.ask("GET /logo.svgz HTTP/1.1").await {
        assert_eq!(described(&answer), ("application/gzip", "", ""));
    }
}

#[tokio::test]
async fn type_rules_apply_to_both_forms() {
    let folder = folder();
    let files = StaticFiles::new(folder.path())
        .stored_encoded("gz")
        .media_type("data", "application/x-game")
        .media_type("*.json.gz", "application/x-symbols");
    for site in [
        Site::start(files.clone()).await,
        Site::start(files.indexed(1 << 20).unwrap()).await,
    ] {
        for (name, accept, expected) in [
            ("game.data.gz", "gzip", "application/x-game"),
            ("game.data.gz", "identity", "application/gzip"),
            ("game.symbols.json.gz", "gzip", "application/x-symbols"),
            ("game.symbols.json.gz", "identity", "application/x-symbols"),
        ] {
            let request = format!("GET /{name} HTTP/1.1\naccept-encoding: {accept}");
            for answer in site.ask(&request).await {
                assert_eq!(answer.header("content-type"), expected, "{request}");
            }
        }
    }
}

/// The server in front does not use the app's `Content-Encoding`, so the app sends these files
/// itself.
#[tokio::test]
async fn a_file_that_is_stored_encoded_is_not_handed_over() {
    let folder = Folder::with(&[("logo.svgz", GZIP), ("logo.svg", b"<svg/>")]);
    let files = StaticFiles::new(folder.path()).hand_over(HandOver::XSendfile);
    let site = Site::start(files).await;
    for answer in site.ask("GET /logo.svgz HTTP/1.1").await {
        assert_eq!(described(&answer), ("image/svg+xml", "gzip", ""));
        assert_eq!(answer.body, GZIP);
    }
    for answer in site.ask("GET /logo.svg HTTP/1.1").await {
        assert!(answer.body.is_empty() && !answer.header("x-sendfile").is_empty());
    }
}
