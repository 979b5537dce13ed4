//! `Range`: the bytes of a representation that a client requests.
//!
//! ```text
//! Range            = ranges-specifier
//! ranges-specifier = range-unit "=" range-set
//! range-set        = 1#range-spec
//! range-spec       = int-range / suffix-range
//! int-range        = first-pos "-" [ last-pos ]
//! suffix-range     = "-" suffix-length
//! ```
//!
//! Source: RFC 9110 section 14.1 (units), 14.1.2 (byte ranges), 14.2 (the field, and when to ignore
//! it).
//!
//! A set with one broken element is ignored as a whole, as the RFC requires. A number above 64 bits
//! is a position after the end of every representation.
//!
//! ```
//! use vestibule_fields::range::{Outcome, Range};
//!
//! let range = Range::parse("bytes=0-99, -100").unwrap();
//! let Outcome::Satisfiable(ranges) = range.within(1000) else { panic!() };
//! let found: Vec<_> = ranges.iter().map(|range| (range.first(), range.last())).collect();
//! assert_eq!(found, [(0, 99), (900, 999)]);
//! ```

use http::HeaderMap;
use http::header::RANGE;

use crate::list::{Lines, List, token};

/// A valid set of byte ranges, not yet compared with a length.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    set: List<'a>,
}

impl<'a> Range<'a> {
    /// Reads a set of byte ranges; `None` means that the field is ignored and the whole
    /// representation is sent.
    ///
    /// ```
    /// use vestibule_fields::range::Range;
    ///
    /// assert!(Range::parse("Bytes=0-").is_some());
    /// assert!(Range::parse("items=0-").is_none()); // not a known unit
    /// assert!(Range::parse("bytes=5-2").is_none());
    /// assert!(Range::parse("bytes=0-1, x").is_none());
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let value = value.as_ref();
        let end = value.iter().position(|&byte| byte == b'=')?;
        let (unit, set) = value.split_at_checked(end)?;
        if !token(unit)?.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let set = List::new(set.strip_prefix(b"=")?);
        let mut specs = set.clone().map(Spec::parse);
        let is_valid = specs.next()?.is_some() && specs.all(|spec| spec.is_some());
        is_valid.then_some(Self { set })
    }

    /// Reads the `Range` field of a request; `None` when it is absent, ignored or repeated.
    ///
    /// Check the method (only `GET` has ranges) and [`IfRange`](crate::if_range::IfRange) first.
    ///
    /// ```
    /// use http::{HeaderMap, header::RANGE};
    /// use vestibule_fields::range::Range;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert(RANGE, "bytes=0-499".parse().unwrap());
    /// assert!(Range::from_headers(&headers).is_some());
    /// ```
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Option<Self> {
        Self::parse(Lines::from_headers(headers, RANGE).only()?)
    }

    /// Returns the ranges inside a representation of `length` bytes, in the order of the request.
    ///
    /// Adjacent and overlapping ranges are merged; the merged range takes the position of the first
    /// of them (RFC 9110, section 15.3.7.2).
    ///
    /// On an empty representation, `bytes=0-` is unsatisfiable by the RFC, which lets a server
    /// ignore the field and respond with `200`. A suffix is satisfiable there, but has no first
    /// byte to name: the result is [`Outcome::Whole`].
    ///
    /// ```
    /// use vestibule_fields::range::{Outcome, Range};
    ///
    /// let within = |value, length| Range::parse(value).unwrap().within(length);
    /// assert!(matches!(within("bytes=0-9", 5), Outcome::Satisfiable(ranges) if ranges[0].last() == 4));
    /// assert!(matches!(within("bytes=5-9", 5), Outcome::Unsatisfiable));
    /// assert!(matches!(within("bytes=0-,0-,0-", 5), Outcome::Whole));
    /// ```
    #[must_use]
    pub fn within(&self, length: u64) -> Outcome {
        let mut first = None;
        let mut others: Vec<ByteRange> = Vec::new();
        let mut whole = false;
        let mut is_ascending = true;
        let mut bytes = 0_u64;
        for (count, spec) in self.set.clone().filter_map(Spec::parse).enumerate() {
            if count >= MAX_RANGES || (count >= MAX_UNORDERED_RANGES && !is_ascending) {
                return Outcome::Whole;
            }
            let Some(range) = spec.within(length) else {
                whole |= length == 0 && matches!(spec, Spec::Suffix(1..));
                continue;
            };
            bytes = bytes.saturating_add(range.bytes());
            match (first, others.last()) {
                (None, _) => first = Some(range),
                (Some(first), last) => {
                    is_ascending &= last.unwrap_or(&first).last < range.first;
                    others.push(range);
                }
            }
        }
        let Some(first) = first else {
            return if whole {
                Outcome::Whole
            } else {
                Outcome::Unsatisfiable
            };
        };
        let is_unordered = !is_ascending && others.len() >= MAX_UNORDERED_RANGES;
        if bytes > length || is_unordered {
            return Outcome::Whole;
        }
        match Ranges::merged(first, others) {
            (ranges, 0..=MAX_OVERLAPS) => Outcome::Satisfiable(ranges),
            _ => Outcome::Whole,
        }
    }
}

/// The response to a range request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `206` with these ranges, at least one.
    Satisfiable(Ranges),
    /// `416`, with `Content-Range: bytes */length`.
    Unsatisfiable,
    /// `200` with the whole representation, although the set is valid (RFC 9110, sections 14.2 and
    /// 17.15). The set has more than [`MAX_RANGES`] ranges, more than [`MAX_UNORDERED_RANGES`] that
    /// are not in ascending order, more than [`MAX_OVERLAPS`] overlaps, or more bytes than the
    /// representation.
    Whole,
}

/// At most [`MAX_RANGES`] ranges in the order of the request, with gaps between them. Dereferences
/// to a slice. A single range is stored without allocation.
#[derive(Clone)]
pub struct Ranges(Held);

#[derive(Clone)]
enum Held {
    One(ByteRange),
    Several(Vec<ByteRange>),
}

impl Ranges {
    /// Merges the ranges without a gap between them, and counts the ranges that overlap an earlier
    /// one.
    fn merged(first: ByteRange, others: Vec<ByteRange>) -> (Self, usize) {
        if others.is_empty() {
            return (Self(Held::One(first)), 0);
        }
        // Each with its index in the request.
        let mut sorted: Vec<(usize, ByteRange)> =
            std::iter::once(first).chain(others).enumerate().collect();
        sorted.sort_unstable_by_key(|(_, range)| range.first);
        let mut overlaps = 0_usize;
        let mut merged: Vec<(usize, ByteRange)> = Vec::with_capacity(sorted.len());
        for (place, range) in sorted {
            match merged.last_mut() {
                Some((first_place, open)) if range.first <= open.last.saturating_add(1) => {
                    overlaps = overlaps.saturating_add(usize::from(range.first <= open.last));
                    open.last = open.last.max(range.last);
                    *first_place = place.min(*first_place);
                }
                _ => merged.push((place, range)),
            }
        }
        merged.sort_unstable_by_key(|(place, _)| *place);
        let ranges = merged.into_iter().map(|(_, range)| range).collect();
        (Self(Held::Several(ranges)), overlaps)
    }
}

impl std::ops::Deref for Ranges {
    type Target = [ByteRange];

    fn deref(&self) -> &[ByteRange] {
        match &self.0 {
            Held::One(range) => std::slice::from_ref(range),
            Held::Several(ranges) => ranges,
        }
    }
}

impl std::fmt::Debug for Ranges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Ranges {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Ranges {}

/// The bytes from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    /// Creates the range from `first` to `last`, or returns `None` when `last` is before `first`.
    ///
    /// ```
    /// use vestibule_fields::range::ByteRange;
    ///
    /// assert_eq!(ByteRange::new(500, 999).unwrap().bytes(), 500);
    /// assert!(ByteRange::new(5, 2).is_none());
    /// ```
    #[must_use]
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// Returns the position of the first byte.
    ///
    /// ```
    /// use vestibule_fields::range::ByteRange;
    ///
    /// assert_eq!(ByteRange::new(2, 5).unwrap().first(), 2);
    /// ```
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// Returns the position of the last byte, which is in the range.
    ///
    /// ```
    /// use vestibule_fields::range::ByteRange;
    ///
    /// assert_eq!(ByteRange::new(2, 5).unwrap().last(), 5);
    /// ```
    #[must_use]
    pub const fn last(self) -> u64 {
        self.last
    }

    /// Returns the number of bytes, at least one.
    ///
    /// ```
    /// use vestibule_fields::range::ByteRange;
    ///
    /// assert_eq!(ByteRange::new(2, 5).unwrap().bytes(), 4);
    /// ```
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// One element of the set, as written.
#[derive(Clone, Copy)]
enum Spec {
    From(u64),
    FromTo(u64, u64),
    Suffix(u64),
}

impl Spec {
    fn parse(element: &[u8]) -> Option<Self> {
        let dash = element.iter().position(|&byte| byte == b'-')?;
        let (first, last) = element.split_at_checked(dash)?;
        match (first, last.strip_prefix(b"-")?) {
            ([], suffix) => Some(Self::Suffix(position(suffix)?)),
            (first, []) => Some(Self::From(position(first)?)),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    /// Returns the part inside a representation of `length` bytes, or `None` when there is none.
    fn within(self, length: u64) -> Option<ByteRange> {
        let end = length.checked_sub(1)?;
        let (first, last) = match self {
            Self::From(first) => (first, end),
            Self::FromTo(first, last) => (first, last.min(end)),
            Self::Suffix(0) => return None,
            Self::Suffix(suffix) => (length.saturating_sub(suffix), end),
        };
        ByteRange::new(first, last)
    }
}

/// Parses a decimal number, limited to `u64::MAX`; `None` when there is no digit or another byte.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

/// The maximum number of ranges that are served. A request with more gets the whole representation.
///
/// A part of a `multipart/byteranges` body has a head of about 150 bytes, and a server stores a
/// record for each part: 256 parts take about 64 KB. Clients that patch files request about 20
/// ranges at a time (zsync).
pub const MAX_RANGES: usize = 256;

/// The maximum number of ranges that may overlap or be out of ascending order. A request with more
/// gets the whole representation.
///
/// RFC 9110 section 14.2 lets a server ignore "a set of many small ranges that are not listed in
/// ascending order".
pub const MAX_UNORDERED_RANGES: usize = 16;

/// The maximum number of ranges that overlap an earlier one. A request with more gets the whole
/// representation.
pub const MAX_OVERLAPS: usize = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns `ignored`, `416`, `whole`, or the ranges.
    fn ask(value: &str, length: u64) -> String {
        match Range::parse(value).map(|range| range.within(length)) {
            None => "ignored".to_owned(),
            Some(Outcome::Unsatisfiable) => "416".to_owned(),
            Some(Outcome::Whole) => "whole".to_owned(),
            Some(Outcome::Satisfiable(ranges)) => {
                let ranges: Vec<_> = ranges
                    .iter()
                    .map(|r| format!("{}-{}", r.first, r.last))
                    .collect();
                ranges.join(" ")
            }
        }
    }

    #[test]
    fn rfc9110_14_1_2_byte_ranges() {
        let table = [
            // The examples of the section, for a representation of 10000 bytes.
            ("bytes=0-499", "0-499"),
            ("bytes=500-999", "500-999"),
            ("bytes=-500", "9500-9999"),
            ("bytes=9500-", "9500-9999"),
            ("bytes=0-0,-1", "0-0 9999-9999"),
            (
                "bytes= 0-999, 4500-5499, -1000",
                "0-999 4500-5499 9000-9999",
            ),
            ("bytes=500-600,601-999", "500-999"),
            ("bytes=500-700,601-999", "500-999"),
            // At and after the end.
            ("bytes=0-", "0-9999"),
            ("bytes=0-9999", "0-9999"),
            ("bytes=0-10000", "0-9999"),
            ("bytes=9999-", "9999-9999"),
            ("bytes=10000-", "416"),
            ("bytes=10000-20000", "416"),
            ("bytes=-10000", "0-9999"),
            ("bytes=-10001", "0-9999"),
            ("bytes=-0", "416"),
            ("bytes=-0, 5-5", "5-5"),
            ("bytes=20000-, 5-5", "5-5"),
            // More than 64 bits.
            ("bytes=0-18446744073709551615", "0-9999"),
            ("bytes=0-18446744073709551616", "0-9999"),
            ("bytes=99999999999999999999999-", "416"),
            ("bytes=-99999999999999999999999", "0-9999"),
            ("bytes=000000000000000000000005-6", "5-6"),
            // Order.
            ("bytes=100-199, 0-9", "100-199 0-9"),
            ("bytes=3000-3003,100-103", "3000-3003 100-103"),
            ("bytes=-2, 0-1, 5-6", "9998-9999 0-1 5-6"),
            ("bytes=500-599, -1, 20000-, 0-9", "500-599 9999-9999 0-9"),
            // A merged range has the position of the first of its parts.
            ("bytes=500-599, 0-9, 600-699", "500-699 0-9"),
            ("bytes=20-29, 500-509, 0-9, 10-19", "0-29 500-509"),
            ("bytes=500-509, 20-29, 0-19", "500-509 0-29"),
            ("bytes=30-39, 0-9, 35-44", "30-44 0-9"),
            // Spelling.
            ("Bytes=0-1", "0-1"),
            ("BYTES=0-1", "0-1"),
            ("bytes=0-1,", "0-1"),
            ("bytes=,, 0-1 ,\t, 3-4,", "0-1 3-4"),
            // Not byte ranges.
            ("items=0-1", "ignored"),
            ("bytes", "ignored"),
            ("bytes=", "ignored"),
            ("bytes=,", "ignored"),
            (",", "ignored"),
            ("", "ignored"),
            ("=0-1", "ignored"),
            ("bytes =0-1", "ignored"),
            (" bytes=0-1", "ignored"),
            ("bytes:0-1", "ignored"),
            ("bytes 0-1", "ignored"),
            ("0-1", "ignored"),
            ("bytes=-", "ignored"),
            ("bytes=--", "ignored"),
            ("bytes=5", "ignored"),
            ("bytes=5-2", "ignored"),
            ("bytes=0-1, 5-2", "ignored"),
            ("bytes=0--1", "ignored"),
            ("bytes=--1", "ignored"),
            ("bytes=a-b", "ignored"),
            ("bytes=0-b", "ignored"),
            ("bytes=0x0-1", "ignored"),
            ("bytes=+0-1", "ignored"),
            ("bytes=0 - 1", "ignored"),
            ("bytes=0-1 2-3", "ignored"),
            ("bytes=0-1;2-3", "ignored"),
            ("bytes=\"0-1\"", "ignored"),
            ("bytes=0-1-2", "ignored"),
            ("bytes=bytes=0-1", "ignored"),
        ];
        for (value, expected) in table {
            assert_eq!(ask(value, 10_000), expected, "{value:?}");
        }
    }

    #[test]
    fn rfc9110_14_2_abuse() {
        let many = |count: u64| {
            let specs: Vec<_> = (0..count)
                .map(|n| format!("{}-{}", n * 10, n * 10))
                .collect();
            format!("bytes={}", specs.join(","))
        };
        for count in [9, 16, 17, 20, 32, 100, 256] {
            let found = ask(&many(count), 10_000);
            assert_eq!(found.split(' ').count() as u64, count, "{found}");
        }
        assert_eq!(ask(&many(257), 10_000), "whole");
        let descending = |count: u64| {
            let specs: Vec<_> = (0..count)
                .map(|n| format!("{}-{}", 9000 - n * 10, 9000 - n * 10))
                .collect();
            format!("bytes={}", specs.join(","))
        };
        assert_eq!(ask(&descending(16), 10_000).split(' ').count(), 16);
        assert_eq!(ask(&descending(17), 10_000), "whole");
        // Ascending, except the last one, which is before the others or overlaps them.
        for (last, expected) in [("5-5", "whole"), ("-9990", "whole"), ("200-", "16 more")] {
            let found = ask(&format!("{},{last}", many(16)), 10_000);
            assert_eq!(found == "whole", expected == "whole", "{last}: {found}");
        }
        // Ranges after the end count, since they were read, and have no order.
        let behind = format!("{},20000-,20-20", many(2));
        assert_eq!(ask(&behind, 10_000), "0-0 10-10 20-20");
        // Any number of adjacent ranges in order is one range.
        let neighbours: Vec<_> = (0..200).map(|n| format!("{n}-{n}")).collect();
        assert_eq!(
            ask(&format!("bytes={}", neighbours.join(",")), 10_000),
            "0-199"
        );
        let table = [
            ("bytes=0-9,5-14", "0-14"),
            ("bytes=0-9,5-14,10-19", "whole"),
            ("bytes=0-,0-", "whole"),
            ("bytes=0-9999,5-5", "whole"),
            ("bytes=0-4999,5000-", "0-9999"),
            ("bytes=0-9,0-9,0-9", "whole"),
        ];
        for (value, expected) in table {
            assert_eq!(ask(value, 10_000), expected, "{value:?}");
        }
    }

    #[test]
    fn empty_and_huge_representations() {
        let table = [
            ("bytes=0-", 0, "416"),
            ("bytes=0-0", 0, "416"),
            ("bytes=-0", 0, "416"),
            ("bytes=-5", 0, "whole"),
            ("bytes=0-", 1, "0-0"),
            ("bytes=-1", 1, "0-0"),
            ("bytes=-2", 1, "0-0"),
            ("bytes=1-", 1, "416"),
            ("bytes=0-", u64::MAX, "0-18446744073709551614"),
            ("bytes=18446744073709551615-", u64::MAX, "416"),
            (
                "bytes=0-1,18446744073709551614-",
                u64::MAX,
                "0-1 18446744073709551614-18446744073709551614",
            ),
        ];
        for (value, length, expected) in table {
            assert_eq!(ask(value, length), expected, "{value:?} of {length}");
        }
    }

    #[test]
    fn a_repeated_field_is_ignored() {
        let mut headers = HeaderMap::new();
        headers.append(RANGE, "bytes=0-1".parse().unwrap());
        assert!(Range::from_headers(&headers).is_some());
        headers.append(RANGE, "bytes=2-3".parse().unwrap());
        assert!(Range::from_headers(&headers).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>, length: u64) {
            check(&value, length);
        }

        #[test]
        fn nearly_a_range(value in "bytes=([0-9]{0,3}-[0-9]{0,3},){0,24}", length in 0_u64..1000) {
            check(value.as_bytes(), length);
        }
    }

    /// Checks the invariants of every outcome.
    fn check(value: &[u8], length: u64) {
        if let Some(Outcome::Satisfiable(ranges)) = Range::parse(value).map(|r| r.within(length)) {
            assert!(!ranges.is_empty());
            assert!(
                ranges
                    .iter()
                    .all(|range| range.first <= range.last && range.last < length)
            );
            assert!(ranges.len() <= MAX_RANGES);
            let mut sorted = ranges.to_vec();
            sorted.sort_unstable_by_key(|range| range.first);
            assert!(
                sorted
                    .windows(2)
                    .all(|pair| pair[0].last + 1 < pair[1].first)
            );
            assert!(ranges.len() <= MAX_UNORDERED_RANGES || sorted == ranges.to_vec());
        }
    }
}
