//! Options of a site: clean URLs, single-page apps, error pages, headers, media types.

use vestibule_core::{App, Mount, Outline, Request};
use vestibule_static::StaticFiles;

use crate::support::{Folder, ask, read, request};

fn site() -> (Folder, StaticFiles) {
    let folder = Folder::new();
    folder.file("index.html", "<p>home");
    folder.file("about.html", "<p>about");
    folder.file("docs.html", "<p>docs page");
    folder.file("docs/index.html", "<p>docs folder");
    folder.file("v1.2.html", "<p>v1.2");
    folder.file("404.html", "<p>lost");
    folder.file("404.html.br", "<br>");
    folder.file("assets/app-B7sZ3kfd.js", "let a");
    folder.file("assets/app.js", "let b");
    folder.file("clip.ts", "G");
    let app = StaticFiles::new(folder.path());
    (folder, app)
}

#[tokio::test]
async fn clean_urls() {
    let (_folder, app) = site();
    assert_eq!(ask(&app, "GET /about", &[]).await.status, 404);
    let app = app.clean_urls(true);
    let cases = [
        ("GET /about", 200, "<p>about"),
        ("GET /about.html", 200, "<p>about"),
        ("GET /v1.2", 200, "<p>v1.2"),
        ("GET /docs", 308, "308 Permanent Redirect\n"),
        ("GET /docs/", 200, "<p>docs folder"),
        // The page has only one URL.
        ("GET /about/", 308, "308 Permanent Redirect\n"),
        ("GET /nothing/", 404, "404 Not Found\n"),
        ("GET /nothing", 404, "404 Not Found\n"),
    ];
    for (line, status, text) in cases {
        let answer = ask(&app, line, &[]).await;
        assert_eq!((answer.status, answer.text()), (status, text), "{line}");
    }
    let answer = ask(&app, "GET /about", &[]).await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
}

#[tokio::test]
async fn single_page_apps() {
    let (folder, app) = site();
    folder.file(".env", "secret");
    let app = app.spa("index.html");
    let html = "accept: text/html,*/*;q=0.8";
    let cases = [
        ("GET /users/7", html, 200, "<p>home"),
        ("HEAD /users/7", html, 200, ""),
        ("GET /users/7?tab=a", html, 200, "<p>home"),
        ("GET /users/", html, 200, "<p>home"),
        // The headers of curl and crawlers.
        ("GET /users/7", "accept: */*", 200, "<p>home"),
        ("GET /missing.js", "accept: */*", 404, "404 Not Found\n"),
        (
            "GET /users/7",
            "accept: application/json",
            404,
            "404 Not Found\n",
        ),
        (
            "GET /users/7",
            "accept: text/html;q=0",
            404,
            "404 Not Found\n",
        ),
        ("GET /.env", "accept: */*", 404, "404 Not Found\n"),
        ("POST /users/7", html, 405, "405 Method Not Allowed\n"),
        ("GET /about.html", html, 200, "<p>about"),
    ];
    for (line, accept, status, text) in cases {
        let answer = ask(&app, line, &[accept]).await;
        assert_eq!(
            (answer.status, answer.text()),
            (status, text),
            "{line} {accept}"
        );
    }
    let page = ask(&app, "GET /users/7", &[html]).await;
    assert_eq!(page.header("vary"), "accept");
    let refused = ask(&app, "GET /.env", &[html]).await;
    assert_eq!((refused.status, refused.header("vary")), (404, "accept"));
    assert!(refused.text().contains("<h1>Not found</h1>"));
    let again = ask(
        &app,
        "GET /users/7",
        &[html, &format!("if-none-match: {}", page.header("etag"))],
    )
    .await;
    assert_eq!((again.status, again.header("vary")), (304, "accept"));

    let app = app.or(|_: Request| async { "api" });
    assert_eq!(ask(&app, "GET /users/7", &[html]).await.text(), "<p>home");
    assert_eq!(
        ask(&app, "GET /users/7", &["accept: */*"]).await.text(),
        "api"
    );
    assert_eq!(ask(&app, "POST /users/7", &[html]).await.text(), "api");
}

#[tokio::test]
async fn pages_of_a_404() {
    let (_folder, app) = site();
    let app = app.not_found("404.html").precompressed(true);
    let answer = ask(
        &app,
        "GET /nothing",
        &["range: bytes=0-1", "if-none-match: *"],
    )
    .await;
    assert_eq!((answer.status, answer.text()), (404, "<p>lost"));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    for absent in ["etag", "last-modified", "accept-ranges", "content-range"] {
        assert_eq!(answer.header(absent), "", "{absent}");
    }
    assert_eq!(ask(&app, "GET /.env", &[]).await.text(), "<p>lost");
    let encoded = ask(&app, "GET /nothing", &["accept-encoding: br"]).await;
    assert_eq!(
        (encoded.status, encoded.header("content-encoding")),
        (404, "br")
    );
    let head = ask(&app, "HEAD /nothing", &[]).await;
    assert_eq!((head.status, head.header("content-length")), (404, "7"));

    let missing = app.clone().not_found("no-such-page.html");
    assert_eq!(
        ask(&missing, "GET /nothing", &[]).await.text(),
        "404 Not Found\n"
    );
    let other = app.or(|_: Request| async { "api" });
    assert_eq!(ask(&other, "GET /nothing", &[]).await.text(), "api");
}

#[tokio::test]
async fn cache_control_and_headers_by_name() {
    let (_folder, app) = site();
    let app = app
        .hashed_names(true)
        .cache_control("*.html", "no-cache")
        .header("*.html", "content-security-policy", "default-src 'self'")
        .header("/assets/**", "access-control-allow-origin", "*")
        .header(
            "/assets/app.js",
            "access-control-allow-origin",
            "https://example.org",
        );
    let immutable = "public, max-age=31536000, immutable";
    let cases = [
        ("/", "no-cache", "default-src 'self'", ""),
        ("/about.html", "no-cache", "default-src 'self'", ""),
        ("/assets/app-B7sZ3kfd.js", immutable, "", "*"),
        ("/assets/app.js", "no-cache", "", "https://example.org"),
    ];
    for (path, cache, policy, origin) in cases {
        let answer = ask(&app, &format!("GET {path}"), &[]).await;
        let header = |name| answer.header(name);
        let found = (
            header("cache-control"),
            header("content-security-policy"),
            header("access-control-allow-origin"),
        );
        assert_eq!(found, (cache, policy, origin), "{path}");
        let again = ask(&app, &format!("GET {path}"), &["if-none-match: *"]).await;
        assert_eq!(
            (again.status, again.header("cache-control")),
            (304, cache),
            "{path}"
        );
        assert_eq!(again.header("access-control-allow-origin"), origin);
    }
}

#[tokio::test]
async fn media_types_by_extension() {
    let (_folder, app) = site();
    assert_eq!(
        ask(&app, "GET /clip.ts", &[]).await.header("content-type"),
        "text/plain; charset=utf-8"
    );
    let app = app
        .media_type(".TS", "video/mp2t")
        .media_type("html", "text/x-page");
    assert_eq!(
        ask(&app, "GET /clip.ts", &[]).await.header("content-type"),
        "video/mp2t"
    );
    assert_eq!(
        ask(&app, "GET /", &[]).await.header("content-type"),
        "text/x-page"
    );
}

#[test]
#[should_panic(expected = "a header value is visible ASCII")]
fn an_invalid_header_value_panics_when_it_is_set() {
    let _ = StaticFiles::new("public").cache_control("*", "a\r\nb");
}

#[test]
fn rules_without_effect_panic_with_their_fix() {
    type Rule = fn(StaticFiles) -> StaticFiles;
    let rules: [(Rule, &str); 7] = [
        (
            |files| files.media_type("tar.gz", "application/gzip"),
            "'*.tar.gz'",
        ),
        (
            |files| files.media_type("js,css", "text/plain"),
            "'*.{js,css}'",
        ),
        (|files| files.media_type("ts", "video"), "as in text/plain"),
        (
            |files| files.cache_control("*.[jt]s", "no-cache"),
            "'*.{j,t}s'",
        ),
        (|files| files.header("docs/", "x-a", "b"), "'docs/**'"),
        (|files| files.stored_encoded("*.tar.gz"), "archives only"),
        (|files| files.stored_encoded("./a.gz"), "begin with '/'"),
    ];
    for (rule, fix) in rules {
        let made = std::panic::catch_unwind(|| rule(StaticFiles::new("public")));
        let text = made.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains(fix), "{text}");
    }
}

#[test]
#[should_panic(expected = "content-length is set by StaticFiles itself")]
fn a_header_of_the_crate_itself_panics_when_it_is_set() {
    let _ = StaticFiles::new("public").header("*", "Content-Length", "0");
}

#[tokio::test]
async fn the_other_app_gets_the_original_request() {
    let (_folder, app) = site();
    let seen =
        |request: Request| async move { format!("{} {}", Mount::rest_of(&request), request.uri()) };
    let app = vestibule_core::Mounts::new().at("/m", app.or(seen));
    let answer = read(app.call(request("GET /m/x?y", &[])).await).await;
    assert_eq!(answer.text(), "/x /m/x?y");
}

#[test]
fn outlines_show_the_options_that_were_set() {
    let app = StaticFiles::new("public")
        .spa("app.html")
        .clean_urls(true)
        .cache_control("*.css", "max-age=60");
    let outline = Outline::of(&app);
    let options: Vec<_> = outline.options().collect();
    for option in [
        ("spa", "app.html"),
        ("clean_urls", "yes"),
        ("cache *.css", "max-age=60"),
    ] {
        assert!(options.contains(&option), "{options:?}");
    }
}
