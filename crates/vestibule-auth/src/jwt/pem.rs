//! Keys in PEM files.
//!
//! Source: RFC 7468, section 2 (text around a block does not disturb), 10 (`PRIVATE KEY`) and 13
//! (`PUBLIC KEY`).

use base64ct::{Base64, Encoding};

use super::key::KeyError;

/// One block: its label and its bytes.
pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Vec<u8>,
}

/// Reads the one key of a text, of which other lines are comments.
///
/// Certificates and `EC PARAMETERS`, which OpenSSL writes in front of some keys, are passed over when
/// there is a key as well.
pub(super) fn key(text: &str) -> Result<Block, KeyError> {
    let mut blocks = blocks(text)?;
    let is_key = |block: &Block| block.label.ends_with("KEY");
    let count = blocks.iter().filter(|block| is_key(block)).count();
    match (count, blocks.first()) {
        (1, _) => {
            let at = blocks.iter().position(is_key).unwrap_or(0);
            Ok(blocks.swap_remove(at))
        }
        (0, None) => Err(KeyError(
            "there is no `-----BEGIN ...-----` line: it is not PEM, or the line is broken",
        )),
        (0, Some(first)) if first.label == "CERTIFICATE" => Err(KeyError(
            "it is a certificate; its public key comes from `openssl x509 -pubkey -noout -in FILE`",
        )),
        (0, Some(_)) => Err(KeyError("there is no key in its PEM blocks")),
        _ => Err(KeyError("it has more than one key; make one file for each")),
    }
}

fn blocks(text: &str) -> Result<Vec<Block>, KeyError> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = boundary(line, "BEGIN") else {
            // `-----END A----------BEGIN B-----`, of files that were joined without a newline.
            if line.contains("-----BEGIN ") {
                return Err(KeyError("a `-----BEGIN` does not start its line"));
            }
            continue;
        };
        let mut base64 = String::new();
        let mut is_ended = false;
        for line in lines.by_ref() {
            match boundary(line, "END") {
                Some(end) if end == label => {
                    is_ended = true;
                    break;
                }
                Some(_) => return Err(KeyError("a PEM block ends with another label")),
                // Headers of old encrypted keys (RFC 1421): `Proc-Type: 4,ENCRYPTED`.
                None if line.contains("ENCRYPTED") => return Err(ENCRYPTED),
                None if line.contains("-----") => {
                    return Err(KeyError(
                        "a PEM block has no `-----END` on a line of its own",
                    ));
                }
                None => base64.extend(line.split_ascii_whitespace()),
            }
        }
        if !is_ended {
            return Err(KeyError("a PEM block has no `-----END` line"));
        }
        if label == "ENCRYPTED PRIVATE KEY" {
            return Err(ENCRYPTED);
        }
        let der = Base64::decode_vec(&base64)
            .map_err(|_| KeyError("a PEM block has characters that are not Base64"))?;
        blocks.push(Block {
            label: label.to_owned(),
            der,
        });
    }
    Ok(blocks)
}

fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?
        .strip_prefix(word)?
        .strip_prefix(' ')?
        .strip_suffix("-----")
        .filter(|label| !label.contains("-----"))
}

const ENCRYPTED: KeyError =
    KeyError("it is encrypted; `openssl pkey -in FILE -out FILE.plain` decrypts it");

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Result<String, &'static str> {
        key(text).map(|block| block.label).map_err(|error| error.0)
    }

    #[test]
    fn rfc7468_2_text_around_a_block_does_not_disturb() {
        let block = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
        let good = [
            block.to_owned(),
            format!("# prod key\n{block}\n"),
            format!(
                "Bag Attributes\n    friendlyName: a\nKey Attributes: <No Attributes>\n\n{block}"
            ),
            format!("{block}\n# the end"),
            block.replace('\n', "\r\n"),
            block.replace('\n', "\n\n  "),
            format!("\u{feff}\n{block}"),
            format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{block}"),
            block.replace("AAAA", "AA\nAA"),
        ];
        for text in good {
            assert_eq!(labels(&text).as_deref(), Ok("PUBLIC KEY"), "{text}");
        }
    }

    #[test]
    fn faults_have_their_names() {
        let block = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let bad = [
            ("".to_owned(), "not PEM"),
            ("AAAA".to_owned(), "not PEM"),
            (format!("{block}\n{block}"), "more than one key"),
            (format!("{certificate}{block}"), "no `-----END`"),
            (certificate.to_owned(), "openssl x509"),
            (block.replace("END PUBLIC", "END PRIVATE"), "another label"),
            (block.replace("AAAA", "A?AA"), "not Base64"),
            (
                block.replace("\n-----END PUBLIC KEY-----", ""),
                "no `-----END`",
            ),
            (block.replace("PUBLIC", "ENCRYPTED PRIVATE"), "encrypted"),
            (
                block
                    .replace("PUBLIC", "RSA PRIVATE")
                    .replace("AAAA", "Proc-Type: 4,ENCRYPTED\n\nAAAA"),
                "encrypted",
            ),
        ];
        for (text, part) in bad {
            let error = labels(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_key_or_an_error(
            text in "(-----BEGIN [A-Z ]{0,12}-----|-----END [A-Z ]{0,12}-----|[A-Za-z0-9+/=\n -]{0,9}){0,6}",
        ) {
            let _ = key(&text);
        }
    }
}
