//! How many connections each address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vestibule_core::Address;
use vestibule_socket::Rarely;

/// Counts the connections of each address, so that none has more than `most`.
#[derive(Clone, Debug)]
pub(crate) struct PerAddress {
    most: usize,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: Mutex<HashMap<IpAddr, usize>>,
    log: Rarely,
}

/// One connection of an address; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    key: IpAddr,
    counts: Arc<Counts>,
}

impl PerAddress {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            counts: Arc::default(),
        }
    }

    /// Counts one more, unless the address has its share: that is `None`. Unix sockets have no share.
    pub(crate) fn count(&self, peer: &Address) -> Option<Option<Counted>> {
        let Some(ip) = peer.ip() else {
            return Some(None);
        };
        let key = network(ip);
        let has_place = {
            let mut connections = self.counts.lock();
            let count = connections.entry(key).or_default();
            let has_place = *count < self.most.max(1);
            *count += usize::from(has_place);
            has_place
        };
        if !has_place {
            if let Some(silent) = self.counts.log.line() {
                tracing::info!(
                    target: "vestibule", %peer, silent,
                    "closed a connection: its address has its share of them"
                );
            }
            return None;
        }
        Some(Some(Counted {
            key,
            counts: self.counts.clone(),
        }))
    }
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut connections = self.counts.lock();
        if let Some(count) = connections.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.key);
            }
        }
    }
}

/// What counts as one: an IPv4 address, or 64 bits of an IPv6 one, which is what a single customer has.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(ip: &str) -> Address {
        Address::Tcp((ip.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn each_has_its_share() {
        let per_address = PerAddress::new(2);
        let one = per_address.count(&from("192.0.2.1")).unwrap();
        let _two = per_address.count(&from("::ffff:192.0.2.1")).unwrap();
        assert!(per_address.count(&from("192.0.2.1")).is_none());
        assert!(per_address.count(&from("192.0.2.2")).is_some());
        drop(one);
        assert!(per_address.count(&from("192.0.2.1")).is_some());
        // A unix socket is never too much.
        let unix = Address::Unix(None);
        let many: Vec<_> = (0..9).map(|_| per_address.count(&unix).unwrap()).collect();
        assert!(many.iter().all(Option::is_none));
    }

    #[test]
    fn nothing_stays() {
        let per_address = PerAddress::new(1);
        for n in 0..1000_u32 {
            let ip = IpAddr::V4(n.into()).to_string();
            drop(per_address.count(&from(&ip)));
        }
        assert!(per_address.counts.lock().is_empty());
    }

    #[test]
    fn a_customer_of_ipv6_is_one() {
        let cases = [
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ];
        for (one, other, are_one) in cases {
            let [one, other] = [one, other].map(|ip| network(ip.parse().unwrap()));
            assert_eq!(one == other, are_one, "{one} {other}");
        }
    }
}
