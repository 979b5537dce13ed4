//! Sidecars: `app.js.br`, `app.js.zst` and `app.js.gz` beside `app.js`.
//!
//! Source: RFC 9110 section 12.5.3 (negotiation), RFC 9659 (the window of zstd), RFC 8878 section
//! 3.1.1.1 (its frame header).

use http::HeaderMap;
use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};

/// A content coding that a sidecar may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// All codings, the strongest compression first.
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Returns the name in `Accept-Encoding` and `Content-Encoding`.
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Returns the suffix of a sidecar's name.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// Returns the coding that the suffix of a name means, and the name without it. The case of the
    /// suffix does not matter.
    pub(crate) fn of_name(name: &[u8]) -> Option<(Self, &[u8])> {
        Self::ALL.into_iter().find_map(|coding| {
            let stem = name.len().checked_sub(coding.suffix().len())?;
            let (inner, suffix) = name.split_at_checked(stem)?;
            let is_it = suffix.eq_ignore_ascii_case(coding.suffix().as_bytes());
            let has_name = inner.last().is_some_and(|&byte| byte != b'/');
            (is_it && has_name).then_some((coding, inner))
        })
    }

    /// Returns the coding of a file from its first bytes (RFC 1952, section 2.3.1; RFC 8878,
    /// section 3.1.1). Brotli has no magic number.
    pub(crate) fn of_head(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Some(Self::Gzip),
            _ if head.starts_with(&ZSTD_MAGIC) => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Returns the codings that the client prefers to identity, the best first.
///
/// Identity is the fallback. It is also sent to a client that refuses it when there is no other
/// form: a middleware around this app may still compress it.
pub(crate) fn wanted(headers: &HeaderMap) -> impl Iterator<Item = Coding> {
    let accept = AcceptEncoding::from_headers(headers);
    let mut left = Coding::ALL.to_vec();
    std::iter::from_fn(move || {
        let offered: Vec<_> = left.iter().map(|coding| coding.token()).collect();
        let Choice::Coding(token) = accept.choose(&offered) else {
            return None;
        };
        let place = left.iter().position(|coding| coding.token() == token)?;
        Some(left.remove(place))
    })
}

/// Returns whether browsers accept a zstd file that begins with `head`: its window is at most 8 MB,
/// and it needs no dictionary.
pub(crate) fn is_zstd_for_the_web(head: &[u8]) -> bool {
    window_of_zstd(head).is_some_and(|window| window <= MAX_ZSTD_WINDOW)
}

/// Returns the window of the first frame in bytes; `None` when it is not a plain frame.
fn window_of_zstd(head: &[u8]) -> Option<u64> {
    let rest = head.strip_prefix(&ZSTD_MAGIC)?;
    let (&descriptor, rest) = rest.split_first()?;
    let is_single_segment = descriptor & 0b10_0000 != 0;
    let has_dictionary = descriptor & 0b11 != 0;
    if has_dictionary {
        return None;
    }
    if !is_single_segment {
        let window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 0b111));
    }
    let mut size = [0; 8];
    let (length, more) = match descriptor >> 6 {
        0 => (1, 0),
        1 => (2, 256),
        2 => (4, 0),
        _ => (8, 0),
    };
    size[..length].copy_from_slice(rest.get(..length)?);
    u64::from_le_bytes(size).checked_add(more)
}

/// Number of bytes of a zstd file that [`is_zstd_for_the_web`] reads.
pub(crate) const ZSTD_HEAD: usize = 14;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Maximum window in bytes: RFC 9659, section 3.
const MAX_ZSTD_WINDOW: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("accept-encoding", value.parse().unwrap());
        let found: Vec<_> = wanted(&headers).map(Coding::token).collect();
        found.join(" ")
    }

    #[test]
    fn rfc9110_12_5_3_order() {
        let cases = [
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("*", "br zstd gzip"),
            ("*;q=0.5, gzip", "gzip br zstd"),
            ("gzip;q=1, br;q=0.5", "gzip br"),
            ("br;q=0, *", "zstd gzip"),
            ("gzip;q=0", ""),
            ("identity", ""),
            ("identity;q=1, gzip;q=0.5", ""),
            ("identity;q=0.5, gzip;q=0.7, br;q=0.2", "gzip"),
            ("deflate", ""),
            ("", ""),
        ];
        for (value, want) in cases {
            assert_eq!(ask(value), want, "{value}");
        }
        assert_eq!(wanted(&HeaderMap::new()).count(), 0);
    }

    #[test]
    fn codings_of_files() {
        let cases = [
            ("app.js.gz", Some(("gzip", "app.js"))),
            ("a/game.data.br", Some(("br", "a/game.data"))),
            ("a.json.ZST", Some(("zstd", "a.json"))),
            ("Packages.gz", Some(("gzip", "Packages"))),
            ("app.js", None),
            ("gz", None),
            (".gz", None),
            ("a/.br", None),
            ("", None),
        ];
        for (name, want) in cases {
            let found = Coding::of_name(name.as_bytes());
            let found =
                found.map(|(coding, inner)| (coding.token(), str::from_utf8(inner).unwrap()));
            assert_eq!(found, want, "{name}");
        }
        let heads: [(&[u8], Option<Coding>); 5] = [
            (b"\x1f\x8b\x08\0", Some(Coding::Gzip)),
            (b"\x28\xb5\x2f\xfd", Some(Coding::Zstd)),
            (b"\x1f\x8b", None),
            (b"text", None),
            (b"", None),
        ];
        for (head, want) in heads {
            assert_eq!(Coding::of_head(head), want, "{head:x?}");
        }
    }

    #[test]
    fn rfc9659_windows() {
        let frame = |rest: &[u8]| [&ZSTD_MAGIC[..], rest].concat();
        let cases: [(&[u8], Option<u64>); 12] = [
            (&[0x00, 0x00], Some(1024)),
            (&[0x00, 0x68], Some(8 << 20)),
            (&[0x00, 0x69], Some(9 << 20)),
            (&[0x00, 0x70], Some(16 << 20)),
            (&[0x00, 0xff], Some((1 << 41) + (1 << 41) / 8 * 7)),
            (&[0x20, 200], Some(200)),
            (&[0x60, 0, 1], Some(512)),
            (&[0xa0, 0, 0, 0x80, 0], Some(8 << 20)),
            (&[0xe0, 1, 0, 0x80, 0, 0, 0, 0, 0], Some((8 << 20) + 1)),
            (&[0x01, 0x00, 0x07], None),
            (&[0x00], None),
            (&[], None),
        ];
        for (rest, want) in cases {
            assert_eq!(window_of_zstd(&frame(rest)), want, "{rest:x?}");
        }
        assert!(is_zstd_for_the_web(&frame(&[0x00, 0x68])));
        assert!(!is_zstd_for_the_web(&frame(&[0x00, 0x69])));
        assert!(!is_zstd_for_the_web(b"\x50\x2a\x4d\x18\x00\x00\x00\x00"));
        assert!(!is_zstd_for_the_web(b"plain text"));
    }
}
