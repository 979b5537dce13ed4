//! The one key of a PEM file.

use vestibule_pem::Block;

use super::key::KeyError;

/// Reads the one key of a text.
///
/// Certificates and `EC PARAMETERS`, which OpenSSL writes in front of some keys, are passed over when
/// there is a key as well.
pub(super) fn key(text: &str) -> Result<Block, KeyError> {
    let blocks = vestibule_pem::blocks(text.as_bytes());
    let mut blocks = blocks.map_err(|error| KeyError::at(error.line(), error.fault().as_str()))?;
    let is_key = |block: &&Block| block.label.ends_with("KEY");
    let first = blocks.iter().position(|block| is_key(&block));
    let second = blocks.iter().filter(is_key).nth(1);
    let line = blocks.first().map(|block| block.line);
    match (first, second) {
        (_, Some(second)) => Err(KeyError::at(
            Some(second.line),
            "it has more than one key; make one file for each",
        )),
        (Some(at), None) => Ok(blocks.swap_remove(at)),
        (None, None) if blocks.iter().any(|block| block.label == "CERTIFICATE") => {
            Err(KeyError::at(
                line,
                "it is a certificate; its public key comes from `openssl x509 -pubkey -noout -in FILE`",
            ))
        }
        (None, None) => Err(KeyError::at(line, "there is no key in its PEM blocks")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parser of blocks has tests of its own.
    #[test]
    fn there_is_one_key_in_a_file() {
        let block = "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n";
        let certificate = block.replace("PUBLIC KEY", "CERTIFICATE");
        let parameters = block.replace("PUBLIC KEY", "EC PARAMETERS");
        let cases = [
            (block.to_owned(), Ok("PUBLIC KEY")),
            (format!("# prod key\n{block}"), Ok("PUBLIC KEY")),
            (format!("{certificate}{block}"), Ok("PUBLIC KEY")),
            (format!("{parameters}{block}"), Ok("PUBLIC KEY")),
            (
                format!("{block}{block}"),
                Err("line 4: it has more than one key"),
            ),
            (certificate.clone(), Err("openssl x509")),
            (parameters, Err("no key in its PEM blocks")),
            (String::new(), Err("not PEM")),
            (
                format!("{}{block}", certificate.trim_end()),
                Err("line 3: two blocks meet on the same line"),
            ),
            (
                block.replace("END PUBLIC", "END PRIVATE"),
                Err("line 3: a block ends with another label"),
            ),
            (
                block.replace("MAA=", "M?A="),
                Err("line 2: the block has something in it that is not Base64"),
            ),
            (
                block.replace("PUBLIC", "ENCRYPTED PRIVATE"),
                Err("line 1: it is encrypted"),
            ),
        ];
        for (text, want) in cases {
            match (key(&text), want) {
                (Ok(block), Ok(label)) => assert_eq!(block.label, label),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
