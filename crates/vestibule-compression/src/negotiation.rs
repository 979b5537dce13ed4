//! Chooses the coding for a client from the request, before the call of the app.
//!
//! Source: RFC 9110, section 12.5.3 (Accept-Encoding), 5.2.2.6 of RFC 9111 (no-transform in requests).

use http::{HeaderMap, Method};
use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};
use vestibule_fields::cache_control::CacheControl;
use vestibule_fields::quality::Quality;

use crate::Coding;

/// The result of the negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// This coding. The flag says whether the client accepts the plain bytes, too.
    Coded(Coding, IsPlainFine),
    /// The plain bytes.
    Plain,
    /// The client refuses the plain bytes and every offered coding.
    Nothing,
}

/// Whether a client accepts the plain bytes, too. Then small bodies, and bodies that do not shrink, stay
/// plain.
pub(crate) type IsPlainFine = bool;

/// Returns the coding of `offered` that the client prefers. `offered` has the server's preferred one first.
pub(crate) fn wanted(method: &Method, headers: &HeaderMap, offered: &[Coding]) -> Wanted {
    if method == Method::CONNECT || CacheControl::from_headers(headers).no_transform {
        return Wanted::Plain;
    }
    let accept = AcceptEncoding::from_headers(headers);
    let mut tokens = [""; Coding::ALL.len()];
    for (token, coding) in tokens.iter_mut().zip(offered) {
        *token = coding.token();
    }
    let tokens = tokens.get(..offered.len()).unwrap_or_default();
    match accept.choose(tokens) {
        Choice::Coding(token) => match Coding::from_token(token) {
            Some(coding) => {
                Wanted::Coded(coding, accept.quality("identity") != Some(Quality::ZERO))
            }
            None => Wanted::Plain,
        },
        Choice::Identity => Wanted::Plain,
        Choice::NotAcceptable => Wanted::Nothing,
    }
}

#[cfg(test)]
#[cfg(all(feature = "gzip", feature = "brotli", feature = "zstd"))]
mod tests {
    use Wanted::{Coded, Nothing, Plain};

    use super::*;

    #[test]
    fn rfc9110_12_5_3() {
        use Coding::*;
        let cases = [
            ("zstd, br, gzip, deflate", Coded(Zstd, true)),
            ("deflate, gzip, br, zstd", Coded(Zstd, true)),
            ("gzip, deflate, br", Coded(Brotli, true)),
            ("gzip, deflate", Coded(Gzip, true)),
            ("deflate", Coded(Deflate, true)),
            ("gzip;q=0.8, deflate;q=0.9", Coded(Deflate, true)),
            ("*", Coded(Zstd, true)),
            ("*;q=0.1, br;q=0.2", Coded(Brotli, true)),
            ("GZIP", Coded(Gzip, true)),
            ("x-gzip", Coded(Gzip, true)),
            ("gzip, identity", Coded(Gzip, true)),
            ("gzip, identity;q=0", Coded(Gzip, false)),
            ("gzip, *;q=0", Coded(Gzip, false)),
            ("identity;q=1, gzip;q=0.5", Plain),
            ("gzip;q=0", Plain),
            ("gzip;q=1.5, deflate;q=abc", Plain),
            ("gzip;q=", Plain),
            ("gzip;q=0.0001", Plain),
            ("", Plain),
            ("snappy", Plain),
            (";;;,,,q=", Plain),
            ("*;q=0", Nothing),
            ("identity;q=0", Nothing),
            ("identity;q=0, snappy", Nothing),
        ];
        for (value, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("accept-encoding", value.parse().unwrap());
            let found = wanted(&Method::GET, &headers, Coding::ALL);
            assert_eq!(found, want, "{value}");
            assert_eq!(wanted(&Method::CONNECT, &headers, Coding::ALL), Plain);
            headers.insert("cache-control", "No-Transform".parse().unwrap());
            assert_eq!(wanted(&Method::GET, &headers, Coding::ALL), Plain);
        }
        let none = HeaderMap::new();
        assert_eq!(wanted(&Method::GET, &none, Coding::ALL), Plain);
    }

    #[test]
    fn the_order_of_the_server_breaks_ties() {
        let mut headers = HeaderMap::new();
        headers.insert("accept-encoding", "gzip, br".parse().unwrap());
        let offered = [Coding::Gzip, Coding::Brotli];
        let found = wanted(&Method::GET, &headers, &offered);
        assert_eq!(found, Coded(Coding::Gzip, true));
        assert_eq!(wanted(&Method::GET, &headers, &[]), Plain);
    }
}
