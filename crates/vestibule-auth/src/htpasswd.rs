//! Password files of the form that Apache and nginx read: `name:hash`, a line each.
//!
//! Source: Apache 2.4, "htpasswd" and "Password Formats".

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use subtle::{ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater, ConstantTimeLess};

use crate::hash::MAX_BCRYPT;
use crate::secret::{Keyed, random};
use crate::{HashError, HashKind, Identity, PasswordHash};

/// Users and their stored passwords: of a file, which is read again when it changes, or of code.
///
/// Of a name that stands twice the first counts, as in Apache. Lines that cannot be used are warned
/// of by number, and so are `{SHA}` and files that everyone may read; the rest of the file counts.
/// A change is seen within a second; a file that cannot be read then leaves what was read before.
///
/// ```
/// use vestibule_auth::Htpasswd;
///
/// let users = Htpasswd::parse("alice:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n# a comment\n")
///     .with_user("bob", "correct horse")
///     .with_group("staff", ["alice", "bob"]);
/// assert_eq!(users.len(), 2);
/// ```
#[doc(alias("basic auth", "bcrypt", "argon2", "apr1", "password file"))]
pub struct Htpasswd {
    file: Option<Watched>,
    extra: Vec<(String, PasswordHash)>,
    groups: Vec<(String, HashSet<String>)>,
    table: RwLock<Arc<Table>>,
}

impl Htpasswd {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::of(None, Table::new(&[]))
    }

    /// The users of a text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let read = read(text.as_bytes());
        read.warn("the text");
        Self::of(None, Table::new(&read.users))
    }

    /// The users of a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is larger than 16 MiB, or none of its lines can be used.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let (read, stamp) = load(&path)?;
        read.warn(&path.display().to_string());
        if read.users.is_empty() && !read.faults.is_empty() {
            let text = format!("`{}` has no line that can be used", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let watched = Watched {
            path,
            seen: Mutex::new((stamp, Instant::now())),
        };
        Ok(Self::of(Some(watched), Table::new(&read.users)))
    }

    fn of(file: Option<Watched>, table: Table) -> Self {
        Self {
            file,
            extra: Vec::new(),
            groups: Vec::new(),
            table: RwLock::new(Arc::new(table)),
        }
    }

    /// Adds a user with a password in plain text, of which only a keyed hash is kept.
    #[must_use]
    pub fn with_user(self, name: impl Into<String>, password: impl AsRef<[u8]>) -> Self {
        self.with_hash(name, PasswordHash::keyed(password.as_ref()))
    }

    /// Adds a user with a stored password. It stays when the file changes, and loses against a user
    /// of the file.
    #[must_use]
    pub fn with_hash(mut self, name: impl Into<String>, hash: PasswordHash) -> Self {
        let name = name.into();
        let table = self.table.get_mut().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(table).add(&name, &hash);
        self.extra.push((name, hash));
        self
    }

    /// Puts users in a group.
    #[must_use]
    pub fn with_group(
        mut self,
        name: impl Into<String>,
        users: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let users = users.into_iter().map(Into::into).collect();
        self.groups.push((name.into(), users));
        self
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current().users.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The identity of a user whose password was right.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let groups = self.groups.iter();
        let groups = groups.filter(|(_, users)| users.contains(name));
        Identity::new(name, "Basic").with_groups(groups.map(|(group, _)| group))
    }

    /// The users as they are now; looks at the file once in a second.
    pub(crate) fn current(&self) -> Arc<Table> {
        if let Some(file) = &self.file {
            file.look(|read| {
                let users = [read.users, self.extra.clone()].concat();
                let new = Arc::new(Table::new(&users));
                *self.table.write().unwrap_or_else(PoisonError::into_inner) = new;
            });
        }
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.clone()
    }
}

impl Default for Htpasswd {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd")
            .field("file", &self.file.as_ref().map(|file| &file.path))
            .finish_non_exhaustive()
    }
}

/// Users by the keyed hash of their names.
///
/// What is done to find a name is the same whether it is there or not, without a branch that depends on
/// it: a map that compares names when its hashes agree takes some nanoseconds longer for those that are,
/// and so does a search whose way the processor can guess.
#[derive(Clone)]
pub(crate) struct Table {
    key: Keyed,
    /// In the order of the hashes.
    users: Vec<(u128, PasswordHash)>,
    /// The upper halves of the hashes, and as many of the greatest as make a power of two less one: all
    /// searches have so many steps.
    order: Vec<u64>,
    /// Another one for each table: what is remembered of one does not count for the next.
    number: u64,
}

impl Table {
    fn new(all: &[(String, PasswordHash)]) -> Self {
        let mut table = Self {
            key: Keyed::random(),
            users: Vec::new(),
            order: Vec::new(),
            number: u64::from_le_bytes(random()),
        };
        let users = all.iter();
        let users = users.map(|(name, hash)| (table.hashed(name), hash.clone()));
        table.users = users.collect();
        // The sort is stable, so that of a name that stands twice the first is the one that stays.
        table.users.sort_by_key(|(hashed, _)| *hashed);
        table.users.dedup_by_key(|(hashed, _)| *hashed);
        table.set_order();
        table
    }

    fn add(&mut self, name: &str, hash: &PasswordHash) {
        let hashed = self.hashed(name);
        let at = self
            .users
            .binary_search_by_key(&hashed, |(other, _)| *other);
        if let Err(at) = at {
            self.users.insert(at, (hashed, hash.clone()));
            self.set_order();
        }
    }

    fn set_order(&mut self) {
        let hashes = self.users.iter().map(|(hashed, _)| upper(*hashed));
        self.order = hashes.collect();
        let length = (self.users.len() + 1).next_power_of_two() - 1;
        self.order.resize(length, u64::MAX);
    }

    /// Half of the digest, which is still more than anyone finds two names for.
    fn hashed(&self, name: &str) -> u128 {
        let digest = self.key.digest(&[name.as_bytes()]);
        let (half, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        u128::from_be_bytes(*half)
    }

    /// What to check a password of `name` against, and whether a match counts.
    ///
    /// A user that is not there is checked against that of another, the same one each time: so the
    /// work for unknown names is spread like the work for known ones, whatever kinds are mixed.
    pub(crate) fn find(&self, name: &str) -> (Option<&PasswordHash>, bool) {
        let hashed = self.hashed(name);
        let count = self.users.len() as u64;
        if count == 0 {
            return (None, false);
        }
        let own = self.place(upper(hashed)).wrapping_sub(1);
        let own = u64::conditional_select(&0, &own, own.ct_lt(&count));
        let differs = self.users[own as usize].0 ^ hashed;
        let is_known = upper(differs).ct_eq(&0) & (differs as u64).ct_eq(&0);
        let decoy = hashed as u64 % count;
        let at = u64::conditional_select(&decoy, &own, is_known);
        (Some(&self.users[at as usize].1), is_known.into())
    }

    /// How many of the order are at most `hash`.
    fn place(&self, hash: u64) -> u64 {
        let mut place = 0;
        let mut step = (self.order.len() as u64).div_ceil(2);
        while step > 0 {
            let is_greater = self.order[(place + step - 1) as usize].ct_gt(&hash);
            place += u64::conditional_select(&step, &0, is_greater);
            step /= 2;
        }
        place
    }

    /// A number of this table, for the cache.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }
}

const fn upper(hash: u128) -> u64 {
    (hash >> 64) as u64
}

/// A file and when it was last looked at.
struct Watched {
    path: PathBuf,
    seen: Mutex<(Stamp, Instant)>,
}

impl Watched {
    /// Takes what the file holds, when it changed since it was read; asks the system once in a second.
    fn look(&self, take: impl FnOnce(Contents)) {
        // Whoever else is looking tells the next request. It is held until what was read is taken, so
        // that nobody puts what he read before in the place of what another read since.
        let Ok(mut seen) = self.seen.try_lock() else {
            return;
        };
        if seen.1.elapsed() < LOOK_EVERY {
            return;
        }
        seen.1 = Instant::now();
        let stamp = fs::metadata(&self.path).ok().map(|it| Stamp::of(&it));
        if stamp.as_ref() == Some(&seen.0) {
            return;
        }
        let path = self.path.display();
        match load(&self.path) {
            Ok((read, stamp)) => {
                read.warn(&path.to_string());
                tracing::info!(%path, users = read.users.len(), "the password file was read again");
                seen.0 = stamp;
                take(read);
            }
            Err(error) => {
                if seen.0 != Stamp::default() {
                    tracing::error!(%path, "the password file cannot be read, what it held before still counts: {error}");
                }
                seen.0 = Stamp::default();
            }
        }
    }
}

/// By what a file is known to be the same. Modes and contents change the last field on Unix.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: (u64, u64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        let stamp = Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            ..Self::default()
        };
        #[cfg(unix)]
        let stamp = {
            use std::os::unix::fs::MetadataExt;
            Self {
                inode: (metadata.dev(), metadata.ino()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
                ..stamp
            }
        };
        stamp
    }
}

/// What a file holds.
#[derive(Debug, Default)]
struct Contents {
    users: Vec<(String, PasswordHash)>,
    /// Line numbers, from 1.
    faults: Vec<(usize, Fault)>,
    weak: Vec<usize>,
    is_public: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NoColon,
    NotText,
    Hash(HashError),
}

impl Contents {
    fn warn(&self, source: &str) {
        for (line, fault) in &self.faults {
            let why: &dyn fmt::Display = match fault {
                Fault::NoColon => &"it has no `name:hash`",
                Fault::NotText => &"it is not UTF-8",
                Fault::Hash(error) => error,
            };
            tracing::warn!(
                source,
                line,
                "a line of the password file is left out: {why}"
            );
        }
        for line in &self.weak {
            tracing::warn!(
                source,
                line,
                "`{{SHA}}` protects no password when the file leaks: set it anew with `vestibule passwd`"
            );
        }
        if self.is_public {
            tracing::warn!(
                source,
                "everyone on this machine may read the password file"
            );
        }
    }
}

fn load(path: &Path) -> io::Result<(Contents, Stamp)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is larger than 16 MiB",
        ));
    }
    let mut contents = read(&bytes);
    contents.is_public = is_public(&metadata);
    Ok((contents, Stamp::of(&metadata)))
}

/// Whether every user of the system can read the file.
#[cfg(unix)]
fn is_public(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

/// Other systems do not say it in three bits.
#[cfg(not(unix))]
const fn is_public(_: &Metadata) -> bool {
    false
}

fn read(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match read_line(line) {
            Ok((name, hash)) => {
                if hash.kind() == HashKind::Sha1 {
                    contents.weak.push(at + 1);
                }
                contents.users.push((name.to_owned(), hash));
            }
            Err(fault) => contents.faults.push((at + 1, fault)),
        }
    }
    contents
}

fn read_line(line: &[u8]) -> Result<(&str, PasswordHash), Fault> {
    let text = std::str::from_utf8(line).map_err(|_| Fault::NotText)?;
    let (name, rest) = text.split_once(':').ok_or(Fault::NoColon)?;
    // What follows another colon is a comment of other programs.
    let hash = rest.split(':').next().unwrap_or(rest);
    let hash = PasswordHash::parse(hash).map_err(Fault::Hash)?;
    Ok((name, hash))
}

/// What [`set_password`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file is new.
    Created,
    /// The user is.
    Added,
    /// The user has another password.
    Replaced,
}

/// Sets the password of a user in a file, hashed with argon2id. All other lines stay as they are.
///
/// The file is replaced at once or not at all, and is on the disk when this returns. A new one has
/// mode 0600; an old one keeps its group, without rights for others. Apache does not know argon2:
/// [`set_password_as`] bcrypt is for a file that Apache reads as well.
///
/// # Errors
///
/// When the name is empty, longer than 255 bytes, or has a colon or a control character; when the
/// password is empty, longer than 1024 bytes or has a control character; when the file cannot be
/// read or written; and when another change is under way, which is a file `FILE.lock` beside it.
///
/// ```
/// use vestibule_auth::{Change, set_password};
///
/// # let directory = std::env::temp_dir().join(format!("vestibule-auth-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// let file = directory.join("users");
/// assert_eq!(set_password(&file, "alice", "correct horse").unwrap(), Change::Created);
/// assert_eq!(set_password(&file, "alice", "battery staple").unwrap(), Change::Replaced);
/// assert!(std::fs::read_to_string(&file).unwrap().starts_with("alice:$argon2id$"));
/// # std::fs::remove_dir_all(&directory).unwrap();
/// ```
pub fn set_password(path: impl AsRef<Path>, user: &str, password: &str) -> io::Result<Change> {
    set_password_as(HashKind::Argon2, path, user, password)
}

/// As [`set_password`], hashed with argon2 or bcrypt.
///
/// # Errors
///
/// As [`set_password`]; when `kind` is another one; and when the password is longer than the 72 bytes
/// that bcrypt looks at.
pub fn set_password_as(
    kind: HashKind,
    path: impl AsRef<Path>,
    user: &str,
    password: &str,
) -> io::Result<Change> {
    check_name(user)?;
    check_password(password)?;
    let hash = match kind {
        HashKind::Argon2 => PasswordHash::argon2,
        HashKind::Bcrypt if password.len() > MAX_BCRYPT => {
            return Err(invalid(
                "the password is longer than the 72 bytes that bcrypt looks at",
            ));
        }
        HashKind::Bcrypt => PasswordHash::bcrypt,
        _ => return Err(invalid("passwords are written with argon2 or bcrypt only")),
    };
    let path = resolve(path.as_ref())?;
    let lock = Lock::take(&path)?;
    let old = match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let entry = format!("{user}:{}", hash(password.as_bytes()));
    let (text, was_there) = replaced(old.as_deref().unwrap_or_default(), user, &entry);
    lock.write(&path, &text)?;
    Ok(match (old, was_there) {
        (None, _) => Change::Created,
        (Some(_), false) => Change::Added,
        (Some(_), true) => Change::Replaced,
    })
}

/// The file with one entry for `user`, in the place of its first.
fn replaced(old: &[u8], user: &str, entry: &str) -> (Vec<u8>, bool) {
    let mut new = Vec::with_capacity(old.len() + entry.len() + 2);
    let mut was_there = false;
    for line in old.split_inclusive(|byte| *byte == b'\n') {
        let name = line.trim_ascii().split(|byte| *byte == b':').next();
        let is_entry = line.contains(&b':') && !line.trim_ascii().starts_with(b"#");
        if is_entry && name == Some(user.as_bytes()) {
            if !was_there {
                new.extend_from_slice(entry.as_bytes());
                new.push(b'\n');
            }
            was_there = true;
        } else {
            new.extend_from_slice(line);
        }
    }
    if !was_there {
        if new.last().is_some_and(|byte| *byte != b'\n') {
            new.push(b'\n');
        }
        new.extend_from_slice(entry.as_bytes());
        new.push(b'\n');
    }
    (new, was_there)
}

/// A link is followed, so that the file behind it is replaced and not the link.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

/// The file beside the file: where the new contents are written, and the sign that they are.
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    fn take(path: &Path) -> io::Result<Self> {
        let mut name = path
            .file_name()
            .ok_or_else(|| invalid("the path has no file name"))?
            .to_owned();
        name.push(".lock");
        let path = path.with_file_name(name);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        match options.open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let text = format!(
                    "another change is under way; if none is, remove `{}`",
                    path.display()
                );
                Err(io::Error::new(error.kind(), text))
            }
            Err(error) => Err(error),
        }
    }

    fn write(mut self, to: &Path, text: &[u8]) -> io::Result<()> {
        self.file.write_all(text)?;
        #[cfg(unix)]
        if let Ok(old) = fs::metadata(to) {
            use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
            // Only root may give files away; others keep theirs, and then the group has no rights.
            let is_given = fchown(&self.file, Some(old.uid()), Some(old.gid())).is_ok();
            let allowed = if is_given { 0o640 } else { 0o600 };
            let mode = old.permissions().mode() & allowed | 0o600;
            self.file
                .set_permissions(fs::Permissions::from_mode(mode))?;
        }
        self.file.sync_all()?;
        fs::rename(&self.path, to)?;
        // The rename is on the disk when the directory is.
        #[cfg(unix)]
        if let Some(directory) = to.parent().filter(|it| !it.as_os_str().is_empty()) {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // After the rename there is none, and another's may have taken its place.
        let own = self.file.metadata().map(|it| Stamp::of(&it).inode);
        let there = fs::metadata(&self.path).map(|it| Stamp::of(&it).inode);
        if matches!((own, there), (Ok(own), Ok(there)) if own == there) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn check_name(name: &str) -> io::Result<()> {
    match name {
        "" => Err(invalid("the name is empty")),
        _ if name.len() > 255 => Err(invalid("the name is longer than 255 bytes")),
        _ if name.contains(':') => Err(invalid("the name has a colon")),
        _ if name.chars().any(char::is_control) => Err(invalid("the name has a control character")),
        _ if name.starts_with('#') || name.trim() != name => {
            Err(invalid("the name would not be read back as it is"))
        }
        _ => Ok(()),
    }
}

fn check_password(password: &str) -> io::Result<()> {
    match password {
        "" => Err(invalid("the password is empty")),
        _ if password.len() > MAX_PASSWORD => {
            Err(invalid("the password is longer than 1024 bytes"))
        }
        _ if password.chars().any(char::is_control) => {
            Err(invalid("the password has a control character"))
        }
        _ => Ok(()),
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// What is weak about a password, in a sentence; `None` for nothing that is seen at once.
///
/// Source: NIST SP 800-63B section 3.1.1.2: length counts, rules about kinds of characters do not.
///
/// ```
/// use vestibule_auth::weakness;
///
/// assert_eq!(weakness("alice", "hunter2"), Some("it is shorter than 12 characters"));
/// assert_eq!(weakness("alice", "correct horse battery"), None);
/// ```
#[must_use]
pub fn weakness(user: &str, password: &str) -> Option<&'static str> {
    let folded = password.to_lowercase();
    let mut characters: Vec<char> = folded.chars().collect();
    let length = characters.len();
    characters.sort_unstable();
    characters.dedup();
    let is_run = folded
        .as_bytes()
        .windows(2)
        .all(|pair| pair[1].wrapping_sub(pair[0]) <= 1);
    if COMMON
        .iter()
        .any(|common| folded.contains(common) && length < common.len() + 8)
    {
        return Some("it is among those that are tried first");
    }
    match length {
        _ if !user.is_empty() && folded.contains(&user.to_lowercase()) => {
            Some("it contains the name")
        }
        0..12 => Some("it is shorter than 12 characters"),
        _ if characters.len() < 5 || is_run => Some("it repeats a few characters"),
        _ => None,
    }
}

/// The hearts of the passwords that leak most often.
const COMMON: &[&str] = &[
    "123456", "abc123", "admin", "dragon", "iloveyou", "letmein", "monkey", "passw0rd", "password",
    "qwerty", "secret", "welcome",
];
const LOOK_EVERY: Duration = Duration::from_secs(1);
const MAX_BYTES: u64 = 16 << 20;
/// Bytes of a password: some hashes take quadratic time.
pub(crate) const MAX_PASSWORD: usize = 1024;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const APR1: &str = "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/";
    const SHA: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

    #[test]
    fn lines() {
        let text = format!(
            "# users\n\nalice:{APR1}\r\n  bob:{SHA}  \nno colon\ncarl:rqXexS6ZhobKA\nalice:{SHA}\ndora:{APR1}:a comment\n\u{e9}va:{APR1}\n"
        );
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(b"\xff:x");
        let contents = read(&bytes);
        let names: Vec<_> = contents.users.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["alice", "bob", "alice", "dora", "éva"]);
        assert_eq!(contents.weak, [4, 7]);
        let faults = [
            (5, Fault::NoColon),
            (6, Fault::Hash(HashError::UnknownKind)),
            (10, Fault::NotText),
        ];
        assert_eq!(contents.faults, faults);
        let table = Table::new(&contents.users);
        assert_eq!(table.users.len(), 4);
        assert_eq!(table.find("alice").0.unwrap().kind(), HashKind::Apr1);
    }

    #[test]
    fn every_user_is_found_in_tables_of_all_sizes() {
        let hash = |n: usize| {
            let text = match n % 2 {
                0 => APR1,
                _ => SHA,
            };
            PasswordHash::parse(text).unwrap()
        };
        let mut all = Vec::new();
        for size in 0..70 {
            let table = Table::new(&all);
            assert_eq!((table.order.len() + 1).count_ones(), 1);
            for n in 0..size {
                let (found, is_known) = table.find(&format!("user{n}"));
                assert!(is_known);
                assert_eq!(found.unwrap().kind(), hash(n).kind());
                assert!(!table.find(&format!("other{n}")).1);
            }
            all.push((format!("user{size}"), hash(size)));
        }
    }

    #[test]
    fn an_unknown_user_has_the_hash_of_another_and_keeps_it() {
        let table = Table::new(&[
            ("a".to_owned(), PasswordHash::parse(APR1).unwrap()),
            ("b".to_owned(), PasswordHash::parse(SHA).unwrap()),
        ]);
        let mut kinds = HashMap::new();
        for n in 0..1000 {
            let (hash, is_known) = table.find(&format!("user{n}"));
            assert!(!is_known);
            let kind = hash.unwrap().kind();
            assert_eq!(table.find(&format!("user{n}")).0.unwrap().kind(), kind);
            *kinds.entry(kind).or_insert(0) += 1;
        }
        assert!(
            kinds.values().all(|count| (400..600).contains(count)),
            "{kinds:?}"
        );
        assert_eq!(Table::new(&[]).find("a").0.map(PasswordHash::kind), None);
    }

    #[test]
    fn entries_are_replaced_in_their_place() {
        let cases = [
            ("", "u:NEW\n", false),
            ("a:1\n", "a:1\nu:NEW\n", false),
            ("a:1", "a:1\nu:NEW\n", false),
            ("u:old\na:1\n", "u:NEW\na:1\n", true),
            (
                "a:1\nu:old:extra\n# u:x\nu:twice\nb:2",
                "a:1\nu:NEW\n# u:x\nb:2",
                true,
            ),
            ("uu:1\nu\n", "uu:1\nu\nu:NEW\n", false),
        ];
        for (old, new, was_there) in cases {
            let (text, found) = replaced(old.as_bytes(), "u", "u:NEW");
            assert_eq!(
                (&*String::from_utf8(text).unwrap(), found),
                (new, was_there)
            );
        }
    }

    #[test]
    fn names_and_passwords_that_cannot_be() {
        for name in ["", "a:b", "a\nb", " a", "#a", &"x".repeat(256)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name("é v.a@x").is_ok());
        for password in ["", "a\nb", "\0", &"x".repeat(1025)] {
            assert!(check_password(password).is_err());
        }
    }

    #[test]
    fn weaknesses() {
        let cases = [
            (
                "Password123!",
                Some("it is among those that are tried first"),
            ),
            ("short", Some("it is shorter than 12 characters")),
            ("aaaaaaaaaaaaaaaa", Some("it repeats a few characters")),
            ("abcdefghijklmnop", Some("it repeats a few characters")),
            ("alice in wonderland", Some("it contains the name")),
            ("tr0ub4dor and three", None),
            ("öäüß öäüß öäüß", None),
        ];
        for (password, note) in cases {
            assert_eq!(weakness("Alice", password), note, "{password}");
        }
    }
}
