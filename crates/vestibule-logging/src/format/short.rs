//! A short line for a person: when, the status, what, how much, how long, and what was wrong.

use std::io::Write;
use std::time::Duration;

use super::escape;
use super::time::Moment;
use super::zone::Zone;
use crate::{Record, RecordOutcome};

/// Appends the line. With `colour`, the status has one: by its class.
pub(super) fn write(record: &Record, colour: bool, zone: &Zone, line: &mut Vec<u8>) {
    let paint = |code: &'static str| if colour { code } else { "" };
    Moment::of(record.time, zone).write_clock(line);
    let code = match record.status.as_u16() {
        ..300 => "\x1b[32m",
        300..400 => "\x1b[36m",
        400..500 => "\x1b[33m",
        500.. => "\x1b[1;31m",
    };
    let (on, off) = (paint(code), paint("\x1b[0m"));
    // Writing to memory does not fail.
    let _ = write!(line, " {on}{}{off} ", record.status.as_u16());
    target(record, line);
    let (dim, slow) = (paint("\x1b[2m"), paint("\x1b[35m"));
    let _ = write!(line, " {dim}{}{off} ", size(record.bytes));
    let time = duration(record.total);
    match record.is_slow {
        true => drop(write!(line, "{slow}{time} slow{off}")),
        false => drop(write!(line, "{dim}{time}{off}")),
    }
    match (&record.outcome, record.cause()) {
        (RecordOutcome::ClientGone, _) => line.extend_from_slice(b" client gone"),
        (RecordOutcome::Panicked, _) => line.extend_from_slice(b" panicked"),
        (_, Some(cause)) => {
            line.push(b' ');
            if let Some(layer) = &record.layer {
                escape(layer.as_bytes(), line);
                line.extend_from_slice(b": ");
            }
            escape(cause.as_bytes(), line);
        }
        (_, None) => {}
    }
}

/// `GET /a?b`, or the request line as it came when it could not be parsed.
fn target(record: &Record, line: &mut Vec<u8>) {
    if let Some(raw) = &record.request_line {
        return escape(raw.as_bytes(), line);
    }
    escape(record.method.as_str().as_bytes(), line);
    line.push(b' ');
    match record.uri.path_and_query() {
        Some(target) => escape(target.as_str().as_bytes(), line),
        None => escape(record.uri.to_string().as_bytes(), line),
    }
}

/// `512 B`, `2.3 kB`: powers of 1,000.
fn size(bytes: u64) -> String {
    let (value, unit) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (bytes as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => (bytes as f64 / 1e6, "MB"),
        _ => (bytes as f64 / 1e9, "GB"),
    };
    format!("{value:.1} {unit}")
}

/// `12 us`, `1.2 ms`, `3.4 s`.
fn duration(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1_000 => format!("{micros} us"),
        micros @ 1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros => format!("{:.1} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use crate::record::tests::sample;

    use super::*;

    fn line(record: &Record, colour: bool) -> String {
        let mut line = Vec::new();
        write(record, colour, &Zone::utc(), &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line() {
        let mut record = sample();
        assert_eq!(
            line(&record, false),
            "13:55:36 200 GET /a%20b?c=\\x5Cd 2.3 kB 12.0 ms"
        );
        assert!(line(&record, true).contains(" \x1b[32m200\x1b[0m "));
        record.is_slow = true;
        record.outcome = RecordOutcome::BodyFailed("the disk\n is gone".into());
        let want = "13:55:36 200 GET /a%20b?c=\\x5Cd 2.3 kB 12.0 ms slow the disk\\x0A is gone";
        assert_eq!(line(&record, false), want);
    }
}
