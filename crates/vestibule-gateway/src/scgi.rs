//! SCGI: a netstring of headers, and the body.
//!
//! ```text
//! request = length ":" *( name NUL value NUL ) "," body
//! ```
//!
//! Source: SCGI: A Simple Common Gateway Interface alternative, 2008-06-23. `CONTENT_LENGTH` is the
//! first header, and `SCGI` is `1`.

use vestibule_environ::Environ;

use crate::exchange::{Limits, Malformed};

/// Reads the headers; `None` when more bytes are needed, otherwise the headers and their length in
/// bytes.
#[doc(hidden)]
pub fn head(buffer: &[u8], limits: &Limits) -> Result<Option<(Environ, usize)>, Malformed> {
    let digits = buffer
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = buffer.split_at(digits);
    let rest = match rest {
        [b':', rest @ ..] => Some(rest),
        [] => None,
        _ => return Err(Malformed::Protocol("the netstring has no length")),
    };
    let is_length = match digits {
        [] => rest.is_none(),
        [b'0', ..] => false,
        digits => digits.len() <= MAX_DIGITS,
    };
    if !is_length {
        return Err(Malformed::Protocol(
            "the length of the netstring is not a number",
        ));
    }
    let Some(rest) = rest else {
        return Ok(None);
    };
    let length = digits.iter().fold(0_usize, |length, digit| {
        length
            .saturating_mul(10)
            .saturating_add((digit & 15).into())
    });
    if length > limits.max_params_bytes {
        return Err(Malformed::TooLarge);
    }
    match rest.split_at_checked(length) {
        None | Some((_, [])) => Ok(None),
        Some((text, [b',', after @ ..])) => {
            let taken = buffer.len().saturating_sub(after.len());
            Ok(Some((headers(text, limits)?, taken)))
        }
        Some(_) => Err(Malformed::Protocol("the netstring does not end in a comma")),
    }
}

fn headers(text: &[u8], limits: &Limits) -> Result<Environ, Malformed> {
    let text = text
        .strip_suffix(b"\0")
        .ok_or(Malformed::Protocol("the last header has no end"))?;
    let mut environ = Environ::new();
    let mut parts = text.split(|byte| *byte == 0);
    while let Some(name) = parts.next() {
        let value = parts
            .next()
            .ok_or(Malformed::Protocol("a header has no value"))?;
        if environ.is_empty() && (name != b"CONTENT_LENGTH" || value.is_empty()) {
            return Err(Malformed::Protocol(
                "CONTENT_LENGTH is not the first header",
            ));
        }
        limits.push(&mut environ, name, value)?;
    }
    match environ.get("SCGI") {
        Some(b"1") => Ok(environ),
        _ => Err(Malformed::Protocol("the header SCGI is not 1")),
    }
}

const MAX_DIGITS: usize = 7;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn netstring(headers: &str) -> String {
        format!("{}:{headers},", headers.len())
    }

    const GOOD: &str = "CONTENT_LENGTH\x003\0SCGI\x001\0A\0b\0";

    #[test]
    fn good_heads() {
        let text = netstring(GOOD) + "abc";
        let (environ, length) = head(text.as_bytes(), &Limits::default()).unwrap().unwrap();
        assert_eq!(&text[length..], "abc");
        assert_eq!(environ.get("A"), Some(&b"b"[..]));
        for end in 0..length {
            let part = head(&text.as_bytes()[..end], &Limits::default());
            assert!(part.unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn bad_heads() {
        let cases = [
            "0:,".to_owned(),
            "00010:".to_owned(),
            "12345678:".to_owned(),
            "12345678".to_owned(),
            "9999999999:".to_owned(),
            ":".to_owned(),
            "-1:".to_owned(),
            " 1:".to_owned(),
            "GET / HTTP/1.1".to_owned(),
            netstring(GOOD).replace(",", ";"),
            netstring("SCGI\x001\0CONTENT_LENGTH\x000\0"),
            netstring("SCGI\x001\0"),
            netstring("CONTENT_LENGTH\0\0SCGI\x001\0"),
            netstring("CONTENT_LENGTH\x000\0SCGI\x002\0"),
            netstring("CONTENT_LENGTH\x000\0"),
            netstring("CONTENT_LENGTH\x000\0SCGI\x001\0A\0"),
            netstring("CONTENT_LENGTH\x000\0SCGI\x001"),
        ];
        for text in cases {
            let got = head(text.as_bytes(), &Limits::default());
            assert!(
                matches!(got, Err(Malformed::Protocol(_))),
                "{text:?}: {got:?}"
            );
        }
    }

    #[test]
    fn large_heads() {
        let large = |text: String| head(text.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(large("300000:".to_owned()), Malformed::TooLarge);
        let many = "A\0b\0".repeat(300);
        assert_eq!(
            large(netstring(&(GOOD.to_owned() + &many))),
            Malformed::TooLarge
        );
        let long = format!("{GOOD}B\0{}\0", "x".repeat(40_000));
        assert_eq!(large(netstring(&long)), Malformed::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(text in "[0-9]{0,3}:?[A-C\0,]{0,40}") {
            if let Ok(Some((_, length))) = head(text.as_bytes(), &Limits::default()) {
                prop_assert!(length <= text.len());
            }
        }
    }
}
