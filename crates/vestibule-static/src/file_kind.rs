//! The media type and the stored content coding of a file, from its name or, where the name is not
//! enough, from its first bytes.
//!
//! Source: RFC 9110, sections 8.3 (Content-Type), 8.4 (Content-Encoding), 8.8.3 (entity tags of
//! coded representations); WHATWG MIME Sniffing, section 3 ("binary data byte").

use std::io;
use std::str;

use http::HeaderValue;
use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};
use vestibule_fields::file_type::{FileType, extension};
use vestibule_fields::media_type::MediaType;

use crate::coding::{Coding, ZSTD_HEAD, is_zstd_for_the_web};
use crate::mime::UNKNOWN;
use crate::options::Options;
use crate::respond::{Representation, RequestParts};
use crate::source::{Stored, Wait};

/// The type of a file, and the content coding if it is stored in one.
#[derive(Clone, Debug)]
pub(crate) struct FileKind {
    pub(crate) content_type: HeaderValue,
    /// Whether sidecars are used. This also means that the bytes are worth compressing.
    pub(crate) may_have_sidecars: bool,
    pub(crate) coding: Option<StoredCoding>,
}

/// The content coding of a stored file that is not a download.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoredCoding {
    /// The value for `Content-Encoding`.
    token: &'static str,
    /// The type of the decoded bytes.
    content_type: HeaderValue,
    /// Whether clients that do not accept the coding also get it.
    is_for_all: bool,
}

impl FileKind {
    /// Determines the type and the coding. Reads from the file only if the name has no extension,
    /// or matches a pattern of files that are stored encoded.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the first bytes are not in memory and the request must not wait.
    pub(crate) fn of(
        options: &Options,
        name: &[u8],
        stored: &Stored,
        wait: Wait,
    ) -> io::Result<Self> {
        let known = FileType::of_name(name);
        let sidecars = options.precompressed;
        let (content_type, shrinks) = match (options.media_type_rule(name), known) {
            (Some(rule), _) => (rule.clone(), sidecars && type_shrinks(rule)),
            (None, Some(known)) => {
                let value = HeaderValue::from_static(known.media_type());
                (value, sidecars && known.shrinks())
            }
            (None, None) if may_be_text(name) && is_stored_text(stored, wait)? => (TEXT, sidecars),
            (None, None) => (HeaderValue::from_static(UNKNOWN), false),
        };
        let coding = match known.and_then(|known| known.coding()) {
            // A rule may set a type for a compressed file that is not decoded.
            Some(_) if is_gzip(&content_type) => None,
            Some(token) => Some(StoredCoding {
                token,
                content_type: content_type.clone(),
                is_for_all: true,
            }),
            None if options.is_stored_encoded(name) => {
                StoredCoding::of(options, name, stored, wait)?
            }
            None => None,
        };
        Ok(Self {
            content_type,
            may_have_sidecars: shrinks && coding.is_none(),
            coding,
        })
    }
}

impl StoredCoding {
    /// Returns the coding of a file that matches a pattern: by the suffix of its name, or else by
    /// its first bytes.
    fn of(options: &Options, name: &[u8], stored: &Stored, wait: Wait) -> io::Result<Option<Self>> {
        let (coding, inner) = match Coding::of_name(name) {
            Some((coding, inner)) => (Some(coding), inner),
            None => (Coding::of_head(&stored.head(ZSTD_HEAD, wait)?), name),
        };
        let known = FileType::of_name(inner);
        let Some(coding) =
            coding.filter(|_| known.is_none_or(|known| known.may_be_stored_encoded()))
        else {
            return Ok(None);
        };
        if coding == Coding::Zstd && !is_zstd_for_the_web(&stored.head(ZSTD_HEAD, wait)?) {
            return Ok(None);
        }
        // A rule for the requested name takes precedence over one for the name without the suffix.
        let rule = options.media_type_rule(name);
        let content_type = match rule.or_else(|| options.media_type_rule(inner)) {
            Some(rule) => rule.clone(),
            None => HeaderValue::from_static(known.map_or(UNKNOWN, |known| known.media_type())),
        };
        Ok(Some(Self {
            token: coding.token(),
            content_type,
            is_for_all: false,
        }))
    }

    /// Sets the coding of the response if the client accepts it or there is no other form.
    ///
    /// The bytes of both forms are the same, but a coded representation has its own tag (RFC 9110,
    /// section 8.8.3.3).
    pub(crate) fn apply(&self, asked: &RequestParts<'_>, file: &mut Representation) {
        if !self.is_for_all {
            file.varies_by_coding = true;
            let accepted = AcceptEncoding::from_headers(asked.headers).choose(&[self.token]);
            if accepted != Choice::Coding(self.token) {
                return;
            }
            file.stored.tag_coding(self.token);
        }
        file.encoding = Some(self.token);
        file.content_type = self.content_type.clone();
    }
}

/// Returns whether a file is worth compressing: by its name or, if the name has no extension, by
/// its first [`SNIFFED`] bytes. `head` reads these; `length` is that of the file.
#[cfg(feature = "precompress")]
pub(crate) fn shrinks(
    name: &[u8],
    length: u64,
    head: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<bool> {
    match FileType::of_name(name) {
        Some(known) => Ok(known.shrinks()),
        None if may_be_text(name) => {
            let head = head()?;
            Ok(is_text(&head, head.len() as u64 >= length))
        }
        None => Ok(false),
    }
}

/// Returns whether a name does not show the type of the file: it has no extension, or a number as
/// in `access.log.1` and `NEWS-2.0`.
fn may_be_text(name: &[u8]) -> bool {
    extension(name).is_none_or(|extension| extension.iter().all(u8::is_ascii_digit))
}

/// Returns whether the first bytes of a file are text. A disk error is reported later, when the
/// body is read.
fn is_stored_text(stored: &Stored, wait: Wait) -> io::Result<bool> {
    let mut buffer = [0; SNIFFED];
    match stored.read_start(&mut buffer, wait) {
        Ok(head) => Ok(is_text(head, head.len() as u64 >= stored.length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
        Err(_) => Ok(false),
    }
}

/// Returns whether the start of a file is UTF-8 text. `is_whole` says whether it is the whole file.
/// An empty file is text.
fn is_text(head: &[u8], is_whole: bool) -> bool {
    let is_binary = |byte: &u8| matches!(byte, 0..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    let is_utf8 = match str::from_utf8(head) {
        Ok(_) => true,
        // The end may be inside a character.
        Err(error) => !is_whole && error.error_len().is_none(),
    };
    is_utf8 && !head.iter().any(is_binary)
}

fn type_shrinks(content_type: &HeaderValue) -> bool {
    MediaType::parse(content_type).is_some_and(|media| media.shrinks())
}

fn is_gzip(content_type: &HeaderValue) -> bool {
    MediaType::parse(content_type)
        .is_some_and(|media| media.is("application/gzip") || media.is("application/x-gzip"))
}

/// Number of bytes that are read of a file without an extension.
pub(crate) const SNIFFED: usize = 512;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf8_without_binary_bytes() {
        let long = [b"x".repeat(SNIFFED - 1), vec![0xc3]].concat();
        let cases: &[(&[u8], bool, bool)] = &[
            (b"", true, true),
            (b"MIT License\r\n\tCopyright\x0c\n", true, true),
            ("Café".as_bytes(), true, true),
            (b"\xef\xbb\xbfwith a mark", true, true),
            (b"\x1b[31mred\x1b[0m", true, true),
            (b"<!doctype html><script>", true, true),
            (b"#!/bin/sh\n", true, true),
            (&long, false, true),
            (&long, true, false),
            (b"caf\xe9", true, false),
            (b"caf\xe9 au lait", false, false),
            (b"\xff\xfea\0b\0", true, false),
            (b"\xfe\xff\0a\0b", true, false),
            (b"text\0", true, false),
            (b"\x7fELF\x02\x01", false, false),
            (b"\x1f\x8b\x08", false, false),
            (b"\x89PNG\r\n\x1a\n", false, false),
            (b"\xf0\x9f\x98", false, true),
            (b"\xf0\x9f\x98", true, false),
            (b"\xf0\x9f\x28\x80", false, false),
            (b"\x80", false, false),
        ];
        for (head, is_whole, expected) in cases {
            assert_eq!(is_text(head, *is_whole), *expected, "{head:x?}");
        }
    }

    #[test]
    fn names_without_a_known_type() {
        let cases = [
            ("LICENSE", true),
            ("a/b/Makefile", true),
            (".gitignore", true),
            ("access.log.1", true),
            ("NEWS-2.0", true),
            ("a.b/copyright", true),
            ("ends.", true),
            ("a.unknown", false),
            ("a.x1", false),
        ];
        for (name, expected) in cases {
            assert_eq!(may_be_text(name.as_bytes()), expected, "{name}");
        }
    }
}
