//! Headers of a whole site are on each of its responses; headers of content are only on content.

use std::io;
use std::path::Path;

use vestibule::files::{Directory, Entry, HeaderRules, Listed, Source, StaticFiles, Wait};
use vestibule::http::StatusCode;
use vestibule::prelude::*;

use super::{Folder, Site};

fn site() -> Folder {
    Folder::with(&[
        ("index.html", b"home"),
        ("tiles/1.png", b"tile"),
        ("sub/index.html", b"sub"),
        ("list/a.txt", b"a"),
        ("403.html", b"closed"),
        ("404.html", b"lost"),
        ("_headers", b"secret"),
    ])
}

/// Requests with the status of their responses.
const REQUESTS: [(&str, u16); 18] = [
    ("GET / HTTP/1.1", 200),
    ("HEAD / HTTP/1.1", 200),
    ("GET /tiles/1.png HTTP/1.1", 200),
    ("GET /tiles/1.png HTTP/1.1\nrange: bytes=0-1", 206),
    ("GET /tiles/1.png HTTP/1.1\nrange: bytes=0-0,2-2", 206),
    ("GET /tiles/1.png HTTP/1.1\nrange: bytes=9-", 416),
    ("GET /tiles/1.png HTTP/1.1\nif-none-match: *", 304),
    ("GET /tiles/1.png HTTP/1.1\nif-match: \"other\"", 412),
    ("GET /tiles/2.png HTTP/1.1", 404),
    ("HEAD /tiles/2.png HTTP/1.1", 404),
    ("GET /tiles/2 HTTP/1.1\naccept: text/html", 404),
    ("GET /.env HTTP/1.1", 404),
    ("GET /sub HTTP/1.1", 308),
    ("GET /tiles//1.png HTTP/1.1", 308),
    ("GET /list/ HTTP/1.1", 200),
    ("POST /tiles/1.png HTTP/1.1", 405),
    ("OPTIONS /tiles/1.png HTTP/1.1", 204),
    ("GET /a/../b HTTP/1.1", 400),
];

#[tokio::test]
async fn a_rule_for_all_paths_is_on_every_answer() {
    let folder = site();
    let glob = StaticFiles::new(folder.path())
        .listing(true)
        .header("*", "access-control-allow-origin", "*")
        .header("*", "strict-transport-security", "max-age=63072000")
        .header("*", "content-language", "de")
        .header("*", "expires", "Thu, 01 Jan 2037 00:00:00 GMT");
    let text = "/*\n  Access-Control-Allow-Origin: *\n  Strict-Transport-Security: max-age=63072000\n  \
                Content-Language: de\n  Expires: Thu, 01 Jan 2037 00:00:00 GMT\n";
    let file = StaticFiles::new(folder.path())
        .listing(true)
        .header_rules(HeaderRules::parse(text).unwrap());
    for files in [glob, file] {
        let pages = files.clone().not_found("404.html");
        let indexed = files.clone().indexed(1 << 20).unwrap();
        let mounted = Mounts::new().at("/", files.clone());
        let apps = [
            files.boxed(),
            pages.boxed(),
            indexed.boxed(),
            mounted.boxed(),
        ];
        for (number, app) in apps.into_iter().enumerate() {
            let site = Site::start(app).await;
            for (request, status) in REQUESTS {
                // The mounts refuse ambiguous paths before they reach the files.
                if number == 3 && (request.contains("//") || request.contains("..")) {
                    continue;
                }
                for answer in site.ask(request).await {
                    assert_eq!(answer.status, status, "{request}");
                    let header = |name| answer.header(name);
                    assert_eq!(header("access-control-allow-origin"), "*", "{request}");
                    assert_eq!(
                        header("strict-transport-security"),
                        "max-age=63072000",
                        "{request}"
                    );
                    let is_content = matches!(status, 200 | 206 | 304);
                    assert_eq!(header("content-language") == "de", is_content, "{request}");
                    assert_eq!(header("expires").is_empty(), !is_content, "{request}");
                    if status != 204 {
                        assert!(
                            status == 304 || header("x-content-type-options") == "nosniff",
                            "{request}"
                        );
                    }
                    for name in [
                        "access-control-allow-origin",
                        "content-language",
                        "location",
                    ] {
                        assert!(
                            answer.headers.get_all(name).iter().count() <= 1,
                            "{request}: {name}"
                        );
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn rules_are_for_the_path_or_for_the_file_that_answers() {
    let folder = site();
    let files = StaticFiles::new(folder.path())
        .listing(true)
        .spa("index.html")
        .header("*.html", "x-file", "html")
        .header("/tiles/*", "x-place", "tiles")
        .header("/users/**", "x-route", "users")
        .header("/list/**", "x-list", "list");
    let cases = [
        ("/", "", "html", "", "", ""),
        ("/index.html", "", "html", "", "", ""),
        ("/gone.html", "", "html", "", "", ""),
        ("/tiles/1.png", "", "", "tiles", "", ""),
        ("/tiles/2.png", "", "", "tiles", "", ""),
        ("/tiles/%32.png", "", "", "tiles", "", ""),
        ("/tilesX/2.png", "", "", "", "", ""),
        ("/users/7", "text/html", "html", "", "users", ""),
        ("/users/7.json", "", "", "", "users", ""),
        ("/users/a%2Fb", "text/html", "html", "", "users", ""),
        ("/list/", "", "", "", "", "list"),
        ("/a/../b.html", "", "", "", "", ""),
    ];
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
    for site in [live, indexed] {
        for (path, accept, file, place, route, list) in cases {
            let accept = if accept.is_empty() {
                "image/png"
            } else {
                accept
            };
            for answer in site
                .ask(&format!("GET {path} HTTP/1.1\naccept: {accept}"))
                .await
            {
                let found =
                    ["x-file", "x-place", "x-route", "x-list"].map(|name| answer.header(name));
                assert_eq!(found, [file, place, route, list], "{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_answers_of_another_app_are_its_own() {
    let folder = site();
    let files = StaticFiles::new(folder.path()).header("*", "x-site", "files");
    let site = Site::start(files.or(|_: Request| async { "api" })).await;
    for (request, want) in [
        ("GET /tiles/1.png HTTP/1.1", "files"),
        ("GET /tiles//1.png HTTP/1.1", "files"),
        ("GET /api HTTP/1.1", ""),
        ("POST /tiles/1.png HTTP/1.1", ""),
    ] {
        for answer in site.ask(request).await {
            assert_eq!(answer.header("x-site"), want, "{request}");
        }
    }
}

#[tokio::test]
async fn a_headers_file_sets_joins_and_removes() {
    let folder = site();
    let text = "\
# Comment
/*
  X-Frame-Options: DENY
  Cache-Control: no-cache
  Link: </a>; rel=preload
/tiles/*
  ! X-Frame-Options
  ! Cache-Control
  Cache-Control: max-age=600
  Link: </b>; rel=preload
  Content-Type: image/x-tile
  Vary: Origin
/tiles/:name.png
  X-Tile: yes
";
    let rules = HeaderRules::parse(text).unwrap();
    let files = StaticFiles::new(folder.path())
        .header_rules(rules)
        .hide("/_headers")
        .listing(true);
    let both = "</a>; rel=preload, </b>; rel=preload";
    let cases = [
        (
            "GET / HTTP/1.1",
            200,
            "DENY",
            "no-cache",
            "</a>; rel=preload",
            "text/html; charset=utf-8",
            "",
        ),
        (
            "GET /tiles/1.png HTTP/1.1",
            200,
            "",
            "max-age=600",
            both,
            "image/x-tile",
            "yes",
        ),
        (
            "GET /tiles/1.png HTTP/1.1\nrange: bytes=0-1",
            206,
            "",
            "max-age=600",
            both,
            "image/x-tile",
            "yes",
        ),
        (
            "GET /tiles/1.png HTTP/1.1\nif-none-match: *",
            304,
            "",
            "max-age=600",
            both,
            "",
            "yes",
        ),
        (
            "GET /tiles/2.png HTTP/1.1",
            404,
            "",
            "",
            both,
            "text/plain; charset=utf-8",
            "yes",
        ),
        (
            "GET /_headers HTTP/1.1",
            404,
            "DENY",
            "",
            "</a>; rel=preload",
            "text/plain; charset=utf-8",
            "",
        ),
    ];
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
    for site in [live, indexed] {
        for (request, status, frame, cache, link, kind, tile) in cases {
            for answer in site.ask(request).await {
                assert_eq!(answer.status, status, "{request}");
                let names = [
                    "x-frame-options",
                    "cache-control",
                    "link",
                    "content-type",
                    "x-tile",
                ];
                let found = names.map(|name| answer.header(name));
                assert_eq!(found, [frame, cache, link, kind, tile], "{request}");
            }
        }
        for answer in site
            .ask("GET /tiles/1.png HTTP/1.1\nrange: bytes=0-0,2-2")
            .await
        {
            assert!(
                answer
                    .header("content-type")
                    .starts_with("multipart/byteranges")
            );
        }
        for answer in site.ask("GET /list/ HTTP/1.1").await {
            assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        }
    }
}

#[tokio::test]
async fn errors_have_their_pages_without_conditions_and_ranges() {
    let folder = Folder::with(&[
        ("a.txt", b"0123456789"),
        ("closed.txt", b"closed"),
        ("400.html", b"p400"),
        ("403.html", b"p403"),
        ("404.html", b"p404"),
        ("405.html", b"p405"),
        ("416.html", b"p416"),
        ("de/404.html", b"p404 de"),
        ("de/blog/post.html", b"post"),
        ("fr/x.html", b"x"),
    ]);
    let source = Guarded::new(folder.path(), "closed.txt");
    let mut files = StaticFiles::from_source(source).nearest_not_found(true);
    for status in [400, 403, 404, 405, 416, 500] {
        let status = StatusCode::from_u16(status).unwrap();
        files = files.error_page(status, format!("{}.html", status.as_u16()));
    }
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
    let cases = [
        ("GET /gone HTTP/1.1", 404, "p404"),
        (
            "GET /gone HTTP/1.1\nif-none-match: *\nrange: bytes=0-0",
            404,
            "p404",
        ),
        ("GET /gone HTTP/1.1\nif-match: \"x\"", 404, "p404"),
        ("GET /de/gone HTTP/1.1", 404, "p404 de"),
        ("GET /de/blog/gone HTTP/1.1", 404, "p404 de"),
        ("GET /de/blog/ HTTP/1.1", 404, "p404 de"),
        ("GET /de/not/there/at/all HTTP/1.1", 404, "p404 de"),
        ("GET /fr/gone HTTP/1.1", 404, "p404"),
        ("GET /dex/gone HTTP/1.1", 404, "p404"),
        ("GET /.env HTTP/1.1", 404, "p404"),
        ("GET /a%2Fb HTTP/1.1", 404, "p404"),
        ("GET /closed.txt HTTP/1.1", 403, "p403"),
        ("GET /a/../b HTTP/1.1", 400, "p400"),
        ("GET /a.txt HTTP/1.1\nrange: bytes=99-", 416, "p416"),
        ("DELETE /a.txt HTTP/1.1", 405, "p405"),
        (
            "GET /a.txt HTTP/1.1\nif-match: \"x\"",
            412,
            "412 Precondition Failed\n",
        ),
    ];
    for site in [live, indexed] {
        for (request, status, want) in cases {
            for answer in site.ask(request).await {
                assert_eq!(
                    (answer.status.as_u16(), &*answer.text()),
                    (status, want),
                    "{request}"
                );
                let head = request.replacen("GET", "HEAD", 1);
                for name in ["etag", "last-modified", "accept-ranges"] {
                    assert_eq!(answer.header(name), "", "{request}: {name}");
                }
                if want.starts_with('p') {
                    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
                    assert_eq!(answer.header("cache-control"), "no-cache");
                }
                assert_eq!(
                    answer.header("allow").is_empty(),
                    status != 405,
                    "{request}"
                );
                let range = answer.header("content-range");
                assert_eq!(
                    range,
                    if status == 416 { "bytes */10" } else { "" },
                    "{request}"
                );
                if request.starts_with("GET") && status != 416 {
                    for other in site.ask(&head).await {
                        assert_eq!(other.status, status, "{head}");
                        assert_eq!(
                            other.header("content-length"),
                            answer.header("content-length"),
                            "{head}"
                        );
                        assert!(other.body.is_empty(), "{head}");
                    }
                }
            }
        }
    }
}

/// A folder with one file that cannot be opened, not even by the superuser, who may run the tests.
#[derive(Clone)]
pub(super) struct Guarded {
    files: Directory,
    closed: &'static str,
}

impl Guarded {
    pub(super) fn new(folder: &Path, closed: &'static str) -> Self {
        Self {
            files: Directory::new(folder),
            closed,
        }
    }
}

impl Source for Guarded {
    fn open(&self, name: &[u8], wait: Wait) -> io::Result<Entry> {
        match name == self.closed.as_bytes() {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => self.files.open(name, wait),
        }
    }

    fn list(&self, name: &[u8]) -> io::Result<Vec<Listed>> {
        self.files.list(name)
    }
}
