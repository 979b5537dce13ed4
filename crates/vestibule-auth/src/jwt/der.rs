//! Values in DER, with lengths of at most two bytes: keys are not longer.
//!
//! Source: ITU-T X.690, section 8.1 and 10.1.

/// Splits one value with this tag from what follows it.
pub(super) fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match *head {
        [own, _] if own != tag => return None,
        [_, length @ ..=0x7f] => (usize::from(length), rest),
        [_, 0x81] => (usize::from(*rest.first()?), &rest[1..]),
        [_, 0x82] => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
