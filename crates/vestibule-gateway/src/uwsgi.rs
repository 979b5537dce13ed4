//! The uwsgi protocol: four bytes, variables, and the body.
//!
//! ```text
//! request  = modifier1(1) datasize(2, little-endian) modifier2(1) *variable body
//! variable = length(2, little-endian) name length(2, little-endian) value
//! ```
//!
//! Source: "The uwsgi Protocol", uWSGI documentation. Only modifier 0, a WSGI request, is
//! supported.

use vestibule_environ::Environ;

use crate::exchange::{Limits, Malformed};

/// Reads the variables; `None` when more bytes are needed, otherwise the variables and their length
/// in bytes.
#[doc(hidden)]
pub fn head(buffer: &[u8], limits: &Limits) -> Result<Option<(Environ, usize)>, Malformed> {
    match buffer.first() {
        Some(0) | None => {}
        Some(_) => return Err(Malformed::Protocol("the modifier is not 0")),
    }
    let Some([_, low, high, _]) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    if length > limits.max_params_bytes {
        return Err(Malformed::TooLarge);
    }
    let Some(mut rest) = buffer.get(HEAD..HEAD + length) else {
        return Ok(None);
    };
    let mut environ = Environ::new();
    while !rest.is_empty() {
        let name = text(&mut rest)?;
        let value = text(&mut rest)?;
        limits.push(&mut environ, name, value)?;
    }
    Ok(Some((environ, HEAD + length)))
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let lie = Malformed::Protocol("a variable is longer than all of them");
    let (length, after) = rest.split_first_chunk::<2>().ok_or(lie)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (text, after) = after.split_at_checked(length).ok_or(lie)?;
    *rest = after;
    Ok(text)
}

const HEAD: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &[u8] = b"\0\x0c\0\0\x01\0A\x02\0bc\x01\0B\0\0";

    #[test]
    fn good_heads() {
        let (environ, length) = head(GOOD, &Limits::default()).unwrap().unwrap();
        assert_eq!(length, GOOD.len());
        assert_eq!(environ.get("A"), Some(&b"bc"[..]));
        assert_eq!(environ.get("B"), Some(&b""[..]));
        for end in 0..GOOD.len() {
            assert!(head(&GOOD[..end], &Limits::default()).unwrap().is_none());
        }
    }

    #[test]
    fn bad_heads() {
        let cases: [&[u8]; 6] = [
            b"\x01\0\0\0",
            b"GET / HTTP/1.1",
            b"\0\x01\0\0\x01",
            b"\0\x02\0\0\xff\xff",
            b"\0\x03\0\0\x01\0A",
            b"\0\x05\0\0\x01\0A\x01\0",
        ];
        for bytes in cases {
            let got = head(bytes, &Limits::default());
            assert!(
                matches!(got, Err(Malformed::Protocol(_))),
                "{bytes:?}: {got:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(mut bytes in proptest::collection::vec(0..4_u8, 0..60)) {
            bytes.splice(0..0, [0]);
            if let Ok(Some((_, length))) = head(&bytes, &Limits::default()) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
