//! Listings of folders: precedence, programs that read them, and the README below them.

use vestibule::files::StaticFiles;

use super::{Folder, Site};

#[tokio::test]
async fn a_page_takes_precedence_over_the_listing() {
    let folder = Folder::with(&[
        ("index.html", b"home"),
        ("blog.html", b"blog"),
        ("blog/post.html", b"post"),
        ("docs.html", b"docs page"),
        ("docs/index.html", b"docs folder"),
        ("photos/a.jpg", b"a"),
        ("about.html", b"about"),
        ("en/blog.html", b"en blog"),
        ("en/blog/post.html", b"en post"),
    ]);
    let cases = [
        ("/", 200, "home"),
        ("/blog", 200, "blog"),
        ("/blog?page=2", 200, "blog"),
        ("/blog/", 308, "/blog"),
        ("/blog/?page=2", 308, "/blog?page=2"),
        ("/blog/post", 200, "post"),
        ("/blog/post/", 308, "/blog/post"),
        ("/en/blog", 200, "en blog"),
        ("/en/blog/", 308, "/en/blog"),
        ("/docs", 308, "/docs/"),
        ("/docs/", 200, "docs folder"),
        ("/about/", 308, "/about"),
        ("/photos", 308, "/photos/"),
        ("/photos/", 200, "list"),
        ("/nothing/", 404, ""),
    ];
    let files = StaticFiles::new(folder.path())
        .clean_urls(true)
        .listing(true);
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.clone().indexed(1 << 20).unwrap()).await;
    for site in [live, indexed] {
        for (path, status, want) in cases {
            for answer in site.ask(&format!("GET {path} HTTP/1.1")).await {
                assert_eq!(answer.status, status, "{path}");
                match status {
                    308 => {
                        assert_eq!(answer.header("location"), want, "{path}");
                        assert_eq!(answer.header("cache-control"), "no-cache", "{path}");
                    }
                    200 if want == "list" => assert!(answer.text().contains("./a.jpg"), "{path}"),
                    200 => assert_eq!(answer.text(), want, "{path}"),
                    _ => {}
                }
            }
        }
    }
    // Without clean URLs a folder shows its listing.
    let site = Site::start(files.clean_urls(false)).await;
    for answer in site.ask("GET /blog/ HTTP/1.1").await {
        assert!(answer.text().contains("./post.html"));
    }
}

#[tokio::test]
async fn crawlers_do_not_follow_links_to_other_orders() {
    let folder = Folder::with(&[("a.txt", b"a"), ("sub/b.txt", b"b")]);
    let site = Site::start(StaticFiles::new(folder.path()).listing(true)).await;
    for (query, want) in [
        ("", "\"noindex\""),
        ("?page=2", "\"noindex\""),
        ("?sort=name&order=asc&page=1", "\"noindex\""),
        ("?sort=name&order=desc&page=1", "\"noindex, nofollow\""),
        ("?sort=size&order=desc&page=1", "\"noindex, nofollow\""),
        ("?sort=date&order=asc&page=1", "\"noindex, nofollow\""),
        ("?sort=size", "\"noindex, nofollow\""),
    ] {
        for path in ["/", "/sub/"] {
            for answer in site.ask(&format!("GET {path}{query} HTTP/1.1")).await {
                let text = answer.text();
                let robots = format!("<meta name=\"robots\" content={want}>");
                assert!(text.contains(&robots), "{path}{query}");
                assert!(text.contains("Modified (UTC)"), "{path}{query}");
                // Each link to another order is marked as well.
                assert_eq!(text.matches("<a rel=\"nofollow\" href=\"?sort=").count(), 3);
            }
        }
    }
}

#[tokio::test]
async fn the_readme_is_below_the_listing_and_its_html_is_escaped() {
    let large = vec![b'a'; 300_000];
    let cases: [(&str, &[u8], &str, bool); 10] = [
        (
            "README.md",
            b"# Hello\n\n*world*",
            "<h2>Hello</h2>\n<p><em>world</em></p>",
            true,
        ),
        ("readme.MD", b"# Hello", "<h2>Hello</h2>", true),
        ("README", b"a <b> c", "<pre>a &lt;b&gt; c</pre>", true),
        ("README.txt", b"plain", "<pre>plain</pre>", true),
        (
            "README.md",
            b"<script>alert(1)</script>",
            "&lt;script&gt;",
            true,
        ),
        ("README.md", b"[x](javascript:alert(1))", "<article", true),
        ("README.html", b"<p>html", "<article", false),
        ("README.md", b"\xff\xfe binary", "<article", false),
        ("README.md", b"", "<article", false),
        ("README.md", &large, "<article", false),
    ];
    for (name, content, want, is_shown) in cases {
        let folder = Folder::with(&[(name, content), ("sub/a.txt", b"a")]);
        let files = StaticFiles::new(folder.path()).listing(true);
        let site = Site::start(files.clone()).await;
        for answer in site.ask("GET / HTTP/1.1").await {
            let text = answer.text();
            assert_eq!(text.contains(want), is_shown, "{name} {want}");
            assert!(
                !text.contains("<script") && !text.contains("javascript:"),
                "{name}"
            );
        }
        for answer in site.ask("GET /sub/ HTTP/1.1").await {
            assert!(
                !answer.text().contains("<article"),
                "{name}: another folder"
            );
        }
        let without = Site::start(files.readme(false)).await;
        for answer in without.ask("GET / HTTP/1.1").await {
            assert!(!answer.text().contains("<article"), "{name}: switched off");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_readme_that_is_not_served_is_not_shown() {
    use std::os::unix::fs::symlink;

    let outside = Folder::with(&[("secret.md", b"secret")]);
    let folder = Folder::with(&[
        ("a/x", b"x"),
        ("b/README.md", b"secret"),
        ("c/README.md/x", b"x"),
    ]);
    symlink(
        outside.path().join("secret.md"),
        folder.path().join("a/README.md"),
    )
    .unwrap();
    let files = StaticFiles::new(folder.path())
        .listing(true)
        .hide("/b/README.md");
    let site = Site::start(files).await;
    for path in ["/a/", "/b/", "/c/"] {
        for answer in site.ask(&format!("GET {path} HTTP/1.1")).await {
            assert_eq!(answer.status, 200, "{path}");
            let text = answer.text();
            assert!(
                !text.contains("secret") && !text.contains("<article"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_compressed_copy_of_a_hidden_file_is_hidden() {
    let folder = Folder::with(&[
        ("draft.html", b"secret"),
        ("draft.html.gz", b"secret"),
        ("js/app.js", b"let a"),
        ("js/app.js.map", b"secret"),
        ("js/app.js.map.br", b"secret"),
        ("js/app.js.map.zst", b"secret"),
    ]);
    let files = StaticFiles::new(folder.path())
        .precompressed(true)
        .listing(true)
        .archives(true)
        .hide("draft.html")
        .hide("*.map");
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
    let paths = [
        ("/draft.html", 404),
        ("/draft.html.gz", 404),
        ("/js/app.js", 200),
        ("/js/app.js.map", 404),
        ("/js/app.js.map.br", 404),
        ("/js/app.js.map.zst", 404),
        ("/js/app.js.map.BR", 404),
        ("/", 200),
        ("/js/", 200),
        ("/?archive=tar", 200),
        ("/js/?archive=zip", 200),
    ];
    for site in [live, indexed] {
        for (path, status) in paths {
            for accept in ["identity", "gzip, br, zstd"] {
                let text = format!("GET {path} HTTP/1.1\naccept-encoding: {accept}");
                for answer in site.ask(&text).await {
                    assert_eq!(answer.status, status, "{path}");
                    let text = answer.text();
                    assert!(
                        !text.contains("secret") && !text.contains(".map"),
                        "{path}: {text}"
                    );
                    assert!(!text.contains("draft"), "{path}: {text}");
                }
            }
        }
    }
}
