//! Gives each request an id, for the log, for the client, and for the servers that the app calls.
//!
//! ```
//! use vestibule_core::{App, Request};
//! use vestibule_logging::{RequestId, SetRequestId};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = SetRequestId::new(|request: Request| async move {
//!     RequestId::of(&request).unwrap().as_str().to_owned()
//! });
//! let response = app.call(Request::default()).await;
//! let echoed = response.headers()["x-request-id"].clone();
//! assert_eq!(response.into_body().collect(99).await.unwrap(), echoed.as_bytes());
//! # }
//! ```

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use vestibule_core::{
    Address, App, HasExtensions, Network, Outline, Peer, Request, Response, Role,
};

use crate::uuid::Uuid;

/// Gives each request an id: the client's own when the client is trusted and the id is safe, else a new
/// UUID of version 7, which sorts by time.
///
/// The id is an extension of the request ([`RequestId`]) and of the response, replaces the request's
/// `x-request-id` (so that what is forwarded has it), and is echoed in the response's, unless the app
/// has set that field itself. A safe id has
/// 1 to 128 of the characters `A-Z a-z 0-9 - _ . : + / = @`: it can stand in a log, a URL or a page.
///
/// Costs three allocations a request.
#[doc(alias("x-request-id", "request id", "correlation id"))]
#[derive(Clone, Debug)]
pub struct SetRequestId<A> {
    app: A,
    header: HeaderName,
    trusted: Trusted,
}

#[derive(Clone, Debug)]
enum Trusted {
    Everyone,
    These {
        networks: Arc<[Network]>,
        unix: bool,
    },
}

impl<A: App> SetRequestId<A> {
    /// Wraps `app`; nobody is trusted.
    pub fn new(app: A) -> Self {
        Self {
            app,
            header: X_REQUEST_ID,
            trusted: Trusted::These {
                networks: Arc::new([]),
                unix: false,
            },
        }
    }

    /// Reads and writes another header than `x-request-id`.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Takes ids from clients in `network`: from the proxy in front, as in `"10.0.0.0/8".parse()?`. What
    /// came by a unix socket is trusted when any network is.
    #[must_use]
    pub fn trust(mut self, network: Network) -> Self {
        self.trusted = match self.trusted {
            Trusted::Everyone => Trusted::Everyone,
            Trusted::These { networks, .. } => Trusted::These {
                networks: networks.iter().copied().chain([network]).collect(),
                unix: true,
            },
        };
        self
    }

    /// Takes ids from whoever comes by a unix socket, and from nobody else.
    #[must_use]
    pub fn trust_unix(mut self) -> Self {
        if let Trusted::These { unix, .. } = &mut self.trusted {
            *unix = true;
        }
        self
    }

    /// Takes safe ids from everyone: then clients choose what the log says.
    #[must_use]
    pub fn trust_everyone(mut self) -> Self {
        self.trusted = Trusted::Everyone;
        self
    }

    fn id_of(&self, request: &Request) -> RequestId {
        let mut given = request.headers().get_all(&self.header).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_safe(id.as_bytes()) && self.trusted.trusts(request) => {
                RequestId(id.clone())
            }
            _ => RequestId::new(),
        }
    }
}

impl<A: App> App for SetRequestId<A> {
    async fn call(&self, mut request: Request) -> Response {
        let id = self.id_of(&request);
        request.headers_mut().insert(&self.header, id.0.clone());
        request.extensions_mut().insert(id.clone());
        let mut response = self.app.call(request).await;
        response
            .headers_mut()
            .entry(&self.header)
            .or_insert_with(|| id.0.clone());
        response.extensions_mut().insert(id);
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline
            .role(Role::REQUEST_ID)
            .option("header", &self.header);
        match &self.trusted {
            Trusted::Everyone => drop(outline.option("trusts", "everyone")),
            Trusted::These { networks, unix } => {
                for network in networks.iter() {
                    outline.option("trusts", network);
                }
                if *unix && networks.is_empty() {
                    outline.option("trusts", "unix");
                }
            }
        }
        outline.wraps(&self.app);
    }
}

impl Trusted {
    fn trusts(&self, request: &Request) -> bool {
        match (self, Peer::of(request).map(Peer::address)) {
            (Self::Everyone, _) => true,
            (Self::These { networks, .. }, Some(Address::Tcp(address))) => networks
                .iter()
                .any(|network| network.contains(address.ip())),
            (Self::These { unix, .. }, Some(_)) => *unix,
            (Self::These { .. }, None) => false,
        }
    }
}

/// The id of a request; a value that [`SetRequestId`] stores in the request and the response.
#[doc(alias("x-request-id", "request id", "correlation id"))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new id.
    ///
    /// ```
    /// use vestibule_logging::RequestId;
    ///
    /// assert_ne!(RequestId::new(), RequestId::new());
    /// assert_eq!(RequestId::new().as_str().len(), 36);
    /// ```
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "no id is a default: each is new"
    )]
    pub fn new() -> Self {
        let text = Uuid::now().to_bytes();
        // Digits and hyphens.
        Self(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-")))
    }

    /// Returns the id that [`SetRequestId`] gave a request or response.
    ///
    /// `source` is a message of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<&Self> {
        source.extensions().get()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // A safe id is ASCII, and so is one of ours.
        self.0.to_str().unwrap_or("-")
    }

    pub(crate) const fn value(&self) -> &HeaderValue {
        &self.0
    }
}

/// Whether an id can stand in a log, in a URL and in a page as it is.
fn is_safe(id: &[u8]) -> bool {
    let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
    (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(is_known)
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_ids() {
        let longest = "a".repeat(MAX_BYTES);
        for id in ["1", "a-B_3.4:5+6/7=8@9", &longest] {
            assert!(is_safe(id.as_bytes()), "{id}");
        }
        let too_long = "a".repeat(5_000);
        for id in [
            "", " ", "a b", "<b>", "a\"", "\u{e9}", "a\x1b", "a%0d", &too_long,
        ] {
            assert!(!is_safe(id.as_bytes()), "{id}");
        }
    }

    #[tokio::test]
    async fn an_id_that_the_app_sets_is_kept() {
        for own in [None, Some("from-the-app")] {
            let app = SetRequestId::new(move |_: Request| async move {
                let mut response = Response::default();
                if let Some(own) = own {
                    let own = HeaderValue::from_static(own);
                    response.headers_mut().insert(X_REQUEST_ID, own);
                }
                response
            });
            let response = app.call(Request::default()).await;
            let id = RequestId::of(&response).unwrap().as_str().to_owned();
            let ids = response.headers().get_all(X_REQUEST_ID);
            assert!(ids.iter().eq([own.unwrap_or(&id)]), "{own:?}");
            assert_eq!(id.len(), 36, "the log has the server's own");
        }
    }

    async fn id(app: &impl App, peer: &str, given: &[&'static str]) -> (String, String) {
        let mut request = Request::default();
        let address = Address::Tcp(peer.parse().unwrap());
        request
            .extensions_mut()
            .insert(Peer::new(address.clone(), address));
        for id in given {
            request
                .headers_mut()
                .append(X_REQUEST_ID, HeaderValue::from_static(id));
        }
        let response = app.call(request).await;
        assert_eq!(response.headers().get_all(X_REQUEST_ID).iter().count(), 1);
        let echoed = response.headers()[X_REQUEST_ID]
            .to_str()
            .unwrap()
            .to_owned();
        let body = response.into_body().collect(9_999).await.unwrap();
        (echoed, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn only_trusted_clients_choose() {
        let app = SetRequestId::new(|request: Request| async move {
            let forwarded = request.headers()[X_REQUEST_ID].clone();
            assert_eq!(forwarded, RequestId::of(&request).unwrap().0);
            forwarded.to_str().unwrap().to_owned()
        });
        let app = app.trust("10.0.0.0/8".parse().unwrap());
        let (proxy, client) = ("10.1.1.1:1", "192.0.2.1:1");
        assert_eq!(
            id(&app, proxy, &["abc"]).await,
            ("abc".into(), "abc".into())
        );
        for (peer, given) in [
            (client, &["abc"][..]),
            (proxy, &["a b"]),
            (proxy, &["a", "b"]),
            (proxy, &[]),
        ] {
            let (echoed, seen) = id(&app, peer, given).await;
            assert_eq!(echoed.len(), 36, "{given:?}");
            assert_eq!(echoed, seen);
        }
    }
}
