//! What the user sees first.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use vestibule::Address;

/// What is served, where, and by which stack.
pub(crate) fn welcome(directory: &Path, addresses: &[String], outline: &str, ink: Ink) -> String {
    let (bold, dim, plain) = ink.codes();
    let directory = directory.display().to_string();
    // Windows writes a whole path with a prefix that no user types.
    let directory = directory.strip_prefix(r"\\?\").unwrap_or(&directory);
    let at = addresses.join("\n     at ");
    format!("{bold}Serving {directory}\n     at {at}{plain}\n\n{dim}{outline}{plain}\n")
}

/// An address as browsers take it; a unix socket as `curl --unix-socket` takes it. A server that listens on all interfaces
/// has an address on each of them: loopback comes first.
pub fn web_addresses(address: &Address, is_https: bool, interfaces: &[IpAddr]) -> Vec<String> {
    let Address::Tcp(address) = address else {
        return vec![address.to_string()];
    };
    let scheme = if is_https { "https" } else { "http" };
    let url = |ip: IpAddr| format!("{scheme}://{}/", SocketAddr::new(ip, address.port()));
    match address.ip() {
        ip if !ip.is_unspecified() => vec![format!("{scheme}://{address}/")],
        IpAddr::V4(_) => {
            let others = interfaces.iter().filter(|ip| ip.is_ipv4());
            [Ipv4Addr::LOCALHOST.into()]
                .iter()
                .chain(others)
                .map(|&ip| url(ip))
                .collect()
        }
        // A socket for IPv6 takes IPv4 too, unless a setting of the system forbids it.
        IpAddr::V6(_) => [Ipv4Addr::LOCALHOST.into()]
            .iter()
            .chain(interfaces)
            .map(|&ip| url(ip))
            .collect(),
    }
}

/// The URLs of all places of a server, each once. `[::]` beside an IPv4 address of the same port takes IPv6 alone.
pub(crate) fn all_web_addresses(
    addresses: &[&Address],
    is_https: impl Fn(usize) -> bool,
    interfaces: &[IpAddr],
) -> Vec<String> {
    let v4_ports: Vec<_> = addresses.iter().filter_map(|it| v4_port(it)).collect();
    let v6_interfaces: Vec<_> = [Ipv6Addr::LOCALHOST.into()]
        .into_iter()
        .chain(interfaces.iter().copied().filter(IpAddr::is_ipv6))
        .collect();
    let mut urls = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        let new = match address {
            Address::Tcp(all)
                if all.ip() == Ipv6Addr::UNSPECIFIED && v4_ports.contains(&all.port()) =>
            {
                let of = |ip: &IpAddr| Address::Tcp(SocketAddr::new(*ip, all.port()));
                let each = v6_interfaces.iter().map(of);
                each.flat_map(|it| web_addresses(&it, is_https(at), interfaces))
                    .collect()
            }
            _ => web_addresses(address, is_https(at), interfaces),
        };
        urls.extend(new);
    }
    let mut seen = HashSet::new();
    urls.retain(|url| seen.insert(url.clone()));
    urls
}

fn v4_port(address: &Address) -> Option<u16> {
    match address {
        Address::Tcp(address) if address.is_ipv4() => Some(address.port()),
        _ => None,
    }
}

/// The addresses by which other machines reach this one, IPv4 first. A system that does not tell has none.
#[must_use]
pub fn interfaces() -> Vec<IpAddr> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<_> = all.iter().map(|interface| interface.ip()).collect();
    addresses.retain(is_reachable);
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Whether a browser elsewhere can ask for the address. A link-local one needs the name of an interface, which URLs cannot
/// have in a browser (WHATWG URL, section 3.5).
fn is_reachable(ip: &IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || is_link_local)
}

/// The first of these URLs that another device can open.
pub(crate) fn first_on_the_network(addresses: &[String]) -> Option<&String> {
    let is_local = |url: &str| {
        let host = url.split("://").nth(1).unwrap_or_default();
        let address = host.trim_end_matches('/').parse::<SocketAddr>();
        address.map_or(true, |address| !is_reachable(&address.ip()))
    };
    addresses.iter().find(|url| !is_local(url))
}

/// The squares that a phone's camera reads, two of them above each other in each character.
pub(crate) fn qr(url: &str) -> Option<String> {
    use qrcode::render::unicode::Dense1x2;
    let code = qrcode::QrCode::new(url).ok()?;
    // Light squares get the colour of the text, which is light in most terminals; cameras read the other kind too.
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Some(image)
}

/// Whether there is colour.
#[derive(Clone, Copy, Debug)]
pub enum Ink {
    /// On a terminal.
    Colour,
    /// Where nobody looks.
    Plain,
}

impl Ink {
    /// For standard error.
    #[must_use]
    pub fn of_stderr() -> Self {
        match crate::wants_colour(&io::stderr()) {
            true => Self::Colour,
            false => Self::Plain,
        }
    }

    /// Bold, dim, and neither.
    #[must_use]
    pub const fn codes(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Colour => ("\x1b[1m", "\x1b[2m", "\x1b[0m"),
            Self::Plain => ("", "", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_is_plain_where_nobody_looks() {
        let addresses = ["http://127.0.0.1:1/".to_owned(), "unix:/x".to_owned()];
        let text = welcome(Path::new("/srv"), &addresses, "Log\n", Ink::Plain);
        let plain = "Serving /srv\n     at http://127.0.0.1:1/\n     at unix:/x\n\nLog\n\n";
        assert_eq!(text, plain);
        let text = welcome(Path::new(r"\\?\C:\site"), &[], "", Ink::Plain);
        assert!(text.starts_with("Serving C:\\site\n"), "{text}");
        let text = welcome(Path::new("/srv"), &addresses, "Log\n", Ink::Colour);
        assert_eq!(text.matches("\x1b[0m").count(), 2);
    }

    #[test]
    fn all_interfaces_are_named() {
        let interfaces: Vec<IpAddr> = ["192.0.2.7", "198.51.100.1", "2001:db8::7"]
            .map(|ip| ip.parse().unwrap())
            .into();
        let cases: [(&str, bool, &[&str]); 7] = [
            ("127.0.0.1:80", false, &["http://127.0.0.1:80/"]),
            ("192.0.2.7:80", true, &["https://192.0.2.7:80/"]),
            ("[::1]:80", false, &["http://[::1]:80/"]),
            ("[fe80::1%2]:80", false, &["http://[fe80::1%2]:80/"]),
            (
                "0.0.0.0:8",
                false,
                &[
                    "http://127.0.0.1:8/",
                    "http://192.0.2.7:8/",
                    "http://198.51.100.1:8/",
                ],
            ),
            (
                "[::]:443",
                true,
                &[
                    "https://127.0.0.1:443/",
                    "https://192.0.2.7:443/",
                    "https://198.51.100.1:443/",
                    "https://[2001:db8::7]:443/",
                ],
            ),
            ("[2001:db8::7]:1", false, &["http://[2001:db8::7]:1/"]),
        ];
        for (address, is_https, want) in cases {
            let tcp = Address::Tcp(address.parse().unwrap());
            assert_eq!(
                web_addresses(&tcp, is_https, &interfaces),
                want,
                "{address}"
            );
        }
        let tcp = Address::Tcp("0.0.0.0:8".parse().unwrap());
        assert_eq!(web_addresses(&tcp, false, &[]), ["http://127.0.0.1:8/"]);
    }

    #[test]
    fn addresses_for_other_devices() {
        let cases = [
            ("192.0.2.7", true),
            ("10.0.0.1", true),
            // An address without DHCP, by which a neighbour on the cable does reach it.
            ("169.254.3.4", true),
            ("2001:db8::7", true),
            ("fd00::7", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("::1", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
        ];
        for (ip, expected) in cases {
            assert_eq!(is_reachable(&ip.parse().unwrap()), expected, "{ip}");
        }
        let urls =
            ["unix:/x", "http://127.0.0.1:8/", "https://[2001:db8::7]:8/"].map(str::to_owned);
        assert_eq!(first_on_the_network(&urls), Some(&urls[2]));
        assert_eq!(first_on_the_network(&urls[..2]), None);
    }

    #[test]
    fn a_code_is_drawn() {
        let code = qr("http://192.0.2.7:8080/").unwrap();
        // The quiet zone around it is light.
        assert!(
            code.lines().count() > 10 && code.starts_with("████"),
            "{code}"
        );
    }
}
