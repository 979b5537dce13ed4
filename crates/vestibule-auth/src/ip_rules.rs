//! Who may come at all, by the address of the connection.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use http::StatusCode;
use vestibule_core::{App, Failure, FailureKind, Network, Outline, Peer, Request, Response, Role};

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
#[doc(alias("allowlist", "whitelist", "blocklist", "denylist", "cidr"))]
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
