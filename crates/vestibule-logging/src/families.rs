//! Numbers of the program's own on the page of metrics.

use std::error::Error;
use std::fmt;

/// One metric of the program, and how it is read.
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) help: String,
    labels: Vec<String>,
    read: Box<ReadSamples>,
}

type ReadSamples = dyn Fn(&mut Samples<'_>) + Send + Sync;

impl Family {
    /// Creates a metric. The name of a counter has no `_total`: the page adds it.
    pub(crate) fn new(
        kind: &'static str,
        name: &str,
        help: &str,
        labels: &[&str],
        read: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) -> Result<Self, MetricError> {
        let fault = |reason: String| {
            Err(MetricError {
                name: name.to_owned(),
                reason,
            })
        };
        if !is_name(name, true) {
            return fault("a name has letters, digits, `_` and `:`, and no digit first".into());
        }
        if kind == "counter" && name.ends_with("_total") {
            return fault("leave out `_total`, which the page adds".into());
        }
        if OWN.iter().any(|own| name.starts_with(own)) {
            return fault("the page has metrics of that name already".into());
        }
        for label in labels {
            let is_reserved = *label == "le" || label.starts_with("__");
            if is_reserved || !is_name(label, false) {
                return fault(format!(
                    "the label {label:?} is not of letters, digits and `_`, or is reserved"
                ));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            kind,
            help: help.replace('\\', "\\\\").replace('\n', "\\n"),
            labels: labels.iter().copied().map(str::to_owned).collect(),
            read: Box::new(read),
        })
    }

    /// Reads the numbers: the labels of each, as they are printed, and its value.
    pub(crate) fn read(&self) -> Vec<(String, Value)> {
        let mut samples = Samples {
            labels: &self.labels,
            found: Vec::new(),
        };
        (self.read)(&mut samples);
        samples.found
    }

    /// The error of a second metric of the same name.
    pub(crate) fn taken(self) -> MetricError {
        MetricError {
            name: self.name,
            reason: "another metric has this name".into(),
        }
    }
}

/// Takes the numbers of one metric, as [`Registry::counter`](crate::Registry::counter) reads them.
#[derive(Debug)]
pub struct Samples<'a> {
    labels: &'a [String],
    found: Vec<(String, Value)>,
}

impl Samples<'_> {
    /// Adds a number. `values` are those of the labels, in their order; a missing one is empty, and a
    /// value without a label is left out.
    pub fn add(&mut self, values: &[&str], number: f64) {
        let values = values.iter().copied().chain(std::iter::repeat(""));
        let pairs = self.labels.iter().zip(values);
        let pairs = pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels = pairs.collect::<Vec<_>>().join(",");
        self.found.push((labels, Value(number)));
    }
}

/// A number as both formats write it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value(f64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => number.fmt(f),
        }
    }
}

/// Why a metric cannot be on the page.
///
/// ```
/// use vestibule_logging::Registry;
///
/// let error = Registry::new().counter("9 lives", "", &[], |_| {}).unwrap_err();
/// assert!(error.to_string().starts_with("the metric \"9 lives\": a name has letters"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricError {
    name: String,
    reason: String,
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the metric {:?}: {}", self.name, self.reason)
    }
}

impl Error for MetricError {}

fn is_name(name: &str, of_metric: bool) -> bool {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_' || of_metric && it == ':';
    !name.is_empty()
        && name.chars().all(is_part)
        && !name.starts_with(|it: char| it.is_ascii_digit())
}

/// The value of a label: a backslash, a quote and a line feed are escaped.
pub(crate) fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// How the names of the page's own metrics begin.
const OWN: [&str; 7] = [
    "http_server_active_requests",
    "http_server_request_duration_seconds",
    "http_server_requests",
    "http_server_response_body_bytes",
    "process_",
    "rpc_server_requests",
    "vestibule_log_lines_dropped",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let reason = |kind, name: &str, labels: &[&str]| {
            Family::new(kind, name, "", labels, |_| {})
                .err()
                .map(|error| error.reason)
        };
        for (kind, name, labels) in [
            ("counter", "shop_orders", &[][..]),
            ("gauge", "a:b_C9", &["kind", "_x9"]),
            ("gauge", "orders_total", &[]),
        ] {
            assert_eq!(reason(kind, name, labels), None, "{name}");
        }
        for (kind, name, labels, want) in [
            ("gauge", "", &[][..], "a name has"),
            ("gauge", "a-b", &[], "a name has"),
            ("gauge", "9a", &[], "a name has"),
            ("gauge", "\u{e4}", &[], "a name has"),
            ("counter", "a_total", &[], "leave out"),
            ("gauge", "process_open_fds", &[], "the page has"),
            ("counter", "http_server_requests", &[], "the page has"),
            (
                "counter",
                "http_server_request_duration_seconds_count",
                &[],
                "the page has",
            ),
            ("gauge", "a", &["le"], "the label"),
            ("gauge", "a", &["__name__"], "the label"),
            ("gauge", "a", &["x:y"], "the label"),
            ("gauge", "a", &[""], "the label"),
        ] {
            let found = reason(kind, name, labels).unwrap();
            assert!(found.starts_with(want), "{name} {labels:?}: {found}");
        }
    }

    #[test]
    fn values_and_labels() {
        let family = Family::new("gauge", "a", "", &["x", "y"], |samples| {
            samples.add(&["1", "\"\\\n"], 0.5);
            samples.add(&[], f64::INFINITY);
            samples.add(&["1", "2", "3"], f64::NAN);
        });
        let read = family.unwrap().read();
        let read: Vec<_> = read
            .iter()
            .map(|(labels, value)| format!("{{{labels}}} {value}"))
            .collect();
        let want = [
            r#"{x="1",y="\"\\\n"} 0.5"#,
            r#"{x="",y=""} +Inf"#,
            r#"{x="1",y="2"} NaN"#,
        ];
        assert_eq!(read, want);
    }
}
