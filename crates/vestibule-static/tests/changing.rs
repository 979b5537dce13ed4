//! Files that change while they are sent.

use std::fs;
use std::io::Write;

use vestibule_core::{App, Body};
use vestibule_static::{FileChanged, StaticFiles};

use crate::support::{Folder, ask, date, request, status};

const SIZE: usize = 1 << 20;

/// The bytes that come, and whether they end in an error that says why.
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

#[tokio::test]
async fn appended_to_is_an_error() {
    let (_, is_whole) = meanwhile(|path| {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(b"more").unwrap();
    })
    .await;
    assert!(!is_whole);
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
async fn a_large_file_that_is_kept_is_sent_whole_and_the_next_is_what_is_there() {
    let folder = Folder::new();
    let path = folder.file("a.bin", vec![b'a'; SIZE]);
    let app = StaticFiles::new(folder.path());
    let mut body = Body::empty();
    // It is kept from the second time on if that comes soon, which a machine with other work need not allow.
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
async fn a_file_that_is_asked_for_all_the_time_is_never_an_old_one() {
    let folder = Folder::new();
    let app = StaticFiles::new(folder.path());
    let text = async || ask(&app, "GET /a.txt", &[]).await.text().to_owned();
    let path = folder.path().join("a.txt");
    let draft = folder.path().join("draft");
    for round in 0..50 {
        // Written to in place; with another length, since not every system's clock for files tells moments apart.
        for one in ["one", "another"] {
            fs::write(&path, format!("{one} {round:02}")).unwrap();
            for _ in 0..4 {
                assert_eq!(text().await, format!("{one} {round:02}"));
            }
        }
        // Another file by that name.
        fs::write(&draft, format!("two {round:02}")).unwrap();
        fs::rename(&draft, &path).unwrap();
        for _ in 0..4 {
            assert_eq!(text().await, format!("two {round:02}"));
        }
        // No file by that name.
        fs::rename(&path, &draft).unwrap();
        assert_eq!(status(&app, "GET /a.txt", &[]).await, 404);
        fs::rename(&draft, &path).unwrap();
        for _ in 0..4 {
            assert_eq!(text().await, format!("two {round:02}"));
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(status(&app, "GET /a.txt", &[]).await, 404);
        // A link, which is turned.
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
