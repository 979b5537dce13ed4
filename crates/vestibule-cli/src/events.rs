//! The program's own events on standard error: which ones, and as text or JSON.

use std::fmt::{self, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use vestibule::logging::{EventLimit, WholeLines, Zone};

use crate::args::Watching;
use crate::wants_colour;

/// Sends the events of the server and the middleware to standard error, coloured on a terminal, or as
/// JSON.
///
/// Events of the libraries below are limited to one a second, since a client can cause them.
pub fn events_to_stderr(options: &Watching) {
    let environment = std::env::var("RUST_LOG").ok().filter(|it| !it.is_empty());
    let (targets, unused) = match (&options.log_level, environment) {
        (Some(targets), _) => (targets.clone(), None),
        (None, None) => (usual(), None),
        (None, Some(text)) => match filter(&text) {
            Ok(targets) => (targets, None),
            Err(reason) => (usual(), Some(reason)),
        },
    };
    let targets = with_the_apps_own(targets);
    let events = tracing_subscriber::registry()
        .with(targets)
        .with(EventLimit::new());
    let clock = Clock(options.log_time.clone().unwrap_or_default());
    let lines = layer()
        .with_writer(WholeLines::stderr)
        .with_timer(clock.clone());
    if options.writes_json() {
        events.with(lines.event_format(Json(clock))).init();
    } else {
        let colour = wants_colour(&std::io::stderr());
        events.with(lines.with_ansi(colour)).init();
    }
    // Other programs read the variable too, and know more forms: so it does not end this one.
    if let Some(reason) = unused {
        tracing::warn!(target: "vestibule", "RUST_LOG is not used: {reason}");
    }
}

impl Watching {
    /// Whether events are JSON, and so everything that goes to standard error.
    #[must_use]
    pub fn writes_json(&self) -> bool {
        self.events.as_deref() == Some("json")
    }
}

/// Writes what ends the program to standard error, as JSON where events are.
pub fn complain(as_json: bool, error: &(impl fmt::Display + ?Sized)) {
    if as_json {
        tracing::error!(target: "vestibule", "{error}");
    } else {
        eprintln!("vestibule: {error}");
    }
}

/// The filter with what a Python app writes to `wsgi.errors`: its level is not known, so a filter of levels
/// does not hold it back. One that turns the errors of the host off does.
fn with_the_apps_own(targets: Targets) -> Targets {
    if targets.would_enable(APP, &tracing::Level::ERROR) {
        targets.with_target(APP, LevelFilter::INFO)
    } else {
        targets
    }
}

/// The target of text from a Python app.
const APP: &str = "vestibule::wsgi::errors";

/// The filter when none is given.
fn usual() -> Targets {
    Targets::new().with_default(LevelFilter::INFO)
}

/// Reads a filter: `warn`, or `info,h2=debug`.
///
/// A word that is not a level would be a target with all its events, and no others: a level that is
/// mistyped would turn the log off. So it is an error.
pub(crate) fn filter(text: &str) -> Result<Targets, String> {
    let mut targets = usual();
    for part in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, part),
        };
        let is_name = |name: &str| {
            let is_part = |it: char| it.is_alphanumeric() || "_:-".contains(it);
            !name.is_empty() && name.chars().all(is_part)
        };
        // A filter is parsed from numbers and from nothing as well, which no manual mentions.
        let is_word = level.starts_with(|it: char| it.is_ascii_alphabetic());
        let level: Option<LevelFilter> = level.parse().ok();
        let level = level.filter(|_| is_word && target.is_none_or(is_name));
        let level = level.ok_or_else(|| {
            format!(
                "{part:?} is not off, error, warn, info, debug or trace, nor TARGET=LEVEL as in h2=debug"
            )
        })?;
        targets = match target {
            Some(target) => targets.with_target(target, level),
            None => targets.with_default(level),
        };
    }
    Ok(targets)
}

/// One object a line, in the form that `tracing-subscriber` gives to JSON: `timestamp`, `level`,
/// `fields` with the `message`, and `target`.
struct Json(Clock);

/// Writes the time of an event, in the zone of the log.
#[derive(Clone, Default)]
struct Clock(Zone);

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&self.0.rfc3339(SystemTime::now()))
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::from("{\"timestamp\":\"");
        self.0.format_time(&mut Writer::new(&mut line))?;
        let metadata = event.metadata();
        write!(line, "\",\"level\":\"{}\",\"fields\":{{", metadata.level())?;
        let begin = line.len();
        event.record(&mut Members {
            line: &mut line,
            begin,
        });
        line.push_str("},\"target\":");
        string(metadata.target(), &mut line);
        line.push('}');
        writeln!(writer, "{line}")
    }
}

/// Writes fields as the members of an object.
struct Members<'a> {
    line: &'a mut String,
    /// Where the object begins.
    begin: usize,
}

impl Members<'_> {
    fn name(&mut self, field: &Field) {
        if self.line.len() > self.begin {
            self.line.push(',');
        }
        string(field.name(), self.line);
        self.line.push(':');
    }

    /// Writes a value that is the same in JSON.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        // Writing to memory does not fail.
        let _ = write!(self.line, "{value}");
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        string(value, self.line);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for the others.
        match value.is_finite() {
            true => self.plain(field, value),
            false => self.plain(field, "null"),
        }
    }
}

/// Appends a JSON string (RFC 8259, section 7), in ASCII.
fn string(text: &str, line: &mut String) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            ' '..='~' => line.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to memory does not fail.
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn the_text_of_an_app_is_held_back_only_where_everything_is() {
        for (text, is_shown) in [
            ("", true),
            ("error", true),
            ("vestibule=error", true),
            ("off", false),
            ("vestibule::wsgi=off", false),
            ("off,vestibule::wsgi=error", true),
        ] {
            let targets = with_the_apps_own(filter(text).unwrap());
            let shows = targets.would_enable(APP, &tracing::Level::INFO);
            assert_eq!(shows, is_shown, "{text}");
        }
    }

    #[test]
    fn filters() {
        use tracing::Level;
        // a filter, a target, and the most verbose level of it
        for (text, target, want) in [
            ("", "vestibule", Some(Level::INFO)),
            ("warn", "vestibule", Some(Level::WARN)),
            ("WARN", "vestibule_logging::sink", Some(Level::WARN)),
            ("off", "vestibule", None),
            ("h2=debug", "vestibule", Some(Level::INFO)),
            ("h2=debug", "h2::codec", Some(Level::DEBUG)),
            ("error, h2=trace", "vestibule", Some(Level::ERROR)),
            ("vestibule=off", "vestibule", None),
        ] {
            let targets = filter(text).unwrap();
            let levels = [
                Level::TRACE,
                Level::DEBUG,
                Level::INFO,
                Level::WARN,
                Level::ERROR,
            ];
            let found = levels
                .into_iter()
                .find(|level| targets.would_enable(target, level));
            assert_eq!(found, want, "{text:?} {target}");
        }
        for text in [
            "wrn",
            "vestibule",
            "h2=",
            "h2=loud",
            "info;warn",
            "[span]=info",
            "7",
        ] {
            let error = filter(text).unwrap_err();
            assert!(error.contains("is not off, error,"), "{text}: {error}");
        }
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_object() {
        let page = Page::default();
        let writer = page.clone();
        let lines = layer().with_writer(move || writer.clone());
        let subscriber =
            tracing_subscriber::registry().with(lines.event_format(Json(Clock::default())));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                target: "vestibule", count = 3_u64, below = -1, ratio = 0.5, none = f64::NAN, is_it = true,
                text = "a \"b\"\n\u{1b}\\\u{1f600}", shown = ?Some("x"), "said {}", "so"
            );
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let (begin, rest) = text.split_once("Z\",").unwrap();
        assert!(begin.starts_with("{\"timestamp\":\"20"), "{text}");
        let want = r#""level":"WARN","fields":{"message":"said so","count":3,"below":-1,"ratio":0.5,"none":null,"is_it":true,"text":"a \"b\"\u000a\u001b\\\ud83d\ude00","shown":"Some(\"x\")"},"target":"vestibule"}"#;
        assert_eq!(rest, format!("{want}\n"));
    }
}
