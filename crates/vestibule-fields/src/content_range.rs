//! `Content-Range`: the bytes of a representation that a response contains.
//!
//! ```text
//! Content-Range     = range-unit SP ( range-resp / unsatisfied-range )
//! range-resp        = first-pos "-" last-pos "/" ( complete-length / "*" )
//! unsatisfied-range = "*/" complete-length
//! ```
//!
//! Source: RFC 9110 section 14.4.
//!
//! ```
//! use vestibule_fields::content_range::ContentRange;
//! use vestibule_fields::range::ByteRange;
//!
//! let range = ByteRange::new(42, 1233).unwrap();
//! assert_eq!(ContentRange::new(range, 1234).to_string(), "bytes 42-1233/1234");
//! assert_eq!(ContentRange::unsatisfied(1234).to_string(), "bytes */1234");
//! ```

use std::fmt;

use http::HeaderValue;

use crate::header_value;
use crate::range::ByteRange;

/// The value for `206`, for each part of a multipart `206`, and for `416`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentRange {
    range: Option<ByteRange>,
    length: Option<u64>,
}

impl ContentRange {
    /// Creates the value for `206`: `range` out of `length` bytes. Take the range from
    /// [`Range::within`](crate::range::Range::within), so that it ends before `length`.
    #[must_use]
    pub const fn new(range: ByteRange, length: u64) -> Self {
        Self {
            range: Some(range),
            length: Some(length),
        }
    }

    /// Creates a value for `range` out of an unknown number of bytes.
    ///
    /// ```
    /// use vestibule_fields::{content_range::ContentRange, range::ByteRange};
    ///
    /// let range = ByteRange::new(0, 9).unwrap();
    /// assert_eq!(ContentRange::of_unknown_length(range).to_string(), "bytes 0-9/*");
    /// ```
    #[must_use]
    pub const fn of_unknown_length(range: ByteRange) -> Self {
        Self {
            range: Some(range),
            length: None,
        }
    }

    /// Creates the value for `416`: no range out of `length` bytes.
    #[must_use]
    pub const fn unsatisfied(length: u64) -> Self {
        Self {
            range: None,
            length: Some(length),
        }
    }

    /// Returns the value as a header value.
    ///
    /// ```
    /// use vestibule_fields::content_range::ContentRange;
    ///
    /// assert_eq!(ContentRange::unsatisfied(0).to_header_value(), "bytes */0");
    /// ```
    #[must_use]
    pub fn to_header_value(self) -> HeaderValue {
        header_value(self.to_string().into_bytes())
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.range {
            Some(range) => write!(f, "bytes {}-{}/", range.first(), range.last())?,
            None => f.write_str("bytes */")?,
        }
        match self.length {
            Some(length) => write!(f, "{length}"),
            None => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_14_4_examples() {
        let range = |first, last| ByteRange::new(first, last).unwrap();
        let table = [
            (
                ContentRange::new(range(42, 1233), 1234),
                "bytes 42-1233/1234",
            ),
            (
                ContentRange::of_unknown_length(range(42, 1233)),
                "bytes 42-1233/*",
            ),
            (ContentRange::unsatisfied(1234), "bytes */1234"),
            (ContentRange::new(range(0, 499), 1234), "bytes 0-499/1234"),
            (
                ContentRange::new(range(734, 1233), 1234),
                "bytes 734-1233/1234",
            ),
            (
                ContentRange::unsatisfied(u64::MAX),
                "bytes */18446744073709551615",
            ),
        ];
        for (value, expected) in table {
            assert_eq!(value.to_header_value(), expected);
        }
    }
}
