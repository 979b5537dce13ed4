//! `vestibule serve FILE`: one file, and nothing else of its directory.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::{Running, Scratch, text, vestibule};

fn folder(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    for (name, content) in [
        ("page.html", "<p>page"),
        ("page.html.br", "(brotli)"),
        ("page.html.bak", "backup"),
        ("page", "no ending"),
        ("index.html", "<p>index"),
        ("secret.txt", "secret"),
        (".env", "KEY=1"),
    ] {
        scratch.write(name, content);
    }
    std::fs::create_dir(format!("{}/sub", scratch.path())).unwrap();
    scratch.write("sub/page.html", "<p>sub");
    scratch
}

#[test]
fn a_file_is_served_at_its_name_and_at_the_root() {
    let scratch = folder("one-file");
    let file = format!("{}/page.html", scratch.path());
    let site = Running::serve(&[&file]);
    assert!(
        site.welcome.contains("/page.html\n     at http://"),
        "{}",
        site.welcome
    );
    for path in ["", "page.html"] {
        let answer = site.curl(&[], path);
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("<p>page"),
            "{answer}"
        );
        assert!(
            answer.contains("content-type: text/html; charset=utf-8\r\n"),
            "{answer}"
        );
        let tag = answer
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let again = site.curl(&["-H", &format!("if-none-match: {tag}")], path);
        assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
        let range = site.curl(&["--range", "3-4"], path);
        assert!(
            range.starts_with("HTTP/1.1 206 ") && range.ends_with("\r\n\r\npa"),
            "{range}"
        );
        let head = site.curl(&["--head"], path);
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 7\r\n"),
            "{head}"
        );
        let h2 = site.curl(&["--http2-prior-knowledge"], path);
        assert!(
            h2.starts_with("HTTP/2 200 ") && h2.ends_with("<p>page"),
            "{h2}"
        );
    }
    site.interrupt();
}

#[test]
fn nothing_beside_the_file_is_reachable() {
    let scratch = folder("one-file-alone");
    let file = format!("{}/page.html", scratch.path());
    for options in [&[][..], &["--precompressed"], &["--clean-urls"]] {
        let site = Running::serve(&[&[&*file], options].concat());
        for path in [
            "secret.txt",
            "index.html",
            "page.html.bak",
            ".env",
            "sub",
            "sub/",
            "sub/page.html",
            "./secret.txt",
            "page.html/",
            "page.html/x",
            "page.html/../secret.txt",
            "page.html%2f..%2fsecret.txt",
            "..",
            "%2e%2e/",
            "PAGE.HTML",
            "page.html%00",
            "?file=secret.txt",
        ] {
            let accept = ["--path-as-is", "-H", "accept: text/html, application/json"];
            let [first, second] = ["--http1.1", "--http2-prior-knowledge"]
                .map(|version| site.curl(&[&accept[..], &[version]].concat(), path));
            let is_found =
                |answer: &str| answer.lines().next().is_some_and(|it| it.contains(" 200 "));
            let is_root = path.starts_with('?');
            assert_eq!(is_found(&first), is_root, "{options:?} {path}: {first}");
            assert_eq!(is_found(&second), is_root, "{options:?} {path}: {second}");
            for other in [
                "secret\n",
                "backup",
                "KEY=1",
                "<p>sub",
                "<p>index",
                "secret.txt\"",
            ] {
                assert!(
                    !first.contains(other) && !second.contains(other),
                    "{path}: {first}{second}"
                );
            }
        }
        let copy = site.curl(&[], "page.html.br");
        assert_eq!(
            copy.starts_with("HTTP/1.1 200 "),
            options == ["--precompressed"],
            "{copy}"
        );
        let coded = site.curl(&["-H", "accept-encoding: br", "--head"], "");
        assert_eq!(
            coded.contains("content-encoding: br\r\n"),
            options == ["--precompressed"],
            "{coded}"
        );
        let clean = site.curl(&[], "page");
        assert_eq!(
            clean.ends_with("<p>page"),
            options == ["--clean-urls"],
            "{clean}"
        );
        site.interrupt();
    }
}

#[test]
fn files_of_every_kind_of_name() {
    let scratch = folder("one-file-names");
    let at = |name: &str| format!("{}/{name}", scratch.path());
    symlink("secret.txt", at("link.txt")).unwrap();
    scratch.write("a b#c?.txt", "odd");
    for (name, path, content) in [
        ("link.txt", "link.txt", "secret"),
        (".env", ".env", "KEY=1"),
        ("a b#c?.txt", "a%20b%23c%3F.txt", "odd"),
        ("page", "page", "no ending"),
    ] {
        let site = Running::serve(&[&at(name)]);
        assert!(site.welcome.contains(&at(name)), "{}", site.welcome);
        for path in ["", path] {
            let answer = site.curl(&[], path);
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(content),
                "{name}: {answer}"
            );
        }
        if name == "link.txt" {
            assert!(site.curl(&[], "secret.txt").starts_with("HTTP/1.1 404 "));
            // A link that gets another target is that file from then on.
            symlink("page.html", at("new")).unwrap();
            std::fs::rename(at("new"), at("link.txt")).unwrap();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while !site.curl(&[], "link.txt").ends_with("<p>page") {
                assert!(
                    std::time::Instant::now() < deadline,
                    "it is still the old target"
                );
            }
        }
        site.interrupt();
    }
}

#[test]
fn a_file_is_watched_by_the_path_from_the_working_directory() {
    let scratch = folder("one-file-watch");
    let mut command = vestibule(&["serve", "page.html", "-P", "0", "--watch"]);
    let site = Running::start(command.current_dir(scratch.path()));
    let page = site.curl(&["-H", "accept: text/html"], "");
    assert!(
        page.contains("<p>page\n<script src=\"/-/reload.js\""),
        "{page}"
    );
    let mut events = crate::Events::of(&site);
    events.next("data: now ");
    scratch.write("secret.txt", "changes, and nobody cares");
    scratch.write("page.html", "<p>other");
    events.next("data: files ");
    site.interrupt();
}

#[test]
fn what_is_neither_is_refused() {
    let scratch = Scratch::new("one-file-none");
    let socket = Path::new(scratch.path()).join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let output = vestibule(&["serve", socket.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(
        text(&output).contains("neither a directory nor a regular file"),
        "{}",
        text(&output)
    );
    scratch.write("a.html", "");
    let file = format!("{}/a.html", scratch.path());
    let output = vestibule(&["serve", &file, "--spa"]).output().unwrap();
    assert!(
        text(&output).starts_with("vestibule: --spa has no effect on one file"),
        "{}",
        text(&output)
    );
}
