//! An open regular file: read at a place, with or without waiting, and asked whether it is still what it was.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;
use vestibule_core::FilePart;
use vestibule_fields::date::HttpDate;

/// An open file and its [`Stamp`] at the moment it was opened.
#[derive(Clone)]
pub(crate) struct OpenFile {
    file: Arc<File>,
    path: Arc<Path>,
    stamp: Stamp,
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only Linux is asked whether it would wait")
    )]
    reads: Arc<Reads>,
}

/// What is known of reading from a file system.
#[derive(Debug, Default)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux is asked whether it would wait")
)]
pub(crate) struct Reads {
    /// It is memory: nothing ever waits.
    pub(crate) is_memory: bool,
    /// It has refused to read without waiting, and is not asked again: the pool reads.
    #[cfg(target_os = "linux")]
    refuses: AtomicBool,
}

impl Reads {
    #[cfg(unix)]
    pub(crate) fn new(is_memory: bool) -> Self {
        Self {
            is_memory,
            #[cfg(target_os = "linux")]
            refuses: AtomicBool::new(false),
        }
    }
}

impl OpenFile {
    /// `None` when `file` is not a regular file.
    pub(crate) fn new(file: File, path: Arc<Path>, reads: Arc<Reads>) -> io::Result<Option<Self>> {
        Ok(Stamp::of(&file)?.map(|stamp| Self {
            file: Arc::new(file),
            path,
            stamp,
            reads,
        }))
    }

    /// As [`new`](Self::new), for a file whose metadata has been read.
    #[cfg(unix)]
    pub(crate) fn with_stat(
        file: File,
        stat: &rustix::fs::Stat,
        path: Arc<Path>,
        reads: Arc<Reads>,
    ) -> Option<Self> {
        Stamp::from_stat(stat).map(|stamp| Self {
            file: Arc::new(file),
            path,
            stamp,
            reads,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn length(&self) -> u64 {
        self.stamp.length
    }

    /// The date and the strong tag that tell this file from its earlier self.
    ///
    /// There are none when the time is 0 or 1: archives, Nix and container images set it to these, so that it says nothing.
    pub(crate) fn validators(&self) -> (Option<HttpDate>, Option<HeaderValue>) {
        let Stamp {
            length,
            seconds,
            nanoseconds,
            inode,
            ..
        } = self.stamp;
        if matches!(seconds, 0 | 1) {
            return (None, None);
        }
        let mut tag = Vec::with_capacity(TAG_LENGTH);
        let numbers = [inode, length, seconds as u64, nanoseconds as u64];
        for (number, before) in numbers.into_iter().zip(*b"\"--.") {
            tag.push(before);
            push_hex(&mut tag, number);
        }
        tag.push(b'"');
        (
            Some(HttpDate::from_unix(seconds)),
            HeaderValue::try_from(tag).ok(),
        )
    }

    /// The part of this file as a gateway may send it.
    pub(crate) fn part(&self, start: u64, length: u64) -> FilePart {
        FilePart::new(self.path.clone(), start, length).with_file(self.file.clone())
    }

    /// Reads at `offset`, waiting for the disk if need be. 0 is the end.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match read_at(&self.file, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Reads at `offset` what is in memory, perhaps less than was asked for; `WouldBlock` when nothing is.
    #[cfg(target_os = "linux")]
    pub(crate) fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};

        if self.reads.is_memory {
            return self.read(buffer, offset);
        }
        if self.reads.refuses.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut slices = [io::IoSliceMut::new(buffer)];
        match preadv2(&self.file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => Ok(count),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.reads.refuses.store(true, Ordering::Relaxed);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads at `offset`: this system cannot say whether it would wait, and a read from the page cache mostly does not.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read(buffer, offset)
    }

    /// Whether nothing at all has happened to the file since it was opened, and it has a name still.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_untouched(&self) -> bool {
        matches!(Stamp::of(&self.file), Ok(Some(now)) if now == self.stamp && now.others.0 > 0)
    }

    /// Fails with [`FileChanged`] when the file is not what it was when it was opened.
    pub(crate) fn check(&self) -> io::Result<()> {
        match Stamp::of(&self.file)? {
            Some(now) if self.stamp.is_same(&now) => Ok(()),
            _ => Err(self.changed()),
        }
    }

    /// The error of a file that changed while it was sent.
    pub(crate) fn changed(&self) -> io::Error {
        io::Error::other(FileChanged {
            path: self.path.clone(),
        })
    }
}

/// The body error of a file that was shortened, written to or replaced in place while it was sent.
///
/// What was promised cannot be sent any more, so the connection is closed.
#[derive(Clone, Debug)]
pub struct FileChanged {
    path: Arc<Path>,
}

impl FileChanged {
    /// The path by which the file was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for FileChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} changed while it was sent", self.path.display())
    }
}

impl Error for FileChanged {}

/// What identifies the bytes of a file, as far as a file system can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    /// When the bytes were changed, in seconds since 1970.
    seconds: i64,
    nanoseconds: i64,
    inode: u64,
    /// When anything was changed, also the time above.
    changed: (i64, i64),
    /// Links, mode and owners: a change of these changes `changed`, and not the bytes.
    others: (u64, u32, u32, u32),
}

impl Stamp {
    /// The stamp of a regular file.
    #[cfg(unix)]
    fn of(file: &File) -> io::Result<Option<Self>> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    /// The stamp of a regular file.
    #[cfg(unix)]
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "the types of these fields differ between systems"
    )]
    fn from_stat(stat: &rustix::fs::Stat) -> Option<Self> {
        use rustix::fs::FileType;

        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        Some(Self {
            length: u64::try_from(stat.st_size).unwrap_or(0),
            seconds: stat.st_mtime as i64,
            nanoseconds: stat.st_mtime_nsec as i64,
            inode: stat.st_ino as u64,
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            others: (
                stat.st_nlink as u64,
                stat.st_mode as u32,
                stat.st_uid as u32,
                stat.st_gid as u32,
            ),
        })
    }

    /// The stamp of a regular file.
    #[cfg(not(unix))]
    fn of(file: &File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let modified = metadata.modified()?;
        let seconds = HttpDate::from(modified).unix();
        let nanoseconds = match modified.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::from(after.subsec_nanos()),
            Err(before) => -i64::from(before.duration().subsec_nanos()),
        };
        Ok(Some(Self {
            length: metadata.len(),
            seconds,
            nanoseconds,
            inode: 0,
            changed: (0, 0),
            others: (0, 0, 0, 0),
        }))
    }

    /// Whether the bytes are the same, as far as can be known.
    ///
    /// A file that was unlinked, or whose mode or owner changed, has its old bytes. One whose `changed` moved and nothing
    /// else was written to and had its time set back.
    fn is_same(&self, now: &Self) -> bool {
        (self.length, self.seconds, self.nanoseconds) == (now.length, now.seconds, now.nanoseconds)
            && (self.changed == now.changed || self.others != now.others)
    }
}

/// Writes `number` in hexadecimal digits, without zeros before it.
fn push_hex(text: &mut Vec<u8>, number: u64) {
    let digits = (number.max(1).ilog2() / 4) as usize;
    text.extend(
        (0..=digits)
            .rev()
            .map(|digit| HEX[(number >> (4 * digit)) as usize & 15]),
    );
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Room for the tag of a file of our time.
const TAG_LENGTH: usize = 48;

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// Fails: nothing opens a file on such a system (wasm32), where embedded files are what is served.
#[cfg(not(any(unix, windows)))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal() {
        for number in [0, 1, 9, 15, 16, 255, 256, 0x1234_5678_9abc_def0, u64::MAX] {
            let mut text = Vec::new();
            push_hex(&mut text, number);
            assert_eq!(String::from_utf8(text).unwrap(), format!("{number:x}"));
        }
    }
}
