//! The names of what a record knows, in one place: JSON, logfmt and events all visit it.
//!
//! Source: OpenTelemetry, "Semantic Conventions for HTTP Spans" and "General attributes"; names that
//! begin with `vestibule.` are ours.

use std::time::Duration;

use http::HeaderMap;
use vestibule_core::Address;

use super::version_number;
use crate::{Record, RecordOutcome};

/// Takes fields, in order.
pub(crate) trait Fields {
    fn text(&mut self, name: &str, value: &[u8]);
    fn number(&mut self, name: &str, value: u64);
    fn seconds(&mut self, name: &str, value: Duration);
    fn flag(&mut self, name: &str, value: bool);
    fn list(&mut self, name: &str, values: &mut dyn Iterator<Item = &[u8]>);
}

/// Tells `fields` everything, but the time.
pub(crate) fn visit(record: &Record, fields: &mut impl Fields) {
    match &record.peer {
        Some(Address::Tcp(address)) => {
            fields.text("client.address", address.ip().to_string().as_bytes());
            if address.port() != 0 {
                fields.number("client.port", u64::from(address.port()));
            }
        }
        Some(unix) => fields.text("client.address", unix.to_string().as_bytes()),
        None => {}
    }
    match record.connection.as_deref() {
        Some(Address::Tcp(address)) => {
            fields.text("network.peer.address", address.ip().to_string().as_bytes())
        }
        Some(unix) => fields.text("network.peer.address", unix.to_string().as_bytes()),
        None => {}
    }
    if let Some(user) = &record.user {
        fields.text("user.name", user.name().as_bytes());
    }
    if let Some(name) = &record.tried_user {
        fields.text("vestibule.tried_user", name.as_bytes());
    }
    match &record.request_line {
        None => {
            fields.text("http.request.method", record.method.as_str().as_bytes());
            fields.text("url.path", record.uri.path().as_bytes());
            if let Some(query) = record.uri.query() {
                fields.text("url.query", query.as_bytes());
            }
        }
        // The conventions' word for a method that is not known.
        Some(line) => {
            fields.text("http.request.method", b"_OTHER");
            fields.text("url.path", b"");
            fields.text("vestibule.request_line", line.as_bytes());
        }
    }
    fields.text(
        "network.protocol.version",
        version_number(record.version).as_bytes(),
    );
    if let Some(host) = &record.host {
        let (name, port) = host_and_port(host.as_bytes());
        fields.text("server.address", name);
        if let Some(port) = port {
            fields.number("server.port", u64::from(port));
        }
    }
    fields.number(
        "http.response.status_code",
        u64::from(record.status.as_u16()),
    );
    fields.number("http.response.body.size", record.bytes);
    if let Some(status) = record.grpc_status {
        fields.number("rpc.grpc.status_code", u64::from(status));
    }
    fields.seconds("http.server.request.duration", record.total);
    if let Some(first_byte) = record.first_byte {
        fields.seconds("vestibule.time_to_first_byte", first_byte);
    }
    if let Some(queued) = record.queued {
        fields.seconds("vestibule.queue_time", queued);
    }
    fields.text("vestibule.outcome", record.outcome.name().as_bytes());
    if let Some(kind) = error_type(record) {
        fields.text("error.type", kind.as_bytes());
    }
    if let Some(cause) = record.cause() {
        fields.text("exception.message", cause.as_bytes());
    }
    if let Some(layer) = &record.layer {
        fields.text("vestibule.layer", layer.as_bytes());
    }
    if record.is_slow {
        fields.flag("vestibule.slow", true);
    }
    if record.sample > 1 {
        fields.number("vestibule.sample", u64::from(record.sample));
    }
    if let Some(referer) = &record.referer {
        fields.list(
            "http.request.header.referer",
            &mut std::iter::once(referer.as_bytes()),
        );
    }
    if let Some(agent) = &record.user_agent {
        fields.text("user_agent.original", agent.as_bytes());
    }
    headers("http.request.header.", &record.request_headers, fields);
    headers("http.response.header.", &record.response_headers, fields);
    if let Some(id) = &record.request_id {
        fields.text("vestibule.request_id", id.as_bytes());
    }
    if let Some(trace) = &record.trace {
        fields.text("trace_id", trace.trace_id().to_string().as_bytes());
        fields.text("span_id", trace.parent_id().to_string().as_bytes());
    }
}

/// The name and the port of a `Host` field. An IPv6 address has no brackets then, as the conventions want
/// it. A field that is not of that form is a name as a whole.
pub(crate) fn host_and_port(host: &[u8]) -> (&[u8], Option<u16>) {
    let bare = |name: &'_ [u8]| name.starts_with(b"[") && name.ends_with(b"]");
    let (name, port) = match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !bare(host) => {
            let digits = std::str::from_utf8(&host[colon + 1..]).unwrap_or_default();
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            match (digits.parse(), is_number) {
                (Ok(port), true) => (&host[..colon], Some(port)),
                // `example.org:` has no port, and is a name all the same (RFC 3986, section 3.2.3).
                _ if digits.is_empty() && host.len() == colon + 1 => (&host[..colon], None),
                _ => return (host, None),
            }
        }
        _ => (host, None),
    };
    match bare(name) {
        true => (&name[1..name.len() - 1], port),
        false => (name, port),
    }
}

fn headers(prefix: &str, headers: &HeaderMap, fields: &mut impl Fields) {
    for name in headers.keys() {
        let mut values = headers.get_all(name).iter().map(|value| value.as_bytes());
        fields.list(&format!("{prefix}{name}"), &mut values);
    }
}

/// The low-cardinality kind of what went wrong.
fn error_type(record: &Record) -> Option<String> {
    match &record.outcome {
        RecordOutcome::Complete if record.status.is_server_error() => {
            Some(record.status.as_u16().to_string())
        }
        RecordOutcome::Complete => None,
        other => Some(other.name().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (host, name, port) in [
            ("localhost:19443", "localhost", Some(19443)),
            ("example.org", "example.org", None),
            ("example.org:80", "example.org", Some(80)),
            ("example.org:", "example.org", None),
            ("192.0.2.1:8080", "192.0.2.1", Some(8080)),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[::1]:", "::1", None),
            ("example.org:http", "example.org:http", None),
            ("example.org:65536", "example.org:65536", None),
            ("example.org:+80", "example.org:+80", None),
            ("", "", None),
            (":80", "", Some(80)),
            ("[", "[", None),
        ] {
            let want = (name.as_bytes(), port);
            assert_eq!(host_and_port(host.as_bytes()), want, "{host}");
        }
    }
}
