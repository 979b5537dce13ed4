//! Where the server listens, and what is spoken there.

use vestibule::hyper::Tls;
use vestibule_cli::common::{interfaces, web_addresses};
use vestibule_core::Address;
use vestibule_hyper::Bind;

use super::args::Args;

/// The sockets that were handed down, or those of the options; behind them the one from which visitors
/// are sent on to https. A worker gets all of them from its supervisor.
pub(crate) fn places(args: &Args, inherited: Vec<(String, Bind)>) -> Vec<Bind> {
    let mut places: Vec<Bind> = inherited.into_iter().map(|(_, bind)| bind).collect();
    if args.workers.as_worker.is_some() {
        return places;
    }
    if places.is_empty() {
        let bind = |place: String| match args.socket_mode {
            Some(mode) => Bind::from(place).mode(mode),
            None => Bind::from(place),
        };
        places.extend(args.listening.places().into_iter().map(bind));
    }
    let redirects = args.https.redirect_https.iter();
    places.extend(redirects.map(|place| Bind::from(&**place)));
    Bind::beside_each_other(places)
}

/// Speaks TLS at all places but the one that only sends visitors on.
pub(crate) fn encrypted(args: &Args, places: Vec<Bind>, tls: Option<Tls>) -> Vec<Bind> {
    let Some(tls) = tls else {
        return places;
    };
    let count = https_places(args, places.len());
    let speak = |(at, place): (usize, Bind)| match at < count {
        true => place.tls(tls.clone()),
        false => place,
    };
    places.into_iter().enumerate().map(speak).collect()
}

/// Addresses as browsers take them.
pub(crate) fn shown<'a>(args: &Args, addresses: impl Iterator<Item = &'a Address>) -> Vec<String> {
    let addresses: Vec<_> = addresses.collect();
    let count = https_places(args, addresses.len());
    let interfaces = interfaces();
    let show = |(at, address): (usize, &&Address)| web_addresses(address, at < count, &interfaces);
    addresses.iter().enumerate().flat_map(show).collect()
}

/// The port to which visitors are sent on.
pub(crate) fn https_port(args: &Args) -> Option<u16> {
    args.https.redirect_https.as_ref()?;
    let port = |place: &String| place.rsplit_once(':')?.1.parse().ok();
    let places = args.listening.places();
    let mut ports = places.iter().filter_map(port);
    let port = ports.find(|port| *port > 0).unwrap_or(443);
    Some(args.https.https_port.unwrap_or(port))
}

/// Of so many places, the first ones are https.
fn https_places(args: &Args, count: usize) -> usize {
    match args.https.tls.is_empty() {
        true => 0,
        false => count - usize::from(args.https.redirect_https.is_some()).min(count),
    }
}
