//! An open regular file: reads at an offset, with or without waiting, validators, and detection of
//! changes.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use vestibule_core::FilePart;
use vestibule_fields::date::HttpDate;

use crate::hash::hash_numbers;

/// An open file and its [`Stamp`] at the moment it was opened.
#[derive(Clone)]
pub(crate) struct OpenFile {
    file: Arc<File>,
    path: Arc<Path>,
    stamp: Stamp,
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only Linux can report that a read would wait")
    )]
    reads: Arc<Reads>,
}

/// Facts about reads from a file system.
#[derive(Debug, Default)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux can report that a read would wait")
)]
pub(crate) struct Reads {
    /// The file system is in memory: reads never wait.
    pub(crate) is_memory: bool,
    /// The file system does not support reads without waiting. All reads go to the pool.
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
    /// Returns `None` when `file` is not a regular file.
    pub(crate) fn new(file: File, path: Arc<Path>, reads: Arc<Reads>) -> io::Result<Option<Self>> {
        Ok(Stamp::of(&file)?.map(|stamp| Self {
            file: Arc::new(file),
            path,
            stamp,
            reads,
        }))
    }

    /// Does the same as [`new`](Self::new), for a file with known metadata.
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

    /// Returns the date and the strong tag of this version of the file.
    ///
    /// There is no date when the time is 0 or 1, a constant of archives, Nix and container images.
    pub(crate) fn validators(&self) -> (Option<HttpDate>, Option<HeaderValue>) {
        let seconds = self.stamp.seconds;
        let date = (!matches!(seconds, 0 | 1)).then(|| HttpDate::from_unix(seconds));
        let is_unique = self.stamp.is_time_unique(SystemTime::now());
        (date, self.stamp.tag(is_unique))
    }

    /// Returns the tag of this version, and the tag that it had when it was new.
    pub(crate) fn tags(&self) -> [Option<HeaderValue>; 2] {
        [true, false].map(|is_unique| self.stamp.tag(is_unique))
    }

    /// Returns whether the path that the file was opened from still leads to it. Waits for the
    /// disk.
    #[cfg(unix)]
    pub(crate) fn has_its_name(&self) -> bool {
        let now = rustix::fs::stat(&*self.path);
        now.ok()
            .and_then(|stat| Stamp::from_stat(&stat))
            .is_some_and(|now| now.inode == self.stamp.inode)
    }

    /// Returns `true`: on other systems, a rename does not change the fields of a [`Stamp`].
    #[cfg(not(unix))]
    #[allow(clippy::unused_self, reason = "other systems use it")]
    pub(crate) const fn has_its_name(&self) -> bool {
        true
    }

    /// Returns the state at the time of opening.
    pub(crate) const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Returns the current state; an error when it is not a regular file any more.
    pub(crate) fn stamp_now(&self) -> io::Result<Stamp> {
        Stamp::of(&self.file)?.ok_or_else(|| self.changed())
    }

    /// Returns a part of this file in the form that gateways can send.
    pub(crate) fn part(&self, start: u64, length: u64) -> FilePart {
        FilePart::new(self.path.clone(), start, length).with_file(self.file.clone())
    }

    /// Reads at `offset` and waits for the disk if needed. Returns 0 at the end.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match read_at(&self.file, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Reads the bytes at `offset` that are in memory, possibly fewer than requested; `WouldBlock`
    /// when there are none.
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

    /// Reads at `offset`. This system cannot report that a read would wait; a read from the page
    /// cache mostly does not.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read(buffer, offset)
    }

    /// Returns whether the file is completely unchanged since it was opened, and still has a name.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_untouched(&self) -> bool {
        matches!(Stamp::of(&self.file), Ok(Some(now)) if now == self.stamp && now.others.0 > 0)
    }

    /// Fails with [`FileChanged`] when the file was changed or has grown since it was opened.
    #[cfg(target_os = "linux")]
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.stamp.compare(&self.stamp_now()?) {
            Change::Same => Ok(()),
            _ => Err(self.changed()),
        }
    }

    /// Returns the error for a file that changed while it was sent.
    pub(crate) fn changed(&self) -> io::Error {
        io::Error::other(FileChanged {
            path: self.path.clone(),
        })
    }
}

/// The body error for a file that was truncated or overwritten while it was sent.
///
/// The rest of the promised bytes does not exist any more, so the connection is closed. A file that
/// has only grown is not an error: the response has the length that the file had when it was
/// opened.
#[derive(Clone, Debug)]
pub struct FileChanged {
    path: Arc<Path>,
}

impl FileChanged {
    /// Returns the path that the file was opened from.
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

/// The metadata that identifies the bytes of a file, as far as a file system can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) length: u64,
    /// The modification time, in seconds since 1970.
    seconds: i64,
    nanoseconds: i64,
    inode: u64,
    /// The change time of the inode. It also changes with the modification time.
    changed: (i64, i64),
    /// Links, mode and owners: changing these sets `changed`, but keeps the bytes.
    others: (u64, u32, u32, u32),
}

/// The difference between two stamps of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The bytes are the same, as far as the system shows.
    Same,
    /// It is longer, and its time is not earlier: it was appended to, or truncated and rewritten.
    Grown,
    /// It was written to, and is not longer. The system sets the time before the length, so an
    /// append that has just begun has this state for a moment.
    Written,
    /// Only the change time differs: it was renamed, or it was written to and its modification time
    /// was set back.
    Touched,
    /// It is shorter.
    Shrunk,
}

impl Stamp {
    /// Reads the stamp of a regular file.
    #[cfg(unix)]
    fn of(file: &File) -> io::Result<Option<Self>> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    /// Converts metadata to the stamp of a regular file.
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

    /// Reads the stamp of a regular file.
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

    /// Compares two states of one file.
    ///
    /// A file that was unlinked, or whose mode or owner changed, still has the same bytes.
    pub(crate) fn compare(&self, now: &Self) -> Change {
        let modified = |stamp: &Self| (stamp.seconds, stamp.nanoseconds);
        let is_same_time = modified(self) == modified(now);
        let is_touched = self.changed != now.changed && self.others == now.others;
        match now.length.cmp(&self.length) {
            std::cmp::Ordering::Less => Change::Shrunk,
            std::cmp::Ordering::Equal if is_same_time && is_touched => Change::Touched,
            std::cmp::Ordering::Equal if is_same_time => Change::Same,
            std::cmp::Ordering::Greater if modified(now) >= modified(self) => Change::Grown,
            _ => Change::Written,
        }
    }

    /// Returns the strong entity tag: a hash of the length and the time, as the file system stores
    /// it.
    ///
    /// Replicas share a tag if their files have the same times, to the nanosecond. Tools that keep
    /// whole seconds (GNU tar by default) give all copies the same tag, but a different one from
    /// the original. Without the nanoseconds, two versions with the same second and length would
    /// share a tag.
    ///
    /// Where versions can have the same time, the tag also covers the inode and its change time.
    fn tag(&self, is_time_unique: bool) -> Option<HeaderValue> {
        let numbers = [self.length, self.seconds as u64, self.nanoseconds as u64];
        let hash = if is_time_unique {
            hash_numbers(&numbers)
        } else {
            let [length, seconds, nanoseconds] = numbers;
            let (changed, changed_nanoseconds) = self.changed;
            hash_numbers(&[
                length,
                seconds,
                nanoseconds,
                self.inode,
                changed as u64,
                changed_nanoseconds as u64,
            ])
        };
        let mut tag = [b'"'; 18];
        for (place, digit) in tag[1..17].iter_mut().zip((0..16).rev()) {
            *place = HEX[(hash >> (4 * digit)) as usize & 15];
        }
        HeaderValue::from_bytes(&tag).ok()
    }

    /// Returns whether another version of the file would have another time: the time is not a
    /// constant of a tool, and the clock has moved on, so that the next write has a later time.
    fn is_time_unique(&self, now: SystemTime) -> bool {
        if self.seconds <= LAST_CONSTANT_TIME {
            return false;
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = Duration::new(
            u64::try_from(self.seconds).unwrap_or(0),
            u32::try_from(self.nanoseconds).unwrap_or(0),
        );
        let grain = if self.nanoseconds == 0 {
            GRAIN_OF_SECONDS
        } else {
            GRAIN
        };
        now.checked_sub(since).is_some_and(|age| age >= grain)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The last second of 1985, UTC. Archive tools give all files one constant time: 0, 1, the first
/// time of zip (1980), or npm's (26 October 1985).
const LAST_CONSTANT_TIME: i64 = 504_921_599;

/// The clock of file times ticks every 10 ms or faster; the rest is tolerance for clocks that
/// differ a little.
const GRAIN: Duration = Duration::from_millis(100);

/// The resolution of file systems without nanoseconds. FAT stores every second second.
const GRAIN_OF_SECONDS: Duration = Duration::from_secs(2);

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// Always fails: such a system (wasm32) opens no files, and serves embedded files.
#[cfg(not(any(unix, windows)))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01 00:00:00.5 UTC.
    const STAMP: Stamp = Stamp {
        length: 1000,
        seconds: 1_767_225_600,
        nanoseconds: 500_000_000,
        inode: 7,
        changed: (1_767_225_600, 500_000_000),
        others: (1, 0o644, 0, 0),
    };

    fn tag_after(stamp: Stamp, age: Duration) -> HeaderValue {
        let modified = Duration::new(stamp.seconds as u64, stamp.nanoseconds as u32);
        let is_unique = stamp.is_time_unique(UNIX_EPOCH + modified + age);
        stamp.tag(is_unique).unwrap()
    }

    #[test]
    fn comparisons() {
        let later = |stamp: Stamp| Stamp {
            seconds: stamp.seconds + 1,
            changed: (stamp.seconds + 1, 0),
            ..stamp
        };
        let earlier = |stamp: Stamp| Stamp {
            seconds: stamp.seconds - 1,
            changed: (stamp.seconds + 1, 0),
            ..stamp
        };
        let sized = |length: u64, stamp: Stamp| Stamp { length, ..stamp };
        let cases = [
            ("nothing", STAMP, Change::Same),
            (
                "another mode",
                Stamp {
                    changed: (1_800_000_000, 0),
                    others: (1, 0o600, 0, 0),
                    ..STAMP
                },
                Change::Same,
            ),
            (
                "unlinked",
                Stamp {
                    changed: (1_800_000_000, 0),
                    others: (0, 0o644, 0, 0),
                    ..STAMP
                },
                Change::Same,
            ),
            ("appended", sized(1001, later(STAMP)), Change::Grown),
            ("appended in one tick", sized(1001, STAMP), Change::Grown),
            (
                "longer and older",
                sized(1001, earlier(STAMP)),
                Change::Written,
            ),
            ("overwritten", later(STAMP), Change::Written),
            ("the time set back", earlier(STAMP), Change::Written),
            (
                "the time set back to what it was",
                Stamp {
                    changed: (1_800_000_000, 0),
                    ..STAMP
                },
                Change::Touched,
            ),
            ("truncated", sized(999, later(STAMP)), Change::Shrunk),
            (
                "emptied, with its old time",
                sized(0, STAMP),
                Change::Shrunk,
            ),
        ];
        for (name, now, expected) in cases {
            assert_eq!(STAMP.compare(&now), expected, "{name}");
        }
    }

    #[test]
    fn the_tag_covers_the_inode_when_the_time_is_not_unique() {
        let hour = Duration::from_secs(3600);
        let millis = Duration::from_millis;
        let at = |seconds: i64, nanoseconds: i64| Stamp {
            seconds,
            nanoseconds,
            ..STAMP
        };
        let new_year = STAMP.seconds;
        let cases = [
            ("old", at(new_year, 500_000_000), hour, false),
            (
                "older than the clock's grain",
                at(new_year, 1),
                millis(100),
                false,
            ),
            ("younger", at(new_year, 1), millis(99), true),
            ("just now", at(new_year, 1), Duration::ZERO, true),
            ("whole seconds", at(new_year, 0), millis(2000), false),
            ("whole seconds, young", at(new_year, 0), millis(1999), true),
            ("epoch", at(0, 0), hour, true),
            ("a second after it", at(1, 0), hour, true),
            ("zip", at(315_532_800, 0), hour, true),
            ("npm", at(499_162_500, 0), hour, true),
            ("1994", at(784_111_777, 0), hour, false),
        ];
        for (name, stamp, age, covers) in cases {
            let copy = Stamp {
                inode: 8,
                changed: (1_800_000_000, 1),
                ..stamp
            };
            let is_other = tag_after(stamp, age) != tag_after(copy, age);
            assert_eq!(is_other, covers, "{name}");
            let longer = Stamp {
                length: 1001,
                ..stamp
            };
            assert_ne!(tag_after(stamp, age), tag_after(longer, age), "{name}");
        }
        // A time in the future, and one before 1970.
        assert!(!STAMP.is_time_unique(UNIX_EPOCH));
        assert!(!at(-1, 0).is_time_unique(SystemTime::now()));
    }

    /// Replicas may run different versions of this program, so the tag of a file must not change.
    #[test]
    fn tags_are_stable() {
        assert_eq!(
            tag_after(STAMP, Duration::from_secs(3600)),
            "\"5f54737bba4e3ded\""
        );
    }
}
