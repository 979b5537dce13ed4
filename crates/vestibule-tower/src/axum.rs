//! axum's own extensions. All code that depends on axum is in this file.

use std::any::TypeId;

use axum::extract::{NestedPath, OriginalUri};
use http::{Extensions, Uri};

#[cfg(not(target_family = "wasm"))]
pub(crate) use client::{connect_info_from_peer, peer_from_connect_info};

/// Returns whether `B` is the body type of the axum version that this crate uses.
pub(crate) fn is_body<B: 'static>() -> bool {
    TypeId::of::<B>() == TypeId::of::<axum::body::Body>()
}

/// wasm32 has no sockets, so clients have no address there, and axum has no `ConnectInfo`.
#[cfg(target_family = "wasm")]
pub(crate) fn peer_from_connect_info(extensions: &mut Extensions) -> bool {
    extensions.get::<vestibule_core::Peer>().is_some()
}

/// Does nothing, since there is no `ConnectInfo`.
#[cfg(target_family = "wasm")]
pub(crate) const fn connect_info_from_peer(_: &mut Extensions) {}

/// Returns the pattern of all prefixes that axum's routers have removed: `/api`, `/api/{tenant}`,
/// or an empty string.
pub(crate) fn nested_path(extensions: &Extensions) -> &str {
    extensions.get().map_or("", NestedPath::as_str)
}

/// Returns the URI before axum's routers removed prefixes.
pub(crate) fn original_uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get::<OriginalUri>().map(|original| &original.0)
}

/// Stores the URI before a prefix was removed, unless axum has stored it.
pub(crate) fn set_original_uri(extensions: &mut Extensions, uri: &Uri) {
    if original_uri(extensions).is_none() {
        extensions.insert(OriginalUri(uri.clone()));
    }
}

/// The address of the client. Middleware on either side may change it, and the last change is
/// valid. So each crossing copies it from one side to the other.
#[cfg(not(target_family = "wasm"))]
mod client {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use axum::extract::ConnectInfo;
    use axum::extract::connect_info::MockConnectInfo;
    use http::Extensions;
    use vestibule_core::{Address, Peer};

    /// Stores the client address of axum as a [`Peer`], and returns whether a `Peer` exists now.
    /// axum does not report the local address of the connection. It is `0.0.0.0:0` or `[::]:0`,
    /// unless a `Peer` was present.
    pub(crate) fn peer_from_connect_info(extensions: &mut Extensions) -> bool {
        let known = extensions.get::<Peer>();
        let client = match (extensions.get::<ConnectInfo<SocketAddr>>(), known) {
            (Some(info), _) => info.0,
            (None, Some(_)) => return true,
            (None, None) => match extensions.get::<MockConnectInfo<SocketAddr>>() {
                Some(info) => info.0,
                None => return false,
            },
        };
        let client = Address::from(client);
        let local = match known {
            Some(peer) if *peer.address() == client => return true,
            Some(peer) => peer.local().clone(),
            None => unspecified(&client),
        };
        extensions.insert(Peer::new(client, local));
        true
    }

    fn unspecified(client: &Address) -> Address {
        let any: IpAddr = match client.ip() {
            Some(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(any, 0).into()
    }

    /// Stores the address of the [`Peer`] in axum's `ConnectInfo`.
    pub(crate) fn connect_info_from_peer(extensions: &mut Extensions) {
        let client = match extensions.get::<Peer>().map(Peer::address) {
            Some(Address::Tcp(client)) => *client,
            _ => return,
        };
        let known = extensions.get::<ConnectInfo<SocketAddr>>();
        if known.is_none_or(|info| info.0 != client) {
            extensions.insert(ConnectInfo(client));
        }
    }
}
