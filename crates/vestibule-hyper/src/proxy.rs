//! Who a connection is from when a load balancer stands before us: the PROXY protocol.
//!
//! Source: HAProxy's "The PROXY protocol, versions 1 & 2", sections 2.1 and 2.2. Version 1 is a
//! line, `PROXY TCP4 192.0.2.1 192.0.2.9 4711 80`, of at most 107 bytes; version 2 is binary, 16
//! bytes and as many more as these say.
//!
//! Whoever may send the header may be anyone, so it is read from trusted peers only, and from them
//! it must come: a server that guesses can be lied to. Its type-length-values are skipped.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;

use tokio::io::{AsyncRead, ReadBuf};
use vestibule_core::{Address, Peer};

/// Reads the header. `None`: the balancer speaks for itself, or does not say for whom.
pub(crate) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Peer>> {
    // No header is shorter, and none of these bytes is behind one.
    let mut start = [0; SIGNATURE.len()];
    fill(socket, &mut start).await?;
    if start == *SIGNATURE {
        let mut fixed = [0; 4];
        fill(socket, &mut fixed).await?;
        let [command, family, high, low] = fixed;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        if rest.len() > MAX_BINARY {
            return Err(BadProxyHeader.into());
        }
        fill(socket, &mut rest).await?;
        return Ok(parse_binary(command, family, &rest)?);
    }
    let mut line = start.to_vec();
    while line.last() != Some(&b'\n') {
        if line.len() >= MAX_LINE || !line.starts_with(b"PROXY ") {
            return Err(BadProxyHeader.into());
        }
        // What follows the line is not ours to read.
        let mut byte = [0];
        fill(socket, &mut byte).await?;
        line.extend(byte);
    }
    Ok(parse_line(&line)?)
}

async fn fill(socket: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> io::Result<()> {
    let mut buffer = ReadBuf::new(bytes);
    while buffer.remaining() > 0 {
        let before = buffer.remaining();
        poll_fn(|cx| Pin::new(&mut *socket).poll_read(cx, &mut buffer)).await?;
        if buffer.remaining() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Version 1.
fn parse_line(line: &[u8]) -> Result<Option<Peer>, BadProxyHeader> {
    let line = std::str::from_utf8(line).map_err(|_| BadProxyHeader)?;
    let line = line.strip_suffix("\r\n").ok_or(BadProxyHeader)?;
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", "TCP4", from, to, from_port, to_port] => peer(
            ip::<Ipv4Addr>(from)?,
            ip::<Ipv4Addr>(to)?,
            port(from_port)?,
            port(to_port)?,
        ),
        ["PROXY", "TCP6", from, to, from_port, to_port] => peer(
            ip::<Ipv6Addr>(from)?,
            ip::<Ipv6Addr>(to)?,
            port(from_port)?,
            port(to_port)?,
        ),
        _ => Err(BadProxyHeader),
    }
}

fn ip<T: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, BadProxyHeader> {
    text.parse().map(T::into).map_err(|_| BadProxyHeader)
}

fn port(text: &str) -> Result<u16, BadProxyHeader> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = text.len() > 1 && text.starts_with('0');
    match is_plain && !has_zeros {
        true => text.parse().map_err(|_| BadProxyHeader),
        false => Err(BadProxyHeader),
    }
}

/// Version 2, after its signature and length.
fn parse_binary(command: u8, family: u8, rest: &[u8]) -> Result<Option<Peer>, BadProxyHeader> {
    match command {
        LOCAL => return Ok(None),
        PROXY => {}
        _ => return Err(BadProxyHeader),
    }
    match family {
        TCP_OVER_IPV4 => {
            let (from, rest) = take::<4>(rest)?;
            let (to, rest) = take::<4>(rest)?;
            let (from_port, to_port) = ports(rest)?;
            peer(IpAddr::from(from), IpAddr::from(to), from_port, to_port)
        }
        TCP_OVER_IPV6 => {
            let (from, rest) = take::<16>(rest)?;
            let (to, rest) = take::<16>(rest)?;
            let (from_port, to_port) = ports(rest)?;
            peer(IpAddr::from(from), IpAddr::from(to), from_port, to_port)
        }
        UNIX_STREAM if rest.len() < 216 => Err(BadProxyHeader),
        // A client on the balancer's own machine: the path says nothing here.
        UNIX_STREAM | UNSPECIFIED => Ok(None),
        _ => Err(BadProxyHeader),
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), BadProxyHeader> {
    let (first, rest) = bytes.split_first_chunk().ok_or(BadProxyHeader)?;
    Ok((*first, rest))
}

fn ports(bytes: &[u8]) -> Result<(u16, u16), BadProxyHeader> {
    let (from, rest) = take(bytes)?;
    let (to, _) = take(rest)?;
    Ok((u16::from_be_bytes(from), u16::from_be_bytes(to)))
}

fn peer(
    from: IpAddr,
    to: IpAddr,
    from_port: u16,
    to_port: u16,
) -> Result<Option<Peer>, BadProxyHeader> {
    let end = |ip, port| Address::from(SocketAddr::new(ip, port));
    Ok(Some(Peer::new(end(from, from_port), end(to, to_port))))
}

/// The bytes are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadProxyHeader;

impl fmt::Display for BadProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no valid PROXY header from a peer that has to send one")
    }
}

impl Error for BadProxyHeader {}

impl From<BadProxyHeader> for io::Error {
    fn from(error: BadProxyHeader) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line, with its CRLF, in bytes.
const MAX_LINE: usize = 107;

/// The most that version 2 may have after its first 16 bytes; certificates travel here.
const MAX_BINARY: usize = 4096;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes`: what the header says, and what it leaves.
    async fn read_from(bytes: &[u8]) -> io::Result<(String, Vec<u8>)> {
        let mut rest = bytes;
        let peer = read(&mut rest).await?;
        let text = peer.map_or("-".to_owned(), |peer| {
            format!("{} {}", peer.address(), peer.local())
        });
        Ok((text, rest.to_vec()))
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn what_is_a_header() {
        let four = [192, 0, 2, 1, 192, 0, 2, 9, 0x12, 0x67, 0, 80];
        let mut six = [0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
        let with_tlv = [&four[..], &[4, 0, 1, 0]].concat();
        let cases = [
            (
                b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 80\r\n".to_vec(),
                "192.0.2.1:4711 192.0.2.9:80",
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(),
                "[2001:db8::1]:4711 [::1]:80",
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), "-"),
            (b"PROXY UNKNOWN ff::1 what ever 1\r\n".to_vec(), "-"),
            (
                binary(PROXY, TCP_OVER_IPV4, &four),
                "192.0.2.1:4711 192.0.2.9:80",
            ),
            (
                binary(PROXY, TCP_OVER_IPV4, &with_tlv),
                "192.0.2.1:4711 192.0.2.9:80",
            ),
            (binary(PROXY, TCP_OVER_IPV6, &six), "[::1]:3 [::2]:4"),
            (
                b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.9 4711 80\r\n".to_vec(),
                "192.0.2.1:4711 192.0.2.9:80",
            ),
            (binary(PROXY, UNIX_STREAM, &[0; 216]), "-"),
            (binary(PROXY, UNSPECIFIED, &[]), "-"),
            (binary(LOCAL, UNSPECIFIED, &[1, 2, 3]), "-"),
        ];
        for (header, want) in cases {
            let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            let (got, rest) = read_from(&bytes).await.unwrap();
            assert_eq!(got, want, "{header:?}");
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{header:?}");
            for cut in 0..header.len() {
                assert!(
                    read_from(&header[..cut]).await.is_err(),
                    "{header:?} cut at {cut}"
                );
            }
        }
    }

    #[tokio::test]
    async fn what_is_none() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let cases = [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 80\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 65536\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.9 +1 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.9 01 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.9  80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.01 192.0.2.9 1 80\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 80\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.1 ::1 1 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.9 1 80 \r\n".to_vec(),
            b"PROXY TCP5 192.0.2.1 192.0.2.9 1 80\r\n".to_vec(),
            b"proxy UNKNOWN\r\n".to_vec(),
            long.into_bytes(),
            binary(0x11, TCP_OVER_IPV4, &[0; 12]),
            binary(0x22, TCP_OVER_IPV4, &[0; 12]),
            binary(PROXY, TCP_OVER_IPV4, &[0; 11]),
            binary(PROXY, TCP_OVER_IPV6, &[0; 35]),
            binary(PROXY, UNIX_STREAM, &[0; 215]),
            binary(PROXY, 0x12, &[0; 12]),
            binary(PROXY, UNSPECIFIED, &[0; 4097]),
        ];
        for bytes in cases {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(read_from(&bytes).await.is_err(), "{text:?}");
        }
    }
}
