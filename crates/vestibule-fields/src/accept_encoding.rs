//! `Accept-Encoding`: the content codings that a client accepts, and the best of those that a
//! server offers.
//!
//! ```text
//! Accept-Encoding = #( codings [ weight ] )
//! codings         = content-coding / "identity" / "*"
//! ```
//!
//! Source: RFC 9110 section 12.5.3; 8.4.1 for the names and for `x-gzip`, `x-compress`.
//!
//! The RFC lets a server send any coding when the field is absent. This parser then chooses
//! identity, since clients without the field mostly cannot decode. A coding that is listed twice
//! has the higher of its weights.
//!
//! ```
//! use http::{HeaderMap, header::ACCEPT_ENCODING};
//! use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert(ACCEPT_ENCODING, "deflate, gzip;q=1.0, br;q=0.5".parse().unwrap());
//!
//! let accept = AcceptEncoding::from_headers(&headers);
//! assert_eq!(accept.choose(&["br", "gzip"]), Choice::Coding("gzip"));
//! assert_eq!(accept.choose(&["zstd"]), Choice::Identity);
//! ```

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::quality::{Quality, Weights};

/// The content codings that a client accepts.
#[derive(Clone, Debug)]
pub struct AcceptEncoding<'a> {
    weights: Option<Weights<'a>>,
}

impl<'a> AcceptEncoding<'a> {
    /// Reads one value. Never fails: invalid elements are skipped, and an empty value accepts
    /// identity only.
    ///
    /// ```
    /// use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};
    ///
    /// assert_eq!(AcceptEncoding::parse("GZIP").choose(&["gzip"]), Choice::Coding("gzip"));
    /// assert_eq!(AcceptEncoding::parse("").choose(&["gzip"]), Choice::Identity);
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            weights: Some(Weights::parse(value)),
        }
    }

    /// Reads every `Accept-Encoding` line of a request; an absent field accepts identity only.
    ///
    /// ```
    /// use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};
    ///
    /// let accept = AcceptEncoding::from_headers(&http::HeaderMap::new()).choose(&["gzip"]);
    /// assert_eq!(accept, Choice::Identity);
    /// ```
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Self {
        Self {
            weights: Weights::from_headers(headers, ACCEPT_ENCODING),
        }
    }

    /// Returns the best of `offered`, the codings of the server in its order of preference.
    ///
    /// The highest weight wins, and the order of `offered` breaks ties. Identity comes last in a
    /// tie, unless `offered` contains it. Identity is acceptable unless the client excludes it;
    /// without its own weight it comes last. The cost is two passes over the field, and one more
    /// for each eight codings after the first eight.
    ///
    /// ```
    /// use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};
    ///
    /// let accept = AcceptEncoding::parse("gzip, br, identity;q=0");
    /// assert_eq!(accept.choose(&["br", "gzip"]), Choice::Coding("br"));
    /// assert_eq!(accept.choose(&["zstd"]), Choice::NotAcceptable);
    /// ```
    #[must_use]
    pub fn choose<'o>(&self, offered: &[&'o str]) -> Choice<'o> {
        let mut best = (Choice::NotAcceptable, Quality::ZERO);
        for offered in offered.chunks(AT_ONCE) {
            let mut qualities = [None; AT_ONCE];
            self.weigh(offered, &mut qualities);
            for (coding, quality) in offered.iter().zip(qualities) {
                let quality = quality.unwrap_or(Quality::ZERO);
                if quality > best.1 {
                    best = (Choice::of(coding), quality);
                }
            }
        }
        match self.quality(IDENTITY) {
            Some(quality) if quality > best.1 => Choice::Identity,
            None if best.1 == Quality::ZERO => Choice::Identity,
            _ => best.0,
        }
    }

    /// Returns the weight of `coding`: its own or that of `*`; `None` when the field names neither.
    ///
    /// `None` means "acceptable" for identity, and "not acceptable" for all other codings.
    ///
    /// ```
    /// use vestibule_fields::accept_encoding::AcceptEncoding;
    /// use vestibule_fields::quality::Quality;
    ///
    /// let accept = AcceptEncoding::parse("x-gzip;q=0.5, *;q=0");
    /// assert_eq!(accept.quality("gzip"), Quality::from_thousandths(500));
    /// assert_eq!(accept.quality("br"), Some(Quality::ZERO));
    /// assert_eq!(AcceptEncoding::parse("gzip").quality("br"), None);
    /// ```
    #[must_use]
    pub fn quality(&self, coding: &str) -> Option<Quality> {
        let mut quality = [None];
        self.weigh(&[coding], &mut quality);
        quality.into_iter().flatten().next()
    }

    /// Stores the weight of each coding, in one pass over the field.
    fn weigh(&self, codings: &[&str], qualities: &mut [Option<Quality>]) {
        let mut any = None;
        for weight in self.weights.iter().flatten() {
            let quality = Some(weight.quality());
            if weight.name() == "*" {
                any = any.max(quality);
                continue;
            }
            let name = canonical(weight.name());
            for (coding, best) in codings.iter().zip(&mut *qualities) {
                if canonical(coding).eq_ignore_ascii_case(name) {
                    *best = quality.max(*best);
                }
            }
        }
        for quality in qualities {
            *quality = quality.or(any);
        }
    }
}

/// The coding of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'o> {
    /// Encode with this coding, spelled as it was offered.
    Coding(&'o str),
    /// Do not encode.
    Identity,
    /// Neither an offered coding nor identity is acceptable. Respond with `406`, or with identity
    /// in spite of the client, which RFC 9110, section 12.5.3 allows.
    NotAcceptable,
}

impl<'o> Choice<'o> {
    fn of(coding: &'o str) -> Self {
        if coding.eq_ignore_ascii_case(IDENTITY) {
            Self::Identity
        } else {
            Self::Coding(coding)
        }
    }
}

/// Number of codings that one pass weighs.
const AT_ONCE: usize = 8;

/// Returns the coding for which `coding` is an alias, or `coding` itself.
fn canonical(coding: &str) -> &str {
    ALIASES
        .iter()
        .find_map(|(alias, name)| coding.eq_ignore_ascii_case(alias).then_some(*name))
        .unwrap_or(coding)
}

const IDENTITY: &str = "identity";

/// RFC 9110 section 8.4.1.1 and 8.4.1.3.
const ALIASES: [(&str, &str); 2] = [("x-gzip", "gzip"), ("x-compress", "compress")];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Choice::{Coding, Identity, NotAcceptable};
    use super::*;

    #[test]
    fn rfc9110_12_5_3_choice() {
        let table = [
            // The section's examples.
            ("compress, gzip", Coding("gzip")),
            ("", Identity),
            ("*", Coding("br")),
            ("compress;q=0.5, gzip;q=1.0", Coding("gzip")),
            ("gzip;q=1.0, identity; q=0.5, *;q=0", Coding("gzip")),
            // Weights, then the order of the server.
            ("gzip, br", Coding("br")),
            ("br, gzip", Coding("br")),
            ("gzip;q=0.9, br;q=0.8", Coding("gzip")),
            ("gzip;q=0.001", Coding("gzip")),
            ("gzip;q=0.5, br;q=0.501", Coding("br")),
            ("gzip;q=0.5, br;q=0.5", Coding("br")),
            // Identity.
            ("identity", Identity),
            ("identity, gzip", Coding("gzip")),
            ("identity;q=1, gzip;q=0.5", Identity),
            ("identity;q=0.5, gzip;q=1", Coding("gzip")),
            ("identity;q=0", NotAcceptable),
            ("identity;q=0, gzip", Coding("gzip")),
            ("identity;q=0, zstd", NotAcceptable),
            ("IDENTITY;q=0", NotAcceptable),
            // The asterisk.
            ("*;q=0", NotAcceptable),
            ("*;q=0, identity", Identity),
            ("*;q=0, identity;q=0.1", Identity),
            ("*;q=0, gzip", Coding("gzip")),
            ("*;q=0.5, br;q=0", Coding("gzip")),
            ("*;q=0.5, gzip;q=0.2, br;q=0.1", Identity),
            ("*, br;q=0, gzip;q=0", Identity),
            ("*;q=0.5, gzip", Coding("gzip")),
            ("br;q=0.5, *;q=0.1", Coding("br")),
            ("*, identity;q=0", Coding("br")),
            // Excluded and unknown.
            ("gzip;q=0", Identity),
            ("gzip;q=0.000, br;q=0", Identity),
            ("deflate, sdch", Identity),
            ("deflate;q=1, gzip;q=0.1", Coding("gzip")),
            // Spelling.
            ("GZip", Coding("gzip")),
            ("x-gzip", Coding("gzip")),
            ("X-GZIP;q=0", Identity),
            ("x-br", Identity),
            ("gzip ; Q=0.3 ,\tbr;q=0.2", Coding("gzip")),
            // Twice.
            ("gzip;q=0, gzip;q=1", Coding("gzip")),
            ("gzip;q=1, x-gzip;q=0", Coding("gzip")),
            // Garbage.
            (",,,", Identity),
            (";;;,,,q=", Identity),
            ("gzip;q=high", Identity),
            ("gzip;q=1.5, br;q=0.1", Coding("br")),
            ("gzip;level=9;q=0.5", Coding("gzip")),
            ("gzip br", Identity),
            ("\"gzip\"", Identity),
        ];
        for (value, choice) in table {
            let found = AcceptEncoding::parse(value).choose(&["br", "gzip"]);
            assert_eq!(found, choice, "{value:?}");
        }
    }

    #[test]
    fn identity_has_the_rank_in_which_it_is_offered() {
        let table: &[(&str, &[&str], Choice<'_>)] = &[
            ("*", &["identity", "gzip"], Identity),
            ("*", &["gzip", "Identity"], Coding("gzip")),
            ("gzip", &["identity", "gzip"], Coding("gzip")),
            ("gzip, identity", &["identity", "gzip"], Identity),
            ("identity;q=0", &["identity"], NotAcceptable),
            ("gzip", &["x-gzip"], Coding("x-gzip")),
            ("gzip", &[], Identity),
            ("*;q=0", &[], NotAcceptable),
        ];
        for (value, offered, choice) in table {
            let found = AcceptEncoding::parse(value).choose(offered);
            assert_eq!(found, *choice, "{value:?} {offered:?}");
        }
    }

    #[test]
    fn repeated_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            AcceptEncoding::from_headers(&headers).choose(&["gzip"]),
            Identity
        );
        headers.append(ACCEPT_ENCODING, "br;q=0.5".parse().unwrap());
        headers.append(ACCEPT_ENCODING, "gzip, identity;q=0".parse().unwrap());
        let accept = AcceptEncoding::from_headers(&headers);
        assert_eq!(accept.choose(&["br", "gzip"]), Coding("gzip"));
        assert_eq!(accept.choose(&["zstd"]), NotAcceptable);
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>) {
            let choice = AcceptEncoding::parse(&value).choose(&["br", "gzip"]);
            prop_assert!(matches!(choice, Coding("br" | "gzip") | Identity | NotAcceptable));
        }

        #[test]
        fn the_choice_is_acceptable(value in "((gzip|br|identity|\\*)(;q=(0|1|0\\.[0-9]{1,3}))?,){0,6}") {
            let accept = AcceptEncoding::parse(&value);
            match accept.choose(&["br", "gzip"]) {
                Coding(coding) => prop_assert!(accept.quality(coding).unwrap().is_acceptable()),
                Identity => prop_assert_ne!(accept.quality(IDENTITY), Some(Quality::ZERO)),
                NotAcceptable => prop_assert_eq!(accept.quality(IDENTITY), Some(Quality::ZERO)),
            }
        }
    }
}
