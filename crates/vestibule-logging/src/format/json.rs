//! One JSON object a line.

use std::io::Write;
use std::time::Duration;

use super::escape::escape_json;
use super::fields::{Fields, visit};
use super::time::Moment;
use super::zone::Zone;
use crate::Record;

/// Appends the object, in one line of ASCII.
pub(super) fn write(record: &Record, zone: &Zone, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    Moment::of(record.time, zone).write_rfc3339(line);
    line.push(b'"');
    visit(record, &mut Object(line));
    line.push(b'}');
}

struct Object<'a>(&'a mut Vec<u8>);

impl Object<'_> {
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        escape_json(name.as_bytes(), self.0);
        self.0.extend_from_slice(b"\":");
    }

    fn string(&mut self, value: &[u8]) {
        self.0.push(b'"');
        escape_json(value, self.0);
        self.0.push(b'"');
    }
}

impl Fields for Object<'_> {
    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.string(value);
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
        self.name(name);
        self.0.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.string(value);
        }
        self.0.push(b']');
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
        let want = r#"{"timestamp":"2000-10-10T13:55:36.000000Z","client.address":"2001:db8::1","client.port":99,"user.name":"ann o","http.request.method":"GET","url.path":"/a%20b","url.query":"c=\\d","network.protocol.version":"1.1","server.address":"example.org","http.response.status_code":200,"http.response.body.size":2326,"http.server.request.duration":0.012000,"vestibule.time_to_first_byte":0.003000,"vestibule.queue_time":0.002000,"vestibule.outcome":"complete","http.request.header.referer":["https://example.org/"],"user_agent.original":"curl/8.0"}"#;
        assert_eq!(String::from_utf8(line).unwrap(), want);
    }
}
