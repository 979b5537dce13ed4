//! Paths made to get out, by the thousand, and any paths at all against a walk that is too simple to be wrong.

use std::fs;
use std::path::{Component, Path};

use proptest::prelude::*;
use vestibule_core::App;
use vestibule_static::{StaticFiles, Symlinks};

use crate::support::{Folder, read, request};

/// How `..` is spelt by those who try.
const DOTS: [&str; 16] = [
    "..",
    "%2e%2e",
    "%2E%2E",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "..;",
    "...",
    "....",
    "..%00",
    ".%00.",
    "%u002e%u002e",
    "..%20",
    "%2e%2e%09",
];

/// How `/` is.
const SLASHES: [&str; 14] = [
    "/",
    "//",
    "/./",
    "%2f",
    "%2F",
    "%252f",
    "%5c",
    "%5C",
    "%255c",
    "%c0%af",
    "%e0%80%af",
    "%u2215",
    "\\",
    "/\\",
];

const TARGETS: [&str; 5] = [
    "secret",
    "etc/passwd",
    "root2/secret",
    "secret%00.html",
    "secret%23",
];

const PREFIXES: [&str; 6] = ["/", "/sub/", "/sub/deep/", "/none/", "//", "/%2f"];

fn site() -> (Folder, std::path::PathBuf) {
    let folder = Folder::new();
    folder.file("secret", "SECRET");
    folder.file("etc/passwd", "SECRET");
    folder.file("root2/secret", "SECRET");
    folder.file("root/index.html", "home");
    folder.file("root/sub/deep/x", "deep");
    let root = folder.folder("root");
    (folder, root)
}

#[tokio::test]
async fn the_corpus_leaks_nothing() {
    let (_folder, root) = site();
    let apps = [
        StaticFiles::new(&root)
            .listing(true)
            .dotfiles(true)
            .clean_urls(true),
        StaticFiles::new(&root).symlinks(Symlinks::Follow),
    ];
    let mut count = 0;
    for prefix in PREFIXES {
        for dots in DOTS {
            for slash in SLASHES {
                for depth in 1..=4 {
                    for target in TARGETS {
                        let path =
                            format!("{prefix}{}{target}", format!("{dots}{slash}").repeat(depth));
                        if path.parse::<http::Uri>().is_err() {
                            continue;
                        }
                        for (app, method) in apps.iter().zip(["GET", "HEAD"].into_iter().cycle()) {
                            let line = format!("{method} {path}");
                            let answer = read(app.call(request(&line, &[])).await).await;
                            let leaks = answer.body.windows(6).any(|bytes| bytes == b"SECRET");
                            assert!(
                                !leaks && matches!(answer.status, 400 | 404),
                                "{path}: {}",
                                answer.status
                            );
                        }
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count >= 22_589, "{count} paths");
}

/// What a path names: each segment decoded once, none of them special, all of them below the root.
fn reference(root: &Path, path: &str) -> Option<Vec<u8>> {
    let mut found = root.to_owned();
    for segment in path.strip_prefix('/')?.split('/') {
        let bytes = decode(segment)?;
        let text = String::from_utf8(bytes).ok()?;
        if text.is_empty()
            || text.starts_with('.')
            || text.contains(['/', '\\'])
            || text.chars().any(char::is_control)
        {
            return None;
        }
        found.push(text);
    }
    let real = found.canonicalize().ok()?;
    let is_below =
        real.starts_with(root) && !real.components().any(|part| part == Component::ParentDir);
    (is_below && real.is_file()).then(|| fs::read(real).unwrap())
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(
            u8::from_str_radix(digits, 16)
                .ok()
                .filter(|_| !digits.starts_with('+'))?,
        );
        rest = &rest[2..];
    }
    Some(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_path_is_the_file_that_it_names_or_nothing(
        path in "(/(a|b|sub|deep|x|in|out|%61|%62|s%75b|\\.|\\.\\.|%2e|%2E%2e|%2f|%5c|%25|\\.env|[a-x.%2]{0,3})){1,5}/?"
    ) {
        thread_local! {
            static SITE: (Folder, std::path::PathBuf, tokio::runtime::Runtime) = {
                let (folder, root) = site();
                for name in ["a", "b", "x", "sub/a", "sub/b", "sub/x", "sub/deep/a", "in/x", ".env", "a.b", "%2e", "%61"] {
                    folder.file(&format!("root/{name}"), format!("file {name}"));
                }
                std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
                std::os::unix::fs::symlink("../in", root.join("sub/in")).unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                (folder, root, runtime)
            };
        }
        if path.parse::<http::Uri>().is_ok() {
            SITE.with(|(_, root, runtime)| {
                let app = StaticFiles::new(root).index([""; 0]);
                let answer = runtime.block_on(async { read(app.call(request(&format!("GET {path}"), &[])).await).await });
                match reference(root, &path) {
                    Some(bytes) => assert_eq!((answer.status, &*answer.body), (200, &*bytes), "{path}"),
                    None => assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status),
                }
            });
        }
    }
}
