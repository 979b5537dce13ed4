//! DER, in which the values of certificates and keys are written.
//!
//! Source: ITU-T X.690, section 8.1 (tag, length, contents).

/// Reads DER values one after another; nothing panics, whatever the bytes are.
///
/// A tag is its one byte, such as `0x30` for a SEQUENCE. Tags of more than one byte are not read: certificates and keys
/// have none.
///
/// ```
/// use vestibule_pem::Der;
///
/// // SEQUENCE { INTEGER 5, NULL }
/// let mut outer = Der::new(&[0x30, 5, 0x02, 1, 5, 0x05, 0]);
/// let mut inner = outer.inside(0x30).unwrap();
/// assert_eq!(inner.value(0x02), Some(&[5][..]));
/// assert_eq!(inner.any(), Some((0x05, &[][..])));
/// assert!(inner.is_empty() && outer.is_empty());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns whether all values have been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the next value, whatever its tag is: the tag and the contents. `None` when there is not a whole value.
    pub fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let has_long_tag = tag & 0x1f == 0x1f;
        let (length, rest) = match first {
            ..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = length.iter().try_fold(0_usize, |sum, byte| {
                    sum.checked_mul(256)?.checked_add(usize::from(*byte))
                })?;
                (length, rest)
            }
            // An indefinite length is not DER.
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        if has_long_tag {
            return None;
        }
        self.0 = rest;
        Some((tag, contents))
    }

    /// Reads the next value if its tag is `tag`: its contents. `None` leaves the value unread.
    pub fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() != Some(&tag) {
            return None;
        }
        self.any().map(|(_, contents)| contents)
    }

    /// As [`value`](Self::value), for a value that consists of values.
    pub fn inside(&mut self, tag: u8) -> Option<Self> {
        self.value(tag).map(Self)
    }

    /// As [`any`](Self::any), but returns the whole value: tag, length and contents.
    pub fn whole(&mut self) -> Option<&'a [u8]> {
        let before = self.0;
        self.any()?;
        Some(&before[..before.len() - self.0.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_lies_are_refused() {
        let long = [&[0x04, 0x82, 1, 0][..], &[7; 256]].concat();
        let cases: [(&[u8], Option<usize>); 11] = [
            (&[0x04, 0], Some(0)),
            (&[0x04, 1, 9], Some(1)),
            (&[0x04, 0x81, 1, 9], Some(1)),
            (&long, Some(256)),
            (&long[..259], None),
            (&[], None),
            (&[0x04], None),
            (&[0x04, 1], None),
            (&[0x04, 0x80, 0, 0], None),
            (&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], None),
            (&[0x1f, 0], None),
        ];
        for (bytes, length) in cases {
            let mut der = Der::new(bytes);
            let read = der.any().map(|(_, contents)| contents.len());
            assert_eq!(read, length, "{bytes:x?}");
            // A value that is not read stays.
            assert_eq!(
                der.is_empty(),
                length.is_some() || bytes.is_empty(),
                "{bytes:x?}"
            );
        }
        assert_eq!(Der::new(&[0x04, 1, 9]).value(0x02), None);
        assert_eq!(Der::new(&[0x04, 1, 9, 5]).whole(), Some(&[0x04, 1, 9][..]));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let mut der = Der::new(&bytes);
            while der.any().is_some() {}
        }
    }
}
