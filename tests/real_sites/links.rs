//! Symbolic links inside a folder, with targets of every form.

use std::os::unix::fs::symlink;

use vestibule::files::{StaticFiles, Symlinks};

use super::{Folder, Site};

/// Creates the folder `base`, with the root in `base/releases/5` and a link `base/current` to it.
fn folder() -> Folder {
    let base = Folder::with(&[
        ("releases/5/real/f.txt", b"inside"),
        ("releases/5/index.html", b"<p>"),
        ("releases/5-old/f.txt", b"outside"),
        ("secret.txt", b"outside"),
    ]);
    let path = base.path();
    let root = path.join("releases/5");
    symlink("stable", path.join("current")).unwrap();
    symlink(&root, path.join("stable")).unwrap();
    let links = [
        ("abs", root.join("real/f.txt")),
        ("by-current", path.join("current/real/f.txt")),
        ("by-stable", path.join("stable/real/f.txt")),
        ("folder", root.join("real")),
        ("folder-slash", root.join("real/")),
        ("chain", path.join("current/by-stable")),
        ("chain-relative", "chain".into()),
        ("real/up", root.join("real/../abs")),
        ("dots-before", path.join("releases/../current/real/f.txt")),
        ("itself", root.clone()),
        ("out", path.join("secret.txt")),
        ("out-by-dots", root.join("../../secret.txt")),
        ("out-by-link", root.join("parent/secret.txt")),
        ("parent", "..".into()),
        ("neighbour", path.join("releases/5-old/f.txt")),
        ("loop", root.join("loop")),
        ("dangling", root.join("nothing")),
        ("proc", "/proc/self/root".into()),
        ("cwd", "/proc/self/cwd".into()),
        ("fd", "/dev/fd/0".into()),
        ("system", "/etc/passwd".into()),
    ];
    for (name, target) in links {
        symlink(target, root.join(name)).unwrap();
    }
    base
}

#[tokio::test]
async fn only_links_that_stay_inside_are_found() {
    let base = folder();
    // By policy: deny, beneath, follow; the content, or nothing.
    let cases = [
        ("/real/f.txt", ["inside", "inside", "inside"]),
        ("/abs", ["", "inside", "inside"]),
        ("/by-current", ["", "inside", "inside"]),
        ("/by-stable", ["", "inside", "inside"]),
        ("/folder/f.txt", ["", "inside", "inside"]),
        ("/folder-slash/f.txt", ["", "inside", "inside"]),
        ("/folder/up", ["", "inside", "inside"]),
        ("/chain", ["", "inside", "inside"]),
        ("/chain-relative", ["", "inside", "inside"]),
        ("/real/up", ["", "inside", "inside"]),
        ("/dots-before", ["", "inside", "inside"]),
        ("/itself/itself/abs", ["", "inside", "inside"]),
        ("/out", ["", "", "outside"]),
        ("/out-by-dots", ["", "", "outside"]),
        ("/out-by-link", ["", "", ""]),
        ("/neighbour", ["", "", "outside"]),
        ("/loop", ["", "", ""]),
        ("/dangling", ["", "", ""]),
        ("/proc/etc/passwd", ["", "", ""]),
        ("/cwd/Cargo.toml", ["", "", ""]),
        ("/fd", ["", "", ""]),
        ("/abs/f.txt", ["", "", ""]),
    ];
    for root in ["current", "releases/5", "releases/../stable"] {
        let rules = [Symlinks::Deny, Symlinks::Beneath, Symlinks::Follow];
        for (rule, symlinks) in rules.into_iter().enumerate() {
            let files = StaticFiles::new(base.path().join(root)).symlinks(symlinks);
            let site = Site::start(files.clone()).await;
            let indexed = Site::start(files.indexed(1 << 20).unwrap()).await;
            for (path, expected) in &cases {
                let mut expected = expected[rule];
                // A root has the paths with which it was configured, and not those of other links.
                let by_current = matches!(
                    *path,
                    "/by-current" | "/dots-before" | "/chain" | "/chain-relative"
                );
                if by_current && root != "current" && symlinks == Symlinks::Beneath {
                    expected = "";
                }
                if *path == "/by-stable" && root == "releases/5" && symlinks == Symlinks::Beneath {
                    expected = "";
                }
                for site in [&site, &indexed] {
                    let mut answers = site.ask(&format!("GET {path} HTTP/1.1")).await.to_vec();
                    answers.extend(site.ask(&format!("GET {path} HTTP/1.1")).await);
                    for answer in answers {
                        let case = format!("{root}, {symlinks}, {path}");
                        if expected.is_empty() {
                            assert_eq!(answer.status, 404, "{case}");
                        } else {
                            assert_eq!(answer.text(), expected, "{case}");
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn listings_have_the_links_that_are_found() {
    let base = folder();
    let files = StaticFiles::new(base.path().join("current")).listing(true);
    // The root has an index page.
    std::fs::remove_file(base.path().join("releases/5/index.html")).unwrap();
    let site = Site::start(files).await;
    for answer in site.ask("GET / HTTP/1.1\naccept: text/html").await {
        let page = answer.text();
        for found in ["abs", "by-current", "folder/", "chain", "itself/"] {
            assert!(
                page.contains(&format!("href=\"./{found}\"")),
                "{found}: {page}"
            );
        }
        for missing in [
            "out",
            "parent",
            "neighbour",
            "loop",
            "dangling",
            "proc",
            "cwd",
            "system",
        ] {
            assert!(!page.contains(&format!("href=\"./{missing}")), "{missing}");
        }
    }
    for answer in site.ask("GET /folder/ HTTP/1.1\naccept: text/html").await {
        assert!(answer.text().contains("href=\"./f.txt\""), "{answer:?}");
    }
}

/// A deployment replaces the link to the root. Links in both releases lead to their own release or
/// to the replaced link.
#[tokio::test]
async fn links_through_a_root_that_is_swapped() {
    let base = Folder::with(&[("one/f.txt", b"one"), ("two/f.txt", b"two")]);
    let path = base.path();
    for release in ["one", "two"] {
        symlink(
            path.join(release).join("f.txt"),
            path.join(release).join("own"),
        )
        .unwrap();
        symlink(
            path.join("current/f.txt"),
            path.join(release).join("shared"),
        )
        .unwrap();
    }
    for release in ["one", "two"] {
        symlink(release, path.join("draft")).unwrap();
        std::fs::rename(path.join("draft"), path.join("current")).unwrap();
        let site = Site::start(StaticFiles::new(path.join("current"))).await;
        for name in ["own", "shared"] {
            for answer in site.ask(&format!("GET /{name} HTTP/1.1")).await {
                assert_eq!(answer.text(), release, "{name}");
            }
        }
    }
}
