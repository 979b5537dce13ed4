//! The result of a TLS handshake.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;
use vestibule_core::HasExtensions;

use super::crypto::sha256;
use super::x509::{Certificate, name_text};
use crate::io::Socket;
use crate::link::Linked;

/// The result of a TLS handshake: an extension of requests that came by HTTPS.
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

    pub(super) fn of_stream(stream: &TlsStream<Socket>) -> Self {
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

    /// The client's own certificate in DER form, when the client was asked for one and sent one. Its
    /// chain has been checked.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&[u8]> {
        self.0.client.first().map(|it| &**it)
    }

    /// The SHA-256 of that certificate in lower-case hexadecimal digits, as `openssl x509
    /// -fingerprint -sha256` has it without its colons.
    #[must_use]
    pub fn client_fingerprint(&self) -> Option<String> {
        let hash = sha256(self.client_certificate()?);
        Some(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The subject of that certificate as text by RFC 4514, its last part first: `CN=alice,O=Example`. nginx has it as
    /// `$ssl_client_s_dn`.
    ///
    /// A comma inside a value is escaped, so that a value cannot pass for another part. The text is empty when the
    /// certificate has only [alternative names](Self::client_alt_names).
    #[must_use]
    pub fn client_subject(&self) -> Option<String> {
        name_text(Certificate::read(self.client_certificate()?)?.subject)
    }

    /// The issuer of that certificate, in the same form as [`client_subject`](Self::client_subject).
    #[must_use]
    pub fn client_issuer(&self) -> Option<String> {
        name_text(Certificate::read(self.client_certificate()?)?.issuer)
    }

    /// The alternative names of that certificate's subject (RFC 5280, section 4.2.1.6), in their order. Empty without a
    /// client certificate.
    ///
    /// ```
    /// use vestibule_core::Request;
    /// use vestibule_hyper::{AltName, TlsInfo};
    ///
    /// /// The service that asks, by its SPIFFE id.
    /// fn service(request: &Request) -> Option<String> {
    ///     let names = TlsInfo::of(request)?.client_alt_names();
    ///     names.into_iter().find_map(|name| match name {
    ///         AltName::Uri(uri) => uri.strip_prefix("spiffe://example.org/").map(str::to_owned),
    ///         _ => None,
    ///     })
    /// }
    /// assert_eq!(service(&Request::default()), None);
    /// ```
    #[must_use]
    pub fn client_alt_names(&self) -> Vec<AltName> {
        let certificate = self.client_certificate().and_then(Certificate::read);
        certificate.map_or_else(Vec::new, |it| it.alt_names)
    }
}

/// A name in a certificate, beside its subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AltName {
    /// A host name, as the certificate has it: `example.org` or `*.example.org`.
    Dns(String),
    /// An address of mail.
    Email(String),
    /// A URI, such as a SPIFFE id.
    Uri(String),
    /// An address of the network.
    Ip(IpAddr),
}
