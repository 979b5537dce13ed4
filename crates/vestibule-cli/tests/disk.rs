//! Files and disks that change or fail while they are sent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::{Running, Scratch, curl, vestibule};

/// Cut where the file was cut, and not filled up.
#[test]
fn fault_84_a_file_that_is_made_shorter_cuts_the_answer() {
    const SIZE: u64 = 64 << 20;
    let site = Scratch::new("shorter");
    let path = format!("{}/large.bin", site.path());
    let file = std::fs::File::create(path).unwrap();
    file.set_len(SIZE).unwrap();
    let running = Running::serve(&[site.path()]);
    let address = running.address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address.trim_end_matches('/')).unwrap();
    stream
        .write_all(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut begin = vec![0; 100_000];
    stream.read_exact(&mut begin).unwrap();
    // What is on its way is much less than this.
    file.set_len(SIZE / 2).unwrap();
    let mut rest = Vec::new();
    // The end may be a reset.
    let _ = stream.read_to_end(&mut rest);
    let come = begin.len() + rest.len();
    assert!((come as u64) < SIZE, "{come} bytes");
    assert!(
        running
            .curl(&["--head"], "large.bin")
            .contains("content-length: 33554432\r\n")
    );
    let (_, said) = running.interrupt();
    assert!(
        said.contains("large.bin changed while it was sent"),
        "{said}"
    );
}

/// A file cannot be read beyond its first MiB: a library in front of the C library's sees to that. What was sent is
/// cut, the log says why, and others are served.
#[test]
fn fault_87_a_disk_that_fails_cuts_the_answer() {
    let site = Scratch::below("/dev/shm", "disk");
    std::fs::write(format!("{}/large.bin", site.path()), vec![b'x'; 4 << 20]).unwrap();
    site.write("small.txt", "small");
    let build = Scratch::new("disk-library");
    build.write("fail.c", FAILING_READS);
    let library = format!("{}/fail.so", build.path());
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", &library])
        .arg(format!("{}/fail.c", build.path()))
        .status()
        .expect("cc builds the library: install the Debian package `gcc`");
    assert!(built.success());
    for (code, says) in [("5", "Input/output error"), ("116", "Stale file handle")] {
        let mut program = vestibule(&["serve", "--listen", "127.0.0.1:0", site.path()]);
        let running = Running::start(program.env("LD_PRELOAD", &library).env("FAILS_WITH", code));
        let why = curl(&[], &format!("{}large.bin", running.address)).unwrap_err();
        // 18: fewer bytes came than were announced.
        assert!(why.contains("curl: (18)"), "{why}");
        assert!(running.curl(&[], "small.txt").ends_with("small"));
        let (log, said) = running.interrupt();
        assert!(
            said.contains("the response is cut: ") && said.contains(says),
            "{said}"
        );
        let line = log.lines().next().unwrap();
        let bytes = line.split(' ').nth(9).unwrap();
        assert!(bytes.parse::<u64>().unwrap() < 4 << 20, "{log}");
    }
}

/// In memory files are read by pread64(2) of the C library; others, as far as they are in memory, by a call of our own.
const FAILING_READS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>

ssize_t pread64(int file, void *buffer, size_t count, off64_t offset) {
    if (offset >= 1 << 20) {
        errno = atoi(getenv("FAILS_WITH"));
        return -1;
    }
    ssize_t (*real)(int, void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pread64");
    return real(file, buffer, count, offset);
}
"#;
