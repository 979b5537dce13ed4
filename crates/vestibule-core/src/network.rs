//! A range of addresses.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Represents an IP network: one address, or an address with a prefix length such as
/// `2001:db8::/32`.
///
/// ```
/// use vestibule_core::Network;
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
    /// Returns whether the network contains `address`. An IPv4-mapped IPv6 address counts as the
    /// IPv4 address.
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
        // An IPv4-mapped network is stored as IPv4, with 96 bits less in its prefix length.
        let mapped = match address {
            IpAddr::V6(it) if length >= 96 => it.to_ipv4_mapped(),
            _ => None,
        };
        let (address, length, bits) = match mapped {
            Some(it) => (IpAddr::V4(it), length - 96, 32),
            None => (address, length, bits),
        };
        let is_base = match address {
            _ if length > bits => false,
            IpAddr::V4(it) => u32::from(it).checked_shl(length.into()).unwrap_or(0) == 0,
            IpAddr::V6(it) => u128::from(it).checked_shl(length.into()).unwrap_or(0) == 0,
        };
        if is_base {
            Ok(Self { address, length })
        } else {
            Err(InvalidNetwork)
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The error of a text that is not a network: not an address, a prefix that is too long, or bits
/// set after the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNetwork;

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network is an address, or its first one and a prefix: `192.0.2.0/24`")
    }
}

impl Error for InvalidNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_parsed_and_matched() {
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
            ("::ffff:10.0.0.0/104", "10.2.3.4", true),
            ("::ffff:10.0.0.0/104", "11.2.3.4", false),
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
}
