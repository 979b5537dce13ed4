//! The parts of X.509 certificates and CRLs that this server reports: names, dates, the kind of signature.
//!
//! rustls checks certificates; nothing here decides whether one is trusted. A reader of its own, since a crate for all of
//! X.509 brings twenty others, among them macros.
//!
//! Source: RFC 5280, section 4.1 (certificates), 4.2.1.6 (subject alternative names) and 5.1 (CRLs); RFC 4514 (names as
//! text).

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use vestibule_pem::Der;

use super::AltName;

/// A certificate, as far as it is read.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    /// DER of the issuer's name.
    pub(super) issuer: &'a [u8],
    /// DER of the subject's name.
    pub(super) subject: &'a [u8],
    /// Seconds since 1970.
    pub(super) not_before: i64,
    /// Seconds since 1970.
    pub(super) not_after: i64,
    /// DER of the `SubjectPublicKeyInfo`.
    pub(super) public_key: &'a [u8],
    /// The object identifier of the signature's algorithm.
    signature: &'a [u8],
    pub(super) alt_names: Vec<AltName>,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate, or returns `None` when it is not one.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Der::new(der);
        let mut certificate = outer.inside(SEQUENCE)?;
        let mut signed = certificate.inside(SEQUENCE)?;
        // The version: 1, where it is left out.
        let _ = signed.value(0xa0);
        let _serial = signed.value(INTEGER)?;
        let signature = signed.inside(SEQUENCE)?.value(OID)?;
        let issuer = sequence(&mut signed)?;
        let mut validity = signed.inside(SEQUENCE)?;
        let not_before = time(&mut validity)?;
        let not_after = time(&mut validity)?;
        let subject = sequence(&mut signed)?;
        let public_key = sequence(&mut signed)?;
        // Unique identifiers, which version 2 had.
        let _ = signed.value(0x81);
        let _ = signed.value(0x82);
        let alt_names = match signed.inside(0xa3) {
            Some(mut extensions) => alt_names(extensions.inside(SEQUENCE)?)?,
            None => Vec::new(),
        };
        outer.is_empty().then_some(Self {
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            signature,
            alt_names,
        })
    }

    pub(super) fn is_self_signed(&self) -> bool {
        self.issuer == self.subject
    }

    /// Whether the signature is by SHA-1 or MD5, which clients do not accept any more.
    pub(super) fn has_weak_signature(&self) -> bool {
        WEAK_SIGNATURES.contains(&self.signature)
    }

    /// Whether a client that asks for `host` accepts the name. `host` may begin with `*.`, for all names below.
    ///
    /// Source: RFC 9525, section 6.3.
    pub(super) fn is_for(&self, host: &str) -> bool {
        self.alt_names.iter().any(|name| {
            let AltName::Dns(name) = name else {
                return false;
            };
            let name = name.to_ascii_lowercase();
            let parent = host.split_once('.').map(|(_, parent)| parent);
            name == host || (name.strip_prefix("*.").is_some() && name.strip_prefix("*.") == parent)
        })
    }

    /// Whether it names a host or an address.
    pub(super) fn has_hosts(&self) -> bool {
        let is_host = |name: &AltName| matches!(name, AltName::Dns(_) | AltName::Ip(_));
        self.alt_names.iter().any(is_host)
    }
}

/// When the next CRL is due, in seconds since 1970: `Some(None)` when the list does not say, `None` when it is not a CRL.
pub(super) fn next_update(crl: &[u8]) -> Option<Option<i64>> {
    let mut outer = Der::new(crl);
    let mut list = outer.inside(SEQUENCE)?;
    let mut signed = list.inside(SEQUENCE)?;
    let _version = signed.value(INTEGER);
    signed.inside(SEQUENCE)?;
    sequence(&mut signed)?;
    time(&mut signed)?;
    outer.is_empty().then(|| time(&mut signed))
}

/// Writes a name as RFC 4514 has it, the last part first: `CN=alice,O=Example`.
///
/// Types that the RFC does not list are numbers with their DER, except for three that OpenSSL and nginx name too.
pub(super) fn name_text(name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sequence = Der::new(name).inside(SEQUENCE)?;
    while !sequence.is_empty() {
        let mut set = sequence.inside(SET)?;
        let mut part = String::new();
        while !set.is_empty() {
            let mut attribute = set.inside(SEQUENCE)?;
            let kind = attribute.value(OID)?;
            let value = attribute.whole()?;
            if !part.is_empty() {
                part.push('+');
            }
            let known = ATTRIBUTES.iter().find(|(oid, _)| *oid == kind);
            match known.zip(string(value)) {
                Some(((_, name), text)) => {
                    part.push_str(name);
                    part.push('=');
                    escape(&text, &mut part);
                }
                None => {
                    part.push_str(&dotted(kind));
                    part.push_str("=#");
                    for byte in value {
                        // Writing to a string cannot fail.
                        let _ = write!(part, "{byte:02x}");
                    }
                }
            }
        }
        parts.push(part);
    }
    parts.reverse();
    Some(parts.join(","))
}

/// RFC 4514, section 2.4.
fn escape(text: &str, out: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (at, char) in text.chars().enumerate() {
        let is_at_edge = (at == 0 && matches!(char, ' ' | '#')) || (at == last && char == ' ');
        if char.is_control() {
            for byte in char.to_string().bytes() {
                let _ = write!(out, "\\{byte:02X}");
            }
            continue;
        }
        if is_at_edge || ",+\"\\<>;=".contains(char) && char != '=' {
            out.push('\\');
        }
        out.push(char);
    }
}

/// The text of a string value; `None` for other values.
fn string(value: &[u8]) -> Option<String> {
    let (tag, bytes) = Der::new(value).any()?;
    match tag {
        // UTF8String; NumericString, PrintableString and IA5String are ASCII.
        0x0c | 0x12 | 0x13 | 0x16 => String::from_utf8(bytes.to_vec()).ok(),
        // TeletexString: Latin-1 in practice.
        0x14 => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        // BMPString.
        0x1e => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            rest.is_empty().then(|| String::from_utf16(&units).ok())?
        }
        // UniversalString.
        0x1c => {
            let (units, rest) = bytes.as_chunks::<4>();
            let chars = units
                .iter()
                .map(|unit| char::from_u32(u32::from_be_bytes(*unit)));
            rest.is_empty().then(|| chars.collect())?
        }
        _ => None,
    }
}

/// An object identifier as text: `2.5.4.3`.
fn dotted(oid: &[u8]) -> String {
    let mut numbers: Vec<u128> = Vec::new();
    let mut number = 0_u128;
    for byte in oid {
        number = number.wrapping_shl(7) | u128::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    let numbers: Vec<String> = numbers.iter().map(u128::to_string).collect();
    numbers.join(".")
}

/// Reads the subject alternative names among the extensions.
fn alt_names(mut extensions: Der<'_>) -> Option<Vec<AltName>> {
    let mut names = Vec::new();
    while !extensions.is_empty() {
        let mut extension = extensions.inside(SEQUENCE)?;
        let kind = extension.value(OID)?;
        let _is_critical = extension.value(BOOLEAN);
        let mut value = Der::new(extension.value(OCTET_STRING)?);
        if kind != SUBJECT_ALT_NAME {
            continue;
        }
        let mut all = value.inside(SEQUENCE)?;
        while !all.is_empty() {
            let (tag, name) = all.any()?;
            let text = || {
                String::from_utf8(name.to_vec())
                    .ok()
                    .filter(|name| name.is_ascii())
            };
            match tag {
                0x81 => names.extend(text().map(AltName::Email)),
                0x82 => names.extend(text().map(AltName::Dns)),
                0x86 => names.extend(text().map(AltName::Uri)),
                0x87 => names.extend(address(name).map(AltName::Ip)),
                // Names of other systems.
                _ => {}
            }
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|it| Ipv4Addr::from(it).into()),
        16 => <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|it| Ipv6Addr::from(it).into()),
        _ => None,
    }
}

/// Reads a whole SEQUENCE, with its tag.
fn sequence<'a>(der: &mut Der<'a>) -> Option<&'a [u8]> {
    let whole = der.whole()?;
    (whole.first() == Some(&SEQUENCE)).then_some(whole)
}

/// Reads a time: UTCTime until 2049, GeneralizedTime from then on (RFC 5280, section 4.1.2.5).
fn time(der: &mut Der<'_>) -> Option<i64> {
    let (year_digits, text) = match der.value(UTC_TIME) {
        Some(text) => (2, text),
        None => (4, der.value(GENERALIZED_TIME)?),
    };
    let text = text.strip_suffix(b"Z")?;
    if text.len() != year_digits + 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    };
    let (year, rest) = text.split_at(year_digits);
    let year = match (year_digits, number(year)) {
        (2, year @ ..50) => year + 2000,
        (2, year) => year + 1900,
        (_, year) => year,
    };
    let two = |at: usize| number(&rest[at..at + 2]);
    let (month, day) = (two(0), two(2));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(((days(year, month, day) * 24 + two(4)) * 60 + two(6)) * 60 + two(8))
}

/// The days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that a leap day is the last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

const WEAK_SIGNATURES: &[&[u8]] = &[
    // md5WithRSAEncryption and sha1WithRSAEncryption: 1.2.840.113549.1.1.4 and .5
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
    // ecdsa-with-SHA1: 1.2.840.10045.4.1
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
    // dsa-with-sha1: 1.2.840.10040.4.3
    &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03],
];

/// RFC 4514, section 3; then serialNumber, emailAddress, and the names of people.
const ATTRIBUTES: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "street"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 42], "GN"),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
        "emailAddress",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients send certificates, so that every byte may be another one. Each is changed in turn, and the rest cut off.
    #[cfg(feature = "tls-self-signed")]
    #[test]
    fn damaged_certificates_are_read_without_a_panic() {
        let names = ["a.test".to_owned(), "192.0.2.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let whole = made.cert.der().to_vec();
        let read = |der: &[u8]| {
            if let Some(certificate) = Certificate::read(der) {
                let _ = (
                    name_text(certificate.subject),
                    name_text(certificate.issuer),
                );
            }
            let _ = next_update(der);
        };
        assert_eq!(Certificate::read(&whole).unwrap().alt_names.len(), 2);
        for at in 0..whole.len() {
            assert!(Certificate::read(&whole[..at]).is_none());
            let mut changed = whole.clone();
            for byte in 0..=u8::MAX {
                changed[at] = byte;
                read(&changed);
            }
        }
        assert!(Certificate::read(&[&whole[..], &[0]].concat()).is_none());
    }

    #[test]
    fn times_are_seconds() {
        let cases = [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (UTC_TIME, "240229120000Z", Some(1_709_208_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (GENERALIZED_TIME, "20000301000000Z", Some(951_868_800)),
            (UTC_TIME, "7001010000Z", None),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "70010100000xZ", None),
            (SEQUENCE, "700101000000Z", None),
        ];
        for (tag, text, want) in cases {
            let value = [&[tag, text.len() as u8], text.as_bytes()].concat();
            assert_eq!(time(&mut Der::new(&value)), want, "{text}");
        }
    }

    #[test]
    fn rfc4514_2_4_names_are_escaped() {
        let cases = [
            ("alice", "alice"),
            ("a,O=b", "a\\,O=b"),
            (" a ", "\\ a\\ "),
            ("#a#", "\\#a#"),
            ("a+\"\\<>;", "a\\+\\\"\\\\\\<\\>\\;"),
            ("a\r\nb\0", "a\\0D\\0Ab\\00"),
            ("Müller", "Müller"),
            ("", ""),
        ];
        for (text, want) in cases {
            let mut escaped = String::new();
            escape(text, &mut escaped);
            assert_eq!(escaped, want);
        }
    }

    #[test]
    fn numbers_of_types_are_dotted() {
        assert_eq!(dotted(&[0x55, 4, 3]), "2.5.4.3");
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]),
            "1.2.840.113549"
        );
        assert_eq!(dotted(&[0x88, 0x37]), "2.999");
        assert_eq!(dotted(&[]), "");
    }

    #[test]
    fn a_name_fits_its_host() {
        let of = |names: &[&str]| Certificate {
            issuer: &[],
            subject: &[],
            not_before: 0,
            not_after: 0,
            public_key: &[],
            signature: &[],
            alt_names: names
                .iter()
                .map(|it| AltName::Dns((*it).to_owned()))
                .collect(),
        };
        let cases: [(&[&str], &str, bool); 9] = [
            (&["a.test"], "a.test", true),
            (&["A.Test"], "a.test", true),
            (&["b.test", "a.test"], "a.test", true),
            (&["*.test"], "a.test", true),
            (&["*.a.test"], "a.test", false),
            (&["*.a.test"], "b.c.a.test", false),
            (&["*.a.test"], "*.a.test", true),
            (&["b.a.test"], "*.a.test", false),
            (&[], "a.test", false),
        ];
        for (names, host, want) in cases {
            assert_eq!(of(names).is_for(host), want, "{names:?}, {host}");
        }
    }
}
