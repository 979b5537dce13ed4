//! Redirects are revalidated each time, and lead to one path on the same host.

use vestibule::files::{RedirectRules, StaticFiles};
use vestibule::prelude::*;
use vestibule::{Mount, UnknownPrefix};

use super::{Folder, Site};

fn site() -> Folder {
    Folder::with(&[
        ("a/b.txt", b"b"),
        ("sub/index.html", b"sub"),
        ("list/x", b"x"),
        (".well-known/x", b"x"),
    ])
}

/// A path, its status, and its target.
const PATHS: [(&str, u16, &str); 27] = [
    ("/sub", 308, "/sub/"),
    ("/sub?a=b", 308, "/sub/?a=b"),
    ("/list", 308, "/list/"),
    ("//", 308, "/"),
    ("///", 308, "/"),
    ("//a/b.txt", 308, "/a/b.txt"),
    ("/a//b.txt", 308, "/a/b.txt"),
    ("/a///b.txt?x=//y&z", 308, "/a/b.txt?x=//y&z"),
    ("/sub//", 308, "/sub/"),
    ("//sub", 308, "/sub"),
    ("//not//there", 308, "/not/there"),
    ("//example.org", 308, "/example.org"),
    ("//example.org/", 308, "/example.org/"),
    ("///example.org", 308, "/example.org"),
    ("//.well-known//x", 308, "/.well-known/x"),
    ("/a%20b//c", 308, "/a%20b/c"),
    // The path has another fault as well.
    ("/a//../b", 400, ""),
    ("//%2e%2e/", 400, ""),
    ("//..//a", 400, ""),
    ("/a//b%2f", 400, ""),
    ("//%5cexample.org", 400, ""),
    ("//example.org/%2e%2e", 400, ""),
    ("/a//%00", 400, ""),
    ("/a//%0d%0aset-cookie:x", 400, ""),
    ("//.env", 400, ""),
    ("/%252e%252e//x", 400, ""),
    ("/a//%", 400, ""),
];

#[tokio::test]
async fn folders_and_empty_segments_lead_to_one_path_on_this_host() {
    let folder = site();
    let files = StaticFiles::new(folder.path()).listing(true);
    let live = Site::start(files.clone()).await;
    let with_app = Site::start(files.clone().or(|_: Request| async { "app" })).await;
    let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
    for site in [live, with_app, indexed] {
        for (path, status, location) in PATHS {
            for method in ["GET", "HEAD"] {
                let request = format!("{method} {path} HTTP/1.1");
                for answer in site.ask(&request).await {
                    assert_eq!(answer.status, status, "{request}");
                    let found = answer.header("location");
                    assert_eq!(found, location, "{request}");
                    assert!(
                        !found.starts_with("//") && !found.starts_with("/\\"),
                        "{request}"
                    );
                    if status == 308 {
                        assert_eq!(answer.header("cache-control"), "no-cache", "{request}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn other_methods_are_not_redirected() {
    let folder = site();
    let site = Site::start(StaticFiles::new(folder.path())).await;
    for (method, status) in [("POST", 405), ("DELETE", 405), ("OPTIONS", 204)] {
        for answer in site.ask(&format!("{method} //a HTTP/1.1")).await {
            assert_eq!(answer.status, status, "{method}");
            assert_eq!(answer.header("location"), "", "{method}");
        }
    }
}

#[tokio::test]
async fn guards_and_mounts_outside_refuse_empty_segments() {
    let folder = site();
    let files = StaticFiles::new(folder.path());
    let site = Site::start(Mounts::new().at("/m", files)).await;
    for path in ["/m//a/b.txt", "//m/a/b.txt", "/m/a//b.txt"] {
        for answer in site.ask(&format!("GET {path} HTTP/1.1")).await {
            assert_eq!(answer.status, 400, "{path}");
        }
    }
}

#[tokio::test]
async fn a_prefix_is_kept_and_an_unknown_one_is_not_guessed() {
    let folder = site();
    let files = StaticFiles::new(folder.path());
    let inner = files.clone();
    let known = move |mut request: Request| {
        let files = inner.clone();
        async move {
            let mount = Mount::new(request.uri().path(), 4);
            request.extensions_mut().insert(mount);
            files.call(request).await
        }
    };
    let site = Site::start(known).await;
    for (path, status, location) in [
        ("/pre//a/b.txt", 308, "/pre/a/b.txt"),
        ("/pre/sub", 308, "/pre/sub/"),
        ("/pre//..//a", 400, ""),
    ] {
        for answer in site.ask(&format!("GET {path} HTTP/1.1")).await {
            assert_eq!(
                (answer.status.as_u16(), answer.header("location")),
                (status, location),
                "{path}"
            );
        }
    }
    let unknown = move |mut request: Request| {
        let files = files.clone();
        async move {
            request.extensions_mut().insert(UnknownPrefix);
            files.call(request).await
        }
    };
    let site = Site::start(unknown).await;
    for (path, status, location) in [
        ("//a/b.txt", 400, ""),
        ("/a//b.txt", 400, ""),
        ("/sub", 308, "./sub/"),
    ] {
        for answer in site.ask(&format!("GET {path} HTTP/1.1")).await {
            assert_eq!(
                (answer.status.as_u16(), answer.header("location")),
                (status, location),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_redirects_file_redirects_and_rewrites() {
    let folder = Folder::with(&[
        ("index.html", b"page"),
        ("posts/2026/a", b"post"),
        ("kept", b"kept"),
        ("forced", b"forced"),
        ("lost.html", b"lost"),
        ("_redirects", b"rules"),
    ]);
    let text = "\
# moved
/blog/:year/*   /posts/:year/:splat  301
/kept           /elsewhere
/forced         /elsewhere           302!
/go/*           https://example.org/:splat 307
/lost/*         /lost.html           404
/app/*          /index.html          200
/gone           /not-there.html      200
";
    let rules = RedirectRules::parse(text).unwrap();
    let files = StaticFiles::new(folder.path())
        .redirect_rules(rules)
        .hide("/_redirects");
    let cases = [
        ("/blog/2026/a", 301, "/posts/2026/a", ""),
        ("/blog/2026/a?page=2", 301, "/posts/2026/a?page=2", ""),
        ("/blog/2026/%C3%BC%20b", 301, "/posts/2026/%C3%BC%20b", ""),
        ("/blog/2026", 404, "", ""),
        ("/kept", 200, "", "kept"),
        ("/forced", 302, "/elsewhere", ""),
        ("/go/a/b?c", 307, "https://example.org/a/b?c", ""),
        ("/go/a%2F%2Fexample.net", 404, "", ""),
        ("/lost/x", 404, "", "lost"),
        ("/app/users/7", 200, "", "page"),
        ("/gone", 404, "", ""),
        ("/_redirects", 404, "", ""),
        ("/blog/2026/../x", 400, "", ""),
    ];
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.clone().indexed(1 << 20).unwrap()).await;
    for site in [live, indexed] {
        for (path, status, location, text) in cases {
            for answer in site.ask(&format!("GET {path} HTTP/1.1")).await {
                let found = (answer.status.as_u16(), answer.header("location"));
                assert_eq!(found, (status, location), "{path}");
                if !location.is_empty() {
                    assert_eq!(answer.header("cache-control"), "no-cache", "{path}");
                }
                if !text.is_empty() {
                    assert_eq!(answer.text(), text, "{path}");
                }
            }
        }
    }
    let site = Site::start(Mounts::new().at("/m", files)).await;
    for answer in site.ask("GET /m/blog/2026/a HTTP/1.1").await {
        assert_eq!(answer.header("location"), "/m/posts/2026/a");
    }
}
