//! What a site says of itself: headers and redirects from its own files, pages of errors, hidden files, archives.

use std::process::Command;

use crate::{Running, Scratch, text, vestibule};

#[test]
fn headers_and_redirects_come_from_the_files_of_the_site() {
    let site = Scratch::new("site-files");
    site.write("a.txt", "a");
    site.write(
        "_headers",
        "/*\n  X-Frame-Options: DENY\n/a.txt\n  Cache-Control: max-age=60\n",
    );
    site.write("_redirects", "/old/* /:splat 301\n");
    let running = Running::serve(&[site.path(), "--site-files"]);
    let file = running.curl(&[], "a.txt");
    assert!(file.contains("x-frame-options: DENY\r\n"), "{file}");
    assert!(file.contains("cache-control: max-age=60\r\n"), "{file}");
    let moved = running.curl(&[], "old/a.txt");
    assert!(moved.starts_with("HTTP/1.1 301 "), "{moved}");
    assert!(moved.contains("location: /a.txt\r\n") && moved.contains("x-frame-options: DENY\r\n"));
    for name in ["_headers", "_redirects"] {
        let hidden = running.curl(&[], name);
        assert!(hidden.starts_with("HTTP/1.1 404 "), "{hidden}");
        assert!(!running.curl(&[], "").contains(name));
    }
    running.interrupt();

    // Without the option they are files.
    let running = Running::serve(&[site.path()]);
    assert!(running.curl(&[], "_headers").contains("X-Frame-Options"));
    assert!(!running.curl(&[], "a.txt").contains("x-frame-options"));
    running.interrupt();

    site.write("_headers", "X-A: 1\n/*\n  Content-Length: 5\n");
    let wrong = vestibule(&["serve", site.path(), "--site-files"]).output();
    let wrong = text(&wrong.unwrap());
    assert!(
        wrong.contains("_headers`:\nline 1: ") && wrong.contains("\nline 3: "),
        "{wrong}"
    );

    let empty = Scratch::new("no-site-files");
    let wrong = vestibule(&["serve", empty.path(), "--site-files"]).output();
    let wrong = text(&wrong.unwrap());
    assert!(
        wrong.contains("neither `_headers` nor `_redirects`"),
        "{wrong}"
    );
}

#[test]
fn errors_have_pages_and_files_can_be_hidden() {
    let site = Scratch::new("error-pages");
    std::fs::create_dir_all(format!("{}/de", site.path())).unwrap();
    for (name, content) in [
        ("404.html", "lost"),
        ("de/404.html", "verirrt"),
        ("read-only.html", "read only"),
        ("a.bak", "old"),
        ("README.md", "# Read <me>"),
    ] {
        site.write(name, content);
    }
    let running = Running::serve(&[
        site.path(),
        "--nearest-not-found",
        "--error-page",
        "405=read-only.html",
        "--hide",
        "*.bak",
    ]);
    for (arguments, path, status, content) in [
        (&[][..], "nothing", "404", "lost"),
        (&[], "de/nothing", "404", "verirrt"),
        (&[], "a.bak", "404", "lost"),
        (&["-X", "DELETE"], "404.html", "405", "read only"),
        (&[], "", "200", "</html>\n"),
    ] {
        let answer = running.curl(arguments, path);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
        assert!(answer.ends_with(content), "{path}: {answer}");
    }
    let list = running.curl(&[], "");
    assert!(
        list.contains("Read &lt;me&gt;</h2>") && !list.contains("a.bak"),
        "{list}"
    );
    assert!(!list.contains("archive"));
    running.interrupt();

    for (arguments, want) in [
        (&["--error-page", "200=a"][..], "a status from 400 to 599"),
        (&["--error-page", "404"], "a status from 400 to 599"),
        (&["--archives", "--no-listing"], "cannot be used with"),
    ] {
        let wrong = vestibule(&[&["serve", site.path()], arguments].concat()).output();
        let wrong = text(&wrong.unwrap());
        assert!(wrong.contains(want), "{arguments:?}: {wrong}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_is_sent_as_an_archive() {
    let site = Scratch::new("archives");
    site.write("a.txt", "hello");
    let running = Running::serve(&[site.path(), "--archives", "--no-readme"]);
    assert!(running.curl(&[], "").contains("value=\"zip\""));
    let target = Scratch::new("unpacked");
    let archive = format!("{}/archive.tar", target.path());
    let url = format!("{}?archive=tar", running.address);
    let got = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--output",
            &archive,
            &url,
        ])
        .status();
    assert!(got.unwrap().success());
    let unpacked = Command::new("tar")
        .args(["-xf", &archive, "-C", target.path()])
        .status();
    assert!(unpacked.unwrap().success());
    let content = std::fs::read(format!("{}/files/a.txt", target.path())).unwrap();
    assert_eq!(content, b"hello");
    running.interrupt();
}
