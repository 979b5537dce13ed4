//! Which certificate is for which name, and which names there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::pki_types::DnsName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};

/// The certificates of each name. A name has one certificate for each kind of key, and one at least.
#[derive(Debug)]
pub(super) struct Names {
    /// For names that no site has, and for clients that name none.
    pub(super) default: Vec<Arc<CertifiedKey>>,
    pub(super) sites: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| find(&self.sites, name));
        choose(found.unwrap_or(&self.default), hello.signature_schemes()).cloned()
    }
}

/// The exact name, or the one with `*` for its first label. rustls has the name in lower case.
fn find<'a, T>(sites: &'a HashMap<String, T>, name: &str) -> Option<&'a T> {
    sites.get(name).or_else(|| {
        let (_, parent) = name.split_once('.')?;
        sites.get(&format!("*.{parent}"))
    })
}

/// The certificate whose key makes the first signature in the client's order of preference. If there is none, the first
/// certificate: rustls sends the alert.
fn choose<'a>(
    all: &'a [Arc<CertifiedKey>],
    schemes: &[SignatureScheme],
) -> Option<&'a Arc<CertifiedKey>> {
    let signs = |one: &&Arc<CertifiedKey>, scheme| one.key.choose_scheme(&[scheme]).is_some();
    let mut schemes = schemes.iter();
    let chosen = schemes.find_map(|scheme| all.iter().find(|one| signs(one, *scheme)));
    chosen.or(all.first())
}

/// The kind of a key, as clients tell them apart.
pub(super) fn kind(key: &dyn SigningKey) -> &'static str {
    let schemes = [
        (SignatureScheme::ECDSA_NISTP256_SHA256, "ECDSA P-256"),
        (SignatureScheme::ECDSA_NISTP384_SHA384, "ECDSA P-384"),
        (SignatureScheme::ECDSA_NISTP521_SHA512, "ECDSA P-521"),
        (SignatureScheme::ED25519, "Ed25519"),
        (SignatureScheme::RSA_PSS_SHA256, "RSA"),
    ];
    let found = schemes
        .into_iter()
        .find(|(scheme, _)| key.choose_scheme(&[*scheme]).is_some());
    found.map_or("another", |(_, kind)| kind)
}

/// Returns a site's name as clients send it: in lower case and without a dot at its end. It may begin with `*.`.
///
/// # Errors
///
/// The reason why no client asks for it.
pub(super) fn normalize(name: &str) -> Result<String, String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let bare = name.strip_prefix('[').unwrap_or(&name);
    let bare = bare.split(']').next().unwrap_or(bare);
    if name.is_empty() {
        return Err("it is empty; leave the name out for all visitors".to_owned());
    }
    if name == "*" {
        return Err("leave the name out for all visitors".to_owned());
    }
    if name.contains("//") {
        return Err("it is a URL; write the host name alone".to_owned());
    }
    if bare.parse::<IpAddr>().is_ok() {
        return Err(
            "clients name no address in the handshake (RFC 6066, section 3): leave the name out"
                .to_owned(),
        );
    }
    if let Some((host, port)) = name.split_once(':') {
        return Err(format!(
            "a name has no port: write `{host}`; the certificate is for all ports{}",
            if port.is_empty() {
                ", and the colon goes"
            } else {
                ""
            }
        ));
    }
    if !name.is_ascii() {
        return Err(
            "clients send such a name in its ASCII form, which begins with `xn--` (RFC 5891): write that one; \
             a browser shows it in the address of its developer tools, and `idn2` prints it"
                .to_owned(),
        );
    }
    let host = name.strip_prefix("*.").unwrap_or(&name);
    if host.contains('*') {
        return Err("`*` stands for the whole first label alone, as in *.example.org".to_owned());
    }
    if host.ends_with('.') || DnsName::try_from(host).is_err() {
        return Err(
            "it is not a host name: letters, digits and hyphens in labels of 1 to 63 characters, with dots between"
                .to_owned(),
        );
    }
    Ok(name)
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

    #[test]
    fn names_are_normalized_or_refused_with_the_reason() {
        let cases = [
            ("a.test", Ok("a.test")),
            ("EXAMPLE.test", Ok("example.test")),
            ("a.test.", Ok("a.test")),
            ("*.A.test.", Ok("*.a.test")),
            ("*.test", Ok("*.test")),
            ("localhost", Ok("localhost")),
            ("xn--mnchen-3ya.test", Ok("xn--mnchen-3ya.test")),
            ("a_b.test", Ok("a_b.test")),
            ("", Err("is empty")),
            (".", Err("is empty")),
            ("*", Err("leave the name out")),
            ("a.*.test", Err("first label")),
            ("a*.test", Err("first label")),
            ("*a.test", Err("first label")),
            ("*.*.test", Err("first label")),
            ("a.test:443", Err("write `a.test`")),
            ("a.test:", Err("write `a.test`")),
            ("https://a.test", Err("URL")),
            ("127.0.0.1", Err("address")),
            ("::1", Err("address")),
            ("[::1]", Err("address")),
            ("[::1]:443", Err("address")),
            ("münchen.test", Err("xn--")),
            ("a..test", Err("not a host name")),
            ("a.test..", Err("not a host name")),
            (".a.test", Err("not a host name")),
            ("*.", Err("leave the name out")),
            ("-a.test", Err("not a host name")),
            ("a b.test", Err("not a host name")),
            ("a\0.test", Err("not a host name")),
        ];
        for (name, want) in cases {
            match (normalize(name), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(part)) => assert!(got.contains(part), "{name:?}: {got}"),
                (got, _) => panic!("{name:?}: {got:?}"),
            }
        }
    }
}
