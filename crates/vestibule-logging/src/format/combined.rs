//! The common and the combined log format, as every log analyser reads them.
//!
//! ```text
//! 192.0.2.1 - ann [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 2326 "https://example.org/" "curl/8.0"
//! ```
//!
//! Source: Apache, "mod_log_config", the formats `common` and `combined`.

use std::io::Write;

use http::{HeaderValue, Version};
use vestibule_core::{Address, RemoteUser};

use super::escape;
use super::time::Moment;
use super::zone::Zone;
use crate::Record;

/// Appends the line of the combined format, without its end.
pub(super) fn write(record: &Record, zone: &Zone, line: &mut Vec<u8>) {
    write_common(record, zone, line);
    line.push(b' ');
    quoted(record.referer.as_ref(), line);
    line.push(b' ');
    quoted(record.user_agent.as_ref(), line);
}

/// Appends the line of the common format, without its end.
pub(super) fn write_common(record: &Record, zone: &Zone, line: &mut Vec<u8>) {
    host(record, line);
    line.extend_from_slice(b" - ");
    user(record, line);
    line.extend_from_slice(b" [");
    Moment::of(record.time, zone).write_clf(line);
    line.extend_from_slice(b"] \"");
    request_line(record, line);
    line.extend_from_slice(b"\" ");
    number(u64::from(record.status.as_u16()), line);
    line.push(b' ');
    number(record.bytes, line);
}

/// The client's address, or `-`.
pub(super) fn host(record: &Record, line: &mut Vec<u8>) {
    address(record.peer.as_ref(), line);
}

/// An IP address, or `-`.
pub(super) fn address(address: Option<&Address>, line: &mut Vec<u8>) {
    match address.and_then(Address::ip) {
        Some(std::net::IpAddr::V4(ip)) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    line.push(b'.');
                }
                number(u64::from(octet), line);
            }
        }
        Some(ip) => drop(write!(line, "{ip}")),
        None => line.push(b'-'),
    }
}

/// The user's name, or `-`. A space in it would end the field, and with a bracket the time begins for analysers.
/// Of a login that failed it is the name that was tried, as Apache writes it.
pub(super) fn user(record: &Record, line: &mut Vec<u8>) {
    let name = record.user.as_ref().map(RemoteUser::name);
    match name.or(record.tried_user.as_deref()) {
        Some(name) if !name.is_empty() => {
            for part in name.split_inclusive([' ', '[', ']']) {
                let mark = part.len() - usize::from(part.ends_with([' ', '[', ']']));
                let (text, mark) = part.split_at(mark);
                escape(text.as_bytes(), line);
                for byte in mark.bytes() {
                    // Writing to memory does not fail.
                    let _ = write!(line, "\\x{byte:02X}");
                }
            }
        }
        _ => line.push(b'-'),
    }
}

/// `GET /a?b HTTP/1.1`, or the line as it came when it could not be parsed.
pub(super) fn request_line(record: &Record, line: &mut Vec<u8>) {
    if let Some(raw) = &record.request_line {
        return match raw.as_bytes() {
            b"" => line.push(b'-'),
            raw => escape(raw, line),
        };
    }
    escape(record.method.as_str().as_bytes(), line);
    line.push(b' ');
    match record.uri.path_and_query() {
        Some(target) => escape(target.as_str().as_bytes(), line),
        // CONNECT has an authority and no path.
        None => escape(record.uri.to_string().as_bytes(), line),
    }
    line.push(b' ');
    line.extend_from_slice(version(record.version).as_bytes());
}

fn quoted(value: Option<&HeaderValue>, line: &mut Vec<u8>) {
    line.push(b'"');
    match value {
        Some(value) => escape(value.as_bytes(), line),
        None => line.push(b'-'),
    }
    line.push(b'"');
}

/// Appends a number in decimal.
pub(super) fn number(mut number: u64, line: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

/// `HTTP/1.1`.
pub(super) const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// `1.1`, and `2` as the conventions of OpenTelemetry have it.
pub(crate) const fn version_number(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use crate::record::tests::sample;

    use super::*;

    #[test]
    fn a_line() {
        let mut line = Vec::new();
        write(&sample(), &Zone::utc(), &mut line);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            r#"2001:db8::1 - ann\x20o [10/Oct/2000:13:55:36 +0000] "GET /a%20b?c=\x5Cd HTTP/1.1" 200 2326 "https://example.org/" "curl/8.0""#
        );
    }

    #[test]
    fn users_lines_and_addresses() {
        let mut record = sample();
        record.tried_user = Some("never".into());
        let with = |record: &Record| {
            let mut line = Vec::new();
            write_common(record, &Zone::utc(), &mut line);
            String::from_utf8(line).unwrap()
        };
        assert!(with(&record).contains(" - ann\\x20o ["));
        record.user = None;
        record.tried_user = Some("a b\n\u{202e}\"".into());
        assert!(with(&record).contains(" - a\\x20b\\x0A\\xE2\\x80\\xAE\\x22 ["));
        record.tried_user = Some("[a] [b".into());
        assert!(with(&record).contains(" - \\x5Ba\\x5D\\x20\\x5Bb ["));
        record.tried_user = Some(String::new());
        assert!(with(&record).contains(" - - ["));
        for (raw, want) in [
            (&b"GET /a b HTTP/1.1"[..], "] \"GET /a b HTTP/1.1\" 200 "),
            (b"\x16\x03\x01\"", "] \"\\x16\\x03\\x01\\x22\" 200 "),
            (b"", "] \"-\" 200 "),
        ] {
            record.request_line = Some(vestibule_core::RequestLine::new(raw));
            assert!(with(&record).contains(want), "{}", with(&record));
        }
    }

    #[test]
    fn numbers() {
        for n in [0, 9, 10, 255, u64::MAX] {
            let mut line = Vec::new();
            number(n, &mut line);
            assert_eq!(line, n.to_string().into_bytes());
        }
    }
}
