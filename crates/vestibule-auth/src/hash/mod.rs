//! Stored passwords: the kinds that htpasswd files hold, read, checked and, for argon2, written.
//!
//! Source: Apache 2.4, "Password Formats"; RFC 9106 (argon2); A Future-Adaptable Password Scheme (bcrypt);
//! "Unix crypt using SHA-256 and SHA-512" (SHA-crypt).

mod apr1;
mod argon;
mod bcrypt;
mod sha_crypt;

use std::error::Error;
use std::fmt;

use base64ct::{Base64, Encoding};
use sha1::{Digest as _, Sha1};

use crate::secret::{Digest, Keyed, is_same};

/// A password as it is stored: a salt, a cost and a hash. `Debug` prints the kind only.
///
/// ```
/// use vestibule_auth::{HashKind, PasswordHash};
///
/// let stored = PasswordHash::parse("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").unwrap();
/// assert_eq!(stored.kind(), HashKind::Sha1);
/// assert!(stored.verify(b"password"));
/// assert!(!stored.verify(b"Password"));
/// ```
#[derive(Clone)]
pub struct PasswordHash(Stored);

#[derive(Clone)]
enum Stored {
    Apr1(apr1::Apr1),
    Argon(argon::Argon),
    Bcrypt(bcrypt::Bcrypt),
    Keyed(Box<(Keyed, Digest)>),
    Sha1([u8; 20]),
    ShaCrypt(sha_crypt::ShaCrypt),
}

/// The kinds of stored passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashKind {
    /// `$apr1$`, and `$1$`, of which it is a copy: a thousand rounds of MD5. Too cheap to withstand a leak.
    Apr1,
    /// `$argon2id$`, and `i` and `d`: what is written, unless told otherwise.
    Argon2,
    /// `$2a$`, `$2b$`, `$2y$`. It ignores what follows the 72nd byte of a password.
    Bcrypt,
    /// Passwords that are given in code, under a key of the process; never in files.
    Keyed,
    /// `{SHA}`: one round of SHA-1 without a salt. No protection at all when the file leaks.
    Sha1,
    /// `$5$` and `$6$`.
    ShaCrypt,
}

impl PasswordHash {
    /// Reads what stands after the name in a password file.
    ///
    /// # Errors
    ///
    /// [`HashError`] for kinds that are not known (DES crypt and plain text among them), for what is
    /// broken, and for costs at which one check would take minutes or gigabytes.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let stored = match text {
            _ if text.starts_with("$apr1$") || text.starts_with("$1$") => {
                apr1::Apr1::parse(text).map(Stored::Apr1)
            }
            _ if text.starts_with("$argon2") => argon::Argon::parse(text)?.map(Stored::Argon),
            _ if text.starts_with("$2") => bcrypt::Bcrypt::parse(text)?.map(Stored::Bcrypt),
            _ if text.starts_with("$5$") || text.starts_with("$6$") => {
                sha_crypt::ShaCrypt::parse(text)?.map(Stored::ShaCrypt)
            }
            _ => match text.strip_prefix("{SHA}") {
                Some(digest) => {
                    let mut bytes = [0; 20];
                    let read = Base64::decode(digest, &mut bytes);
                    read.is_ok_and(|read| read.len() == 20)
                        .then_some(Stored::Sha1(bytes))
                }
                None => return Err(HashError::UnknownKind),
            },
        };
        stored.map(Self).ok_or(HashError::Broken)
    }

    /// Hashes a password with argon2id, at the cost that OWASP recommends (19 MiB, 2 passes): about
    /// 20 ms.
    ///
    /// ```
    /// use vestibule_auth::PasswordHash;
    ///
    /// let stored = PasswordHash::argon2(b"correct horse");
    /// assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    /// assert!(PasswordHash::parse(&stored).unwrap().verify(b"correct horse"));
    /// ```
    ///
    /// # Panics
    ///
    /// The system has random numbers and 19 MiB.
    #[must_use]
    pub fn argon2(password: &[u8]) -> String {
        argon::Argon::make(password).to_string()
    }

    /// Hashes a password with bcrypt at cost 10, for a file that is read by programs that do not know argon2:
    /// Apache, and nginx where the system's `crypt` has bcrypt. What follows the 72nd byte is ignored.
    ///
    /// ```
    /// use vestibule_auth::PasswordHash;
    ///
    /// let stored = PasswordHash::bcrypt(b"correct horse");
    /// assert!(stored.starts_with("$2y$10$"));
    /// assert!(PasswordHash::parse(&stored).unwrap().verify(b"correct horse"));
    /// ```
    ///
    /// # Panics
    ///
    /// The system has random numbers.
    #[must_use]
    pub fn bcrypt(password: &[u8]) -> String {
        bcrypt::Bcrypt::make(password).to_string()
    }

    /// A password given in code: kept as a hash under a key of the process, checked at the cost of one.
    pub(crate) fn keyed(password: &[u8]) -> Self {
        let key = Keyed::random();
        let digest = key.digest(&[password]);
        Self(Stored::Keyed(Box::new((key, digest))))
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> HashKind {
        match self.0 {
            Stored::Apr1(_) => HashKind::Apr1,
            Stored::Argon(_) => HashKind::Argon2,
            Stored::Bcrypt(_) => HashKind::Bcrypt,
            Stored::Keyed(_) => HashKind::Keyed,
            Stored::Sha1(_) => HashKind::Sha1,
            Stored::ShaCrypt(_) => HashKind::ShaCrypt,
        }
    }

    /// Whether `password` is the one. It takes as long for a wrong one: from a microsecond for
    /// `{SHA}` to a second and more for high costs, so not on a thread that serves others.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        #[cfg(test)]
        work::count(self.work());
        match &self.0 {
            Stored::Apr1(stored) => stored.verify(password),
            Stored::Argon(stored) => stored.verify(password),
            Stored::Bcrypt(stored) => stored.verify(password),
            Stored::Keyed(stored) => is_same(&stored.0.digest(&[password]), &stored.1),
            Stored::Sha1(stored) => is_same(&Sha1::digest(password), stored),
            Stored::ShaCrypt(stored) => stored.verify(password),
        }
    }

    /// Whether a check is so short that it needs no thread of its own.
    pub(crate) const fn is_cheap(&self) -> bool {
        matches!(self.0, Stored::Keyed(_) | Stored::Sha1(_))
    }

    /// The kind and the cost of a check: what an attacker could time.
    #[cfg(test)]
    pub(crate) fn work(&self) -> (HashKind, u64) {
        let cost = match &self.0 {
            Stored::Argon(stored) => stored.cost(),
            Stored::Bcrypt(stored) => stored.cost(),
            Stored::ShaCrypt(stored) => stored.cost(),
            _ => 1,
        };
        (self.kind(), cost)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.kind())
    }
}

/// Why a stored password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashError {
    /// It is of no known kind. DES crypt and plain text are not known on purpose.
    UnknownKind,
    /// It is of a known kind and broken.
    Broken,
    /// One check would take minutes, or gigabytes.
    TooCostly,
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownKind => "the hash is of no known kind",
            Self::Broken => "the hash is broken",
            Self::TooCostly => "the hash costs too much to check",
        })
    }
}

impl Error for HashError {}

/// crypt's own Base64 of three bytes, the lowest bits first; `count` characters of it.
fn push_crypt64(to: &mut String, bytes: [u8; 3], count: usize) {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut word = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
    for _ in 0..count {
        to.push(char::from(ALPHABET[(word & 63) as usize]));
        word >>= 6;
    }
}

fn is_crypt64(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    text.bytes().all(is_digit)
}

/// Bytes of a password that bcrypt looks at.
pub(crate) const MAX_BCRYPT: usize = 72;

/// Counts what checks cost, so that a test can compare work where a clock would lie.
#[cfg(test)]
pub(crate) mod work {
    use std::cell::RefCell;

    use super::HashKind;

    thread_local! {
        static DONE: RefCell<Vec<(HashKind, u64)>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn count(work: (HashKind, u64)) {
        DONE.with_borrow_mut(|done| done.push(work));
    }

    /// What was done on this thread since it was last asked.
    pub(crate) fn take() -> Vec<(HashKind, u64)> {
        DONE.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known pairs, of the documents where they have some, and of Apache's htpasswd and PHP else.
    const PAIRS: &[(&str, &str)] = &[
        ("password", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="),
        ("myPassword", "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/"),
        ("password", "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"),
        (
            "Hello world!",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
        ),
        (
            "Hello world!",
            "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
        ),
        (
            "Hello world!",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "",
            "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.",
        ),
        (
            "U*U",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ),
        (
            "password",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ),
        (
            "password",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        ),
    ];

    #[test]
    fn known_pairs() {
        for (password, stored) in PAIRS {
            let hash = match PasswordHash::parse(stored) {
                Ok(hash) => hash,
                Err(error) => panic!("{stored}: {error}"),
            };
            assert!(hash.verify(password.as_bytes()), "{stored}");
            assert!(!hash.verify(format!("{password}x").as_bytes()), "{stored}");
            assert!(!hash.verify(b"other"), "{stored}");
            assert!(!format!("{hash:?}").contains('$'));
        }
    }

    #[test]
    fn what_is_no_hash() {
        use HashError::*;
        let cases = [
            ("", UnknownKind),
            ("plain", UnknownKind),
            ("rqXexS6ZhobKA", UnknownKind),
            ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", UnknownKind),
            ("{SHA}", Broken),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9", Broken),
            ("$apr1$", Broken),
            ("$apr1$r31.....$", Broken),
            ("$apr1$r31.....$HqJZimcKQFAMYayBlzkr", Broken),
            ("$apr1$r31.....$HqJZimcKQFAMYayBlzkrA:", Broken),
            ("$2y$05$", Broken),
            (
                "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                Broken,
            ),
            (
                "$2y$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                Broken,
            ),
            (
                "$2y$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                TooCostly,
            ),
            (
                "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
                Broken,
            ),
            ("$5$salt", Broken),
            (
                "$5$rounds=x$salt$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
                Broken,
            ),
            (
                "$5$rounds=999999999$salt$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
                TooCostly,
            ),
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$", Broken),
            (
                "$argon2id$v=99$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR",
                Broken,
            ),
            (
                "$argon2x$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR",
                Broken,
            ),
            (
                "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMRnf65",
                TooCostly,
            ),
            (
                "$argon2id$v=19$t=2,m=256,p=1$c29tZXNhbHQ$nf65EOgLrQMRnf65",
                Broken,
            ),
        ];
        for (text, error) in cases {
            assert_eq!(PasswordHash::parse(text).err(), Some(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text(kind in "(\\$(apr1|1|2y|5|6|argon2id)\\$|\\{SHA\\})?", text in "[ -~é]{0,60}") {
            let _ = PasswordHash::parse(&format!("{kind}{text}"));
        }
    }
}
