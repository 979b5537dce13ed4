//! Standard output and standard error, where several processes write to the same one.
//!
//! POSIX keeps a write to a pipe in one piece up to `PIPE_BUF` bytes, which are 4,096 on Linux. Longer
//! writes of two processes mix, and so do writes to a socket, as journald hands it out. So each write
//! holds a lock on the stream, which all processes that write by this module respect.

use std::fmt;
use std::io::{self, Write};

/// Writes to standard output or standard error so that lines of several processes do not mix.
///
/// One call of `write` writes all of its data, whole lines, while it holds an advisory lock on the stream
/// (`fcntl`, one lock per process and stream). Programs that do not take the lock can still write in
/// between. A regular file needs no lock. Elsewhere than on Linux there is none, and it writes as
/// [`std::io::stdout`] does.
///
/// ```
/// use std::io::Write;
/// use vestibule_logging::WholeLines;
///
/// WholeLines::stderr().write_all(b"one line\n").unwrap();
/// ```
#[derive(Clone, Copy)]
pub struct WholeLines(Stream);

#[derive(Clone, Copy, Debug)]
enum Stream {
    Output,
    Error,
}

impl WholeLines {
    /// Writes to standard output. It waits for its turn.
    #[must_use]
    pub const fn stdout() -> Self {
        Self(Stream::Output)
    }

    /// Writes to standard error. It waits for its turn for one second at most and then writes
    /// without it: a process that was stopped while it wrote must not stop the others.
    #[must_use]
    pub const fn stderr() -> Self {
        Self(Stream::Error)
    }
}

impl Write for WholeLines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        return linux::write(self.0, lines);
        #[cfg(not(target_os = "linux"))]
        match self.0 {
            Stream::Output => io::stdout().write_all(lines)?,
            Stream::Error => io::stderr().write_all(lines)?,
        }
        #[cfg(not(target_os = "linux"))]
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        #[cfg(not(target_os = "linux"))]
        io::stdout().flush()?;
        Ok(())
    }
}

impl fmt::Debug for WholeLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WholeLines({:?})", self.0)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{FileType, FlockOperation, Stat, fcntl_lock, fstat};
    use rustix::io::Errno;

    use super::Stream;

    pub(super) fn write(stream: Stream, lines: &[u8]) -> io::Result<usize> {
        let (output, error) = (rustix::stdio::stdout(), rustix::stdio::stderr());
        let fd = match stream {
            Stream::Output => output,
            Stream::Error => error,
        };
        let Ok(stat) = fstat(fd) else {
            // The descriptor is closed: the data has nowhere to go, as in the standard library.
            return Ok(lines.len());
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return write_all(fd, lines);
        }
        // The lock below belongs to the process, so threads exclude each other by a mutex. Where both
        // streams are the same pipe it is the same mutex; otherwise a reader that does not read standard
        // output must not block standard error.
        let is_shared = fstat(output).is_ok_and(|it| is_same(&it, &stat));
        let thread = match stream {
            Stream::Error if !is_shared => &OF_STDERR,
            Stream::Output | Stream::Error => &OF_STDOUT,
        };
        let limit = match stream {
            Stream::Output => None,
            Stream::Error => Some(PATIENCE),
        };
        let _thread = turn(thread, limit);
        let _process = Lock::take(fd, limit);
        write_all(fd, lines)
    }

    const fn is_same(one: &Stat, other: &Stat) -> bool {
        one.st_dev == other.st_dev && one.st_ino == other.st_ino
    }

    static OF_STDOUT: Mutex<()> = Mutex::new(());
    static OF_STDERR: Mutex<()> = Mutex::new(());

    /// How long a write to standard error waits for its turn.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// How long a write waits for a pipe that was set to not block.
    const FULL: Duration = Duration::from_secs(5);

    /// The thread's turn; `None` when it did not come within the limit. In a child that was forked while
    /// another thread had its turn, it never comes.
    fn turn(mutex: &Mutex<()>, limit: Option<Duration>) -> Option<MutexGuard<'_, ()>> {
        let Some(limit) = limit else {
            return Some(mutex.lock().unwrap_or_else(PoisonError::into_inner));
        };
        within(limit, || match mutex.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        })
    }

    /// Tries again and again, with a pause in between.
    fn within<T>(limit: Duration, attempt: impl Fn() -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        loop {
            match attempt() {
                Some(done) => return Some(done),
                None if Instant::now() >= end => return None,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// The process's lock on the stream.
    struct Lock<'a>(BorrowedFd<'a>);

    impl<'a> Lock<'a> {
        /// `None` when it cannot be had: then the lines are written without it.
        fn take(fd: BorrowedFd<'a>, limit: Option<Duration>) -> Option<Self> {
            let Some(limit) = limit else {
                loop {
                    match fcntl_lock(fd, FlockOperation::LockExclusive) {
                        Ok(()) => return Some(Self(fd)),
                        Err(Errno::INTR) => {}
                        Err(_) => return None,
                    }
                }
            };
            within(limit, || {
                match fcntl_lock(fd, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => Some(Some(Self(fd))),
                    Err(Errno::INTR | Errno::AGAIN | Errno::ACCESS) => None,
                    Err(_) => Some(None),
                }
            })?
        }
    }

    impl Drop for Lock<'_> {
        fn drop(&mut self) {
            let _ = fcntl_lock(self.0, FlockOperation::Unlock);
        }
    }

    /// Writes everything, or returns how far it came; an error only when nothing was written.
    fn write_all(fd: BorrowedFd<'_>, lines: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while let Some(rest) = lines.get(at..).filter(|rest| !rest.is_empty()) {
            let error = match rustix::io::write(fd, rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(written) => {
                    at += written;
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if is_writable_within(fd, FULL) => continue,
                Err(error) => io::Error::from(error),
            };
            return if at > 0 { Ok(at) } else { Err(error) };
        }
        Ok(at)
    }

    fn is_writable_within(fd: BorrowedFd<'_>, limit: Duration) -> bool {
        let mut streams = [PollFd::new(&fd, PollFlags::OUT)];
        let limit = Timespec::try_from(limit).ok();
        poll(&mut streams, limit.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use super::*;

    /// Set in the processes that write.
    const WRITER: &str = "VESTIBULE_TEST_WRITER";

    /// Lines shorter and longer than what a pipe takes in one piece.
    const LENGTHS: [usize; 4] = [10, 4095, 4097, 70_000];

    const ROUNDS: usize = 50;

    #[test]
    fn lines_of_several_processes_do_not_mix() {
        if let Some(name) = std::env::var_os(WRITER) {
            let name = name.into_string().unwrap();
            for at in 0..ROUNDS * LENGTHS.len() {
                let line = name.repeat(LENGTHS[at % LENGTHS.len()]) + "\n";
                WholeLines::stderr().write_all(line.as_bytes()).unwrap();
            }
            return;
        }
        let (reader, writer) = io::pipe().unwrap();
        let test = "whole_lines::tests::lines_of_several_processes_do_not_mix";
        let writers: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", test, "--nocapture"])
                    .env(WRITER, name)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(writer.try_clone().unwrap())
                    .spawn()
                    .unwrap()
            })
            .collect();
        drop(writer);
        let mut seen: HashMap<(u8, usize), usize> = HashMap::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.unwrap();
            let name = line[0];
            assert!(line.iter().all(|byte| *byte == name), "a line is torn");
            *seen.entry((name, line.len())).or_default() += 1;
        }
        for mut writer in writers {
            assert!(writer.wait().unwrap().success());
        }
        assert_eq!(seen.len(), 3 * LENGTHS.len());
        assert!(seen.values().all(|count| *count == ROUNDS), "{seen:?}");
    }
}
