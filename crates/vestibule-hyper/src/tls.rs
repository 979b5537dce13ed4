//! HTTPS, by rustls: certificates by name, changed without a restart, and what a handshake agreed on.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::ServerConfig;
#[cfg(feature = "tls-aws-lc-rs")]
use rustls::crypto::aws_lc_rs;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use vestibule_core::{BoxError, HasExtensions};

use crate::Bind;
use crate::io::{Socket, linger};
use crate::link::Linked;

/// Certificates and keys, and what is asked of clients: makes a listener one of HTTPS.
///
/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, sessions resumed. A clone is the same one: keep
/// it to [`reload`](Self::reload) the files. [`Bound::run`](crate::Bound::run) does that by itself
/// at SIGHUP, and within a minute when a file has changed.
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
#[doc(alias("https", "ssl", "rustls", "certificate"))]
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    sources: Sources,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// When the files were last changed, as they are in use.
    changed: Vec<Option<SystemTime>>,
}

/// Where everything comes from, so that it can be read again.
#[derive(Clone)]
struct Sources {
    /// For names that no site has, and for clients that name none.
    default: Pair,
    sites: Vec<(String, Pair)>,
    clients: Option<Clients>,
    crypto: Crypto,
}

/// A certificate chain and its key.
#[derive(Clone)]
enum Pair {
    Files {
        chain: PathBuf,
        key: PathBuf,
    },
    #[cfg(feature = "tls-self-signed")]
    Memory(Arc<CertifiedKey>),
}

#[derive(Clone)]
struct Clients {
    authorities: PathBuf,
    are_required: bool,
}

impl Tls {
    /// A certificate chain (the server's own first) and its private key, in PEM files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used, or when the two do not go together.
    pub fn pem(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        Self::load(Sources {
            default: Pair::files(chain, key),
            sites: Vec::new(),
            clients: None,
            crypto: Crypto::default(),
        })
    }

    /// A certificate for development, for these names and addresses, made now and signed by itself.
    /// Clients have to be told to take it.
    ///
    /// # Errors
    ///
    /// When a name cannot stand in a certificate.
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
        Self::load(Sources {
            default: Pair::Memory(Arc::new(pair)),
            sites: Vec::new(),
            clients: None,
            crypto: Crypto::default(),
        })
    }

    /// Another certificate for clients that ask for `name`: `example.org`, or `*.example.org` for
    /// all names that have one label more.
    ///
    /// # Errors
    ///
    /// As [`Tls::pem`].
    pub fn site(
        self,
        name: &str,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let mut sources = self.0.sources.clone();
        let pair = Pair::files(chain, key);
        sources.sites.push((name.to_ascii_lowercase(), pair));
        Self::load(sources)
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
        let mut sources = self.0.sources.clone();
        sources.clients = Some(Clients {
            authorities: authorities.as_ref().to_owned(),
            are_required,
        });
        Self::load(sources)
    }

    /// Does the cryptography by another library than ring.
    ///
    /// # Errors
    ///
    /// As [`Tls::pem`]: the files are read anew, and a library may not know a kind of key.
    pub fn crypto(self, crypto: Crypto) -> Result<Self, TlsError> {
        let mut sources = self.0.sources.clone();
        sources.crypto = crypto;
        Self::load(sources)
    }

    /// Reads all files again, for connections that come from now on.
    ///
    /// # Errors
    ///
    /// As [`Tls::pem`]; what was in use stays in use then.
    pub fn reload(&self) -> Result<(), TlsError> {
        // The times first: a file that changes meanwhile is found changed the next time.
        let changed = self.0.sources.changed();
        let config = self.0.sources.config()?;
        *self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Current { config, changed };
        Ok(())
    }

    /// Reads the files again if one has changed: whether it did.
    pub(crate) fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let was = self
            .0
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .changed
            .clone();
        if self.0.sources.changed() == was {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    fn load(sources: Sources) -> Result<Self, TlsError> {
        let changed = sources.changed();
        let config = sources.config()?;
        let current = RwLock::new(Current { config, changed });
        Ok(Self(Arc::new(Inner { sources, current })))
    }

    /// Shakes hands. It waits as long as the client likes: the caller holds the clock.
    ///
    /// A client of TLS 1.3 without the certificate that is required sends its request before it can know of the
    /// refusal. A close with that request unread would be a reset, which destroys the alert. So the close lingers.
    pub(crate) async fn accept(&self, socket: Socket) -> io::Result<(Socket, TlsInfo)> {
        let config = {
            let current = self.0.current.read();
            current
                .unwrap_or_else(PoisonError::into_inner)
                .config
                .clone()
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
        let sites: Vec<_> = self.0.sources.sites.iter().map(|(name, _)| name).collect();
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

impl Pair {
    fn files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Self::Files {
            chain: chain.as_ref().to_owned(),
            key: key.as_ref().to_owned(),
        }
    }

    fn read(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        let (chain, key) = match self {
            Self::Files { chain, key } => (chain, key),
            #[cfg(feature = "tls-self-signed")]
            Self::Memory(pair) => return Ok(pair.clone()),
        };
        let certificates = certificates(chain)?;
        let secret =
            PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::file(key, error))?;
        let pair =
            CertifiedKey::from_der(certificates, secret, provider).map_err(
                |error| match error {
                    rustls::Error::InconsistentKeys(_) => {
                        let text = format!("it is not the key of `{}`", chain.display());
                        TlsError::file(key, text)
                    }
                    other => TlsError::file(key, other),
                },
            )?;
        Ok(Arc::new(pair))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| TlsError::file(path, error))?;
    match read.is_empty() {
        true => Err(TlsError::file(path, "there is no certificate in it")),
        false => Ok(read),
    }
}

impl Sources {
    fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(self.crypto.provider());
        let failed = |error: rustls::Error| TlsError::new("TLS", error);
        let mut names = Names {
            default: self.default.read(&provider)?,
            sites: HashMap::new(),
        };
        for (name, pair) in &self.sites {
            names.sites.insert(name.clone(), pair.read(&provider)?);
        }
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let path = &clients.authorities;
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| TlsError::file(path, error))?;
                }
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if !clients.are_required {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier
                    .build()
                    .map_err(|error| TlsError::file(path, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(names));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = self.crypto.tickets().map_err(failed)?;
        Ok(Arc::new(config))
    }

    fn changed(&self) -> Vec<Option<SystemTime>> {
        let pairs = std::iter::once(&self.default).chain(self.sites.iter().map(|(_, pair)| pair));
        let pairs = pairs.flat_map(|pair| match pair {
            Pair::Files { chain, key } => vec![chain, key],
            #[cfg(feature = "tls-self-signed")]
            Pair::Memory(_) => vec![],
        });
        let clients = self.clients.iter().map(|clients| &clients.authorities);
        let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|it| it.modified()).ok();
        pairs.chain(clients).map(changed).collect()
    }
}

/// Whose cryptography handshakes and records are done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Crypto {
    /// ring: small, and quick to build.
    #[default]
    Ring,
    /// AWS-LC, by the crate aws-lc-rs: for those who are told to use it. Its C takes a minute to build.
    #[cfg(feature = "tls-aws-lc-rs")]
    AwsLcRs,
}

impl Crypto {
    fn provider(self) -> CryptoProvider {
        match self {
            Self::Ring => ring::default_provider(),
            #[cfg(feature = "tls-aws-lc-rs")]
            Self::AwsLcRs => aws_lc_rs::default_provider(),
        }
    }

    /// The keys that session tickets are sealed with.
    fn tickets(self) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        match self {
            Self::Ring => ring::Ticketer::new(),
            #[cfg(feature = "tls-aws-lc-rs")]
            Self::AwsLcRs => aws_lc_rs::Ticketer::new(),
        }
    }
}

/// Which certificate is for which name.
#[derive(Debug)]
struct Names {
    default: Arc<CertifiedKey>,
    sites: HashMap<String, Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| find(&self.sites, name));
        Some(found.unwrap_or(&self.default).clone())
    }
}

/// The exact name, or the one with `*` for its first label. rustls has the name in lower case.
fn find<'a, T>(sites: &'a HashMap<String, T>, name: &str) -> Option<&'a T> {
    sites.get(name).or_else(|| {
        let (_, parent) = name.split_once('.')?;
        sites.get(&format!("*.{parent}"))
    })
}

/// What a TLS handshake agreed on; an extension of requests that came by HTTPS.
///
/// ```
/// use vestibule_core::Request;
/// use vestibule_hyper::TlsInfo;
///
/// assert!(TlsInfo::of(&Request::default()).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct TlsInfo(Arc<Agreed>);

#[derive(Debug)]
struct Agreed {
    version: &'static str,
    cipher: &'static str,
    server_name: Option<String>,
    client: Vec<CertificateDer<'static>>,
}

impl TlsInfo {
    /// Returns the TLS facts of a request's connection, or `None` when this server did not encrypt it.
    ///
    /// `source` is a request of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        Linked::of(source)?.tls.as_ref()
    }

    fn of_stream(stream: &TlsStream<Socket>) -> Self {
        let (_, connection) = stream.get_ref();
        let version = connection
            .protocol_version()
            .and_then(|version| version.as_str());
        let cipher = connection.negotiated_cipher_suite();
        let client = connection.peer_certificates().unwrap_or_default();
        Self(Arc::new(Agreed {
            version: match version {
                Some("TLSv1_3") => "TLSv1.3",
                Some("TLSv1_2") => "TLSv1.2",
                other => other.unwrap_or("unknown"),
            },
            cipher: cipher
                .and_then(|it| it.suite().as_str())
                .unwrap_or("unknown"),
            server_name: connection.server_name().map(str::to_owned),
            client: client.iter().map(|it| it.clone().into_owned()).collect(),
        }))
    }

    /// `TLSv1.2` or `TLSv1.3`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.0.version
    }

    /// The cipher suite, by its name in the standard: `TLS13_AES_256_GCM_SHA384`.
    #[must_use]
    pub fn cipher(&self) -> &str {
        self.0.cipher
    }

    /// The name that the client asked for.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// The client's own certificate in DER form, when it was asked for one and showed one. Its
    /// chain has been checked; what it says has to be read by a parser of certificates.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&[u8]> {
        self.0.client.first().map(|it| &**it)
    }

    /// The SHA-256 of that certificate in lower-case hexadecimal digits, as `openssl x509
    /// -fingerprint -sha256` has it without its colons.
    #[must_use]
    pub fn client_fingerprint(&self) -> Option<String> {
        let certificate = self.client_certificate()?;
        let hash = TLS13_AES_128_GCM_SHA256
            .tls13()?
            .common
            .hash_provider
            .hash(certificate);
        Some(
            hash.as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }
}

/// Why TLS cannot be set up; it turns into an [`io::Error`].
#[derive(Debug)]
pub struct TlsError {
    what: String,
    error: BoxError,
}

impl TlsError {
    fn new(what: impl Into<String>, error: impl Into<BoxError>) -> Self {
        Self {
            what: what.into(),
            error: error.into(),
        }
    }

    fn file(path: &Path, error: impl Into<BoxError>) -> Self {
        Self::new(format!("`{}`", path.display()), error)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}", self.what, self.error)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_site() {
        let sites = ["example.com", "*.example.com", "a.b.example.com"];
        let sites = sites.map(|name| (name.to_owned(), name)).into();
        let cases = [
            ("example.com", Some("example.com")),
            ("www.example.com", Some("*.example.com")),
            ("a.b.example.com", Some("a.b.example.com")),
            ("c.b.example.com", None),
            ("example.org", None),
            ("com", None),
            ("", None),
        ];
        for (name, site) in cases {
            assert_eq!(find(&sites, name).copied(), site, "{name}");
        }
    }
}
