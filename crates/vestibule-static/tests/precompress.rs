//! Sidecars from the folder to the wire.

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
fn a_second_run_does_what_is_left() {
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
    // It no longer shrinks: what is there is out of date.
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
    // It became so small that it is not looked at any more.
    fs::write(&path, text()).unwrap();
    date(&path, 900_000_000);
    assert_eq!(run().made, 3);
    fs::write(&path, "small").unwrap();
    date(&path, 900_000_001);
    assert_eq!(run().removed, 3);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(Precompress::new(folder.path().join("none")).run().is_err());
}
