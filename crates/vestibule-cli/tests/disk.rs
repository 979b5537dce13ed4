//! A disk that fails in the middle of a file.

use std::process::Command;

use crate::{Running, Scratch, curl, vestibule};

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
