//! axum's own extensions. This is the only file that knows axum.

use std::any::TypeId;

use axum::extract::OriginalUri;
use http::{Extensions, Uri};

#[cfg(not(target_family = "wasm"))]
pub(crate) use client::{connect_info_from_peer, peer_from_connect_info};

/// Whether `B` is the body of axum in the version that is read here.
pub(crate) fn is_body<B: 'static>() -> bool {
    TypeId::of::<B>() == TypeId::of::<axum::body::Body>()
}

/// wasm32 has no sockets, so no client has an address, and axum no `ConnectInfo`.
#[cfg(target_family = "wasm")]
pub(crate) const fn peer_from_connect_info(_: &mut Extensions) -> bool {
    false
}

/// There is no `ConnectInfo` to store.
#[cfg(target_family = "wasm")]
pub(crate) const fn connect_info_from_peer(_: &mut Extensions) {}

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

/// Who connects.
#[cfg(not(target_family = "wasm"))]
mod client {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use axum::extract::ConnectInfo;
    use http::Extensions;
    use vestibule_core::{Address, Peer};

    /// Stores the client that axum knows as a [`Peer`], and returns whether it knows one. axum does not say
    /// to which of our addresses the connection came: it is `0.0.0.0:0` or `[::]:0`.
    pub(crate) fn peer_from_connect_info(extensions: &mut Extensions) -> bool {
        let Some(&ConnectInfo(client)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
            return false;
        };
        let any: IpAddr = match client {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = SocketAddr::new(any, 0);
        extensions.insert(Peer::new(client.into(), local.into()));
        true
    }

    /// Stores the [`Peer`] as axum knows clients, where axum does not know one.
    pub(crate) fn connect_info_from_peer(extensions: &mut Extensions) {
        let client = match extensions.get::<Peer>().map(Peer::address) {
            Some(Address::Tcp(client)) => *client,
            _ => return,
        };
        if extensions.get::<ConnectInfo<SocketAddr>>().is_none() {
            extensions.insert(ConnectInfo(client));
        }
    }
}
