//! Sends the span of each request to an OpenTelemetry collector: `cargo run --example otlp`.
//! `OTEL_EXPORTER_OTLP_ENDPOINT` sets the address of the collector. Defaults to
//! `http://127.0.0.1:4318`.
//!
//! [`Trace`] creates `tracing` spans with the names of OpenTelemetry, which the crate
//! `tracing-opentelemetry` exports unchanged. This exporter needs no other crates: OTLP over HTTP,
//! in JSON, without TLS and without retries.
//!
//! Source: OpenTelemetry Protocol 1.x, "OTLP/HTTP", "JSON Protobuf Encoding"; trace.proto of
//! opentelemetry-proto.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use vestibule::logging::Trace;
use vestibule::prelude::*;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let endpoint = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT");
    let endpoint = endpoint.unwrap_or("http://127.0.0.1:4318".into());
    let (exporter, spans) = Exporter::new();
    std::thread::spawn(move || send_all(&endpoint, &spans));
    tracing_subscriber::registry().with(exporter).init();
    let app = Stack::new().with(Trace::new).app(hello);
    vestibule::serve("127.0.0.1:8080", app).await
}

async fn hello(_: Request) -> &'static str {
    "Hello!\n"
}

/// Converts each ended span of [`Trace`] to JSON, for the thread that sends them.
#[derive(Debug)]
pub struct Exporter(SyncSender<String>);

impl Exporter {
    /// Creates an exporter and the receiver of its spans. The queue has 1024 entries; when it is
    /// full, new spans are dropped, so that a request never waits for the collector.
    pub fn new() -> (Self, Receiver<String>) {
        let (sender, receiver) = sync_channel(1024);
        (Self(sender), receiver)
    }
}

/// The collected data of a span.
struct Known {
    start: SystemTime,
    fields: Vec<(&'static str, Value)>,
}

/// A field's value, by its OTLP type.
enum Value {
    Text(String),
    Number(i64),
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Exporter {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() && *metadata.level() <= Level::INFO
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut known = Known {
            start: SystemTime::now(),
            fields: Vec::new(),
        };
        attributes.record(&mut known);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(known);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<Known>()
        {
            values.record(known);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        if let Some(known) = span.extensions().get::<Known>() {
            let _ = self.0.try_send(known.to_json());
        }
    }
}

impl Visit for Known {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), Value::Text(value.into())));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::Number(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.record_i64(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Known {
    /// Formats a `Span` of OTLP. Ids are hexadecimal, 64-bit numbers are strings, and enums are
    /// numbers.
    fn to_json(&self) -> String {
        let text = |name| {
            let found = self.fields.iter().find(|(other, _)| *other == name);
            match found {
                Some((_, Value::Text(text))) => text.as_str(),
                _ => "",
            }
        };
        let kind = if text("otel.kind") == "server" { 2 } else { 1 };
        let status = if text("otel.status_code") == "ERROR" {
            2
        } else {
            0
        };
        let mut attributes = String::new();
        for (name, value) in &self.fields {
            if name.starts_with("otel.") || name.ends_with("_id") && !name.contains('.') {
                continue;
            }
            let value = match value {
                Value::Text(text) => format!("{{\"stringValue\":{}}}", json(text)),
                Value::Number(number) => format!("{{\"intValue\":\"{number}\"}}"),
            };
            let comma = if attributes.is_empty() { "" } else { "," };
            let _ = write!(
                attributes,
                "{comma}{{\"key\":{},\"value\":{value}}}",
                json(name)
            );
        }
        format!(
            "{{\"traceId\":{},\"spanId\":{},\"parentSpanId\":{},\"name\":{},\"kind\":{kind},\
             \"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\",\"attributes\":[{attributes}],\
             \"status\":{{\"code\":{status}}}}}",
            json(text("trace_id")),
            json(text("span_id")),
            json(text("parent_span_id")),
            json(text("otel.name")),
            unix_nanos(self.start),
            unix_nanos(SystemTime::now()),
        )
    }
}

/// Sends the queued spans, all in one request, until the exporter is dropped.
pub fn send_all(endpoint: &str, spans: &Receiver<String>) {
    while let Ok(first) = spans.recv() {
        let spans: Vec<String> = std::iter::once(first).chain(spans.try_iter()).collect();
        if let Err(error) = send(endpoint, &spans) {
            eprintln!("{} spans were not sent to {endpoint}: {error}", spans.len());
        }
    }
}

/// Sends one `ExportTraceServiceRequest`.
fn send(endpoint: &str, spans: &[String]) -> std::io::Result<()> {
    let body = format!(
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\
         \"value\":{{\"stringValue\":\"vestibule-example\"}}}}]}},\
         \"scopeSpans\":[{{\"scope\":{{\"name\":\"vestibule\"}},\"spans\":[{}]}}]}}]}}",
        spans.join(",")
    );
    let host = endpoint
        .strip_prefix("http://")
        .unwrap_or(endpoint)
        .trim_end_matches('/');
    let mut connection = TcpStream::connect(host)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        connection,
        "POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    connection.take(1 << 16).read_to_string(&mut answer)?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(std::io::Error::other(format!("it answered {answer:.100}"))),
    }
}

fn unix_nanos(time: SystemTime) -> u128 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos()
}

/// Formats a JSON string (RFC 8259, section 7).
fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}
