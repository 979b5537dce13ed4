//! PEM: blocks of Base64 between two lines.
//!
//! Source: RFC 7468, section 2 and 3; RFC 1421, section 4.6 (headers of encrypted keys).

use std::error::Error;
use std::fmt;

use base64ct::{Base64, Encoding};

/// One block of a file.
///
/// Its `Debug` form does not show the bytes, which may be a private key.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Block {
    /// The words after `BEGIN`, such as `CERTIFICATE` or `PRIVATE KEY`.
    pub label: String,
    /// The number of the `-----BEGIN` line; the first line of a file is 1.
    pub line: usize,
    /// The bytes that the Base64 stands for.
    pub der: Vec<u8>,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("label", &self.label)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// Reads all blocks of a file, in their order. There is at least one.
///
/// Lines end with LF, CRLF or CR. A byte order mark and blanks around a line are ignored.
///
/// # Errors
///
/// When the file has no block, and at the first part that looks like a block and is broken or encrypted.
pub fn blocks(file: &[u8]) -> Result<Vec<Block>, PemError> {
    let text = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    if let Some(fault) = other_form(text) {
        return Err(PemError { line: None, fault });
    }
    let mut blocks = Vec::new();
    let mut lines = lines(text).zip(1..);
    while let Some((line, number)) = lines.next() {
        match Line::of(line) {
            Line::Text => {}
            Line::Der => return Err(PemError::at(number, PemFault::StrayBase64)),
            Line::Fault(fault) => return Err(PemError::at(number, fault)),
            Line::End(_) => return Err(PemError::at(number, PemFault::NoBegin)),
            Line::Begin(label) => blocks.push(block(label, number, &mut lines)?),
        }
    }
    if blocks.is_empty() {
        let fault = PemFault::NoBlock;
        return Err(PemError { line: None, fault });
    }
    Ok(blocks)
}

/// Reads a block after its first line, which has the number `begin`.
fn block<'a>(
    label: &str,
    begin: usize,
    lines: &mut impl Iterator<Item = (&'a [u8], usize)>,
) -> Result<Block, PemError> {
    let mut base64 = Vec::new();
    for (line, number) in lines {
        match Line::of(line) {
            Line::End(end) if end == label => {
                if label == "ENCRYPTED PRIVATE KEY" {
                    return Err(PemError::at(begin, PemFault::Encrypted));
                }
                // Padding or length: no single line is wrong.
                let der = std::str::from_utf8(&base64).ok();
                let der = der.and_then(|text| Base64::decode_vec(text).ok());
                let der = der.ok_or(PemError::at(begin, PemFault::NotBase64))?;
                if der.is_empty() {
                    return Err(PemError::at(begin, PemFault::Empty));
                }
                return Ok(Block {
                    label: label.to_owned(),
                    line: begin,
                    der,
                });
            }
            Line::End(_) => return Err(PemError::at(number, PemFault::OtherLabel)),
            Line::Begin(_) => return Err(PemError::at(begin, PemFault::NoEnd)),
            Line::Der => base64.extend(digits(line)),
            Line::Fault(fault) => return Err(PemError::at(number, fault)),
            Line::Text => {
                let is_header = line.contains(&b':');
                if is_header && line.windows(9).any(|part| part == b"ENCRYPTED") {
                    return Err(PemError::at(begin, PemFault::Encrypted));
                }
                let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
                let count = base64.len();
                base64.extend(digits(line));
                if is_header || !base64[count..].iter().copied().all(is_base64) {
                    return Err(PemError::at(number, PemFault::NotBase64));
                }
            }
        }
    }
    Err(PemError::at(begin, PemFault::NoEnd))
}

/// The characters of a line without blanks.
fn digits(line: &[u8]) -> impl Iterator<Item = u8> {
    line.iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
}

/// One line of a file.
enum Line<'a> {
    /// `-----BEGIN label-----`
    Begin(&'a str),
    /// `-----END label-----`
    End(&'a str),
    /// Base64 inside a block, a comment outside.
    Text,
    /// The first line of a certificate's or a key's Base64.
    Der,
    /// Nearly a boundary.
    Fault(PemFault),
}

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Self {
        if let Some(label) = boundary(line, "-----BEGIN ") {
            return Self::Begin(label);
        }
        if let Some(label) = boundary(line, "-----END ") {
            return Self::End(label);
        }
        let has = |part: &[u8]| line.windows(part.len()).any(|window| window == part);
        let begins = has(b"-----BEGIN");
        if has(b"-----END") && begins {
            return Self::Fault(PemFault::Joined);
        }
        // Also with too few dashes, or with a blank between them and the word.
        let is_near = line.starts_with(b"--") && (has(b"BEGIN") || has(b"END"));
        if is_near || begins || has(b"-----END") {
            return Self::Fault(PemFault::Boundary);
        }
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        // Certificates and keys are SEQUENCEs of more than 255 bytes, or of less than 256.
        let is_der =
            line.starts_with(b"MII") || line.starts_with(b"MIG") || line.starts_with(b"MHc");
        if is_der && line.len() >= 48 && line.iter().all(is_base64) {
            return Self::Der;
        }
        Self::Text
    }
}

/// The label of a line that is a boundary from end to end.
fn boundary<'a>(line: &'a [u8], start: &str) -> Option<&'a str> {
    let label = line
        .strip_prefix(start.as_bytes())?
        .strip_suffix(b"-----")?;
    let label = std::str::from_utf8(label).ok()?;
    (!label.contains("--") && !label.is_empty()).then_some(label)
}

/// The lines of a file without their ends and without blanks around them.
///
/// Nothing is counted twice: the LF of a CRLF belongs to the CR.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(end) = end else {
            rest = None;
            return Some(text.trim_ascii());
        };
        let length = if text[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + length..]);
        Some(text[..end].trim_ascii())
    })
}

/// A file that is not text, as far as its first bytes show.
fn other_form(file: &[u8]) -> Option<PemFault> {
    match file {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(PemFault::Utf16),
        // A SEQUENCE that begins with the version 3 (RFC 7292, section 4).
        [0x30, 0x82, _, _, 0x02, 0x01, 0x03, ..] => Some(PemFault::Pkcs12),
        // A SEQUENCE that begins with another value; `0` with a control character behind it is not text.
        [0x30, 0x81..=0x84, ..] | [0x30, ..=0x08 | 0x0e..=0x1f, ..] => Some(PemFault::Der),
        // Ed25519 keys have 46 bytes, which is the character `.`.
        [0x30, length, 0x02 | 0x30, ..] if usize::from(*length) + 2 == file.len() => {
            Some(PemFault::Der)
        }
        _ => None,
    }
}

/// Why a file cannot be read; the text begins with the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PemError {
    line: Option<usize>,
    fault: PemFault,
}

impl PemError {
    const fn at(line: usize, fault: PemFault) -> Self {
        Self {
            line: Some(line),
            fault,
        }
    }

    /// The number of the line, or `None` when the whole file is meant. The first line is 1.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// The kind of fault.
    #[must_use]
    pub const fn fault(&self) -> PemFault {
        self.fault
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(self.fault.as_str())
    }
}

impl Error for PemError {}

/// The kinds of faults in a PEM file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemFault {
    /// The file has no block.
    NoBlock,
    /// The file holds the bytes themselves.
    Der,
    /// The file is a PKCS #12 store.
    Pkcs12,
    /// The file is text of two bytes a character.
    Utf16,
    /// A line is nearly a boundary of a block.
    Boundary,
    /// An END and a BEGIN are on one line.
    Joined,
    /// A block ends that has not begun.
    NoBegin,
    /// A block begins and does not end.
    NoEnd,
    /// The END of a block has another label than its BEGIN.
    OtherLabel,
    /// A block holds something other than Base64.
    NotBase64,
    /// Base64 of a certificate or key is outside of a block.
    StrayBase64,
    /// A block holds no bytes.
    Empty,
    /// A private key is encrypted.
    Encrypted,
}

impl PemFault {
    /// Says what is wrong, and how it is put right.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoBlock => {
                "there is no `-----BEGIN ...-----` line: it is not PEM, or the line is broken"
            }
            Self::Der => {
                "it is DER, not PEM; `openssl x509 -inform DER -in FILE -out FILE.pem` converts a certificate, \
                 `openssl pkey -inform DER -in FILE -out FILE.pem` a key"
            }
            Self::Pkcs12 => {
                "it is PKCS #12, not PEM; `openssl pkcs12 -in FILE -nodes -out FILE.pem` converts it"
            }
            Self::Utf16 => "it is text in UTF-16; save it as UTF-8 or ASCII",
            Self::Boundary => {
                "the line is not exactly `-----BEGIN LABEL-----` or `-----END LABEL-----`, with five dashes and nothing around it"
            }
            Self::Joined => {
                "two blocks meet on the same line: a newline is missing between `-----END ...-----` and `-----BEGIN ...-----`"
            }
            Self::NoBegin => "a block ends that has no `-----BEGIN ...-----` line",
            Self::NoEnd => "a block begins that has no `-----END ...-----` line: it is cut off",
            Self::OtherLabel => "a block ends with another label than it began with",
            Self::NotBase64 => "the block has something in it that is not Base64",
            Self::StrayBase64 => {
                "Base64 of a certificate or key is outside of a block: the `-----BEGIN ...-----` line is missing"
            }
            Self::Empty => "the block is empty",
            Self::Encrypted => {
                "it is encrypted; `openssl pkey -in FILE -out FILE.plain` decrypts it"
            }
        }
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nMAAwAA==\n-----END CERTIFICATE-----";

    #[test]
    fn rfc7468_2_text_around_blocks_does_not_disturb() {
        let lines_of_blocks = |text: &[u8]| -> Vec<usize> {
            let blocks = blocks(text).unwrap();
            assert!(blocks.iter().all(|block| block.der == [0x30, 0, 0x30, 0]));
            blocks.iter().map(|block| block.line).collect()
        };
        let cases = [
            (BLOCK.to_owned(), &[1][..]),
            (format!("{BLOCK}\n"), &[1]),
            (format!("{BLOCK}\n{BLOCK}\n"), &[1, 4]),
            (format!("# of a.test\n\n{BLOCK}\nThe end."), &[3]),
            (
                format!(" s:/CN=a\n i:/CN=b\n{BLOCK}\n---\nServer certificate\n{BLOCK}"),
                &[3, 8],
            ),
            (
                format!("Bag Attributes\n    friendlyName: a\nsubject=CN = a\n{BLOCK}"),
                &[4],
            ),
            (
                format!("Certificate:\n    Data:\n        30:82\n{BLOCK}"),
                &[4],
            ),
            (format!("{BLOCK}\n{BLOCK}").replace('\n', "\r\n"), &[1, 4]),
            (format!("{BLOCK}\n{BLOCK}").replace('\n', "\r"), &[1, 4]),
            (BLOCK.replace('\n', " \n\n\t "), &[1]),
            (format!("\u{feff}{BLOCK}"), &[1]),
            (BLOCK.replace("MAAw", "MA\nAw"), &[1]),
            (BLOCK.replace("MAAw", "MA Aw"), &[1]),
            (format!("a - - b --- END of text\n{BLOCK}"), &[2]),
        ];
        for (text, lines) in cases {
            assert_eq!(lines_of_blocks(text.as_bytes()), lines, "{text:?}");
        }
        // A comment in another encoding than UTF-8.
        let latin = [b"# M\xfcller\n", BLOCK.as_bytes()].concat();
        assert_eq!(lines_of_blocks(&latin), [2]);
    }

    #[test]
    fn each_fault_has_its_line() {
        use PemFault::*;
        let two = format!("{BLOCK}\n{BLOCK}\n");
        let long = "MIIB".repeat(16);
        let cases = [
            (String::new(), None, NoBlock),
            ("MAAwAA==\n".to_owned(), None, NoBlock),
            (format!("{BLOCK}{BLOCK}"), Some(3), Joined),
            (format!("{BLOCK} {BLOCK}"), Some(3), Joined),
            (
                two.replacen("-----END CERTIFICATE-----\n", "", 1),
                Some(1),
                NoEnd,
            ),
            (
                two.replacen("CERTIFICATE-----\nMA", "CERTIFICATE----\nMA", 1),
                Some(1),
                Boundary,
            ),
            (
                format!("{BLOCK}\n{BLOCK}").replacen("\n-----E", "\n----E", 1),
                Some(3),
                Boundary,
            ),
            (format!("{BLOCK}\n-- {BLOCK}"), Some(4), Boundary),
            (format!("{BLOCK}\n# {BLOCK}"), Some(4), Boundary),
            (
                format!("{BLOCK}\n---- BEGIN SSH2 PUBLIC KEY ----\n"),
                Some(4),
                Boundary,
            ),
            (format!("{BLOCK}\n-----BEGIN-----\n"), Some(4), Boundary),
            (format!("{BLOCK}\n-----BEGIN A-----"), Some(4), NoEnd),
            (format!("{BLOCK}\n-----BEGIN A-----\nMAA"), Some(4), NoEnd),
            (
                format!("{BLOCK}\n-----BEGIN A-----\nMAA=\n-----END A"),
                Some(6),
                Boundary,
            ),
            (
                format!("{BLOCK}\nMAA=\n-----END CERTIFICATE-----"),
                Some(5),
                NoBegin,
            ),
            (format!("{BLOCK}\n{long}\n"), Some(4), StrayBase64),
            (
                BLOCK.replace("END CERTIFICATE", "END KEY"),
                Some(3),
                OtherLabel,
            ),
            (BLOCK.replace("MAAw", "MA?w"), Some(2), NotBase64),
            (
                BLOCK.replace("MAAw", "Version: 2\n\nMAAw"),
                Some(2),
                NotBase64,
            ),
            (BLOCK.replace("==", "="), Some(1), NotBase64),
            (BLOCK.replace("MAAw", "MAA"), Some(1), NotBase64),
            (BLOCK.replace("MAAwAA==\n", ""), Some(1), Empty),
            (
                BLOCK.replace("CERTIFICATE", "ENCRYPTED PRIVATE KEY"),
                Some(1),
                Encrypted,
            ),
            (
                BLOCK.replace("MAAw", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nMAAw"),
                Some(1),
                Encrypted,
            ),
        ];
        for (text, line, fault) in cases {
            for text in [text.clone(), text.replace('\n', "\r\n")] {
                let error = blocks(text.as_bytes()).unwrap_err();
                assert_eq!((error.line(), error.fault()), (line, fault), "{text:?}");
            }
        }
        let binary: [(&[u8], PemFault); 6] = [
            (&[0x30, 0x82, 4, 9, 0x30, 0x82], Der),
            (&[0x30, 0x81, 0x87, 2, 1, 0], Der),
            (&[[0x30, 0x2e, 0x02].as_slice(), &[9; 45]].concat(), Der),
            (&[0x30, 0x82, 9, 9, 2, 1, 3, 0x30], Pkcs12),
            (b"\xff\xfe-\0-\0", Utf16),
            (b"\xfe\xff\0-\0-", Utf16),
        ];
        for (bytes, fault) in binary {
            assert_eq!(blocks(bytes).unwrap_err().fault(), fault, "{bytes:x?}");
        }
    }

    #[test]
    fn the_bytes_of_a_block_are_not_printed() {
        let shown = format!("{:?}", blocks(BLOCK.as_bytes()).unwrap());
        assert_eq!(shown, "[Block { label: \"CERTIFICATE\", line: 1, .. }]");
    }

    proptest::proptest! {
        /// As many blocks as there are BEGIN lines, or an error.
        #[test]
        fn no_block_is_lost(
            parts in proptest::collection::vec(
                "(-----BEGIN [AB]-----\n|-----END [AB]-----\n|-----BEGIN A-----|MAA=\n|[A-Za-z0-9+/=\r\n -]{0,9}){0,6}",
                0..4,
            ),
        ) {
            let text = parts.concat();
            if let Ok(blocks) = blocks(text.as_bytes()) {
                proptest::prop_assert_eq!(blocks.len(), text.matches("-----BEGIN").count());
                proptest::prop_assert_eq!(blocks.len(), text.matches("-----END").count());
            }
        }
    }
}
