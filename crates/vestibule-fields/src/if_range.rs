//! `If-Range`: send the range if the representation has not changed, otherwise the whole
//! representation.
//!
//! ```text
//! If-Range = entity-tag / HTTP-date
//! ```
//!
//! Source: RFC 9110 section 13.1.5.
//!
//! ```
//! use vestibule_fields::{date::HttpDate, etag::ETag, if_range::IfRange};
//!
//! let now = HttpDate::from_unix(1_700_000_000);
//! let condition = IfRange::parse("\"v1\"", now);
//! assert!(condition.holds(Some(&ETag::strong("v1")?), None));
//! assert!(!condition.holds(Some(&ETag::weak("v1")?), None));
//! # Ok::<_, vestibule_fields::etag::InvalidETag>(())
//! ```

use http::HeaderMap;
use http::header::IF_RANGE;

use crate::date::HttpDate;
use crate::etag::ETag;
use crate::list::Lines;

/// The validator of the client's partial copy.
#[derive(Clone, Debug)]
pub enum IfRange<'a> {
    /// A tag; a weak one never matches.
    Tag(ETag<'a>),
    /// A date.
    Date(HttpDate),
    /// Neither, or more than one line. It never matches, so that the client gets the whole
    /// representation.
    Invalid,
}

impl<'a> IfRange<'a> {
    /// Reads a value; `now` is for [`HttpDate::parse`].
    ///
    /// ```
    /// use vestibule_fields::{date::HttpDate, if_range::IfRange};
    ///
    /// let now = HttpDate::from_unix(1_700_000_000);
    /// assert!(matches!(IfRange::parse("Thu, 01 Jan 1970 00:00:00 GMT", now), IfRange::Date(_)));
    /// assert!(matches!(IfRange::parse("v1", now), IfRange::Invalid));
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized), now: HttpDate) -> Self {
        let value = value.as_ref();
        let tag = ETag::parse(value).map(Self::Tag);
        tag.or_else(|| HttpDate::parse(value, now).map(Self::Date))
            .unwrap_or(Self::Invalid)
    }

    /// Reads the `If-Range` field of a request. `None` when it is absent; then send the range.
    ///
    /// ```
    /// use vestibule_fields::{date::HttpDate, if_range::IfRange};
    ///
    /// let now = HttpDate::from_unix(1_700_000_000);
    /// assert!(IfRange::from_headers(&http::HeaderMap::new(), now).is_none());
    /// ```
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap, now: HttpDate) -> Option<Self> {
        let lines = Lines::from_headers(headers, IF_RANGE);
        if lines.is_absent() {
            return None;
        }
        Some(
            lines
                .only()
                .map_or(Self::Invalid, |line| Self::parse(line, now)),
        )
    }

    /// Returns whether the client's partial copy is of the current representation.
    ///
    /// Tags compare strongly, dates exactly. A date is a strong validator only for a file that did
    /// not change twice in that second (RFC 9110, section 8.8.2.2): pass `None` for `modified` when
    /// that is unknown.
    ///
    /// ```
    /// use vestibule_fields::{date::HttpDate, if_range::IfRange};
    ///
    /// let modified = HttpDate::from_unix(0);
    /// let condition = IfRange::Date(modified);
    /// assert!(condition.holds(None, Some(modified)));
    /// assert!(!condition.holds(None, Some(HttpDate::from_unix(-1))));
    /// ```
    #[must_use]
    pub fn holds(&self, tag: Option<&ETag<'_>>, modified: Option<HttpDate>) -> bool {
        match self {
            Self::Tag(mine) => tag.is_some_and(|tag| mine.strong_eq(tag)),
            Self::Date(mine) => modified == Some(*mine),
            Self::Invalid => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

    fn holds(value: &[u8]) -> bool {
        let epoch = HttpDate::from_unix(0);
        let tag = ETag::strong("v1").unwrap();
        IfRange::parse(value, epoch).holds(Some(&tag), Some(epoch))
    }

    #[test]
    fn rfc9110_13_1_5_if_range() {
        let table = [
            ("\"v1\"", true),
            (DATE, true),
            ("Thursday, 01-Jan-70 00:00:00 GMT", true),
            ("W/\"v1\"", false),
            ("\"v2\"", false),
            ("\"v1\", \"v2\"", false),
            ("Thu, 01 Jan 1970 00:00:01 GMT", false),
            ("Wed, 31 Dec 1969 23:59:59 GMT", false),
            ("*", false),
            ("v1", false),
            ("", false),
        ];
        for (value, expected) in table {
            assert_eq!(holds(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn a_condition_without_a_validator_never_matches() {
        let now = HttpDate::from_unix(0);
        for value in [DATE, "\"v1\"", ""] {
            assert!(!IfRange::parse(value, now).holds(None, None), "{value}");
        }
    }

    #[test]
    fn a_repeated_field_never_matches() {
        let now = HttpDate::from_unix(0);
        let mut headers = HeaderMap::new();
        headers.append(IF_RANGE, DATE.parse().unwrap());
        assert!(matches!(
            IfRange::from_headers(&headers, now),
            Some(IfRange::Date(_))
        ));
        headers.append(IF_RANGE, DATE.parse().unwrap());
        assert!(matches!(
            IfRange::from_headers(&headers, now),
            Some(IfRange::Invalid)
        ));
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>) {
            prop_assert!(!holds(&value) || value == b"\"v1\"" || value.ends_with(b"GMT") || value.starts_with(b"Thu"));
        }
    }
}
