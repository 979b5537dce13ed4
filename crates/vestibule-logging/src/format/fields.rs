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
    if let Some(user) = &record.user {
        fields.text("user.name", user.name().as_bytes());
    }
    fields.text("http.request.method", record.method.as_str().as_bytes());
    fields.text("url.path", record.uri.path().as_bytes());
    if let Some(query) = record.uri.query() {
        fields.text("url.query", query.as_bytes());
    }
    fields.text(
        "network.protocol.version",
        version_number(record.version).as_bytes(),
    );
    if let Some(host) = &record.host {
        fields.text("server.address", host.as_bytes());
    }
    fields.number(
        "http.response.status_code",
        u64::from(record.status.as_u16()),
    );
    fields.number("http.response.body.size", record.bytes);
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
