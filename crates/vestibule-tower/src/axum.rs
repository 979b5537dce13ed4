//! axum's own extensions. This is the only file that knows axum.

use std::any::TypeId;

use axum::extract::{NestedPath, OriginalUri};
use http::{Extensions, Uri};

#[cfg(not(target_family = "wasm"))]
pub(crate) use client::{connect_info_from_peer, peer_from_connect_info};

/// Whether `B` is the body of axum in the version that is read here.
pub(crate) fn is_body<B: 'static>() -> bool {
    TypeId::of::<B>() == TypeId::of::<axum::body::Body>()
}

/// wasm32 has no sockets, so no client has an address, and axum no `ConnectInfo`.
#[cfg(target_family = "wasm")]
pub(crate) fn peer_from_connect_info(extensions: &mut Extensions) -> bool {
    extensions.get::<vestibule_core::Peer>().is_some()
}

/// There is no `ConnectInfo` to store.
#[cfg(target_family = "wasm")]
pub(crate) const fn connect_info_from_peer(_: &mut Extensions) {}

/// The pattern of all prefixes that axum's routers have removed: `/api` or `/api/{tenant}`, or nothing.
pub(crate) fn nested_path(extensions: &Extensions) -> &str {
    extensions.get().map_or("", NestedPath::as_str)
}

/// The URI before axum's routers removed prefixes.
pub(crate) fn original_uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get::<OriginalUri>().map(|original| &original.0)
}

/// Says what the URI was before a prefix was removed, unless axum knows it.
pub(crate) fn set_original_uri(extensions: &mut Extensions, uri: &Uri) {
    if original_uri(extensions).is_none() {
        extensions.insert(OriginalUri(uri.clone()));
    }
}

/// The client. A middleware of either side may change it: it was the last that knew better, so each
/// crossing copies the one to the other.
#[cfg(not(target_family = "wasm"))]
mod client {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use axum::extract::ConnectInfo;
    use axum::extract::connect_info::MockConnectInfo;
    use http::Extensions;
    use vestibule_core::{Address, Peer};

    /// Stores the client that axum knows as a [`Peer`], and returns whether there is one now. axum does
    /// not say to which of our addresses the connection came: it is `0.0.0.0:0` or `[::]:0`, unless a
    /// peer was there.
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

    /// Stores the [`Peer`] as axum knows clients.
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
