//! Certificates, keys and revocation lists from the bytes of PEM files.
//!
//! Each block of a file is used, or the error names it and its line: a certificate that is passed over in silence is
//! missed only by visitors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SigningKey};
use vestibule_pem::Block;

use super::error::TlsError;
use super::x509::{Certificate, name_text, next_update};

/// A file that was read.
pub(super) struct PemFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// A chain with its key, and the lines where its certificates begin.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) path: PathBuf,
    pub(super) lines: Vec<usize>,
    pub(super) pair: Arc<CertifiedKey>,
}

/// Reads a chain and its key. Both may be in one file.
pub(super) fn chain(
    chain: &PemFile,
    key: &PemFile,
    provider: &CryptoProvider,
) -> Result<Chain, TlsError> {
    let is_one_file = chain.bytes == key.bytes;
    let certificates = certificates_of_chain(chain, is_one_file)?;
    let signer = signer(key, is_one_file, provider)?;
    let lines = certificates.iter().map(|block| block.line).collect();
    check_order(&chain.path, &certificates, &key.path, &*signer)?;
    let der = |block: Block| CertificateDer::from(block.der);
    let pair = CertifiedKey::new(certificates.into_iter().map(der).collect(), signer);
    // The keys have been compared, where the library can tell; this checks what rustls itself reads.
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(error) => return Err(TlsError::file(&chain.path, error)),
    }
    Ok(Chain {
        path: chain.path.clone(),
        lines,
        pair: Arc::new(pair),
    })
}

/// The blocks of a chain, each of them a certificate.
fn certificates_of_chain(file: &PemFile, is_one_file: bool) -> Result<Vec<Block>, TlsError> {
    let mut certificates = Vec::new();
    for block in blocks(file)? {
        match &*block.label {
            label if is_certificate(label) => {
                check_certificate(&file.path, &block)?;
                certificates.push(block);
            }
            label if is_one_file && (is_private_key(label) || label == PARAMETERS) => {}
            label if is_private_key(label) => {
                let why = "it is a private key, and the key comes from another file: remove it here, or name this file \
                           for both";
                return Err(TlsError::line(&file.path, block.line, why));
            }
            label => return Err(TlsError::line(&file.path, block.line, unused(label))),
        }
    }
    if certificates.is_empty() {
        return Err(TlsError::file(&file.path, "there is no certificate in it"));
    }
    Ok(certificates)
}

/// The private key of a file.
fn signer(
    file: &PemFile,
    is_one_file: bool,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, TlsError> {
    let mut key: Option<Block> = None;
    for block in blocks(file)? {
        match &*block.label {
            label if is_private_key(label) => {
                if let Some(first) = key {
                    let why = format!(
                        "it is a second private key, after the one in line {}: make one file for each",
                        first.line
                    );
                    return Err(TlsError::line(&file.path, block.line, why));
                }
                key = Some(block);
            }
            // OpenSSL writes them in front of a key, which repeats them.
            PARAMETERS => {}
            label if is_certificate(label) && is_one_file => {}
            label if is_certificate(label) => {
                let why = "it is a certificate, and the chain comes from another file: remove it here, or name this \
                           file for both";
                return Err(TlsError::line(&file.path, block.line, why));
            }
            label => return Err(TlsError::line(&file.path, block.line, unused(label))),
        }
    }
    let Some(key) = key else {
        return Err(TlsError::file(&file.path, "there is no private key in it"));
    };
    let line = key.line;
    let der = match &*key.label {
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(key.der)),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(key.der)),
        _ => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.der)),
    };
    provider.key_provider.load_private_key(der).map_err(|_| {
        let why = "the key cannot be used: it is broken, or not one of RSA (2048 to 8192 bits), ECDSA (P-256, P-384) \
                   and Ed25519";
        TlsError::line(&file.path, line, why)
    })
}

/// The certificate of the key comes first, and each later one has signed one before it.
///
/// Source: RFC 8446, section 4.4.2. Some clients of TLS 1.2 accept no other order (RFC 5246, section 7.4.2).
fn check_order(
    path: &Path,
    blocks: &[Block],
    key_path: &Path,
    signer: &dyn SigningKey,
) -> Result<(), TlsError> {
    // All of them have been read once.
    let certificates: Vec<(usize, Certificate<'_>)> = blocks
        .iter()
        .filter_map(|block| Some((block.line, Certificate::read(&block.der)?)))
        .collect();
    if let Some(key) = signer.public_key() {
        let mut all = certificates.iter();
        match all.position(|(_, it)| it.public_key == &*key) {
            Some(0) => {}
            Some(at) => {
                let why = "it is the certificate of the key: move it to the front of the chain";
                return Err(TlsError::line(path, certificates[at].0, why));
            }
            None => {
                let why = format!("it is not the key of a certificate in `{}`", path.display());
                return Err(TlsError::file(key_path, why));
            }
        }
    }
    for (at, (line, certificate)) in certificates.iter().enumerate().skip(1) {
        let (before, after) = certificates.split_at(at);
        let has_signed = |(_, it): &&(usize, Certificate<'_>)| it.issuer == certificate.subject;
        let is_repeated = |(_, it): &&(usize, Certificate<'_>)| {
            (it.subject, it.public_key) == (certificate.subject, certificate.public_key)
                && (it.issuer, it.not_after) == (certificate.issuer, certificate.not_after)
        };
        if let Some((first, _)) = before.iter().find(is_repeated) {
            let why = format!("it repeats the certificate in line {first}: remove one");
            return Err(TlsError::line(path, *line, why));
        }
        if before.iter().any(|it| has_signed(&it)) {
            continue;
        }
        let subject = name_text(certificate.subject).unwrap_or_default();
        let why = match after[1..].iter().find(has_signed) {
            Some((later, _)) => format!(
                "`{subject}` has signed the certificate in line {later}, and comes after it in a chain"
            ),
            None => format!("`{subject}` has signed no certificate of this chain: remove it"),
        };
        return Err(TlsError::line(path, *line, why));
    }
    Ok(())
}

/// The certificates of authorities.
pub(super) fn authorities(file: &PemFile) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for block in blocks(file)? {
        match &*block.label {
            label if is_certificate(label) => {
                check_certificate(&file.path, &block)?;
                let added = roots.add(CertificateDer::from(block.der));
                added.map_err(|error| TlsError::line(&file.path, block.line, error))?;
            }
            label if is_private_key(label) => {
                let why = "it is a private key: that of an authority belongs on no server";
                return Err(TlsError::line(&file.path, block.line, why));
            }
            label => return Err(TlsError::line(&file.path, block.line, unused(label))),
        }
    }
    Ok(roots)
}

/// A revocation list, and when the next one is due, in seconds since 1970.
pub(super) struct RevocationList {
    pub(super) line: usize,
    pub(super) next_update: Option<i64>,
    pub(super) der: CertificateRevocationListDer<'static>,
}

/// The revocation lists of a file. Each is tried with the authorities `roots`.
pub(super) fn revocation_lists(
    file: &PemFile,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Vec<RevocationList>, TlsError> {
    let mut lists = Vec::new();
    for block in blocks(file)? {
        if block.label != "X509 CRL" {
            let why = match is_certificate(&block.label) {
                true => "it is a certificate, not a revocation list".to_owned(),
                false => unused(&block.label),
            };
            return Err(TlsError::line(&file.path, block.line, why));
        }
        let broken = "it is not a revocation list (CRL)";
        let next_update = next_update(&block.der)
            .ok_or_else(|| TlsError::line(&file.path, block.line, broken))?;
        let der = CertificateRevocationListDer::from(block.der);
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .with_crls([der.clone()])
            .build()
            .map_err(|error| TlsError::line(&file.path, block.line, error))?;
        lists.push(RevocationList {
            line: block.line,
            next_update,
            der,
        });
    }
    Ok(lists)
}

fn blocks(file: &PemFile) -> Result<Vec<Block>, TlsError> {
    vestibule_pem::blocks(&file.bytes).map_err(|error| TlsError::file(&file.path, error))
}

fn check_certificate(path: &Path, block: &Block) -> Result<(), TlsError> {
    match Certificate::read(&block.der) {
        Some(_) => Ok(()),
        None => Err(TlsError::line(
            path,
            block.line,
            "it is not a certificate, or it is damaged",
        )),
    }
}

/// RFC 7468, section 5.1, with the names of old programs.
fn is_certificate(label: &str) -> bool {
    matches!(
        label,
        "CERTIFICATE" | "X509 CERTIFICATE" | "X.509 CERTIFICATE"
    )
}

fn is_private_key(label: &str) -> bool {
    matches!(label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY")
}

/// Says what a block is that has no use where it is.
fn unused(label: &str) -> String {
    let why = match label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            "it is a request: the certificate is what the authority answers to it"
        }
        "TRUSTED CERTIFICATE" => {
            "it is in a form of OpenSSL's own; `openssl x509 -in FILE -out FILE.pem` converts it"
        }
        "PKCS7" | "CMS" => {
            "it is a store of certificates; `openssl pkcs7 -print_certs -in FILE -out FILE.pem` converts it"
        }
        "OPENSSH PRIVATE KEY" => {
            "it is a key of OpenSSH; `ssh-keygen -p -m PKCS8 -f FILE` converts it, in place"
        }
        "PUBLIC KEY" | "RSA PUBLIC KEY" => "it is a public key: the private one is needed",
        "DSA PRIVATE KEY" => "it is a DSA key, which no client accepts",
        "DH PARAMETERS" => {
            "they are not used, since each connection agrees on keys by elliptic curves: remove them"
        }
        "X509 CRL" => "it is a revocation list, which belongs in a file of its own",
        label => return format!("a block `{label}` has no use here: remove it"),
    };
    why.to_owned()
}

const PARAMETERS: &str = "EC PARAMETERS";
