//! The data of the page as JSON. Durations are in nanoseconds.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use vestibule_core::{LayerTiming, Outline, SlowRequest, Timings};

/// Writes
/// `{"is_timed":true,"layers":[{"name":..,"options":{..},"count":..,...}],"slow":[..],"now":..}`.
pub(crate) fn write(outline: &Outline, timings: Option<&Timings>) -> String {
    let mut out = format!("{{\"is_timed\":{},\"layers\":[", timings.is_some());
    let times = timings.map(Timings::layers).unwrap_or_default();
    for (index, layer) in outline.layers().enumerate() {
        comma(index, &mut out);
        let times = times.get(index);
        // The last entry of the outline is a placeholder for the app.
        let name = times.map_or(layer.name(), |times| &*times.name);
        out.push_str("{\"name\":");
        text(name, &mut out);
        out.push_str(",\"options\":{");
        for (index, (name, value)) in layer.options().enumerate() {
            comma(index, &mut out);
            text(name, &mut out);
            out.push(':');
            text(value, &mut out);
        }
        out.push('}');
        if let Some(times) = times {
            layer_times(times, &mut out);
        }
        out.push('}');
    }
    out.push_str("],\"slow\":[");
    let slow = timings.map(Timings::slow).unwrap_or_default();
    for (index, request) in slow.iter().enumerate() {
        comma(index, &mut out);
        slow_request(request, &mut out);
    }
    let _ = write!(out, "],\"now\":{}}}", unix_millis(SystemTime::now()));
    out
}

fn layer_times(times: &LayerTiming, out: &mut String) {
    let LayerTiming {
        count,
        early,
        total,
        p50,
        p90,
        p99,
        ..
    } = times;
    // A write to a `String` cannot fail.
    let _ = write!(out, ",\"count\":{count},\"early\":{early}");
    for (name, time) in [("total", total), ("p50", p50), ("p90", p90), ("p99", p99)] {
        let _ = write!(out, ",\"{name}\":{}", time.as_nanos());
    }
}

fn slow_request(request: &SlowRequest, out: &mut String) {
    let millis = unix_millis(request.time);
    let _ = write!(out, "{{\"time\":{millis},\"method\":");
    text(request.method.as_str(), out);
    out.push_str(",\"path\":");
    text(&request.path, out);
    let (status, total) = (request.status.as_u16(), request.total.as_nanos());
    let _ = write!(out, ",\"status\":{status},\"total\":{total},\"layers\":[");
    for (index, (name, begin, end)) in request.layers.iter().enumerate() {
        comma(index, out);
        out.push_str("{\"name\":");
        text(name, out);
        let (begin, end) = (begin.as_nanos(), end.as_nanos());
        let _ = write!(out, ",\"begin\":{begin},\"end\":{end}}}");
    }
    out.push_str("]}");
}

/// Converts to milliseconds since 1970.
fn unix_millis(time: SystemTime) -> u128 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_millis()
}

fn comma(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

/// Writes a JSON string (RFC 8259, section 7).
fn text(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use vestibule_core::{App, Request, Stack, map_request};

    use super::*;

    #[tokio::test]
    async fn a_slow_request_is_in_the_json() {
        let stack = Stack::new()
            .named("a \"b\"\n", map_request(|request| request))
            .timed();
        let timings = stack.timings().unwrap();
        timings.slow_after(Duration::ZERO);
        let app = stack.app(|_: Request| async {});
        app.call(Request::default()).await;
        let json = write(&stack.outline(), Some(&timings));
        assert!(
            json.contains(r#"{"name":"a \"b\"\u000a","options":{},"count":1,"early":0,"total":"#),
            "{json}"
        );
        assert!(
            json.contains(r#","method":"GET","path":"/","status":200,"total":"#),
            "{json}"
        );
        assert_eq!(json.matches("\"begin\":").count(), 2, "{json}");
    }
}
