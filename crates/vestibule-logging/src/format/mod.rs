//! How a record becomes a line.

mod apache;
mod combined;
mod escape;
mod fields;
mod json;
mod logfmt;
mod short;
mod time;
mod zone;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderName;

use crate::Record;
use apache::Pattern;

pub use apache::FormatError;
pub(crate) use combined::version_number;
pub(crate) use escape::escape;
pub(crate) use fields::host_and_port;
pub use zone::{Zone, ZoneError};

/// How a line of the access log is written.
///
/// Whatever the client chose is escaped in each of them, so that a line is always one line, and only
/// printable ASCII, and harmless on a terminal. Times are UTC, or in the [`zone`](Self::zone) that is set.
///
/// ```
/// use vestibule_logging::Format;
///
/// assert_eq!("combined".parse::<Format>().unwrap().to_string(), "combined");
/// let own: Format = r#"%h %>s %{Referer}i %{ms}T"#.parse().unwrap();
/// assert_eq!(own.to_string(), "%h %>s %{Referer}i %{ms}T");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Format {
    kind: Kind,
    zone: Zone,
}

#[derive(Clone, Debug, Default)]
enum Kind {
    Common,
    #[default]
    Combined,
    Json,
    Logfmt,
    Short {
        colour: bool,
    },
    Apache(Arc<Pattern>),
}

impl Format {
    /// NCSA's common log format: `192.0.2.1 - ann [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 2326`.
    #[must_use]
    pub const fn common() -> Self {
        Self::of(Kind::Common)
    }

    /// The common format, the referrer and the user agent: what nginx writes by default, and every
    /// log analyser reads.
    #[must_use]
    pub const fn combined() -> Self {
        Self::of(Kind::Combined)
    }

    /// One JSON object a line. Its names are those of OpenTelemetry's semantic conventions where there
    /// is one; `access-log.schema.json` in the crate describes them all. goaccess cannot read names with dots: give it
    /// [`combined`](Self::combined).
    #[must_use]
    pub const fn json() -> Self {
        Self::of(Kind::Json)
    }

    /// `name=value` pairs with the same names as [`json`](Self::json), for eyes and for Loki.
    #[must_use]
    pub const fn logfmt() -> Self {
        Self::of(Kind::Logfmt)
    }

    /// A short line for a person at a terminal: `13:55:36 200 GET /a 2.3 kB 1.2 ms`.
    #[must_use]
    pub const fn short() -> Self {
        Self::of(Kind::Short { colour: false })
    }

    /// The short line with the status in colour.
    #[must_use]
    pub const fn coloured() -> Self {
        Self::of(Kind::Short { colour: true })
    }

    /// Apache's `LogFormat` string: `%h %l %u %t "%r" %>s %b`.
    ///
    /// Every directive of `mod_log_config` is known. Those of which this server knows nothing (`%l`, `%k`,
    /// `%I`, `%O`, `%S`, `%R`, `%L` without a request id) are `-`. `%{c}a` is the address of the connection where
    /// `%a` is a client behind a proxy; `%{NAME}^to` is a trailer, as gRPC's `%{grpc-status}^to`. `%u` of a 401 or
    /// 429 is the name that a Basic login was tried with, as Apache has it. One note is known:
    /// `%{queue_time}n`, the microseconds that the request waited for its turn.
    ///
    /// ```
    /// use vestibule_logging::Format;
    ///
    /// let error = Format::apache("%h %j").unwrap_err();
    /// assert_eq!(error.to_string(), "column 5: there is no directive `%j`");
    /// ```
    ///
    /// # Errors
    ///
    /// [`FormatError`], with the column of the directive that is not known.
    pub fn apache(pattern: &str) -> Result<Self, FormatError> {
        let pattern = Pattern::parse(pattern)?;
        Ok(Self::of(Kind::Apache(Arc::new(pattern))))
    }

    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            zone: Zone::utc(),
        }
    }

    /// Sets the time zone of its times. Defaults to UTC.
    ///
    /// ```
    /// use vestibule_logging::Format;
    ///
    /// let format = Format::apache("%{%H:%M %z}t").unwrap().zone("-05:00".parse().unwrap());
    /// # let _ = format;
    /// ```
    #[must_use]
    pub fn zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// Appends the line of `record`, without its end.
    pub(crate) fn write(&self, record: &Record, line: &mut Vec<u8>) {
        let zone = &self.zone;
        match &self.kind {
            Kind::Common => combined::write_common(record, zone, line),
            Kind::Combined => combined::write(record, zone, line),
            Kind::Json => json::write(record, zone, line),
            Kind::Logfmt => logfmt::write(record, zone, line),
            Kind::Short { colour } => short::write(record, *colour, zone, line),
            Kind::Apache(pattern) => pattern.write(record, zone, line),
        }
    }

    /// The line of `record`, without its end.
    ///
    /// ```
    /// use vestibule_core::{App, Request};
    /// use vestibule_logging::{AccessLog, Format, Sink};
    /// use std::sync::mpsc;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (tell, told) = mpsc::channel();
    /// let sink = Sink::from_fn(move |record| tell.send(Format::logfmt().line(record)).unwrap());
    /// let app = AccessLog::new(|_: Request| async {}).to(sink);
    /// drop(app.call(Request::default()).await);
    /// assert!(told.recv().unwrap().contains(" http.request.method=GET url.path=/ "));
    /// # }
    /// ```
    #[must_use]
    pub fn line(&self, record: &Record) -> String {
        let mut line = Vec::new();
        self.write(record, &mut line);
        // Every writer here writes ASCII.
        String::from_utf8_lossy(&line).into_owned()
    }

    /// The request's headers that the line has beside those that every record has.
    pub(crate) fn request_headers(&self) -> &[HeaderName] {
        match &self.kind {
            Kind::Apache(pattern) => &pattern.request_headers,
            _ => &[],
        }
    }

    /// The same of the response.
    pub(crate) fn response_headers(&self) -> &[HeaderName] {
        match &self.kind {
            Kind::Apache(pattern) => &pattern.response_headers,
            _ => &[],
        }
    }

    /// The request's trailers that the line has.
    pub(crate) fn request_trailers(&self) -> &[HeaderName] {
        match &self.kind {
            Kind::Apache(pattern) => &pattern.request_trailers,
            _ => &[],
        }
    }

    /// The same of the response.
    pub(crate) fn response_trailers(&self) -> &[HeaderName] {
        match &self.kind {
            Kind::Apache(pattern) => &pattern.response_trailers,
            _ => &[],
        }
    }
}

impl FromStr for Format {
    type Err = FormatError;

    /// `common`, `combined`, `json`, `logfmt`, `short`, or Apache's string, which has a `%`.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        Ok(match text {
            "common" => Self::common(),
            "combined" => Self::combined(),
            "json" => Self::json(),
            "logfmt" => Self::logfmt(),
            "short" => Self::short(),
            pattern if pattern.contains('%') => Self::apache(pattern)?,
            _ => return Err(FormatError::unknown_name(text)),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Common => "common",
            Kind::Combined => "combined",
            Kind::Json => "json",
            Kind::Logfmt => "logfmt",
            Kind::Short { .. } => "short",
            Kind::Apache(pattern) => &pattern.text,
        })
    }
}
