//! Answers a client that speaks plain HTTP where TLS is spoken, so that its user sees why.
//!
//! A record of TLS begins with a byte below 32 (RFC 8446, section 5.1), a request of HTTP/1 with the letters of its
//! method (RFC 9112, section 3). So one byte tells them apart, and TLS loses nothing.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::io::{Socket, linger};

/// Lets a client of TLS pass. One of HTTP/1 gets a 400, and an error ends its connection.
///
/// It waits for the first byte as long as the client likes: the caller holds the clock. A unix socket cannot be
/// looked at without reading, so there TLS refuses by itself.
pub(crate) async fn refuse(socket: &mut Socket) -> io::Result<()> {
    let Socket::Tcp(stream) = socket else {
        return Ok(());
    };
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || !first[0].is_ascii_uppercase() {
        return Ok(());
    }
    let mut start = Vec::with_capacity(MAX_START);
    let request = loop {
        if let Some(request) = tell(&start) {
            break request;
        }
        let mut piece = [0; MAX_START];
        let room = MAX_START - start.len();
        match stream.read(&mut piece[..room]).await? {
            0 => break Start::Other,
            count => start.extend_from_slice(&piece[..count]),
        }
    };
    match request {
        Start::Other => {}
        Start::Head => answer(stream, false).await?,
        Start::Request => answer(stream, true).await?,
    }
    let error = "the client speaks no TLS";
    Err(io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Sends the answer. The rest of the request is read for a moment: a close with bytes unread is a reset,
/// which can destroy the answer (RFC 9112, section 9.6).
async fn answer(stream: &mut TcpStream, has_body: bool) -> io::Result<()> {
    let mut answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        SENTENCE.len()
    );
    if has_body {
        answer += SENTENCE;
    }
    stream.write_all(answer.as_bytes()).await?;
    linger(stream).await;
    Ok(())
}

/// The kind of the first bytes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// A request of HTTP/1.
    Request,
    /// One whose answer has no body.
    Head,
    /// Something else, the preface of HTTP/2 included: its clients cannot read an answer of HTTP/1.
    Other,
}

/// Returns the kind of what begins with `bytes`, or `None` when more of them are needed.
fn tell(bytes: &[u8]) -> Option<Start> {
    let is_of_method = |byte: &&u8| byte.is_ascii_uppercase() || **byte == b'-';
    let length = bytes.iter().take_while(is_of_method).count();
    match (&bytes[..length], &bytes[length..]) {
        (_, []) if length >= MAX_START => Some(Start::Other),
        (_, [] | [b' ']) => None,
        (b"PRI", [b' ', ..]) => Some(Start::Other),
        // A path, or `http://`.
        (b"HEAD", [b' ', b'/' | b'h', ..]) => Some(Start::Head),
        ([_, ..], [b' ', b'/' | b'h' | b'*', ..]) | (b"CONNECT", [b' ', ..]) => {
            Some(Start::Request)
        }
        _ => Some(Start::Other),
    }
}

const SENTENCE: &str = "This port speaks HTTPS: ask again with https:// instead of http://.\n";

/// The longest method that is registered has 17 letters, and a space and the target's first byte follow.
const MAX_START: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let cases: [(&[u8], Option<Start>); 17] = [
            (b"", None),
            (b"GE", None),
            (b"GET", None),
            (b"GET ", None),
            (b"GET /", Some(Start::Request)),
            (b"POST /a HTTP/1.1\r\n", Some(Start::Request)),
            (b"HEAD / HTTP/1.0\r\n", Some(Start::Head)),
            (b"OPTIONS * HTTP/1.1", Some(Start::Request)),
            (b"GET http://a/", Some(Start::Request)),
            (b"CONNECT a:443 HTTP/1.1", Some(Start::Request)),
            (b"VERSION-CONTROL /", Some(Start::Request)),
            (b"PRI * HTTP/2.0\r\n\r\n", Some(Start::Other)),
            (b"SSH-2.0-OpenSSH", Some(Start::Other)),
            (b"EHLO example.com\r\n", Some(Start::Other)),
            (b"GET\r\n", Some(Start::Other)),
            (b"G\0", Some(Start::Other)),
            (&[b'A'; MAX_START], Some(Start::Other)),
        ];
        for (bytes, start) in cases {
            assert_eq!(tell(bytes), start, "{}", bytes.escape_ascii());
        }
    }
}
