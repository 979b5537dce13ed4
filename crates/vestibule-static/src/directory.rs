//! A folder on disk. Names cannot lead out of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use vestibule_core::Outline;

use crate::open_file::OpenFile;
use crate::source::{Entry, Listed, Source, Stored, Wait};

/// The files below a folder.
///
/// On Linux every name is opened with `openat2`, `RESOLVE_BENEATH` and `RESOLVE_NO_MAGICLINKS`, so
/// the kernel keeps it below the root, also while links and folders are swapped. Without this call
/// (older kernels, other systems), and for links with absolute targets, each segment is opened in
/// turn without following links. Only regular files are read, and opening a file never waits for a
/// writer.
///
/// A name that differs from the file's own name by case is not found on Windows and macOS either.
/// So a guard in front of `/private` also protects `/PRIVATE`. On other systems the file system
/// decides: do not serve a folder with guarded parts from a Linux file system that ignores case.
///
/// A small file that is requested again within 100 ms is checked, not opened again. A file that was
/// changed, replaced or removed meanwhile is detected; a replaced parent folder below the root is
/// detected after that time. The root itself is checked at most once a second. So a root that is
/// created later or replaced (as deployments by symbolic link do) is found.
///
/// ```
/// use vestibule_static::{Directory, Source, Wait};
///
/// let source = Directory::open(env!("CARGO_MANIFEST_DIR"))?;
/// assert!(source.open(b"Cargo.toml", Wait::Allowed).is_ok());
/// assert!(source.open(b"nothing", Wait::Allowed).is_err());
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Directory {
    shared: Arc<RootState>,
    symlinks: Symlinks,
}

/// The treatment of symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// A name with a link in it is not found.
    Deny,
    /// Links are followed if they stay below the root. An absolute target counts as below the root
    /// when it begins with a path of the root: the configured path, the path without links, or a
    /// link that leads to it.
    #[default]
    Beneath,
    /// Links are followed everywhere.
    Follow,
}

impl fmt::Display for Symlinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny",
            Self::Beneath => "beneath",
            Self::Follow => "follow",
        })
    }
}

struct RootState {
    path: PathBuf,
    root: RwLock<Option<Arc<system::Root>>>,
    start: Instant,
    /// When the root was last checked, in milliseconds after `start`.
    looked: AtomicU64,
}

impl Directory {
    /// Opens the folder at `path`. If it does not exist, no file is found until it is created.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let root = system::Root::open(&path).ok().map(Arc::new);
        Self {
            shared: Arc::new(RootState {
                path,
                root: RwLock::new(root),
                start: Instant::now(),
                looked: AtomicU64::new(0),
            }),
            symlinks: Symlinks::default(),
        }
    }

    /// Opens the folder at `path`.
    ///
    /// # Errors
    ///
    /// Fails when it does not exist or cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        system::Root::open(&path)?;
        Ok(Self::new(path))
    }

    /// Sets the treatment of symbolic links. Defaults to [`Symlinks::Beneath`].
    #[must_use]
    pub const fn symlinks(mut self, symlinks: Symlinks) -> Self {
        self.symlinks = symlinks;
        self
    }

    /// Returns the path of the folder as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Returns the open root, and the time in milliseconds after the start.
    fn root(&self) -> io::Result<(Arc<system::Root>, u64)> {
        let shared = &*self.shared;
        let now = u64::try_from(shared.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let looked = shared.looked.load(Ordering::Relaxed);
        if now.saturating_sub(looked) < LOOK_AGAIN_MILLIS {
            let root = shared.root.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(root) = &*root {
                return Ok((root.clone(), now));
            }
        }
        // A missing root is looked up for each request, so that a test or a build that creates it
        // need not wait.
        let is_same = |root: &Arc<system::Root>| root.is_at(&shared.path);
        let mut root = shared.root.write().unwrap_or_else(PoisonError::into_inner);
        if !root.as_ref().is_some_and(is_same) {
            *root = None;
            *root = Some(Arc::new(system::Root::open(&shared.path)?));
        }
        shared.looked.store(now, Ordering::Relaxed);
        let root = root.clone().ok_or(io::ErrorKind::NotFound)?;
        Ok((root, now))
    }
}

impl Source for Directory {
    fn open(&self, name: &[u8], wait: Wait) -> io::Result<Entry> {
        let (root, now) = self.root()?;
        root.entry(name, &self.shared.path, self.symlinks, wait, now)
    }

    fn list(&self, name: &[u8]) -> io::Result<Vec<Listed>> {
        self.root()?.0.list(name, self.symlinks)
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("root", self.shared.path.display());
        if self.symlinks != Symlinks::default() {
            outline.option("symlinks", self.symlinks);
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("path", &self.shared.path)
            .field("symlinks", &self.symlinks)
            .finish()
    }
}

/// How long an open root is used without a check, in milliseconds.
const LOOK_AGAIN_MILLIS: u64 = 1000;

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;

    use rustix::fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, stat, statat,
    };
    use rustix::io::Errno;
    use vestibule_fields::date::HttpDate;

    use super::*;
    #[cfg(target_os = "linux")]
    use crate::file_cache::{FileCache, Lookup};
    use crate::open_file::Reads;
    use crate::root_names::below_root;

    /// An open root.
    pub(super) struct Root {
        fd: OwnedFd,
        path: PathBuf,
        /// Device and inode numbers.
        id: (u64, u64),
        reads: Arc<Reads>,
        #[cfg(target_os = "linux")]
        kernel: KernelFeatures,
        #[cfg(target_os = "linux")]
        cache: FileCache,
    }

    /// The features of the kernel.
    #[cfg(target_os = "linux")]
    #[derive(Clone, Copy)]
    struct KernelFeatures {
        /// `openat2`: Linux 5.6, and not forbidden by a filter.
        openat2: bool,
        /// `RESOLVE_CACHED`: Linux 5.12.
        cached: bool,
        /// The file system is in memory, where reads never wait.
        memory: bool,
    }

    impl Root {
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            let fd = openat(CWD, path, DIRECTORY, Mode::empty())?;
            let id = id(&fstat(&fd)?);
            #[cfg(target_os = "linux")]
            let kernel = KernelFeatures::of(&fd);
            #[cfg(target_os = "linux")]
            let reads = Reads::new(kernel.memory);
            #[cfg(not(target_os = "linux"))]
            let reads = Reads::new(false);
            Ok(Self {
                fd,
                path: path.to_owned(),
                id,
                reads: Arc::new(reads),
                #[cfg(target_os = "linux")]
                kernel,
                #[cfg(target_os = "linux")]
                cache: FileCache::new(),
            })
        }

        /// Returns whether this is still the folder at `path`.
        pub(super) fn is_at(&self, path: &Path) -> bool {
            stat(path).is_ok_and(|stat| id(&stat) == self.id)
        }

        /// Opens the entry called `name`, if it is a regular file or a folder.
        pub(super) fn entry(
            &self,
            name: &[u8],
            root: &Path,
            symlinks: Symlinks,
            wait: Wait,
            now: u64,
        ) -> io::Result<Entry> {
            #[cfg(target_os = "linux")]
            let keep = match self.cache.get(name, now) {
                Lookup::Open(stored) => return Ok(Entry::File(stored)),
                Lookup::Again => self.open_to_keep(name, wait, now)?,
                Lookup::Nothing => None,
            };
            #[cfg(not(target_os = "linux"))]
            let (keep, _) = (None, now);
            let is_kept = keep.is_some();
            let fd = match keep {
                Some(fd) => fd,
                None if name.is_empty() => self.resolve(b".", FILE, symlinks, wait)?,
                None => self.resolve(name, FILE, symlinks, wait)?,
            };
            let stat = fstat(&fd)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Ok(Entry::Directory);
            }
            let path = root.join(OsStr::from_bytes(name)).into();
            let file = OpenFile::with_stat(fd.into(), &stat, path, self.reads.clone());
            #[cfg_attr(
                not(target_os = "linux"),
                allow(unused_mut, reason = "there is no cache")
            )]
            let mut stored = Stored::open(file.ok_or(io::ErrorKind::NotFound)?);
            #[cfg(target_os = "linux")]
            if is_kept {
                self.cache.keep(name, now, &mut stored);
            }
            #[cfg(not(target_os = "linux"))]
            let _ = is_kept;
            Ok(Entry::File(stored))
        }

        /// Opens a file that may be cached: the kernel confirms that its name has no links. A link
        /// can be replaced without a change of its target.
        #[cfg(target_os = "linux")]
        fn open_to_keep(&self, name: &[u8], wait: Wait, now: u64) -> io::Result<Option<OwnedFd>> {
            if !self.kernel.openat2 || name.is_empty() {
                return Ok(None);
            }
            match self.openat2(name, FILE, Symlinks::Deny, wait) {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
                    self.cache.refuse(name, now);
                    Ok(None)
                }
                other => other.map(Some),
            }
        }

        pub(super) fn list(&self, name: &[u8], symlinks: Symlinks) -> io::Result<Vec<Listed>> {
            let folder = if name.is_empty() { b"." } else { name };
            let fd = self.resolve(folder, DIRECTORY, symlinks, Wait::Allowed)?;
            let mut found = Vec::new();
            for entry in Dir::read_from(&fd)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                let Ok(mut stat) = statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                    continue;
                };
                let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
                if is_link {
                    match self.stat_link(folder, name, symlinks) {
                        Some(target) => stat = target,
                        None => continue,
                    }
                }
                let is_directory = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => true,
                    FileType::RegularFile => false,
                    _ => continue,
                };
                #[allow(clippy::unnecessary_cast, reason = "the type differs between systems")]
                let seconds = stat.st_mtime as i64;
                found.push(Listed {
                    name: name.to_vec(),
                    is_directory,
                    is_link,
                    length: match is_directory {
                        true => 0,
                        false => u64::try_from(stat.st_size).unwrap_or(0),
                    },
                    modified: (!matches!(seconds, 0 | 1)).then(|| HttpDate::from_unix(seconds)),
                });
            }
            Ok(found)
        }

        /// Returns the metadata of the target of the link `link` in the folder `name`, by the rules
        /// for opening it.
        fn stat_link(&self, name: &[u8], link: &[u8], symlinks: Symlinks) -> Option<Stat> {
            let name = [name, link].join(&b'/');
            let fd = self.resolve(&name, PEEK, symlinks, Wait::Allowed).ok()?;
            fstat(fd).ok()
        }

        fn resolve(
            &self,
            name: &[u8],
            flags: OFlags,
            symlinks: Symlinks,
            wait: Wait,
        ) -> io::Result<OwnedFd> {
            #[cfg(target_os = "linux")]
            if self.kernel.openat2 {
                match self.openat2(name, flags, symlinks, wait) {
                    // The kernel refuses links that lead out, and all links with absolute targets.
                    Err(error)
                        if symlinks == Symlinks::Beneath
                            && Errno::from_io_error(&error) == Some(Errno::XDEV) => {}
                    other => return other,
                }
                if wait == Wait::Never {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
            let _ = wait;
            match symlinks {
                Symlinks::Follow => {
                    #[cfg(target_vendor = "apple")]
                    check_names(&self.fd, name)?;
                    Ok(openat(&self.fd, name, flags, Mode::empty())?)
                }
                _ => {
                    let below =
                        |target: &[u8]| below_root(target, &self.path, |path| self.is_at(path));
                    Ok(walk(&self.fd, name, flags, symlinks, below)?)
                }
            }
        }

        #[cfg(target_os = "linux")]
        fn openat2(
            &self,
            name: &[u8],
            flags: OFlags,
            symlinks: Symlinks,
            wait: Wait,
        ) -> io::Result<OwnedFd> {
            use rustix::fs::{ResolveFlags, openat2};

            let how = match symlinks {
                Symlinks::Deny => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
                Symlinks::Beneath => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
                Symlinks::Follow => ResolveFlags::NO_MAGICLINKS,
            };
            if wait == Wait::Never && self.kernel.cached && !self.kernel.memory {
                return Ok(openat2(
                    &self.fd,
                    name,
                    flags,
                    Mode::empty(),
                    how | ResolveFlags::CACHED,
                )?);
            }
            // The kernel gives up when a rename happens near a link that it follows. Repeated
            // failures are improbable.
            for _ in 0..RETRIES {
                match openat2(&self.fd, name, flags, Mode::empty(), how) {
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    other => return Ok(other?),
                }
            }
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[cfg(target_os = "linux")]
    impl KernelFeatures {
        fn of(root: &OwnedFd) -> Self {
            use rustix::fs::{ResolveFlags, fstatfs, openat2};

            let probe = |how| {
                openat2(
                    root,
                    ".",
                    DIRECTORY,
                    Mode::empty(),
                    ResolveFlags::BENEATH | how,
                )
            };
            Self {
                openat2: probe(ResolveFlags::empty()).is_ok(),
                cached: probe(ResolveFlags::CACHED).is_ok(),
                memory: fstatfs(root)
                    .is_ok_and(|fs| matches!(fs.f_type as u64, TMPFS_MAGIC | RAMFS_MAGIC)),
            }
        }
    }

    /// Opens `name` below `root` segment by segment. No step follows a link; links are read and
    /// walked in turn.
    ///
    /// `below` returns the part of an absolute target that is below the root.
    pub(super) fn walk(
        root: &OwnedFd,
        name: &[u8],
        flags: OFlags,
        symlinks: Symlinks,
        below: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> rustix::io::Result<OwnedFd> {
        /// Adds the remaining segments of `path`, the next one last.
        fn push(todo: &mut Vec<Vec<u8>>, path: &[u8]) {
            todo.extend(path.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec));
        }
        let mut todo = Vec::new();
        push(&mut todo, name);
        let mut folders: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(segment) = todo.pop() {
            let here = folders.last().unwrap_or(root);
            let is_last = todo.is_empty();
            match &*segment {
                b"" | b"." if !is_last => continue,
                b"" | b"." => return openat(here, ".", flags, Mode::empty()),
                b".." => {
                    folders.pop().ok_or(Errno::XDEV)?;
                    if is_last {
                        let here = folders.last().unwrap_or(root);
                        return openat(here, ".", flags, Mode::empty());
                    }
                    continue;
                }
                _ => {}
            }
            let how = if is_last { flags } else { STEP };
            let opened = openat(here, &*segment, how | OFlags::NOFOLLOW, Mode::empty());
            let opened = if flags == PEEK {
                opened.and_then(not_link)
            } else {
                opened
            };
            match opened.and_then(|fd| exactly_called(fd, &segment)) {
                Ok(fd) if is_last => return Ok(fd),
                Ok(fd) => folders.push(fd),
                // For a link, the error is `ELOOP`, `EMLINK` or `EFTYPE` if a file was expected,
                // `ENOTDIR` if a folder was.
                Err(error) => {
                    let Ok(target) = readlinkat(here, &*segment, Vec::new()) else {
                        return Err(error);
                    };
                    #[cfg(target_vendor = "apple")]
                    exactly_called(openat(here, &*segment, LINK, Mode::empty())?, &segment)?;
                    links += 1;
                    if symlinks == Symlinks::Deny || links > MAX_LINKS || has_magic_links(here) {
                        return Err(Errno::LOOP);
                    }
                    let target = target.to_bytes();
                    if target.starts_with(b"/") {
                        let rest = below(target).ok_or(Errno::XDEV)?;
                        folders.clear();
                        push(&mut todo, &rest);
                    } else {
                        push(&mut todo, target);
                    }
                }
            }
        }
        Err(Errno::NOENT)
    }

    /// Returns `fd`, unless the name of its file is spelled differently (see
    /// [`crate::exact_name`]).
    #[cfg(target_vendor = "apple")]
    fn exactly_called(fd: OwnedFd, segment: &[u8]) -> rustix::io::Result<OwnedFd> {
        if crate::exact_name::is_called(&fd, segment) {
            Ok(fd)
        } else {
            Err(Errno::NOENT)
        }
    }

    /// Returns `fd`: file systems of other Unixes distinguish case.
    #[cfg(not(target_vendor = "apple"))]
    #[allow(clippy::unnecessary_wraps, reason = "it can fail on Apple's systems")]
    const fn exactly_called(fd: OwnedFd, _: &[u8]) -> rustix::io::Result<OwnedFd> {
        Ok(fd)
    }

    /// Checks every segment of a name whose links may lead anywhere.
    #[cfg(target_vendor = "apple")]
    fn check_names(root: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
        let ends = (0..=name.len()).filter(|&end| name.get(end).is_none_or(|&byte| byte == b'/'));
        for prefix in ends.map(|end| &name[..end]) {
            let segment = prefix.rsplit(|&byte| byte == b'/').next();
            let fd = openat(root, prefix, FILE, Mode::empty())?;
            exactly_called(fd, segment.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Fails with `ELOOP` for a link: with [`PEEK`] on Linux, a link itself is opened.
    fn not_link(fd: OwnedFd) -> rustix::io::Result<OwnedFd> {
        match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
            FileType::Symlink => Err(Errno::LOOP),
            _ => Ok(fd),
        }
    }

    /// Returns whether the links in a folder lead to other targets than their text, as those of
    /// `/proc` do.
    fn has_magic_links(folder: &OwnedFd) -> bool {
        #[cfg(target_os = "linux")]
        {
            rustix::fs::fstatfs(folder).is_ok_and(|fs| fs.f_type as u64 == PROC_MAGIC)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = folder;
            false
        }
    }

    #[allow(
        clippy::unnecessary_cast,
        reason = "the types of these fields differ between systems"
    )]
    const fn id(stat: &Stat) -> (u64, u64) {
        (stat.st_dev as u64, stat.st_ino as u64)
    }

    const DIRECTORY: OFlags = OFlags::RDONLY
        .union(OFlags::DIRECTORY)
        .union(OFlags::CLOEXEC);

    /// Flags for a folder that is only passed, which needs no right to read it.
    #[cfg(target_os = "linux")]
    const STEP: OFlags = DIRECTORY.union(OFlags::PATH);
    #[cfg(not(target_os = "linux"))]
    const STEP: OFlags = DIRECTORY;

    /// Flags for a file. Opening never waits for the other end of a pipe, and never acquires a
    /// controlling terminal.
    const FILE: OFlags = OFlags::RDONLY
        .union(OFlags::NONBLOCK)
        .union(OFlags::NOCTTY)
        .union(OFlags::CLOEXEC);

    /// Flags to open a link itself.
    #[cfg(target_vendor = "apple")]
    const LINK: OFlags = OFlags::RDONLY.union(OFlags::SYMLINK).union(OFlags::CLOEXEC);

    /// Flags that allow only metadata.
    #[cfg(target_os = "linux")]
    const PEEK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
    #[cfg(not(target_os = "linux"))]
    const PEEK: OFlags = FILE;

    #[cfg(target_os = "linux")]
    const RETRIES: usize = 32;

    /// Maximum number of links to follow, as in the kernel.
    const MAX_LINKS: usize = 40;

    #[cfg(target_os = "linux")]
    const TMPFS_MAGIC: u64 = 0x0102_1994;

    #[cfg(target_os = "linux")]
    const PROC_MAGIC: u64 = 0x9fa0;

    #[cfg(target_os = "linux")]
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
}

/// This system has no calls relative to a descriptor, so paths are checked and then opened: a link
/// that is swapped in between is followed.
#[cfg(not(unix))]
mod system {
    use super::*;

    pub(super) struct Root {
        path: PathBuf,
        real: PathBuf,
    }

    impl Root {
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            let real = path.canonicalize()?;
            if !real.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self {
                path: path.to_owned(),
                real,
            })
        }

        pub(super) fn is_at(&self, path: &Path) -> bool {
            path.canonicalize().is_ok_and(|real| real == self.real)
        }

        pub(super) fn entry(
            &self,
            name: &[u8],
            root: &Path,
            symlinks: Symlinks,
            _: Wait,
            _: u64,
        ) -> io::Result<Entry> {
            let path = self.resolve(name, symlinks)?;
            if std::fs::metadata(&path)?.is_dir() {
                return Ok(Entry::Directory);
            }
            let shown = root.join(&*String::from_utf8_lossy(name));
            match OpenFile::new(std::fs::File::open(path)?, shown.into(), Arc::default())? {
                Some(file) => Ok(Entry::File(Stored::open(file))),
                None => Err(io::ErrorKind::NotFound.into()),
            }
        }

        pub(super) fn list(&self, name: &[u8], symlinks: Symlinks) -> io::Result<Vec<Listed>> {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(self.resolve(name, symlinks)?)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                if metadata.is_symlink() {
                    continue;
                }
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                found.push(Listed {
                    name: name.into_bytes(),
                    is_directory: metadata.is_dir(),
                    is_link: false,
                    length: if metadata.is_dir() { 0 } else { metadata.len() },
                    modified: metadata.modified().ok().map(Into::into),
                });
            }
            Ok(found)
        }

        fn resolve(&self, name: &[u8], symlinks: Symlinks) -> io::Result<PathBuf> {
            let name = std::str::from_utf8(name).map_err(|_| io::ErrorKind::NotFound)?;
            let mut path = self.path.clone();
            for segment in name.split('/').filter(|segment| !segment.is_empty()) {
                path.push(segment);
                if symlinks == Symlinks::Deny && path.symlink_metadata()?.is_symlink() {
                    return Err(io::ErrorKind::NotFound.into());
                }
            }
            let real = path.canonicalize()?;
            if !crate::exact_name::is_called(name, &real) {
                return Err(io::ErrorKind::NotFound.into());
            }
            match symlinks == Symlinks::Follow || real.starts_with(&self.real) {
                true => Ok(real),
                false => Err(io::ErrorKind::NotFound.into()),
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::symlink;

    use rustix::fs::OFlags;

    use super::*;
    use crate::root_names::below_root;

    /// The walk and the kernel must agree, so both get the same names.
    #[test]
    fn the_walk_finds_the_same_files_as_the_kernel() {
        let name = format!("vestibule-static-walk-{}", std::process::id());
        let base = std::env::temp_dir().join(name);
        let root = base.join("root");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::write(base.join("secret"), "secret").unwrap();
        fs::write(root.join("a"), "a").unwrap();
        fs::write(root.join("sub/b"), "b").unwrap();
        symlink("a", root.join("near")).unwrap();
        symlink("sub", root.join("folder")).unwrap();
        symlink("../a", root.join("sub/up")).unwrap();
        symlink("./deep/../b", root.join("sub/round")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("../../secret", root.join("sub/out")).unwrap();
        symlink("../root/a", root.join("out-and-in")).unwrap();
        symlink("..", root.join("parent")).unwrap();
        symlink(root.join("a"), root.join("absolute")).unwrap();
        symlink(root.join("sub"), root.join("absolute-folder")).unwrap();
        symlink(root.join("absolute-folder/up"), root.join("chain")).unwrap();
        symlink(root.join("sub/../a"), root.join("dots")).unwrap();
        symlink(&root, root.join("sub/root")).unwrap();
        symlink(base.join("secret"), root.join("absolute-out")).unwrap();
        symlink(root.join("../secret"), root.join("dots-out")).unwrap();
        symlink(base.join("root-2/a"), root.join("neighbour")).unwrap();
        fs::create_dir_all(base.join("root-2")).unwrap();
        fs::write(base.join("root-2/a"), "secret").unwrap();
        symlink(root.join("absolute-loop"), root.join("absolute-loop")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink(base.join("current/a"), root.join("by-current")).unwrap();
        symlink("root", base.join("release")).unwrap();
        symlink(base.join("release"), base.join("current")).unwrap();
        symlink(base.join("release/sub/b"), root.join("by-release")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("near", root.join("twice")).unwrap();

        let given = base.join("current");
        let kernel = Directory::open(&given).unwrap();
        let fd = OwnedFd::from(fs::File::open(&root).unwrap());
        let names = [
            ("a", Some("a"), Some("a")),
            ("sub/b", Some("b"), Some("b")),
            ("near", None, Some("a")),
            ("twice", None, Some("a")),
            ("folder/b", None, Some("b")),
            ("folder/up", None, Some("a")),
            ("sub/up", None, Some("a")),
            ("sub/round", None, Some("b")),
            ("out", None, None),
            ("sub/out", None, None),
            ("out-and-in", None, None),
            ("parent/secret", None, None),
            ("parent/root/a", None, None),
            ("absolute", None, Some("a")),
            ("absolute-folder/b", None, Some("b")),
            ("absolute-folder/up", None, Some("a")),
            ("absolute-folder/root/sub/root/near", None, Some("a")),
            ("chain", None, Some("a")),
            ("dots", None, Some("a")),
            ("sub/root/a", None, Some("a")),
            ("absolute-out", None, None),
            ("dots-out", None, None),
            ("neighbour", None, None),
            ("absolute-loop", None, None),
            ("magic/etc/passwd", None, None),
            ("by-current", None, Some("a")),
            ("by-release", None, Some("b")),
            ("loop", None, None),
            ("dangling", None, None),
            ("a/b", None, None),
            ("nothing", None, None),
        ];
        for (name, denied, beneath) in names {
            for (symlinks, want) in [(Symlinks::Deny, denied), (Symlinks::Beneath, beneath)] {
                let below = |target: &[u8]| below_root(target, &given, |_| true);
                let walked = system::walk(&fd, name.as_bytes(), OFlags::RDONLY, symlinks, below);
                let walked = walked.ok().map(|fd| {
                    let mut text = String::new();
                    fs::File::from(fd).read_to_string(&mut text).unwrap();
                    text
                });
                assert_eq!(walked.as_deref(), want, "{name}, {symlinks}, walked");
                let opened = kernel
                    .clone()
                    .symlinks(symlinks)
                    .open(name.as_bytes(), Wait::Allowed);
                assert_eq!(opened.is_ok(), want.is_some(), "{name}, {symlinks}, opened");
            }
        }
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_replaced_root_is_found() {
        let name = format!("vestibule-static-root-{}", std::process::id());
        let base = std::env::temp_dir().join(name);
        for release in ["one", "two"] {
            fs::create_dir_all(base.join(release)).unwrap();
            fs::write(base.join(release).join(release), "").unwrap();
        }
        symlink("one", base.join("current")).unwrap();
        let source = Directory::open(base.join("current")).unwrap();
        assert!(source.open(b"one", Wait::Allowed).is_ok());
        fs::remove_file(base.join("current")).unwrap();
        symlink("two", base.join("current")).unwrap();
        // Simulates the end of the check interval.
        *source.shared.root.write().unwrap() = None;
        assert!(source.open(b"two", Wait::Allowed).is_ok());
        assert!(source.open(b"one", Wait::Allowed).is_err());
        fs::remove_dir_all(base).unwrap();
    }
}
