//! Several ranges in one body: `multipart/byteranges`.
//!
//! ```text
//! CRLF
//! --BOUNDARY CRLF
//! content-type: image/png CRLF
//! content-range: bytes 0-9/1000 CRLF
//! CRLF
//! ...ten bytes... CRLF
//! --BOUNDARY-- CRLF
//! ```
//!
//! Source: RFC 9110 section 14.6; RFC 2046 section 5.1.1 (delimiters).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderValue;
use vestibule_fields::content_range::ContentRange;
use vestibule_fields::range::ByteRange;

use crate::file_body::Segment;

/// A body of several ranges, with its delimiters and its length.
#[derive(Debug)]
pub(crate) struct Multipart {
    boundary: String,
    segments: Vec<Segment>,
    length: u64,
}

impl Multipart {
    /// Creates the body for `ranges` of a file of type `content_type` and of `length` bytes.
    pub(crate) fn new(ranges: &[ByteRange], content_type: &HeaderValue, length: u64) -> Self {
        Self::with_boundary(boundary(), ranges, content_type, length)
    }

    fn with_boundary(
        boundary: String,
        ranges: &[ByteRange],
        content_type: &HeaderValue,
        length: u64,
    ) -> Self {
        let mut parts = Self {
            boundary,
            segments: Vec::with_capacity(ranges.len() * 2 + 1),
            length: 0,
        };
        for range in ranges {
            // The CRLF belongs to the delimiter. It is optional before the first part, but zsync
            // 0.6 needs it, since Apache and nginx send it.
            let mut head = format!("\r\n--{}\r\ncontent-type: ", parts.boundary).into_bytes();
            head.extend_from_slice(content_type.as_bytes());
            let range_value = ContentRange::new(*range, length);
            head.extend_from_slice(format!("\r\ncontent-range: {range_value}\r\n\r\n").as_bytes());
            parts.push(head);
            parts.length += range.bytes();
            parts.segments.push(Segment::File {
                start: range.first(),
                length: range.bytes(),
            });
        }
        parts.push(format!("\r\n--{}--\r\n", parts.boundary).into_bytes());
        parts
    }

    fn push(&mut self, bytes: Vec<u8>) {
        self.length += bytes.len() as u64;
        self.segments.push(Segment::Bytes(Bytes::from(bytes)));
    }

    /// Returns the value of `Content-Type`.
    pub(crate) fn content_type(&self) -> HeaderValue {
        let value = format!("multipart/byteranges; boundary={}", self.boundary);
        HeaderValue::try_from(value).expect("a boundary is letters and digits")
    }

    /// Returns the length of the whole body in bytes.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }
}

/// Returns random letters and digits, so that a file cannot contain the boundary on purpose. The
/// random keys come from the system.
fn boundary() -> String {
    thread_local!(static KEYS: (RandomState, RandomState) = (RandomState::new(), RandomState::new()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    KEYS.with(|(a, b)| format!("{:016x}{:016x}", a.hash_one(count), b.hash_one(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_14_6_form() {
        let ranges = [ByteRange::new(0, 1).unwrap(), ByteRange::new(6, 9).unwrap()];
        let kind = HeaderValue::from_static("text/plain");
        let parts = Multipart::with_boundary("B".into(), &ranges, &kind, 10);
        assert_eq!(parts.content_type(), "multipart/byteranges; boundary=B");
        let length = parts.length();
        let mut text = String::new();
        for segment in parts.into_segments() {
            match segment {
                Segment::Bytes(bytes) => text += std::str::from_utf8(&bytes).unwrap(),
                Segment::File { start, length } => {
                    text += &"0123456789"[start as usize..(start + length) as usize];
                }
            }
        }
        assert_eq!(
            text,
            "\r\n--B\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-1/10\r\n\r\n01\r\n\
             --B\r\ncontent-type: text/plain\r\ncontent-range: bytes 6-9/10\r\n\r\n6789\r\n--B--\r\n"
        );
        assert_eq!(text.len() as u64, length);
    }

    #[test]
    fn boundaries_differ() {
        assert_ne!(boundary(), boundary());
        assert_eq!(boundary().len(), 32);
    }
}
