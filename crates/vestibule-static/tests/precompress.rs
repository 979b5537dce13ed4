//! Sidecars, from the folder to the response.

use std::fs;
use std::io::Read;
use std::sync::Mutex;

use vestibule_static::{Precompress, StaticFiles};

use crate::support::{Folder, ask, date};

fn text() -> String {
    (0..2000)
        .map(|line| format!("line {line} of the text\n"))
        .collect()
}

#[tokio::test]
async fn made_and_sent() {
    let folder = Folder::new();
    folder.file("sub/app.js", text());
    folder.file(".well-known/x.json", text());
    folder.file("tiny.css", "a{}");
    folder.file("photo.avif", text());
    folder.file(".hidden/x.js", text());
    let seen = Mutex::new(Vec::new());
    let report = Precompress::new(folder.path())
        .threads(2)
        .run_with(|progress| seen.lock().unwrap().push((progress.done, progress.files)))
        .unwrap();
    assert_eq!((report.files, report.made, report.failed.len()), (2, 6, 0));
    assert!(report.bytes_after * 4 < report.bytes_before);
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, [(1, 2), (2, 2)]);
    for absent in ["tiny.css.br", "photo.avif.br", ".hidden/x.js.br"] {
        assert!(!folder.path().join(absent).exists(), "{absent}");
    }

    let app = StaticFiles::new(folder.path()).precompressed(true);
    for coding in ["br", "zstd", "gzip"] {
        let answer = ask(
            &app,
            "GET /sub/app.js",
            &[&format!("accept-encoding: {coding}")],
        )
        .await;
        assert_eq!(answer.header("content-encoding"), coding);
        let mut decoded = Vec::new();
        match coding {
            "br" => drop(brotli::BrotliDecompress(&mut &*answer.body, &mut decoded)),
            "gzip" => drop(flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut decoded)),
            _ => {
                decoded.reserve(text().len());
                zstd_safe::decompress(&mut decoded, &answer.body).unwrap();
            }
        }
        assert!(decoded == text().as_bytes(), "{coding}");
    }
}

#[test]
fn a_second_run_only_does_the_remaining_work() {
    let folder = Folder::new();
    let path = folder.file("a.txt", text());
    let run = || Precompress::new(folder.path()).run().unwrap();
    assert_eq!(run().made, 3);
    let again = run();
    assert_eq!((again.made, again.fresh), (0, 3));
    fs::remove_file(folder.path().join("a.txt.zst")).unwrap();
    let again = run();
    assert_eq!((again.made, again.fresh), (1, 2));
    date(&path, 800_000_000);
    assert_eq!(run().made, 3);
    // The file no longer shrinks, so its sidecar is out of date.
    let noise: Vec<u8> = (0_u64..600)
        .flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n << 40).to_le_bytes())
        .collect();
    fs::write(&path, noise).unwrap();
    let again = run();
    assert_eq!(
        (again.made, again.useless, again.removed),
        (0, 3, 3),
        "{again:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // The file became so small that it is skipped.
    fs::write(&path, text()).unwrap();
    date(&path, 900_000_000);
    assert_eq!(run().made, 3);
    fs::write(&path, "small").unwrap();
    date(&path, 900_000_001);
    assert_eq!(run().removed, 3);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(Precompress::new(folder.path().join("none")).run().is_err());
}

/// Returns the names of all files below a folder with these suffixes.
fn named(folder: &Folder, endings: &[&str]) -> Vec<String> {
    let (mut folders, mut names) = (vec![folder.path().to_owned()], Vec::new());
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder.path()).unwrap();
            let name = name.to_str().unwrap().replace('\\', "/");
            if endings.iter().any(|ending| name.ends_with(ending)) {
                names.push(name);
            }
        }
    }
    names.sort_unstable();
    names
}

#[test]
fn patterns_and_codings_select_the_sidecars() {
    type Options = fn(Precompress) -> Precompress;
    let cases: [(&str, Options, &[&str]); 9] = [
        (
            "one name",
            |it| it.only("app.js"),
            &["app.js.br", "app.js.gz", "app.js.zst"],
        ),
        (
            "names in every folder",
            |it| it.only("*.css").zstd(false).gzip(false),
            &["a/x.css.br", "vendor/x.css.br"],
        ),
        (
            "two patterns",
            |it| it.only("/app.js").only("/a/**").brotli(false).zstd(false),
            &["a/x.css.gz", "app.js.gz"],
        ),
        (
            "all but a folder",
            |it| it.exclude("/vendor/**").brotli(false).gzip(false),
            &["a/x.css.zst", "app.js.zst", "index.html.zst"],
        ),
        (
            "both",
            |it| it.only("*.css").exclude("a/*").zstd(false).gzip(false),
            &["vendor/x.css.br"],
        ),
        (
            "exclusion wins",
            |it| it.only("app.js").exclude("app.js"),
            &[],
        ),
        ("nothing matches", |it| it.only("*.jss"), &[]),
        (
            "no coding",
            |it| it.brotli(false).zstd(false).gzip(false),
            &[],
        ),
        (
            "the last word counts",
            |it| {
                it.only("app.js")
                    .brotli(false)
                    .brotli(true)
                    .zstd(false)
                    .gzip(false)
            },
            &["app.js.br"],
        ),
    ];
    for (name, options, want) in cases {
        let folder = Folder::new();
        for file in ["app.js", "index.html", "a/x.css", "vendor/x.css"] {
            folder.file(file, "compress me ".repeat(50));
        }
        let work = options(Precompress::new(folder.path()).threads(1));
        assert_eq!(work.run().unwrap().made, want.len(), "{name}");
        assert_eq!(named(&folder, &[".br", ".zst", ".gz"]), want, "{name}");
        // `clean` removes the files that `run` wrote.
        assert_eq!(work.clean().unwrap().removed, want.len(), "{name}");
        assert!(named(&folder, &[".br", ".zst", ".gz"]).is_empty(), "{name}");
        assert_eq!(named(&folder, &[""]).len(), 4, "{name}");
    }
}

#[test]
fn sidecars_without_their_file_are_not_removed() {
    let folder = Folder::new();
    folder.file("app.js", "compress me ".repeat(50));
    for stays in [
        "alone.js.gz",
        "archive.tar.gz",
        "photo.avif",
        "photo.avif.gz",
        ".hidden/x.js",
        ".hidden/x.js.br",
    ] {
        folder.file(stays, "x");
    }
    // Stale, too small, and of a file that has become too small: all are sidecars of this tool.
    for goes in ["app.js.br", "app.js.gz", "tiny.css.zst", "a/b.html.gz"] {
        folder.file(goes, "x");
    }
    folder.file("tiny.css", "a{}");
    folder.file("a/b.html", "");
    fs::create_dir(folder.path().join("app.js.zst")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("app.js", folder.path().join("a/b.html.br")).unwrap();
    let report = Precompress::new(folder.path()).clean().unwrap();
    assert_eq!(
        (report.files, report.removed, report.failed.len()),
        (3, 4, 0)
    );
    for stays in [
        "alone.js.gz",
        "archive.tar.gz",
        "photo.avif.gz",
        ".hidden/x.js.br",
        "app.js.zst",
    ] {
        assert!(folder.path().join(stays).exists(), "{stays}");
    }
    #[cfg(unix)]
    assert!(folder.path().join("a/b.html.br").is_symlink());
    assert!(
        Precompress::new(folder.path().join("none"))
            .clean()
            .is_err()
    );
}

/// A sidecar is as private as its file, also an existing one.
#[test]
#[cfg(unix)]
fn sidecars_have_the_rights_of_their_files() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let folder = Folder::new();
    let modes = [
        ("private.txt", 0o600, 0o600),
        ("group.txt", 0o640, 0o640),
        ("read.txt", 0o444, 0o444),
        ("program.js", 0o755, 0o644),
        ("shared.js", 0o664, 0o664),
    ];
    let set_mode = |name: &str, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(folder.path().join(name), mode).unwrap();
    };
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
    for (name, of_file, _) in modes {
        folder.file(name, text());
        set_mode(name, of_file);
    }
    // Root can change the owner; other users keep theirs.
    let private = folder.path().join("private.txt");
    let _ = std::os::unix::fs::chown(&private, Some(1234), Some(5678));
    let owners = |name: &str| {
        let metadata = fs::metadata(folder.path().join(name)).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mtime())
    };
    assert_eq!(Precompress::new(folder.path()).run().unwrap().made, 15);
    for suffix in [".br", ".zst", ".gz"] {
        for (name, _, expected) in modes {
            let sidecar = format!("{name}{suffix}");
            assert_eq!(mode(&sidecar), expected, "{sidecar}");
            assert_eq!(owners(&sidecar), owners(name), "{sidecar}");
        }
    }
    // The file was made private later, so its sidecar has too many permissions.
    set_mode("shared.js", 0o600);
    set_mode("private.txt.gz", 0o644);
    assert_eq!(Precompress::new(folder.path()).run().unwrap().fresh, 15);
    for name in [
        "shared.js.br",
        "shared.js.zst",
        "shared.js.gz",
        "private.txt.gz",
    ] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    // No temporary file remains.
    let names = fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 20);
}
