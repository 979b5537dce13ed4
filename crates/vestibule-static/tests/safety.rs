//! Files that must not be served, and requests that must not hang.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vestibule_static::{StaticFiles, Symlinks};

use crate::support::{Folder, ask, status};

/// Creates a root with a secret file beside it.
fn site() -> (Folder, StaticFiles) {
    let folder = Folder::new();
    folder.file("secret.txt", "SECRET");
    folder.file("www2/secret.txt", "SECRET");
    folder.file("www/a.txt", "a");
    folder.file("www/sub/index.html", "sub");
    folder.file("www/.env", "SECRET");
    folder.file("www/.git/config", "SECRET");
    folder.file("www/sub/.hidden/x", "SECRET");
    let app = StaticFiles::new(folder.path().join("www"));
    (folder, app)
}

#[tokio::test]
async fn nothing_leads_out() {
    let (_folder, app) = site();
    let cases = [
        ("/../secret.txt", 400),
        ("/%2e%2e/secret.txt", 400),
        ("/.%2e/secret.txt", 400),
        ("/%2E./secret.txt", 400),
        ("/sub/../../secret.txt", 400),
        ("/..%2fsecret.txt", 404),
        ("/..%2Fsecret.txt", 404),
        ("/%2e%2e%2fsecret.txt", 404),
        ("/..%5csecret.txt", 404),
        ("/..%255csecret.txt", 404),
        ("/%252e%252e/secret.txt", 404),
        ("/%c0%ae%c0%ae/secret.txt", 404),
        ("/%c0%af../secret.txt", 404),
        ("/..%c0%afsecret.txt", 404),
        ("/%u002e%u002e/secret.txt", 400),
        ("/..;/secret.txt", 404),
        ("/.../secret.txt", 404),
        ("/./a.txt", 400),
        // Redirected to the same path with single slashes.
        ("//a.txt", 308),
        ("//sub", 308),
        ("/sub//index.html", 308),
        ("//../secret.txt", 400),
        ("//%2e%2e//secret.txt", 400),
        ("//..%2fsecret.txt", 400),
        ("/a.txt%00", 400),
        ("/a.txt%00.png", 400),
        ("/a.txt%0a", 404),
        ("/a.txt%20", 404),
        ("/%2Fetc%2Fpasswd", 404),
        ("/../www2/secret.txt", 400),
        ("/%", 400),
        ("/%zz", 400),
        ("/.env", 404),
        ("/%2eenv", 404),
        ("/.git/config", 404),
        ("/.git", 404),
        ("/.git/", 404),
        ("/sub/.hidden/x", 404),
        ("/.well-known/../.env", 400),
    ];
    for (path, want) in cases {
        let answer = ask(&app, &format!("GET {path}"), &[]).await;
        assert_eq!(answer.status, want, "{path}");
        assert!(!answer.text().contains("SECRET"), "{path}");
    }
}

#[tokio::test]
async fn tower_http_gives_500_for_long_names() {
    let (_folder, app) = site();
    for length in [255, 256, 300, 1000, 5000] {
        assert_eq!(
            status(&app, &format!("GET /{}", "a".repeat(length)), &[]).await,
            404
        );
        assert_eq!(
            status(&app, &format!("GET /{}/", "a".repeat(length)), &[]).await,
            404
        );
    }
    assert_eq!(
        status(&app, &format!("GET {}", "/aaaa".repeat(1000)), &[]).await,
        404
    );
}

#[tokio::test]
async fn links() {
    let (folder, app) = site();
    let www = folder.path().join("www");
    symlink("a.txt", www.join("near")).unwrap();
    symlink("../a.txt", www.join("sub/up")).unwrap();
    symlink("sub", www.join("folder")).unwrap();
    symlink("../secret.txt", www.join("out")).unwrap();
    symlink("../../secret.txt", www.join("sub/out")).unwrap();
    symlink("..", www.join("up")).unwrap();
    symlink(folder.path().join("secret.txt"), www.join("absolute")).unwrap();
    symlink(www.join("a.txt"), www.join("absolute-inside")).unwrap();
    symlink("loop", www.join("loop")).unwrap();
    symlink("nowhere", www.join("dangling")).unwrap();
    symlink("/proc/self/root", www.join("magic")).unwrap();
    let deny = StaticFiles::new(&www).symlinks(Symlinks::Deny);
    let follow = StaticFiles::new(&www).symlinks(Symlinks::Follow);
    // The policies: deny, beneath, follow.
    let cases = [
        ("/a.txt", [200, 200, 200]),
        ("/near", [404, 200, 200]),
        ("/sub/up", [404, 200, 200]),
        ("/folder/index.html", [404, 200, 200]),
        ("/folder", [404, 308, 308]),
        ("/out", [404, 404, 200]),
        ("/sub/out", [404, 404, 200]),
        ("/up/secret.txt", [404, 404, 200]),
        ("/up/www/a.txt", [404, 404, 200]),
        ("/absolute", [404, 404, 200]),
        ("/absolute-inside", [404, 200, 200]),
        ("/loop", [404, 404, 404]),
        ("/dangling", [404, 404, 404]),
        ("/magic/etc/passwd", [404, 404, 404]),
    ];
    for (path, wants) in cases {
        let line = format!("GET {path}");
        for (app, want) in [&deny, &app, &follow].into_iter().zip(wants) {
            assert_eq!(status(app, &line, &[]).await, want, "{path} {app:?}");
        }
    }
}

#[tokio::test]
async fn special_files_are_404_and_520_requests_for_them_do_not_block() {
    let (folder, app) = site();
    let www = folder.path().join("www");
    let fifo = Command::new("mkfifo").arg(www.join("fifo")).status();
    assert!(fifo.unwrap().success());
    let _socket = UnixListener::bind(www.join("socket")).unwrap();
    let devices = StaticFiles::new("/dev").symlinks(Symlinks::Follow);
    // If one request waited for a writer, this would never end.
    let mut longest = Duration::ZERO;
    for (app, path) in [
        (&app, "/fifo"),
        (&app, "/socket"),
        (&devices, "/null"),
        (&devices, "/zero"),
    ] {
        for method in ["GET", "HEAD"] {
            let begun = Instant::now();
            let status = status(app, &format!("{method} {path}"), &[]).await;
            longest = longest.max(begun.elapsed());
            assert_eq!(status, 404, "{method} {path}");
        }
    }
    println!("the longest of 8 took {longest:?}");
    // More than the threads of the blocking pool: a server in which each waits for a writer would
    // not answer any more.
    let begun = Instant::now();
    let mut asked = Vec::new();
    for number in 0..520 {
        let app = app.clone();
        let path = ["/fifo", "/socket"][number % 2];
        asked.push(tokio::spawn(async move {
            status(&app, &format!("GET {path}"), &[]).await
        }));
    }
    for answer in asked {
        assert_eq!(answer.await.unwrap(), 404);
    }
    assert_eq!(status(&app, "GET /a.txt", &[]).await, 200);
    println!("520 at once took {:?}", begun.elapsed());
}

/// Root can read everything, so the requesting thread becomes an unprivileged user.
#[test]
#[cfg(target_os = "linux")]
fn files_without_read_permission_are_403() {
    let (folder, app) = site();
    let www = folder.path().join("www");
    folder.file("www/locked.txt", "SECRET");
    folder.file("www/closed/x.txt", "SECRET");
    folder.file("www/dark/x.txt", "x");
    folder.file("www/app.js", "let a");
    folder.file("www/app.js.br", "SECRET");
    let modes = [
        ("locked.txt", 0o000),
        ("closed", 0o000),
        ("dark", 0o111),
        ("app.js.br", 0o000),
    ];
    for (name, mode) in modes {
        fs::set_permissions(www.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let cases = [
        ("/locked.txt", 403),
        ("/locked.txt/", 403),
        ("/closed/x.txt", 403),
        ("/closed/", 403),
        ("/dark/x.txt", 200),
        ("/dark/", 403),
        // Neither a sidecar nor another file beside it prevents the file from being sent.
        ("/app.js", 200),
        ("/", 200),
    ];
    let asked = thread::spawn(move || {
        if fs::read(www.join("locked.txt")).is_ok() {
            rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(NOBODY)).unwrap();
        }
        assert!(fs::read(www.join("locked.txt")).is_err());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let app = app.listing(true).precompressed(true);
        let indexed = app.clone().indexed(1 << 20).unwrap();
        runtime.block_on(async {
            for (path, want) in cases {
                for method in ["GET", "HEAD"] {
                    let line = format!("{method} {path}");
                    let answer = ask(&app, &line, &["accept-encoding: br"]).await;
                    assert_eq!(answer.status, want, "{line}");
                    assert!(!answer.text().contains("SECRET"), "{line}");
                    let answer = ask(&indexed, &line, &["accept-encoding: br"]).await;
                    assert_eq!(answer.status, want, "{line}, by an index");
                    assert!(!answer.text().contains("SECRET"), "{line}");
                }
            }
        });
    });
    let asked = asked.join();
    for name in ["closed", "dark"] {
        let path = folder.path().join("www").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    asked.unwrap();
}

/// The user id of `nobody` on common systems.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn names_that_are_not_utf8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (folder, app) = site();
    let name = OsStr::from_bytes(b"\xff\xe4.txt");
    if fs::write(folder.path().join("www").join(name), "latin").is_ok() {
        assert_eq!(ask(&app, "GET /%ff%e4.txt", &[]).await.text(), "latin");
    }
}

/// Exchanges two names.
fn exchange(one: &Path, other: &Path) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
    }
    #[cfg(not(target_os = "linux"))]
    {
        let between = one.with_extension("between");
        fs::rename(one, &between).unwrap();
        fs::rename(other, one).unwrap();
        fs::rename(between, other).unwrap();
    }
}

/// `cargo bench --bench files -- race` does the same for a minute.
#[tokio::test]
async fn a_link_that_is_swapped_while_it_is_followed_leaks_nothing() {
    let (folder, app) = site();
    let www = folder.path().join("www");
    folder.file("www/sub/secret.txt", "inside");
    // A link to a file, a link to a folder, and a file; each with its replacement, which leads out
    // or is outside.
    for (name, inside, outside) in [("swap", "a.txt", "../secret.txt"), ("swapped", "sub", "..")] {
        symlink(inside, www.join(name)).unwrap();
        symlink(outside, www.join(name).with_extension("other")).unwrap();
    }
    folder.file("www/real", "a");
    symlink("../secret.txt", www.join("real.other")).unwrap();
    let (is_done, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let (is_done, swaps) = (&is_done, &swaps);
    let (mut sent, mut refused) = (0, 0);
    thread::scope(|scope| {
        let www = &www;
        scope.spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                for name in ["swap", "swapped", "real"] {
                    let path = www.join(name);
                    exchange(&path, &path.with_extension("other"));
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        // On a thread outside the runtime of the test.
        let asked = scope.spawn(move || {
            runtime.block_on(async {
                while (swaps.load(Ordering::Relaxed) < 50_000 || sent == 0 || refused == 0)
                    && Instant::now() < deadline
                {
                    for path in ["/swap", "/swapped/secret.txt", "/real"] {
                        let answer = ask(&app, &format!("GET {path}"), &[]).await;
                        assert!(!answer.text().contains("SECRET"), "{path}");
                        match answer.status {
                            200 => sent += 1,
                            404 => refused += 1,
                            other => panic!("{path}: {other}"),
                        }
                    }
                }
                (sent, refused)
            })
        });
        let asked = asked.join();
        is_done.store(true, Ordering::Relaxed);
        (sent, refused) = asked.unwrap();
    });
    assert!(sent > 0 && refused > 0, "{sent} sent, {refused} refused");
    println!("{swaps:?} swaps, {sent} sent, {refused} refused");
}
