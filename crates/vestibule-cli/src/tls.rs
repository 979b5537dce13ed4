//! HTTPS, as the options say.

#[cfg(not(feature = "tls"))]
use std::convert::Infallible;
#[cfg(feature = "tls")]
use std::io;

use vestibule::hyper::Bind;
#[cfg(feature = "tls")]
pub(crate) use vestibule::hyper::Tls;
#[cfg(feature = "tls")]
use vestibule::hyper::TlsVersion;

use crate::args::Https;
#[cfg(feature = "tls")]
use crate::values::Certificate;

/// The certificates, when HTTPS is asked for.
///
/// Those without a name are for all visitors whose name no other has. If all have names, those of the first name are.
#[cfg(feature = "tls")]
pub fn tls(options: &Https) -> io::Result<Option<Tls>> {
    let all = &options.tls;
    let is_nameless = |it: &&Certificate| it.name().is_none();
    let Some(first) = all.iter().find(is_nameless).or(all.first()) else {
        return Ok(None);
    };
    let is_default = |it: &&Certificate| is_same_name(it.name(), first.name());
    let defaults: Vec<&Certificate> = all.iter().filter(is_default).collect();
    if defaults.len() > 1 && defaults.contains(&&Certificate::Development) {
        return Err(io::Error::other(DEVELOPMENT));
    }
    let mut tls = match first {
        Certificate::Files { chain, key, .. } => Tls::pem(chain, key)?,
        Certificate::Development => Tls::self_signed(["localhost", "127.0.0.1", "::1", "0.0.0.0"])?,
    };
    for more in &defaults[1..] {
        if let Certificate::Files { chain, key, .. } = more {
            tls = tls.also(chain, key)?;
        }
    }
    for site in all {
        if let Certificate::Files {
            name: Some(name),
            chain,
            key,
        } = site
        {
            tls = tls.site(name, chain, key)?;
        }
    }
    if let Some(authorities) = &options.client_ca {
        tls = tls.require_clients(authorities)?;
    }
    for lists in &options.client_crl {
        tls = tls.revoked_clients(lists)?;
    }
    if options.tls_min.as_deref() == Some("1.3") {
        tls = tls.min_version(TlsVersion::Tls13)?;
    }
    if let Some(file) = &options.tls_keylog {
        tls = tls.key_log(file)?;
    }
    Ok(Some(tls))
}

/// Whether both are for the same visitors; the case and a dot at the end do not matter.
#[cfg(feature = "tls")]
fn is_same_name(one: Option<&str>, other: Option<&str>) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    one.map(plain) == other.map(plain)
}

#[cfg(feature = "tls")]
const DEVELOPMENT: &str =
    "`--tls dev` beside another certificate for the same visitors: remove one of the two";

/// The same address, where TLS is spoken.
#[cfg(feature = "tls")]
pub(crate) fn with_tls(bind: Bind, tls: &Tls) -> Bind {
    bind.tls(tls.clone())
}

/// A build without the feature has no certificates.
#[cfg(not(feature = "tls"))]
pub(crate) type Tls = Infallible;

/// None: the options that ask for HTTPS have been refused.
#[cfg(not(feature = "tls"))]
pub fn tls(_: &Https) -> Result<Option<Tls>, Infallible> {
    Ok(None)
}

/// Never called, since there is no certificate.
#[cfg(not(feature = "tls"))]
pub(crate) fn with_tls(_: Bind, tls: &Tls) -> Bind {
    match *tls {}
}
