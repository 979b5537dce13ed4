//! Sinks with real files, sockets and tools, while requests go on.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vestibule_core::{App, Request};
use vestibule_logging::{AccessLog, Format, LogFile, Sink};

use crate::support::{Directory, get};

async fn hello(_: Request) -> &'static str {
    "hello"
}

/// Requests from several threads, each with a number of its own in its line, at about 1,000 a second and
/// more, until it is told to stop. Gives how many there were, and the slowest.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<(u64, Duration)>>,
}

const THREADS: u64 = 4;

impl Load {
    fn start(sink: &Sink) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS).map(|thread| {
            let (stop, sink) = (stop.clone(), sink.clone());
            std::thread::spawn(move || {
                let app = AccessLog::new(hello)
                    .to(sink)
                    .format(Format::apache("line %U %>s end").unwrap());
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let (mut count, mut slowest) = (0, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let request = get(&format!("/{}", count * THREADS + thread));
                    let start = Instant::now();
                    runtime.block_on(async {
                        app.call(request)
                            .await
                            .into_body()
                            .collect(9)
                            .await
                            .unwrap()
                    });
                    slowest = slowest.max(start.elapsed());
                    count += 1;
                    std::thread::park_timeout(Duration::from_micros(1_000));
                }
                (count, slowest)
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    fn stop(self) -> (Vec<u64>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let ends: Vec<_> = self
            .threads
            .into_iter()
            .map(|t| t.join().unwrap())
            .collect();
        let slowest = ends.iter().map(|end| end.1).max().unwrap();
        (ends.into_iter().map(|end| end.0).collect(), slowest)
    }
}

/// Holds all files of a directory against what was asked: each line once, none torn.
fn each_line_once(directory: &Path, counts: &[u64], dropped: u64) {
    let mut found: Vec<u64> = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if !path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("access.log")
        {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines() {
            let number = line
                .strip_prefix("line /")
                .and_then(|rest| rest.strip_suffix(" 200 end"));
            let number = number.unwrap_or_else(|| panic!("torn: {line:?} in {}", path.display()));
            found.push(number.parse().unwrap());
        }
    }
    let total: u64 = counts.iter().sum();
    assert_eq!(dropped, 0);
    assert_eq!(found.len() as u64, total, "lines and requests");
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len() as u64, total, "a line stands there twice");
    println!("{total} requests, {total} lines");
}

/// Waits until `done`, for 20 s at most.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn logrotate(directory: &Directory, how: &str) {
    let config = directory.join("logrotate.conf");
    let log = directory.join("access.log");
    let text = format!(
        "{} {{\n rotate 99\n missingok\n su root root\n {how}\n}}\n",
        log.display()
    );
    fs::write(&config, text).unwrap();
    let output = Command::new("logrotate")
        .args(["--force", "--state"])
        .arg(directory.join("state"))
        .arg(&config)
        .output()
        .expect("logrotate rotates: install the Debian package `logrotate`");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Rotates twenty times under load, with some lines between.
fn rotated(how: &str, then: impl Fn(&Sink)) {
    let directory = Directory::new();
    let log = directory.join("access.log");
    let sink = Sink::file(LogFile::open(&log).unwrap());
    let load = Load::start(&sink);
    for _ in 0..20 {
        until("there are lines", || {
            fs::metadata(&log).is_ok_and(|file| file.len() > 2_000)
        });
        logrotate(&directory, how);
        then(&sink);
    }
    let (counts, slowest) = load.stop();
    assert!(sink.flush(Duration::from_secs(10)));
    let rotated = (1..=20)
        .filter(|n| directory.join(&format!("access.log.{n}")).exists())
        .count();
    assert_eq!(rotated, 20);
    println!("the slowest request of the 20 rotations: {slowest:?}");
    each_line_once(directory.path(), &counts, sink.dropped());
}

/// Case 143 of the list of faults, and figure F22: rename, then SIGHUP (which is `reopen`).
#[test]
fn fault_143_rename_and_reopen_lose_no_line() {
    rotated("create", Sink::reopen);
}

/// The same without a signal: the new name is found.
#[test]
fn fault_143_a_rename_is_found() {
    rotated("nocreate", |_| {});
}

/// Case 143: logrotate's other way.
#[test]
fn fault_143_copytruncate_loses_no_line() {
    rotated("copytruncate", |_| {});
}

#[test]
fn it_rotates_itself_by_size_and_by_age() {
    let directory = Directory::new();
    let log = LogFile::open(directory.join("access.log")).unwrap();
    let sink = Sink::file(log.max_bytes(2_000).keep(99));
    let load = Load::start(&sink);
    until("it rotates", || directory.join("access.log.5").exists());
    let (counts, _) = load.stop();
    assert!(sink.flush(Duration::from_secs(10)));
    each_line_once(directory.path(), &counts, sink.dropped());

    let directory = Directory::new();
    let log = LogFile::open(directory.join("access.log")).unwrap();
    let sink = Sink::file(log.max_age(Duration::from_millis(50)).keep(2));
    let load = Load::start(&sink);
    until("it rotates", || directory.join("access.log.2").exists());
    load.stop();
    drop(sink);
    assert!(!directory.join("access.log.3").exists());
}

/// Case 142: the directory of the log is removed, and comes back.
#[test]
fn fault_142_a_directory_that_is_removed() {
    let directory = Directory::new();
    let inner = directory.join("logs");
    fs::create_dir(&inner).unwrap();
    let log = inner.join("access.log");
    let sink = Sink::file(LogFile::open(&log).unwrap());
    let load = Load::start(&sink);
    until("there are lines", || {
        fs::metadata(&log).is_ok_and(|file| file.len() > 1_000)
    });
    fs::rename(&inner, directory.join("gone")).unwrap();
    until("lines are dropped", || sink.dropped() > 100);
    fs::create_dir(&inner).unwrap();
    until("there are lines again", || {
        fs::metadata(&log).is_ok_and(|file| file.len() > 1_000)
    });
    let (counts, _) = load.stop();
    assert!(sink.flush(Duration::from_secs(10)));
    let written: usize = [directory.join("gone").join("access.log"), log]
        .iter()
        .map(|path| fs::read_to_string(path).unwrap().lines().count())
        .sum();
    assert_eq!(written as u64 + sink.dropped(), counts.iter().sum::<u64>());
}

/// Case 142: a disk of 64 KiB that is full. `/dev/full` is one of none.
#[test]
fn fault_142_a_full_disk() {
    let sink = Sink::file(LogFile::open("/dev/full").unwrap());
    let load = Load::start(&sink);
    until("lines are dropped", || sink.dropped() > 500);
    let (counts, _) = load.stop();
    assert!(sink.flush(Duration::from_secs(10)));
    // The first of the lines that failed is kept when it was written in part; of `/dev/full` nothing is.
    assert_eq!(sink.dropped(), counts.iter().sum::<u64>());

    let directory = Directory::new();
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).output();
    let place = directory.path().to_str().unwrap();
    let mounted = mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs", place]);
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("no right to mount a tmpfs here: `/dev/full` has to do");
        return;
    }
    let log = directory.join("access.log");
    let sink = Sink::file(LogFile::open(&log).unwrap());
    let load = Load::start(&sink);
    until("the disk is full", || sink.dropped() > 200);
    // Somebody makes room, by the way.
    let before = fs::read_to_string(&log).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(0)
        .unwrap();
    until("there are lines again", || {
        fs::metadata(&log).is_ok_and(|file| file.len() > 1_000)
    });
    let (counts, slowest) = load.stop();
    assert!(sink.flush(Duration::from_secs(10)));
    let after = fs::read_to_string(&log).unwrap();
    let whole = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("line /") && line.ends_with(" end"))
            .count()
    };
    let _ = Command::new("umount").arg(place).output();
    println!("the slowest request while the disk was full: {slowest:?}");
    // The line at the cut is in both in part; all others are whole.
    assert!(
        before.lines().count() - whole(&before) <= 1 && after.lines().count() - whole(&after) <= 1
    );
    let lines = (before.clone() + &after).lines().count() as u64;
    assert_eq!(
        lines + sink.dropped(),
        counts.iter().sum::<u64>(),
        "{before}\n---\n{after}"
    );
}

/// Case 142: the log is a FIFO whose reader stalls; requests go on as fast, and drops are counted.
#[test]
fn fault_142_a_fifo_whose_reader_stalls() {
    let directory = Directory::new();
    let fifo = directory.join("access.log");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let sink = Sink::file(LogFile::open(&fifo).unwrap());
    let app = AccessLog::new(hello).to(sink.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut asked = 0_u64;
    let mut times = Vec::new();
    until("lines are dropped", || {
        for _ in 0..1_000 {
            let start = Instant::now();
            runtime.block_on(async { drop(app.call(get("/")).await) });
            times.push(start.elapsed());
            asked += 1;
        }
        sink.dropped() > 5_000
    });
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    println!("p99 of {asked} requests while the reader stalls: {p99:?}");
    assert!(p99 < Duration::from_millis(1), "{p99:?}");
    let dropped = sink.dropped();
    drop(app);
    // Now the reader comes, and gets what was queued.
    let reader = std::thread::spawn(move || {
        let mut file = fs::File::open(&fifo).unwrap();
        let (mut lines, mut room) = (0_u64, vec![0; 1 << 16]);
        while lines + dropped < asked {
            let read = file.read(&mut room).unwrap();
            lines += room[..read].iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
        lines
    });
    drop(sink);
    assert_eq!(reader.join().unwrap() + dropped, asked);
}

/// A reader that never comes does not keep the program from ending.
#[test]
fn the_end_waits_for_a_stalled_reader_for_five_seconds() {
    let directory = Directory::new();
    let fifo = directory.join("access.log");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let sink = Sink::file(LogFile::open(&fifo).unwrap());
    let app = AccessLog::new(hello).to(sink.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        for _ in 0..2_000 {
            drop(app.call(get("/")).await);
        }
    });
    drop(app);
    let start = Instant::now();
    drop(sink);
    let took = start.elapsed();
    assert!((4..8).contains(&took.as_secs()), "{took:?}");
}

fn every_line_is_counted_as_dropped(sink: &Sink) {
    let load = Load::start(sink);
    until("lines are dropped", || sink.dropped() > 100);
    let (counts, _) = load.stop();
    assert!(sink.flush(Duration::from_secs(10)));
    assert_eq!(sink.dropped(), counts.iter().sum::<u64>());
}

/// Case 142: a disk that fails (EIO), played by a terminal whose other end is gone.
#[test]
fn fault_142_a_disk_that_fails() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let other_end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&other_end).unwrap();
    unlockpt(&other_end).unwrap();
    let name = ptsname(&other_end, Vec::new()).unwrap();
    let sink = Sink::file(LogFile::open(name.to_str().unwrap()).unwrap());
    drop(other_end);
    every_line_is_counted_as_dropped(&sink);
}

/// Case 142: whoever read our standard output is gone (EPIPE).
#[test]
fn fault_142_a_reader_that_is_gone() {
    let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let sink = Sink::writer(writer);
    drop(reader);
    every_line_is_counted_as_dropped(&sink);
}

#[test]
fn syslog_gets_a_datagram_a_line_and_is_found_again() {
    let directory = Directory::new();
    let path = directory.join("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let sink = Sink::syslog(&path).unwrap();
    let app = AccessLog::new(hello).to(sink.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let ask = || runtime.block_on(async { drop(app.call(get("/a")).await) });
    let heard = |daemon: &UnixDatagram| {
        let mut room = [0; 2_000];
        daemon
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let length = daemon.recv(&mut room).unwrap();
        String::from_utf8(room[..length].to_vec()).unwrap()
    };
    ask();
    ask();
    for _ in 0..2 {
        let line = heard(&daemon);
        let head = format!("<134>vestibule[{}]: 192.0.2.1 - - [", std::process::id());
        assert!(line.starts_with(&head), "{line}");
        assert!(
            line.ends_with("\"GET /a HTTP/1.1\" 499 0 \"-\" \"-\""),
            "{line}"
        );
    }
    drop(daemon);
    fs::remove_file(&path).unwrap();
    let daemon = UnixDatagram::bind(&path).unwrap();
    ask();
    assert!(heard(&daemon).contains("GET /a"));
    assert_eq!(sink.dropped(), 0);
}
