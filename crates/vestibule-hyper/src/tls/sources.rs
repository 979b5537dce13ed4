//! Where certificates, keys and authorities come from, so that they can be read again.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::TlsVersion;
use super::crypto::{Crypto, sha256};
use super::error::TlsError;
use super::key_log::KeyLogFile;
use super::names::{Names, kind};
use super::pem_files::{self, Chain, PemFile};
use super::warning::{self, TlsWarning};
use super::x509::Certificate;

/// The configuration of a TLS listener.
#[derive(Clone)]
pub(super) struct Sources {
    /// For names that no site has, and for clients that name none.
    pub(super) default: Vec<Pair>,
    pub(super) sites: Vec<(String, Pair)>,
    pub(super) clients: Option<Clients>,
    pub(super) crypto: Crypto,
    pub(super) min_version: TlsVersion,
    pub(super) key_log: Option<PathBuf>,
}

/// A certificate chain and its key.
#[derive(Clone)]
pub(super) enum Pair {
    Files {
        chain: PathBuf,
        key: PathBuf,
    },
    #[cfg(feature = "tls-self-signed")]
    Memory(Arc<CertifiedKey>),
}

/// The certificates that clients must or may send.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) authorities: PathBuf,
    pub(super) revocation_lists: Vec<PathBuf>,
    pub(super) are_required: bool,
}

/// The hash of each file; `None` for one that cannot be read.
pub(super) type Hashes = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// The result of one load of all files.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// The chains that have files, each with the name of its site.
    chains: Vec<(Option<String>, Chain)>,
    /// The revocation lists: file, line, and when the next one is due.
    revocation_lists: Vec<(PathBuf, usize, Option<i64>)>,
    key_log: Option<PathBuf>,
}

impl Pair {
    pub(super) fn files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Self::Files {
            chain: chain.as_ref().to_owned(),
            key: key.as_ref().to_owned(),
        }
    }

    /// The certificate as errors call it.
    fn name(&self) -> String {
        match self {
            Self::Files { chain, .. } => format!("`{}`", chain.display()),
            #[cfg(feature = "tls-self-signed")]
            Self::Memory(_) => "the self-signed certificate".to_owned(),
        }
    }
}

impl Sources {
    pub(super) fn new(default: Pair) -> Self {
        Self {
            default: vec![default],
            sites: Vec::new(),
            clients: None,
            crypto: Crypto::default(),
            min_version: TlsVersion::default(),
            key_log: None,
        }
    }

    /// Reads everything.
    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let provider = Arc::new(self.crypto.provider());
        let failed = |error: rustls::Error| TlsError::new("TLS", error);
        let mut chains = Vec::new();

        let mut default = Certificates::new("visitors of all other names");
        for pair in &self.default {
            default.add(pair, read_pair(pair, None, &provider, &mut chains)?)?;
        }
        let mut sites: HashMap<String, Certificates> = HashMap::new();
        for (name, pair) in &self.sites {
            let read = read_pair(pair, Some(name), &provider, &mut chains)?;
            let site = sites.entry(name.clone());
            let site = site.or_insert_with(|| Certificates::new(&format!("`{name}`")));
            site.add(pair, read)?;
        }
        let names = Names {
            default: default.into_keys(),
            sites: sites
                .into_iter()
                .map(|(name, all)| (name, all.into_keys()))
                .collect(),
        };

        let versions = match self.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(failed)?;
        let mut revocation_lists = Vec::new();
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let path = &clients.authorities;
                let roots = Arc::new(pem_files::authorities(&read(path)?)?);
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
                if !clients.revocation_lists.is_empty() {
                    // As OpenSSL and nginx do: a list that is out of date no longer says who is revoked.
                    verifier = verifier.enforce_revocation_expiration();
                }
                for path in &clients.revocation_lists {
                    let file = read(path)?;
                    for list in pem_files::revocation_lists(&file, &roots, &provider)? {
                        revocation_lists.push((path.clone(), list.line, list.next_update));
                        verifier = verifier.with_crls([list.der]);
                    }
                }
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
        config.alpn_protocols = super::alpn_protocols();
        // A new key for tickets with each load: no session outlives a change of authorities or revocation lists.
        config.ticketer = self.crypto.tickets().map_err(failed)?;
        if let Some(path) = &self.key_log {
            let file = KeyLogFile::open(path).map_err(|error| TlsError::file(path, error))?;
            config.key_log = Arc::new(file);
        }
        Ok(Loaded {
            config: Arc::new(config),
            chains,
            revocation_lists,
            key_log: self.key_log.clone(),
        })
    }

    /// The hashes of all files as they are now.
    pub(super) fn hashes(&self) -> Hashes {
        let pairs = self
            .default
            .iter()
            .chain(self.sites.iter().map(|(_, pair)| pair));
        let pairs = pairs.flat_map(|pair| match pair {
            Pair::Files { chain, key } => vec![chain, key],
            #[cfg(feature = "tls-self-signed")]
            Pair::Memory(_) => vec![],
        });
        let clients = self.clients.iter();
        let clients = clients.flat_map(|it| it.revocation_lists.iter().chain([&it.authorities]));
        let mut hashes = Hashes::new();
        for path in pairs.chain(clients) {
            let hash = read(path).ok().map(|file| sha256(&file.bytes));
            hashes.insert(path.clone(), hash);
        }
        hashes
    }
}

impl Loaded {
    /// A configuration of the caller's own.
    pub(super) const fn given(config: Arc<ServerConfig>) -> Self {
        Self {
            config,
            chains: Vec::new(),
            revocation_lists: Vec::new(),
            key_log: None,
        }
    }

    /// Returns the certificates that visitors refuse at the time `now`.
    pub(super) fn warnings(&self, now: SystemTime) -> Vec<TlsWarning> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let mut all = Vec::new();
        if let Some(path) = &self.key_log {
            let why = "the secrets of ALL connections are written to this file: whoever has it reads what visitors send \
                       and get; it is for finding faults, never for a public server";
            all.push(TlsWarning::file(path, why));
        }
        for (site, chain) in &self.chains {
            let certificates = &chain.pair.cert;
            let certificates: Vec<_> = certificates
                .iter()
                .filter_map(|der| Certificate::read(der))
                .collect();
            for (at, why) in warning::of_chain(&certificates, site.as_deref(), now) {
                all.push(TlsWarning::line(&chain.path, chain.lines[at], why));
            }
        }
        for (path, line, next_update) in &self.revocation_lists {
            let why = warning::of_revocation_list(*next_update, now);
            all.extend(why.map(|why| TlsWarning::line(path, *line, why)));
        }
        // A certificate may be the default one and that of a site.
        let mut seen = Vec::new();
        for warning in all {
            if !seen.contains(&warning) {
                seen.push(warning);
            }
        }
        seen
    }
}

/// The certificates of a name, one for each kind of key.
struct Certificates {
    /// Whose they are, as errors call it.
    name: String,
    all: Vec<(&'static str, String, Arc<CertifiedKey>)>,
}

impl Certificates {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            all: Vec::new(),
        }
    }

    /// Adds a certificate, unless there is one of its kind: a client could never get the second.
    fn add(&mut self, pair: &Pair, key: Arc<CertifiedKey>) -> Result<(), TlsError> {
        let kind = kind(&*key.key);
        if let Some((_, first, _)) = self.all.iter().find(|(other, ..)| *other == kind) {
            let why = format!(
                "{first} has a key of the same kind, {kind}, for {}: remove one of the two",
                self.name
            );
            return Err(TlsError::new(pair.name(), why));
        }
        self.all.push((kind, pair.name(), key));
        Ok(())
    }

    fn into_keys(self) -> Vec<Arc<CertifiedKey>> {
        self.all.into_iter().map(|(_, _, key)| key).collect()
    }
}

fn read_pair(
    pair: &Pair,
    site: Option<&String>,
    provider: &CryptoProvider,
    chains: &mut Vec<(Option<String>, Chain)>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let (chain, key) = match pair {
        Pair::Files { chain, key } => (read(chain)?, read(key)?),
        #[cfg(feature = "tls-self-signed")]
        Pair::Memory(key) => return Ok(key.clone()),
    };
    let chain = pem_files::chain(&chain, &key, provider)?;
    let key = chain.pair.clone();
    chains.push((site.cloned(), chain));
    Ok(key)
}

fn read(path: &Path) -> Result<PemFile, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| TlsError::file(path, error))?;
    Ok(PemFile {
        path: path.to_owned(),
        bytes,
    })
}
