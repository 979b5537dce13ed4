//! Files with a content hash in their names are cached for a year; all others are not.

use vestibule::files::StaticFiles;

use super::{Folder, Site};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

#[tokio::test]
async fn only_names_with_a_hash_are_immutable() {
    let hashed = [
        "chunk-YQ4F7G2H.js",
        "main-5BWQYH6M.js",
        "index-DiwrgTda.js",
        "main.8f3a2b1c.chunk.js",
        "main.8f3a2b1c.chunk.js.map",
        "assets/index-B7sZ3kfd.css",
        "assets/inter-DaX9-3kQ.woff2",
        "static/css/styles.55e7cbb9ba48.css",
        "_next/static/media/e4af272ccee01ff0-s.p.woff2",
        "_nuxt/CdjCyF0J.js",
        "_app/immutable/nodes/0.BvX3k2aZ.js",
        "app-8f3a2b1c4d5e6f70_bg.wasm",
    ];
    let innocent = [
        "MyTool-Win64Latest.exe",
        "case-iPhone15Pro.png",
        "assets/case-iPhone15Pro.png",
        "assets/tool-8f3a2b1c4d5e6f708192.tar.gz",
        "assets/tool-8f3a2b1c.zip",
        "assets/photo-20261123.jpg",
        "assets/user-HomePage.js",
        "images/3f2504e0-4f89-41d3-9a0c-0305e82cc3f1.jpg",
        "jquery-3.7.1.min.js",
        "index.8f3a2b1c.html",
        "manual.8f3a2b1c4d5e6f70.pdf",
        "sw.js",
    ];
    let folder = Folder::with(&[]);
    for name in hashed.iter().chain(&innocent) {
        folder.write(name, b"content");
    }
    let files = StaticFiles::new(folder.path()).hashed_names(true);
    let live = Site::start(files.clone()).await;
    let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
    for site in [live, indexed] {
        let names = hashed.iter().map(|it| (it, true));
        for (name, want) in names.chain(innocent.iter().map(|it| (it, false))) {
            for lines in ["", "\nrange: bytes=0-1", "\nif-none-match: *"] {
                for method in ["GET", "HEAD"] {
                    let request = format!("{method} /{name} HTTP/1.1{lines}");
                    for answer in site.ask(&request).await {
                        let found = answer.header("cache-control");
                        assert_eq!(found == IMMUTABLE, want, "{request:?}: {found}");
                    }
                }
            }
        }
    }
}
