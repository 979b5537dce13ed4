//! An HTTP client that is an [`App`]. Middleware uses it to send requests to other servers without
//! its own sockets: `vestibule_auth::jwt::Jwks` fetches keys with it, and
//! `vestibule_auth::ForwardAuth` asks an authorization server.
//!
//! ```rust
//! use std::time::Duration;
//! use vestibule_client::Client;
//! use vestibule_core::{App, Request};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let client = Client::new().timeout(Duration::from_secs(2));
//! let mut request = Request::default();
//! *request.uri_mut() = "http://127.0.0.1:1/nobody-listens-here".parse().unwrap();
//! assert_eq!(client.call(request).await.status(), 502);
//! # }
//! ```
//!
//! | | protocol | trusts |
//! |---|---|---|
//! | `Client::new()` | `http:` only | the network: for this machine, and private networks |
//! | `Client::secure()` (feature `tls`) | `https:` only | the root certificates of the system |
//! | `Client::trusting(pem)` (feature `tls`) | `https:` only | the given root certificates, and no others |
//!
//! It uses HTTP/1.1 with keep-alive. It follows no redirects, stores no cookies, ignores proxy
//! variables of the environment, and decodes no content coding: the response is unchanged. A failed
//! request is a 502 and a timeout is a 504, with the cause in a [`Failure`].

#![cfg_attr(docsrs, feature(doc_cfg))]

use std::fmt;
use std::time::Duration;

use http::{StatusCode, Version};
#[cfg(feature = "tls")]
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Builder};
use hyper_util::rt::{TokioExecutor, TokioTimer};
#[cfg(feature = "tls")]
use rustls::pki_types::CertificateDer;
#[cfg(feature = "tls")]
use vestibule_core::BoxError;
use vestibule_core::{App, Body, Failure, FailureKind, IntoResponse, Request, Response};

/// Sends each request to the server in its URI, and returns the response. Cheap to clone; clones
/// share their connections.
///
/// The URI must be absolute. A missing `Host` is created from it. The limit from the request to the
/// response head is ten seconds ([`timeout`](Self::timeout)), with at most five seconds to connect.
/// The response body has no time limit. The client needs a tokio runtime with I/O and time.
#[doc(alias("http client", "reverse proxy"))]
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    timeout: Duration,
}

#[derive(Clone)]
enum Transport {
    Plain(legacy::Client<HttpConnector, Body>),
    #[cfg(feature = "tls")]
    Secure(legacy::Client<HttpsConnector<HttpConnector>, Body>),
}

impl Client {
    /// Creates a client for `http:`. Others on the network path can read and change the traffic, so
    /// do not fetch keys with it from another machine.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Transport::Plain(pool().build(tcp())))
    }

    /// Creates a client for `https:` with the root certificates of the system. It never sends a
    /// request in clear text.
    ///
    /// # Errors
    ///
    /// Fails if the system has no root certificates. On Debian, install the package
    /// `ca-certificates`.
    ///
    /// ```
    /// use vestibule_client::Client;
    ///
    /// # fn of_system() -> Result<(), vestibule_core::BoxError> {
    /// let client = Client::secure()?;
    /// # let _ = client; Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn secure() -> Result<Self, BoxError> {
        let builder = HttpsConnectorBuilder::new();
        Ok(Self::encrypted(builder.with_provider_and_native_roots(
            rustls::crypto::ring::default_provider(),
        )?))
    }

    /// Creates a client for `https:` with the root certificates in `pem` and no others, such as
    /// those of a company.
    ///
    /// # Errors
    ///
    /// Fails if `pem` contains no certificate, or a part that is damaged or not a certificate. The error
    /// names the line.
    #[cfg(feature = "tls")]
    pub fn trusting(pem: &[u8]) -> Result<Self, BoxError> {
        let mut roots = rustls::RootCertStore::empty();
        for block in vestibule_pem::blocks(pem)? {
            let (line, label) = (block.line, block.label);
            if label != "CERTIFICATE" {
                return Err(format!("line {line}: a block `{label}` is not a certificate").into());
            }
            let added = roots.add(CertificateDer::from(block.der));
            added.map_err(|error| format!("line {line}: {error}"))?;
        }
        let provider = rustls::crypto::ring::default_provider();
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let builder = HttpsConnectorBuilder::new();
        Ok(Self::encrypted(builder.with_tls_config(config)))
    }

    #[cfg(feature = "tls")]
    fn encrypted(
        builder: HttpsConnectorBuilder<hyper_rustls::builderstates::WantsSchemes>,
    ) -> Self {
        let mut tcp = tcp();
        tcp.enforce_http(false);
        let connector = builder.https_only().enable_http1().wrap_connector(tcp);
        Self::of(Transport::Secure(pool().build(connector)))
    }

    const fn of(transport: Transport) -> Self {
        Self {
            transport,
            timeout: TIMEOUT,
        }
    }

    /// Sets the maximum time from the request to the response head. Defaults to 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl App for Client {
    async fn call(&self, mut request: Request) -> Response {
        *request.version_mut() = Version::HTTP_11;
        let answer = async {
            match &self.transport {
                Transport::Plain(client) => client.request(request).await,
                #[cfg(feature = "tls")]
                Transport::Secure(client) => client.request(request).await,
            }
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(response)) => response.map(Body::new),
            Ok(Err(error)) => {
                let failure = Failure::new(error).kind(FailureKind::Upstream);
                failure.status(StatusCode::BAD_GATEWAY).into_response()
            }
            Err(elapsed) => {
                let failure = Failure::new(elapsed).kind(FailureKind::Timeout);
                failure.status(StatusCode::GATEWAY_TIMEOUT).into_response()
            }
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_nodelay(true);
    tcp
}

fn pool() -> Builder {
    let mut pool = legacy::Client::builder(TokioExecutor::new());
    pool.pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE);
    pool
}

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the idle timeout of most servers, so that few requests use a connection that
/// closes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of idle connections to each host.
const MAX_IDLE: usize = 16;
