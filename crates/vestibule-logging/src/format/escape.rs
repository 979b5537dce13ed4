//! What makes a byte that a client chose safe in a line, and a line safe on a terminal.

/// Appends `text` with everything escaped that is not printable ASCII, a quote or a backslash:
/// `\x1B`. Since a backslash is escaped as well, what was escaped can be told from what was not.
pub(crate) fn escape(text: &[u8], line: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
        let (plain, from) = rest.split_at(at);
        line.extend_from_slice(plain);
        line.extend_from_slice(b"\\x");
        line.push(HEX[usize::from(from[0] >> 4)]);
        line.push(HEX[usize::from(from[0] & 15)]);
        rest = &from[1..];
    }
    line.extend_from_slice(rest);
}

const fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1F | 0x7F..)
}

/// Appends `text` as the inside of a JSON string (RFC 8259, section 7), in ASCII: what is not
/// printable is `\u001b`, what is no UTF-8 is `\ufffd`.
pub(super) fn escape_json(text: &[u8], line: &mut Vec<u8>) {
    if !text.iter().any(|&byte| needs_escape(byte)) {
        line.extend_from_slice(text);
        return;
    }
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '"' => line.extend_from_slice(b"\\\""),
            '\\' => line.extend_from_slice(b"\\\\"),
            ' '..='~' => line.push(c as u8),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    line.extend_from_slice(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        let digit = usize::from((*unit >> shift) & 15);
                        line.push(HEX[digit].to_ascii_lowercase());
                    }
                }
            }
        }
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_escaped_or_printable() {
        let all = (0..=255).collect::<Vec<_>>();
        let mut out = Vec::new();
        escape(&all, &mut out);
        assert!(out.iter().all(|byte| (0x20..0x7F).contains(byte)));
        assert!(out.ends_with(b"\\xFF") && out.starts_with(b"\\x00"));
        out.clear();
        escape_json(&all, &mut out);
        assert!(out.iter().all(|byte| (0x20..0x7F).contains(byte)));
        assert!(out.starts_with(b"\\u0000") && out.ends_with(b"\\ufffd"));
    }

    #[test]
    fn what_is_printable_stays() {
        let cases = [
            ("plain ~text", "plain ~text", "plain ~text"),
            ("a\"b\\c", "a\\x22b\\x5Cc", "a\\\"b\\\\c"),
            ("\u{202e}x", "\\xE2\\x80\\xAEx", "\\u202ex"),
            ("\u{1f600}", "\\xF0\\x9F\\x98\\x80", "\\ud83d\\ude00"),
            ("", "", ""),
        ];
        for (text, log, json) in cases {
            let mut line = Vec::new();
            escape(text.as_bytes(), &mut line);
            assert_eq!(String::from_utf8(line).unwrap(), log);
            let mut line = Vec::new();
            escape_json(text.as_bytes(), &mut line);
            assert_eq!(String::from_utf8(line).unwrap(), json);
        }
    }
}
