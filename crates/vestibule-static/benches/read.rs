//! Measures the CPU time of a request in this crate alone, without sockets, for files in the page
//! cache.
//!
//! The third column is the cost of the necessary system calls: open, fstat, read, close. Also
//! measures an index of 100,000 files, its time to build and its memory, and the same files without
//! an index.

use std::fs;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use vestibule_core::{App, Request};
use vestibule_static::StaticFiles;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [hold, folder, case] = &arguments[..] {
        assert_eq!(hold, "--hold");
        return self::hold(Path::new(folder), case);
    }
    let folder = std::env::temp_dir().join(format!("vestibule-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made");
    println!(
        "{:>10} {:>10} {:>10} {:>12}",
        "bytes", "live us", "index us", "syscalls us"
    );
    for size in [1 << 10, 10 << 10, 100 << 10, 1 << 20, 16 << 20] {
        let path = folder.join("file.bin");
        fs::write(&path, vec![b'x'; size]).expect("a file can be written");
        let rounds = (1 << 30) / (size + 16_384);
        let app = StaticFiles::new(&folder);
        let request = cpu(rounds, || runtime.block_on(ask(&app, "/file.bin")));
        let syscalls = cpu(rounds, || plain(&path));
        let app = app.indexed(16 << 20).expect("the folder can be read");
        let indexed = cpu(rounds, || runtime.block_on(ask(&app, "/file.bin")));
        println!("{size:>10} {request:>10.2} {indexed:>10.2} {syscalls:>12.2}");
    }
    for group in 0..100 {
        let group = folder.join(format!("group-{group}"));
        fs::create_dir_all(&group).expect("a folder can be made");
        for file in 0..1000 {
            let path = group.join(format!("page-{file}.html"));
            fs::write(path, vec![b'x'; 1000]).expect("a file can be written");
        }
    }
    for case in ["0", "33554432", "live"] {
        // Each case has its own process, since one case would reuse the freed memory of another.
        let program = std::env::current_exe().expect("a program has a path");
        let mut holding = Command::new(program);
        holding.arg("--hold").arg(&folder).arg(case);
        assert!(holding.status().expect("it starts").success());
    }
    let _ = fs::remove_dir_all(folder);
}

/// Prints the memory of a tree that is served live, with one request for each file, or with an
/// index that keeps the given number of bytes.
fn hold(folder: &Path, case: &str) {
    let (start, before) = (Instant::now(), resident());
    let app = StaticFiles::new(folder);
    let Ok(memory) = case.parse() else {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime can be made");
        for number in 0..100_000 {
            let (group, file) = (number / 1000, number % 1000);
            runtime.block_on(ask(&app, &format!("/group-{group}/page-{file}.html")));
        }
        let (took, grown) = (start.elapsed(), (resident() - before) >> 10);
        println!("100,000 files live, each requested once: {took:.2?}, {grown} KB");
        return;
    };
    let app = app.indexed(memory).expect("the folder can be read");
    let (took, grown) = (start.elapsed(), resident() - before);
    let (files, held) = (app.files(), app.held_bytes());
    let each = (grown as u64).saturating_sub(held) / files as u64;
    println!(
        "index of {files} files, {held} bytes of content in memory: {took:.2?}, {} MB, {each} bytes a file besides",
        grown >> 20
    );
}

async fn ask(app: &impl App, path: &str) {
    let mut request = Request::default();
    *request.uri_mut() = path.parse().expect("a path is a URI");
    let mut body = app.call(request).await.into_body();
    while let Some(frame) = body.frame().await {
        black_box(frame.expect("the file does not change"));
    }
}

fn plain(path: &Path) {
    let file = fs::File::open(path).expect("the file is there");
    let size = file.metadata().expect("it has metadata").len();
    let mut buffer = vec![0; usize::try_from(size).expect("it is small").min(128 << 10)];
    let mut at = 0;
    while at < size {
        at += file.read_at(&mut buffer, at).expect("it can be read") as u64;
        black_box(&buffer);
    }
}

/// Returns the average CPU time of `work` in microseconds.
fn cpu(rounds: usize, mut work: impl FnMut()) -> f64 {
    for _ in 0..rounds / 10 {
        work();
    }
    let start = now();
    for _ in 0..rounds {
        work();
    }
    (now() - start) * 1e6 / rounds as f64
}

/// Returns the memory of this process in bytes.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

/// Returns the CPU time of this process in seconds, of all its threads.
fn now() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
