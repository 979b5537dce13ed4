//! Compressed copies of files without read permission.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use vestibule::Mounts;
use vestibule::files::{Precompress, StaticFiles, Symlinks};

use super::{Folder, Site};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs `test` on a thread without permission to read `forbidden`. Root can read everything, so the
/// thread becomes an unprivileged user.
fn without_rights<F: Future<Output = ()>>(forbidden: &Path, test: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            if fs::read(forbidden).is_ok() {
                rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(65534)).unwrap();
            }
            assert!(fs::read(forbidden).is_err());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(test());
        });
        run.join().unwrap();
    });
}

#[test]
fn a_sidecar_is_refused_when_its_file_is() {
    let large = vec![b'x'; 2 << 20];
    let folder = Folder::with(&[
        ("www/secret.txt", b"SECRET"),
        ("www/secret.txt.gz", b"SECRET"),
        ("www/secret.txt.br", b"SECRET"),
        ("www/secret.txt.zst", b"SECRET"),
        ("www/secret.txt.gz.br", b"SECRET"),
        ("www/sub/secret.js", b"SECRET"),
        ("www/sub/secret.js.gz", b"SECRET"),
        ("www/large.txt", b"SECRET"),
        ("www/large.txt.gz", &large),
        ("www/open.txt", b"open"),
        ("www/open.txt.gz", b"sidecar"),
        ("www/gone.txt.gz", b"sidecar"),
        ("www/backup.tar.gz", b"archive"),
        ("www/folder/a.txt", b"open"),
        ("www/folder.gz", b"archive"),
        ("www/.hidden.txt.gz", b"SECRET"),
        ("www/out.txt.gz", b"SECRET"),
        ("www/dangling.txt.gz", b"sidecar"),
        ("www/near.txt.gz", b"sidecar"),
        ("www/closed.gz", b"SECRET"),
        ("www/closed/a.txt", b"SECRET"),
        ("outside.txt", b"SECRET"),
    ]);
    let www = folder.path().join("www");
    symlink("../outside.txt", www.join("out.txt")).unwrap();
    symlink("nowhere", www.join("dangling.txt")).unwrap();
    symlink("open.txt", www.join("near.txt")).unwrap();
    for name in ["secret.txt", "sub/secret.js", "large.txt", "closed"] {
        set_mode(&www.join(name), 0);
    }
    let cases = [
        ("/secret.txt", 403),
        ("/secret.txt.gz", 403),
        ("/secret.txt.br", 403),
        ("/secret.txt.zst", 403),
        // A sidecar of a sidecar.
        ("/secret.txt.gz.br", 403),
        ("/secret%2Etxt%2Egz", 403),
        ("/secret.txt.gz?a=b", 403),
        ("/sub/secret.js", 403),
        ("/sub/secret.js.gz", 403),
        // A file that is not in memory.
        ("/large.txt", 403),
        ("/large.txt.gz", 403),
        // A folder without read permission is refused as well, and so is its possible copy.
        ("/closed.gz", 403),
        ("/open.txt", 200),
        ("/open.txt.gz", 200),
        ("/near.txt.gz", 200),
        // Independent files.
        ("/gone.txt.gz", 200),
        ("/dangling.txt.gz", 200),
        ("/backup.tar.gz", 200),
        ("/folder.gz", 200),
        // Files that the rules for names and links refuse.
        ("/.hidden.txt.gz", 404),
        ("/out.txt", 404),
        ("/out.txt.gz", 404),
    ];
    without_rights(&www.join("secret.txt"), || async {
        let files = StaticFiles::new(&www);
        let sidecars = files.clone().precompressed(true).listing(true);
        let mount = Mounts::new().at("/below", files.clone());
        let sites = [
            ("", Site::start(files.clone()).await),
            ("", Site::start(sidecars.clone()).await),
            ("", Site::start(sidecars.clone().indexed(0).unwrap()).await),
            ("", Site::start(sidecars.indexed(1 << 20).unwrap()).await),
            ("/below", Site::start(mount).await),
        ];
        for (path, status) in cases {
            for (number, (prefix, site)) in sites.iter().enumerate() {
                for request in [
                    format!("GET {prefix}{path} HTTP/1.1"),
                    format!("HEAD {prefix}{path} HTTP/1.1"),
                    format!("GET {prefix}{path} HTTP/1.1\naccept-encoding: gzip, br, zstd"),
                    format!("GET {prefix}{path} HTTP/1.1\nif-none-match: \"x\""),
                ] {
                    for answer in site.ask(&request).await {
                        assert_eq!(answer.status, status, "{number} {request}");
                        assert!(!answer.text().contains("SECRET"), "{number} {request}");
                    }
                }
            }
        }
        // Also with a range; a link is refused by the other rule.
        let deny = Site::start(files.symlinks(Symlinks::Deny)).await;
        for (request, status) in [
            ("GET /secret.txt.gz HTTP/1.1\nrange: bytes=0-1", 403),
            ("GET /near.txt.gz HTTP/1.1", 404),
            ("GET /open.txt.gz HTTP/1.1\nrange: bytes=0-1", 206),
        ] {
            for answer in deny.ask(request).await {
                assert_eq!(answer.status, status, "{request}");
            }
        }
    });
    // The folder can be removed again.
    set_mode(&www.join("closed"), 0o755);
}

/// From the tool to the server, as in the reported case.
#[test]
fn precompressed_files_keep_their_rights() {
    let text = "a secret line\n".repeat(200);
    let folder = Folder::with(&[
        ("private.txt", text.as_bytes()),
        ("group.txt", text.as_bytes()),
        ("public.txt", text.as_bytes()),
    ]);
    let modes = [
        ("private.txt", 0o600),
        ("group.txt", 0o640),
        ("public.txt", 0o644),
    ];
    for (name, mode) in modes {
        set_mode(&folder.path().join(name), mode);
    }
    let report = Precompress::new(folder.path()).run().unwrap();
    assert_eq!((report.made, report.failed.len()), (9, 0));
    for (name, mode) in modes {
        for suffix in ["gz", "br", "zst"] {
            let sidecar = folder.path().join(format!("{name}.{suffix}"));
            let found = fs::metadata(sidecar).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{name}.{suffix}: {found:o}");
        }
    }
    // The sidecar alone has the permissions of its file.
    let private = folder.path().join("private.txt");
    if rustix::process::getuid().is_root() {
        without_rights(&private, || async {
            let files = StaticFiles::new(folder.path()).precompressed(true);
            let site = Site::start(files).await;
            for (path, status) in [
                ("/private.txt", 403),
                ("/private.txt.gz", 403),
                ("/private.txt.br", 403),
                ("/private.txt.zst", 403),
                ("/public.txt", 200),
                ("/public.txt.gz", 200),
            ] {
                for coding in ["identity", "gzip", "br", "zstd"] {
                    let text = format!("GET {path} HTTP/1.1\naccept-encoding: {coding}");
                    for answer in site.ask(&text).await {
                        assert_eq!(answer.status, status, "{text}");
                    }
                }
            }
        });
    }
}
