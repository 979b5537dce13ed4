//! Download programs of others: they resume, split, patch, and ask again and again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Running, text};

/// Two directories that go with the test: what is served, and what is downloaded.
struct Downloads(PathBuf);

impl Downloads {
    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("vestibule-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("site")).unwrap();
        fs::create_dir_all(place.join("here")).unwrap();
        Self(place)
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    fn here(&self) -> PathBuf {
        self.0.join("here")
    }

    fn serve(&self) -> Running {
        Running::serve(&[self.site().to_str().unwrap()])
    }

    /// Runs a program where the downloads go.
    fn run(&self, package: &str, program: &str, arguments: &[&str]) -> Output {
        // None of them runs for ever: zsync asks again and again when it understands no answer.
        Command::new("timeout")
            .args(["60", program])
            .args(arguments)
            .current_dir(self.here())
            .stdin(Stdio::null())
            .output()
            .ok()
            // `timeout` says so of a program that is not there.
            .filter(|output| output.status.code() != Some(127))
            .unwrap_or_else(|| panic!("install the Debian package `{package}`"))
    }

    /// As [`run`](Self::run), of a program that succeeds.
    fn done(&self, package: &str, program: &str, arguments: &[&str]) -> String {
        let output = self.run(package, program, arguments);
        assert!(output.status.success(), "{program}: {}", text(&output));
        text(&output)
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes without a pattern, the same each time.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    })
    .take(length)
    .collect()
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// Whether two files are equal; their bytes are no message.
fn is_same(one: &Path, other: &Path) -> bool {
    fs::read(one).unwrap() == fs::read(other).unwrap()
}

#[test]
fn zsync_patches_an_old_file() {
    let downloads = Downloads::new("zsync");
    let old = noise(4 << 20, 1);
    let mut new = old.clone();
    // Forty places differ: more ranges than zsync asks for at a time.
    for place in 0..40 {
        let start = 50_000 + place * 100_000;
        new[start..start + 3000].copy_from_slice(&noise(3000, 2 + place as u64));
    }
    fs::write(downloads.here().join("old.bin"), old).unwrap();
    let target = downloads.site().join("new.bin");
    fs::write(&target, new).unwrap();
    let made = Command::new("zsyncmake")
        .args(["-u", "new.bin", "-o", "new.bin.zsync", "new.bin"])
        .current_dir(downloads.site())
        .output()
        .expect("install the Debian package `zsync`");
    assert!(made.status.success(), "{}", text(&made));
    let site = downloads.serve();
    let url = format!("{}new.bin.zsync", site.address);
    let arguments = ["-i", "old.bin", "-o", "new.bin", &url];
    let said = downloads.done("zsync", "zsync", &arguments);
    assert!(
        is_same(&target, &downloads.here().join("new.bin")),
        "{said}"
    );
    let (log, _) = site.interrupt();
    assert!(log.contains("\"GET /new.bin HTTP/1.1\" 206 "), "{log}");
    assert!(!log.contains("\"GET /new.bin HTTP/1.1\" 200 "), "{log}");
}

#[test]
fn curl_and_wget_go_on_where_a_download_was_cut() {
    let downloads = Downloads::new("cut");
    let target = downloads.site().join("large.bin");
    let content = noise(8 << 20, 3);
    fs::write(&target, &content).unwrap();
    let site = downloads.serve();
    let url = format!("{}large.bin", site.address);
    let here = downloads.here().join("large.bin");
    let clients: [(&str, &str, &[&str]); 3] = [
        (
            "curl",
            "curl",
            &["--silent", "--show-error", "-C", "-", "-O"],
        ),
        ("wget", "wget", &["--no-verbose", "-c"]),
        ("aria2", "aria2c", &["--quiet", "-c", "-x8", "-s8", "-k1M"]),
    ];
    for (package, program, arguments) in clients {
        // A client that went away in the middle leaves the beginning.
        fs::write(&here, &content[..3_000_000]).unwrap();
        let arguments = [arguments, &[&*url]].concat();
        downloads.done(package, program, &arguments);
        assert!(is_same(&target, &here), "{program}");
        fs::remove_file(&here).unwrap();
    }
    let (log, _) = site.interrupt();
    // No client of these began at the start: each had a part.
    assert!(
        log.matches("\"GET /large.bin HTTP/1.1\" 206 ").count() >= 3,
        "{log}"
    );
}

#[test]
fn aria2_with_eight_connections() {
    let downloads = Downloads::new("aria2");
    let target = downloads.site().join("large.bin");
    fs::write(&target, noise(16 << 20, 4)).unwrap();
    let site = downloads.serve();
    let url = format!("{}large.bin", site.address);
    let arguments = ["--quiet", "-x8", "-s8", "-k1M", &url];
    downloads.done("aria2", "aria2c", &arguments);
    assert!(is_same(&target, &downloads.here().join("large.bin")));
    let (log, _) = site.interrupt();
    assert!(
        log.matches("\"GET /large.bin HTTP/1.1\" 206 ").count() >= 4,
        "{log}"
    );
}

/// A log grows all the time: each download has a clean end, and the next one goes on there.
#[test]
fn a_log_that_grows_while_it_is_downloaded() {
    const LINE: &[u8] = b"2026-01-01 00:00:00 one more line of a log\n";
    let downloads = Downloads::new("log");
    let log = downloads.site().join("app.log");
    fs::write(&log, LINE.repeat(400_000)).unwrap();
    let site = downloads.serve();
    let url = format!("{}app.log", site.address);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                append(&log, LINE);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let clients: [(&str, &[&str]); 2] = [
            (
                "curl",
                &[
                    "--silent",
                    "--show-error",
                    "--limit-rate",
                    "40M",
                    "-C",
                    "-",
                    "-o",
                    "curl.log",
                ],
            ),
            (
                "wget",
                &[
                    "--no-verbose",
                    "--tries=1",
                    "--limit-rate=40M",
                    "-c",
                    "-O",
                    "wget.log",
                ],
            ),
        ];
        let failure = clients.into_iter().find_map(|(program, arguments)| {
            let here = downloads.here().join(format!("{program}.log"));
            let mut before = 0;
            for _ in 0..3 {
                let output = downloads.run(program, program, &[arguments, &[&*url]].concat());
                if !output.status.success() {
                    return Some(format!("{program}: {}", text(&output)));
                }
                let bytes = fs::read(&here).unwrap();
                if bytes.len() <= before || !bytes.chunks(LINE.len()).all(|line| line == LINE) {
                    return Some(format!("{program}: {before} {}", bytes.len()));
                }
                before = bytes.len();
            }
            None
        });
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(failure, None);
    });
    let (said, error) = site.interrupt();
    assert!(!error.contains("changed while it was sent"), "{error}");
    assert_eq!(
        said.matches("\"GET /app.log HTTP/1.1\" 200 ").count(),
        2,
        "{said}"
    );
    assert_eq!(
        said.matches("\"GET /app.log HTTP/1.1\" 206 ").count(),
        4,
        "{said}"
    );
}

/// ApacheBench speaks HTTP/1.0 with `Connection: Keep-Alive`. It waits for ever when a response without a length says that
/// the connection stays open.
#[test]
fn ab_keeps_connections_where_the_length_is_known() {
    let downloads = Downloads::new("ab");
    let rows: String = (0..40_000)
        .map(|row| format!("{row},{},value\n", row * 7919 % 104_729))
        .collect();
    fs::write(downloads.site().join("rows.csv"), rows).unwrap();
    fs::write(downloads.site().join("small.txt"), "hello\n".repeat(10)).unwrap();
    let site = downloads.serve();
    let gzip = ["-H", "Accept-Encoding: gzip"];
    let cases: [(&str, &[&str], bool); 5] = [
        ("rows.csv", &gzip, false),
        ("rows.csv", &[], true),
        ("small.txt", &gzip, true),
        ("missing.txt", &gzip, true),
        ("", &gzip, true),
    ];
    for (name, headers, is_kept) in cases {
        let url = format!("{}{name}", site.address);
        // The length of a coded stream depends on when its pieces came.
        let arguments = [&["-k", "-l", "-n", "12", "-s", "20"], headers, &[&url]].concat();
        let told = downloads.done("apache2-utils", "ab", &arguments);
        let count = |label: &str| -> usize {
            let line = told.lines().find_map(|line| line.strip_prefix(label));
            line.unwrap_or("0").trim().parse().unwrap()
        };
        assert_eq!(
            count("Complete requests:"),
            12,
            "{name} {headers:?}: {told}"
        );
        assert_eq!(count("Failed requests:"), 0, "{name} {headers:?}: {told}");
        let kept = if is_kept { 12 } else { 0 };
        assert_eq!(
            count("Keep-Alive requests:"),
            kept,
            "{name} {headers:?}: {told}"
        );
    }
}
