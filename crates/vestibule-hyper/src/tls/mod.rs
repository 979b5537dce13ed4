//! HTTPS, by rustls: certificates by name, changed without a restart, and what a handshake agreed on.

mod crypto;
mod error;
mod info;
mod key_log;
mod names;
mod pem_files;
mod sources;
mod warning;
mod x509;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
#[cfg(feature = "tls-self-signed")]
use rustls::pki_types::PrivateKeyDer;
#[cfg(feature = "tls-self-signed")]
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
#[cfg(feature = "tls-self-signed")]
use vestibule_core::BoxError;

pub use self::crypto::Crypto;
pub use self::error::TlsError;
pub use self::info::{AltName, TlsInfo};
use self::sources::{Clients, Hashes, Loaded, Pair, Sources};
pub use self::warning::TlsWarning;
use crate::Bind;
use crate::io::{Socket, linger};

/// Certificates and keys, and what is asked of clients: makes a listener one of HTTPS.
///
/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, sessions resumed. A clone is the same one: keep
/// it to [`reload`](Self::reload) the files. [`Bound::run`](crate::Bound::run) does that by itself
/// at SIGHUP, and within a minute when the content of a file has changed.
///
/// ```no_run
/// # async fn app(_: vestibule_core::Request) -> &'static str { "hello" }
/// # async fn example() -> std::io::Result<()> {
/// use vestibule_hyper::{Bind, Server, Tls};
///
/// let tls = Tls::pem("example.com.pem", "example.com.key")?
///     .site("*.example.org", "example.org.pem", "example.org.key")?;
/// Server::new(app).bind(Bind::from("0.0.0.0:443").tls(tls)).await?.run().await?;
/// # Ok(()) }
/// ```
///
/// # Files
///
/// Each block of a file is used, or there is an error that names the file, the line and the remedy: a block that is
/// cut off, an encrypted key, a chain in the wrong order, a key in a file of certificates. A chain and its key may be in
/// one file, which is then named twice. Text around the blocks is ignored (RFC 7468, section 2).
///
/// A certificate that visitors will refuse does not keep a server from starting, since a restart must not depend on a
/// date. It is logged as a warning: see [`warnings`](Self::warnings).
///
/// # Two kinds of keys
///
/// A name may have one certificate for each kind of key: RSA for old clients and ECDSA, which costs less, for the others.
/// [`also`](Self::also) adds one to the certificate of `pem`, and a second [`site`](Self::site) of the same name to the
/// first. A client gets the certificate for the first of its signature schemes that fits. A second certificate of the
/// same kind is an error.
#[doc(alias("https", "ssl", "rustls", "certificate"))]
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// Without them the configuration was given whole.
    sources: Option<Sources>,
    current: RwLock<Current>,
    /// The warnings that were logged last.
    logged: Mutex<Vec<TlsWarning>>,
}

struct Current {
    loaded: Loaded,
    /// The files as they were at the last attempt to load them, whether they could be used or not.
    tried: Hashes,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246). Older versions are refused always (RFC 8996).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl Tls {
    /// A certificate chain (the server's own first) and its private key, in PEM files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used, or when the two do not go together.
    pub fn pem(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        Self::load(Sources::new(Pair::files(chain, key)))
    }

    /// Takes a configuration of rustls as it is: certificates from a store, or another choice of cipher suites.
    ///
    /// Nothing of it is read again, and the methods that change a `Tls` fail. Without ALPN protocols it gets `h2` and
    /// `http/1.1`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use rustls::ServerConfig;
    /// use rustls::server::ResolvesServerCertUsingSni;
    /// use vestibule_hyper::Tls;
    ///
    /// let provider = Arc::new(rustls::crypto::ring::default_provider());
    /// let config = ServerConfig::builder_with_provider(provider)
    ///     .with_protocol_versions(&[&rustls::version::TLS13])?
    ///     .with_no_client_auth()
    ///     .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    /// let tls = Tls::from_config(config);
    /// assert!(tls.warnings().is_empty());
    /// assert!(tls.also("chain.pem", "key.pem").is_err());
    /// # Ok::<(), rustls::Error>(())
    /// ```
    #[must_use]
    pub fn from_config(mut config: ServerConfig) -> Self {
        if config.alpn_protocols.is_empty() {
            config.alpn_protocols = alpn_protocols();
        }
        Self::of(None, Loaded::given(Arc::new(config)), Hashes::new())
    }

    /// Creates a self-signed certificate for development, for these names and addresses. Clients must be
    /// configured to accept it.
    ///
    /// # Errors
    ///
    /// Fails when a certificate cannot contain a name.
    #[cfg(feature = "tls-self-signed")]
    pub fn self_signed(
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, TlsError> {
        let names: Vec<_> = names.into_iter().map(Into::into).collect();
        let failed = |error: BoxError| TlsError::new("a self-signed certificate", error);
        let made =
            rcgen::generate_simple_self_signed(names).map_err(|error| failed(error.into()))?;
        let chain = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
            .map_err(|error| failed(error.into()))?;
        let pair = CertifiedKey::from_der(chain, key, &Crypto::default().provider())
            .map_err(|error| failed(error.into()))?;
        Self::load(Sources::new(Pair::Memory(Arc::new(pair))))
    }

    /// Adds a certificate with another kind of key, for the same visitors as that of [`pem`](Self::pem).
    ///
    /// # Errors
    ///
    /// As [`Tls::pem`], and when the kind of key is there already.
    pub fn also(self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        self.with(|sources| {
            sources.default.push(Pair::files(chain, key));
            Ok(())
        })
    }

    /// Another certificate for clients that ask for `name`: `example.org`, or `*.example.org` for
    /// all names that have one label more. The same name again adds a certificate with another kind of key.
    ///
    /// The case of letters does not matter, nor does a dot at the end.
    ///
    /// # Errors
    ///
    /// As [`Tls::pem`]; when the name has a certificate with that kind of key already; and when no client asks for such
    /// a name: an address, a name with a port, a `*` that is not the whole first label, or letters that are not ASCII
    /// (write the form that begins with `xn--`).
    pub fn site(
        self,
        name: &str,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        self.with(|sources| {
            let name = names::normalize(name)
                .map_err(|why| TlsError::new(format!("the name `{name}`"), why))?;
            sources.sites.push((name, Pair::files(chain, key)));
            Ok(())
        })
    }

    /// Takes only clients that show a certificate signed by one of the `authorities`, a PEM file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or used.
    pub fn require_clients(self, authorities: impl AsRef<Path>) -> Result<Self, TlsError> {
        self.clients(authorities, true)
    }

    /// As [`require_clients`](Self::require_clients), and also clients that show none: the app
    /// decides, by [`TlsInfo::client_certificate`].
    ///
    /// # Errors
    ///
    /// When the file cannot be read or used.
    pub fn ask_clients(self, authorities: impl AsRef<Path>) -> Result<Self, TlsError> {
        self.clients(authorities, false)
    }

    fn clients(self, authorities: impl AsRef<Path>, are_required: bool) -> Result<Self, TlsError> {
        self.with(|sources| {
            let before = sources.clients.take();
            sources.clients = Some(Clients {
                authorities: authorities.as_ref().to_owned(),
                revocation_lists: before.map_or_else(Vec::new, |it| it.revocation_lists),
                are_required,
            });
            Ok(())
        })
    }

    /// Adds revocation lists (CRLs, RFC 5280, section 5) of the authorities that sign clients: a PEM file, which is read
    /// again as the certificates are. Call it after [`require_clients`](Self::require_clients) or
    /// [`ask_clients`](Self::ask_clients).
    ///
    /// A client is refused when its certificate is in a list. As in nginx (`ssl_crl`), each authority of its chain needs
    /// a list, and a list that is out of date refuses all clients of its authority. A reload ends the sessions that
    /// clients could resume, so that none is resumed with a certificate that was revoked meanwhile.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or used, and when clients are not asked for certificates.
    pub fn revoked_clients(self, lists: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = lists.as_ref();
        self.with(|sources| {
            let clients = sources.clients.as_mut().ok_or_else(|| {
                let why = "clients are not asked for certificates: call `require_clients` or `ask_clients` before";
                TlsError::file(path, why)
            })?;
            clients.revocation_lists.push(path.to_owned());
            Ok(())
        })
    }

    /// Sets the oldest version of TLS that is spoken. Defaults to TLS 1.2.
    ///
    /// # Errors
    ///
    /// As [`Tls::pem`]: the files are read again.
    pub fn min_version(self, version: TlsVersion) -> Result<Self, TlsError> {
        self.with(|sources| {
            sources.min_version = version;
            Ok(())
        })
    }

    /// Appends the secrets of all connections to a file, in the format of `SSLKEYLOGFILE`. Wireshark decrypts with it
    /// what it has recorded. The environment variable of that name is never read.
    ///
    /// **A reader of the file can read all traffic.** Use it only for debugging; each start and
    /// [`warnings`](Self::warnings) report it. A new file has mode 600.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn key_log(self, file: impl AsRef<Path>) -> Result<Self, TlsError> {
        self.with(|sources| {
            sources.key_log = Some(file.as_ref().to_owned());
            Ok(())
        })
    }

    /// Does the cryptography by another library than ring.
    ///
    /// # Errors
    ///
    /// As [`Tls::pem`]: the files are read again, and a library may not support a kind of key.
    pub fn crypto(self, crypto: Crypto) -> Result<Self, TlsError> {
        self.with(|sources| {
            sources.crypto = crypto;
            Ok(())
        })
    }

    /// Returns what visitors will refuse, as of now: a certificate that has expired, is not valid yet, or expires within
    /// 14 days (within a sixth of its time, when that is less); one that is for other names than its site; one whose
    /// issuer's certificate does not follow; one that is signed with SHA-1; and revocation lists that are out of date.
    ///
    /// A server logs them when it starts, when certificates are loaded again, and each day that they change.
    #[must_use]
    pub fn warnings(&self) -> Vec<TlsWarning> {
        let current = self.0.current.read();
        let current = current.unwrap_or_else(PoisonError::into_inner);
        current.loaded.warnings(SystemTime::now())
    }

    /// Logs the warnings that were not logged before.
    pub(crate) fn log_warnings(&self) {
        let warnings = self.warnings();
        let mut logged = self.0.logged.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings.iter().filter(|it| !logged.contains(it)) {
            tracing::warn!(target: "vestibule", "{warning}");
        }
        *logged = warnings;
    }

    /// Reads all files again, for connections that come from now on.
    ///
    /// # Errors
    ///
    /// As [`Tls::pem`]; what was in use stays in use then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Some(sources) = &self.0.sources else {
            return Ok(());
        };
        // The hashes first: a file that changes in between is found changed the next time.
        let tried = sources.hashes();
        let loaded = sources.load();
        let mut current = self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        current.tried = tried;
        current.loaded = loaded?;
        Ok(())
    }

    /// Reads the files again if the content of one has changed since the last attempt: whether it did.
    pub(crate) fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let Some(sources) = &self.0.sources else {
            return Ok(false);
        };
        let now = sources.hashes();
        let is_same = {
            let current = self.0.current.read();
            current.unwrap_or_else(PoisonError::into_inner).tried == now
        };
        match is_same {
            true => Ok(false),
            false => self.reload().map(|()| true),
        }
    }

    /// Whether both are clones of one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn with(
        &self,
        change: impl FnOnce(&mut Sources) -> Result<(), TlsError>,
    ) -> Result<Self, TlsError> {
        let Some(mut sources) = self.0.sources.clone() else {
            let why = "the configuration was given whole: change it before `Tls::from_config`";
            return Err(TlsError::new("TLS", why));
        };
        change(&mut sources)?;
        Self::load(sources)
    }

    fn load(sources: Sources) -> Result<Self, TlsError> {
        let tried = sources.hashes();
        let loaded = sources.load()?;
        Ok(Self::of(Some(sources), loaded, tried))
    }

    fn of(sources: Option<Sources>, loaded: Loaded, tried: Hashes) -> Self {
        Self(Arc::new(Inner {
            sources,
            current: RwLock::new(Current { loaded, tried }),
            logged: Mutex::default(),
        }))
    }

    /// Shakes hands. It waits as long as the client likes: the caller holds the clock.
    ///
    /// A client of TLS 1.3 without the certificate that is required sends its request before it can know of the
    /// refusal. A close with that request unread would be a reset, which destroys the alert. So the close lingers.
    pub(crate) async fn accept(&self, socket: Socket) -> io::Result<(Socket, TlsInfo)> {
        let config = {
            let current = self.0.current.read();
            let current = current.unwrap_or_else(PoisonError::into_inner);
            current.loaded.config.clone()
        };
        let accepted = TlsAcceptor::from(config).accept(socket).into_fallible();
        let stream = match accepted.await {
            Ok(stream) => stream,
            Err((error, mut socket)) => {
                linger(&mut socket).await;
                return Err(error);
            }
        };
        let info = TlsInfo::of_stream(&stream);
        Ok((Socket::Tls(Box::new(stream)), info))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.0.sources.iter();
        let sites: Vec<_> = sources
            .flat_map(|it| &it.sites)
            .map(|(name, _)| name)
            .collect();
        f.debug_struct("Tls")
            .field("sites", &sites)
            .finish_non_exhaustive()
    }
}

impl Bind {
    /// Speaks TLS here: HTTPS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }
}

/// The protocols of this server, the preferred one first.
fn alpn_protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

#[cfg(test)]
#[cfg(feature = "tls-self-signed")]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    /// A directory that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("vestibule-tls-unit-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// A certificate and its key, in a directory of their own, with a given time of change.
        fn make(&self, directory: &str, modified: SystemTime) {
            let directory = self.0.join(directory);
            std::fs::create_dir_all(&directory).unwrap();
            let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
            let files = [
                ("chain.pem", made.cert.pem()),
                ("key.pem", made.signing_key.serialize_pem()),
            ];
            for (name, text) in files {
                std::fs::write(directory.join(name), text).unwrap();
                let file = std::fs::File::options()
                    .write(true)
                    .open(directory.join(name));
                file.unwrap().set_modified(modified).unwrap();
            }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Nix, and archives that are unpacked, give all files one time.
    #[cfg(unix)]
    #[test]
    fn a_change_is_found_by_the_content_whatever_the_times_are() {
        let scratch = Scratch::new("content");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        scratch.make("one", time);
        scratch.make("two", time);
        let link = scratch.0.join("live");
        std::os::unix::fs::symlink("one", &link).unwrap();
        let tls = Tls::pem(link.join("chain.pem"), link.join("key.pem")).unwrap();
        assert!(!tls.reload_if_changed().unwrap());

        let swap = |to: &str| {
            std::os::unix::fs::symlink(to, scratch.0.join("next")).unwrap();
            std::fs::rename(scratch.0.join("next"), &link).unwrap();
        };
        swap("two");
        assert!(tls.reload_if_changed().unwrap());
        assert!(!tls.reload_if_changed().unwrap());
        // Another time of change is not another certificate.
        scratch.make("three", SystemTime::now());
        for name in ["chain.pem", "key.pem"] {
            let (from, to) = (
                scratch.0.join("two").join(name),
                scratch.0.join("three").join(name),
            );
            std::fs::copy(from, to).unwrap();
        }
        swap("three");
        assert!(!tls.reload_if_changed().unwrap());
    }

    #[test]
    fn files_that_cannot_be_used_are_tried_once() {
        let scratch = Scratch::new("once");
        scratch.make("live", SystemTime::now());
        let chain = scratch.0.join("live/chain.pem");
        let tls = Tls::pem(&chain, scratch.0.join("live/key.pem")).unwrap();
        let good = std::fs::read(&chain).unwrap();

        std::fs::write(&chain, "half").unwrap();
        assert!(tls.reload_if_changed().is_err());
        assert!(!tls.reload_if_changed().unwrap());
        // The operator asks.
        assert!(tls.reload().is_err());
        std::fs::remove_file(&chain).unwrap();
        assert!(tls.reload_if_changed().is_err());
        assert!(!tls.reload_if_changed().unwrap());
        std::fs::write(&chain, good).unwrap();
        assert!(tls.reload_if_changed().unwrap());
    }
}
