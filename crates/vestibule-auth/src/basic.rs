//! The `Basic` scheme: a name and a password, on every request.
//!
//! Source: RFC 7617; section 2 (the form), 2.1 (UTF-8).

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use http::header::AUTHORIZATION;
use vestibule_core::{BoxError, Peer, Request};
use vestibule_fields::authorization::Authorization;
use vestibule_fields::www_authenticate::Challenge;

use crate::cache::Cache;
use crate::hashing::Hashing;
use crate::htpasswd::MAX_PASSWORD;
use crate::secret::Digest;
use crate::{Htpasswd, Identity, Lockout, Reason, Refusal, Scheme, Verdict};

/// Names and passwords: of an [`Htpasswd`], or of a callback.
///
/// Reads `Authorization`. Passwords travel in clear text inside of it: use TLS. Slow hashes run on
/// the blocking pool, half the processors at a time; of more than 64 that wait, the rest are 503. A
/// success is remembered for a minute, under a keyed hash, and costs a microsecond then. A
/// [`Lockout`] answers 429 after failures. An unknown name costs the same work as a known one.
///
/// Names and passwords are UTF-8, compared as they are: no Unicode normalization.
///
/// ```
/// use vestibule_auth::{Basic, Htpasswd, Identity};
///
/// let by_file = Basic::new(Htpasswd::parse("alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=")).realm("the house");
///
/// let by_callback = Basic::with(|user: String, password: String| async move {
///     let is_known = user == "alice" && password.len() == 7; // ask a database here
///     Ok(is_known.then(|| Identity::new(user, "Basic")))
/// });
/// ```
#[doc(alias("basic auth", "htpasswd", "password"))]
#[derive(Clone, Debug)]
pub struct Basic {
    realm: Arc<str>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    users: Users,
    cache: Cache,
    lockout: Option<Lockout>,
    /// Numbers of users for lanes, where there is no lockout.
    numbers: Lockout,
    hashing: Hashing,
    address: fn(&Request) -> Option<IpAddr>,
}

enum Users {
    Table(Htpasswd),
    Callback(Callback),
}

type Callback = Box<dyn Fn(String, String) -> Answer + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<Option<Identity>, BoxError>> + Send>>;

impl Basic {
    /// The users of a file, or of code.
    #[must_use]
    pub fn new(users: Htpasswd) -> Self {
        Self::of(Users::Table(users))
    }

    /// Whomever `check` knows: it gets the name and the password, and says `None` to refuse. An error
    /// is 503.
    #[must_use]
    pub fn with<F, Fut>(check: F) -> Self
    where
        F: Fn(String, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Identity>, BoxError>> + Send + 'static,
    {
        let check = move |user, password| Box::pin(check(user, password)) as Answer;
        Self::of(Users::Callback(Box::new(check)))
    }

    fn of(users: Users) -> Self {
        Self {
            realm: "restricted".into(),
            state: Arc::new(State {
                users,
                cache: Cache::new(REMEMBERED),
                lockout: Some(Lockout::new()),
                numbers: Lockout::new(),
                hashing: Hashing::new(None, MAX_WAITING),
                address,
            }),
        }
    }

    /// What the browser shows, and under which it keeps the password.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<Arc<str>>) -> Self {
        self.realm = realm.into();
        self
    }

    /// How long a success is remembered, at most a day; zero for not at all. A change of the file ends it at once.
    #[must_use]
    pub fn remember(self, life: Duration) -> Self {
        self.set(|state| state.cache = Cache::new(life))
    }

    /// Locks out after failures as `lockout` says; `None` for never.
    #[must_use]
    pub fn lockout(self, lockout: impl Into<Option<Lockout>>) -> Self {
        let lockout = lockout.into();
        self.set(|state| state.lockout = lockout)
    }

    /// How many slow checks run at once, and how many wait for their turn before the rest are 503.
    #[must_use]
    pub fn checks(self, at_once: usize, waiting: usize) -> Self {
        self.set(|state| state.hashing = Hashing::new(Some(at_once), waiting))
    }

    /// How the client's address is found, for the lock-out, where it is not that of the connection:
    /// behind a proxy.
    #[must_use]
    pub fn address(self, address: fn(&Request) -> Option<IpAddr>) -> Self {
        self.set(|state| state.address = address)
    }

    fn set(mut self, change: impl FnOnce(&mut State)) -> Self {
        let state = Arc::get_mut(&mut self.state);
        change(state.expect("options come before a scheme is cloned"));
        self
    }
}

impl Scheme for Basic {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn identify(&self, request: &Request) -> Verdict {
        let login = match Login::of(request) {
            Ok(Some(login)) => login,
            Ok(None) => return Verdict::Absent,
            Err(why) => return refused(Reason::Malformed, why),
        };
        let address = (self.state.address)(request);
        match self.state.check(login, address).await {
            Ok(identity) => Verdict::Known(identity),
            Err(refusal) => {
                // Read once more, so that a login that is good copies no name.
                let tried = Login::of(request).ok().flatten();
                Verdict::Refused(match tried {
                    Some(login) => refusal.of_user(login.user),
                    None => refusal,
                })
            }
        }
    }

    fn challenges(&self, _: Option<&Refusal>, to: &mut Vec<Challenge>) {
        let challenge = Challenge::new(NAME)
            .parameter("realm", self.realm.to_string())
            .parameter("charset", "UTF-8");
        to.push(challenge);
    }

    fn strip(&self, request: &mut Request) {
        strip_authorization(request, NAME);
    }
}

impl State {
    async fn check(
        self: &Arc<Self>,
        login: Login,
        address: Option<IpAddr>,
    ) -> Result<Identity, Refusal> {
        let number = self.numbers.user(&login.user);
        self.check_lock(number, address)?;
        let table = match &self.users {
            Users::Table(users) => Some(users.current()),
            Users::Callback(_) => None,
        };
        let generation = table.as_ref().map_or(0, |table| table.number());
        let key = self
            .cache
            .key(&login.user, &login.password, &generation.to_le_bytes());
        if let Some(identity) = self.cache.get(&key, Instant::now()) {
            return Ok(identity);
        }
        let found = table.as_ref().map(|table| table.find(&login.user));
        if let Some((Some(hash), is_known)) = found
            && hash.is_cheap()
        {
            let is_right = hash.verify(login.password.as_bytes()) && is_known;
            let identity = is_right.then(|| self.identity(&login.user));
            return self.decided(number, address, key, identity);
        }
        let turn = self.hashing.turn(number).await;
        let turn = turn.ok_or_else(|| {
            let busy = Reason::Busy(RETRY_BUSY);
            Refusal::new(NAME, busy, "too many passwords wait to be checked")
        })?;
        // Others of this user had their turns meanwhile.
        self.check_lock(number, address)?;
        if let Some(identity) = self.cache.get(&key, Instant::now()) {
            return Ok(identity);
        }
        match (&self.users, found) {
            (Users::Callback(check), _) => {
                let answer = check(login.user, login.password).await;
                drop(turn);
                let identity = answer.map_err(|error| {
                    Refusal::new(NAME, Reason::Unavailable, "the users cannot be asked")
                        .because(error)
                })?;
                self.decided(number, address, key, identity)
            }
            (Users::Table(_), Some((Some(hash), is_known))) => {
                let (state, hash) = (self.clone(), hash.clone());
                let work = move || {
                    let is_right = hash.verify(login.password.as_bytes()) && is_known;
                    let identity = is_right.then(|| state.identity(&login.user));
                    // In here, so that it counts even when the client does not wait for it.
                    state.decided(number, address, key, identity)
                };
                turn.run(work).await.unwrap_or_else(|| {
                    Err(Refusal::new(
                        NAME,
                        Reason::Unavailable,
                        "the check panicked",
                    ))
                })
            }
            // A table without users: nothing can be learnt from it.
            (Users::Table(_), _) => self.decided(number, address, key, None),
        }
    }

    fn check_lock(&self, number: u64, address: Option<IpAddr>) -> Result<(), Refusal> {
        let lockout = self.lockout.as_ref();
        match lockout.and_then(|it| it.wait(number, address, Instant::now())) {
            Some(wait) => Err(Refusal::new(
                NAME,
                Reason::Locked(wait),
                "too many failures of the user or the address",
            )),
            None => Ok(()),
        }
    }

    fn identity(&self, user: &str) -> Identity {
        match &self.users {
            Users::Table(users) => users.identity(user),
            Users::Callback(_) => Identity::new(user, NAME),
        }
    }

    fn decided(
        &self,
        number: u64,
        address: Option<IpAddr>,
        key: Digest,
        identity: Option<Identity>,
    ) -> Result<Identity, Refusal> {
        let now = Instant::now();
        match identity {
            Some(identity) => {
                if let Some(lockout) = &self.lockout {
                    lockout.succeeded(number);
                }
                self.cache.put(key, identity.clone(), now);
                Ok(identity)
            }
            None => {
                if let Some(lockout) = &self.lockout {
                    lockout.failed(number, address, now);
                }
                Err(Refusal::new(
                    NAME,
                    Reason::Denied,
                    "the user or the password is wrong",
                ))
            }
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(users) => users.fmt(f),
            Self::Callback(_) => f.write_str("a callback"),
        }
    }
}

/// A name and a password; never printed.
struct Login {
    user: String,
    password: String,
}

impl Login {
    fn of(request: &Request) -> Result<Option<Self>, &'static str> {
        let Ok(credentials) = Authorization::from_headers(request.headers()) else {
            return Err("the field is repeated, or has no scheme");
        };
        match credentials {
            Some(credentials) if credentials.is(NAME) => {
                let text = credentials.token68().ok_or("there is no Base64 after it")?;
                Self::parse(text).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `user:password` in Base64. The password may have colons, neither may have controls.
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_CREDENTIALS {
            return Err("it is too long");
        }
        let bytes = Base64::decode_vec(text).map_err(|_| "it is no Base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
        let (user, password) = text.split_once(':').ok_or("it has no colon")?;
        match (user, password) {
            _ if text.chars().any(char::is_control) => Err("it has a control character"),
            _ if password.len() > MAX_PASSWORD => Err("the password is too long"),
            ("", _) => Err("the user is empty"),
            _ => Ok(Self {
                user: user.to_owned(),
                password: password.to_owned(),
            }),
        }
    }
}

fn refused(reason: Reason, why: &'static str) -> Verdict {
    Verdict::Refused(Refusal::new(NAME, reason, why))
}

fn address(request: &Request) -> Option<IpAddr> {
    Peer::of(request)?.address().ip()
}

/// Takes `Authorization` off, when it is of the scheme.
pub(crate) fn strip_authorization(request: &mut Request, scheme: &str) {
    let read = Authorization::from_headers(request.headers());
    if matches!(read, Ok(Some(credentials)) if credentials.is(scheme)) {
        request.headers_mut().remove(AUTHORIZATION);
    }
}

const NAME: &str = "Basic";
const REMEMBERED: Duration = Duration::from_secs(60);
const RETRY_BUSY: Duration = Duration::from_secs(2);
const MAX_WAITING: usize = 64;
/// Base64 of a name of 255 bytes, a colon and a password of 1024.
const MAX_CREDENTIALS: usize = 1708;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PasswordHash;
    use crate::hash::work;

    fn login(bytes: &[u8]) -> Result<(String, String), &'static str> {
        let login = Login::parse(&Base64::encode_string(bytes))?;
        Ok((login.user, login.password))
    }

    #[test]
    fn rfc7617_2_credentials() {
        let good = [
            ("Aladdin:open sesame", ("Aladdin", "open sesame")),
            ("a:b:c:", ("a", "b:c:")),
            ("a:", ("a", "")),
            ("test:123\u{a3}", ("test", "123\u{a3}")),
        ];
        for (text, (user, password)) in good {
            let expected = Ok((user.to_owned(), password.to_owned()));
            assert_eq!(login(text.as_bytes()), expected);
        }
        assert!(Login::parse("dGVzdDoxMjPCow==").is_ok_and(|it| it.password == "123£"));
        let bad: [&[u8]; 7] = [
            b"",
            b":",
            b":x",
            b"no colon",
            b"a:\0",
            b"a\x7f:b",
            b"a:\xff",
        ];
        for bytes in bad {
            assert!(login(bytes).is_err(), "{bytes:?}");
        }
        for text in ["YQ", "YTpi=", "YTpiYw", "YTp-", "YTpi YTpi", "YTpC1="] {
            assert!(Login::parse(text).is_err(), "{text}");
        }
        assert!(login(&[&b"a:"[..], &[b'x'; 1024]].concat()).is_ok());
        assert!(login(&[&b"a:"[..], &[b'x'; 1025]].concat()).is_err());
        assert!(Login::parse(&"A".repeat(1 << 16)).is_err());
    }

    /// Work is counted on this thread: no runtime, so checks run in place.
    fn work_of(basic: &Basic, user: &str) -> Vec<(crate::HashKind, u64)> {
        let login = Login {
            user: user.to_owned(),
            password: "wrong".to_owned(),
        };
        let mut check = std::pin::pin!(basic.state.check(login, None));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        work::take();
        let std::task::Poll::Ready(answer) = check.as_mut().poll(&mut cx) else {
            panic!("nothing to wait for");
        };
        assert_eq!(answer.unwrap_err().reason(), Reason::Denied);
        work::take()
    }

    #[test]
    fn fault_125_an_unknown_user_costs_the_work_of_a_known_one() {
        let stored = [
            "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
            "$2a$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ];
        for text in stored {
            let hash = PasswordHash::parse(text).unwrap();
            let expected = vec![hash.work()];
            let users = Htpasswd::new().with_hash("known", hash);
            let basic = Basic::new(users).lockout(None);
            assert_eq!(work_of(&basic, "known"), expected);
            for n in 0..20 {
                assert_eq!(work_of(&basic, &format!("unknown{n}")), expected);
            }
        }
        // Of several kinds, unknown users have each as often as known ones.
        let users = stored.iter().enumerate();
        let users = users.fold(Htpasswd::new(), |users, (at, text)| {
            users.with_hash(format!("known{at}"), PasswordHash::parse(text).unwrap())
        });
        let basic = Basic::new(users).lockout(None);
        let mut counts = std::collections::HashMap::new();
        for n in 0..400 {
            let work = work_of(&basic, &format!("unknown{n}"));
            assert_eq!(work.len(), 1, "one check, whoever it is");
            *counts.entry(work[0]).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), stored.len());
        assert!(
            counts.values().all(|count| (40..140).contains(count)),
            "{counts:?}"
        );
    }
}
