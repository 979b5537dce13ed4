//! Routes of a single-page app, and the clients that get its page.

use vestibule::files::StaticFiles;
use vestibule::prelude::*;

use super::{Folder, Site};

const BROWSER: &str =
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

fn dist() -> Folder {
    Folder::with(&[
        ("index.html", b"the page"),
        ("assets/app.js", b"app"),
        (".git/config", b"secret"),
        (".env", b"secret"),
    ])
}

#[tokio::test]
async fn routes_that_are_not_file_names_get_the_page() {
    let folder = dist();
    let token = format!("/verify/{}.{}", "eyJhbGciOi", "a".repeat(289));
    let deep = "/segment".repeat(600);
    let cases = [
        // routes
        ("/users/7", BROWSER, 200),
        ("/users/7/", BROWSER, 200),
        ("/users/7?tab=a%2Fb", BROWSER, 200),
        (&*token, BROWSER, 200),
        (&*token, "*/*", 200),
        (&*deep, BROWSER, 200),
        ("/repo/owner%2Fname", BROWSER, 200),
        ("/repo/owner%2Fname", "*/*", 200),
        ("/search/a%5Cb", BROWSER, 200),
        ("/search/line%0Abreak", BROWSER, 200),
        ("/search/50%25", BROWSER, 200),
        ("/users/john.doe", BROWSER, 200),
        ("/users/caf%C3%A9", BROWSER, 200),
        ("/release/v1.2", "*/*", 200),
        ("/index.html/more", BROWSER, 200),
        ("/assets/app.js/", BROWSER, 200),
        // files
        ("/assets/app.js", BROWSER, 200),
        // scripts, images and data
        ("/assets/gone.js", "*/*", 404),
        ("/gone.png", "image/avif,image/webp,*/*;q=0.8", 404),
        ("/gone.css", "text/css,*/*;q=0.1", 404),
        ("/api/users", "application/json, text/plain, */*", 404),
        ("/api/users", "application/json", 404),
        // refused for a leading dot
        ("/.git/config", BROWSER, 404),
        ("/.env", BROWSER, 404),
        ("/.not-there", BROWSER, 404),
        ("/users/.settings", BROWSER, 404),
        ("/a%2F..%2F..%2Fetc%2Fpasswd", BROWSER, 404),
        ("/a%5C.env", BROWSER, 404),
        // programs expect a 404 here
        ("/.well-known/assetlinks.json", BROWSER, 404),
        ("/.well-known/apple-app-site-association", "*/*", 404),
        // ambiguous paths
        ("/a/../b", BROWSER, 400),
        ("/a%00", BROWSER, 400),
        ("/50%", BROWSER, 400),
    ];
    let files = StaticFiles::new(folder.path()).spa("index.html");
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
    for site in [live, indexed] {
        for (path, accept, status) in cases {
            for method in ["GET", "HEAD"] {
                let request = format!("{method} {path} HTTP/1.1\naccept: {accept}");
                for answer in site.ask(&request).await {
                    assert_eq!(answer.status, status, "{request}");
                    let text = answer.text();
                    assert!(!text.contains("secret"), "{request}");
                    if status == 200 && method == "GET" && path != "/assets/app.js" {
                        assert_eq!(text, "the page", "{request}");
                    }
                }
            }
        }
        for answer in site.ask("GET /users/7 HTTP/1.1").await {
            assert_eq!(answer.text(), "the page", "without Accept");
        }
        for answer in site.ask("POST /users/7 HTTP/1.1\naccept: text/html").await {
            assert_eq!(answer.status, 405);
        }
    }
}

#[tokio::test]
async fn the_other_app_gets_requests_that_are_not_navigations() {
    let folder = dist();
    let files = StaticFiles::new(folder.path()).spa("index.html");
    let site = Site::start(files.or(|_: Request| async { "api" })).await;
    for (path, accept, want) in [
        ("/users/7", BROWSER, "the page"),
        ("/repo/owner%2Fname", BROWSER, "the page"),
        ("/api/users", "*/*", "api"),
        ("/repo/owner%2Fname", "*/*", "api"),
        ("/.env", BROWSER, "api"),
    ] {
        for answer in site
            .ask(&format!("GET {path} HTTP/1.1\naccept: {accept}"))
            .await
        {
            assert_eq!(answer.text(), want, "{path} {accept}");
        }
    }
}

#[tokio::test]
async fn below_a_mount_routes_are_those_of_the_mount() {
    let folder = dist();
    let files = StaticFiles::new(folder.path()).spa("index.html");
    let site = Site::start(Mounts::new().at("/app", files)).await;
    for (path, status) in [
        ("/app/users/7", 200),
        ("/app/repo/owner%2Fname", 200),
        ("/app/.env", 404),
        ("/other", 404),
    ] {
        for answer in site
            .ask(&format!("GET {path} HTTP/1.1\naccept: {BROWSER}"))
            .await
        {
            assert_eq!(answer.status, status, "{path}");
        }
    }
}
