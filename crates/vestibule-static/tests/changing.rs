//! Files that change while they are sent.

use std::fs;
use std::io::{Seek, Write};

use vestibule_core::{App, Body};
use vestibule_static::{FileChanged, StaticFiles};

use crate::support::{Folder, ask, date, request, status};

const SIZE: usize = 1 << 20;

/// Reads the body. Returns its bytes, and whether it ends with an error that gives the reason.
async fn drain(mut body: Body) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => {
                let error = error.downcast::<std::io::Error>().unwrap();
                assert!(error.get_ref().unwrap().is::<FileChanged>(), "{error}");
                return (bytes, false);
            }
        }
    }
    (bytes, true)
}

/// Reads one piece, does `change`, reads the rest.
async fn meanwhile(change: impl FnOnce(&std::path::Path)) -> (Vec<u8>, bool) {
    let folder = Folder::new();
    let path = folder.file("a.bin", vec![b'a'; SIZE]);
    let app = StaticFiles::new(folder.path());
    let mut body = app.call(request("GET /a.bin", &[])).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    change(&path);
    let (rest, is_whole) = drain(body).await;
    ([&first[..], &rest].concat(), is_whole)
}

#[tokio::test]
async fn truncated_is_an_error_and_never_padded() {
    let (bytes, is_whole) = meanwhile(|path| {
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(100_000)
            .unwrap();
    })
    .await;
    assert!(!is_whole && bytes.len() < SIZE);
    assert!(bytes.iter().all(|byte| *byte == b'a'));
}

#[tokio::test]
async fn written_over_is_an_error_and_never_mixed() {
    let (bytes, is_whole) = meanwhile(|path| fs::write(path, vec![b'b'; SIZE]).unwrap()).await;
    assert!(!is_whole && bytes.iter().all(|byte| *byte == b'a'));
}

#[tokio::test]
async fn written_over_with_the_time_set_back_is_an_error() {
    let (bytes, is_whole) = meanwhile(|path| {
        fs::write(path, vec![b'b'; SIZE]).unwrap();
        date(path, 784_111_777);
    })
    .await;
    assert!(!is_whole && bytes.iter().all(|byte| *byte == b'a'));
}

/// A file that only grows (a log, a recording) is sent to the promised length.
#[tokio::test]
async fn appended_to_is_sent_to_its_opening_length() {
    let append = |path: &std::path::Path, bytes: &[u8]| {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    };
    let once = meanwhile(|path| append(path, b"more"));
    let much = meanwhile(|path| append(path, &vec![b'b'; 3 * SIZE]));
    let twice = meanwhile(|path| {
        append(path, b"more");
        append(path, b"more");
    });
    let sparse = meanwhile(|path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(2 * SIZE as u64).unwrap();
    });
    for (bytes, is_whole) in [once.await, much.await, twice.await, sparse.await] {
        assert!(is_whole && bytes.len() == SIZE && bytes.iter().all(|byte| *byte == b'a'));
    }
}

/// The file is longer at the next check, like one that was appended to.
#[tokio::test]
async fn rewritten_and_longer_is_an_error_and_never_mixed() {
    let anew = meanwhile(|path| fs::write(path, vec![b'b'; 2 * SIZE]).unwrap());
    // A writer that keeps the file and starts at its beginning.
    let over = meanwhile(|path| {
        let mut file = fs::File::options().write(true).open(path).unwrap();
        file.write_all(&vec![b'b'; SIZE + 1]).unwrap();
    });
    // A recording that ends: its length is written into its header.
    let head = meanwhile(|path| {
        let mut file = fs::File::options().write(true).open(path).unwrap();
        file.write_all(b"RIFF").unwrap();
        drop(file);
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(b"index").unwrap();
    });
    // The end differs.
    let tail = meanwhile(|path| {
        let mut file = fs::File::options().write(true).open(path).unwrap();
        file.seek(std::io::SeekFrom::Start(SIZE as u64 - 3))
            .unwrap();
        file.write_all(b"another end").unwrap();
    });
    let emptied = meanwhile(|path| fs::write(path, "").unwrap());
    let back = meanwhile(|path| {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(b"more").unwrap();
        date(path, 700_000_000);
    });
    let cut = [
        anew.await,
        over.await,
        head.await,
        tail.await,
        emptied.await,
        back.await,
    ];
    for (index, (bytes, is_whole)) in cut.into_iter().enumerate() {
        assert!(!is_whole && bytes.len() < SIZE, "{index}");
        assert!(bytes.iter().all(|byte| *byte == b'a'), "{index}");
    }
}

/// A log grows by thousands of lines a second. No response for it fails: whole, in part, or small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_written_all_the_time_can_be_read() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    const MOST_LINES: usize = 400_000;
    const LINE: &str = "2026-01-01 12:00:00 GET / 200\n";
    let folder = Folder::new();
    let large = folder.file("large.log", LINE.repeat(100_000));
    let small = folder.file("small.log", LINE.repeat(10));
    let is_done = Arc::new(AtomicBool::new(false));
    let writing = {
        let is_done = is_done.clone();
        std::thread::spawn(move || {
            let open = |path| fs::File::options().append(true).open(path).unwrap();
            let (mut large, mut small) = (open(large), open(small));
            // The disk is limited.
            for line in 0..MOST_LINES {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                large.write_all(LINE.as_bytes()).unwrap();
                if line % 100 == 0 {
                    small.write_all(LINE.as_bytes()).unwrap();
                }
                std::thread::sleep(std::time::Duration::from_micros(1));
            }
        })
    };
    let app = StaticFiles::new(folder.path());
    let all = LINE.repeat(100_000 + MOST_LINES);
    let cases = [
        ("/large.log", "", 0),
        ("/large.log", "bytes=1000000-2999999", 1_000_000),
        ("/small.log", "", 0),
        ("/small.log", "bytes=5-200", 5),
    ];
    for round in 0..20 {
        for (path, range, start) in cases {
            let mut fields = vec![format!("range: {range}")];
            fields.retain(|_| !range.is_empty());
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let response = app.call(request(&format!("GET {path}"), &fields)).await;
            assert!(response.status().is_success(), "{round} {path} {range}");
            let length: usize = response.headers()["content-length"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            let (bytes, is_whole) = drain(response.into_body()).await;
            assert!(is_whole && bytes.len() == length, "{round} {path} {range}");
            let expected = &all.as_bytes()[start..start + length];
            assert!(bytes == expected, "{round} {path} {range}");
        }
    }
    is_done.store(true, Ordering::Relaxed);
    writing.join().unwrap();
}

#[tokio::test]
async fn replaced_or_unlinked_sends_the_old_file_whole() {
    let replaced = meanwhile(|path| {
        let other = path.with_extension("new");
        fs::write(&other, vec![b'b'; SIZE]).unwrap();
        fs::rename(other, path).unwrap();
    });
    let unlinked = meanwhile(|path| fs::remove_file(path).unwrap());
    for (bytes, is_whole) in [replaced.await, unlinked.await] {
        assert!(is_whole && bytes.len() == SIZE && bytes.iter().all(|byte| *byte == b'a'));
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_large_cached_file_is_sent_whole_and_the_next_response_is_new() {
    let folder = Folder::new();
    let path = folder.file("a.bin", vec![b'a'; SIZE]);
    let app = StaticFiles::new(folder.path());
    let mut body = Body::empty();
    // The second request caches the file if it comes soon, which a loaded machine may prevent.
    for _ in 0..1000 {
        body = app.call(request("GET /a.bin", &[])).await.into_body();
        if body.is_buffered() {
            break;
        }
    }
    assert!(body.is_buffered());
    fs::write(&path, vec![b'b'; SIZE + 1]).unwrap();
    let next = ask(&app, "GET /a.bin", &[]).await.body;
    assert!(next.len() == SIZE + 1 && next.iter().all(|byte| *byte == b'b'));
    let (bytes, is_whole) = drain(body).await;
    assert!(is_whole && bytes.len() == SIZE && bytes.iter().all(|byte| *byte == b'a'));
}

#[tokio::test]
async fn a_file_with_constant_requests_is_never_outdated() {
    let folder = Folder::new();
    let app = StaticFiles::new(folder.path());
    let text = async || ask(&app, "GET /a.txt", &[]).await.text().to_owned();
    let path = folder.path().join("a.txt");
    let draft = folder.path().join("draft");
    for round in 0..50 {
        // Written in place; with another length, since not every system has precise file times.
        for one in ["one", "another"] {
            fs::write(&path, format!("{one} {round:02}")).unwrap();
            for _ in 0..4 {
                assert_eq!(text().await, format!("{one} {round:02}"));
            }
        }
        // Another file with that name.
        fs::write(&draft, format!("two {round:02}")).unwrap();
        fs::rename(&draft, &path).unwrap();
        for _ in 0..4 {
            assert_eq!(text().await, format!("two {round:02}"));
        }
        // No file with that name.
        fs::rename(&path, &draft).unwrap();
        assert_eq!(status(&app, "GET /a.txt", &[]).await, 404);
        fs::rename(&draft, &path).unwrap();
        for _ in 0..4 {
            assert_eq!(text().await, format!("two {round:02}"));
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(status(&app, "GET /a.txt", &[]).await, 404);
        // A link that gets another target.
        fs::write(folder.path().join("x"), "x").unwrap();
        fs::write(folder.path().join("y"), "y").unwrap();
        for target in ["x", "y", "x"] {
            std::os::unix::fs::symlink(target, &draft).unwrap();
            fs::rename(&draft, &path).unwrap();
            for _ in 0..4 {
                assert_eq!(text().await, target);
            }
        }
        fs::remove_file(&path).unwrap();
    }
}
