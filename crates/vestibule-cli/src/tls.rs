//! HTTPS, as the options say.

use vestibule::hyper::{Tls, TlsError};

use crate::args::Https;
use crate::values::Certificate;

/// The certificates, when HTTPS is asked for.
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
