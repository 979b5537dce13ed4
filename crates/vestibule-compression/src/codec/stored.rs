//! Each coding without compression: blocks that hold the plain bytes, which need no state.
//!
//! It is used when no memory is left: for clients that refuse the plain bytes (`identity;q=0`), and for
//! the rest of a stream whose encoder was taken. Every format has such blocks:
//! stored blocks (RFC 1951, section 3.2.4), uncompressed meta-blocks (RFC 7932, section 9.2), raw blocks (RFC 8878,
//! section 3.1.1.2.2).

use crate::Coding;

#[cfg(feature = "gzip")]
use super::check::Container;

pub(super) struct StoredEncoder {
    format: Format,
    has_header: bool,
}

pub(super) enum Format {
    #[cfg(feature = "gzip")]
    Deflate(Container),
    #[cfg(feature = "brotli")]
    Brotli,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl StoredEncoder {
    /// Creates an encoder at the start of a stream.
    pub(super) fn new(coding: Coding) -> Self {
        let format = match coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip | Coding::Deflate => Format::Deflate(Container::new(coding)),
            #[cfg(feature = "brotli")]
            Coding::Brotli => Format::Brotli,
            #[cfg(feature = "zstd")]
            Coding::Zstd => Format::Zstd,
        };
        Self {
            format,
            has_header: false,
        }
    }

    /// Continues a stream after a flush, which ends at the boundary of a byte and of a block. The stream may
    /// have no bytes yet.
    pub(super) const fn after(format: Format, has_header: bool) -> Self {
        Self { format, has_header }
    }

    /// Begins the stream with about `length` bytes that decoders skip.
    pub(super) fn pad(&mut self, length: usize, out: &mut Vec<u8>) {
        self.start(length, out);
    }

    pub(super) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) {
        for block in data.chunks(BLOCK) {
            self.begin_block(block, out);
            out.extend_from_slice(block);
        }
    }

    /// Writes the header of `block`, which has 1 to [`BLOCK`] bytes.
    pub(super) fn begin_block(&mut self, block: &[u8], out: &mut Vec<u8>) {
        self.start(0, out);
        let length = block.len() as u32;
        match &mut self.format {
            #[cfg(feature = "gzip")]
            Format::Deflate(container) => {
                container.update(block);
                out.push(0);
                out.extend_from_slice(&(length as u16).to_le_bytes());
                out.extend_from_slice(&(!length as u16).to_le_bytes());
            }
            // ISLAST 0, MNIBBLES 0 (which is four), MLEN - 1, ISUNCOMPRESSED 1.
            #[cfg(feature = "brotli")]
            Format::Brotli => little(3, (length - 1) << 3 | 1 << 19, out),
            // Last_Block 0, Block_Type 0 (raw), Block_Size.
            #[cfg(feature = "zstd")]
            Format::Zstd => little(3, length << 3, out),
        }
    }

    /// Does nothing for most formats: all bytes are in the output already.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        self.start(0, out);
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.start(0, out);
        match &self.format {
            #[cfg(feature = "gzip")]
            Format::Deflate(container) => {
                out.extend_from_slice(&LAST_STORED_BLOCK);
                container.trailer(out);
            }
            // ISLAST 1, ISLASTEMPTY 1.
            #[cfg(feature = "brotli")]
            Format::Brotli => out.push(0b11),
            // Last_Block 1, Block_Type 0, Block_Size 0.
            #[cfg(feature = "zstd")]
            Format::Zstd => little(3, 1, out),
        }
    }

    fn start(&mut self, padding: usize, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_header, true) {
            return;
        }
        match &self.format {
            #[cfg(feature = "gzip")]
            Format::Deflate(container) => container.header(padding, out),
            #[cfg(feature = "brotli")]
            Format::Brotli => {
                // WBITS 0 (a window of 64 KB), and an empty block of metadata that ends at a byte:
                // ISLAST 0, MNIBBLES 3, reserved 0, MSKIPBYTES 0.
                out.push(0b000_1100);
                if padding > 0 {
                    let length = padding.min(1 << 16);
                    let last = (length - 1) as u32;
                    // A second byte of the length must not be zero.
                    let count = if last > 0xff { 2 } else { 1 };
                    little(count + 1, 0b110 | (count as u32) << 4 | last << 6, out);
                    out.resize(out.len() + length, b' ');
                }
            }
            #[cfg(feature = "zstd")]
            Format::Zstd => {
                if padding > 0 {
                    super::zstd::skippable(padding, out);
                }
                // No size, no check, and a window of 128 KB.
                out.extend_from_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3]);
            }
        }
    }
}

/// Appends the lowest `count` bytes of `value`, the lowest first.
#[cfg(any(feature = "brotli", feature = "zstd"))]
fn little(count: usize, value: u32, out: &mut Vec<u8>) {
    out.extend(value.to_le_bytes().into_iter().take(count));
}

/// The size of a block, which fits every format and the smallest window of our encoders.
pub(crate) const BLOCK: usize = 16 * 1024;

/// BFINAL 1, BTYPE 0, LEN 0, NLEN.
#[cfg(feature = "gzip")]
const LAST_STORED_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];
