//! Writes the sidecars that [`StaticFiles::precompressed`](crate::StaticFiles::precompressed)
//! sends.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use crate::coding::{Coding, is_zstd_for_the_web};
use crate::file_kind::{SNIFFED, shrinks};
use crate::glob::Glob;
use crate::name::{Name, WELL_KNOWN};
use crate::rights;

/// Writes `app.js.br`, `app.js.zst` and `app.js.gz` beside each `app.js` below a folder.
///
/// The levels are brotli 11, zstd 19 and gzip 9.
///
/// Reads files of compressible types, and text without an extension (`LICENSE`). Skips dot files
/// and the targets of links. A sidecar is written only if it is at least 5 % smaller than its file.
/// It gets the file's modification time, so that a second run finds it fresh and does nothing.
///
/// A sidecar also gets the mode of its file, and the owner where the system allows it, and never
/// more rights. A sidecar that is out of date and not worth writing again is removed. Each sidecar
/// is written under a temporary name and then renamed, so a running server never reads half of one.
/// The whole file is in memory while it is compressed.
///
/// ```
/// use vestibule_static::Precompress;
///
/// let folder = std::env::temp_dir().join(format!("precompress-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// std::fs::write(folder.join("a.txt"), "compress me ".repeat(100))?;
///
/// let report = Precompress::new(&folder).threads(1).run()?;
/// assert_eq!((report.made, report.failed.len()), (3, 0));
/// assert!(folder.join("a.txt.br").exists());
/// assert_eq!(Precompress::new(&folder).run()?.fresh, 3);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Precompress {
    root: PathBuf,
    threads: usize,
    min_size: u64,
    max_size: u64,
    only: Vec<Glob>,
    exclude: Vec<Glob>,
    codings: Vec<Coding>,
}

/// The progress of a run, reported after each file from the thread that finished it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The path of the file.
    pub path: &'a Path,
    /// The number of finished files.
    pub done: usize,
    /// The total number of files.
    pub files: usize,
}

/// The result of a run.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The number of files that were checked.
    pub files: usize,
    /// The number of sidecars that were written.
    pub made: usize,
    /// The number of sidecars that were up to date.
    pub fresh: usize,
    /// The number of sidecars that would not have been smaller, and were not written.
    pub useless: usize,
    /// The number of sidecars that were out of date and were removed.
    pub removed: usize,
    /// The total size in bytes of the files with new sidecars; each file counts once.
    pub bytes_before: u64,
    /// The total size in bytes of the new sidecars.
    pub bytes_after: u64,
    /// The paths that could not be read or written, with the errors.
    pub failed: Vec<(PathBuf, io::Error)>,
}

impl Precompress {
    /// Configures a run for the files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            threads: thread::available_parallelism().map_or(1, usize::from),
            min_size: 256,
            max_size: 64 * 1024 * 1024,
            only: Vec::new(),
            exclude: Vec::new(),
            codings: Coding::ALL.to_vec(),
        }
    }

    /// Sets the number of threads. Defaults to the parallelism that the system reports.
    #[must_use]
    pub const fn threads(mut self, count: usize) -> Self {
        self.threads = count;
        self
    }

    /// Sets the minimum file size in bytes. Defaults to 256.
    #[must_use]
    pub const fn min_size(mut self, bytes: u64) -> Self {
        self.min_size = bytes;
        self
    }

    /// Sets the maximum file size in bytes. Defaults to 64 MiB.
    #[must_use]
    pub const fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Adds a name pattern: a file is processed if it matches one of them. Defaults to all files.
    ///
    /// ```
    /// use vestibule_static::Precompress;
    ///
    /// let work = Precompress::new("dist").only("*.{js,css}").exclude("/vendor/**");
    /// assert!(work.selects("assets/app.js"));
    /// assert!(!work.selects("index.html") && !work.selects("vendor/lib.js"));
    /// ```
    #[must_use]
    pub fn only(mut self, pattern: &str) -> Self {
        self.only.push(Glob::new(pattern));
        self
    }

    /// Adds a name pattern of files to skip, also if they match [`only`](Self::only). Defaults to
    /// none.
    #[must_use]
    pub fn exclude(mut self, pattern: &str) -> Self {
        self.exclude.push(Glob::new(pattern));
        self
    }

    /// Returns whether the patterns select a file with this name below the root.
    #[must_use]
    pub fn selects(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(name));
        (self.only.is_empty() || matches(&self.only)) && !matches(&self.exclude)
    }

    /// Sets whether `name.br` is written. Defaults to `true`.
    #[must_use]
    pub fn brotli(self, enabled: bool) -> Self {
        self.coding(Coding::Brotli, enabled)
    }

    /// Sets whether `name.zst` is written. Defaults to `true`.
    #[must_use]
    pub fn zstd(self, enabled: bool) -> Self {
        self.coding(Coding::Zstd, enabled)
    }

    /// Sets whether `name.gz` is written. Defaults to `true`.
    ///
    /// ```
    /// use vestibule_static::Precompress;
    ///
    /// let folder = std::env::temp_dir().join(format!("codings-{}", std::process::id()));
    /// std::fs::create_dir_all(&folder)?;
    /// std::fs::write(folder.join("a.txt"), "compress me ".repeat(100))?;
    ///
    /// let report = Precompress::new(&folder).zstd(false).gzip(false).run()?;
    /// assert_eq!(report.made, 1);
    /// assert!(folder.join("a.txt.br").exists() && !folder.join("a.txt.gz").exists());
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn gzip(self, enabled: bool) -> Self {
        self.coding(Coding::Gzip, enabled)
    }

    fn coding(mut self, coding: Coding, enabled: bool) -> Self {
        self.codings.retain(|other| *other != coding);
        if enabled {
            self.codings.push(coding);
        }
        self
    }

    /// Removes the sidecars that [`run`](Self::run) writes, fresh or not, of files of every size.
    /// Keeps links, and sidecars without their file, since they may be independent files.
    ///
    /// The report has the number of [`files`](Report::files) and of [`removed`](Report::removed)
    /// sidecars.
    ///
    /// # Errors
    ///
    /// The same as for [`run`](Self::run).
    ///
    /// ```
    /// use vestibule_static::Precompress;
    ///
    /// let folder = std::env::temp_dir().join(format!("clean-{}", std::process::id()));
    /// std::fs::create_dir_all(&folder)?;
    /// for name in ["a.txt", "a.txt.br", "a.txt.gz", "b.txt.gz"] {
    ///     std::fs::write(folder.join(name), "a")?;
    /// }
    ///
    /// let report = Precompress::new(&folder).clean()?;
    /// assert_eq!((report.files, report.removed), (1, 2));
    /// assert!(folder.join("b.txt.gz").exists());
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn clean(&self) -> io::Result<Report> {
        let mut report = Report::default();
        let every_size = Self {
            min_size: 0,
            max_size: u64::MAX,
            ..self.clone()
        };
        let files = every_size.find(&mut report)?;
        report.files = files.len();
        for path in files {
            for coding in &self.codings {
                let sidecar = with_suffix(&path, coding.suffix());
                if !fs::symlink_metadata(&sidecar).is_ok_and(|it| it.is_file()) {
                    continue;
                }
                match fs::remove_file(&sidecar) {
                    Ok(()) => report.removed += 1,
                    Err(error) => report.failed.push((sidecar, error)),
                }
            }
        }
        Ok(report)
    }

    /// Writes and removes sidecars.
    ///
    /// # Errors
    ///
    /// Fails when `root` cannot be read. Errors of single files are in the report.
    pub fn run(&self) -> io::Result<Report> {
        self.run_with(|_| {})
    }

    /// Writes and removes sidecars, and calls `progress` after each file.
    ///
    /// # Errors
    ///
    /// The same as for [`run`](Self::run).
    pub fn run_with(&self, progress: impl Fn(Progress<'_>) + Sync) -> io::Result<Report> {
        let mut report = Report::default();
        let files = self.find(&mut report)?;
        report.files = files.len();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let report = Mutex::new(report);
        thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, files.len().max(1)) {
                scope.spawn(|| {
                    while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut own = Report::default();
                        if let Err(error) = self.compress(path, &mut own) {
                            own.failed.push((path.clone(), error));
                        }
                        report
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .add(own);
                        progress(Progress {
                            path,
                            done: done.fetch_add(1, Ordering::Relaxed) + 1,
                            files: files.len(),
                        });
                    }
                });
            }
        });
        Ok(report.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Finds the files to process, largest first, so that the last thread does not work alone for
    /// long.
    fn find(&self, report: &mut Report) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if folder == self.root => return Err(error),
                Err(error) => {
                    report.failed.push((folder, error));
                    continue;
                }
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.as_encoded_bytes();
                let is_well_known = folder == self.root && name == WELL_KNOWN;
                if !is_well_known && !Name::allows(name, false) {
                    continue;
                }
                let kind = entry.file_type()?;
                if kind.is_file() && !self.selects(self.name_of(&entry.path())) {
                    continue;
                }
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let metadata = entry.metadata()?;
                    let path = entry.path();
                    match shrinks(name, metadata.len(), || start_of(&path)) {
                        Ok(true) => {}
                        Ok(false) => continue,
                        Err(error) => {
                            report.failed.push((path, error));
                            continue;
                        }
                    }
                    if (self.min_size..=self.max_size).contains(&metadata.len()) {
                        files.push((metadata.len(), entry.path()));
                    } else {
                        // The file may have had another size earlier.
                        report.removed += remove_stale(&entry.path(), metadata.modified()?)?;
                    }
                }
            }
        }
        files.sort_unstable_by(|a, b| b.cmp(a));
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }

    /// Returns the name of a file below the root, in the form that patterns match.
    fn name_of(&self, path: &Path) -> Vec<u8> {
        let name = path.strip_prefix(&self.root).unwrap_or(path);
        let mut name = name.as_os_str().as_encoded_bytes().to_vec();
        if cfg!(windows) {
            name.iter_mut()
                .filter(|byte| **byte == b'\\')
                .for_each(|byte| *byte = b'/');
        }
        name
    }

    fn compress(&self, path: &Path, report: &mut Report) -> io::Result<()> {
        let mut file = File::open(path)?;
        let modified = file.metadata()?.modified()?;
        let mut bytes = None;
        for &coding in &self.codings {
            let sidecar = with_suffix(path, coding.suffix());
            let made = fs::metadata(&sidecar).and_then(|metadata| metadata.modified());
            // Compares times as the server does: with a resolution of one second, later is newer.
            if made
                .as_ref()
                .is_ok_and(|made| seconds(*made) >= seconds(modified))
            {
                rights::copy_to(&file, &sidecar)?;
                report.fresh += 1;
                continue;
            }
            let bytes = match &bytes {
                Some(bytes) => bytes,
                None => {
                    let mut content = Vec::new();
                    file.read_to_end(&mut content)?;
                    bytes.insert(content)
                }
            };
            let encoded = encode(coding, bytes)?;
            if is_worth_it(coding, bytes, &encoded) {
                write(&sidecar, &encoded, modified, &file)?;
                report.made += 1;
                report.bytes_before += bytes.len() as u64;
                report.bytes_after += encoded.len() as u64;
            } else {
                report.useless += 1;
                if made.is_ok() {
                    fs::remove_file(&sidecar)?;
                    report.removed += 1;
                }
            }
        }
        Ok(())
    }
}

impl Report {
    fn add(&mut self, other: Self) {
        self.made += other.made;
        self.fresh += other.fresh;
        self.useless += other.useless;
        self.removed += other.removed;
        self.bytes_before += other.bytes_before;
        self.bytes_after += other.bytes_after;
        self.failed.extend(other.failed);
    }
}

pub(crate) fn encode(coding: Coding, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Brotli => {
            let params = brotli::enc::BrotliEncoderParams {
                quality: 11,
                lgwin: 24,
                size_hint: bytes.len(),
                ..Default::default()
            };
            let mut encoded = Vec::new();
            brotli::BrotliCompress(&mut &*bytes, &mut encoded, &params)?;
            Ok(encoded)
        }
        Coding::Zstd => {
            let mut encoded = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
            zstd_safe::compress(&mut encoded, bytes, 19)
                .map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
            Ok(encoded)
        }
        Coding::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

/// Returns whether a sidecar is at least 5 % smaller, and browsers accept it.
pub(crate) fn is_worth_it(coding: Coding, bytes: &[u8], encoded: &[u8]) -> bool {
    let is_smaller = encoded.len() < bytes.len() - bytes.len() / 20;
    is_smaller && (coding != Coding::Zstd || is_zstd_for_the_web(encoded))
}

/// Removes the sidecars that are older than their file. Returns their number.
fn remove_stale(path: &Path, modified: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for coding in Coding::ALL {
        let sidecar = with_suffix(path, coding.suffix());
        let made = fs::metadata(&sidecar).and_then(|metadata| metadata.modified());
        if made.is_ok_and(|made| seconds(made) < seconds(modified)) {
            fs::remove_file(&sidecar)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Writes a sidecar under a temporary name, with the time and the rights of its `file`, and renames
/// it.
fn write(path: &Path, bytes: &[u8], modified: SystemTime, file: &File) -> io::Result<()> {
    // The temporary name is a dot file, which is not served.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    // A file that an earlier process with this id left.
    let _ = fs::remove_file(&draft);
    let written = rights::create_private(&draft)
        .and_then(|mut sidecar| {
            sidecar.write_all(bytes)?;
            sidecar.set_modified(modified)?;
            rights::copy(file, &sidecar)
        })
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Reads the first bytes of a file that its type may depend on.
fn start_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?
        .take(SNIFFED as u64)
        .read_to_end(&mut start)?;
    Ok(start)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn seconds(time: SystemTime) -> i64 {
    vestibule_fields::date::HttpDate::from(time).unix()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_that_are_worth_their_size() {
        let text = "compress me ".repeat(1000);
        for coding in Coding::ALL {
            let encoded = encode(coding, text.as_bytes()).unwrap();
            assert!(is_worth_it(coding, text.as_bytes(), &encoded), "{coding:?}");
            assert!(encoded.len() < 500, "{coding:?}: {}", encoded.len());
        }
        // Random enough that no coding finds a pattern.
        let mut state = 1_u64;
        let noise: Vec<_> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8
        })
        .take(4096)
        .collect();
        for coding in Coding::ALL {
            let encoded = encode(coding, &noise).unwrap();
            assert!(!is_worth_it(coding, &noise, &encoded), "{coding:?}");
        }
        let large = text.repeat(1000);
        let encoded = encode(Coding::Zstd, large.as_bytes()).unwrap();
        assert!(is_zstd_for_the_web(&encoded), "12 MB has an 8 MB window");
    }
}
