//! `name=value` pairs. A value stands in quotes where it has a space, a quote, a `=` or an escape.

use std::io::Write;
use std::time::Duration;

use super::escape::escape_json;
use super::fields::{Fields, visit};
use super::time::Moment;
use super::zone::Zone;
use crate::Record;

/// Appends the pairs, in one line of ASCII.
pub(super) fn write(record: &Record, zone: &Zone, line: &mut Vec<u8>) {
    line.extend_from_slice(b"time=");
    Moment::of(record.time, zone).write_rfc3339(line);
    visit(record, &mut Pairs(line));
}

struct Pairs<'a>(&'a mut Vec<u8>);

impl Pairs<'_> {
    fn name(&mut self, name: &str) {
        self.0.push(b' ');
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
    }
}

impl Fields for Pairs<'_> {
    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        let is_plain = |byte: &u8| matches!(byte, b'!'..=b'~') && !b"\"\\=".contains(byte);
        if !value.is_empty() && value.iter().all(is_plain) {
            self.0.extend_from_slice(value);
        } else {
            self.0.push(b'"');
            escape_json(value, self.0);
            self.0.push(b'"');
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    fn seconds(&mut self, name: &str, value: Duration) {
        self.name(name);
        let _ = write!(self.0, "{}.{:06}", value.as_secs(), value.subsec_micros());
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    fn list(&mut self, name: &str, values: &mut dyn Iterator<Item = &[u8]>) {
        let all = values.collect::<Vec<_>>().join(&b", "[..]);
        self.text(name, &all);
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
        assert!(line.starts_with(
            "time=2000-10-10T13:55:36.000000Z client.address=2001:db8::1 client.port=99 user.name=\"ann o\" http.request.method=GET url.path=/a%20b url.query=\"c=\\\\d\" "
        ), "{line}");
        assert!(line.ends_with(" user_agent.original=curl/8.0"), "{line}");
    }
}
