//! The combined log format, as nginx writes it by default and every log analyser reads it.
//!
//! ```text
//! 192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 2326 "https://example.org/" "curl/8.0"
//! ```
//!
//! Source: Apache, "mod_log_config", the format `combined`. Times are UTC. Whatever the client chose is
//! escaped (`\x1B`), so that a line is always one line and harmless on a terminal.

use std::io::Write;
use std::time::SystemTime;

use http::{HeaderValue, Version};
use vestibule_core::Address;
use vestibule_fields::date::HttpDate;

use crate::Record;

/// Appends the line of `record`, without its end.
pub(crate) fn write(record: &Record, line: &mut Vec<u8>) {
    match record.peer.as_ref().and_then(Address::ip) {
        Some(ip) => drop(write!(line, "{ip}")),
        None => line.push(b'-'),
    }
    line.extend_from_slice(b" - - [");
    line.extend_from_slice(&date(record.time));
    line.extend_from_slice(b"] \"");
    escape(record.method.as_str().as_bytes(), line);
    line.push(b' ');
    match record.uri.path_and_query() {
        Some(target) => escape(target.as_str().as_bytes(), line),
        // CONNECT has an authority and no path.
        None => escape(record.uri.to_string().as_bytes(), line),
    }
    line.push(b' ');
    line.extend_from_slice(version(record.version).as_bytes());
    // Writing to memory does not fail.
    let _ = write!(line, "\" {} {} ", record.status.as_u16(), record.bytes);
    quoted(record.referer.as_ref(), line);
    line.push(b' ');
    quoted(record.user_agent.as_ref(), line);
}

fn quoted(value: Option<&HeaderValue>, line: &mut Vec<u8>) {
    line.push(b'"');
    match value {
        Some(value) => escape(value.as_bytes(), line),
        None => line.push(b'-'),
    }
    line.push(b'"');
}

/// Appends `text` with everything escaped that is not printable ASCII, a quote or a backslash.
fn escape(text: &[u8], line: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1F | 0x7F.. => {
                line.extend_from_slice(b"\\x");
                line.push(HEX[usize::from(byte >> 4)]);
                line.push(HEX[usize::from(byte & 15)]);
            }
            _ => line.push(byte),
        }
    }
}

/// `10/Oct/2000:13:55:36 +0000`, cut from `Tue, 10 Oct 2000 13:55:36 GMT`.
fn date(time: SystemTime) -> [u8; 26] {
    let imf = HttpDate::from(time).to_bytes();
    let mut clf = *b"DD/MMM/YYYY:HH:MM:SS +0000";
    clf[0..2].copy_from_slice(&imf[5..7]);
    clf[3..6].copy_from_slice(&imf[8..11]);
    clf[7..11].copy_from_slice(&imf[12..16]);
    clf[12..20].copy_from_slice(&imf[17..25]);
    clf
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::{REFERER, USER_AGENT};
    use vestibule_core::{Address, Peer, Request};

    use super::*;

    fn line(record: &Record) -> String {
        let mut line = Vec::new();
        write(record, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line() {
        let mut request = Request::default();
        *request.uri_mut() = "/a%20b?c=\\d".parse().unwrap();
        let peer = Address::Tcp("[2001:db8::1]:99".parse().unwrap());
        let local = Address::Tcp("127.0.0.1:80".parse().unwrap());
        request.extensions_mut().insert(Peer::new(peer, local));
        request
            .headers_mut()
            .insert(REFERER, "https://example.org/".parse().unwrap());
        request
            .headers_mut()
            .insert(USER_AGENT, "curl/8.0".parse().unwrap());
        let mut record = Record::of(&request);
        record.time = SystemTime::UNIX_EPOCH + Duration::from_secs(971_186_136);
        record.status = http::StatusCode::OK;
        record.bytes = 2326;
        assert_eq!(
            line(&record),
            r#"2001:db8::1 - - [10/Oct/2000:13:55:36 +0000] "GET /a%20b?c=\x5Cd HTTP/1.1" 200 2326 "https://example.org/" "curl/8.0""#
        );
    }

    #[test]
    fn a_line_is_one_line_and_safe_on_a_terminal() {
        let hostile = [
            &b"a\x1b[2J"[..],
            b"\xc2\x9b31m",
            "\u{202e}txt.exe".as_bytes(),
            b"\xff\xfe",
            b"\" 200 0 \"x",
            b"a\\\tb",
        ];
        for agent in hostile {
            let mut request = Request::default();
            let value = HeaderValue::from_bytes(agent);
            let Ok(value) = value else { continue };
            request.headers_mut().insert(USER_AGENT, value);
            let line = line(&Record::of(&request));
            assert!(
                line.bytes().all(|byte| (0x20..0x7F).contains(&byte)),
                "{line}"
            );
            assert_eq!(line.matches('"').count(), 6, "{line}");
        }
    }

    #[test]
    fn every_byte_is_escaped_or_printable() {
        let mut out = Vec::new();
        escape(&(0..=255).collect::<Vec<_>>(), &mut out);
        assert!(out.iter().all(|byte| (0x20..0x7F).contains(byte)));
        assert!(out.ends_with(b"\\xFF") && out.starts_with(b"\\x00"));
    }
}
