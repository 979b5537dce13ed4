//! Tells HTTP/2 from HTTP/1: by what TLS agreed on, or else by the first bytes of a connection.
//!
//! Source: RFC 9113, section 3.4: a client that knows that the server speaks HTTP/2 begins with 24
//! fixed bytes. Everything else is HTTP/1, also what is neither: its parser answers with a 400. Where
//! ALPN (RFC 7301) chose HTTP/2, other bytes break that protocol, and are no HTTP/1.

use std::future::poll_fn;
use std::io;

use crate::io::Io;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Reads ahead as far as is needed to tell the protocol; `None` when the client closes without a
/// byte. It waits as long as the client likes: the caller holds the clock.
pub(crate) async fn detect(io: &mut Io) -> io::Result<Option<Protocol>> {
    let agreed = io.agreed();
    loop {
        if let Some(protocol) = tell(io.ahead()) {
            return Ok(Some(agreed.unwrap_or(protocol)));
        }
        if poll_fn(|cx| io.poll_ahead(cx)).await? == 0 {
            // Half a preface and no more: what it says about itself is the parser's business.
            let protocol = agreed.unwrap_or(Protocol::Http1);
            return Ok((!io.ahead().is_empty()).then_some(protocol));
        }
    }
}

/// The protocol that begins with `bytes`, or `None` when more of them are needed.
fn tell(bytes: &[u8]) -> Option<Protocol> {
    let common = bytes.len().min(PREFACE.len());
    if bytes[..common] != PREFACE[..common] {
        return Some(Protocol::Http1);
    }
    (common == PREFACE.len()).then_some(Protocol::Http2)
}

const PREFACE: &[u8; Io::AHEAD] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let cases: [(&[u8], Option<Protocol>); 9] = [
            (b"", None),
            (b"P", None),
            (b"PRI * HT", None),
            (b"PO", Some(Protocol::Http1)),
            (b"PUT / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"PRI * HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"\x16\x03\x01", Some(Protocol::Http1)),
            (&PREFACE[..23], None),
            (PREFACE, Some(Protocol::Http2)),
        ];
        for (bytes, protocol) in cases {
            assert_eq!(tell(bytes), protocol, "{bytes:?}");
        }
    }
}
