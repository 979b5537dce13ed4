//! `--watch`: one event for each change of what a visitor gets.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::{Events, Running, Scratch, curl};

/// The number in a version, which grows by one with each change.
fn number(version: &str) -> u64 {
    version.rsplit('.').next().unwrap().parse().unwrap()
}

/// Puts a link to `target` in the place of what is called `name`.
fn link(target: &str, name: &Path) {
    let new = name.with_extension("new-link");
    symlink(target, &new).unwrap();
    fs::rename(new, name).unwrap();
}

#[test]
fn each_change_is_one_event() {
    let scratch = Scratch::new("watch-events");
    let at = |name: &str| Path::new(scratch.path()).join(name);
    for folder in ["releases/1/shared", "releases/2/shared", "outside"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for release in ["1", "2"] {
        for file in [
            "index.html",
            "style.css",
            "shared/a.txt",
            "shared/b.txt",
            ".env",
        ] {
            scratch.write(&format!("releases/{release}/{file}"), "old");
        }
        symlink("shared", at(&format!("releases/{release}/linked"))).unwrap();
        symlink("shared/a.txt", at(&format!("releases/{release}/file.txt"))).unwrap();
        symlink("../../outside", at(&format!("releases/{release}/leaves"))).unwrap();
        symlink("..", at(&format!("releases/{release}/shared/up"))).unwrap();
    }
    link("releases/1", &at("current"));
    let log = at("current/access.log");
    let root = at("current");
    let options = ["--watch", "--log", log.to_str().unwrap()];
    let running = Running::serve(&[&[root.to_str().unwrap()], &options[..]].concat());
    let mut events = Events::of(&running);
    let mut last = number(&events.next("data: now "));
    type Act<'a> = (&'a str, &'a str, &'a dyn Fn());
    let acts: [Act<'_>; 10] = [
        ("below a linked folder", "files", &|| {
            scratch.write("current/linked/b.txt", "longer")
        }),
        ("the target of a link", "files", &|| {
            scratch.write("current/shared/a.txt", "longer")
        }),
        ("a style sheet", "styles", &|| {
            scratch.write("current/style.css", "longer")
        }),
        ("a link is swapped", "files", &|| {
            link("shared/b.txt", &at("releases/1/file.txt"))
        }),
        ("a mode", "files", &|| {
            fs::set_permissions(at("current/index.html"), fs::Permissions::from_mode(0o600))
                .unwrap();
        }),
        ("several files of a build", "files", &|| {
            for name in ["a.js", "b.js", "c.js", "index.html"] {
                scratch.write(&format!("current/{name}"), "built");
            }
        }),
        ("a file is gone", "files", &|| {
            fs::remove_file(at("current/b.js")).unwrap()
        }),
        ("a folder is new", "files", &|| {
            fs::create_dir(at("current/new")).unwrap()
        }),
        ("a deploy swaps the root", "files", &|| {
            link("releases/2", &at("current"))
        }),
        ("a file of the new root", "files", &|| {
            scratch.write("releases/2/index.html", "longer")
        }),
    ];
    for (name, kind, act) in acts {
        // These change nothing that a visitor gets, and give no event of their own.
        scratch.write("outside/o.txt", name);
        scratch.write("current/.env", name);
        assert!(
            curl(&[], &format!("{}style.css", running.address)).is_ok(),
            "a line of the log"
        );
        act();
        let version = number(&events.next(&format!("data: {kind} ")));
        assert_eq!(version, last + 1, "{name}");
        last = version;
    }
    running.interrupt();
}

#[test]
fn pages_of_a_mount_find_the_events() {
    let scratch = Scratch::new("watch-mount");
    scratch.write("index.html", "<p>page");
    let running = Running::serve(&[scratch.path(), "--watch", "--mount", "/app"]);
    let page = running.curl(&["-H", "accept: text/html"], "app/");
    assert!(page.contains("<script src=\"/app/-/reload.js\""), "{page}");
    for name in ["reload.js", "reload-worker.js"] {
        let script = running.curl(&[], &format!("app/-/{name}"));
        assert!(script.starts_with("HTTP/1.1 200 "), "{script}");
        assert!(script.contains("content-type: text/javascript"), "{script}");
    }
    running.interrupt();
}
