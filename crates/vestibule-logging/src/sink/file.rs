//! A file that lines are appended to, and that is rotated: by us, or by another program.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::file_watch::Watch;

/// A log file, open for appending.
///
/// It may be rotated in each of the usual ways, and no line is lost or torn:
///
/// - renamed by another program, which then sends SIGHUP ([`Sink::reopen`](crate::Sink::reopen)) or
///   nothing: the new name is looked at ten times a second at most;
/// - copied and truncated (logrotate's `copytruncate`): on Linux, lines wait while another program that
///   has just opened the file has it open, for 3 s at most;
/// - by itself, when it is told a size or an age.
///
/// ```no_run
/// use std::time::Duration;
/// use vestibule_logging::{LogFile, Sink};
///
/// # fn main() -> std::io::Result<()> {
/// let daily = LogFile::open("access.log")?.max_age(Duration::from_secs(86_400)).keep(7);
/// let sink = Sink::file(daily);
/// # let _ = sink; Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a log file is used by `Sink::file`"]
pub struct LogFile {
    path: PathBuf,
    open: Open,
    max_bytes: Option<u64>,
    max_age: Option<Duration>,
    keep: u32,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: Option<(u64, u64)>,
    is_regular: bool,
    bytes: u64,
    since: SystemTime,
    looked: Instant,
    watch: Option<Watch>,
}

impl LogFile {
    /// Opens the file at `path` for appending, or makes it, readable by its owner and its group.
    ///
    /// # Errors
    ///
    /// When it cannot be opened: the error has the path.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let open = Open::at(&path)?;
        Ok(Self {
            path,
            open,
            max_bytes: None,
            max_age: None,
            keep: 10,
        })
    }

    /// Rotates the file when it has so many bytes: `access.log` becomes `access.log.1`.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Rotates the file when it is so old, counted from when it was made.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// How many rotated files are kept: 10.
    pub const fn keep(mut self, files: u32) -> Self {
        self.keep = files;
        self
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Rotates and opens anew, as far as it is due.
    pub(super) fn prepare(&mut self, wants_reopen: bool) -> io::Result<()> {
        if !self.open.is_regular {
            return Ok(());
        }
        if let Some(watch) = &mut self.open.watch {
            watch.wait_for_others(HOLD);
        }
        if wants_reopen || self.open.was_replaced(&self.path) {
            self.open = Open::at(&self.path)?;
        }
        let is_large = self.max_bytes.is_some_and(|max| self.open.bytes >= max);
        let is_old = self.max_age.is_some_and(|max| self.open.age() >= max);
        if (is_large || is_old) && self.open.bytes > 0 {
            self.rotate()?;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let written = self.open.file.write(lines)?;
        self.open.bytes += written as u64;
        Ok(written)
    }

    /// `access.log.1` becomes `access.log.2`, and so on; `access.log` becomes `access.log.1`.
    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        };
        if self.keep == 0 {
            std::fs::remove_file(&self.path)?;
        }
        for number in (0..self.keep).rev() {
            let from = match number {
                0 => self.path.clone(),
                number => numbered(number),
            };
            match std::fs::rename(from, numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.open = Open::at(&self.path)?;
        // A file system may give the new file the old one's time.
        self.open.since = SystemTime::now();
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
        };
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        // A FIFO that is opened only for writing waits for its reader, and breaks when that goes.
        options.read(is_fifo(path));
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        let file = options.open(path).map_err(named)?;
        let metadata = file.metadata().map_err(named)?;
        let is_regular = metadata.is_file();
        Ok(Self {
            file,
            id: id(&metadata),
            is_regular,
            bytes: metadata.len(),
            since: metadata.created().unwrap_or(SystemTime::now()),
            looked: Instant::now(),
            watch: if is_regular { Watch::new(path) } else { None },
        })
    }

    /// Whether the path is another file by now, or none; asked of the system ten times a second at most.
    fn was_replaced(&mut self, path: &Path) -> bool {
        if self.looked.elapsed() < BETWEEN_LOOKS {
            return false;
        }
        self.looked = Instant::now();
        match std::fs::metadata(path) {
            Ok(metadata) => {
                // It may have been truncated.
                self.bytes = metadata.len();
                id(&metadata) != self.id
            }
            Err(_) => true,
        }
    }

    fn age(&self) -> Duration {
        self.since.elapsed().unwrap_or_default()
    }
}

fn is_fifo(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Which file it is, whatever it is called.
fn id(metadata: &Metadata) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

/// How often the path is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How long lines wait for a program that has just opened the file.
const HOLD: Duration = Duration::from_secs(3);
