//! Who may come at all, by the address of the connection.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::StatusCode;
use vestibule_core::{App, Failure, FailureKind, Outline, Peer, Request, Response, Role};

use crate::authenticate::answer;

/// Lets connections in by rules, the first of which that matches decides; 403 to the rest.
///
/// With a rule that allows, what matches no rule is refused; with rules that deny only, it is let
/// in. The address is that of the connection, never one that a header claims. A connection without
/// one (a unix socket, an adapter that knows none) is refused, unless it is told otherwise.
///
/// ```
/// use vestibule_auth::IpRules;
/// use vestibule_core::{Address, App, Peer, Request};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let app = IpRules::new(|_: Request| async { "in" })
///     .deny("10.0.0.13".parse().unwrap())
///     .allow("10.0.0.0/8".parse().unwrap());
///
/// let from = |ip: &str| {
///     let peer = Address::Tcp(format!("{ip}:1").parse().unwrap());
///     let mut request = Request::default();
///     request.extensions_mut().insert(Peer::new(peer.clone(), peer));
///     app.call(request)
/// };
/// assert_eq!(from("10.1.2.3").await.status(), 200);
/// assert_eq!(from("10.0.0.13").await.status(), 403);
/// assert_eq!(from("192.0.2.1").await.status(), 403);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct IpRules<A> {
    app: A,
    rules: Vec<(Network, bool)>,
    allows_unknown: bool,
    address: fn(&Request) -> Option<IpAddr>,
}

impl<A: App> IpRules<A> {
    /// Wraps `app`; without rules everyone with an address is let in.
    pub fn new(app: A) -> Self {
        Self {
            app,
            rules: Vec::new(),
            allows_unknown: false,
            address,
        }
    }

    /// Lets a network in.
    #[must_use]
    pub fn allow(mut self, network: Network) -> Self {
        self.rules.push((network, true));
        self
    }

    /// Keeps a network out.
    #[must_use]
    pub fn deny(mut self, network: Network) -> Self {
        self.rules.push((network, false));
        self
    }

    /// Lets connections without an address in, as those of unix sockets.
    #[must_use]
    pub fn allow_unknown(mut self) -> Self {
        self.allows_unknown = true;
        self
    }

    /// How the client's address is found, where it is not that of the connection: behind a proxy.
    #[must_use]
    pub fn address(mut self, address: fn(&Request) -> Option<IpAddr>) -> Self {
        self.address = address;
        self
    }
}

impl<A: App> App for IpRules<A> {
    async fn call(&self, request: Request) -> Response {
        let address = (self.address)(&request);
        if !is_allowed(&self.rules, address, self.allows_unknown) {
            let failure = Failure::new(Refused(address))
                .kind(FailureKind::Request)
                .status(StatusCode::FORBIDDEN)
                .layer("IpRules");
            return answer(request.method(), &[], failure);
        }
        self.app.call(request).await
    }

    fn describe(&self, outline: &mut Outline) {
        outline.role(Role::AUTH);
        for (network, is_allowed) in &self.rules {
            outline.option(if *is_allowed { "allow" } else { "deny" }, network);
        }
        outline.wraps(&self.app);
    }
}

/// An IP network: an address, or one and the length of its prefix, as in `2001:db8::/32`.
///
/// ```
/// use vestibule_auth::Network;
///
/// let network: Network = "192.0.2.0/24".parse().unwrap();
/// assert!(network.contains("192.0.2.7".parse().unwrap()));
/// assert!(network.contains("::ffff:192.0.2.7".parse().unwrap()));
/// assert!("192.0.2.7/24".parse::<Network>().is_err()); // it has bits beyond its prefix
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Whether `address` is in it. An IPv4 address in an IPv6 one is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.length);
                let differ = u32::from(own) ^ u32::from(other);
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.length);
                let differ = u128::from(own) ^ u128::from(other);
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map_err(|_| InvalidNetwork)?
            }
            Some(_) => return Err(InvalidNetwork),
            None => bits,
        };
        let is_base = match address {
            _ if length > bits => false,
            IpAddr::V4(it) => u32::from(it).checked_shl(length.into()).unwrap_or(0) == 0,
            IpAddr::V6(it) => u128::from(it).checked_shl(length.into()).unwrap_or(0) == 0,
        };
        match is_base {
            true => Ok(Self { address, length }),
            false => Err(InvalidNetwork),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// It is no network: no address, a prefix that is too long, or bits beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNetwork;

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network is an address, or its first one and a prefix: `192.0.2.0/24`")
    }
}

impl Error for InvalidNetwork {}

/// An address that is not let in; the cause of a 403, for the log.
#[derive(Debug)]
struct Refused(Option<IpAddr>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address} is not let in"),
            None => f.write_str("a connection without an address is not let in"),
        }
    }
}

impl Error for Refused {}

fn is_allowed(rules: &[(Network, bool)], address: Option<IpAddr>, allows_unknown: bool) -> bool {
    let Some(address) = address else {
        return allows_unknown;
    };
    let first = rules.iter().find(|(network, _)| network.contains(address));
    match first {
        Some((_, is_allowed)) => *is_allowed,
        None => !rules.iter().any(|(_, is_allowed)| *is_allowed),
    }
}

fn address(request: &Request) -> Option<IpAddr> {
    Peer::of(request)?.address().ip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let good = [
            ("0.0.0.0/0", "255.255.255.255", true),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("192.0.2.128/25", "::ffff:192.0.2.129", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("2001:db8::/33", "2001:db8:7fff::", true),
        ];
        for (network, address, is_in) in good {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                is_in,
                "{network} {address}"
            );
        }
        for text in [
            "",
            "/8",
            "192.0.2.0/33",
            "192.0.2.0/+8",
            "192.0.2.0/",
            "10.0.0.1/8",
            "::1/127",
            "a/8",
            "10/8",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = |text: &str| -> Vec<(Network, bool)> {
            let rules = text.split_ascii_whitespace();
            rules
                .map(|it| (it[1..].parse().unwrap(), it.starts_with('+')))
                .collect()
        };
        let cases = [
            ("", "192.0.2.1", true),
            ("-192.0.2.1", "192.0.2.1", false),
            ("-192.0.2.1", "192.0.2.2", true),
            ("+192.0.2.0/24 -192.0.2.1", "192.0.2.1", true),
            ("-192.0.2.1 +192.0.2.0/24", "192.0.2.1", false),
            ("+192.0.2.0/24", "198.51.100.1", false),
        ];
        for (text, address, expected) in cases {
            let address = Some(address.parse().unwrap());
            assert_eq!(is_allowed(&rules(text), address, true), expected, "{text}");
        }
        assert!(!is_allowed(&[], None, false));
        assert!(is_allowed(&[], None, true));
    }
}
