//! `Cache-Control`: rules for caches.
//!
//! ```text
//! Cache-Control   = #cache-directive
//! cache-directive = token [ "=" ( token / quoted-string ) ]
//! delta-seconds   = 1*DIGIT
//! ```
//!
//! Source: RFC 9111 section 5.2 (the directives), 1.2.2 (seconds), 4.2.1 (broken and repeated
//! ones); RFC 8246 (`immutable`); RFC 5861 (`stale-while-revalidate`, `stale-if-error`).
//!
//! A broken value is read in the way that caches least: an invalid number is 0, the smallest of
//! several numbers applies, and `private="a"` or `no-cache="a"` apply to the whole message, which
//! the RFC allows. Directives that are not listed here are skipped. So use this type for decisions
//! and to write new fields, not to rewrite received ones.
//!
//! ```
//! use std::time::Duration;
//! use vestibule_fields::cache_control::CacheControl;
//!
//! let control = CacheControl::parse("public, Max-Age=60, no-transform");
//! assert!(control.public && control.no_transform);
//! assert_eq!(control.max_age, Some(Duration::from_secs(60)));
//!
//! let control = CacheControl { no_store: true, ..CacheControl::default() };
//! assert_eq!(control.to_string(), "no-store");
//! ```

use std::fmt;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};

use crate::header_value;
use crate::list::{Lines, Quotes};

/// The directives of a request or a response that middleware uses. The default has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a directive of the RFC, and all combinations are valid"
)]
pub struct CacheControl {
    /// `no-store`: store nothing.
    pub no_store: bool,
    /// `no-cache`: revalidate before each use.
    pub no_cache: bool,
    /// `no-transform`: do not change the content, not even by compression.
    pub no_transform: bool,
    /// `private`: for the cache of one user only.
    pub private: bool,
    /// `public`: for all caches, also where they would not store, as with `Authorization`.
    pub public: bool,
    /// `must-revalidate`: never use it stale.
    pub must_revalidate: bool,
    /// `immutable`: it does not change while it is fresh, so a reload need not revalidate.
    pub immutable: bool,
    /// `max-age`: how long it is fresh.
    pub max_age: Option<Duration>,
    /// `s-maxage`: how long it is fresh in a shared cache.
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate`: how long it may then be used stale while it is fetched again.
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error`: how long it may then be used stale when the origin fails.
    pub stale_if_error: Option<Duration>,
}

impl CacheControl {
    /// Reads one value. Never fails: invalid directives are skipped.
    ///
    /// ```
    /// use vestibule_fields::cache_control::CacheControl;
    ///
    /// assert!(CacheControl::parse("community=\"private, UCI\", NO-STORE").no_store);
    /// assert!(!CacheControl::parse("community=\"private, UCI\"").private);
    /// ```
    #[must_use]
    pub fn parse(value: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::read(&Lines::new(value))
    }

    /// Reads every `Cache-Control` line. An absent field has no directives.
    ///
    /// ```
    /// use vestibule_fields::cache_control::CacheControl;
    ///
    /// assert_eq!(CacheControl::from_headers(&http::HeaderMap::new()), CacheControl::default());
    /// ```
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        Self::read(&Lines::from_headers(headers, CACHE_CONTROL))
    }

    fn read(lines: &Lines<'_>) -> Self {
        let mut control = Self::default();
        for directive in lines.elements(Quotes::Escaped) {
            let end = directive
                .iter()
                .position(|&byte| byte == b'=')
                .unwrap_or(directive.len());
            if let Some((name, value)) = directive.split_at_checked(end) {
                for (flag, place) in control.flags_mut() {
                    *place |= name.eq_ignore_ascii_case(flag.as_bytes());
                }
                for (age, place) in control.ages_mut() {
                    if name.eq_ignore_ascii_case(age.as_bytes()) {
                        let seconds = seconds(value.strip_prefix(b"=").unwrap_or(b""));
                        *place = Some(place.map_or(seconds, |other| other.min(seconds)));
                    }
                }
            }
        }
        control
    }

    /// Returns the value as a header value. It is empty when there are no directives; omit the
    /// field then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_fields::cache_control::CacheControl;
    ///
    /// let year = Duration::from_secs(31_536_000);
    /// let control = CacheControl { public: true, immutable: true, max_age: Some(year), ..CacheControl::default() };
    /// assert_eq!(control.to_header_value(), "public, immutable, max-age=31536000");
    /// ```
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        header_value(self.to_string().into_bytes())
    }

    fn flags_mut(&mut self) -> [(&'static str, &mut bool); 7] {
        [
            ("no-store", &mut self.no_store),
            ("no-cache", &mut self.no_cache),
            ("no-transform", &mut self.no_transform),
            ("private", &mut self.private),
            ("public", &mut self.public),
            ("must-revalidate", &mut self.must_revalidate),
            ("immutable", &mut self.immutable),
        ]
    }

    fn ages_mut(&mut self) -> [(&'static str, &mut Option<Duration>); 4] {
        [
            ("max-age", &mut self.max_age),
            ("s-maxage", &mut self.s_maxage),
            ("stale-while-revalidate", &mut self.stale_while_revalidate),
            ("stale-if-error", &mut self.stale_if_error),
        ]
    }
}

/// Writes the directives in the order of the struct's fields, in whole seconds, rounded down.
impl fmt::Display for CacheControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let mut separator = "";
        for (name, flag) in copy.flags_mut() {
            if *flag {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        for (name, age) in copy.ages_mut() {
            if let Some(age) = age {
                write!(f, "{separator}{name}={}", age.as_secs().min(MAX_SECONDS))?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Returns the duration in `value`, at most [`MAX_SECONDS`]; zero when it is not a number. Quotes
/// are allowed.
fn seconds(value: &[u8]) -> Duration {
    let digits = match value {
        [b'"', digits @ .., b'"'] => digits,
        digits => digits,
    };
    let number = digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    });
    Duration::from_secs(number.unwrap_or(0).min(MAX_SECONDS))
}

/// The maximum number of seconds, 2^31: larger numbers are read and written as this (RFC 9111,
/// section 1.2.2).
pub const MAX_SECONDS: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc9111_5_2_directives() {
        let table = [
            ("", ""),
            ("no-store", "no-store"),
            ("NO-STORE", "no-store"),
            ("max-age=60", "max-age=60"),
            ("Max-Age=060", "max-age=60"),
            ("max-age=\"60\"", "max-age=60"),
            ("max-age=0", "max-age=0"),
            (
                "public, s-maxage=5, immutable",
                "public, immutable, s-maxage=5",
            ),
            (
                "stale-if-error=1,stale-while-revalidate=2",
                "stale-while-revalidate=2, stale-if-error=1",
            ),
            ("private=\"Set-Cookie\", max-age=1", "private, max-age=1"),
            ("no-cache=\"a, public\"", "no-cache"),
            (
                "must-revalidate,,no-transform,",
                "no-transform, must-revalidate",
            ),
            // RFC 9111 section 5.2.3
            ("private, community=\"UCI\"", "private"),
            // 1.2.2
            ("max-age=2147483647", "max-age=2147483647"),
            ("max-age=2147483648", "max-age=2147483648"),
            ("max-age=2147483649", "max-age=2147483648"),
            ("max-age=99999999999999999999999", "max-age=2147483648"),
            // 4.2.1
            ("max-age=60, max-age=5", "max-age=5"),
            ("max-age=5, max-age=60", "max-age=5"),
            ("max-age", "max-age=0"),
            ("max-age=", "max-age=0"),
            ("max-age=-1", "max-age=0"),
            ("max-age=+1", "max-age=0"),
            ("max-age=1.5", "max-age=0"),
            ("max-age=1s", "max-age=0"),
            ("max-age=\"60", "max-age=0"),
            ("max-age= 60", "max-age=0"),
            ("no-stored, xno-store, no store", ""),
            ("=;=,\"", ""),
        ];
        for (value, expected) in table {
            assert_eq!(
                CacheControl::parse(value).to_string(),
                expected,
                "{value:?}"
            );
        }
    }

    #[test]
    fn repeated_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(CACHE_CONTROL, "private".parse().unwrap());
        headers.append(CACHE_CONTROL, "max-age=1".parse().unwrap());
        assert_eq!(
            CacheControl::from_headers(&headers).to_header_value(),
            "private, max-age=1"
        );
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>) {
            let control = CacheControl::parse(&value);
            prop_assert_eq!(CacheControl::parse(&control.to_header_value()), control);
        }

        #[test]
        fn nearly_directives(value in "((no-store|public|max-age|s-maxage)(=\"?[0-9]{0,12}\"?)?[, ]){0,8}") {
            let control = CacheControl::parse(&value);
            prop_assert_eq!(CacheControl::parse(&control.to_string()), control);
        }
    }
}
