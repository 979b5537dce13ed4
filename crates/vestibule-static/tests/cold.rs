//! Files that are not in memory, so that a thread has to wait for the disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use rustix::fs::{Advice, fadvise};
use vestibule_static::{Entry, Memory, Source, StaticFiles, Stored, Wait};

use crate::support::{Folder, ask};

/// A store that never answers without waiting.
#[derive(Clone)]
struct Slow {
    files: Memory,
    caller: ThreadId,
    answered: Arc<AtomicUsize>,
}

impl Source for Slow {
    fn open(&self, name: &[u8], wait: Wait) -> io::Result<Entry> {
        match wait {
            Wait::Never => Err(io::ErrorKind::WouldBlock.into()),
            Wait::Allowed => {
                assert_ne!(thread::current().id(), self.caller);
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.files.open(name, wait)
            }
        }
    }
}

#[tokio::test]
async fn reads_that_would_wait_go_to_the_pool() {
    let source = Slow {
        files: Memory::new().with("a.txt", Stored::memory("a")),
        caller: thread::current().id(),
        answered: Arc::default(),
    };
    let app = StaticFiles::from_source(source.clone());
    assert_eq!(ask(&app, "GET /a.txt", &[]).await.text(), "a");
    assert_eq!(ask(&app, "GET /b.txt", &[]).await.status, 404);
    assert_eq!(source.answered.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn files_outside_the_page_cache_are_sent_whole() {
    let folder = Folder::new();
    let bytes: Vec<u8> = (0_u32..1_000_000).flat_map(u32::to_be_bytes).collect();
    let app = StaticFiles::new(folder.path());
    for (name, size) in [("small.bin", 40_000), ("large.bin", bytes.len())] {
        let path = folder.file(name, &bytes[..size]);
        let file = std::fs::File::open(path).unwrap();
        for round in 0..3 {
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            let answer = ask(&app, &format!("GET /{name}"), &[]).await;
            assert!(answer.body == bytes[..size], "{name}, {round}");
        }
    }
}

/// The type of a file without an extension comes from its first bytes, which may need the disk,
/// also for HEAD.
#[tokio::test]
async fn a_type_that_needs_the_disk_is_read_in_the_pool() {
    let folder = Folder::new();
    let app = StaticFiles::new(folder.path()).stored_encoded("pbf");
    let gzip = b"\x1f\x8b\x08\0tile".repeat(20_000);
    let text = "text ".repeat(50_000);
    for (name, content, expected) in [
        (
            "LICENSE",
            text.as_bytes(),
            ("text/plain; charset=utf-8", ""),
        ),
        ("archive", &gzip[..], ("application/octet-stream", "")),
        ("2.pbf", &gzip[..], ("application/x-protobuf", "gzip")),
    ] {
        let file = std::fs::File::open(folder.file(name, content)).unwrap();
        for method in ["HEAD", "GET"] {
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            let request = format!("{method} /{name}");
            let answer = ask(&app, &request, &["accept-encoding: gzip"]).await;
            let header = |name| answer.header(name);
            let found = (header("content-type"), header("content-encoding"));
            assert_eq!((answer.status, found), (200, expected), "{request}");
            assert_eq!(header("content-length"), content.len().to_string());
        }
    }
}

#[test]
fn without_a_runtime_files_are_read_in_place() {
    let folder = Folder::new();
    let path = folder.file("a.bin", vec![b'a'; 1 << 20]);
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let app = StaticFiles::new(folder.path());
    let mut asking = Box::pin(ask(&app, "GET /a.bin", &[]));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(answer) = asking.as_mut().poll(&mut cx) else {
        panic!("something waited");
    };
    assert_eq!(answer.body.len(), 1 << 20);
}

#[tokio::test]
async fn more_cold_readers_than_may_read_at_a_time() {
    let folder = Folder::new();
    let bytes = vec![b'a'; 300_000];
    let app = StaticFiles::new(folder.path());
    let mut readers = Vec::new();
    for number in 0..100 {
        let path = folder.file(&format!("{number}.bin"), &bytes);
        let file = std::fs::File::open(path).unwrap();
        file.sync_data().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let app = app.clone();
        readers.push(tokio::spawn(async move {
            ask(&app, &format!("GET /{number}.bin"), &[])
                .await
                .body
                .len()
        }));
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), bytes.len());
    }
}
