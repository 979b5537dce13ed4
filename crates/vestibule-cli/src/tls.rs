//! HTTPS, as the options say.

#[cfg(not(feature = "tls"))]
use std::convert::Infallible;

use vestibule::hyper::Bind;
#[cfg(feature = "tls")]
pub(crate) use vestibule::hyper::Tls;
#[cfg(feature = "tls")]
use vestibule::hyper::TlsError;

use crate::args::Https;
#[cfg(feature = "tls")]
use crate::values::Certificate;

/// The certificates, when HTTPS is asked for.
#[cfg(feature = "tls")]
pub fn tls(options: &Https) -> Result<Option<Tls>, TlsError> {
    let nameless = |it: &&Certificate| !matches!(it, Certificate::Files { name: Some(_), .. });
    let default = match options.tls.iter().find(nameless).or(options.tls.first()) {
        None => return Ok(None),
        Some(Certificate::Development) => {
            Tls::self_signed(["localhost", "127.0.0.1", "::1", "0.0.0.0"])?
        }
        Some(Certificate::Files { chain, key, .. }) => Tls::pem(chain, key)?,
    };
    let mut tls = default;
    for site in &options.tls {
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
    Ok(Some(tls))
}

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
