//! The header and the check of the two containers of deflate: gzip (RFC 1952) and zlib (RFC 1950).
//!
//! We write them, and not the codecs, so that a stream can change its codec in the middle.

use flate2::Crc;

use crate::Coding;

/// The check over all bytes of a body so far.
pub(super) enum Container {
    /// CRC-32 and the length (RFC 1952, section 2.3.1).
    Gzip(Crc),
    /// Adler-32 (RFC 1950, section 8.2): the two sums.
    Zlib(u32, u32),
}

impl Container {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(Crc::new()),
            _ => Self::Zlib(1, 0),
        }
    }

    /// Appends the header; gzip's is without a time, and with the system "unknown". Padding of at least one byte
    /// is a comment in the header of gzip, and empty stored blocks after that of zlib (RFC 1951, section 3.2.4).
    pub(super) fn header(&self, padding: usize, out: &mut Vec<u8>) {
        match self {
            Self::Gzip(_) => {
                let flags = if padding > 0 { HAS_COMMENT } else { 0 };
                out.extend_from_slice(&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255]);
                if padding > 0 {
                    out.resize(out.len() + padding, b' ');
                    out.push(0);
                }
            }
            Self::Zlib(..) => {
                out.extend_from_slice(&[0x78, 0x9c]);
                for _ in 0..padding.div_ceil(EMPTY_BLOCK.len()) {
                    out.extend_from_slice(&EMPTY_BLOCK);
                }
            }
        }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        match self {
            Self::Gzip(crc) => crc.update(data),
            Self::Zlib(a, b) => {
                // The sums of 5,552 bytes fit 32 bits.
                for data in data.chunks(5552) {
                    for byte in data {
                        *a += u32::from(*byte);
                        *b += *a;
                    }
                    *a %= ADLER_BASE;
                    *b %= ADLER_BASE;
                }
            }
        }
    }

    /// Appends the check.
    pub(super) fn trailer(&self, out: &mut Vec<u8>) {
        match self {
            Self::Gzip(crc) => {
                out.extend_from_slice(&crc.sum().to_le_bytes());
                out.extend_from_slice(&crc.amount().to_le_bytes());
            }
            Self::Zlib(a, b) => out.extend_from_slice(&(b << 16 | a).to_be_bytes()),
        }
    }
}

/// FCOMMENT (RFC 1952, section 2.3): text that ends with a zero.
const HAS_COMMENT: u8 = 0x10;

/// A stored block that is not the last, of length zero.
const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// The largest prime below 2^16.
const ADLER_BASE: u32 = 65_521;
