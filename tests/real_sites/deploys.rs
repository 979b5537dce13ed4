//! After a deploy a browser revalidates all files that the deploy may have replaced.

use std::path::Path;

use vestibule::files::StaticFiles;

use super::{Folder, Site};

fn dist() -> Folder {
    Folder::with(&[
        ("index.html", b"<script src=/assets/index-DiwrgTda.js>"),
        ("about.html", b"about"),
        ("docs/index.html", b"docs"),
        ("404.html", b"lost"),
        ("assets/index-DiwrgTda.js", b"v1"),
        ("assets/logo.svg", b"<svg/>"),
        ("assets/video.mp4", b"v"),
        ("sw.js", b"worker"),
        ("manifest.webmanifest", b"{}"),
        ("version.json", b"{}"),
        ("env.js", b"env"),
        ("page", b"\0"),
    ])
}

fn spa(path: &Path) -> StaticFiles {
    StaticFiles::new(path).spa("index.html").clean_urls(true)
}

fn hashed(path: &Path) -> StaticFiles {
    StaticFiles::new(path).hashed_names(true).clean_urls(true)
}

#[tokio::test]
async fn pages_and_their_dependencies_are_revalidated() {
    let folder = dist();
    let asked_again = [
        "/",
        "/index.html",
        "/about",
        "/about.html",
        "/docs/",
        "/sw.js",
        "/manifest.webmanifest",
        "/version.json",
        "/env.js",
        "/page",
    ];
    for files in [spa(folder.path()), hashed(folder.path())] {
        let live = Site::start(files.clone()).await;
        let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
        for site in [live, indexed] {
            for path in asked_again {
                for (method, lines, status) in [
                    ("GET", "", 200),
                    ("HEAD", "", 200),
                    ("GET", "\nrange: bytes=0-0", 206),
                    ("GET", "\nif-none-match: *", 304),
                    ("HEAD", "\nif-none-match: *", 304),
                ] {
                    let request = format!("{method} {path} HTTP/1.1{lines}");
                    for answer in site.ask(&request).await {
                        assert_eq!(answer.status, status, "{request:?}");
                        assert_eq!(answer.header("cache-control"), "no-cache", "{request:?}");
                    }
                }
            }
            for path in ["/assets/logo.svg", "/assets/video.mp4"] {
                for answer in site.ask(&format!("GET {path} HTTP/1.1")).await {
                    assert_eq!(answer.header("cache-control"), "", "{path}");
                }
            }
            for answer in site.ask("GET /docs HTTP/1.1").await {
                assert_eq!(
                    (answer.status.as_u16(), answer.header("cache-control")),
                    (308, "no-cache")
                );
            }
        }
    }
}

#[tokio::test]
async fn a_route_of_an_app_is_revalidated_and_its_old_script_is_not_found() {
    let folder = dist();
    let site = Site::start(spa(folder.path()).hashed_names(true)).await;
    let page = "\naccept: text/html,*/*;q=0.8";
    for (request, status) in [
        (format!("GET /users/7 HTTP/1.1{page}"), 200),
        (format!("HEAD /users/7 HTTP/1.1{page}"), 200),
        (
            format!("GET /users/7 HTTP/1.1{page}\nif-none-match: *"),
            304,
        ),
        ("GET /users/7 HTTP/1.1\naccept: */*".to_owned(), 200),
    ] {
        for answer in site.ask(&request).await {
            assert_eq!(answer.status, status, "{request:?}");
            assert_eq!(answer.header("cache-control"), "no-cache", "{request:?}");
            assert_eq!(answer.header("vary"), "accept", "{request:?}");
        }
    }
    // The open tab requests a chunk that is gone: it must not get the page, nor cache the response.
    for answer in site
        .ask("GET /assets/old-B7sZ3kfd.js HTTP/1.1\naccept: */*")
        .await
    {
        assert_eq!(answer.status, 404);
        assert!(!answer.header("cache-control").contains("immutable"));
    }
}

#[tokio::test]
async fn rules_take_precedence_and_without_the_options_there_is_no_header() {
    let folder = dist();
    let site = Site::start(spa(folder.path()).cache_control("/about.html", "max-age=60")).await;
    for answer in site.ask("GET /about HTTP/1.1").await {
        assert_eq!(answer.header("cache-control"), "max-age=60");
    }
    let site = Site::start(StaticFiles::new(folder.path())).await;
    for answer in site.ask("GET / HTTP/1.1").await {
        assert_eq!(answer.header("cache-control"), "");
    }
}
